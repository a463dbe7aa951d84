/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions of a drive process, at most one a system. */
#ifndef AMTUNLOCK_DRIVES_SESSION_PRIV_H
#define AMTUNLOCK_DRIVES_SESSION_PRIV_H

#include <apr_ring.h>
#include <apr_thread_pool.h>

#include "drives/channel_priv.h"
#include "drives/disc_priv.h"

typedef struct session_t session_t;

typedef struct {
    apr_pool_t *pool;
    amt_loop_t *loop;
    apr_thread_pool_t *threads; /* for tickets; NULL: none was needed yet */
    amt_tickets_t *tickets;     /* of the last account; NULL: none was needed yet */
    const char *account;        /* which that is */
    int trims;                  /* memory may be given back */
    APR_RING_HEAD(session_ring_t, session_t) ring;
    discs_t discs;
} drive_sessions_t;

/* `base` belongs to the caller, and outlives them. */
apr_status_t drive_sessions_init(drive_sessions_t *sessions, struct event_base *base, apr_pool_t *pool);
int drive_sessions_exist(const drive_sessions_t *sessions);

/* What a worker says of its drive: who it is, is known by its channel. Of a drive that it has not (any more) nothing is
 * done. */
void drive_sessions_open(drive_sessions_t *sessions, channel_t *client, const message_t *message,
                         const int files[CHANNEL_FILES]);
void drive_sessions_keep(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive);
void drive_sessions_hand_over(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive);
void drive_sessions_conceal(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive);
void drive_sessions_close(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive);
void drive_sessions_drop(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive);

/* The worker is gone: how many drives it leaves. Those that it had not kept are closed. */
int drive_sessions_leave_alone(drive_sessions_t *sessions, const channel_t *client, int hands_over);
/* All that have no worker and were not handed over. */
void drive_sessions_drop_alone(drive_sessions_t *sessions);
/* Once a second: gives memory back, closes those that are alone and over their time, or that nobody reads any more. */
void drive_sessions_tick(drive_sessions_t *sessions);

#endif
