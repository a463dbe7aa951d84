/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the C library that may fail, in front of the real ones. What the library calls inside itself
 * (a stream's read, a resolver's socket) does not come through here: the outer call fails instead.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE 1
#include "failing.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define WAYS 4

/* The ways of a call to fail; a number of -1 is no failure, but less done than was asked for. */
enum { LESS = -1 };
typedef struct {
    const char *names[WAYS];
    int numbers[WAYS];
    int count;
} ways_t;

static const ways_t opening = {{"EMFILE", "ENOMEM"}, {EMFILE, ENOMEM}, 2};
static const ways_t examining = {{"EIO"}, {EIO}, 1};
static const ways_t syncing = {{"EIO", "ENOSPC"}, {EIO, ENOSPC}, 2};
static const ways_t reading_file = {{"EIO", "EINTR", "less"}, {EIO, EINTR, LESS}, 3};
static const ways_t writing_file = {{"ENOSPC", "EIO", "EINTR", "less"}, {ENOSPC, EIO, EINTR, LESS}, 4};
static const ways_t reading_socket = {{"ECONNRESET", "EINTR", "less"}, {ECONNRESET, EINTR, LESS}, 3};
static const ways_t writing_socket = {{"EPIPE", "EINTR", "less"}, {EPIPE, EINTR, LESS}, 3};
static const ways_t connecting = {{"ECONNREFUSED", "EAGAIN"}, {ECONNREFUSED, EAGAIN}, 2};
static const ways_t polling = {{"EINTR", "ENOMEM"}, {EINTR, ENOMEM}, 2};
static const ways_t waiting = {{"EINTR"}, {EINTR}, 1};
static const ways_t locking = {{"ENOLCK", "EWOULDBLOCK"}, {ENOLCK, EWOULDBLOCK}, 2};
static const ways_t beginning = {{"EAGAIN"}, {EAGAIN}, 1};
static const ways_t setting = {{"ENOBUFS"}, {ENOBUFS}, 1};
static const ways_t never = {{NULL}, {0}, 0};
static const ways_t mending = {{"EIO"}, {EIO}, 1};

/* 0: the call is made as it was asked for; else LESS, or the errno that is set. */
static int trouble(const char *call, const ways_t *ways, const void *caller)
{
    int way = failing_way(call, ways->names, ways->count, caller);

    if (way < 0) {
        return 0;
    }
    if (ways->numbers[way] != LESS) {
        errno = ways->numbers[way];
    }
    return ways->numbers[way];
}

static void *real_of(const char *name)
{
    void *found;

    failing_pause();
    found = dlsym(RTLD_NEXT, name);
    failing_resume();
    if (found == NULL) {
        abort();
    }
    return found;
}

