/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/process/daemon_priv.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <apr_strings.h>

#include "amt/amt.h"
#include "base/log.h"
#include "base/text.h"
#include "worker/drain.h"
#include "worker/intake.h"
#include "worker/process/lock_priv.h"
#include "worker/process/log_channel_priv.h"
#include "worker/process/notify_priv.h"
#include "worker/process/problems_priv.h"
#include "worker/process/slots_priv.h"
#include "worker/process/watchdog_priv.h"

/* A service manager may signal all processes of httpd, which then signals its worker: that is one stop. */
#define SAME_STOP apr_time_from_sec(1)

/* A month of the audit record is read back first: ten minutes, where systemd's usual limit of a start is 90 seconds. */
#define EXTENDED_START "EXTEND_TIMEOUT_USEC=600000000"

typedef struct {
    const char *file;
    apr_pool_t *pool;
    char id[33]; /* 128 random bits, hex */
    int supervised;
    int slots;            /* unlocks at a time, over all threads */
    snapshot_t *first;    /* as at the start: what the threads were started with */
    snapshot_t *snapshot; /* in force; the main thread's */
    audit_t *audit;
    marks_t *marks; /* the outbox thread's, once it runs */
    char redis_before[64];
    work_pool_t *work_pool;
    pacer_t *pacer;
    leases_t *leases;
    outbox_t *outbox;
    engine_t **engines;
    int engine_count;
    intake_t *intake;
    watched_t *loops; /* of all threads but the work pool's */
    int loop_count;
    watchdog_t *watchdog;
    notify_t notify;
    atomic_int outdated;
    atomic_int redis_is_weak;
    atomic_int attendance;           /* jobs_attendance_e */
    _Atomic(const char *) proof_key; /* its id, for the status page; NULL: none */
} worker_t;

static int count_running(const worker_t *worker)
{
    int load = 0;

    for (int i = 0; i < worker->engine_count; i++) {
        load += engine_load(worker->engines[i]);
    }
    return load;
}

/* ---- before there are threads -------------------------------------------------------------------------- */

static const char *name_worker(worker_t *worker)
{
    unsigned char bits[16];

    if (apr_generate_random_bytes(bits, sizeof(bits)) != APR_SUCCESS) {
        return "no random numbers";
    }
    for (size_t i = 0; i < sizeof(bits); i++) {
        apr_snprintf(worker->id + 2 * i, 3, "%02x", bits[i]);
    }
    return NULL;
}

static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGIO);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit then fails, and the audit record says so */
}

/* What this worker left open before this start. */
static const char *read_marks(worker_t *worker, const char *audit_file)
{
    const char *error = NULL, *run_id = NULL, *hash = "";
    apr_uint64_t count = 0;

    worker->marks = marks_create(worker->pool);
    error = marks_read(worker->marks, audit_file, worker->pool);
    run_id = marks_run_id(worker->marks);
    audit_head(worker->audit, &hash, &count);
    if (run_id[0] == '\0' && count > 0) { /* older than the part of the record that was read */
        run_id = "unknown";
    }
    apr_cpystrn(worker->redis_before, run_id, sizeof(worker->redis_before));
    return error;
}

/* What is needed before there are threads. NULL, or an error message. */
static const char *prepare_worker(worker_t *worker)
{
    const settings_t *settings = snapshot_settings(worker->first);
    const char *error = name_worker(worker);

    if (error == NULL) {
        error = lock_take(settings->state_dir, worker->pool);
    }
    if (error == NULL) {
        error = audit_open(&worker->audit, settings->audit, worker->pool);
    }
    if (error == NULL) {
        error = read_marks(worker, settings->audit);
    }
    if (error == NULL && amt_library_init() != APR_SUCCESS) {
        error = "libcurl cannot be initialised";
    }
    return error;
}

/* ---- threads ------------------------------------------------------------------------------------------- */

