/* SPDX-License-Identifier: Apache-2.0 */
/* A file that holds a key of ours. Not for other rooms. */
#ifndef AMTUNLOCK_BASE_OWNED_FILE_H
#define AMTUNLOCK_BASE_OWNED_FILE_H

#include <apr_pools.h>

/* NULL where `path` is a regular file of this process's user that nobody else may use; else a sentence in
 * `pool` that begins with `setting`, the name under which an administrator gave it. */
const char *owned_file_check(const char *setting, const char *path, apr_pool_t *pool);

#endif
