/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker's mind is known by: workers of one fleet serve it together only while they agree on whom to trust and
 * what to do. One thread at a time. */
#ifndef AMTUNLOCK_WORKER_SETTINGS_FINGERPRINT_H
#define AMTUNLOCK_WORKER_SETTINGS_FINGERPRINT_H

#include "worker/settings/snapshot.h"

typedef struct fingerprint_t fingerprint_t;

/* Of a snapshot, which must live as long. May block. */
fingerprint_t *fingerprint_create(const snapshot_t *snapshot, apr_pool_t *pool);
/* Bundle and revocation lists are read again while the worker runs, so they count as they are now. Nonzero: the
 * digest is another than before. May block. */
int fingerprint_look(fingerprint_t *fingerprint);
/* Hex SHA-256 over the inventory, the settings that are not a host's own, the unlock images, and bundle and
 * revocation lists. */
const char *fingerprint_digest(const fingerprint_t *fingerprint);
/* When the latest of them was changed. */
apr_time_t fingerprint_written(const fingerprint_t *fingerprint);

#endif
