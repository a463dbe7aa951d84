/* SPDX-License-Identifier: Apache-2.0 */
/* See meeting_priv.h. */
#include "drives/meeting_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "drives/message_priv.h"

#define LOCK_NAME "drives-" DRIVES_VERSION ".lock"
#define SOCKET_NAME "drives-" DRIVES_VERSION ".socket"
#define LOCK_WAIT apr_time_from_sec(2)

/* This program, also if another file has its name by now. */
#define PROGRAM "/proc/self/exe"

static const char *meeting_error(const char *what, const char *folder, int error, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s in %s: %s", what, folder, text_strerror(error, pool));
}

/* ---- the lock ------------------------------------------------------------------------------------------ */

/* Who has it may have been stopped: an event loop does not wait for that. */
static int lock_folder(int folder)
{
    int lock = openat(folder, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    apr_time_t until = clock_boottime() + LOCK_WAIT;

    while (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;

        if ((error != EWOULDBLOCK && error != EINTR) || clock_boottime() >= until) {
            close(lock);
            errno = error;
            return -1;
        }
        apr_sleep(apr_time_from_msec(2));
    }
    return lock;
}

static int open_folder(const char *folder)
{
    return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int meeting_lock(const char *folder)
{
    int opened = open_folder(folder);
    int lock = opened >= 0 ? lock_folder(opened) : -1;

    if (opened >= 0) {
        close(opened);
    }
    return lock;
}

void meeting_close(const char *folder, apr_pool_t *pool)
{
    unlink(apr_pstrcat(pool, folder, "/" SOCKET_NAME, NULL));
}

/* ---- the socket ---------------------------------------------------------------------------------------- */

/* Through the folder's descriptor, since a path may be longer than a socket's name. */
static struct sockaddr_un address_in(int folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    apr_snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME, folder);
    return address;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* -1, and errno: ENOENT or ECONNREFUSED where nobody listens. */
static int connect_in(int folder)
{
    const struct sockaddr_un address = address_in(folder);
    int fd = new_socket();

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Its mode is set before it has a name. */
static int listen_in(int folder)
{
    const struct sockaddr_un address = address_in(folder);
    int fd = new_socket();

    if (fd < 0) {
        return -1;
    }
    unlinkat(folder, SOCKET_NAME, 0); /* of one that was killed */
    if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, MEETING_WAITING) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* ---- the process --------------------------------------------------------------------------------------- */

/* Its standard error is the log. Everything else that is open here is closed when it is executed. */
static int set_files(posix_spawn_file_actions_t *actions, int log, int listener)
{
    int error = posix_spawn_file_actions_adddup2(actions, log, STDERR_FILENO);

    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(actions, listener, MEETING_LISTENER);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO);
    }
    return error;
}

/* A session of its own: what is sent to the worker's group of processes is not for it. */
static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    return posix_spawnattr_setflags(attributes,
                                    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
}

static int spawn_program(pid_t *pid, const char *folder, int listener)
{
    char *const words[] = {"amtunlockd", "drives", (char *)folder, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&actions), log = -1;

    if (error != 0) {
        return error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error == 0) {
        log = log_duplicate();
        error = set_files(&actions, log, listener);
        error = error == 0 ? set_signals(&attributes) : error;
        error = error == 0 ? posix_spawn(pid, PROGRAM, &actions, &attributes, words, environ) : error;
        posix_spawnattr_destroy(&attributes);
        close(log);
    }
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* What is executed ends once its child, the drive process, is there: that one is nobody's child here. */
static const char *start_process(const char *folder, int listener, apr_pool_t *pool)
{
    pid_t pid = -1;
    int status = -1;
    int error = spawn_program(&pid, folder, listener);

    if (error != 0) {
        return meeting_error("the drive process cannot be executed", folder, error, pool);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0 ? NULL : "the drive process ended at once";
}

static const char *start_in(int *fd, int opened, const char *folder, apr_pool_t *pool)
{
    int listener = listen_in(opened);
    const char *error = NULL;

    if (listener < 0) {
        return meeting_error("no socket for the drive process", folder, errno, pool);
    }
    error = start_process(folder, listener, pool);
    close(listener);
    *fd = error == NULL ? connect_in(opened) : -1;
    return error == NULL && *fd < 0 ? meeting_error("no connection to the drive process", folder, errno, pool)
                                    : error;
}

const char *meeting_connect(int *fd, const char *folder, int start, apr_pool_t *pool)
{
    int opened = open_folder(folder);
    int lock = opened >= 0 ? lock_folder(opened) : -1;
    const char *error = NULL;

    *fd = -1;
    if (lock < 0) {
        error = meeting_error(LOCK_NAME " cannot be locked", folder, errno, pool);
    }
    else if ((*fd = connect_in(opened)) < 0) {
        int nobody = errno == ENOENT || errno == ECONNREFUSED;

        if (!nobody) {
            error = meeting_error("no connection to the drive process", folder, errno, pool);
        }
        else if (start) {
            error = start_in(fd, opened, folder, pool);
        }
    }
    if (lock >= 0) {
        close(lock);
    }
    if (opened >= 0) {
        close(opened);
    }
    return error;
}
