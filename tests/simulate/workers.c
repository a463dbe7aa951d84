/* SPDX-License-Identifier: Apache-2.0 */
#include "workers.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "ground.h"
#include "judge.h"
#include "pcs.h"
#include "worker/drain.h"
#include "worker/intake.h"

#define ENGINES 1
#define SLOTS 14
#define CONNECTS 8
#define START_AGAIN apr_time_from_sec(5) /* a process that could not start */
#define TICK apr_time_from_msec(100)

/* One process. */
struct life_t {
    station_t *station;
    host_t *host;
    apr_pool_t *pool;
    char id[33];
    char redis_before[64];
    snapshot_t *first;
    audit_t *audit;
    marks_t *marks;
    outbox_t *outbox;
    leases_t *leases;
    work_pool_t *work_pool;
    pacer_t *pacer;
    engine_t *engines[ENGINES];
    intake_t *intake;
    atomic_int redis_is_weak;
    atomic_int attendance;
    int is_stopping, is_reloading;
    apr_interval_time_t away; /* after its end */
    fiber_t *main;
};

static const jobs_redis_t redis_address = {.host = "redis", .port = 6379};

static void write_about(void *baton, char *text, apr_size_t size)
{
    (void)baton;
    apr_snprintf(text, size, "simulated");
}

static void on_outdated(void *baton)
{
    (void)baton;
    judge_breaks("verbs", "a worker is told that it is outdated");
}

static int count_running(const life_t *life)
{
    int load = 0;

    for (int i = 0; i < ENGINES; i++) {
        load += engine_load(life->engines[i]);
    }
    return load;
}

/* ---- as daemon.c --------------------------------------------------------------------------------------- */

static const char *prepare(life_t *life)
{
    unsigned char bits[16];
    const char *error = NULL, *hash = "";
    apr_uint64_t count = 0;

    apr_generate_random_bytes(bits, sizeof(bits));
    for (size_t i = 0; i < sizeof(bits); i++) {
        apr_snprintf(life->id + 2 * i, 3, "%02x", bits[i]);
    }
    error = audit_open(&life->audit, life->station->audit, life->pool);
    if (error != NULL) {
        return error;
    }
    life->marks = marks_create(life->pool);
    error = marks_read(life->marks, life->station->audit, life->pool);
    audit_head(life->audit, &hash, &count);
    apr_cpystrn(life->redis_before, marks_run_id(life->marks), sizeof(life->redis_before));
    if (life->redis_before[0] == '\0' && count > 0) {
        apr_cpystrn(life->redis_before, "unknown", sizeof(life->redis_before));
    }
    return error;
}

static apr_status_t start_engines(life_t *life)
{
    const engine_options_t options = {.work_pool = life->work_pool,
                                      .leases = life->leases,
                                      .outbox = life->outbox,
                                      .pacer = life->pacer,
                                      .slots = SLOTS,
                                      .connects = CONNECTS,
                                      .folder = "/"};
    apr_status_t status = APR_SUCCESS;

    for (int i = 0; i < ENGINES && status == APR_SUCCESS; i++) {
        status = engine_start(&life->engines[i], &options, life->pool);
    }
    return status;
}

static apr_status_t start_intake(life_t *life)
{
    const intake_options_t options = {.redis = &redis_address,
                                      .worker = life->id,
                                      .engines = life->engines,
                                      .engine_count = ENGINES,
                                      .slots = SLOTS,
                                      .outbox = life->outbox,
                                      .redis_before = life->redis_before,
                                      .on_outdated = on_outdated,
                                      .baton = life,
                                      .redis_is_weak = &life->redis_is_weak,
                                      .attendance = &life->attendance};

    return intake_start(&life->intake, &options, life->first, life->pool);
}

static apr_status_t start_threads(life_t *life)
{
    const outbox_options_t outbox = {.redis = &redis_address,
                                     .worker = life->id,
                                     .audit = life->audit,
                                     .audit_file = life->station->audit,
                                     .marks = life->marks,
                                     .capacity = SLOTS + 16};
    apr_status_t status = work_pool_start(&life->work_pool, life->pool);

    if (status == APR_SUCCESS) {
        status = pacer_create(&life->pacer, life->pool);
    }
    if (status == APR_SUCCESS) {
        status = outbox_start(&life->outbox, &outbox, life->pool);
    }
    if (status == APR_SUCCESS) {
        status = leases_create(&life->leases, &redis_address, life->id, life->pool);
    }
    if (status == APR_SUCCESS) {
        status = start_engines(life);
    }
    if (status == APR_SUCCESS) {
        status = leases_start(life->leases, write_about, life);
    }
    return status == APR_SUCCESS ? start_intake(life) : status;
}

