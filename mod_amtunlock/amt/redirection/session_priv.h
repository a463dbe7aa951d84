/* SPDX-License-Identifier: Apache-2.0 */
/* A redirection session: connects, starts, authenticates, then carries one channel (SOL or IDE-R) as a table
 * of messages, and ends once.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_SESSION_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_SESSION_PRIV_H

#include "amt/redirection/link_priv.h"
#include "amt/redirection/message_priv.h"

typedef struct amt_session_t amt_session_t;

typedef struct {
    char kind[5];                  /* "SOL " */
    const char *name;              /* "Serial-over-LAN", for error messages */
    const amt_message_t *messages; /* ends with id 0 */
    unsigned char keepalive;       /* id of the message sent while nothing else is */
    unsigned char close;           /* id of ours that ends the channel */
    unsigned char closed;          /* id of the answer to it */
    int any_first;                 /* the device's sequence numbers may begin anywhere; else at 0 */
    int silence;                   /* seconds without a byte after which the device counts as gone */
    int interval;                  /* milliseconds between keep-alives */
    /* Its room: for its longest message, and AMT_LINK_RESERVE. */
    amt_link_bounds_t bounds;
    /* Logged in: the channel opens itself, then calls amt_session_opened(). */
    void (*begin)(void *channel);
    /* There is room for more. May be NULL. */
    void (*drained)(void *channel);
    /* `drained` has still something to send. May be NULL. */
    int (*busy)(const void *channel);
    /* From the loop, once, and never after amt_session_destroy(). */
    void (*ended)(void *channel, const amt_result_t *result);
} amt_channel_t;

/* The session owns `pool`, in which `channel` lives: destroyed where it cannot begin, and by
 * amt_session_destroy(). User and password of the target are the caller's. */
apr_status_t amt_session_open(amt_session_t **session, amt_loop_t *loop, const amt_target_t *target,
                              const amt_channel_t *kind, void *channel, apr_pool_t *pool);
/* The channel is open: from now on the session waits without limit. */
void amt_session_opened(amt_session_t *session);
/* As amt_sol_close(). */
void amt_session_close(amt_session_t *session);
/* As amt_sol_destroy(). */
void amt_session_destroy(amt_session_t *session);

/* True between amt_session_opened() and the end. */
int amt_session_is_open(const amt_session_t *session);
/* Bytes that a message (with its body) may have now. */
apr_size_t amt_session_room(const amt_session_t *session);
/* Sends a message of `length` bytes, the sequence number filled in, and makes room for a body behind it,
 * which the caller fills at once. It must fit. */
unsigned char *amt_session_send(amt_session_t *session, unsigned char *message, apr_size_t length,
                                apr_size_t body);
/* A message of the 8 bytes only. */
void amt_session_send_plain(amt_session_t *session, unsigned char id);
/* Something was sent that acts: the result says so. */
void amt_session_acted(amt_session_t *session);
/* Sends what can be sent without waiting for the loop. */
void amt_session_flush(amt_session_t *session);
/* Handles a message that waited for the channel. */
void amt_session_again(amt_session_t *session);
/* Ends the session because the device refused a start with this status. */
void amt_session_refused(amt_session_t *session, int status);
/* Ends the session: "<Serial-over-LAN> with <pc1 (10.0.0.1 port 16995)> ended: <what>". */
void amt_session_fail(amt_session_t *session, amt_status_e status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
