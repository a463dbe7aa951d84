/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's life under httpd: started once, kept through restarts, started again when it dies, ended with
 * the server.
 *
 * A restart of httpd throws away its configuration pool and unloads this module, and the worker must not
 * notice: an unlock takes minutes. So what is known of the worker lives in httpd's retained data and in a
 * pool of the process, nothing there points into this module, and each new configuration registers the
 * process again. Ending the server destroys that pool, and APR ends the process (SIGTERM, after 3 s SIGKILL).
 *
 * Redis carries the work, so all this is convenience: whatever dies here loses nothing.
 */
#include "httpd/mod_amtunlock_priv.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
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

APLOG_USE_MODULE(amtunlock);

#define RETAINED_KEY "mod_amtunlock-worker"
#define WORKER_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A worker that lived this long is started again at once; one that did not, after a delay that grows. httpd's
 * parent looks every ten seconds or so, which rounds the delay up. */
#define LONG_LIFE apr_time_from_sec(30)
#define DELAY_STEP 5
#define DELAY_MAX 30

/* What tells a changed file from the same one. */
typedef struct {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
} file_mark_t;

/* What a worker was started from; a difference replaces it at a restart. Plain data, compared as bytes. */
typedef struct {
    file_mark_t program;
    file_mark_t settings;
    uid_t uid;
    gid_t gid;
} origin_t;

/* Survives restarts of httpd. */
typedef struct {
    apr_pool_t *pool; /* of the running worker: proc, and its end; NULL where none runs */
    apr_proc_t *proc;
    origin_t origin;
    apr_time_t started;    /* by clock_boottime(), as what follows: the wall clock may be set */
    int failures;          /* deaths in a row after a short life */
    apr_time_t not_before; /* the next start */
} worker_t;

/* What this generation of the configuration wants. */
static struct {
    int wanted;
    server_rec *server;
    apr_pool_t *pconf;
} current;

static void start_worker(worker_t *worker);

/* ---- as whom ---------------------------------------------------------------------------------------- */

/* "1234" in *id; returns the end, or NULL. */
static const char *read_id(const char *text, apr_int64_t *id)
{
    char *end = NULL;

    *id = apr_strtoi64(text, &end, 10);
    return end != text && *id > 0 && *id < (apr_int64_t)((uid_t)-1) ? end : NULL;
}

static const char *numeric_identity(const char *text, uid_t *uid, gid_t *gid, const char **name,
                                    apr_pool_t *pool)
{
    apr_int64_t user, group = 0;
    const char *end = read_id(text, &user);
    const struct passwd *entry;

    if (end == NULL ||
        (*end && (strncmp(end, ":#", 2) != 0 || (end = read_id(end + 2, &group)) == NULL || *end))) {
        return "must be NAME, #UID or #UID:#GID, and neither number may be 0";
    }
    *uid = (uid_t)user;
    entry = getpwuid(*uid);
    *name = entry != NULL ? apr_pstrdup(pool, entry->pw_name) : NULL;
    *gid = entry != NULL ? entry->pw_gid : (gid_t)user;
    if (strchr(text, ':') != NULL) {
        *gid = (gid_t)group;
    }
    return NULL;
}

const char *amtunlock_worker_identity(const char *user, uid_t *uid, gid_t *gid, const char **name,
                                      apr_pool_t *pool)
{
    const struct passwd *entry;

    if (*user == '#') {
        return numeric_identity(user + 1, uid, gid, name, pool);
    }
    entry = getpwnam(user);
    if (entry == NULL) {
        return "there is no such user; create it (a system user without a shell)";
    }
    if (!entry->pw_uid) {
        return "the worker must not run as root";
    }
    *uid = entry->pw_uid;
    *gid = entry->pw_gid;
    *name = apr_pstrdup(pool, entry->pw_name);
    return NULL;
}

/* ---- from what -------------------------------------------------------------------------------------- */

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

/* Zeroed first: what is compared as bytes must not hold padding of chance. */
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

/* ---- the child before it is the worker -------------------------------------------------------------- */

