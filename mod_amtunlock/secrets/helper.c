/* SPDX-License-Identifier: Apache-2.0 */
/* The provider exec:PATH: a helper process is asked, as git asks its credential helpers.
 *
 * The question is written into the pipe before the helper starts (it is far smaller than a pipe), so that
 * writing can neither block nor raise SIGPIPE. The helper leads a process group of its own, which is killed
 * as a whole when its time is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/text.h"
#include "secrets/provider_priv.h"

#define TIME_LIMIT apr_time_from_sec(10)
#define KILLED_WITHIN apr_time_from_sec(2)
#define LOOK_AGAIN apr_time_from_msec(2)
#define OUTPUT_MAX 16384
#define DOES_NOT_KNOW 1 /* exit status */

typedef struct {
    const char *path;
    apr_pool_t *pool;
    apr_time_t deadline; /* by clock_monotonic() */
    pid_t pid;
    int output;
    apr_size_t count; /* bytes read */
    int status;       /* from waitpid() */
} helper_t;

/* False if the time was over first. */
static int wait_readable(const helper_t *helper, int fd)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    apr_time_t left;
    int ready;

    do {
        left = helper->deadline - clock_monotonic();
        ready = left > 0 ? poll(&watched, 1, (int)(left / 1000) + 1) : 0;
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static apr_ssize_t read_output(void *context, char *buffer, apr_size_t size)
{
    helper_t *helper = context;
    apr_ssize_t count;

    if (!wait_readable(helper, helper->output)) {
        errno = ETIMEDOUT;
        return -1;
    }
    if (helper->count >= OUTPUT_MAX) {
        errno = EFBIG;
        return -1;
    }
    count = read(helper->output, buffer, size);
    helper->count += count > 0 ? (apr_size_t)count : 0;
    return count;
}

/* ---- starting ------------------------------------------------------------------------------------------ */

/* A volume's name comes from the PC. */
static int is_name(const char *volume)
{
    for (const char *at = volume; at != NULL && *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~') {
            return 0;
        }
    }
    return volume != NULL && volume[0] != '\0';
}

static const char *write_question(secrets_need_e need, const secrets_subject_t *subject, apr_pool_t *pool)
{
    int names = need == SECRETS_DISK && is_name(subject->volume);

    return apr_pstrcat(pool, need == SECRETS_AMT ? "need=amt\n" : "need=disk\n", "fqdn=", subject->fqdn, "\n",
                       subject->uuid != NULL ? "uuid=" : "", subject->uuid != NULL ? subject->uuid : "",
                       subject->uuid != NULL ? "\n" : "",
                       "group=", subject->group != NULL ? subject->group : "default", "\n",
                       names ? "volume=" : "", names ? subject->volume : "", names ? "\n" : "", NULL);
}

