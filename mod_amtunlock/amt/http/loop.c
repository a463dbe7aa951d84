/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi_socket interface on libevent: libcurl names the sockets and the timer that it waits for,
 * the event loop reports when they are ready. */
#include "amt/http/loop.h"

#include <stdlib.h>
#include <time.h>

#include "amt/http/pace.h"
#include "amt/http/trust_priv.h"

#define RETRY_MS 100

/* Callbacks of one pass, and how long it may last; then timers and sockets are asked again. */
enum { PASS_CALLBACKS = 64, PASS_MICROSECONDS = 10000 };

/* A turn reads a few KB, or a record of TLS; an answer takes some twenty. What a turn costs depends on what the device
 * makes of it, so a dear one counts as several: a device has a quarter of the thread. */
static const amt_pace_limits_t socket_limits = {.turns = 500, .bytes = 1 << 30};
#define TURN_COSTS 500 /* microseconds of the thread */
#define TIMER_SHARE 3

/* A socket of libcurl's. */
typedef struct {
    amt_loop_t *loop;
    struct event *ready;
    struct event *rested;
    amt_pace_t pace;
    unsigned int turns; /* that the turn before counts as */
} watch_t;

struct event_base *amt_loop_base_create(void)
{
    static const struct timeval pass = {.tv_usec = PASS_MICROSECONDS};
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config != NULL && event_config_set_max_dispatch_interval(config, &pass, PASS_CALLBACKS, 0) == 0) {
        base = event_base_new_with_config(config);
    }
    if (config != NULL) {
        event_config_free(config);
    }
    if (base != NULL && event_base_priority_init(base, 2) != 0) {
        event_base_free(base);
        base = NULL;
    }
    return base;
}

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
 * would end all transfers of the loop. libcurl goes on reading by its timer, whatever the socket's rest: it waits for a
 * multiple of what it spent. */
static int set_timer(CURLM *multi, long milliseconds, void *baton)
{
    amt_loop_t *loop = baton;
    struct timeval interval;
    apr_int64_t after;

    (void)multi;
    if (milliseconds < 0) {
        return event_del(loop->timer);
    }
    after = apr_time_from_msec(milliseconds) > TIMER_SHARE * loop->timer_cost
                ? apr_time_from_msec(milliseconds)
                : TIMER_SHARE * loop->timer_cost;
    interval = (struct timeval){(time_t)apr_time_sec(after), (suseconds_t)apr_time_usec(after)};
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

/* A device that never lets its socket rest is left alone for a moment. */
static void rest_socket(watch_t *watch)
{
    apr_interval_time_t rest = 0;
    struct timeval interval;

    amt_pace_spend(&watch->pace, &socket_limits, watch->turns, 0);
    rest = amt_pace_rest(&watch->pace);
    interval = (struct timeval){(time_t)apr_time_sec(rest), (suseconds_t)apr_time_usec(rest)};
    if (rest > 0 && event_add(watch->rested, &interval) == 0) {
        event_del(watch->ready);
    }
}

/* Microseconds that this thread has had of a processor. */
static apr_int64_t thread_time(void)
{
    struct timespec spent = {0};

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (apr_int64_t)spent.tv_sec * APR_USEC_PER_SEC + spent.tv_nsec / 1000;
}

static void on_socket(evutil_socket_t fd, short what, void *baton)
{
    watch_t *watch = baton;
    amt_loop_t *loop = watch->loop;
    apr_int64_t before = thread_time();
    int mask = ((what & EV_READ) ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) ? CURL_CSELECT_OUT : 0);

    rest_socket(watch);
    loop->serving = watch;
    run_transfers(loop, fd, mask); /* may free the watch */
    if (loop->serving == watch) {
        watch->turns = 1 + (unsigned int)((thread_time() - before) / TURN_COSTS);
    }
}

static void on_rested(evutil_socket_t fd, short what, void *baton)
{
    watch_t *watch = baton;

    (void)fd;
    (void)what;
    event_add(watch->ready, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *baton)
{
    amt_loop_t *loop = baton;
    apr_int64_t before = thread_time();

    (void)fd;
    (void)what;
    loop->serving = NULL;
    run_transfers(loop, CURL_SOCKET_TIMEOUT, 0);
    loop->timer_cost = thread_time() - before;
}

static void free_watch(watch_t *watch)
{
    if (watch == NULL) {
        return;
    }
    if (watch->loop->serving == watch) {
        watch->loop->serving = NULL;
    }
    if (watch->ready != NULL) {
        event_free(watch->ready);
    }
    if (watch->rested != NULL) {
        event_free(watch->rested);
    }
    free(watch);
}

/* NULL: memory is out, and the socket is not watched; that transfer alone ends, by its time limit. */
static watch_t *create_watch(amt_loop_t *loop, curl_socket_t fd)
{
    watch_t *watch = calloc(1, sizeof(*watch));

    if (watch == NULL) {
        return NULL;
    }
    watch->loop = loop;
    watch->ready = event_new(loop->base, fd, 0, on_socket, watch);
    watch->rested = evtimer_new(loop->base, on_rested, watch);
    if (watch->ready != NULL && watch->rested != NULL &&
        curl_multi_assign(loop->multi, fd, watch) == CURLM_OK) {
        return watch;
    }
    free_watch(watch);
    return NULL;
}

static void await_socket(watch_t *watch, curl_socket_t fd, int what)
{
    short wanted = EV_PERSIST;

    wanted |= (what & CURL_POLL_IN) ? EV_READ : 0;
    wanted |= (what & CURL_POLL_OUT) ? EV_WRITE : 0;
    event_del(watch->ready);
    event_assign(watch->ready, watch->loop->base, fd, wanted, on_socket, watch);
    if (!evtimer_pending(watch->rested, NULL)) {
        event_add(watch->ready, NULL);
    }
}

/* CURLMOPT_SOCKETFUNCTION; `kept` is what curl_multi_assign() kept for this socket. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *baton, void *kept)
{
    amt_loop_t *loop = baton;
    watch_t *watch = kept;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        curl_multi_assign(loop->multi, fd, NULL);
        free_watch(watch);
        return 0;
    }
    watch = watch != NULL ? watch : create_watch(loop, fd);
    if (watch != NULL) {
        await_socket(watch, fd, what);
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
    if (loop->spare != NULL) {
        apr_allocator_free(apr_pool_allocator_get(loop->pool), loop->spare);
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
