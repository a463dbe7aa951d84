/* SPDX-License-Identifier: Apache-2.0 */
/* Files that must be this user's own, because they hold a key or the record. */
#ifndef AMTUNLOCK_BASE_OWNED_FILE_H
#define AMTUNLOCK_BASE_OWNED_FILE_H

#include <sys/stat.h>

#include <apr_pools.h>

typedef enum {
    OWNED_FILE_GOOD,
    OWNED_FILE_NOT_REGULAR, /* a folder, a device, a pipe */
    OWNED_FILE_OTHER_OWNER,
    OWNED_FILE_OPEN_TO_OTHERS
} owned_file_e;

/* From fstat(). `denied`: permissions that nobody else may have: 077, or 022 where others may read. */
owned_file_e owned_file_judge(const struct stat *info, mode_t denied);

/* NULL where `path` is a regular file of this process's user that nobody else may use; else an error message
 * in `pool` that begins with `setting`, the name under which an administrator gave it. */
const char *owned_file_check(const char *setting, const char *path, apr_pool_t *pool);

/* The same, and what was checked stays open for reading: *fd is the caller's, -1 with an error. */
const char *owned_file_open(int *fd, const char *setting, const char *path, apr_pool_t *pool);

/* Nonzero: it was changed within the last two seconds, so that somebody may be writing it still. */
int owned_file_settles(const struct stat *info);

#endif
