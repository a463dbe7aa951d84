/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/lease.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/oom.h"
#include "base/wakeup.h"

#define RENEW_EVERY (JOBS_LEASE / 3)
/* After Redis did not answer, as before its library is loaded: soon enough for a lease that was given meanwhile. */
#define AGAIN_MOST apr_time_from_sec(1)
#define RENEW_AGAIN (RENEW_EVERY < AGAIN_MOST ? RENEW_EVERY : AGAIN_MOST)
/* The heartbeat: httpd says that no worker is running when it hears none for nine seconds. */
#define BEAT_MOST apr_time_from_sec(3)
#define BEAT_EVERY (JOBS_LEASE / 10 < BEAT_MOST ? JOBS_LEASE / 10 : BEAT_MOST)
#define REDIS_TIMEOUT apr_time_from_sec(3)
#define ABOUT_MAX 400

struct leases_t {
    apr_thread_mutex_t *lock; /* guards the ring and `round` of its leases; never held during a call */
    APR_RING_HEAD(leases_ring_t, lease_t) ring;
    unsigned int round;
    wakeup_t wakeup;
    atomic_int stopping;
    pulse_t pulse;
    apr_pool_t *pool;
    apr_thread_t *thread;
    jobs_client_t *connection;
    const char *worker;
    leases_about_fn about;
    void *baton;
    apr_time_t due; /* the next renewal, by clock_boottime() */
    int worked;     /* a renewal was answered at least once */
    int silent;     /* the last was not answered; logged once */
    int left_out;   /* of the last renewal: leases whose engine stands still */
    int stood;      /* that was logged */
};

void leases_add(leases_t *leases, lease_t *lease, const jobs_task_t *task, const pulse_t *engine)
{
    lease->engine = engine;
    lease->engine_seen = 0;
    lease->task = task->ref;
    atomic_init(&lease->until, task->lease_until);
    atomic_init(&lease->lost, 0);
    apr_thread_mutex_lock(leases->lock);
    lease->round = leases->round - 1; /* no renewal under way names it */
    APR_RING_INSERT_TAIL(&leases->ring, lease, lease_t, link);
    apr_thread_mutex_unlock(leases->lock);
}

void leases_remove(leases_t *leases, lease_t *lease)
{
    apr_thread_mutex_lock(leases->lock);
    APR_RING_REMOVE(lease, link);
    apr_thread_mutex_unlock(leases->lock);
}

int lease_holds(const lease_t *lease)
{
    return !atomic_load(&lease->lost) && clock_boottime() < atomic_load(&lease->until) - LEASE_MARGIN;
}

/* ---- a renewal ----------------------------------------------------------------------------------------- */

/* Half a lease ago at least, and in no round of this thread since then: after a sleep of the whole process the engine
 * may not have had its turn yet. The lease of an engine that stands still is left to run out, for others to take over
 * what it has. */
static int engine_stands_still(leases_t *leases, lease_t *lease)
{
    apr_time_t now = clock_boottime();
    apr_time_t seen = pulse_older(lease->engine, now);
    int stands = seen == lease->engine_seen && now - seen > JOBS_LEASE / 2;

    lease->engine_seen = seen;
    leases->left_out += stands;
    return stands;
}

/* Copies, since a lease may be removed and freed while Redis is asked. */
static apr_array_header_t *name_leases(leases_t *leases, apr_pool_t *pool)
{
    apr_array_header_t *named = apr_array_make(pool, 64, sizeof(jobs_task_ref_t));
    lease_t *lease = NULL;

    apr_thread_mutex_lock(leases->lock);
    leases->round++;
    leases->left_out = 0;
    APR_RING_FOREACH(lease, &leases->ring, lease_t, link)
    {
        if (!engine_stands_still(leases, lease)) {
            APR_ARRAY_PUSH(named, jobs_task_ref_t) =
                (jobs_task_ref_t){.system = apr_pstrdup(pool, lease->task.system),
                                  .job = apr_pstrdup(pool, lease->task.job),
                                  .fence = apr_pstrdup(pool, lease->task.fence)};
            lease->round = leases->round;
        }
    }
    apr_thread_mutex_unlock(leases->lock);
    return named;
}

/* No fence is used twice, so a fence names a lease. */
static apr_hash_t *fences_of(const apr_array_header_t *lost, apr_pool_t *pool)
{
    apr_hash_t *fences = apr_hash_make(pool);

    for (int i = 0; i < lost->nelts; i++) {
        const char *fence = APR_ARRAY_IDX(lost, i, jobs_task_ref_t).fence;

        apr_hash_set(fences, fence, APR_HASH_KEY_STRING, fence);
    }
    return fences;
}

