/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to a device's redirection port: TCP, or TLS under the target's rules, with a bounded buffer
 * each way. What is queued is wiped when it has left.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_LINK_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_LINK_PRIV_H

#include "amt/http/loop.h"
#include "amt/http/pace.h"

typedef struct amt_link_t amt_link_t;

/* Bytes that are read ahead, and so the longest message that `take` can be given whole. */
#define AMT_LINK_IN 2048
/* Bytes that can be queued whenever `take` is called: what it sends in answer must fit. */
#define AMT_LINK_RESERVE 1600

/* Each comes from the loop, and may free the link. */
typedef struct {
    /* Connected, and the peer is trusted. */
    void (*ready)(void *baton);
    /* Takes a message from the front of what came; the bytes taken, 0 for "more is needed, or not now". */
    apr_size_t (*take)(void *baton, const unsigned char *bytes, apr_size_t length);
    /* There is room: all that was queued has left, or waits to fill a record. */
    void (*drained)(void *baton);
    /* True while `drained` will queue more. */
    int (*more)(const void *baton);
    /* The peer will send no more. The link goes on. */
    void (*ended)(void *baton);
    /* The connection is gone, and the link stopped. Also from inside amt_link_flush(). */
    void (*failed)(void *baton, amt_status_e status, const char *text);
} amt_link_events_t;

typedef struct {
    apr_size_t room; /* bytes that may be queued, AMT_LINK_RESERVE among them */
    /* Bytes both ways; turns are calls of `take`, and socket events. Beyond it nothing is read or asked for
     * (`drained`) for a while; what was queued leaves all the same. */
    amt_pace_limits_t pace;
} amt_link_bounds_t;

/* Begins to connect; `failed` comes from the loop, never from in here. `target`, `where` (for error messages)
 * and `bounds` must live as long. */
apr_status_t amt_link_open(amt_link_t **link, amt_loop_t *loop, const amt_target_t *target, int port,
                           const char *where, const amt_link_bounds_t *bounds,
                           const amt_link_events_t *events, void *baton, apr_pool_t *pool);
/* Nothing comes any more; what was queued is wiped. */
void amt_link_stop(amt_link_t *link);
void amt_link_free(amt_link_t *link);

/* TCP and TLS are done, and nothing ended yet. */
int amt_link_is_ready(const amt_link_t *link);
/* Why it is not ready yet: "no answer to the connection", "no end of the TLS handshake". */
const char *amt_link_awaits(const amt_link_t *link);
/* Bytes that can be queued now. */
apr_size_t amt_link_room(const amt_link_t *link);
/* Whether something that was queued has not left yet. */
int amt_link_is_sending(const amt_link_t *link);
/* Queues; the bytes leave in the loop's next turn. They must fit. */
void amt_link_queue(amt_link_t *link, const void *bytes, apr_size_t length);
/* As amt_link_queue(), without a copy: the caller fills the place returned at once. The bytes must fit. */
unsigned char *amt_link_place(amt_link_t *link, apr_size_t length);
/* Sends what can be sent now. */
void amt_link_flush(amt_link_t *link);
/* Offers again what was not taken. */
void amt_link_again(amt_link_t *link);
/* Says that nothing more will be sent, as TLS and TCP want it. Reading goes on. */
void amt_link_shut(amt_link_t *link);

#endif
