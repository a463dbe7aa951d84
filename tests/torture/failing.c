/* See failing.h. */
#include "failing.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <apr_pools.h>

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

int failing_is_apr(const void *address)
{
    static const void *apr;
    Dl_info info;

    failing_pause();
    if (apr == NULL && dladdr((const void *)(uintptr_t)apr_palloc, &info) != 0) {
        apr = info.dli_fbase;
    }
    int is = dladdr(address, &info) != 0 && info.dli_fbase == apr;
    failing_resume();
    return is;
}

/* glibc's regcomp() frees twice and leaves memory behind where it has none; nothing that we do can mend that.
 * It is called when the worker reads its settings, and nowhere else. */
static int is_within_regcomp(void)
{
    Dl_info info;

    for (int i = 0; i < failing_hit->frame_count; i++) {
        if (dladdr(failing_hit->frames[i], &info) != 0 && info.dli_sname != NULL &&
            strcmp(info.dli_sname, "regcomp") == 0) {
            return 1;
        }
    }
    return 0;
}

static void note(const char *call, const char *way, const void *caller)
{
    failing_hit->is_pool = failing_is_apr(caller);
    snprintf(failing_hit->call, sizeof(failing_hit->call), "%s", call);
    snprintf(failing_hit->way, sizeof(failing_hit->way), "%s", way);
    failing_hit->frame_count = backtrace(failing_hit->frames, FAILING_FRAMES);
    failing_hit->is_lost = is_within_regcomp();
    failing_hit->reached = 1;
}

int failing_way(const char *call, const char *const *names, int ways, const void *caller)
{
    if (!atomic_load(&armed) || paused) {
        return -1;
    }
    long before = atomic_fetch_add(&counted, ways);
    if (target <= before || target > before + ways) {
        return -1;
    }
    int way = (int)(target - before - 1);
    failing_pause();
    note(call, names[way], caller);
    failing_resume();
    return way;
}
