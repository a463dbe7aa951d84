/* SPDX-License-Identifier: Apache-2.0 */
/* See marks.h: the table, for those who write the record and replay it. */
#ifndef AMTUNLOCK_WORKER_RECORD_MARKS_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_MARKS_PRIV_H

#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

#include "jobs/jobs.h"
#include "worker/record/marks.h"

/* Longer than any AMTUnlockStartWithin (P7D at most) and the unlock after it: a task with an older intent cannot be
 * claimed any more. */
#define MARKS_KEPT apr_time_from_sec((apr_int64_t)8 * 24 * 3600)

typedef enum {
    MARKS_NONE, /* no intent, or all were withdrawn */
    MARKS_OPEN, /* this worker has an intent, and no end yet */
    MARKS_HANDED_OVER,
    MARKS_ENDED,
} marks_state_e;

/* A task with one fence. */
typedef struct {
    jobs_task_ref_t ref;
    const char *step;
    char *act; /* of its intent, JSON; NULL: there is none, or it is not needed any more */
    marks_state_e is;
    unsigned int marks;        /* jobs_mark_e; never fewer than were acted on */
    unsigned int intended : 1; /* else it was taken over, and ended without one */
    unsigned int
        earlier : 1; /* its intent is from before this start of the worker: no slot works on it any more */
    char state;      /* of an end: U or F */
    jobs_reason_e reason;
} marks_task_t;

/* Makes sure that the next marks_take() has room. 0: out of memory. */
int marks_make_room(marks_t *marks);
/* A line of the record; see entries_priv.h. 0: out of memory to keep an intent. */
int marks_take(marks_t *marks, const char *event, const json_t *fields);

/* Of the job and system, with any fence: of the latest intent. A collision of digests would only skip a task. */
marks_state_e marks_state(const marks_t *marks, const jobs_task_ref_t *task);
/* Redis has said that it has these marks (jobs_mark_e) of the task; one that has an intent here. */
void marks_tell(marks_t *marks, const jobs_task_ref_t *task, unsigned int told);
/* All that it has said of them, with any fence, and was told by the intents on record. */
unsigned int marks_told(const marks_t *marks, const jobs_task_ref_t *task);

/* An empty one that keeps tasks whole, some 250 bytes each; lives in `pool`. `worker`: the one that was filled when
 * this worker started. */
marks_t *marks_create_whole(const marks_t *worker, apr_pool_t *pool);
/* What remains of a task whose end Redis refused: another end holds, but its intent stands. */
marks_state_e marks_without_end(const marks_task_t *task);
/* marks_task_t *, as they began. */
const apr_array_header_t *marks_tasks(const marks_t *whole);
/* Nonzero: it is the one that was reconciled last, before this start of the worker, and it has followed no other Redis
 * since. So it has all that it took. */
int marks_name_redis(const marks_t *whole, const char *run_id, const char *history);
/* Number of the last record that was read. */
apr_uint64_t marks_last(const marks_t *marks);

#endif
