/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi_socket interface on libevent: libcurl names the sockets and the timer that it waits for,
 * the event loop reports when they are ready. */
#include "amt/http/loop.h"
#include "amt/http/trust_priv.h"

#define RETRY_MS 100

/* Ends transfers that libcurl is done with. A callback may start, end or destroy devices, so the list is read
 * again each time. */
static void reap_transfers(amt_loop_t *loop)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(loop->multi, &left))) {
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        amt_transfer_t *transfer = NULL;

        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&transfer);
        curl_multi_remove_handle(loop->multi, easy);
        transfer->ended(transfer->baton, code);
    }
}

/* CURLMOPT_TIMERFUNCTION. Zero too goes through the loop: nothing ends inside the call that began it. Without
 * memory for the timer it fires at once, and libcurl asks for it again. A failure here, or in watch_socket(),
 * would end all transfers of the loop. */
static int set_timer(CURLM *multi, long milliseconds, void *baton)
{
    amt_loop_t *loop = baton;
    struct timeval interval;

    (void)multi;
    if (milliseconds < 0) {
        return event_del(loop->timer);
    }
    interval.tv_sec = milliseconds / 1000;
    interval.tv_usec = milliseconds % 1000 * 1000;
    if (event_add(loop->timer, &interval) != 0) {
        event_active(loop->timer, EV_TIMEOUT, 1);
    }
    return 0;
}

/* If libcurl runs out of memory it sets no timer, and its transfers would wait for ever: retried soon. */
static void run_transfers(amt_loop_t *loop, curl_socket_t fd, int mask)
{
    int running;

    if (curl_multi_socket_action(loop->multi, fd, mask, &running) != CURLM_OK) {
        set_timer(loop->multi, RETRY_MS, loop);
    }
    reap_transfers(loop);
}

static void on_socket(evutil_socket_t fd, short what, void *baton)
{
    int mask = ((what & EV_READ) ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0);

    run_transfers(baton, fd, mask);
}

static void on_timer(evutil_socket_t fd, short what, void *baton)
{
    (void)fd;
    (void)what;
    run_transfers(baton, CURL_SOCKET_TIMEOUT, 0);
}

/* CURLMOPT_SOCKETFUNCTION; `watch` is what curl_multi_assign() kept for this socket. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *baton, void *watch)
{
    amt_loop_t *loop = baton;
    struct event *event = watch;
    short wanted = EV_PERSIST;

    (void)easy;
    if (event != NULL) {
        event_free(event);
        curl_multi_assign(loop->multi, fd, NULL);
    }
    if (what == CURL_POLL_REMOVE) {
        return 0;
    }
    wanted |= (what & CURL_POLL_IN) ? EV_READ : 0;
    wanted |= (what & CURL_POLL_OUT) ? EV_WRITE : 0;
    event = event_new(loop->base, fd, wanted, on_socket, loop);
    if (event == NULL || event_add(event, NULL) || curl_multi_assign(loop->multi, fd, event) != CURLM_OK) {
        if (event != NULL) {
            event_free(event);
        }
        return 0; /* the socket is not watched: this transfer alone ends, by its time limit */
    }
    return 0;
}

static apr_status_t loop_cleanup(void *baton)
{
    amt_loop_t *loop = baton;

    if (loop->multi != NULL) {
        curl_multi_cleanup(loop->multi);
    }
    if (loop->timer != NULL) {
        event_free(loop->timer);
    }
    return APR_SUCCESS;
}

apr_status_t amt_loop_create(amt_loop_t **out, struct event_base *base, apr_pool_t *pool)
{
    amt_loop_t *loop = apr_pcalloc(pool, sizeof(*loop));

    loop->pool = pool;
    loop->base = base;
    loop->trusts = amt_trusts_create(pool);
    loop->timer = evtimer_new(base, on_timer, loop);
    loop->multi = curl_multi_init();
    apr_pool_cleanup_register(pool, loop, loop_cleanup, apr_pool_cleanup_null);
    if (loop->timer == NULL || loop->multi == NULL) {
        return APR_ENOMEM;
    }
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    /* Each device has a connection cache of its own (its share), in which this many stay open. */
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, 1L);
    curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    *out = loop;
    return APR_SUCCESS;
}

apr_status_t amt_loop_use_threads(amt_loop_t *loop, amt_run_fn run, void *runner)
{
    return amt_ticket_requests_create(&loop->ticket_requests, loop->base, run, runner, loop->pool);
}
