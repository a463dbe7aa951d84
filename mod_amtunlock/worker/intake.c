/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/intake.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/oom.h"
#include "base/wakeup.h"
#include "unlock/methods.h"
#include "worker/claimed_priv.h"
#include "worker/peer_keys.h"
#include "worker/settings/fingerprint.h"

#define REDIS_TIMEOUT apr_time_from_sec(3)
#define BELL_TIMEOUT apr_time_from_sec(3) /* of the connection; a wait on it is shorter */
#define BELL_WAIT apr_time_from_msec(250) /* a worker that stops waits for the end of it */
#define REAP_EVERY apr_time_from_sec(1)
#define CLAIM_MAX 16 /* CLAIMED_A_CALL of jobs/lua/core.lua */
#define ASK_INVENTORY_EVERY (JOBS_LEASE / 3)
#define COMPARE_KEYS_EVERY apr_time_from_sec(600)
#define HOST_MAX 65
#define RUN_ID_MAX 64

struct intake_t {
    intake_options_t options;
    apr_thread_t *thread;
    wakeup_t wakeup;
    atomic_int stopping, ended;
    pulse_t pulse;
    apr_thread_mutex_t *lock; /* guards offered */
    snapshot_t *offered;

    /* The thread's own. */
    snapshot_t *snapshot; /* claimed by */
    apr_pool_t *fingerprint_pool;
    fingerprint_t *fingerprint; /* of the snapshot, as it is now */
    int ready; /* the library is loaded, and the inventory was published, or a newer one is live */
    char host[HOST_MAX];
    int not_ours;         /* the live inventory is another; logged once */
    apr_time_t ask_again; /* whether it still is */
    jobs_client_t *connection, *bell;
    char run_id[RUN_ID_MAX]; /* of the Redis that was made ready */
    apr_time_t hold_until;   /* no claims before, by clock_boottime() */
    apr_time_t reap_due, keys_due;
    int away; /* Redis is; logged once */
};

/* ---- making Redis ready -------------------------------------------------------------------------------- */

static int has_succeeded(intake_t *intake, const jobs_result_t *result)
{
    int away = result->outcome == JOBS_UNAVAILABLE;

    if (away && !intake->away) {
        log_error("AMTU0441", "Redis does not answer, nothing is claimed", "text", result->text);
    }
    if (!away && intake->away) {
        log_info("AMTU0442", "Redis answers again");
    }
    intake->away = away;
    if (away) { /* it may come back as another process, without data */
        intake->ready = 0;
    }
    return result->outcome == JOBS_OK || result->outcome == JOBS_ALREADY;
}

static void take_fingerprint(intake_t *intake)
{
    apr_pool_clear(intake->fingerprint_pool);
    intake->fingerprint = fingerprint_create(intake->snapshot, intake->fingerprint_pool);
    intake->ready = 0;
}

static void take_offered(intake_t *intake)
{
    snapshot_t *offered = NULL;

    apr_thread_mutex_lock(intake->lock);
    offered = intake->offered;
    intake->offered = NULL;
    apr_thread_mutex_unlock(intake->lock);
    if (offered == NULL) {
        return;
    }
    snapshot_unref(intake->snapshot);
    intake->snapshot = offered;
    take_fingerprint(intake);
    intake->not_ours = 0;
}

/* It is live now. */
static void note_published(intake_t *intake, const jobs_result_t *result)
{
    const char *digest = fingerprint_digest(intake->fingerprint);

    intake->not_ours = 0;
    if (result->outcome == JOBS_OK) {
        log_info("AMTU0445", "inventory published", "systems",
                 log_number(LOG_NUMBER, inventory_count(snapshot_inventory(intake->snapshot))), "digest",
                 digest);
    }
    if (result->outcome == JOBS_OK && result->text[0] != '\0') {
        log_warn("AMTU0453", "this inventory replaces one that is newer by the time of its files", "text",
                 result->text, "digest", digest);
    }
}