/* A pipe that already holds the whole question; its reading end, or -1 and errno. */
static int question_pipe(const char *text)
{
    apr_size_t length = strlen(text);
    int ends[2];
    int good;

    if (length > PIPE_BUF) {
        errno = EMSGSIZE;
        return -1;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    good = write(ends[1], text, length) == (apr_ssize_t)length;
    close(ends[1]);
    if (!good) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

static int describe_files(posix_spawn_file_actions_t *actions, int input, int output)
{
    int number = posix_spawn_file_actions_adddup2(actions, input, STDIN_FILENO);

    number = number ? number : posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
    number =
        number ? number : posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    number = number ? number : posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    return number ? number : posix_spawn_file_actions_addchdir_np(actions, "/");
}

/* Own process group, no blocked and no ignored signals of ours. */
static int describe_process(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int number;

    sigemptyset(&none);
    sigfillset(&all);
    number = posix_spawnattr_setsigmask(attributes, &none);
    number = number ? number : posix_spawnattr_setsigdefault(attributes, &all);
    number = number ? number : posix_spawnattr_setpgroup(attributes, 0);
    return number ? number
                  : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                             POSIX_SPAWN_SETPGROUP);
}

/* 0, or an errno. */
static int helper_spawn(helper_t *helper, int input, int output)
{
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char language[] = "LANG=C.UTF-8";
    char *environment[] = {path, language, NULL};
    char *arguments[] = {apr_pstrdup(helper->pool, helper->path), NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int number;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    number = describe_files(&actions, input, output);
    number = number ? number : describe_process(&attributes);
    number = number ? number
                    : posix_spawn(&helper->pid, helper->path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return number;
}

/* ---- helpers that could not be ended ------------------------------------------------------------------- */

/* They run as another user by now (setuid), or hang in the kernel (a file system that is away). */
#define LOST_MOST 64

static struct {
    pthread_mutex_t lock;
    pid_t pids[LOST_MOST];
    int count;
} lost = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Takes leave of those that have ended. Zero: there are too many left to start another. */
static int reap_lost(void)
{
    int room = 0;

    pthread_mutex_lock(&lost.lock);
    for (int i = lost.count - 1; i >= 0; i--) {
        if (waitpid(lost.pids[i], NULL, WNOHANG) != 0) {
            lost.pids[i] = lost.pids[--lost.count];
        }
    }
    room = lost.count < LOST_MOST;
    pthread_mutex_unlock(&lost.lock);
    return room;
}

static void note_lost(pid_t pid)
{
    pthread_mutex_lock(&lost.lock);
    if (lost.count < LOST_MOST) {
        lost.pids[lost.count++] = pid;
    }
    pthread_mutex_unlock(&lost.lock);
}

/* Of one that has ended, or was killed. NULL, or what is wrong. */
static const char *helper_reap(helper_t *helper)
{
    apr_time_t until = clock_monotonic() + KILLED_WITHIN;
    pid_t ended = 0;

    while ((ended = waitpid(helper->pid, &helper->status, WNOHANG)) == 0 && clock_monotonic() < until) {
        apr_sleep(LOOK_AGAIN);
    }
    if (ended == 0) {
        note_lost(helper->pid);
        return "did not end in time, and cannot be killed";
    }
    return ended < 0 ? "ended without a status" : NULL;
}

/* 0, or an errno. */
static int helper_start(helper_t *helper, const char *text)
{
    int ends[2];
    int input = -1;
    int number;

    if (!reap_lost()) {
        return EAGAIN;
    }
    input = question_pipe(text);
    if (input < 0) {
        return errno;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        number = errno;
        close(input);
        return number;
    }
    number = helper_spawn(helper, input, ends[1]);
    close(input);
    close(ends[1]);
    helper->output = ends[0];
    if (number != 0) {
        close(ends[0]);
    }
    return number;
}

/* ---- reading and ending -------------------------------------------------------------------------------- */

/* Takes the value of a line `key=value`; the first line with a key wins. */
static int take_value(const char *line, const char *key, char **value)
{
    apr_size_t length = strlen(key);

    if (*value != NULL || strncmp(line, key, length) != 0 || line[length] == '\0') {
        return 1;
    }
    *value = secrets_copy(line + length, strlen(line + length));
    return *value != NULL;
}

/* NULL, or what is wrong with the answer. */
static const char *read_answer(helper_t *helper, secrets_need_e need, secrets_found_t *found)
{
    secrets_lines_t lines;
    const char *fault;
    char *line;
    int good = secrets_lines_open(&lines, read_output, helper);

    while (good && (line = secrets_lines_next(&lines)) != NULL) {
        good = need == SECRETS_DISK ? take_value(line, "passphrase=", &found->secret) &&
                                          take_value(line, "volume=", &found->volume)
                                    : take_value(line, "username=", &found->user) &&
                                          take_value(line, "password=", &found->secret);
    }
    fault = good ? lines.fault : "the secure heap is full";
    if (good && fault != NULL && errno == ETIMEDOUT) {
        fault = "did not answer in time";
    }
    else if (good && fault != NULL && errno == EFBIG) {
        fault = "wrote more than 16 KiB";
    }
    if (lines.buffer != NULL) {
        secrets_lines_close(&lines);
    }
    return fault;
}

/* Waits for the helper to end, until the deadline. One that is late or not wanted any more is killed. */
static const char *helper_finish(helper_t *helper, int wanted)
{
    int watch = wanted ? pidfd_open(helper->pid, 0) : -1;
    int ended = watch >= 0 && wait_readable(helper, watch);
    const char *fault = NULL, *unended = NULL;

    if (wanted && watch < 0) {
        fault = "cannot be watched (pidfd_open)";
    }
    else if (wanted && !ended) {
        fault = "did not end in time";
    }
    if (!ended) {
        kill(-helper->pid, SIGKILL);
        kill(helper->pid, SIGKILL); /* it may have left its group */
    }
    unended = helper_reap(helper);
    if (watch >= 0) {
        close(watch);
    }
    return unended != NULL ? unended : fault;
}

/* What the exit status and the answer of an ended helper mean. */
static apr_status_t helper_judge(const helper_t *helper, secrets_need_e need, const secrets_found_t *found,
                                 const char **error)
{
    int complete = found->secret != NULL && (need == SECRETS_DISK || found->user != NULL);

    if (!WIFEXITED(helper->status)) {
        *error =
            apr_psprintf(helper->pool, "%s: was ended by signal %d", helper->path, WTERMSIG(helper->status));
        return APR_EGENERAL;
    }
    if (WEXITSTATUS(helper->status) == DOES_NOT_KNOW) {
        return APR_NOTFOUND;
    }
    if (WEXITSTATUS(helper->status) != 0) {
        *error =
            apr_psprintf(helper->pool, "%s: failed with exit status %d; run it by hand to see what it says",
                         helper->path, WEXITSTATUS(helper->status));
        return APR_EGENERAL;
    }
    if (!complete && (found->user != NULL || found->secret != NULL)) {
        *error = apr_psprintf(helper->pool, "%s: gave only one of username= and password=", helper->path);
        return APR_EGENERAL;
    }
    return complete ? APR_SUCCESS : APR_NOTFOUND;
}

apr_status_t secrets_helper_ask(const char *path, secrets_need_e need, const secrets_subject_t *subject,
                                apr_interval_time_t limit, secrets_found_t *found, const char **error,
                                apr_pool_t *pool)
{
    helper_t helper = {.path = path, .pool = pool, .deadline = clock_monotonic() + limit};
    const char *answer_fault, *end_fault;
    apr_status_t status;
    int number = helper_start(&helper, write_question(need, subject, pool));

    if (number != 0) {
        *error = text_file_error(path, "cannot be started", number, pool);
        return APR_FROM_OS_ERROR(number);
    }
    answer_fault = read_answer(&helper, need, found);
    close(helper.output);
    end_fault = helper_finish(&helper, answer_fault == NULL);
    if (answer_fault != NULL || end_fault != NULL) {
        *error = apr_psprintf(pool, "%s: %s", path, answer_fault != NULL ? answer_fault : end_fault);
        status = APR_EGENERAL;
    }
    else {
        status = helper_judge(&helper, need, found, error);
    }
    if (status != APR_SUCCESS) {
        secrets_found_wipe(found);
    }
    return status;
}

static apr_status_t helper_find(const char *path, secrets_need_e need, const secrets_subject_t *subject,
                                secrets_found_t *found, const char **error, apr_pool_t *pool)
{
    apr_status_t status = secrets_helper_ask(path, need, subject, TIME_LIMIT, found, error, pool);

    /* A helper that does not know of volumes gives the system's passphrase whichever asks. */
    if (status == APR_SUCCESS && need == SECRETS_DISK && subject->own &&
        (found->volume == NULL || subject->volume == NULL || strcmp(found->volume, subject->volume) != 0)) {
        secrets_found_wipe(found);
        return APR_NOTFOUND;
    }
    return status;
}

/* A user who may write the helper can read the secrets, so it must be as safe as the worker's own files. */
static const char *helper_check(const char *path, apr_pool_t *pool)
{
    struct stat info;

    if (path[0] != '/') {
        return apr_psprintf(pool, "%s: a helper is named by its whole path", path);
    }
    if (stat(path, &info) != 0) {
        return text_file_error(path, "cannot be examined", errno, pool);
    }
    if (!S_ISREG(info.st_mode) || access(path, X_OK) != 0) {
        return apr_psprintf(pool, "%s: is not a program that this user may run", path);
    }
    if ((info.st_uid != 0 && info.st_uid != geteuid()) || (info.st_mode & 022)) {
        return apr_psprintf(pool,
                            "%s: others may change it (owner %d, mode %04o): chown it to root, chmod 0755",
                            path, (int)info.st_uid, (unsigned int)(info.st_mode & 07777));
    }
    return NULL;
}

const secrets_provider_t secrets_helper_provider = {"exec", helper_check, helper_find};
