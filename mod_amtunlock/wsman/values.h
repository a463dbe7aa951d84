/* SPDX-License-Identifier: Apache-2.0 */
/* Text to values and back: xs:duration, xs:dateTime, CIM intervals, numbers. All strict: trailing garbage,
 * overflow and empty text are refused with APR_EINVAL and leave *out as it was. */
#ifndef AMTUNLOCK_WSMAN_VALUES_H
#define AMTUNLOCK_WSMAN_VALUES_H

#include <apr_pools.h>
#include <apr_time.h>

/* "PT60S", "P1DT2H", "PT60.000S"; a leading '-' gives a negative value. Years and months are refused. */
apr_status_t wsman_parse_duration(const char *text, apr_interval_time_t *out);
apr_status_t wsman_parse_uint(const char *text, apr_uint64_t max, apr_uint64_t *out);
/* "2026-11-21T19:12:52Z" */
const char *wsman_format_datetime(apr_time_t time, apr_pool_t *pool);
/* "PT1800S" as "PT30M"; sub-second parts are dropped. */
const char *wsman_format_duration(apr_interval_time_t interval, apr_pool_t *pool);
/* CIM interval "00000000003000.000000:000" (DSP0004 5.2.4). */
const char *wsman_format_cim_interval(apr_interval_time_t interval, apr_pool_t *pool);
/* True if `text` is a UUID, bare or as "uuid:..." or "urn:uuid:..."; *canonical (may be NULL) gets the bare
 * lower-case form. */
int wsman_is_uuid(const char *text, const char **canonical, apr_pool_t *pool);

#endif