static int is_empty(const life_t *life)
{
    return intake_ended(life->intake) && count_running(life) == 0;
}

/* As a unit of its own, or as httpd's. */
static void drain(life_t *life)
{
    int supervised = chance_once_in(&life->host->chance, 2);
    apr_time_t until = clockwork_now();

    intake_stop(life->intake);
    for (int i = 0; i < DRAIN_STAGES; i++) {
        drain_begin_stage(&drain_stages[i], life->engines, ENGINES);
        until += supervised ? drain_stages[i].supervised : drain_stages[i].own_unit;
        while (!is_empty(life) && clockwork_now() < until) {
            fiber_wait(clockwork_now() + TICK);
        }
    }
}

static void stop_threads(const life_t *life)
{
    intake_join(life->intake);
    work_pool_stop(life->work_pool);
    outbox_stop(life->outbox);
    leases_stop(life->leases);
    for (int i = 0; i < ENGINES; i++) {
        engine_stop(life->engines[i]);
    }
}

/* ---- a process ----------------------------------------------------------------------------------------- */

static void start_again(void *baton)
{
    station_start(baton);
}

/* Its last moment; never comes back. */
static void end_life(life_t *life, apr_interval_time_t away)
{
    station_t *station = life->station;

    clockwork_at(clockwork_now() + away, NULL, start_again, station);
    station->life = NULL;
    judge_record(life->host, life->host->written,
                 life->host->written_length); /* the kernel has it, synced or not */
    pcs_host_died(life->host);
    host_kill(life->host);
}

static void reload(life_t *life)
{
    station_t *station = life->station;

    station->snapshot_at = (station->snapshot_at + 1) % station->snapshot_count;
    outbox_reopen_audit(life->outbox);
    intake_offer(life->intake, station->snapshots[station->snapshot_at]);
    ground_say("reloads");
}

static void *run_life(void *data)
{
    life_t *life = data;
    const char *error = prepare(life);

    if (error != NULL) {
        ground_say("cannot start: %s", error);
        end_life(life, START_AGAIN);
    }
    if (start_threads(life) != APR_SUCCESS) {
        judge_breaks("starts", "a worker's threads cannot be started");
        end_life(life, START_AGAIN);
    }
    while (!life->is_stopping) {
        fiber_wait(APR_INT64_MAX);
        if (life->is_reloading) {
            life->is_reloading = 0;
            reload(life);
        }
    }
    ground_say("stops");
    drain(life);
    if (!is_empty(life)) {
        end_life(life, life->away);
    }
    stop_threads(life);
    end_life(life, life->away);
    return NULL;
}

void station_start(station_t *station)
{
    apr_pool_t *pool = NULL;
    life_t *life = NULL;

    apr_pool_create(&pool, NULL);
    life = apr_pcalloc(pool, sizeof(*life));
    life->pool = pool;
    life->station = station;
    life->first = station->snapshots[station->snapshot_at];
    life->host = host_create(apr_psprintf(pool, "w%d.%d", station->number, ++station->starts), pool);
    life->host->owner = station;
    if (station->host != NULL) { /* the machine is the same */
        life->host->wall = station->host->wall;
        life->host->disk_full = station->host->disk_full;
    }
    station->life = life;
    station->host = life->host;
    judge_file(station->audit);
    life->main = fiber_start(life->host, run_life, life);
}

void station_kill(station_t *station, apr_interval_time_t away)
{
    if (station->life != NULL) {
        ground_say("%s is killed", station->host->name);
        end_life(station->life, away);
    }
}

void station_stop(station_t *station, apr_interval_time_t away)
{
    if (station->life != NULL && !station->life->is_stopping) {
        station->life->is_stopping = 1;
        station->life->away = away;
        fiber_wake(station->life->main);
    }
}

void station_reload(station_t *station)
{
    if (station->life != NULL) {
        station->life->is_reloading = 1;
        fiber_wake(station->life->main);
    }
}
