/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/values.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

static int is_decimal(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits at *text, which is advanced behind them. */
static apr_status_t parse_digits(const char **text, apr_uint64_t max, apr_uint64_t *out)
{
    apr_uint64_t value = 0;

    if (!is_decimal(**text)) {
        return APR_EINVAL;
    }
    for (; is_decimal(**text); (*text)++) {
        apr_uint64_t digit = (apr_uint64_t)(**text - '0');

        if (value > max / 10 || value * 10 > max - digit) {
            return APR_EINVAL;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return APR_SUCCESS;
}

apr_status_t wsman_parse_uint(const char *text, apr_uint64_t max, apr_uint64_t *out)
{
    apr_uint64_t value;
    apr_status_t status = parse_digits(&text, max, &value);

    if (status != APR_SUCCESS || *text != '\0') {
        return APR_EINVAL;
    }
    *out = value;
    return APR_SUCCESS;
}

/* ".250" as microseconds; further digits are dropped. */
static apr_uint64_t parse_fraction(const char **text)
{
    apr_uint64_t scale = APR_USEC_PER_SEC, value = 0;

    for ((*text)++; is_decimal(**text); (*text)++) {
        scale /= 10;
        value += (apr_uint64_t)(**text - '0') * scale;
    }
    return value;
}

static const struct {
    char name;
    int is_time; /* follows the 'T' */
    apr_uint64_t seconds;
} units[] = {{'D', 0, 86400}, {'H', 1, 3600}, {'M', 1, 60}, {'S', 1, 1}};

enum { UNITS = sizeof(units) / sizeof(units[0]) };

/* A number with its unit. *next is the first unit that may follow, because units have an order. */
static apr_status_t parse_component(const char **text, int in_time, int *next, apr_uint64_t *total)
{
    const apr_uint64_t most = APR_INT64_MAX;
    apr_uint64_t value, fraction = 0;
    int unit = *next;
    int fractional;

    if (parse_digits(text, most / APR_USEC_PER_SEC, &value) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    fractional = **text == '.' && is_decimal((*text)[1]);
    if (fractional) {
        fraction = parse_fraction(text);
    }
    while (unit < UNITS && (units[unit].name != **text || units[unit].is_time != in_time)) {
        unit++;
    }
    if (unit == UNITS || (fractional && units[unit].name != 'S')) {
        return APR_EINVAL;
    }
    if (value > (most - fraction - *total) / APR_USEC_PER_SEC / units[unit].seconds) {
        return APR_EINVAL;
    }
    *total += value * units[unit].seconds * APR_USEC_PER_SEC + fraction;
    *next = unit + 1;
    (*text)++;
    return APR_SUCCESS;
}

apr_status_t wsman_parse_duration(const char *text, apr_interval_time_t *out)
{
    int negative = *text == '-', in_time = 0, next = 0;
    apr_uint64_t total = 0;

    text += negative;
    if (*text++ != 'P') {
        return APR_EINVAL;
    }
    do {
        if (!in_time && *text == 'T') {
            in_time = 1;
            text++;
        }
        if (parse_component(&text, in_time, &next, &total) != APR_SUCCESS) {
            return APR_EINVAL;
        }
    } while (*text != '\0');
    *out = negative ? -(apr_interval_time_t)total : (apr_interval_time_t)total;
    return APR_SUCCESS;
}

const char *wsman_format_datetime(apr_time_t time, apr_pool_t *pool)
{
    apr_time_exp_t at;

    if (apr_time_exp_gmt(&at, time) != APR_SUCCESS) {
        return "1970-01-01T00:00:00Z";
    }
    return apr_psprintf(pool, "%04d-%02d-%02dT%02d:%02d:%02dZ", at.tm_year + 1900, at.tm_mon + 1, at.tm_mday,
                        at.tm_hour, at.tm_min, at.tm_sec);
}

/* Seconds as days, hours, minutes, seconds. */
static void split_interval(apr_interval_time_t interval, apr_int64_t parts[4])
{
    apr_int64_t seconds = interval < 0 ? 0 : apr_time_sec(interval);

    parts[0] = seconds / 86400;
    parts[1] = seconds / 3600 % 24;
    parts[2] = seconds / 60 % 60;
    parts[3] = seconds % 60;
}

const char *wsman_format_duration(apr_interval_time_t interval, apr_pool_t *pool)
{
    apr_int64_t parts[4];
    const char *text = "P";

    split_interval(interval, parts);
    for (int i = 0; i < UNITS; i++) {
        if (parts[i] == 0) {
            continue;
        }
        if (units[i].is_time && strchr(text, 'T') == NULL) {
            text = apr_pstrcat(pool, text, "T", NULL);
        }
        text = apr_psprintf(pool, "%s%" APR_INT64_T_FMT "%c", text, parts[i], units[i].name);
    }
    return text[1] == '\0' ? "PT0S" : text;
}

const char *wsman_format_cim_interval(apr_interval_time_t interval, apr_pool_t *pool)
{
    const apr_int64_t most_days = 99999999;
    apr_int64_t parts[4];

    split_interval(interval, parts);
    if (parts[0] > most_days) {
        return "99999999235959.999999:000";
    }
    return apr_psprintf(pool,
                        "%08" APR_INT64_T_FMT "%02" APR_INT64_T_FMT "%02" APR_INT64_T_FMT
                        "%02" APR_INT64_T_FMT ".%06" APR_INT64_T_FMT ":000",
                        parts[0], parts[1], parts[2], parts[3],
                        interval < 0 ? 0 : (apr_int64_t)apr_time_usec(interval));
}

static const char *without_scheme(const char *text)
{
    static const char *const schemes[] = {"urn:uuid:", "uuid:"};

    for (apr_size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncasecmp(text, schemes[i], strlen(schemes[i])) == 0) {
            return text + strlen(schemes[i]);
        }
    }
    return text;
}

int wsman_is_uuid(const char *text, const char **canonical, apr_pool_t *pool)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    const char *bare = without_scheme(text);
    char *lower;

    if (strlen(bare) != sizeof(shape) - 1) {
        return 0;
    }
    for (apr_size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == '-' ? bare[i] != '-' : !apr_isxdigit(bare[i])) {
            return 0;
        }
    }
    if (canonical != NULL) {
        lower = apr_pstrdup(pool, bare);
        for (char *c = lower; *c != '\0'; c++) {
            *c = (char)apr_tolower(*c);
        }
        *canonical = lower;
    }
    return 1;
}
