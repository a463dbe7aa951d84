/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "ground.h"
#include "jobs/id_priv.h"
#include "jobs/jobs.h"
#include "workers.h"

#define SECOND ((apr_interval_time_t)APR_USEC_PER_SEC)
#define LONGEST (SECOND * 3600 * 2) /* what has not ended by then never will */
#define AFTERWARDS (90 * SECOND)
#define START_WITHIN (1500 * SECOND)
#define RETENTION (SECOND * 3600 * 24)
#define SUBMIT_TRIES 40

typedef struct {
    const job_t *job;
    int number;
    const char *id; /* as it was acknowledged; NULL: not yet */
    int is_done;
} console_t;

static struct {
    const char *folder;
    snapshot_t *snapshots[2], *with_other_key[2];
    const plan_t *plan;
    apr_pool_t *pool;
    station_t stations[PLAN_WORKERS];
    host_t *httpd;
    jobs_pool_t *jobs;
    console_t consoles[PLAN_JOBS];
    int passed[PLAN_FAULTS]; /* how often the point of this fault was passed */
    apr_time_t last_fault;
} world;

/* ---- once: files --------------------------------------------------------------------------------------- */

static FILE *create(const char *name, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, world.folder, "/", name, NULL);
    FILE *file = fopen(path, "w");

    chmod(path, 0600);
    return file;
}

static void write_systems(apr_pool_t *pool)
{
    static const char *const groups[] = {"slow", "default", "default", "running"};
    FILE *file = create("systems.csv", pool);

    fputs("fqdn,address,uuid,group,method,auth,tls,probe\n", file);
    for (int i = 0; i < PCS; i++) {
        fprintf(file, "pc%02d.example,192.0.2.%d,4c4c4544-0044-4a10-8058-b4c04f4a%04x,%s,%s,digest,ca,22\n",
                i, i, 0x4a00 + i, groups[i % 4], pc_method_name(i));
    }
    fclose(file);
}

static void write_image(apr_pool_t *pool)
{
    static const char marker[] = "amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n";
    unsigned char sector[2048] = {0};
    unsigned int length = 0;
    FILE *file = create("unlock.iso", pool);

    memcpy(sector, marker, sizeof(marker) - 1);
    sector[64] = 1;
    EVP_Digest(sector, 2016, sector + 2016, &length, EVP_sha256(), NULL);
    fwrite(sector, sizeof(sector), 1, file);
    fclose(file);
}

static void write_settings(const char *name, int boot_timeout, const char *key, apr_pool_t *pool)
{
    FILE *file = create(name, pool);

    fprintf(
        file,
        "[redis]\naddress = 127.0.0.1:6379\npassword-file = %s/secrets\n[worker]\ninventory = %s/systems.csv\nsecrets = file:%s/secrets\n"
        "ca-file = %s/ca.pem\naudit = %s/audit.jsonl\nlog = -\nlog-level = info\nstate-dir = %s\nproof-key = %s/%s.key\nthreads = 1\n"
        "slots = 14\nconnects = 8\n[group default]\nboot-timeout = %d\nimage = %s/unlock.iso\n"
        "[group slow]\nboot-timeout = %d\npower-per-second = 2\nredraw = \\x15\\r\n"
        "[group running]\nboot-timeout = %d\ntype-running = yes\nreset-running = yes\nredraw = \\x15\\r\n",
        world.folder, world.folder, world.folder, world.folder, world.folder, world.folder, world.folder, key,
        boot_timeout, world.folder, boot_timeout, boot_timeout);
    fclose(file);
}

static void write_text(const char *name, const char *text, apr_pool_t *pool)
{
    FILE *file = create(name, pool);

    fputs(text, file);
    fclose(file);
}

