/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a device may send in a redirection session, from its first byte on. The first byte of an input
 * picks the channel (bit 0: storage), whether login and opening were there already (bit 1), and where the
 * bytes are cut; the second what the connection takes at a time.
 *
 * The link is played here: this file stands in for link.c, and holds the session to its side of the bargain
 * (what it queues must fit).
 */
#include <apr_general.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amt/redirection/console.h"
#include "amt/redirection/event_priv.h"
#include "amt/redirection/ider.h"
#include "amt/redirection/link_priv.h"
#include "amt/redirection/sol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the link -------------------------------------------------------------------------------- */

struct amt_link_t {
    const amt_link_events_t *events;
    void *baton;
    int stopped;
    size_t queued, room;
    unsigned char *out;
};

static amt_link_t *link_now; /* of the session under way */
static size_t sent;

apr_status_t amt_link_open(amt_link_t **link, amt_loop_t *loop, const amt_target_t *target, int port,
                           const char *where, const amt_link_bounds_t *bounds,
                           const amt_link_events_t *events, void *baton, apr_pool_t *pool)
{
    (void)loop;
    (void)target;
    (void)port;
    (void)where;
    *link = link_now = apr_pcalloc(pool, sizeof(**link));
    link_now->room = bounds->room;
    link_now->out = apr_palloc(pool, bounds->room);
    link_now->events = events;
    link_now->baton = baton;
    return APR_SUCCESS;
}

void amt_link_stop(amt_link_t *link)
{
    link->stopped = 1;
}

void amt_link_free(amt_link_t *link)
{
    link->stopped = 1;
    link_now = NULL;
}

int amt_link_is_ready(const amt_link_t *link)
{
    return !link->stopped;
}

const char *amt_link_awaits(const amt_link_t *link)
{
    (void)link;
    return "nothing";
}

apr_size_t amt_link_room(const amt_link_t *link)
{
    return link->room - link->queued;
}

int amt_link_is_sending(const amt_link_t *link)
{
    return link->queued > 0;
}

unsigned char *amt_link_place(amt_link_t *link, apr_size_t length)
{
    if (length > amt_link_room(link)) {
        abort();
    }
    link->queued += length;
    return link->out + link->queued - length;
}

void amt_link_queue(amt_link_t *link, const void *bytes, apr_size_t length)
{
    memcpy(amt_link_place(link, length), bytes, length);
}

void amt_link_flush(amt_link_t *link)
{
    (void)link;
}

void amt_link_again(amt_link_t *link)
{
    (void)link;
}

void amt_link_shut(amt_link_t *link)
{
    (void)link;
}

/* The connection takes everything. */
static void drain(void)
{
    for (int rounds = 0; link_now && !link_now->stopped && link_now->queued && rounds < 4; rounds++) {
        sent += link_now->queued;
        link_now->queued = 0;
        link_now->events->drained(link_now->baton);
    }
}

/* Offers these bytes as link.c does. */
static void offer(const uint8_t *bytes, size_t length, int lazy)
{
    size_t offset = 0;
    int waits = 0;

    while (link_now && !link_now->stopped && offset < length && waits < 100) {
        size_t given = length - offset < AMT_LINK_IN ? length - offset : AMT_LINK_IN;
        size_t taken = amt_link_room(link_now) >= AMT_LINK_RESERVE
                           ? link_now->events->take(link_now->baton, bytes + offset, given)
                           : 0;

        if (taken > given) {
            abort();
        }
        offset += taken;
        waits = taken ? 0 : waits + 1;
        if (!taken || !lazy) {
            size_t before = sent;

            drain();
            if (!taken && sent == before) {
                if (given == AMT_LINK_IN) {
                    abort(); /* nothing that is sent may be longer than what is read ahead */
                }
                return;
            }
        }
    }
}

/* ---- the sessions ---------------------------------------------------------------------------- */

static struct event_base *base;
static amt_loop_t *loop;
static amt_image_t *image;
static int opened, ended;
static amt_console_t *console;

