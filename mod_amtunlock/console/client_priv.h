/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the command: one connection to the service, envelopes in and out (libcurl, SPNEGO by ticket). */
#ifndef AMTUNLOCK_CONSOLE_CLIENT_PRIV_H
#define AMTUNLOCK_CONSOLE_CLIENT_PRIV_H

#include "console/console_priv.h"
#include "wsman/envelope.h"
#include "wsman/writer.h"

typedef struct console_client_t console_client_t;

/* One a process. Closed with `pool`. */
const console_problem_t *console_client_create(console_client_t **client, const console_t *console,
                                               const console_options_t *options, apr_pool_t *pool);

/* Begins a request in *writer with its s:Body open; action NULL for Identify. */
wsman_writer_t *console_client_begin(const console_client_t *client, const char *action,
                                     const char *resource_uri, const wsman_selector_t *selectors,
                                     apr_pool_t *pool);

/* Sends what was written and reads the answer. NULL and *answer (never a fault), or what went wrong. */
const console_problem_t *console_client_send(console_client_t *client, wsman_writer_t *writer,
                                             const wsman_envelope_t **answer, apr_pool_t *pool);

/* The same for a request that changes something. Where no answer says whether it was carried out, the same
 * message is sent again and again for a minute, which the service takes for one request; `again`: it was.
 * CONSOLE_UNKNOWN where that does not help. */
const console_problem_t *console_client_change(console_client_t *client, wsman_writer_t *writer,
                                               const wsman_envelope_t **answer, int *again, apr_pool_t *pool);

#endif
