/* SPDX-License-Identifier: Apache-2.0 */
/* The proof key: 32 random bytes in a file, which all workers of one service share. Each session's S is derived from it
 * (proof.h), so that a worker which takes over can prove itself to what its predecessor booted.
 *
 * The file holds 64 lower-case hex digits and a line feed, and belongs to this process's user alone (mode 0600). A key
 * in memory is read-only, may be shared by threads, and lies in OpenSSL's secure heap until its pool goes.
 */
#ifndef AMTUNLOCK_PROOF_PROOF_KEY_H
#define AMTUNLOCK_PROOF_PROOF_KEY_H

#include <apr_pools.h>

#define PROOF_KEY_ID_DIGITS 16

typedef struct proof_key_t proof_key_t;

/* NULL, or an error message in `pool` that names `setting` and the file. *key is NULL without an error where there is no
 * such file. */
const char *proof_key_read(proof_key_t **key, const char *setting, const char *file, apr_pool_t *pool);

/* Makes the file with a new key, durably, unless there is one: an existing file is never touched, and of several
 * processes that do this at once one makes it. NULL, or an error message as above. */
const char *proof_key_make(const char *setting, const char *file, apr_pool_t *pool);

/* Which key it is, and nothing more of it: lower-case hex digits. Lives as long as the key. */
const char *proof_key_id(const proof_key_t *key);

#endif
