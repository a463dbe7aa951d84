/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the command: following jobs to their end. */
#ifndef AMTUNLOCK_CONSOLE_PROGRESS_PRIV_H
#define AMTUNLOCK_CONSOLE_PROGRESS_PRIV_H

#include "console/service_priv.h"

/* The state of a job, lists and reasons included. `names`: how many the request had; 0: not known. */
const console_problem_t *console_read_job(console_client_t *client, const char *id, int names,
                                          console_job_t *job, apr_pool_t *pool);

int console_has_ended(const console_job_t *job);

/* Jobs that are followed, with one progress. */
typedef struct console_following_t console_following_t;

typedef enum {
    CONSOLE_FOLLOW_LINES, /* prints what happens */
    CONSOLE_FOLLOW_QUIET, /* only the live line, for --json */
    CONSOLE_FOLLOW_ENDS   /* likewise, and results are not read */
} console_follow_e;

/* `names`: how many all jobs have, those with them that are added later; 0: not known. */
console_following_t *console_following_create(console_client_t *client, const console_t *console,
                                              console_follow_e how, int names, apr_pool_t *pool);
void console_following_add(console_following_t *following, const char *id, int names);
/* How many have not ended, or not been read to their end. */
int console_following_left(const console_following_t *following);
/* Grows when something has happened to one. */
int console_following_news(const console_following_t *following);
/* Polls the next one in turn, prints what is new, and pauses if it has not ended. At least one must be left.
 * NULL, or why following ends: the jobs go on. */
const console_problem_t *console_following_step(console_following_t *following);
/* What ends it when console_interrupted is set. */
const console_problem_t *console_following_interrupted(const console_following_t *following);
/* Reads the results of all, as they are now. */
const console_problem_t *console_following_read(console_following_t *following);
/* "A B": the jobs whose end was not read. */
const char *console_following_unread(const console_following_t *following);
/* One line to standard error, above the live one. */
void console_following_say(const console_following_t *following, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A job that was read to its end, each once; NULL: none is left. */
const char *console_following_forget(console_following_t *following);
/* What was read, as one job. The worst of what was said of single jobs. */
console_exit_e console_following_end(console_following_t *following, console_job_t *all);

#endif
