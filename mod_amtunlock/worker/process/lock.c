/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/process/lock_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/text.h"

#define LOCK_WAIT apr_time_from_sec(10) /* a predecessor may still be draining */

const char *lock_take(const char *state_dir, apr_pool_t *pool)
{
    const char *path = apr_pstrcat(pool, state_dir, "/worker.lock", NULL);
    apr_time_t until = clock_boottime() + LOCK_WAIT;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char text[16];
    int length = apr_snprintf(text, sizeof(text), "%d\n", (int)getpid());

    if (fd < 0) {
        return apr_psprintf(pool, "%s cannot be opened: %s", path, text_strerror(errno, pool));
    }
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return apr_psprintf(pool, "%s cannot be locked: %s", path, text_strerror(errno, pool));
        }
        if (clock_boottime() >= until) {
            return apr_psprintf(pool, "another worker runs on this host (it holds %s)", path);
        }
        apr_sleep(apr_time_from_msec(20));
    }
    if (ftruncate(fd, 0) != 0 || write(fd, text, (size_t)length) != length) {
        return apr_psprintf(pool, "%s cannot be written: %s", path, text_strerror(errno, pool));
    }
    return NULL; /* the descriptor stays open as long as the process lives */
}
