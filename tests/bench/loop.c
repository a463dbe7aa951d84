/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define CONNECTIONS_MAX 100000L
#define EXCHANGE_SECONDS 60L

void loop_die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

long loop_number(const char *name, const char *text, long max)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 0 || value > max) {
        loop_die("--%s %s: expected a number from 0 to %ld", name, text, max);
    }
    return value;
}

double loop_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double loop_cpu(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* ---- what libcurl asks for ------------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *baton, void *known)
{
    static char watched;
    loop_t *loop = baton;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd,
                  NULL); /* it may be closed by now, and then is gone from there */
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    if (epoll_ctl(loop->epoll, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) {
        loop_die("a socket cannot be watched: %s", strerror(errno));
    }
    curl_multi_assign(loop->multi, fd, &watched);
    return 0;
}

static int on_timer(CURLM *multi, long milliseconds, void *baton)
{
    loop_t *loop = baton;

    (void)multi;
    loop->due = milliseconds < 0 ? -1 : loop_clock() + (double)milliseconds / 1000;
    return 0;
}

/* ---- the loop -------------------------------------------------------------------------------- */

void loop_init(loop_t *loop, void (*done)(CURL *easy, CURLcode result))
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        loop_die("libcurl does not begin");
    }
    loop->multi = curl_multi_init();
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->due = -1;
    loop->done = done;
    if (loop->multi == NULL || loop->epoll < 0) {
        loop_die("no memory, or no files, for a loop");
    }
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
}

void loop_begin(loop_t *loop, CURL *easy)
{
    CURLMcode result = curl_multi_add_handle(loop->multi, easy);

    if (result != CURLM_OK) {
        loop_die("an exchange does not begin: %s", curl_multi_strerror(result));
    }
}

static void end_exchanges(loop_t *loop)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;

        curl_multi_remove_handle(loop->multi, easy);
        loop->done(easy, result);
    }
}

void loop_turn(loop_t *loop, double until)
{
    struct epoll_event events[EVENTS_MAX];
    double wait = (loop->due >= 0 && loop->due < until ? loop->due : until) - loop_clock();
    int running;
    int count = epoll_wait(loop->epoll, events, EVENTS_MAX, wait > 0 ? (int)(wait * 1000) + 1 : 0);

    for (int i = 0; i < count; i++) {
        int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

        curl_multi_socket_action(loop->multi, events[i].data.fd, what, &running);
    }
    if (loop->due >= 0 && loop->due <= loop_clock()) {
        loop->due = -1;
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    end_exchanges(loop);
}

/* ---- exchanges ------------------------------------------------------------------------------- */

static size_t discard(const char *data, size_t size, size_t count, void *baton)
{
    (void)data;
    (void)baton;
    return size * count;
}

struct curl_slist *loop_headers(const char *more)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/soap+xml;charset=UTF-8");

    headers = headers != NULL ? curl_slist_append(headers, "Expect:") : NULL;
    headers = headers != NULL && more != NULL ? curl_slist_append(headers, more) : headers;
    if (headers == NULL) {
        loop_die("no memory for an exchange");
    }
    return headers;
}

CURL *loop_exchange(const char *url, const char *ca, const char *body, long size)
{
    static struct curl_slist *headers = NULL;
    CURL *easy = curl_easy_init();

    if (headers == NULL) {
        headers = loop_headers(NULL);
    }
    if (easy == NULL) {
        loop_die("no memory for an exchange");
    }
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, EXCHANGE_SECONDS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    if (body != NULL) {
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, size);
    }
    return easy;
}