static const char *load(const char *name, snapshot_t **snapshot, apr_pool_t *pool)
{
    apr_array_header_t *problems = apr_array_make(pool, 4, sizeof(inventory_problem_t));

    *snapshot = snapshot_load(apr_pstrcat(pool, world.folder, "/", name, NULL), problems, pool);
    return *snapshot != NULL
               ? NULL
               : apr_psprintf(pool, "%s: %s", APR_ARRAY_IDX(problems, 0, inventory_problem_t).file,
                              APR_ARRAY_IDX(problems, 0, inventory_problem_t).reason);
}

static void write_key(const char *name, int byte, apr_pool_t *pool)
{
    const char *text = "";

    for (int i = 0; i < 32; i++) {
        text = apr_psprintf(pool, "%s%02x", text, byte);
    }
    write_text(name, apr_pstrcat(pool, text, "\n", NULL), pool);
}

const char *world_prepare(const char *folder, apr_pool_t *pool)
{
    struct {
        const char *name, *key;
        int boot_timeout;
        snapshot_t **snapshot;
    } settings[] = {{"first.conf", "proof", 180, &world.snapshots[0]},
                    {"second.conf", "proof", 200, &world.snapshots[1]},
                    {"third.conf", "other", 180, &world.with_other_key[0]},
                    {"fourth.conf", "other", 200, &world.with_other_key[1]}};
    const char *error = NULL;

    world.folder = folder;
    json_object_seed(1);
    write_systems(pool);
    write_image(pool);
    write_text("secrets", "amt * admin Passw0rd!\ndisk * " PC_PASSPHRASE "\n", pool);
    write_text("ca.pem", "", pool);
    write_key("proof.key", PC_PROOF_KEY, pool);
    write_key("other.key", PC_OTHER_PROOF_KEY, pool);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]) && error == NULL; i++) {
        write_settings(settings[i].name, settings[i].boot_timeout, settings[i].key, pool);
        error = load(settings[i].name, settings[i].snapshot, pool);
    }
    return error;
}

/* ---- consoles ------------------------------------------------------------------------------------------ */

static const jobs_caller_t *caller_of(int number)
{
    static jobs_caller_t callers[2] = {{.name = "alice", .peer = "192.0.2.200", .mechanism = "krb5"},
                                       {.name = "bob", .peer = "192.0.2.201", .mechanism = "krb5"}};
    jobs_caller_t *caller = &callers[number % 2];

    if (caller->groups == NULL) {
        apr_array_header_t *groups = apr_array_make(world.pool, 1, sizeof(const char *));

        APR_ARRAY_PUSH(groups, const char *) = "*";
        caller->groups = groups;
    }
    return caller;
}

static apr_array_header_t *names_of(const job_t *job, apr_pool_t *pool)
{
    apr_array_header_t *names = apr_array_make(pool, PLAN_SYSTEMS, sizeof(jobs_name_t));

    for (int i = 0; i < job->count; i++) {
        if (job->kept[i]) {
            const char *name = pcs[job->systems[i]].name;

            APR_ARRAY_PUSH(names, jobs_name_t) = (jobs_name_t){name, name};
        }
    }
    return names;
}

/* As in the evening: what nobody unlocks just now is off when the job comes, but for a few. */
static void switch_off_idle(const job_t *job)
{
    for (int i = 0; i < job->count; i++) {
        pc_t *pc = &pcs[job->systems[i]];
        const char *key = apr_pstrcat(world.pool, "{amtu}:system:", pc->name, NULL);

        if (job->kept[i] && server_field(key, "job") == NULL && server.rolled_back_at < 0 && pc->power == 2 &&
            !chance_once_in(&pc->chance, 4)) {
            pc_switch_off(pc);
        }
    }
}