/* What the child needs, looked up before the fork: after it, only system calls. */
typedef struct {
    const char *program;
    char *const *argv;
    char *const *environment;
    int drop;
    uid_t uid;
    gid_t gid;
    gid_t groups[64];
    int group_count;
} launch_t;

static void say_and_exit(const char *what)
{
    static const char prefix[] = "AMTU0100: the worker cannot be started: ";

    if (write(STDERR_FILENO, prefix, sizeof(prefix) - 1) < 0 ||
        write(STDERR_FILENO, what, strlen(what)) < 0 || write(STDERR_FILENO, "\n", 1) < 0) {
        _exit(126);
    }
    _exit(127);
}

static void drop_privileges(const launch_t *launch)
{
    if (setgroups((size_t)launch->group_count, launch->groups) != 0 || setgid(launch->gid) != 0 ||
        setuid(launch->uid) != 0 || setuid(0) == 0) {
        say_and_exit("its user cannot be taken");
    }
}

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL); /* two of them refuse, rightly */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A session of its own: prefork signals its whole process group. Nothing of httpd's but the error log. */
static void become_worker(const launch_t *launch)
{
    int null = open("/dev/null", O_RDWR);

    if (setsid() < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) {
        say_and_exit("no session of its own");
    }
    if (close_range(3, ~0U, 0) != 0 || chdir("/") != 0) {
        say_and_exit("httpd's files cannot be closed");
    }
    reset_signals();
    if (launch->drop) {
        drop_privileges(launch);
    }
    execve(launch->program, launch->argv, launch->environment);
    say_and_exit("AMTUnlockWorkerProgram cannot be run");
}

static int prepare_groups(launch_t *launch, const char *name)
{
    launch->group_count = (int)(sizeof(launch->groups) / sizeof(launch->groups[0]));
    if (name != NULL) {
        return getgrouplist(name, launch->gid, launch->groups, &launch->group_count) >= 0;
    }
    launch->groups[0] = launch->gid;
    launch->group_count = 1;
    return 1;
}

/* Nothing of httpd's own environment: it may name keytabs and more. A test build hands on what tests set. */
static char *const *worker_environment(apr_pool_t *pool)
{
    apr_array_header_t *environment = apr_array_make(pool, 8, sizeof(char *));

    APR_ARRAY_PUSH(environment, char *) = "AMTUNLOCK_SUPERVISED=1";
    APR_ARRAY_PUSH(environment, char *) = "PATH=" WORKER_PATH;
    APR_ARRAY_PUSH(environment, char *) = "LD_BIND_NOW=1"; /* or it starts itself anew: see worker/main.c */
#ifdef AMTUNLOCK_TEST
    for (char **variable = environ; *variable != NULL; variable++) {
        if (strncmp(*variable, "AMTUNLOCK_TEST_", sizeof("AMTUNLOCK_TEST_") - 1) == 0) {
            APR_ARRAY_PUSH(environment, char *) = *variable;
        }
    }
#endif
    APR_ARRAY_PUSH(environment, char *) = NULL;
    return (char *const *)environment->elts;
}

/* True if the child may be made; every reason why not is logged. */
static int prepare_launch(const amtunlock_server_t *conf, launch_t *launch, apr_pool_t *pool)
{
    const char *wrong, *name = NULL;
    char **argv = apr_pcalloc(pool, 4 * sizeof(*argv));

    argv[0] = "amtunlockd";
    argv[1] = "-c";
    argv[2] = apr_pstrdup(pool, conf->worker_config);
    launch->program = conf->worker_program;
    launch->argv = argv;
    launch->environment = worker_environment(pool);
    launch->drop = geteuid() == 0;
    if (!launch->drop) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, current.server,
                     "AMTU0101: no privilege separation: httpd was not started as root, so the worker "
                     "runs as its user");
        return 1;
    }
    wrong = amtunlock_worker_identity(conf->worker_user, &launch->uid, &launch->gid, &name, pool);
    if (wrong != NULL || !prepare_groups(launch, name)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, current.server,
                     "AMTU0102: no worker: AMTUnlockWorkerUser %s: %s", conf->worker_user,
                     wrong ? wrong : "it is in too many groups");
        return 0;
    }
    return 1;
}