/* For the status page. */
static void write_about(void *baton, char *text, apr_size_t size)
{
    const worker_t *worker = baton;
    const char *idle = jobs_attendance_word((jobs_attendance_e)atomic_load(&worker->attendance));
    const char *key = atomic_load(&worker->proof_key);
    char host[65] = "", head[96] = "";

    gethostname(host, sizeof(host) - 1);
    outbox_audit_head(worker->outbox, head, sizeof(head));
    apr_snprintf(text, size, "host=%s pid=%d version=%s slots=%d running=%d threads=%d%s%s%s%s%s audit=%s",
                 host, (int)getpid(), AMTUNLOCK_VERSION, worker->slots, count_running(worker),
                 worker->engine_count, atomic_load(&worker->redis_is_weak) ? " redis=may-forget" : "",
                 idle != NULL ? " idle=" : "", idle != NULL ? idle : "", key != NULL ? " proof-key=" : "",
                 key != NULL ? key : "", head);
}

static void on_outdated(void *baton)
{
    worker_t *worker = baton;

    if (!atomic_exchange(&worker->outdated, 1)) {
        kill(getpid(), SIGTERM); /* wakes the main thread */
    }
}

static apr_status_t start_engines(worker_t *worker)
{
    const settings_t *settings = snapshot_settings(worker->first);
    const engine_options_t options = {.work_pool = worker->work_pool,
                                      .leases = worker->leases,
                                      .outbox = worker->outbox,
                                      .pacer = worker->pacer,
                                      .slots = worker->slots,
                                      .connects = settings->connects,
                                      .folder = settings->state_dir};
    apr_status_t status = APR_SUCCESS;

    worker->engines = apr_pcalloc(worker->pool, sizeof(engine_t *) * (apr_size_t)settings->threads);
    for (int i = 0; i < settings->threads && status == APR_SUCCESS; i++) {
        status = engine_start(&worker->engines[i], &options, worker->pool);
        worker->engine_count += status == APR_SUCCESS;
    }
    return status;
}

static apr_status_t start_intake(worker_t *worker)
{
    const settings_t *settings = snapshot_settings(worker->first);
    const intake_options_t options = {.redis = &settings->redis,
                                      .worker = worker->id,
                                      .engines = worker->engines,
                                      .engine_count = worker->engine_count,
                                      .slots = worker->slots,
                                      .outbox = worker->outbox,
                                      .redis_before = worker->redis_before,
                                      .on_outdated = on_outdated,
                                      .baton = worker,
                                      .redis_is_weak = &worker->redis_is_weak,
                                      .attendance = &worker->attendance};

    return intake_start(&worker->intake, &options, worker->first, worker->pool);
}

static apr_status_t start_watchdog(worker_t *worker)
{
    watched_t *loop = NULL;

    worker->loop_count = worker->engine_count + 3;
    loop = worker->loops = apr_pcalloc(worker->pool, sizeof(watched_t) * (apr_size_t)worker->loop_count);
    *loop++ = (watched_t){"lease", leases_pulse(worker->leases)};
    *loop++ = (watched_t){"outbox", outbox_pulse(worker->outbox)};
    *loop++ = (watched_t){"intake", intake_pulse(worker->intake)};
    for (int i = 0; i < worker->engine_count; i++) {
        *loop++ = (watched_t){"engine", engine_pulse(worker->engines[i])};
    }
    return watchdog_start(&worker->watchdog, worker->loops, worker->loop_count, worker->pool);
}

static apr_status_t start_threads(worker_t *worker)
{
    const settings_t *settings = snapshot_settings(worker->first);
    const outbox_options_t outbox = {.redis = &settings->redis,
                                     .worker = worker->id,
                                     .audit = worker->audit,
                                     .audit_file = settings->audit,
                                     .marks = worker->marks,
                                     .capacity = worker->slots + 16};
    apr_status_t status = work_pool_start(&worker->work_pool, worker->pool);

    if (status == APR_SUCCESS) {
        status = pacer_create(&worker->pacer, worker->pool);
    }
    if (status == APR_SUCCESS) {
        status = outbox_start(&worker->outbox, &outbox, worker->pool);
    }
    if (status == APR_SUCCESS) {
        status = leases_create(&worker->leases, &settings->redis, worker->id, worker->pool);
    }
    if (status == APR_SUCCESS) {
        status = start_engines(worker);
    }
    if (status == APR_SUCCESS) {
        status = leases_start(worker->leases, write_about, worker);
    }
    if (status == APR_SUCCESS) {
        status = start_intake(worker);
    }
    if (status == APR_SUCCESS) {
        status = start_watchdog(worker);
    }
    return status;
}

