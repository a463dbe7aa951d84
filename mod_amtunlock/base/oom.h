/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a process whose pools or whose JSON get no memory: it ends, with an error message.
 *
 * APR's pools hand out NULL where the system has no memory left, and their users do not check for it. jansson
 * goes on with less: a member's name that does not fit is left out of a text, a letter out of a string that
 * is read. httpd ends its process where a pool gets no memory, and so do the worker and the command: all that
 * counts is in Redis and in the audit record, and the worker is started again. Other memory is another
 * matter: where it lacks, the one PC or request fails that it was for, and the process goes on.
 */
#ifndef AMTUNLOCK_BASE_OOM_H
#define AMTUNLOCK_BASE_OOM_H

#include <apr_pools.h>

/* Once, after APR's own start and before any other pool is made: from now on every pool, and jansson, ends
 * the process where it gets no memory, with this exit status and a message on standard error that begins with
 * `program`. Not in httpd: jansson serves other modules there. */
void oom_init(const char *program, int status);

/* An apr_abortfunc_t: what the pools call. Allocates nothing, and does not come back. */
int oom_end(int code) __attribute__((noreturn));

/* A pool with an allocator of its own, for one thread. It has no parent from which it would take oom_end().
 * Destroyed by its creator. */
apr_status_t oom_own_pool(apr_pool_t **pool);

#endif
