/* SPDX-License-Identifier: Apache-2.0 */
/* A restart of httpd destroys its configuration pool and unloads this module, but the worker must run on: an
 * unlock takes minutes. So the state of the worker is in httpd's retained data and in a pool of the process,
 * nothing in it points into this module, and each new configuration registers the process again. When the
 * server ends, that pool is destroyed and APR ends the process (SIGTERM, after 3 s SIGKILL).
 *
 * Jobs are kept in Redis: a worker that dies loses none.
 */
#include "httpd/supervision_priv.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_signal.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <http_core.h>
#include <http_log.h>
#include <mpm_common.h>

#include "base/clock.h"
#include "httpd/config_priv.h"
#include "httpd/launch_priv.h"
#include "httpd/log_channel_priv.h"
#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

#define RETAINED_KEY "mod_amtunlock-worker"

/* A worker that lived this long is started again at once, another after a delay that grows. httpd calls the
 * monitor hook about every ten seconds, which rounds the delay up. */
#define LONG_LIFE apr_time_from_sec(30)
#define DELAY_STEP 5 /* seconds */
#define DELAY_MAX 30

/* Identifies a version of a file. */
typedef struct {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
} file_mark_t;

/* What a worker was started from. If it differs at a restart, the worker is replaced. Compared as bytes. */
typedef struct {
    file_mark_t program;
    file_mark_t settings;
    uid_t uid;
    gid_t gid;
} origin_t;

/* Survives restarts of httpd. */
typedef struct {
    apr_pool_t *pool; /* of the running worker; destroying it ends the process. NULL: none runs */
    apr_proc_t *proc;
    origin_t origin;
    apr_time_t started;    /* by clock_boottime(), like not_before: the wall clock may be set */
    int failures;          /* successive ends after a short life */
    apr_time_t not_before; /* the next start */
} worker_t;

/* What the current configuration asks for. */
static struct {
    int wanted;
    server_rec *server;
    apr_pool_t *pconf;
} current;

static void start_worker(worker_t *worker);

/* ---- origin ----------------------------------------------------------------------------------------- */

static void mark_file(const char *path, file_mark_t *mark)
{
    struct stat info;

    if (stat(path, &info) == 0) {
        mark->device = info.st_dev;
        mark->inode = info.st_ino;
        mark->size = info.st_size;
        mark->modified = info.st_mtim;
    }
}

/* Zeroed first, padding included, because it is compared as bytes. */
static void find_origin(const amtunlock_server_t *conf, origin_t *origin, apr_pool_t *pool)
{
    const char *name;

    memset(origin, 0, sizeof(*origin));
    mark_file(conf->worker_program, &origin->program);
    mark_file(conf->worker_config, &origin->settings);
    if (geteuid() == 0) {
        amtunlock_worker_identity(conf->worker_user, &origin->uid, &origin->gid, &name, pool);
    }
}

/* ---- start and end ---------------------------------------------------------------------------------- */

static int httpd_is_stopping(void)
{
    int state = AP_MPMQ_STOPPING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

static apr_time_t delay_after(int failures)
{
    int seconds = failures <= 1 ? 0 : (failures - 1) * DELAY_STEP;

    return apr_time_from_sec(seconds < DELAY_MAX ? seconds : DELAY_MAX);
}

/* httpd passes an exit code or a signal in one number. The worker's exit codes are below SIGINT, and it handles
 * the signals below it. */
static const char *describe_end(int status, apr_pool_t *pool)
{
    if (status < 0) {
        return "unseen";
    }
    if (status > 255) {
        status = (status >> 8) & 255; /* an exit code as wait() encodes it */
    }
    if (status > SIGINT && status < NSIG) {
        return apr_psprintf(pool, "by signal %d (%s)", status, apr_signal_description_get(status));
    }
    return apr_psprintf(pool, "with exit code %d", status);
}

static void release_process(worker_t *worker)
{
    apr_pool_t *pool = worker->pool;

    worker->pool = NULL;
    worker->proc = NULL;
    if (pool != NULL) {
        apr_pool_destroy(pool); /* ends a process that still runs and waits for it */
    }
}

/* The monitor hook tries again. */
static void postpone_start(worker_t *worker)
{
    release_process(worker);
    worker->not_before = clock_boottime() + apr_time_from_sec(DELAY_MAX);
}

static void worker_died(worker_t *worker, int status)
{
    apr_time_t lived = clock_boottime() - worker->started;
    pid_t pid = worker->proc->pid;

    worker->failures = lived < LONG_LIFE ? worker->failures + 1 : 1;
    worker->not_before = clock_boottime() + delay_after(worker->failures);
    if (httpd_is_stopping()) {
        release_process(worker);
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, current.server,
                 "AMTU0103: the worker (pid %" APR_PID_T_FMT ") ended %s after %" APR_TIME_T_FMT
                 " s; it is started again%s",
                 pid, describe_end(status, worker->pool), apr_time_sec(lived),
                 worker->not_before > clock_boottime()
                     ? apr_psprintf(worker->pool, " in about %" APR_TIME_T_FMT " s",
                                    apr_time_sec(delay_after(worker->failures)))
                     : "");
    release_process(worker);
    if (worker->not_before <= clock_boottime()) {
        start_worker(worker);
    }
}

/* APR's callback for the process. Only its end matters: restarts of httpd do not touch it. */
static void worker_event(int reason, void *data, int status)
{
    worker_t *worker = data;

    if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) {
        return;
    }
    apr_proc_other_child_unregister(worker);
    worker_died(worker, reason == APR_OC_REASON_DEATH ? status : -1);
}