/* ---- the key to unlock images -------------------------------------------------------------------------- */

/* `before`: what was in force until now. To what was booted under another key nobody who takes over can prove itself. */
static void show_proof_key(worker_t *worker, const snapshot_t *snapshot, const snapshot_t *before)
{
    const proof_key_t *key = snapshot_proof_key(snapshot);
    const proof_key_t *former = before != NULL ? snapshot_proof_key(before) : NULL;

    if (key == NULL || (former != NULL && strcmp(proof_key_id(former), proof_key_id(key)) == 0)) {
        return;
    }
    if (former != NULL) {
        log_warn("AMTU0351", "another proof key is in force: images that run are only looked at if we die",
                 "key", proof_key_id(key), "former", proof_key_id(former));
    }
    atomic_store(&worker->proof_key, apr_pstrdup(worker->pool, proof_key_id(key)));
    log_info("AMTU0350",
             snapshot_proof_key_is_new(snapshot) ? "the proof key is new: copy it to the other workers"
                                                 : "the proof key",
             "key", proof_key_id(key), "file", snapshot_settings(snapshot)->proof_key);
}

/* ---- reload -------------------------------------------------------------------------------------------- */

static void warn_of_restart(const char *what, int changed)
{
    if (changed) {
        log_warn("AMTU0312", "changed, but takes effect at the next start only", "setting", what);
    }
}

/* Threads keep what they were started with. */
static void compare_with_first(const worker_t *worker, const settings_t *now)
{
    const settings_t *first = snapshot_settings(worker->first);

    warn_of_restart("redis address", strcmp(first->redis_address, now->redis_address) != 0);
    warn_of_restart("audit", strcmp(first->audit, now->audit) != 0);
    warn_of_restart("state-dir", strcmp(first->state_dir, now->state_dir) != 0);
    warn_of_restart("threads", first->threads != now->threads);
    warn_of_restart("slots", first->slots != now->slots);
    warn_of_restart("connects", first->connects != now->connects);
}

static apr_status_t use_log(const settings_t *settings)
{
    apr_status_t status = log_open(settings->log, settings->log_level);

    if (status != APR_SUCCESS) {
        char text[120];

        log_error("AMTU0314", "the log cannot be opened", "file", settings->log, "text",
                  apr_strerror(status, text, sizeof(text)));
    }
    return status;
}

static void reload_snapshot(worker_t *worker, apr_pool_t *pool)
{
    apr_array_header_t *problems = apr_array_make(pool, 8, sizeof(inventory_problem_t));
    snapshot_t *snapshot = snapshot_load_to_serve(worker->file, worker->snapshot, problems, pool);

    if (snapshot == NULL) {
        problems_log(problems);
        log_error("AMTU0315", "reload refused: the last good settings and inventory stay in force",
                  "problems", log_number(LOG_NUMBER, problems->nelts));
        return;
    }
    compare_with_first(worker, snapshot_settings(snapshot));
    use_log(snapshot_settings(snapshot));
    show_proof_key(worker, snapshot, worker->snapshot);
    intake_offer(worker->intake, snapshot);
    snapshot_unref(worker->snapshot);
    worker->snapshot = snapshot;
    problems_log_warnings(snapshot);
    log_info("AMTU0316", "reloaded", "systems",
             log_number(LOG_NUMBER, inventory_count(snapshot_inventory(snapshot))));
}

static void notify_ready(const worker_t *worker)
{
    char words[160];

    apr_snprintf(words, sizeof(words), "READY=1\nSTATUS=%d systems, %d unlocks at a time",
                 inventory_count(snapshot_inventory(worker->snapshot)), worker->slots);
    notify_send(&worker->notify, words);
}

/* The time is for managers that wait for the end of a reload (Type=notify-reload, systemd 253). */
static void notify_reloading(const worker_t *worker)
{
    char words[80];
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    apr_snprintf(words, sizeof(words), "RELOADING=1\nMONOTONIC_USEC=%" APR_INT64_T_FMT,
                 (apr_int64_t)now.tv_sec * APR_USEC_PER_SEC + now.tv_nsec / 1000);
    notify_send(&worker->notify, words);
}

