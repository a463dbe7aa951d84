/* SPDX-License-Identifier: Apache-2.0 */
/* What session.c, which carries a session, shares with login.c, which lets it in. Not for other files. */
#ifndef AMTUNLOCK_AMT_REDIRECTION_STATE_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_STATE_PRIV_H

#include "amt/kerberos/ticket_request.h"
#include "amt/redirection/link_priv.h"
#include "amt/redirection/session_priv.h"

typedef enum {
    CONNECT,
    STARTING,
    ASKING_KINDS,
    ASKING_CHALLENGE,
    AWAITING_TICKET,
    LOGGING_IN,
    OPENING,
    OPEN,
    CLOSING, /* the close was sent, its answer is awaited */
    ENDING,  /* all was said; waits for the device to hang up */
    OVER     /* told, or about to be */
} state_e;

struct amt_session_t {
    apr_pool_t *pool;
    amt_loop_t *loop;
    amt_target_t target;
    const amt_channel_t *kind;
    void *channel;
    const char *where; /* "pc1.example.com (10.0.0.1 port 16995)" */
    int port;
    amt_ticket_request_t *ticket_request; /* a ticket is being made */
    amt_ticket_t *ticket;                 /* until it let us in */
    amt_link_t *link;
    state_e state;
    struct event *deadline;
    struct event *keepalive;
    struct event *end; /* tells `ended` */
    amt_status_e status;
    int acted;
    int quiet; /* keep-alive intervals without a byte from the device */
    int counting;
    apr_uint32_t in_sequence;
    apr_uint32_t out_sequence;
    const amt_message_t *message; /* whose body is being read */
    apr_size_t body_left;
    char text[640];
};

/* ---- session.c ------------------------------------------------------------------------------- */

/* The session ends unless more happens within this time. */
void amt_session_limit(amt_session_t *session, apr_interval_time_t interval);
/* Ends it: what the device sent makes no sense. */
void amt_session_garbage(amt_session_t *session, const char *what);

/* ---- login.c --------------------------------------------------------------------------------- */

/* The session is started: asks which kinds of login there are. It goes on in the state OPENING, or ends. */
void amt_login_begin(amt_session_t *session);
/* Takes an answer from the front of what came; see amt_link_events_t. */
apr_size_t amt_login_take(amt_session_t *session, const unsigned char *bytes, apr_size_t length);
/* Forgets its ticket, there or to come. */
void amt_login_drop(amt_session_t *session);

#endif
