/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of directives, from text to values. Needs APR but not httpd, so that unit tests can link it. Each
 * function returns NULL, or an error message that follows a directive's name. */
#ifndef AMTUNLOCK_HTTPD_ARGUMENTS_PRIV_H
#define AMTUNLOCK_HTTPD_ARGUMENTS_PRIV_H

#include <apr_pools.h>
#include <apr_time.h>

/* ISO 8601 ("PT30M") or seconds ("1800"), from `min` to `max`. */
const char *amtunlock_argument_duration(const char *text, apr_interval_time_t min, apr_interval_time_t max,
                                        apr_interval_time_t *out, apr_pool_t *pool);

/* A decimal number from `min` to `max`. */
const char *amtunlock_argument_number(const char *text, apr_int64_t min, apr_int64_t max, apr_int64_t *out,
                                      apr_pool_t *pool);

/* "NAME=VALUE": the value if the name is `name`, else NULL. */
const char *amtunlock_argument_value(const char *text, const char *name);

#endif
