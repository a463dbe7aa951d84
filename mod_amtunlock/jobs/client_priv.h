/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that a worker's client offers to the files with its verbs: worker.c, publish.c and load.c. */
#ifndef AMTUNLOCK_JOBS_CLIENT_PRIV_H
#define AMTUNLOCK_JOBS_CLIENT_PRIV_H

#include "jobs/answer_priv.h"
#include "jobs/conn_priv.h"

/* One call, one answer, `more` longer than the client's timeout where the call itself waits. */
jobs_result_t jobs_client_ask(jobs_client_t *client, jobs_call_t *call, apr_interval_time_t more,
                              redisReply **reply, apr_pool_t *pool);
/* The connection, to send several calls at once; jobs_connect() first. */
redis_conn_t *jobs_client_conn(jobs_client_t *client);
apr_interval_time_t jobs_client_timeout(const jobs_client_t *client);
/* Scratch for calls that are given no pool: emptied by the next such call. */
apr_pool_t *jobs_client_scratch(jobs_client_t *client);

#endif
