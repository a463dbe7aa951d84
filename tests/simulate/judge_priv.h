/* SPDX-License-Identifier: Apache-2.0 */
/* What the judge knows: judge.c writes it, judge_end.c looks at what consoles were told and at the end. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_JUDGE_PRIV_H
#define AMTUNLOCK_TESTS_SIMULATE_JUDGE_PRIV_H

#include <apr_hash.h>

#include "judge.h"

#define JUDGE_ENDED "UFX" /* states of a task */
#define JUDGE_RECORDS 64

/* What is known of a task with one fence: a claim. */
typedef struct {
    int recorded, taken; /* its intent: on disk, and in Redis */
    int ended, closed;   /* on the record: its outcome; any end */
    int exists;
    int taken_over;
    unsigned int marks_before;                /* jobs_mark_e: in Redis, when it was claimed */
    unsigned int marks_recorded, marks_taken; /* its own: on disk, and in Redis */
    const char *job, *system;
    apr_time_t at;          /* it was claimed, */
    apr_time_t lease_until; /* by clockwork_now(); counted from when the claim or renewal left */
} claim_t;

typedef struct {
    const char *job;
    apr_time_t at;
} acknowledged_t;

typedef struct {
    apr_pool_t *pool;
    apr_hash_t *tasks;  /* by "job system" */
    apr_hash_t *claims; /* by fence */
    apr_hash_t *
        reconciled; /* apr_time_t * by a host's owner: when its record said that a Redis was reconciled, last */
    apr_hash_t *cool;    /* apr_time_t * by system: when a lease of it ended behind an intent, last */
    apr_hash_t *created; /* job by message id, as Redis took them */
    apr_array_header_t *acknowledged;
    const char *files[JUDGE_RECORDS];
    int file_count;
    char breach[600];
    judge_figures_t figures;
} judge_t;

extern judge_t judge;

/* The secret of a boot, by the page of the proof: by the key that is 32 times this byte. */
void judge_derive(int key, const char *job, const char *system, const char *fence, unsigned char s[32]);

/* The key of a job. */
const char *judge_job_key(const char *job);

#endif