/* Nonzero: our inventory is live, or another worker's is, which stays: it is asked again now and then. */
static int publish_inventory(intake_t *intake, apr_pool_t *pool)
{
    const inventory_t *inventory = snapshot_inventory(intake->snapshot);
    const jobs_edition_t edition = {fingerprint_digest(intake->fingerprint),
                                    fingerprint_written(intake->fingerprint), intake->host};
    jobs_result_t result =
        inventory_publish(inventory, &edition, intake->connection, intake->options.worker, pool);

    if (result.outcome == JOBS_REFUSED) {
        if (!intake->not_ours) {
            log_warn("AMTU0443", "another inventory is published than this worker has: nothing is claimed",
                     "text", result.text, "digest", edition.digest);
        }
        intake->not_ours = 1;
        intake->ask_again = clock_boottime() + ASK_INVENTORY_EVERY;
        return 1;
    }
    if (!has_succeeded(intake, &result)) {
        if (result.outcome != JOBS_UNAVAILABLE) {
            log_error("AMTU0444", "the inventory was not published", "text", result.text);
        }
        return 0;
    }
    note_published(intake, &result);
    return 1;
}

static int is_same_redis(const intake_t *intake)
{
    return strcmp(jobs_client_run_id(intake->connection), intake->run_id) == 0;
}

/* How long nothing may be claimed from the Redis that was just connected to; negative: not known yet. */
static apr_interval_time_t time_to_hold(intake_t *intake, apr_pool_t *pool)
{
    const apr_interval_time_t whole = JOBS_LEASE + JOBS_GRACE;
    apr_interval_time_t up = 0;
    int unfinished = 0;
    jobs_result_t result;

    if (intake->run_id[0] != '\0') {
        return whole;
    }
    /* This worker knew no other Redis, but other workers may have, and may have acted on what is unfinished. */
    result = jobs_are_unfinished(intake->connection, &unfinished, pool);
    if (!has_succeeded(intake, &result)) {
        return -1;
    }
    up = jobs_client_uptime(intake->connection);
    return unfinished && up < whole ? whole - up : 0;
}

/* A Redis that was restarted may have lost what it acknowledged. Every worker replays its intents and ends to
 * it; until all had the time for that, and every lease has run out, a claim could begin what another worker
 * has begun. 0: how long to hold is not known yet. */
static int note_run_id(intake_t *intake, apr_pool_t *pool)
{
    apr_interval_time_t hold = 0;

    if (is_same_redis(intake)) {
        return 1;
    }
    hold = time_to_hold(intake, pool);
    if (hold < 0) {
        return 0;
    }
    if (hold > 0) {
        intake->hold_until = clock_boottime() + hold;
        log_warn("AMTU0446", "Redis was started anew: nothing is claimed until all leases have run out",
                 "seconds", log_number(LOG_NUMBER, apr_time_sec(hold)));
    }
    apr_cpystrn(intake->run_id, jobs_client_run_id(intake->connection), sizeof(intake->run_id));
    return 1;
}

/* It serves all the same: an operator may know better than its configuration says. */
static void judge_durability(intake_t *intake, apr_pool_t *pool)
{
    const char *weakness = NULL;
    jobs_result_t result = jobs_durability(intake->connection, &weakness, pool);

    if (result.outcome != JOBS_OK) {
        return;
    }
    atomic_store(intake->options.redis_is_weak, weakness != NULL);
    if (weakness != NULL) {
        log_warn("AMTU0452", "Redis may lose what it acknowledges", "text", weakness);
    }
}

/* A worker that was started without a copy of the key has made one. Not at once: an earlier run, with the key that it had,
 * and others that start at this moment are heard or not heard for a while. */
static void compare_keys(intake_t *intake, apr_pool_t *pool)
{
    const proof_key_t *key = snapshot_proof_key(intake->snapshot);
    apr_array_header_t *hosts = NULL;

    if (key == NULL || !intake->ready || clock_boottime() < intake->keys_due) {
        return;
    }
    intake->keys_due = clock_boottime() + COMPARE_KEYS_EVERY;
    hosts = peer_keys_differ(intake->connection, key, pool);
    if (hosts->nelts > 0) {
        log_error("AMTU0626",
                  "another worker has another proof key: copy one file to all, then send each SIGHUP", "host",
                  APR_ARRAY_IDX(hosts, 0, const char *), "workers", log_number(LOG_NUMBER, hosts->nelts),
                  "key", proof_key_id(key), "file", snapshot_settings(intake->snapshot)->proof_key);
    }
}

