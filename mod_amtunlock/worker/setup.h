/* What the worker goes by: one reading of settings, inventory and secrets, as a whole or not at all.
 *
 * Never changed once loaded, shared by threads and counted: a task holds the setup it was claimed under until
 * it ends, so a reload takes nothing away from a running unlock. The last holder frees it.
 */
#ifndef AMTUNLOCK_WORKER_SETUP_H
#define AMTUNLOCK_WORKER_SETUP_H

#include "amt/redirection/ider.h"
#include "amt/ticket.h"
#include "inventory/inventory.h"
#include "secrets/secrets.h"
#include "worker/settings.h"

typedef struct setup_t setup_t;

/* Reads everything that `file` names. NULL where anything is wrong; `problems` (inventory_problem_t, in
 * `pool`) then says what. The caller holds what is returned. May block; call from one thread at a time. */
setup_t *setup_load(const char *file, apr_array_header_t *problems, apr_pool_t *pool);

setup_t *setup_hold(setup_t *setup);
void setup_drop(setup_t *setup);

const settings_t *setup_settings(const setup_t *setup);
const inventory_t *setup_inventory(const setup_t *setup);
secrets_t *setup_secrets(const setup_t *setup);
/* Sets the members of a target that name files of TLS; what they point to is the setup's. */
void setup_name_trust(const setup_t *setup, amt_target_t *target);
/* The worker's Kerberos account. Not NULL for a system with auth = kerberos; held by the setup. */
amt_tickets_t *setup_tickets(const setup_t *setup);

/* An unlock image, read once a setup, whatever groups share it. */
typedef struct {
    amt_image_t *disc;
    apr_uint32_t proof_sector; /* where a session's own sector stands */
} setup_image_t;

/* Of a system's group. Not NULL for a system whose method is image. */
const setup_image_t *setup_image(const setup_t *setup, const inventory_system_t *system);

/* Adds a problem for each system that this worker cannot serve, since it has no such method or no Kerberos
 * account: found when the file is read, not at night. */
void setup_check_systems(const inventory_t *inventory, const settings_t *settings, const char *file,
                         apr_array_header_t *problems, apr_pool_t *pool);

#endif
