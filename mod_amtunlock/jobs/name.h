/* SPDX-License-Identifier: Apache-2.0 */
/* Names of systems: one rule for what callers ask for and for what the inventory holds. */
#ifndef AMTUNLOCK_JOBS_NAME_H
#define AMTUNLOCK_JOBS_NAME_H

#include <apr_pools.h>

/* From a name as it was written (DNS name or address, with white space, any case, a trailing dot) the form
 * that it is looked up by: lower case, no trailing dot, the canonical text of an address. NULL if it is no
 * name, which is labels of 1-63 letters, digits, '-' or '_', 253 in all, or an IPv4 or IPv6 literal. */
const char *jobs_name_key(const char *name, apr_pool_t *pool);

#endif