static void reload_worker(worker_t *worker)
{
    apr_pool_t *pool = NULL;

    notify_reloading(worker);
    log_reopen();
    outbox_reopen_audit(worker->outbox);
    if (apr_pool_create(&pool, worker->pool) == APR_SUCCESS) {
        reload_snapshot(worker, pool);
        apr_pool_destroy(pool);
    }
    notify_ready(worker); /* refused or not: settings are in force */
}

/* ---- the end ------------------------------------------------------------------------------------------- */

/* Of the loop that ran longest ago. */
static apr_time_t oldest_pulse(const worker_t *worker)
{
    apr_time_t oldest = clock_boottime();

    for (int i = 0; i < worker->loop_count; i++) {
        oldest = pulse_older(worker->loops[i].pulse, oldest);
    }
    return oldest;
}

static int is_empty(const worker_t *worker)
{
    return intake_ended(worker->intake) && drain_tasks_left(worker->engines, worker->engine_count) == 0;
}

/* Until no task is left, or that time. Nonzero: a second signal came, which ends all waiting. */
static int wait_until_empty(worker_t *worker, const sigset_t *signals, apr_time_t until, apr_time_t impatient)
{
    static const struct timespec tick = {.tv_nsec = 10000000};

    while (!is_empty(worker) && clock_boottime() < until) {
        int signal = sigtimedwait(signals, NULL, &tick);

        notify_watchdog(&worker->notify, oldest_pulse(worker));
        if ((signal == SIGTERM || signal == SIGINT) && clock_boottime() >= impatient) {
            return 1;
        }
    }
    return 0;
}

static void drain_by_stages(worker_t *worker, const sigset_t *signals)
{
    apr_time_t now = clock_boottime();
    apr_time_t until = now, impatient = worker->supervised ? now + SAME_STOP : now;

    for (int stage = 0; stage < DRAIN_STAGES; stage++) {
        until += worker->supervised ? drain_stages[stage].supervised : drain_stages[stage].own_unit;
        drain_begin_stage(&drain_stages[stage], worker->engines, worker->engine_count);
        if (wait_until_empty(worker, signals, until, impatient)) {
            return;
        }
    }
}

static void drain_worker(worker_t *worker, const sigset_t *signals)
{
    int handed_over = 0;

    notify_send(&worker->notify, "STOPPING=1");
    log_info("AMTU0304", "stops", "supervised", worker->supervised ? "yes" : "no", "running",
             log_number(LOG_NUMBER, count_running(worker)));
    intake_stop(worker->intake);
    drain_by_stages(worker, signals);
    handed_over = drain_handed_over(worker->engines, worker->engine_count);
    if (handed_over > 0) {
        log_warn("AMTU0318",
                 "handed over: these PCs were begun, and wait as they are until a worker goes on with them",
                 "tasks", log_number(LOG_NUMBER, handed_over));
    }
}

/* Engines last: outbox and work pool still send them answers. */
static void stop_threads(const worker_t *worker)
{
    watchdog_stop(worker->watchdog);
    work_pool_stop(worker->work_pool);
    outbox_stop(worker->outbox);
    leases_stop(worker->leases);
    for (int i = 0; i < worker->engine_count; i++) {
        engine_stop(worker->engines[i]);
    }
    snapshot_unref(worker->snapshot);
    snapshot_unref(worker->first);
}

static int stop_daemon(worker_t *worker, const sigset_t *signals)
{
    int outdated = atomic_load(&worker->outdated), is_idle = 0;

    drain_worker(worker, signals);
    if (!is_empty(worker)) {
        log_warn("AMTU0305", "stopped with tasks left; their leases run out, then others go on", "tasks",
                 log_number(LOG_NUMBER, drain_tasks_left(worker->engines, worker->engine_count)));
        _exit(outdated);
    }
    intake_join(worker->intake); /* it has ended */
    is_idle = count_running(worker) == 0 && work_pool_idle(worker->work_pool);
    if (is_idle) {
        stop_threads(worker);
    }
    else {
        outbox_stop(worker->outbox);
    }
    log_info("AMTU0306", "stopped");
    if (!is_idle) {
        _exit(outdated); /* what a thread waits for will not come any more, or nobody needs it */
    }
    return outdated;
}

