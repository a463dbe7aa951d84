/* SPDX-License-Identifier: Apache-2.0 */
/* Where a worker and its drive process find each other: a socket in the state folder. Who connects, begins or ends a drive
 * process holds a lock there, for a moment, so that no worker connects to one that is about to end, and no folder has
 * two. */
#ifndef AMTUNLOCK_DRIVES_MEETING_PRIV_H
#define AMTUNLOCK_DRIVES_MEETING_PRIV_H

#include <apr_pools.h>

#define MEETING_LISTENER 3  /* the drive process's descriptor for it */
#define MEETING_WAITING 128 /* connections that are not accepted yet */

/* Connects to the drive process of the folder; with `start`, begins one where none runs. NULL, and *fd is the caller's,
 * or -1: none runs; or an error message in `pool`. Blocks for as long as a program takes to begin, and for the lock at most two seconds. */
const char *meeting_connect(int *fd, const char *folder, int start, apr_pool_t *pool);

/* For the drive process that is about to end: the lock of its folder, the caller's; -1: the folder is gone, or, with errno
 * EWOULDBLOCK, somebody else has it for longer than a moment. */
int meeting_lock(const char *folder);
/* Under the lock: nobody finds it any more. */
void meeting_close(const char *folder, apr_pool_t *pool);

#endif
