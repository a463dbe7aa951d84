/* SPDX-License-Identifier: Apache-2.0 */
/* The drives that PCs boot from, served by a process of their own, so that they outlive the worker.
 *
 * A PC reads its drive for minutes, and a firmware that looks for it while it is away boots its disk instead. A TLS
 * session ends with its process. So the sessions live in a drive process (drives_serve()), one for each state folder,
 * which knows nothing of jobs: it opens what a worker orders, and tells it what the firmware does. If the worker dies it
 * serves on, each drive that a PC may look for, for the time that its order says, and gives it to the worker that orders
 * the same drive of the same boot again. It ends by itself, once it has neither a worker nor a drive.
 *
 * Both talk through a socket in the state folder (channel_priv.h, message_priv.h); its name has the version of what is
 * said there, so that each worker finds a drive process that understands it, or starts one (meeting_priv.h).
 */
#ifndef AMTUNLOCK_DRIVES_DRIVES_H
#define AMTUNLOCK_DRIVES_DRIVES_H

#include "amt/redirection/ider.h"

/* ---- for workers --------------------------------------------------------------------------------------- */

/* The way of one event loop to the drive process of a folder. Its thread only. */
typedef struct drives_t drives_t;
typedef struct drive_t drive_t;

/* What is served, and for which boot: a drive that is there already is given to who names the same job, system (the
 * target's fqdn) and fence, with the same sector. Any other drive of that system ends. */
typedef struct {
    const char *job, *fence;
    amt_target_t target;            /* `tickets` and `group` do not matter: */
    const char *keytab, *principal; /* Kerberos: whose tickets; "": none, and user and password count */
    const amt_overlay_t *overlay;
    int now; /* amt_ider_enable_now(), and drive_keep(): the PC has started */
    /* How long it is served once its worker is gone, at most a day; see drive_keep(). */
    apr_interval_time_t alone;
} drive_order_t;

/* `folder` is copied. Where a drive process serves it already, this worker becomes known to it. `pool` ends the
 * connection. */
apr_status_t drives_create(drives_t **drives, struct event_base *base, const char *folder, apr_pool_t *pool);
/* The worker is about to end on purpose: drives that a dead one left, and that nobody has asked for, then end too. What is
 * served for this one when its connection ends is handed over. */
void drives_leave(drives_t *drives);

/* As amt_ider_open(), with these events: each comes from the loop. Starts the drive process where none runs. `order` is
 * not needed afterwards. APR_SUCCESS, or there is no drive and *error says why, in `pool`. */
apr_status_t drive_open(drive_t **drive, drives_t *drives, const drive_order_t *order,
                        const amt_image_t *image, const amt_ider_events_t *events, void *baton,
                        const char **error, apr_pool_t *pool);
/* Its PC is about to start. Until then the drive ends with its worker: no firmware looks for it yet, and another worker
 * would find the device busy. */
void drive_keep(drive_t *drive);
/* Its worker stops before its PC has read it: it is served on as after a death of the worker, and is gone for this one. One
 * that is not kept ends. */
void drive_hand_over(drive_t *drive);
/* amt_ider_drop_overlay() */
void drive_conceal(drive_t *drive);
/* amt_ider_close() */
void drive_close(drive_t *drive);
/* amt_ider_destroy() */
void drive_destroy(drive_t *drive);

/* ---- the drive process --------------------------------------------------------------------------------- */

/* `amtunlockd drives FOLDER`, as a worker executes it, with the socket as descriptor 3 and the log as standard error.
 * Returns an exit code: at once in the process that was executed, at the end in its child, which is the drive process. */
int drives_serve(const char *folder, apr_pool_t *pool);

#endif
