/* SPDX-License-Identifier: Apache-2.0 */
#include "base/owned_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <apr_errno.h>
#include <apr_strings.h>
#include <apr_time.h>

#include "base/text.h"

#define SETTLED_AFTER apr_time_from_sec(2)

owned_file_e owned_file_judge(const struct stat *info, mode_t denied)
{
    if (!S_ISREG(info->st_mode)) {
        return OWNED_FILE_NOT_REGULAR;
    }
    if (info->st_uid != geteuid()) {
        return OWNED_FILE_OTHER_OWNER;
    }
    return info->st_mode & denied ? OWNED_FILE_OPEN_TO_OTHERS : OWNED_FILE_GOOD;
}

static const char *owned_file_check_fd(const char *setting, const char *path, int fd, apr_pool_t *pool)
{
    struct stat info;

    switch (fstat(fd, &info) == 0 ? owned_file_judge(&info, 077) : OWNED_FILE_NOT_REGULAR) {
    case OWNED_FILE_NOT_REGULAR:
        return apr_psprintf(pool, "%s %s is not a regular file", setting, path);
    case OWNED_FILE_OTHER_OWNER:
        return apr_psprintf(
            pool, "%s %s belongs to user %d, but must belong to the user that reads it (%d): chown it",
            setting, path, (int)info.st_uid, (int)geteuid());
    case OWNED_FILE_OPEN_TO_OTHERS:
        return apr_psprintf(pool, "%s %s may be used by others than its owner (mode %04o): chmod 0600",
                            setting, path, (unsigned int)(info.st_mode & 07777));
    case OWNED_FILE_GOOD:
        break;
    }
    return NULL;
}

/* O_NONBLOCK: open() must not wait for the other end of a pipe. */
const char *owned_file_open(int *fd, const char *setting, const char *path, apr_pool_t *pool)
{
    const char *error;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0) {
        return apr_psprintf(pool, "%s %s cannot be opened: %s", setting, path, text_strerror(errno, pool));
    }
    error = owned_file_check_fd(setting, path, *fd, pool);
    if (error != NULL) {
        close(*fd);
        *fd = -1;
    }
    return error;
}

const char *owned_file_check(const char *setting, const char *path, apr_pool_t *pool)
{
    int fd = -1;
    const char *error = owned_file_open(&fd, setting, path, pool);

    if (error == NULL) {
        close(fd);
    }
    return error;
}

int owned_file_settles(const struct stat *info)
{
    apr_time_t changed = apr_time_from_sec(info->st_mtim.tv_sec) + info->st_mtim.tv_nsec / 1000;
    apr_time_t age = apr_time_now() - changed;

    return age >= 0 && age < SETTLED_AFTER;
}
