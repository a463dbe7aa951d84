/* SPDX-License-Identifier: Apache-2.0 */
/* Kerberos over HTTP (RFC 4559): an exchange that carries a ticket's token. libcurl's own Negotiate cannot
 * name a service with its port, and would keep its credentials elsewhere; so the header is ours.
 *
 * A connection is opened with one token and stays authenticated over TLS; without TLS each request has a
 * token of its own. No request leaves on a new connection without one, so no body that acts is spent on a
 * challenge.
 */
#ifndef AMTUNLOCK_AMT_HTTP_NEGOTIATE_PRIV_H
#define AMTUNLOCK_AMT_HTTP_NEGOTIATE_PRIV_H

#include "amt/http/http.h"

/* ---- before ---------------------------------------------------------------------------------- */

/* Called from the loop. AMT_OK: the exchange can start, with the token's header; else http->text says why
 * not. */
typedef void (*amt_negotiate_fn)(amt_http_t *http, amt_status_e status);

/* The next request needs a token. */
int amt_negotiate_needs_ticket(const amt_http_t *http);
/* Asks for a ticket. `ready` is not called where this fails. */
apr_status_t amt_negotiate_begin(amt_http_t *http, amt_negotiate_fn ready);
/* Options of the transfer, with the token's header where there is one. */
CURLcode amt_negotiate_set_options(amt_http_t *http);

/* ---- after ----------------------------------------------------------------------------------- */

/* Remembers what a header line says of authentication. */
void amt_negotiate_take_header(amt_exchange_t *exchange, const char *line, apr_size_t length);
/* True if the exchange must begin once more, with a new ticket: the connection turned out to be new, or a 401
 * refused the ticket, once. */
int amt_negotiate_wants_again(const amt_http_t *http, CURLcode code);
/* AMT_OK, or AMT_AUTH_FAILED with an error message where the device did not prove itself. Then the token is
 * spent. */
amt_status_e amt_negotiate_judge(amt_http_t *http);
/* The device refused the ticket. */
amt_status_e amt_negotiate_say_refused(amt_http_t *http);

#endif