/* ---- life and death --------------------------------------------------------------------------------- */

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

/* httpd gives one number for both; the worker's own exit codes are small, and signals that small it handles.
 */
static const char *describe_end(int status, apr_pool_t *pool)
{
    if (status < 0) {
        return "unseen";
    }
    if (status > 255) {
        status = (status >> 8) & 255; /* as wait() writes an exit code */
    }
    if (status > SIGINT && status < NSIG) {
        return apr_psprintf(pool, "by signal %d (%s)", status, apr_signal_description_get(status));
    }
    return apr_psprintf(pool, "with exit code %d", status);
}

static void forget_process(worker_t *worker)
{
    apr_pool_t *pool = worker->pool;

    worker->pool = NULL;
    worker->proc = NULL;
    if (pool != NULL) {
        apr_pool_destroy(pool); /* ends a process that still runs, and waits for it */
    }
}

/* No process came to be: tried again by the monitor. */
static void postpone(worker_t *worker)
{
    forget_process(worker);
    worker->not_before = clock_boottime() + apr_time_from_sec(DELAY_MAX);
}

static void worker_died(worker_t *worker, int status)
{
    apr_time_t lived = clock_boottime() - worker->started;
    pid_t pid = worker->proc->pid;

    worker->failures = lived < LONG_LIFE ? worker->failures + 1 : 1;
    worker->not_before = clock_boottime() + delay_after(worker->failures);
    if (httpd_is_stopping()) {
        forget_process(worker);
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
    forget_process(worker);
    if (worker->not_before <= clock_boottime()) {
        start_worker(worker);
    }
}

/* APR tells what became of the process. Only its death matters: restarts of httpd do not touch it. */
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

static void launch_worker(worker_t *worker, const launch_t *launch)
{
    apr_status_t status = apr_proc_fork(worker->proc, worker->pool);

    if (status == APR_INCHILD) {
        become_worker(launch);
    }
    if (status != APR_INPARENT) {
        ap_log_error(APLOG_MARK, APLOG_ERR, status, current.server, "AMTU0104: no worker yet: fork failed");
        postpone(worker);
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
    if (prepare_launch(conf, &launch, worker->pool)) {
        launch_worker(worker, &launch);
    }
    else {
        postpone(worker);
    }
}

/* ---- what httpd's hooks want ------------------------------------------------------------------------ */

static worker_t *retained_worker(void)
{
    worker_t *worker = ap_retained_data_get(RETAINED_KEY);

    return worker != NULL ? worker : ap_retained_data_create(RETAINED_KEY, sizeof(*worker));
}

/* A zombie has a pid too, so ask wait(), which also buries it. */
static int is_alive(worker_t *worker)
{
    return worker->proc != NULL && apr_proc_wait(worker->proc, NULL, NULL, APR_NOWAIT) == APR_CHILD_NOTDONE;
}

static int is_outdated(const worker_t *worker, const amtunlock_server_t *conf, apr_pool_t *pool)
{
    origin_t now;

    find_origin(conf, &now, pool);
    return memcmp(&now, &worker->origin, sizeof(now)) != 0;
}

/* Ends the worker of an earlier configuration, with the reason. */
static void end_worker(worker_t *worker, const char *why)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, current.server,
                 "AMTU0106: the worker (pid %" APR_PID_T_FMT ") is ended: %s", worker->proc->pid, why);
    forget_process(worker);
}

void amtunlock_worker_configure(apr_pool_t *pconf, server_rec *s)
{
    const amtunlock_server_t *conf = amtunlock_server(s);
    worker_t *worker = retained_worker();

    current.wanted = amtunlock_supervises(conf);
    current.server = s;
    current.pconf = pconf;
    if (!is_alive(worker)) {
        forget_process(worker);
    }
    else if (!current.wanted) {
        end_worker(worker, "AMTUnlockWorker is off");
    }
    else if (is_outdated(worker, conf, pconf)) {
        end_worker(worker, "its program, settings file or user changed");
    }
    if (worker->proc != NULL) {
        watch_worker(worker);
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