/* Nonzero: the library is loaded and an inventory is live. */
static int make_redis_ready(intake_t *intake, apr_pool_t *pool)
{
    jobs_result_t result;

    take_offered(intake);
    /* Bundle and revocation lists are replaced while the worker runs. */
    if (fingerprint_look(intake->fingerprint) ||
        (intake->not_ours && clock_boottime() >= intake->ask_again)) {
        intake->ready = 0;
    }
    if (intake->ready && is_same_redis(intake)) {
        return 1;
    }
    result = jobs_library_load(intake->connection);
    if (result.outcome == JOBS_OUTDATED) {
        log_error("AMTU0447", "Redis serves a newer version; this worker stops", "text", result.text);
        intake->options.on_outdated(intake->options.baton);
        return 0;
    }
    if (!has_succeeded(intake, &result)) {
        return 0;
    }
    FAILPOINT("library.loaded");
    if (!note_run_id(intake, pool)) {
        return 0;
    }
    judge_durability(intake, pool);
    /* Now, not when this worker may claim: the other workers hold back only for the time that this takes. */
    outbox_has_reconciled(intake->options.outbox, intake->run_id);
    intake->ready = publish_inventory(intake, pool);
    intake->keys_due = clock_boottime() + JOBS_LEASE;
    return intake->ready;
}

/* ---- claiming ------------------------------------------------------------------------------------------ */

static engine_t *idlest_engine(const intake_t *intake)
{
    engine_t *best = intake->options.engines[0];

    for (int i = 1; i < intake->options.engine_count; i++) {
        if (engine_load(intake->options.engines[i]) < engine_load(best)) {
            best = intake->options.engines[i];
        }
    }
    return best;
}

static int count_free_slots(const intake_t *intake)
{
    int used = 0;

    for (int i = 0; i < intake->options.engine_count; i++) {
        used += engine_load(intake->options.engines[i]);
    }
    return intake->options.slots - used;
}

/* It ends here, and the other tasks of the claim go on. */
static void refuse_task(intake_t *intake, const jobs_task_t *task, jobs_reason_e reason, apr_pool_t *pool)
{
    jobs_change_t change = {.change = JOBS_FINISH,
                            .task = task->ref,
                            .step = "claim",
                            .state = 'F',
                            .reason = task->marks != 0 ? JOBS_REASON_INDETERMINATE : reason};
    jobs_change_t *const changes[] = {&change};

    jobs_apply(intake->connection, intake->options.worker, changes, 1, pool);
}

/* Whatever Redis says, a worker acts only on systems of its own inventory, and only on what it can record. NULL: it
 * was refused. */
static const inventory_system_t *accept_task(intake_t *intake, jobs_task_t *task, apr_pool_t *pool)
{
    const char *fault = claimed_judge(task);
    const inventory_system_t *system = inventory_find(snapshot_inventory(intake->snapshot), task->ref.system);

    if (fault != NULL) {
        log_error("AMTU0621", "a task was queued that cannot be recorded, so it is not begun", "system",
                  task->ref.system, "text", fault);
        refuse_task(intake, task, JOBS_REASON_INTERNAL, pool);
        return NULL;
    }
    if (system == NULL || method_find(system->method) == NULL) {
        log_error("AMTU0448", "a task was queued for a system that the inventory does not have", "system",
                  task->ref.system, "job", task->ref.job);
        refuse_task(intake, task, JOBS_REASON_NOT_AVAILABLE, pool);
        return NULL;
    }
    return system;
}

static void give_to_engines(intake_t *intake, const apr_array_header_t *tasks, apr_pool_t *pool)
{
    for (int i = 0; i < tasks->nelts; i++) {
        jobs_task_t *task = &APR_ARRAY_IDX(tasks, i, jobs_task_t);
        const inventory_system_t *system = accept_task(intake, task, pool);

        if (system != NULL &&
            engine_give(idlest_engine(intake), task, intake->snapshot, system) != APR_SUCCESS) {
            log_error("AMTU0449", "no memory for a task; its lease will run out", "system", task->ref.system);
        }
    }
}

