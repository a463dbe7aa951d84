/* SPDX-License-Identifier: Apache-2.0 */
/* Serial-over-LAN: the PC's serial console through AMT's redirection ports (16994 plain, 16995 TLS).
 *
 * A session lives in an amt_loop_t's thread and ends in exactly one `ended`, unless it was destroyed first.
 * The device is not trusted: every length is checked, every read bounded, sequence numbers compared.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_SOL_H
#define AMTUNLOCK_AMT_REDIRECTION_SOL_H

#include "amt/amt.h"

typedef struct amt_sol_t amt_sol_t;

typedef struct {
    /* The console is open: what the PC writes from now on is received, what is sent reaches it. */
    void (*opened)(void *baton);
    /* Bytes as the PC's serial port wrote them; any cut, any content. Valid during the call. */
    void (*received)(void *baton, const char *bytes, apr_size_t length);
    /* AMT_OK: closed by amt_sol_close(). AMT_BUSY: another console holds the session. */
    void (*ended)(void *baton, const amt_result_t *result);
} amt_sol_events_t;

/* Connects, authenticates and opens. Uses fqdn, address, tls, pin, ca_file, user (at most 255 bytes),
 * password and connect_timeout of the target, and call_timeout for what lies between the connection and
 * `opened`, under the lifetimes of amt_device_create(). APR_EINVAL for a target that cannot be; then there is
 * no session. */
apr_status_t amt_sol_open(amt_sol_t **sol, amt_loop_t *loop, const amt_target_t *target,
                          const amt_sol_events_t *events, void *baton, apr_pool_t *pool);

/* Most bytes of one amt_sol_send(). */
#define AMT_SOL_SEND 2048

/* Types bytes, once; the gate (may be NULL) is asked right before they leave, and the copies are wiped.
 * APR_EBUSY if the session is not open, does not take so much now, or the gate is closed, APR_EINVAL for none
 * or too many: then nothing was sent. */
apr_status_t amt_sol_send(amt_sol_t *sol, const char *bytes, apr_size_t length, amt_gate_fn gate,
                          void *gate_baton);

/* Whether the PC has power, as the device said last: 1, 0, or -1 while it has not. */
int amt_sol_powered(const amt_sol_t *sol);
/* 1 if the PC's serial port did at some time not take all that was typed. */
int amt_sol_lost(const amt_sol_t *sol);

/* Ends the session as the protocol wants it; `ended` follows (within 2 s, whatever the device does). */
void amt_sol_close(amt_sol_t *sol);
/* At once, without `ended`. */
void amt_sol_destroy(amt_sol_t *sol);

#endif
