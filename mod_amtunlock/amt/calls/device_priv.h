/* SPDX-License-Identifier: Apache-2.0 */
/* A device: its HTTP connection, the call under way, and what was read from it. */
#ifndef AMTUNLOCK_AMT_CALLS_DEVICE_PRIV_H
#define AMTUNLOCK_AMT_CALLS_DEVICE_PRIV_H

#include "amt/amt.h"
#include "amt/calls/instance_priv.h"
#include "amt/http/http.h"

struct amt_call_t;
struct amt_refusal_t;

struct amt_device_t {
    apr_pool_t *pool;
    amt_loop_t *loop;
    amt_http_t http;
    unsigned int message_id;
    struct amt_call_t *call; /* NULL: idle; else call_space */
    struct amt_call_t *call_space;
    struct event *early; /* ends a call before its first step */
    amt_status_e early_status;
    struct amt_refusal_t *refusals; /* of calls while another was under way */
    amt_instance_t *boot;           /* as read, until it is written */
    amt_instance_t *redirection;
    int needs_consent; /* as AMT_READ_CONSENT found it */
    int denied;        /* the step under way, to this account */
};

/* Writes the device's error message. Returns `status`. */
#define amt_say(device, status, ...) amt_http_say(&(device)->http, (status), __VA_ARGS__)

#endif
