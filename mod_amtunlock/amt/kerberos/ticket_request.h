/* SPDX-License-Identifier: Apache-2.0 */
/* A ticket that is being made on another thread, for the loop's thread, which must not block. Not for other
 * rooms.
 */
#ifndef AMTUNLOCK_AMT_KERBEROS_TICKET_REQUEST_H
#define AMTUNLOCK_AMT_KERBEROS_TICKET_REQUEST_H

#include "amt/amt.h"
#include "amt/kerberos/ticket.h"

typedef struct amt_ticket_request_t amt_ticket_request_t;

/* From the loop, once. The ticket, good or not, is whoever gets it to free; NULL: there was none in time. The
 * errand is gone. */
typedef void (*amt_ticket_request_fn)(void *baton, amt_ticket_t *ticket);

/* Sends for a ticket for HTTP/fqdn:port; `tickets` is held until it is made. Fails where the loop has no
 * threads or memory is out; then `made` is not called. */
apr_status_t amt_ticket_request_begin(amt_ticket_request_t **ticket_request, amt_loop_t *loop,
                                      amt_tickets_t *tickets, const char *fqdn, int port,
                                      apr_interval_time_t timeout, amt_ticket_request_fn made, void *baton);
/* `made` is not called any more. The ticket is freed once it is there. */
void amt_ticket_request_cancel(amt_ticket_request_t *ticket_request);

/* The loop goes: see amt_loop_use_threads(). */
void amt_ticket_requests_forget(amt_loop_t *loop);

#endif
