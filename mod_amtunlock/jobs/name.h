/* SPDX-License-Identifier: Apache-2.0 */
/* Names of systems: one rule for what callers ask for and for what the inventory holds. */
#ifndef AMTUNLOCK_JOBS_NAME_H
#define AMTUNLOCK_JOBS_NAME_H

#include <apr_pools.h>

/* A name as anybody may write it (DNS name or address, white space, case, trailing dot) to what it is looked
 * up by: lower case, no trailing dot, canonical text of an address. NULL if it is no name: labels of 1-63
 * letters, digits, '-', '_', 253 in all; IPv4 or IPv6 literal. */
const char *jobs_name_key(const char *name, apr_pool_t *pool);

#endif