/* ---- the main thread ----------------------------------------------------------------------------------- */

static void log_start(worker_t *worker)
{
    log_info("AMTU0301", "worker started", "version", AMTUNLOCK_VERSION, "pid",
             log_number(LOG_NUMBER, getpid()), "worker", worker->id, "supervised",
             worker->supervised ? "yes" : "no", "threads", log_number(LOG_NUMBER, worker->engine_count),
             "slots", log_number(LOG_NUMBER, worker->slots), "systems",
             log_number(LOG_NUMBER, inventory_count(snapshot_inventory(worker->first))));
    show_proof_key(worker, worker->first, NULL);
    if (secrets_process_warning() != NULL) {
        log_warn("AMTU0307", "secrets are less well kept than they could be", "text",
                 secrets_process_warning());
    }
}

static int fail_start(const char *why)
{
    log_error("AMTU0302", "cannot start", "text", why);
    return 1;
}

static int start_daemon(worker_t *worker)
{
    const char *error = NULL;
    apr_status_t status = APR_SUCCESS;

    if (use_log(snapshot_settings(worker->first)) != APR_SUCCESS) {
        return 1;
    }
    notify_send(&worker->notify, EXTENDED_START);
    if ((error = prepare_worker(worker)) != NULL) {
        return fail_start(error);
    }
    worker->slots = slots_choose(snapshot_settings(worker->first)->slots);
    if ((status = start_threads(worker)) != APR_SUCCESS) {
        return fail_start(text_strerror(status, worker->pool));
    }
    log_start(worker);
    return 0;
}

static snapshot_t *load_first_snapshot(const char *file, apr_pool_t *pool)
{
    apr_array_header_t *problems = apr_array_make(pool, 8, sizeof(inventory_problem_t));
    snapshot_t *snapshot = NULL;

    if (secrets_process_init() != APR_SUCCESS) {
        fail_start("memory for secrets cannot be had (LimitMEMLOCK)");
        return NULL;
    }
    snapshot = snapshot_load_to_serve(file, NULL, problems, pool);
    problems_log(problems);
    if (snapshot != NULL) {
        problems_log_warnings(snapshot);
    }
    return snapshot;
}

/* Returns the next signal; feeds the watchdog meanwhile. */
static int await_signal(worker_t *worker, const sigset_t *signals)
{
    apr_interval_time_t every = notify_interval(&worker->notify);
    const struct timespec tick = {.tv_sec = apr_time_sec(every), .tv_nsec = apr_time_usec(every) * 1000};
    int signal = -1;

    while (signal < 0) {
        signal = every < 0 ? sigwaitinfo(signals, NULL) : sigtimedwait(signals, NULL, &tick);
        notify_watchdog(&worker->notify, oldest_pulse(worker));
    }
    return signal;
}

int worker_run(const char *file, apr_pool_t *pool)
{
    sigset_t signals;
    const char *supervised = getenv("AMTUNLOCK_SUPERVISED");
    worker_t *worker = apr_pcalloc(pool, sizeof(*worker));
    int signal = 0;

    worker->pool = pool;
    worker->file = file;
    notify_init(&worker->notify); /* before threads: it changes the environment */
    worker->supervised = supervised != NULL && strcmp(supervised, "1") == 0;
    umask(027);
    if (chdir("/") != 0) {
        return fail_start("the root directory cannot be entered");
    }
    block_signals(&signals); /* before threads, so that they all inherit it */
    log_channel_init();
    log_open("-", LOG_LEVEL_INFO);
    worker->first = load_first_snapshot(file, pool);
    if (worker->first == NULL) {
        return fail_start("see above");
    }
    worker->snapshot = snapshot_ref(worker->first);
    if (start_daemon(worker) != 0) {
        _exit(1); /* some threads may run */
    }
    notify_ready(worker);
    while ((signal = await_signal(worker, &signals)) != SIGTERM && signal != SIGINT) {
        if (signal == SIGHUP) {
            reload_worker(worker);
        }
        log_channel_follow();
    }
    return stop_daemon(worker, &signals);
}
