/* SPDX-License-Identifier: Apache-2.0 */
/* Kerberos over HTTP (RFC 4559): an exchange that carries a ticket's token. libcurl's own Negotiate cannot
 * name a service with its port, and would keep its credentials elsewhere; so the header is ours. Not for
 * other rooms.
 *
 * A connection is opened with one token and stays authenticated over TLS; without TLS each request has a
 * token of its own. No request leaves on a new connection without one, so no body that acts is spent on a
 * challenge.
 */
#ifndef AMTUNLOCK_AMT_HTTP_NEGOTIATE_PRIV_H
#define AMTUNLOCK_AMT_HTTP_NEGOTIATE_PRIV_H

#include "amt/http/device.h"

/* The device's account is a Kerberos account. */
int amt_negotiate_is_for(const amt_device_t *device);

/* ---- before ---------------------------------------------------------------------------------- */

/* The next request needs a token. */
int amt_negotiate_needs_ticket(const amt_device_t *device);
/* Sends for a ticket, then starts the exchange; where there is none, ends it by its `done`, from the loop. */
apr_status_t amt_negotiate_begin(amt_device_t *device);
/* Options of the transfer, with the token's header where there is one. */
CURLcode amt_negotiate_set_options(amt_device_t *device);

/* ---- after ----------------------------------------------------------------------------------- */

/* Remembers what a header line says of authentication. */
void amt_negotiate_take_header(amt_exchange_t *exchange, const char *line, apr_size_t length);
/* True if the exchange begins once more: the connection turned out to be new, or a 401 asks for a new ticket,
 * once. */
int amt_negotiate_begin_again(amt_device_t *device, CURLcode code);
/* AMT_OK, or AMT_AUTH_FAILED with a sentence where the device did not prove itself. Then the token is spent.
 */
amt_status_e amt_negotiate_judge(amt_device_t *device);
/* The device refused the ticket. */
amt_status_e amt_negotiate_say_refused(amt_device_t *device);

/* The device goes, or the exchange is over. */
void amt_negotiate_drop(amt_device_t *device);

#endif
