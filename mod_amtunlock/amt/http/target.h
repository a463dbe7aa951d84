/* SPDX-License-Identifier: Apache-2.0 */
/* What a device is called, where it is reached and by which account: amt_target_t of amt.h. */
#ifndef AMTUNLOCK_AMT_HTTP_TARGET_H
#define AMTUNLOCK_AMT_HTTP_TARGET_H

#include "amt/amt.h"
#include "base/digest.h"

/* Copies `from` into `target` (user, password and tickets stay the caller's), with defaults for the time
 * limits that are 0. */
void amt_target_copy(amt_target_t *target, const amt_target_t *from, apr_pool_t *pool);
/* APR_EINVAL where a name, the address or what the kind of trust needs is missing or wrong. `pin` is filled
 * in for AMT_TLS_PIN. */
apr_status_t amt_target_check(const amt_target_t *target, unsigned char pin[DIGEST_BYTES]);
/* The account's name, for error messages. */
const char *amt_target_account(const amt_target_t *target);
/* 4, 6, or 0 for no numeric address. */
int amt_address_family(const char *address);

#endif