static void watch_worker(worker_t *worker)
{
    apr_proc_other_child_register(worker->proc, worker_event, worker, NULL, current.pconf);
}

static void launch_worker(worker_t *worker, launch_t *launch)
{
    apr_status_t status;

    launch->log_channel = amtunlock_log_channel_open();
    status = apr_proc_fork(worker->proc, worker->pool);
    if (status == APR_INCHILD) {
        amtunlock_launch_exec(launch);
    }
    if (launch->log_channel >= 0) {
        close(launch->log_channel);
    }
    if (status != APR_INPARENT) {
        ap_log_error(APLOG_MARK, APLOG_ERR, status, current.server, "AMTU0104: no worker yet: fork failed");
        postpone_start(worker);
        return;
    }
    apr_pool_note_subprocess(worker->pool, worker->proc, APR_KILL_AFTER_TIMEOUT);
    watch_worker(worker);
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, current.server,
                 "AMTU0105: the worker is started: pid %" APR_PID_T_FMT, worker->proc->pid);
}

static void start_worker(worker_t *worker)
{
    const amtunlock_server_t *conf = amtunlock_server(current.server);
    launch_t launch = {0};

    worker->started = clock_boottime();
    if (apr_pool_create(&worker->pool, current.server->process->pool) != APR_SUCCESS) {
        worker->pool = NULL;
        return;
    }
    apr_pool_tag(worker->pool, RETAINED_KEY);
    worker->proc = apr_pcalloc(worker->pool, sizeof(*worker->proc));
    find_origin(conf, &worker->origin, worker->pool);
    if (amtunlock_launch_prepare(&launch, conf, current.server, worker->pool)) {
        launch_worker(worker, &launch);
    }
    else {
        postpone_start(worker);
    }
}

/* ---- hooks ------------------------------------------------------------------------------------------ */

static worker_t *retained_worker(void)
{
    worker_t *worker = ap_retained_data_get(RETAINED_KEY);

    return worker != NULL ? worker : ap_retained_data_create(RETAINED_KEY, sizeof(*worker));
}

static void end_worker(worker_t *worker, const char *why)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, current.server,
                 "AMTU0106: the worker (pid %" APR_PID_T_FMT ") is ended: %s", worker->proc->pid, why);
    release_process(worker);
}

/* Ends the worker of an earlier configuration if it does not fit this one. */
static void end_unfit_worker(worker_t *worker, const amtunlock_server_t *conf, apr_pool_t *pool)
{
    /* By wait(), because a zombie has a pid too; it also reaps it. */
    if (worker->proc == NULL || apr_proc_wait(worker->proc, NULL, NULL, APR_NOWAIT) != APR_CHILD_NOTDONE) {
        release_process(worker);
    }
    else if (!current.wanted) {
        end_worker(worker, "AMTUnlockWorker is off");
    }
    else {
        origin_t now;

        find_origin(conf, &now, pool);
        if (memcmp(&now, &worker->origin, sizeof(now)) != 0) {
            end_worker(worker, "its program, settings file or user changed");
        }
    }
}

void amtunlock_worker_configure(apr_pool_t *pconf, server_rec *s)
{
    const amtunlock_server_t *conf = amtunlock_server(s);
    worker_t *worker = retained_worker();

    current.wanted = amtunlock_supervises(conf);
    current.server = s;
    current.pconf = pconf;
    end_unfit_worker(worker, conf, pconf);
    if (worker->proc != NULL) {
        watch_worker(worker);
        amtunlock_log_channel_send();
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, "AMTU0107: the worker runs on: pid %" APR_PID_T_FMT,
                     worker->proc->pid);
    }
    else if (current.wanted) {
        worker->failures = 0;
        start_worker(worker);
    }
}

int amtunlock_worker_monitor(apr_pool_t *pconf, server_rec *s)
{
    worker_t *worker = retained_worker();

    (void)pconf;
    (void)s;
    if (current.wanted && worker->proc == NULL && !httpd_is_stopping() &&
        clock_boottime() >= worker->not_before) {
        start_worker(worker);
    }
    return DECLINED;
}
