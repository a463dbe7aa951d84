/* SPDX-License-Identifier: Apache-2.0 */
/* Kerberos tickets for AMT: one account, known by its key in a keytab, and for each connection a SPNEGO
 * exchange of its own with HTTP/FQDN:PORT (for AMT the port is part of the name, for every port).
 *
 * Only krb5.conf is the system's: KRB5CCNAME and the default keytab are ignored, and every credential is held
 * in a MEMORY: cache of this process. The ticket-granting ticket is shared, and renewed from the keytab long
 * before it ends. Tickets for devices are not kept: a device that was set up again refuses older ones.
 */
#ifndef AMTUNLOCK_AMT_KERBEROS_TICKET_H
#define AMTUNLOCK_AMT_KERBEROS_TICKET_H

#include "amt/amt.h"

/* ---- the account (any thread) ---------------------------------------------------------------- */

/* Reads the keytab (an absolute path), asks no KDC. `principal` NULL: the only one in the keytab. Returns
 * NULL, and the caller holds *tickets; or an error message in `pool`: the keytab is unreadable, owned by
 * another user, open to others or without the principal. */
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
/* None was asked for, since no thread was free for it: its text says so. NULL where memory is out. */
amt_ticket_t *amt_ticket_without_turn(const char *fqdn);
void amt_ticket_free(amt_ticket_t *ticket);

/* AMT_OK: there is a token. AMT_NO_TICKET: the KDC cannot be reached now. AMT_AUTH_FAILED: an error that
 * stays until it is repaired. */
amt_status_e amt_ticket_status(const amt_ticket_t *ticket);
/* Why there is no token. */
const char *amt_ticket_text(const amt_ticket_t *ticket);
/* The token that opens the exchange, at most AMT_TICKET_MAX bytes; the ticket's. */
const unsigned char *amt_ticket_token(const amt_ticket_t *ticket, apr_size_t *length);
/* Whether this answer of the device proves that it holds its key. Asked once; does not block. */
int amt_ticket_proves(amt_ticket_t *ticket, const unsigned char *answer, apr_size_t length);

/* Fits into a request's headers, and into what a redirection session can queue. Firmware's own limit is
 * lower; an account in a hundred groups exceeds it. */
#define AMT_TICKET_MAX 12000

#endif
