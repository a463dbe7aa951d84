/* SPDX-License-Identifier: Apache-2.0 */
#include "base/owned_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_errno.h>
#include <apr_strings.h>

static const char *check_open(const char *setting, const char *path, int fd, apr_pool_t *pool)
{
    struct stat info;

    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return apr_psprintf(pool, "%s %s is not a regular file", setting, path);
    }
    if (info.st_uid != geteuid()) {
        return apr_psprintf(
            pool, "%s %s belongs to user %d, but must belong to the user that reads it (%d): chown it",
            setting, path, (int)info.st_uid, (int)geteuid());
    }
    if (info.st_mode & 077) {
        return apr_psprintf(pool, "%s %s may be used by others than its owner (mode %04o): chmod 0600",
                            setting, path, (unsigned int)(info.st_mode & 07777));
    }
    return NULL;
}

/* O_NONBLOCK: a pipe in the file's place must not hold us. */
const char *owned_file_check(const char *setting, const char *path, apr_pool_t *pool)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *error;
    char text[120];

    if (fd < 0) {
        return apr_psprintf(pool, "%s %s cannot be opened: %s", setting, path,
                            apr_strerror(APR_FROM_OS_ERROR(errno), text, sizeof(text)));
    }
    error = check_open(setting, path, fd, pool);
    close(fd);
    return error;
}
