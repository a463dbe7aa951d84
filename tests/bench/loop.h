/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface over epoll: as little as a program can do that has many exchanges under way. */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <curl/curl.h>

typedef struct loop_t {
    CURLM *multi;
    int epoll;
    double due; /* when libcurl wants to be called although nothing was heard; below 0: it does not */
    void (*done)(CURL *easy, CURLcode result);
} loop_t;

/* Seconds of CLOCK_MONOTONIC. */
double loop_clock(void);

/* CPU seconds of this process. */
double loop_cpu(void);

/* Each exchange that ends is reported to done(), which may begin others. Without memory or files the process ends. */
void loop_init(loop_t *loop, void (*done)(CURL *easy, CURLcode result));

void loop_begin(loop_t *loop, CURL *easy);

/* Waits for something to do until that moment at most, and does it. */
void loop_turn(loop_t *loop, double until);

/* One exchange, from whichever easy handle: POST of a body (NULL: GET), whose answer is counted and thrown away. The
 * body is not copied. */
CURL *loop_exchange(const char *url, const char *ca, const char *body, long size);

/* The headers of such a POST, and one more (NULL: no more). Whoever asks for more frees them. */
struct curl_slist *loop_headers(const char *more);

/* What one of the command line's numbers is: ends the process with a word about it where it is not one of 0 to max. */
long loop_number(const char *name, const char *text, long max);

/* Says why, and ends the process with status 2. */
__attribute__((noreturn, format(printf, 1, 2))) void loop_die(const char *format, ...);

#endif
