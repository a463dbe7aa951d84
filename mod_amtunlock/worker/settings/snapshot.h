/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot: settings, inventory, secrets and images as read at one time, all of them or none.
 *
 * Never changed once loaded, shared by threads, reference-counted: a task refs the snapshot it was claimed by
 * until it ends, so a reload takes nothing away from a running unlock. The last unref frees it.
 */
#ifndef AMTUNLOCK_WORKER_SETTINGS_SNAPSHOT_H
#define AMTUNLOCK_WORKER_SETTINGS_SNAPSHOT_H

#include "amt/kerberos/ticket.h"
#include "amt/redirection/ider.h"
#include "inventory/inventory.h"
#include "proof/proof_key.h"
#include "secrets/secrets.h"
#include "worker/settings/settings.h"

typedef struct snapshot_t snapshot_t;

/* Reads everything that `file` names. NULL if anything is wrong; `problems` (inventory_problem_t, in `pool`)
 * then says what. The caller unrefs what is returned. May block; one thread at a time. */
snapshot_t *snapshot_load(const char *file, apr_array_header_t *problems, apr_pool_t *pool);

/* The same for a worker that serves by it from now on: makes the proof key's file where a system needs one and it is not
 * there. `before`: what was in force until now, NULL at the start. */
snapshot_t *snapshot_load_to_serve(const char *file, const snapshot_t *before, apr_array_header_t *problems,
                                   apr_pool_t *pool);

snapshot_t *snapshot_ref(snapshot_t *snapshot);
void snapshot_unref(snapshot_t *snapshot);

const settings_t *snapshot_settings(const snapshot_t *snapshot);
const inventory_t *snapshot_inventory(const snapshot_t *snapshot);
secrets_t *snapshot_secrets(const snapshot_t *snapshot);
/* Sets the members of a target that name TLS files. They point into the snapshot. */
void snapshot_name_trust(const snapshot_t *snapshot, amt_target_t *target);
/* The worker's Kerberos account; the snapshot's. Not NULL for a system with auth = kerberos. */
amt_tickets_t *snapshot_tickets(const snapshot_t *snapshot);

/* True if a system has the method image. */
int snapshot_needs_proof_key(const snapshot_t *snapshot);
/* The snapshot's. NULL: no system needs one, or (of snapshot_load() alone) its file is not there yet. */
const proof_key_t *snapshot_proof_key(const snapshot_t *snapshot);
/* True if its file was not there and was made for this snapshot. */
int snapshot_proof_key_is_new(const snapshot_t *snapshot);

/* An unlock image, read once a snapshot, however many groups share it. */
typedef struct {
    amt_image_t *disc;
    apr_uint32_t proof_sector; /* the sector that each session replaces by its own */
    char digest[65];           /* hex SHA-256 of its bytes */
} snapshot_image_t;

/* Of a system's group. Not NULL for a system whose method is image. */
const snapshot_image_t *snapshot_image(const snapshot_t *snapshot, const inventory_system_t *system);

/* Adds a problem for each system that this worker cannot serve, for lack of its method or of a Kerberos account:
 * found when the file is read, not when the system is to be unlocked. */
void snapshot_check_systems(const inventory_t *inventory, const settings_t *settings, const char *file,
                            apr_array_header_t *problems, apr_pool_t *pool);

#endif
