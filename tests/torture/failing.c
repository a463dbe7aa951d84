/* SPDX-License-Identifier: Apache-2.0 */
/* See failing.h. */
#include "failing.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <apr_pools.h>
#include <jansson.h>

failing_hit_t *failing_hit;

static atomic_int armed;
static atomic_long counted;
static long target;
static _Thread_local int paused;

void failing_begin(long number)
{
    target = number;
    atomic_store(&counted, 0);
    atomic_store(&armed, 1);
}

long failing_end(void)
{
    atomic_store(&armed, 0);
    return atomic_load(&counted);
}

void failing_pause(void)
{
    paused++;
}

void failing_resume(void)
{
    paused--;
}

/* Of the library or program that this address lies in; NULL: of none. */
static const void *base_of(const void *address)
{
    Dl_info info;
    const void *base;

    failing_pause();
    base = dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
    failing_resume();
    return base;
}

int failing_is_apr(const void *address)
{
    static const void *apr;

    if (apr == NULL) {
        apr = base_of((const void *)(uintptr_t)apr_palloc);
    }
    return base_of(address) == apr;
}

/* jansson asks through base/oom.c, so it is the caller's caller. */
static int is_for_jansson(const void *caller)
{
    const void *jansson = base_of((const void *)(uintptr_t)json_object);

    for (int i = 0; i + 1 < failing_hit->frame_count; i++) {
        if (failing_hit->frames[i] == caller) {
            return base_of(failing_hit->frames[i + 1]) == jansson;
        }
    }
    return 0;
}

/* Debian 12: glibc 2.36, libxml2 2.9.14, libcurl 7.88. regcomp() is called when the worker reads its
 * settings. A name that libxml2 has no memory for is none to it, and the envelope not well-formed. libcurl
 * keeps a socket for whose table of transfers it has no memory, and later divides by the size of that table.
 */
static const struct {
    const char *function;
    int lost;
} library_faults[] = {
    {"regcomp", FAILING_LOST_CRASHES | FAILING_LOST_LEAKS}, {"xmlTextWriterStartElement", FAILING_LOST_LEAKS},
    {"xmlTextWriterStartElementNS", FAILING_LOST_LEAKS},    {"xmlDictLookup", FAILING_LOST_ACCUSES},
    {"curl_multi_socket_action", FAILING_LOST_DIVIDES},
};

static int library_faults_of(const void *frame)
{
    Dl_info info;

    if (dladdr(frame, &info) == 0 || info.dli_sname == NULL) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(library_faults) / sizeof(library_faults[0]); i++) {
        if (strcmp(info.dli_sname, library_faults[i].function) == 0) {
            return library_faults[i].lost;
        }
    }
    return 0;
}

static void note(const char *call, const char *way, const void *caller)
{
    snprintf(failing_hit->call, sizeof(failing_hit->call), "%s", call);
    snprintf(failing_hit->way, sizeof(failing_hit->way), "%s", way);
    failing_hit->frame_count = backtrace(failing_hit->frames, FAILING_FRAMES);
    for (int i = 0; i < failing_hit->frame_count; i++) {
        failing_hit->lost |= library_faults_of(failing_hit->frames[i]);
    }
    failing_hit->may_end = failing_is_apr(caller) || is_for_jansson(caller);
    failing_hit->reached = 1;
}

int failing_way(const char *call, const char *const *names, int ways, const void *caller)
{
    long before;
    int way;

    if (!atomic_load(&armed) || paused) {
        return -1;
    }
    before = atomic_fetch_add(&counted, ways);
    if (target <= before || target > before + ways) {
        return -1;
    }
    way = (int)(target - before - 1);
    failing_pause();
    note(call, names[way], caller);
    failing_resume();
    return way;
}
