/* SPDX-License-Identifier: Apache-2.0 */
/* The head of the record, sealed in Redis: a record that was cut, replaced or begun anew while no worker ran does
 * not hold it any more. The outbox thread's. */
#ifndef AMTUNLOCK_WORKER_RECORD_SEAL_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_SEAL_PRIV_H

#include "base/digest.h"
#include "worker/record/recorder_priv.h"

typedef struct {
    const char *file; /* of the record */
    char name[DIGEST_DIGITS + 1];
    int judged;     /* what was sealed before this start was compared */
    apr_time_t due; /* by clock_boottime() */
    char sealed[RECORDER_HEAD_MAX];
} seal_t;

/* A zeroed one. */
void seal_init(seal_t *seal, const char *file);
/* Soon after the start compares what was sealed before: a record that does not hold it says so in a line of its
 * own, and the logs do; nothing is stopped by it, for Redis is not the record. Then seals the head, at most every
 * ten seconds. Does nothing while Redis is away. */
void seal_keep(seal_t *seal, recorder_t *recorder, jobs_client_t *connection, apr_pool_t *pool);
/* The same at the end, without a wait. */
void seal_last(seal_t *seal, recorder_t *recorder, jobs_client_t *connection, apr_pool_t *pool);

#endif
