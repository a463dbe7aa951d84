/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a process whose pools get no memory: it ends, with a sentence.
 *
 * APR's pools hand out NULL where the system has nothing left, and nobody who uses them looks. httpd ends its
 * process then, and so do the worker and the command: all that counts is in Redis and on the audit record,
 * and whoever starts the worker starts it again. Memory that is not a pool's is another matter: who asks for
 * it answers for the one PC or request that it was for, and goes on.
 */
#ifndef AMTUNLOCK_BASE_OOM_H
#define AMTUNLOCK_BASE_OOM_H

#include <apr_pools.h>

/* Once, after APR's own start and before any other pool is made: from now on every pool ends the process
 * where it has no memory, with this exit status and a sentence on standard error that begins with `program`.
 */
void oom_init(const char *program, int status);

/* An apr_abortfunc_t: what the pools call. Allocates nothing, and does not come back. */
int oom_end(int code) __attribute__((noreturn));

/* A pool with an allocator and a life of its own, for one thread; such a pool has no parent to learn from
 * what to do without memory. Destroyed by who made it. */
apr_status_t oom_own_pool(apr_pool_t **pool);

#endif
