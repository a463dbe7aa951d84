/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that a test can make slow: preloaded into one process, it lets each fsync() and fdatasync() take as much
 * longer as the file that AMTU_SLOW_DISK names says, milliseconds in eight bytes, read each time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

static const _Atomic int64_t *delay;

__attribute__((constructor)) static void open_delay(void)
{
    const char *path = getenv("AMTU_SLOW_DISK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*delay), PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) {
        abort(); /* a disk that cannot be made slow would prove nothing */
    }
    close(fd);
    delay = map;
}

static void wait_for_disk(void)
{
    int64_t ms = delay ? atomic_load(delay) : 0;
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (ms > 0 && nanosleep(&left, &left) != 0) {
    }
}

SHOWN int fsync(int fd)
{
    wait_for_disk();
    return (int)syscall(SYS_fsync, fd);
}

SHOWN int fdatasync(int fd)
{
    wait_for_disk();
    return (int)syscall(SYS_fdatasync, fd);
}