static void on_opened(void *baton)
{
    (void)baton;
    if (++opened > 1) {
        abort();
    }
}

static void on_booting(void *baton)
{
    (void)baton;
}

static void on_received(void *baton, const char *bytes, apr_size_t length)
{
    (void)baton;
    if (!opened || ended) {
        abort();
    }
    amt_console_feed(console, bytes, length);
}

static void on_ended(void *baton, const amt_result_t *result)
{
    (void)baton;
    if (++ended > 1 || (result->status == AMT_OK) != (*result->text == '\0')) {
        abort();
    }
    for (const char *c = result->text; *c; c++) {
        if (*c < ' ' || *c > '~') {
            abort();
        }
    }
}

static apr_pool_t *pool;

static void finish(void)
{
    apr_pool_destroy(pool);
    event_base_free(base);
}

static void set_up(void)
{
    char name[] = "/tmp/amtunlock-fuzz-XXXXXX";
    int fd = mkstemp(name);

    apr_initialize();
    apr_pool_create(&pool, NULL);
    base = event_base_new();
    atexit(finish);
    if (fd < 0 || ftruncate(fd, 64L * AMT_SECTOR) || amt_library_init() != APR_SUCCESS ||
        amt_loop_create(&loop, base, pool) != APR_SUCCESS || amt_image_open(&image, name, pool)) {
        abort();
    }
    close(fd);
    unlink(name);
}

#define LOGIN                                                                                                \
    "\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0"                                                                     \
    "\x14\0\0\0\0\1\0\0\0\4"                                                                                 \
    "\x14\1\0\0\4\x09\0\0\0\1r\1n\4auth"                                                                     \
    "\x14\0\0\0\4\0\0\0\0"
static const char sol_prelude[] = LOGIN "\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const char ider_prelude[] =
    LOGIN "\x41\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\x20\0\x20\0\0\0\0\0\0\0\0\0\0\x49\0\0\0\1\0\0\0\3\1\0\0\0";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const amt_sol_events_t sol_events = {on_opened, on_received, on_ended};
    static const amt_ider_events_t ider_events = {on_opened, on_booting, on_ended};
    static const amt_target_t target = {
        .fqdn = "pc1.example.com", .address = "127.0.0.1", .tls = AMT_TLS_NONE, .user = "u", .password = "p"};
    apr_pool_t *scratch;
    amt_sol_t *sol = NULL;
    amt_ider_t *ider = NULL;
    size_t cut;

    if (!base) {
        set_up();
    }
    if (size < 2) {
        return 0;
    }
    opened = ended = 0;
    sent = 0;
    apr_pool_create(&scratch, pool);
    console = amt_console_create(NULL, NULL, scratch);
    if ((data[0] & 1 ? amt_ider_open(&ider, loop, &target, image, NULL, &ider_events, NULL, scratch)
                     : amt_sol_open(&sol, loop, &target, &sol_events, NULL, scratch)) != APR_SUCCESS) {
        abort();
    }
    link_now->events->ready(link_now->baton);
    if (data[0] & 2) {
        offer((const uint8_t *)(data[0] & 1 ? ider_prelude : sol_prelude),
              data[0] & 1 ? sizeof(ider_prelude) - 1 : sizeof(sol_prelude) - 1, 0);
        if (!opened) {
            abort();
        }
    }
    cut = data[0] & 4 ? 2 + (size_t)(data[0] >> 3) : size;
    cut = cut < size ? cut : size;
    offer(data + 2, cut - 2, data[1] & 1);
    if (cut < size && link_now && !link_now->stopped) {
        drain();
        offer(data + cut, size - cut, data[1] & 1);
    }
    event_base_loop(base, EVLOOP_NONBLOCK);
    if (link_now && link_now->stopped != ended) {
        abort(); /* a session that stopped tells it, and no other does */
    }
    if (ider) {
        amt_ider_destroy(ider);
    }
    if (sol) {
        amt_sol_destroy(sol);
    }
    apr_pool_destroy(scratch);
    return 0;
}