/* JOBS_REFUSED: the live inventory is another. Redis may have lost ours, or another worker's file is newer. */
static void note_inventory(intake_t *intake, const jobs_result_t *result)
{
    if (result->outcome == JOBS_OK) {
        intake->not_ours = 0;
    }
    if (result->outcome == JOBS_REFUSED && !intake->not_ours) {
        log_warn("AMTU0450", "nothing is claimed", "text", result->text);
        intake->not_ours = 1;
        intake->ask_again = 0;
    }
}

/* They were claimed from a Redis that was restarted meanwhile: see note_run_id(). */
static void give_tasks_back(intake_t *intake, const apr_array_header_t *tasks, apr_pool_t *pool)
{
    jobs_change_t **changes = apr_palloc(pool, sizeof(jobs_change_t *) * (apr_size_t)(tasks->nelts + 1));

    for (int i = 0; i < tasks->nelts; i++) {
        const jobs_task_t *task = &APR_ARRAY_IDX(tasks, i, jobs_task_t);

        changes[i] = apr_pcalloc(pool, sizeof(**changes));
        changes[i]->change = JOBS_RELEASE;
        changes[i]->task = task->ref;
        changes[i]->step = "claim";
    }
    jobs_apply(intake->connection, intake->options.worker, changes, tasks->nelts, pool);
}

static jobs_attendance_e judge_attendance(const intake_t *intake)
{
    if (intake->not_ours) {
        return JOBS_INVENTORY;
    }
    if (outbox_is_blocked(intake->options.outbox)) {
        return JOBS_RECORD;
    }
    return clock_boottime() < intake->hold_until ? JOBS_RESTART : JOBS_ATTENDED;
}

/* Redis is asked last. If it is restarted between this and the claim, the tasks are handed back. */
static int may_claim(intake_t *intake, int slots, apr_pool_t *pool)
{
    jobs_result_t result;

    if (slots <= 0 || outbox_is_blocked(intake->options.outbox) || clock_boottime() < intake->hold_until ||
        !outbox_has_reconciled(intake->options.outbox, intake->run_id)) {
        return 0;
    }
    result = jobs_connect(intake->connection, pool);
    return has_succeeded(intake, &result) && is_same_redis(intake);
}

/* The power rate limits of the groups of amtunlockd.conf; "*" stands for groups without a section. */
static apr_array_header_t *rate_limits_of(const intake_t *intake, apr_pool_t *pool)
{
    apr_hash_t *groups = snapshot_settings(intake->snapshot)->groups;
    apr_array_header_t *limits = apr_array_make(pool, 8, sizeof(jobs_rate_limit_t));

    for (apr_hash_index_t *i = apr_hash_first(pool, groups); i; i = apr_hash_next(i)) {
        const inventory_group_t *group = apr_hash_this_val(i);

        APR_ARRAY_PUSH(limits, jobs_rate_limit_t) = (jobs_rate_limit_t){group->name, group->power_interval};
        if (strcmp(group->name, "default") == 0) {
            APR_ARRAY_PUSH(limits, jobs_rate_limit_t) = (jobs_rate_limit_t){"*", group->power_interval};
        }
    }
    return limits;
}

/* What comes after a round. */
typedef enum {
    NEXT_PAUSE, /* may not claim, so the bell is for others */
    NEXT_BELL,
    NEXT_CLAIM /* at once */
} next_e;

static next_e claim_tasks(intake_t *intake, apr_pool_t *pool)
{
    jobs_result_t result;
    apr_array_header_t *tasks = NULL;
    int more = 0, slots = count_free_slots(intake);
    int most = slots < CLAIM_MAX ? slots : CLAIM_MAX;

    if (!may_claim(intake, slots, pool)) {
        return NEXT_PAUSE;
    }
    result = jobs_claim(intake->connection, intake->options.worker, fingerprint_digest(intake->fingerprint),
                        most, rate_limits_of(intake, pool), &tasks, &more, pool);
    note_inventory(intake, &result);
    if (!has_succeeded(intake, &result)) {
        return NEXT_PAUSE;
    }
    if (is_same_redis(intake)) {
        give_to_engines(intake, tasks, pool);
    }
    else {
        give_tasks_back(intake, tasks, pool);
    }
    /* It was given less although more waits: the rest is for other workers first, and the bell rings for who listens. */
    return more && tasks->nelts == most ? NEXT_CLAIM : NEXT_BELL;
}

