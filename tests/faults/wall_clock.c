/* SPDX-License-Identifier: Apache-2.0 */
/* A wall clock that a test can set: preloaded into one process, it shows the host's plus what the file that
 * AMTU_WALL_CLOCK names says, seconds in eight bytes, read each time. Other clocks are the host's.
 *
 * libfaketime is no way here: it calls dlsym() when it is first asked, which allocates, and Redis' allocator
 * asks for the time when it allocates first. This asks the kernel, and nothing else.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

static const _Atomic int64_t *offset;

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("AMTU_WALL_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) {
        abort(); /* a process whose clock cannot be set would prove nothing */
    }
    close(fd);
    offset = map;
}

SHOWN int clock_gettime(clockid_t clock, struct timespec *now)
{
    long status = syscall(SYS_clock_gettime, clock, now);

    if (status == 0 && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        now->tv_sec += atomic_load(offset);
    }
    return (int)status;
}

SHOWN int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec fine;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

SHOWN time_t time(time_t *now)
{
    struct timespec fine;

    clock_gettime(CLOCK_REALTIME, &fine);
    if (now) {
        *now = fine.tv_sec;
    }
    return fine.tv_sec;
}
