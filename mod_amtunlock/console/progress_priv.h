/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the command: following a job to its end. */
#ifndef AMTUNLOCK_CONSOLE_PROGRESS_PRIV_H
#define AMTUNLOCK_CONSOLE_PROGRESS_PRIV_H

#include "console/service_priv.h"

/* The state of a job, lists and reasons included. `names`: how many the request had; 0: not known. */
const console_problem_t *console_read_job(console_client_t *client, const char *id, int names,
                                          console_job_t *job, apr_pool_t *pool);

/* Polls until the job has ended and prints what happens (`quiet`: only the live line, for --json). */
const console_problem_t *console_follow(console_client_t *client, const console_t *console, const char *id,
                                        int names, int quiet, console_job_t *job, apr_pool_t *pool);

int console_has_ended(const console_job_t *job);

#endif
