/* SPDX-License-Identifier: Apache-2.0 */
/* What Redis' replies mean. */
#ifndef AMTUNLOCK_JOBS_ANSWER_PRIV_H
#define AMTUNLOCK_JOBS_ANSWER_PRIV_H

#include <hiredis/hiredis.h>

#include "jobs/jobs.h"

jobs_result_t jobs_result(jobs_outcome_e outcome, const char *text);
#define JOBS_FINE jobs_result(JOBS_OK, "")

/* What a verb's answer says. *late is set where not_after had passed; may be NULL. */
jobs_result_t jobs_answer(const redisReply *reply, int *late, apr_pool_t *pool);
/* The answer asks for the same call again: Redis works off first what has ended, a step a call. NULL: no. */
int jobs_is_again(const redisReply *reply);
/* This Redis is a replica by now, and the address may have moved: a new connection leads to the primary. */
int jobs_is_from_replica(const redisReply *reply);
/* An error from within a verb: Redis takes nothing back of what the verb did before. */
int jobs_is_halfway(const redisReply *reply);

/* Element `at` of an array, or NULL; its text ("" if it is none); its number (0 if it is none). */
const redisReply *jobs_element(const redisReply *reply, size_t at);
const char *jobs_text_at(const redisReply *reply, size_t at);
apr_int64_t jobs_number_at(const redisReply *reply, size_t at);
/* const char * of the texts from `first` on. */
apr_array_header_t *jobs_texts(const redisReply *reply, size_t first, apr_pool_t *pool);

#endif
