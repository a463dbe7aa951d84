/* SPDX-License-Identifier: Apache-2.0 */
/* Kerberos tickets for AMT: one account, known by its key in a keytab, and for each connection a SPNEGO
 * exchange of its own with HTTP/FQDN:PORT (for AMT the port is part of the name, for every port).
 *
 * Nothing of the environment's credentials is used: no KRB5CCNAME, no default keytab; every credential is
 * held in MEMORY: caches of this process. What remains the system's is krb5.conf. The ticket-granting ticket
 * is shared and got anew from the keytab long before it ends; tickets for devices are never kept, since a
 * device that was initialised lately refuses what was made before. Not for other rooms but amt_tickets_t,
 * which a target names.
 */
#ifndef AMTUNLOCK_AMT_KERBEROS_TICKET_H
#define AMTUNLOCK_AMT_KERBEROS_TICKET_H

#include "amt/amt.h"

/* ---- the account (any thread) ---------------------------------------------------------------- */

/* Looks at the keytab (an absolute path), asks no KDC. `principal` NULL: the only one in the keytab. NULL,
 * and the caller holds *tickets; else a sentence in `pool` about what is wrong: a keytab that is unreadable,
 * somebody else's, open to others or without the principal. */
const char *amt_tickets_open(amt_tickets_t **tickets, const char *keytab, const char *principal,
                             apr_pool_t *pool);
amt_tickets_t *amt_tickets_hold(amt_tickets_t *tickets);
/* The last holder frees it, and wipes what it holds. */
void amt_tickets_drop(amt_tickets_t *tickets);
/* "amtunlock@EXAMPLE.COM" */
const char *amt_tickets_principal(const amt_tickets_t *tickets);

/* ---- one exchange (one thread at a time) ----------------------------------------------------- */

typedef struct amt_ticket_t amt_ticket_t;

/* Asks the KDC: blocks, for many seconds where it is silent. Never for an event loop's thread. NULL only
 * where memory is out. The caller frees it. */
amt_ticket_t *amt_ticket_make(amt_tickets_t *tickets, const char *fqdn, int port);
void amt_ticket_free(amt_ticket_t *ticket);

/* AMT_OK: there is a token. AMT_NO_TICKET: the KDC is not reached, now. AMT_AUTH_FAILED: it will stay so
 * until somebody repairs it. */
amt_status_e amt_ticket_status(const amt_ticket_t *ticket);
/* Why there is no token. */
const char *amt_ticket_text(const amt_ticket_t *ticket);
/* The token that opens the exchange, at most AMT_TICKET_MAX bytes; the ticket's. */
const unsigned char *amt_ticket_token(const amt_ticket_t *ticket, apr_size_t *length);
/* Whether this answer of the device proves that it holds its key. Asked once; does not block. */
int amt_ticket_proves(amt_ticket_t *ticket, const unsigned char *answer, apr_size_t length);

/* What fits into a request's head, and into what a redirection session may have queued. Firmware's own limit
 * is lower still; accounts in a hundred groups meet it. */
#define AMT_TICKET_MAX 12000

#endif