static void note_renewal(leases_t *leases, const apr_array_header_t *lost, apr_time_t until, apr_pool_t *pool)
{
    apr_hash_t *fences = fences_of(lost, pool);
    lease_t *lease = NULL;

    apr_thread_mutex_lock(leases->lock);
    APR_RING_FOREACH(lease, &leases->ring, lease_t, link)
    {
        if (lease->round != leases->round) {
            continue;
        }
        if (apr_hash_get(fences, lease->task.fence, APR_HASH_KEY_STRING) == NULL) {
            atomic_store(&lease->until, until);
            continue;
        }
        atomic_store(&lease->lost, 1);
        lease->on_lost(lease);
    }
    apr_thread_mutex_unlock(leases->lock);
}

/* Before the first answer no lease can be lost, and the intake logs what is wrong with Redis. */
static void log_renewal(leases_t *leases, const jobs_result_t *result)
{
    leases->worked |= result->outcome == JOBS_OK;
    if (!leases->worked) {
        return;
    }
    if (result->outcome == JOBS_OK && leases->silent) {
        log_info("AMTU0401", "leases are renewed again");
    }
    else if (result->outcome != JOBS_OK && !leases->silent) {
        log_error("AMTU0402", "leases are not renewed", "text", result->text);
    }
    leases->silent = result->outcome != JOBS_OK;
}

static void log_left_out(leases_t *leases)
{
    if (leases->left_out > 0 && !leases->stood) {
        log_error("AMTU0543", "an engine stands still: the leases of its tasks are not renewed", "tasks",
                  log_number(LOG_NUMBER, leases->left_out));
    }
    leases->stood = leases->left_out > 0;
}

/* Returns how long it is until the next one. */
static apr_interval_time_t renew_leases(leases_t *leases, apr_pool_t *pool)
{
    apr_array_header_t *named = NULL, *lost = NULL;
    apr_time_t until = 0;
    char about[ABOUT_MAX] = "";
    jobs_result_t result;

    leases->about(leases->baton, about, sizeof(about));
    named = name_leases(leases, pool);
    result = jobs_renew(leases->connection, leases->worker, about, named, &lost, &until, pool);
    log_renewal(leases, &result);
    if (result.outcome != JOBS_OK) {
        return RENEW_AGAIN;
    }
    note_renewal(leases, lost, until, pool);
    log_left_out(leases);
    return leases->left_out > 0 ? RENEW_EVERY / 4 : RENEW_EVERY;
}

/* Renews when it is due, beats in between. Returns how long to wait before the next of either. */
static apr_interval_time_t stay_alive(leases_t *leases, apr_pool_t *pool)
{
    apr_time_t now = clock_boottime();
    char about[ABOUT_MAX] = "";

    if (now >= leases->due) {
        leases->due = now + renew_leases(leases, pool);
    }
    else {
        leases->about(leases->baton, about, sizeof(about));
        jobs_beat(leases->connection, leases->worker, about, pool); /* a renewal says what is wrong */
    }
    now = clock_boottime();
    if (now >= leases->due) {
        return 0;
    }
    return leases->due - now < BEAT_EVERY ? leases->due - now : BEAT_EVERY;
}

static void *APR_THREAD_FUNC run_leases(apr_thread_t *thread, void *data)
{
    leases_t *leases = data;
    apr_pool_t *pool = NULL;

    (void)thread;
    if (oom_own_pool(&pool) != APR_SUCCESS) {
        return NULL;
    }
    while (!atomic_load(&leases->stopping)) {
        apr_interval_time_t next = stay_alive(leases, pool);

        pulse_beat(&leases->pulse);
        apr_pool_clear(pool);
        wakeup_wait(&leases->wakeup, next);
    }
    apr_pool_destroy(pool);
    return NULL;
}

apr_status_t leases_create(leases_t **leases, const jobs_redis_t *redis, const char *worker, apr_pool_t *pool)
{
    leases_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t status;

    *leases = made;
    APR_RING_INIT(&made->ring, lease_t, link);
    made->pool = pool;
    made->worker = worker;
    atomic_init(&made->stopping, 0);
    pulse_init(&made->pulse);
    status = apr_thread_mutex_create(&made->lock, APR_THREAD_MUTEX_DEFAULT, pool);
    if (status == APR_SUCCESS) {
        status = wakeup_open(&made->wakeup, pool);
    }
    if (status == APR_SUCCESS) {
        status = jobs_client_create(&made->connection, redis, REDIS_TIMEOUT, pool);
    }
    return status;
}

apr_status_t leases_start(leases_t *leases, leases_about_fn about, void *baton)
{
    leases->about = about;
    leases->baton = baton;
    return apr_thread_create(&leases->thread, NULL, run_leases, leases, leases->pool);
}

const pulse_t *leases_pulse(const leases_t *leases)
{
    return &leases->pulse;
}

void leases_stop(leases_t *leases)
{
    apr_status_t ended;

    atomic_store(&leases->stopping, 1);
    wakeup_signal(&leases->wakeup);
    apr_thread_join(&ended, leases->thread);
}