/* Declares `real`, a pointer to what `name` would be without us. */
#define REAL(name)                                                                                           \
    static __typeof__(name) *real;                                                                           \
    if (real == NULL) {                                                                                      \
        real = (__typeof__(name) *)real_of(#name);                                                           \
    }

#define MAY_FAIL(name, ways, failed)                                                                         \
    REAL(name)                                                                                               \
    if (trouble(#name, &(ways), CALLER) != 0) {                                                              \
        return failed;                                                                                       \
    }

static size_t less(size_t length)
{
    return length > 1 ? length / 2 : length;
}

/* ---- files --------------------------------------------------------------------------------------------- */

#define DEFINE_OPEN(name)                                                                                    \
    EXPORT int name(const char *path, int flags, ...)                                                        \
    {                                                                                                        \
        va_list more;                                                                                        \
        mode_t mode;                                                                                         \
        MAY_FAIL(name, opening, -1)                                                                          \
        va_start(more, flags);                                                                               \
        mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                                     \
        va_end(more);                                                                                        \
        return real(path, flags, mode);                                                                      \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_STAT(name, type, first)                                                                       \
    EXPORT int name(first what, type *info)                                                                  \
    {                                                                                                        \
        MAY_FAIL(name, examining, -1)                                                                        \
        return real(what, info);                                                                             \
    }
DEFINE_STAT(stat, struct stat, const char *)
DEFINE_STAT(stat64, struct stat64, const char *)
DEFINE_STAT(lstat, struct stat, const char *)
DEFINE_STAT(lstat64, struct stat64, const char *)
DEFINE_STAT(fstat, struct stat, int)
DEFINE_STAT(fstat64, struct stat64, int)

#define DEFINE_ONE_FD(name, ways)                                                                            \
    EXPORT int name(int fd)                                                                                  \
    {                                                                                                        \
        MAY_FAIL(name, ways, -1)                                                                             \
        return real(fd);                                                                                     \
    }
DEFINE_ONE_FD(fsync, syncing)
DEFINE_ONE_FD(fdatasync, syncing)

#define DEFINE_TRUNCATE(name, type)                                                                          \
    EXPORT int name(int fd, type length)                                                                     \
    {                                                                                                        \
        MAY_FAIL(name, mending, -1)                                                                          \
        return real(fd, length);                                                                             \
    }
DEFINE_TRUNCATE(ftruncate, off_t)
DEFINE_TRUNCATE(ftruncate64, off64_t)

EXPORT int flock(int fd, int operation)
{
    MAY_FAIL(flock, locking, -1)
    return real(fd, operation);
}

EXPORT int access(const char *path, int mode)
{
    MAY_FAIL(access, examining, -1)
    return real(path, mode);
}

EXPORT char *realpath(const char *path, char *resolved)
{
    MAY_FAIL(realpath, examining, NULL)
    return real(path, resolved);
}

EXPORT int rename(const char *from, const char *to)
{
    MAY_FAIL(rename, mending, -1)
    return real(from, to);
}

EXPORT int link(const char *from, const char *to)
{
    MAY_FAIL(link, mending, -1)
    return real(from, to);
}

#define DEFINE_TEMPORARY(name)                                                                               \
    EXPORT int name(char *path, int flags)                                                                   \
    {                                                                                                        \
        MAY_FAIL(name, opening, -1)                                                                          \
        return real(path, flags);                                                                            \
    }
DEFINE_TEMPORARY(mkostemp)
DEFINE_TEMPORARY(mkostemp64)

EXPORT DIR *opendir(const char *path)
{
    MAY_FAIL(opendir, opening, NULL)
    return real(path);
}

#define DEFINE_READDIR(name, type)                                                                           \
    EXPORT type *name(DIR *directory)                                                                        \
    {                                                                                                        \
        MAY_FAIL(name, examining, NULL)                                                                      \
        return real(directory);                                                                              \
    }
DEFINE_READDIR(readdir, struct dirent)
DEFINE_READDIR(readdir64, struct dirent64)

/* ---- bytes --------------------------------------------------------------------------------------------- */

/* What wakes a thread (eventfd, timerfd) does not fail. */
static const ways_t *ways_of(int fd, int writes)
{
    static int (*real_fstat)(int, struct stat *);
    struct stat info = {0};
    int number = errno;

    if (real_fstat == NULL) {
        real_fstat = (int (*)(int, struct stat *))real_of("fstat");
    }
    real_fstat(fd, &info);
    errno = number;
    if (S_ISSOCK(info.st_mode) || S_ISFIFO(info.st_mode)) {
        return writes ? &writing_socket : &reading_socket;
    }
    if (!S_ISREG(info.st_mode)) {
        return &never;
    }
    return writes ? &writing_file : &reading_file;
}

/* `parameters`, `arguments`: what follows the length. */
#define DEFINE_TRANSFER(name, buffer_type, writes, parameters, arguments)                                    \
    EXPORT ssize_t name(int fd, buffer_type buffer, size_t length parameters)                                \
    {                                                                                                        \
        int number;                                                                                          \
        REAL(name)                                                                                           \
        number = trouble(#name, ways_of(fd, writes), CALLER);                                                \
        if (number > 0) {                                                                                    \
            return -1;                                                                                       \
        }                                                                                                    \
        return real(fd, buffer, number == LESS ? less(length) : length arguments);                           \
    }
#define AND ,
DEFINE_TRANSFER(read, void *, 0, , )
DEFINE_TRANSFER(pread, void *, 0, AND off_t from, AND from)
DEFINE_TRANSFER(pread64, void *, 0, AND off64_t from, AND from)
DEFINE_TRANSFER(recv, void *, 0, AND int flags, AND flags)
DEFINE_TRANSFER(write, const void *, 1, , )
DEFINE_TRANSFER(pwrite, const void *, 1, AND off_t from, AND from)
DEFINE_TRANSFER(pwrite64, const void *, 1, AND off64_t from, AND from)
DEFINE_TRANSFER(send, const void *, 1, AND int flags, AND flags)

/* What -D_FORTIFY_SOURCE makes of read() and its like: the size of the buffer comes last. */
ssize_t __read_chk(int fd, void *buffer, size_t length, size_t capacity);
ssize_t __pread64_chk(int fd, void *buffer, size_t length, off64_t from, size_t capacity);
ssize_t __recv_chk(int fd, void *buffer, size_t length, size_t capacity, int flags);
DEFINE_TRANSFER(__read_chk, void *, 0, AND size_t capacity, AND capacity)
DEFINE_TRANSFER(__pread64_chk, void *, 0, AND off64_t from AND size_t capacity, AND from AND capacity)
DEFINE_TRANSFER(__recv_chk, void *, 0, AND size_t capacity AND int flags, AND capacity AND flags)

EXPORT ssize_t writev(int fd, const struct iovec *vectors, int count)
{
    int number;

    REAL(writev)
    number = trouble("writev", ways_of(fd, 1), CALLER);
    if (number > 0) {
        return -1;
    }
    return real(fd, vectors, number == LESS && count > 1 ? 1 : count);
}

/* ---- streams ------------------------------------------------------------------------------------------- */

#define STREAM_ERROR 0x0020 /* _IO_ERR_SEEN, which ferror() reads */

#define DEFINE_FOPEN(name)                                                                                   \
    EXPORT FILE *name(const char *path, const char *mode)                                                    \
    {                                                                                                        \
        MAY_FAIL(name, opening, NULL)                                                                        \
        return real(path, mode);                                                                             \
    }
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

EXPORT FILE *fdopen(int fd, const char *mode)
{
    MAY_FAIL(fdopen, opening, NULL)
    return real(fd, mode);
}

EXPORT char *fgets(char *text, int capacity, FILE *stream)
{
    REAL(fgets)
    if (trouble("fgets", &examining, CALLER) != 0) {
        stream->_flags |= STREAM_ERROR;
        return NULL;
    }
    return real(text, capacity, stream);
}

/* What getline() is, inline. */
ssize_t __getdelim(char **line, size_t *capacity, int end, FILE *stream);
EXPORT ssize_t __getdelim(char **line, size_t *capacity, int end, FILE *stream)
{
    REAL(__getdelim)
    if (trouble("getline", &examining, CALLER) != 0) {
        stream->_flags |= STREAM_ERROR;
        return -1;
    }
    return real(line, capacity, end, stream);
}

/* ---- sockets, waiting ---------------------------------------------------------------------------------- */

EXPORT int socket(int domain, int type, int protocol)
{
    MAY_FAIL(socket, opening, -1)
    return real(domain, type, protocol);
}

EXPORT int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    MAY_FAIL(connect, connecting, -1)
    return real(fd, address, length);
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    MAY_FAIL(setsockopt, setting, -1)
    return real(fd, level, name, value, length);
}

EXPORT int poll(struct pollfd *watched, nfds_t count, int timeout)
{
    MAY_FAIL(poll, polling, -1)
    return real(watched, count, timeout);
}

int __poll_chk(struct pollfd *watched, nfds_t count, int timeout, size_t capacity);
EXPORT int __poll_chk(struct pollfd *watched, nfds_t count, int timeout, size_t capacity)
{
    MAY_FAIL(__poll_chk, polling, -1)
    return real(watched, count, timeout, capacity);
}

EXPORT int epoll_create1(int flags)
{
    MAY_FAIL(epoll_create1, opening, -1)
    return real(flags);
}

EXPORT int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    MAY_FAIL(epoll_wait, waiting, -1)
    return real(fd, events, count, timeout);
}

EXPORT int eventfd(unsigned int value, int flags)
{
    MAY_FAIL(eventfd, opening, -1)
    return real(value, flags);
}

EXPORT int pipe2(int ends[2], int flags)
{
    MAY_FAIL(pipe2, opening, -1)
    return real(ends, flags);
}

EXPORT int memfd_create(const char *name, unsigned int flags)
{
    MAY_FAIL(memfd_create, opening, -1)
    return real(name, flags);
}

EXPORT int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    int way;

    static const char *const names[] = {"EAI_AGAIN", "EAI_MEMORY"};
    static const int numbers[] = {EAI_AGAIN, EAI_MEMORY};
    REAL(getaddrinfo)
    way = failing_way("getaddrinfo", names, LENGTH(names), CALLER);
    return way < 0 ? real(node, service, hints, found) : numbers[way];
}

/* ---- processes and threads ----------------------------------------------------------------------------- */

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment)
{
    MAY_FAIL(posix_spawn, beginning, EAGAIN)
    return real(pid, path, actions, attributes, arguments, environment);
}

EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
    MAY_FAIL(waitpid, waiting, -1)
    return real(pid, status, options);
}

EXPORT int pidfd_open(pid_t pid, unsigned int flags)
{
    MAY_FAIL(pidfd_open, opening, -1)
    return real(pid, flags);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                          void *data)
{
    MAY_FAIL(pthread_create, beginning, EAGAIN)
    return real(thread, attributes, start, data);
}
