/* SPDX-License-Identifier: Apache-2.0 */
/* What all devices of one event loop share. */
#ifndef AMTUNLOCK_AMT_HTTP_LOOP_H
#define AMTUNLOCK_AMT_HTTP_LOOP_H

#include <apr_allocator.h>
#include <curl/curl.h>

#include "amt/amt.h"
#include "amt/http/tls.h"
#include "amt/kerberos/ticket_request.h"

struct amt_loop_t {
    apr_pool_t *pool;
    struct event_base *base;
    struct event *timer;
    CURLM *multi;
    amt_trusts_t *trusts;
    amt_ticket_requests_t *ticket_requests; /* NULL: no threads for tickets */
    apr_memnode_t *spare;   /* memory that a session has only while it sends, kept for the next; or NULL */
    apr_int64_t timer_cost; /* of the timer\'s last turn: microseconds of the thread */
    const void *serving;    /* the socket whose turn it is; NULL: none, or it is gone */
};

/* What CURLOPT_PRIVATE of each handle in `multi` points to: `ended` is called, from the loop, once libcurl is
 * done with the handle, which is then out of `multi`. It may start, end or destroy any device. */
typedef struct {
    void (*ended)(void *baton, CURLcode code);
    void *baton;
} amt_transfer_t;

#endif
