/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/launch_priv.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <http_log.h>

#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

#define CHANNEL 3 /* the descriptor that the worker's environment names */
#define WORKER_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- the worker's user ------------------------------------------------------------------------------- */

/* Reads "1234" into *id. The end of the number, or NULL. */
static const char *parse_id(const char *text, apr_int64_t *id)
{
    char *end = NULL;

    *id = apr_strtoi64(text, &end, 10);
    return end != text && *id > 0 && *id < (apr_int64_t)((uid_t)-1) ? end : NULL;
}

static const char *numeric_identity(const char *text, uid_t *uid, gid_t *gid, const char **name,
                                    apr_pool_t *pool)
{
    apr_int64_t user, group = 0;
    const char *end = parse_id(text, &user);
    const struct passwd *entry;

    if (end == NULL ||
        (*end && (strncmp(end, ":#", 2) != 0 || (end = parse_id(end + 2, &group)) == NULL || *end))) {
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

/* ---- before the fork -------------------------------------------------------------------------------- */

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

/* Nothing of httpd's own environment, which may name keytabs and more. A test build passes the variables that
 * tests set. */
static char *const *worker_environment(apr_pool_t *pool)
{
    apr_array_header_t *environment = apr_array_make(pool, 8, sizeof(char *));

    APR_ARRAY_PUSH(environment, char *) = "AMTUNLOCK_SUPERVISED=1";
    APR_ARRAY_PUSH(environment, char *) = "AMTUNLOCK_LOG_CHANNEL=3";
    APR_ARRAY_PUSH(environment, char *) = "PATH=" WORKER_PATH;
    APR_ARRAY_PUSH(environment, char *) = "LD_BIND_NOW=1"; /* else the worker executes itself once more */
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

int amtunlock_launch_prepare(launch_t *launch, const amtunlock_server_t *conf, server_rec *s,
                             apr_pool_t *pool)
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
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "AMTU0101: no privilege separation: httpd was not started as root, so the worker runs "
                     "as its user");
        return 1;
    }
    wrong = amtunlock_worker_identity(conf->worker_user, &launch->uid, &launch->gid, &name, pool);
    if (wrong != NULL || !prepare_groups(launch, name)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "AMTU0102: no worker: AMTUnlockWorkerUser %s: %s",
                     conf->worker_user, wrong != NULL ? wrong : "it is in too many groups");
        return 0;
    }
    return 1;
}

/* ---- in the child ----------------------------------------------------------------------------------- */

__attribute__((noreturn)) static void exit_child(const char *what)
{
    static const char prefix[] = "AMTU0100: the worker cannot be started: ";

    if (write(STDERR_FILENO, prefix, sizeof(prefix) - 1) < 0 ||
        write(STDERR_FILENO, what, strlen(what)) < 0 || write(STDERR_FILENO, "\n", 1) < 0) {
        _exit(126);
    }
    _exit(127);
}

static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL); /* fails for SIGKILL and SIGSTOP, which have no handler */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The worker gets a session of its own, because prefork signals its whole process group, and keeps none of
 * httpd's files but the error log and the channel to its next one. */
static void leave_httpd(const launch_t *launch)
{
    int null = open("/dev/null", O_RDWR);
    int first_closed = CHANNEL;

    if (setsid() < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) {
        exit_child("no session of its own");
    }
    if (launch->log_channel == CHANNEL ? fcntl(CHANNEL, F_SETFD, 0) == 0
                                       : dup2(launch->log_channel, CHANNEL) == CHANNEL) {
        first_closed++;
    }
    if (close_range((unsigned int)first_closed, ~0U, 0) != 0 || chdir("/") != 0) {
        exit_child("httpd's files cannot be closed");
    }
}

void amtunlock_launch_exec(const launch_t *launch)
{
    leave_httpd(launch);
    reset_signals();
    if (launch->drop && (setgroups((size_t)launch->group_count, launch->groups) != 0 ||
                         setgid(launch->gid) != 0 || setuid(launch->uid) != 0 || setuid(0) == 0)) {
        exit_child("its user cannot be taken");
    }
    execve(launch->program, launch->argv, launch->environment);
    exit_child("AMTUnlockWorkerProgram cannot be run");
}
