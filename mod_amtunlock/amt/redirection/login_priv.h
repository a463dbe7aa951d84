/* SPDX-License-Identifier: Apache-2.0 */
/* The login of a redirection session: asks which kinds there are, then sends a digest or a Kerberos ticket,
 * as the target says.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_LOGIN_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_LOGIN_PRIV_H

#include "amt/kerberos/ticket_request.h"
#include "amt/redirection/link_priv.h"

typedef enum {
    AMT_LOGIN_MORE,  /* the device has to say more first */
    AMT_LOGIN_IN,    /* it let us in */
    AMT_LOGIN_FAILED /* login->status and login->text say why; the login is over */
} amt_login_e;

/* What a login waits for. */
typedef enum {
    AMT_LOGIN_KINDS,     /* the kinds of login there are */
    AMT_LOGIN_CHALLENGE, /* of digest */
    AMT_LOGIN_TICKET,    /* the KDC's; nothing of the device */
    AMT_LOGIN_ANSWER
} amt_login_state_e;

/* The caller fills in the first block; `target` must live as long. */
typedef struct {
    const amt_target_t *target;
    int port;
    amt_ticket_requests_t *ticket_requests;
    /* A ticket was sent (MORE), or there is none (FAILED). From the loop. */
    void (*on_ticket)(void *baton, amt_login_e outcome);
    void *baton;

    amt_link_t *link;
    amt_login_state_e state;
    amt_ticket_request_t *ticket_request; /* a ticket is being made */
    amt_ticket_t *ticket;                 /* until it let us in */
    amt_status_e status;
    char text[384];
} amt_login_t;

/* Asks which kinds of login there are. */
void amt_login_begin(amt_login_t *login, amt_link_t *link);
/* Takes an answer from the front of what came: *taken bytes, 0 where it is not whole yet. */
amt_login_e amt_login_take(amt_login_t *login, const unsigned char *bytes, apr_size_t length,
                           apr_size_t *taken);
/* Frees the ticket, cancels the request for one. */
void amt_login_drop(amt_login_t *login);

/* of (what) */
#define AMT_NOT_UNDERSTOOD "what the device sent is not understood: %s; is it an AMT device?"

#endif