/* Sends it until it is told something certain, as a console does: with the same message id. */
static void submit(console_t *console)
{
    const char *message = apr_psprintf(world.pool, "00000000-0000-4000-8000-%012d", console->number);
    const jobs_submission_t submission = {.names = names_of(console->job, world.pool),
                                          .message_id = message,
                                          .retention = RETENTION,
                                          .start_within = START_WITHIN};
    jobs_result_t result = {JOBS_UNKNOWN, ""};
    int unknown = 0;

    for (int i = 0; i < SUBMIT_TRIES && result.outcome != JOBS_OK; i++) {
        result =
            jobs_submit(world.jobs, caller_of(console->number), &submission, &console->id, NULL, world.pool);
        ground_say("submit of job %d: %d %s", console->number, result.outcome, result.text);
        judge_submitted(jobs_sha256(message, world.pool), (int)result.outcome, console->id, unknown);
        unknown |= result.outcome == JOBS_UNKNOWN || result.outcome == JOBS_BROKEN;
        if (result.outcome != JOBS_OK) {
            console->id = NULL;
            fiber_wait(clockwork_now() + chance_between(&world.httpd->chance, SECOND, 10 * SECOND));
        }
    }
}

static void cancel(const console_t *console)
{
    jobs_result_t result = {JOBS_UNAVAILABLE, ""};

    for (int i = 0;
         i < SUBMIT_TRIES && (result.outcome == JOBS_UNAVAILABLE || result.outcome == JOBS_UNKNOWN); i++) {
        result = jobs_cancel(world.jobs, caller_of(console->number), console->id, world.pool);
        ground_say("cancel of job %d: %d %s", console->number, result.outcome, result.text);
        fiber_wait(clockwork_now() + SECOND);
    }
}

static void *run_console(void *data)
{
    console_t *console = data;

    fiber_wait(console->job->at);
    switch_off_idle(console->job);
    submit(console);
    if (console->id != NULL && console->job->cancel_at > 0) {
        fiber_wait(console->job->cancel_at);
        cancel(console);
    }
    console->is_done = 1;
    return NULL;
}

/* ---- faults -------------------------------------------------------------------------------------------- */

static station_t *station_of(const fault_t *fault)
{
    return &world.stations[fault->target];
}

static void on_kill(const fault_t *fault)
{
    station_kill(station_of(fault), fault->duration);
}

static void on_pause(const fault_t *fault)
{
    ground_say("%s is stopped for %.3f s", station_of(fault)->host->name, (double)fault->duration / 1e6);
    pcs_host_paused(station_of(fault)->host);
    host_pause(station_of(fault)->host, fault->duration);
}

static void on_stop(const fault_t *fault)
{
    station_stop(station_of(fault), fault->duration);
}

static void on_reload(const fault_t *fault)
{
    station_reload(station_of(fault));
}

static void on_step_worker(const fault_t *fault)
{
    station_of(fault)->host->wall += fault->amount;
}

static void disk_has_room(void *station)
{
    ((station_t *)station)->host->disk_full = 0;
}

static void on_disk_full(const fault_t *fault)
{
    station_of(fault)->host->disk_full = 1;
    clockwork_at(clockwork_now() + fault->duration, NULL, disk_has_room, station_of(fault));
}

static void on_loses(const fault_t *fault)
{
    server.loses_until[station_of(fault)->host->number] = clockwork_now() + fault->duration;
}

static void on_httpd_loses(const fault_t *fault)
{
    server.loses_until[world.httpd->number] = clockwork_now() + fault->duration;
}

static void on_freeze(const fault_t *fault)
{
    apr_time_t until = clockwork_now() + fault->duration;

    server.frozen_until = until > server.frozen_until ? until : server.frozen_until;
}

static void on_restart(const fault_t *fault)
{
    server_restart(fault->duration / 2, 0);
}

/* The copy was taken `duration` before. Of the PCs that were unlocked since, users have switched some off again: what is
 * done a second time is done to them. */
static void on_roll_back(const fault_t *fault)
{
    for (int i = 0; i < PCS; i++) {
        if (pcs[i].is_up && chance_once_in(&pcs[i].chance, 3)) {
            pc_switch_off(&pcs[i]);
        }
    }
    server_restart(1 + fault->duration / 10, 1);
}

static void take_copy(void *baton)
{
    (void)baton;
    server_copy();
}

static void on_step_redis(const fault_t *fault)
{
    server.clock += fault->amount;
    server.stepped_at = clockwork_now();
}

