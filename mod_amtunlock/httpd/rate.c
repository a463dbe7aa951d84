/* SPDX-License-Identifier: Apache-2.0 */
/* A caller has a place in a table: the time until which what it has sent is paid for. Each request moves it on by what
 * it costs, and none may move it further ahead of now than WINDOW. One word for each place, changed by compare and
 * swap: no lock that a child could die with. Two callers may share a place; which ones, nobody can choose. */
#include "httpd/rate_priv.h"

#include <apr_atomic.h>
#include <apr_general.h>
#include <apr_lib.h>
#include <apr_shm.h>

#include "base/clock.h"

#define PLACES 65536
#define WINDOW apr_time_from_sec(10)
#define FNV_PRIME APR_UINT64_C(1099511628211)

static volatile apr_uint64_t *places; /* by clock_boottime() */
static apr_uint64_t seed;

apr_status_t amtunlock_rate_create(apr_pool_t *pconf)
{
    apr_shm_t *shared = NULL;
    apr_status_t status = apr_generate_random_bytes((unsigned char *)&seed, sizeof(seed));

    if (status == APR_SUCCESS) {
        status = apr_shm_create(&shared, PLACES * sizeof(*places), NULL, pconf);
    }
    places =
        status == APR_SUCCESS ? apr_shm_baseaddr_get(shared) : apr_pcalloc(pconf, PLACES * sizeof(*places));
    return status;
}

/* Where limits differ, so do the places: what was sent where little may be is not held against it elsewhere. Where names
 * only differ by case they have one place: to a directory that ignores case they are one account. */
static volatile apr_uint64_t *place_of(const char *caller, int per_second)
{
    apr_uint64_t hash = (seed ^ (apr_uint64_t)per_second) * FNV_PRIME;

    for (const char *c = caller; *c; c++) {
        hash = (hash ^ (unsigned char)apr_tolower(*c)) * FNV_PRIME;
    }
    return &places[(hash ^ (hash >> 32)) % PLACES];
}

int amtunlock_rate_take(const char *caller, int per_second, int cost, int done)
{
    volatile apr_uint64_t *place = place_of(caller, per_second);
    apr_uint64_t old, till, now = (apr_uint64_t)clock_boottime();
    apr_uint64_t step =
        per_second > 0 ? (apr_uint64_t)APR_USEC_PER_SEC * (apr_uint64_t)cost / (apr_uint64_t)per_second : 0;

    if (per_second <= 0 || places == NULL) {
        return 0;
    }
    if (step > WINDOW) {
        step = WINDOW; /* a request of any size can be sent by who has sent nothing for a while */
    }
    do {
        old = apr_atomic_read64(place);
        till = (old > now ? old : now) + step;
        if (till > now + WINDOW && !done) {
            return (int)((till - now - WINDOW) / APR_USEC_PER_SEC) + 1;
        }
        if (till > now + 2 * WINDOW) {
            till = now + 2 * WINDOW;
        }
    } while (apr_atomic_cas64(place, till, old) != old);
    return 0;
}