static void reap_tasks(intake_t *intake, apr_pool_t *pool)
{
    int reaped = 0;
    jobs_result_t result;

    if (clock_boottime() < intake->reap_due) {
        return;
    }
    intake->reap_due = clock_boottime() + REAP_EVERY;
    result = jobs_reap(intake->connection, intake->options.worker, &reaped, pool);
    if (has_succeeded(intake, &result) && reaped > 0) {
        log_info("AMTU0451", "took over what others left", "tasks", log_number(LOG_NUMBER, reaped));
    }
}

/* ---- the thread ---------------------------------------------------------------------------------------- */

/* Then it waits for the bell, for a moment. */
static void do_round(intake_t *intake, apr_pool_t *pool)
{
    next_e next = NEXT_PAUSE;

    if (make_redis_ready(intake, pool)) {
        reap_tasks(intake, pool);
        next = claim_tasks(intake, pool);
        compare_keys(intake, pool);
    }
    atomic_store(intake->options.attendance, judge_attendance(intake));
    if (next == NEXT_CLAIM || atomic_load(&intake->stopping)) {
        return;
    }
    if (next == NEXT_PAUSE || jobs_bell_wait(intake->bell, BELL_WAIT, pool).outcome != JOBS_OK) {
        wakeup_wait(&intake->wakeup, BELL_WAIT);
    }
}

static void *APR_THREAD_FUNC run_intake(apr_thread_t *thread, void *data)
{
    intake_t *intake = data;
    apr_pool_t *pool = NULL;

    (void)thread;
    if (oom_own_pool(&pool) != APR_SUCCESS || oom_own_pool(&intake->fingerprint_pool) != APR_SUCCESS) {
        return NULL;
    }
    take_fingerprint(intake);
    while (!atomic_load(&intake->stopping)) {
        pulse_beat(&intake->pulse);
        do_round(intake, pool);
        apr_pool_clear(pool);
    }
    take_offered(intake);
    apr_pool_destroy(intake->fingerprint_pool);
    snapshot_unref(intake->snapshot);
    apr_pool_destroy(pool);
    pulse_end(&intake->pulse);
    atomic_store(&intake->ended, 1);
    return NULL;
}

apr_status_t intake_start(intake_t **intake, const intake_options_t *options, snapshot_t *snapshot,
                          apr_pool_t *pool)
{
    intake_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t status;

    *intake = made;
    made->options = *options;
    made->snapshot = snapshot_ref(snapshot);
    pulse_init(&made->pulse);
    gethostname(made->host, sizeof(made->host) - 1);
    apr_cpystrn(made->run_id, options->redis_before, sizeof(made->run_id));
    status = apr_thread_mutex_create(&made->lock, APR_THREAD_MUTEX_DEFAULT, pool);
    if (status == APR_SUCCESS) {
        status = wakeup_open(&made->wakeup, pool);
    }
    if (status == APR_SUCCESS) {
        status = jobs_client_create(&made->connection, options->redis, REDIS_TIMEOUT, pool);
    }
    if (status == APR_SUCCESS) {
        status = jobs_client_create(&made->bell, options->redis, BELL_TIMEOUT, pool);
    }
    if (status == APR_SUCCESS) {
        status = apr_thread_create(&made->thread, NULL, run_intake, made, pool);
    }
    return status;
}

void intake_stop(intake_t *intake)
{
    atomic_store(&intake->stopping, 1);
    wakeup_signal(&intake->wakeup);
}

int intake_ended(const intake_t *intake)
{
    return atomic_load(&intake->ended);
}

const pulse_t *intake_pulse(const intake_t *intake)
{
    return &intake->pulse;
}

void intake_join(intake_t *intake)
{
    apr_status_t ended;

    apr_thread_join(&ended, intake->thread);
}

void intake_offer(intake_t *intake, snapshot_t *snapshot)
{
    snapshot_t *before = NULL;

    apr_thread_mutex_lock(intake->lock);
    before = intake->offered;
    intake->offered = snapshot_ref(snapshot);
    apr_thread_mutex_unlock(intake->lock);
    if (before != NULL) {
        snapshot_unref(before);
    }
    wakeup_signal(&intake->wakeup);
}