static void can_write(void *baton)
{
    (void)baton;
    server.cannot_write = 0;
}

static void on_cannot_write(const fault_t *fault)
{
    server.cannot_write = 1;
    clockwork_at(clockwork_now() + fault->duration, NULL, can_write, NULL);
}

static void on_unreachable(const fault_t *fault)
{
    pcs[fault->target].unreachable_until = clockwork_now() + fault->duration;
}

static void on_forgets(const fault_t *fault)
{
    pcs[fault->target].forgets_until = clockwork_now() + fault->duration;
}

static void on_slow(const fault_t *fault)
{
    pcs[fault->target].slow_until = clockwork_now() + fault->duration;
}

static void on_not_now(const fault_t *fault)
{
    pcs[fault->target].not_now_until = clockwork_now() + fault->duration;
}

static void on_refuses(const fault_t *fault)
{
    pcs[fault->target].refuses_until = clockwork_now() + fault->duration;
}

static void on_never_boots(const fault_t *fault)
{
    pcs[fault->target].never_boots = 1;
}

static void on_cut(const fault_t *fault)
{
    pc_cut(&pcs[fault->target]);
}

static void on_deaf(const fault_t *fault)
{
    pcs[fault->target].deaf_until = clockwork_now() + fault->duration;
}

static void on_other_key(const fault_t *fault)
{
    station_of(fault)->snapshots = world.with_other_key;
    station_reload(station_of(fault));
}

static void on_old_schema(const fault_t *fault)
{
    for (int i = 0; i < PCS; i++) {
        server_forget(apr_pstrcat(world.pool, "{amtu}:system:", pcs[i].name, NULL), "marks");
    }
    on_kill(fault);
}

static void (*const strikes[FAULTS])(const fault_t *fault) = {
    [FAULT_KILL] = on_kill,
    [FAULT_KILL_AT_POINT] = on_kill,
    [FAULT_PAUSE] = on_pause,
    [FAULT_PAUSE_AT_POINT] = on_pause,
    [FAULT_STOP] = on_stop,
    [FAULT_RELOAD] = on_reload,
    [FAULT_STEP_WORKER] = on_step_worker,
    [FAULT_DISK_FULL] = on_disk_full,
    [FAULT_LOSES] = on_loses,
    [FAULT_HTTPD_LOSES] = on_httpd_loses,
    [FAULT_FREEZE] = on_freeze,
    [FAULT_RESTART] = on_restart,
    [FAULT_ROLL_BACK] = on_roll_back,
    [FAULT_STEP_REDIS] = on_step_redis,
    [FAULT_CANNOT_WRITE] = on_cannot_write,
    [FAULT_UNREACHABLE] = on_unreachable,
    [FAULT_FORGETS] = on_forgets,
    [FAULT_SLOW] = on_slow,
    [FAULT_NOT_NOW] = on_not_now,
    [FAULT_REFUSES] = on_refuses,
    [FAULT_NEVER_BOOTS] = on_never_boots,
    [FAULT_CUT] = on_cut,
    [FAULT_DEAF] = on_deaf,
    [FAULT_STOP_AT_POINT] = on_stop,
    [FAULT_DISK_FULL_AT_POINT] = on_disk_full,
    [FAULT_OTHER_KEY] = on_other_key,
    [FAULT_OLD_SCHEMA] = on_old_schema,
};

static void strike(const fault_t *fault)
{
    ground_say("f%d strikes", (int)(fault - world.plan->faults));
    strikes[fault->kind](fault);
}

static void on_time(void *baton)
{
    strike(baton);
}

/* From `at` on, the nth passing counts. */
static void on_point(host_t *host, const char *point)
{
    for (int i = 0; i < world.plan->fault_count; i++) {
        const fault_t *fault = &world.plan->faults[i];

        if (fault->kept && plan_is_at_point(fault) && host->owner == station_of(fault) &&
            clockwork_now() >= fault->at && strcmp(point, fault->point) == 0 &&
            ++world.passed[i] == fault->nth) {
            strike(fault);
        }
    }
}

