/* SPDX-License-Identifier: Apache-2.0 */
/* The proof keys of other workers, as these say of themselves in Redis. */
#ifndef AMTUNLOCK_WORKER_PEER_KEYS_H
#define AMTUNLOCK_WORKER_PEER_KEYS_H

#include <apr_tables.h>

#include "jobs/jobs.h"
#include "proof/proof_key.h"

/* The hosts (const char *, in `pool`) of workers that were heard within half a lease and have another key than this; NULL:
 * that have any. Asks Redis; none where it does not answer. */
apr_array_header_t *peer_keys_differ(jobs_client_t *client, const proof_key_t *key, apr_pool_t *pool);

#endif
