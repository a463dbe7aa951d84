/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/arguments_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "wsman/values.h"

const char *amtunlock_argument_duration(const char *text, apr_interval_time_t min, apr_interval_time_t max,
                                        apr_interval_time_t *out, apr_pool_t *pool)
{
    apr_interval_time_t value;
    apr_uint64_t seconds;

    if (wsman_parse_uint(text, (apr_uint64_t)apr_time_sec(APR_INT64_MAX), &seconds) == APR_SUCCESS) {
        value = apr_time_from_sec((apr_interval_time_t)seconds);
    }
    else if (wsman_parse_duration(text, &value) != APR_SUCCESS) {
        return apr_psprintf(
            pool, "must be a time as ISO 8601 writes it (PT30M, PT1H, P1D) or a number of seconds, not %s",
            text);
    }
    if (value < min || value > max) {
        return apr_psprintf(pool, "must be from %s to %s, not %s", wsman_format_duration(min, pool),
                            wsman_format_duration(max, pool), text);
    }
    *out = value;
    return NULL;
}

const char *amtunlock_argument_number(const char *text, apr_int64_t min, apr_int64_t max, apr_int64_t *out,
                                      apr_pool_t *pool)
{
    apr_uint64_t value;

    if (wsman_parse_uint(text, (apr_uint64_t)max, &value) != APR_SUCCESS || (apr_int64_t)value < min) {
        return apr_psprintf(pool,
                            "must be a number from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT ", not %s", min,
                            max, text);
    }
    *out = (apr_int64_t)value;
    return NULL;
}

const char *amtunlock_argument_value(const char *text, const char *name)
{
    size_t length = strlen(name);

    return strncasecmp(text, name, length) == 0 && text[length] == '=' ? text + length + 1 : NULL;
}