static void plan_fault(fault_t *fault)
{
    apr_time_t ends = fault->at + fault->duration;

    world.last_fault = ends > world.last_fault ? ends : world.last_fault;
    if (plan_is_at_point(fault)) {
        return;
    }
    clockwork_at(fault->at, NULL, on_time, fault);
    if (fault->kind == FAULT_ROLL_BACK) {
        clockwork_at(fault->at - fault->duration, NULL, take_copy, NULL);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static int consoles_are_done(void)
{
    for (int i = 0; i < world.plan->job_count; i++) {
        if (!world.consoles[i].is_done) {
            return 0;
        }
    }
    return 1;
}

/* Ends the simulation once all that was asked for has ended, and no fault is to come. */
static void look_around(void *baton)
{
    if (consoles_are_done() && clockwork_now() > world.last_fault && judge_all_ended()) {
        clockwork_stop();
        return;
    }
    clockwork_at(clockwork_now() + 5 * SECOND, NULL, look_around, baton);
}

static void after_step(void)
{
    if (judge_breach() != NULL) {
        clockwork_stop();
    }
}

static void begin_httpd(void)
{
    const jobs_pool_limits_t limits = {32, 32, apr_time_from_msec(250), 5 * SECOND};
    static const jobs_redis_t redis = {.host = "redis", .port = 6379};

    world.httpd = host_create("httpd", world.pool);
    if (jobs_pool_create(&world.jobs, &redis, &limits, world.pool) != APR_SUCCESS) {
        judge_breaks("starts", "no pool of connections");
    }
    for (int i = 0; i < world.plan->job_count; i++) {
        world.consoles[i] = (console_t){.job = &world.plan->jobs[i], .number = i};
        world.consoles[i].is_done = names_of(world.consoles[i].job, world.pool)->nelts == 0;
        if (!world.consoles[i].is_done) {
            fiber_start(world.httpd, run_console, &world.consoles[i]);
        }
    }
}

static void begin_workers(void)
{
    for (int i = 0; i < world.plan->workers; i++) {
        world.stations[i] = (station_t){
            .number = i,
            .audit = apr_psprintf(world.pool, "%s/audit-%d-%d.jsonl", world.folder, (int)getpid(), i),
            .snapshots = world.snapshots,
            .snapshot_count = 2};
        unlink(world.stations[i].audit);
        station_start(&world.stations[i]);
    }
}

static void remove_files(void)
{
    for (int i = 0; i < world.plan->workers; i++) {
        unlink(world.stations[i].audit);
    }
}

void world_run(const plan_t *plan, outcome_t *outcome, apr_pool_t *pool)
{
    plan_t *own = apr_pmemdup(pool, plan, sizeof(*plan));

    world.plan = own;
    world.pool = pool;
    world.last_fault = 0;
    memset(world.passed, 0, sizeof(world.passed));
    clockwork_reset(plan->seed);
    ground_reset(plan->seed);
    server_begin(pool);
    judge_begin(pool);
    pcs_begin(plan->seed, pool);
    ground.on_point = on_point;
    for (int i = 0; i < own->fault_count; i++) {
        if (own->faults[i].kept) {
            plan_fault(&own->faults[i]);
        }
    }
    begin_httpd();
    begin_workers();
    clockwork_at(5 * SECOND, NULL, look_around, NULL);
    clockwork_run(LONGEST, after_step);
    if (judge_breach() == NULL) { /* what cancelled tasks held is given back */
        clockwork_run(clockwork_now() + AFTERWARDS, after_step);
    }
    if (judge_breach() == NULL) {
        judge_end();
    }
    apr_cpystrn(outcome->breach, judge_breach() != NULL ? judge_breach() : "", sizeof(outcome->breach));
    outcome->figures = judge_figures();
    outcome->trace = clockwork_trace();
    outcome->events = clockwork_count();
    outcome->lasted = clockwork_now();
    remove_files();
}
