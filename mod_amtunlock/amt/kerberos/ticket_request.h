/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets for an event loop, which must not block: each is made on another thread. */
#ifndef AMTUNLOCK_AMT_KERBEROS_TICKET_REQUEST_H
#define AMTUNLOCK_AMT_KERBEROS_TICKET_REQUEST_H

#include "amt/amt.h"
#include "amt/kerberos/ticket.h"

/* All requests of one loop. */
typedef struct amt_ticket_requests_t amt_ticket_requests_t;
typedef struct amt_ticket_request_t amt_ticket_request_t;

/* Called from the loop, once; the request is freed by then. The callee frees the ticket, good or not. NULL:
 * the KDC did not answer in time. */
typedef void (*amt_ticket_request_fn)(void *baton, amt_ticket_t *ticket);

/* Has tickets made by `run`, see amt_loop_use_threads(). Destroyed with `pool`. */
apr_status_t amt_ticket_requests_create(amt_ticket_requests_t **requests, struct event_base *base,
                                        amt_run_fn run, void *runner, apr_pool_t *pool);

/* Asks for a ticket for HTTP/FQDN:port of this target, whose tickets are held until it is made. The target's
 * call_timeout counts from when a thread begins; what has no thread after AMT_TICKET_TURN ends with a ticket
 * that says so. APR_ENOTIMPL where `requests` is NULL, APR_ENOMEM, or what `run` returned; then `done` is not
 * called. */
apr_status_t amt_ticket_request_begin(amt_ticket_request_t **request, amt_ticket_requests_t *requests,
                                      const amt_target_t *target, int port, amt_ticket_request_fn done,
                                      void *baton);
#define AMT_TICKET_TURN apr_time_from_sec(9)
/* `done` is not called any more. The ticket is freed once it is made. */
void amt_ticket_request_cancel(amt_ticket_request_t *request);

#endif
