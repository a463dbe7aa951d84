/* SPDX-License-Identifier: Apache-2.0 */
/* A worker thread's own connection, for worker.c, publish.c and library.c. */
#ifndef AMTUNLOCK_JOBS_CLIENT_PRIV_H
#define AMTUNLOCK_JOBS_CLIENT_PRIV_H

#include "jobs/redis_priv.h"

/* Makes sure there is a connection. JOBS_OK, or JOBS_UNAVAILABLE and why. */
jobs_result_t jobs_client_ready(jobs_client_t *connection, apr_pool_t *pool);
/* One call, one answer, `more` longer than the connection's time-out where the call itself waits. */
jobs_result_t jobs_client_ask(jobs_client_t *connection, jobs_call_t *call, apr_interval_time_t more,
                              redisReply **reply, apr_pool_t *pool);
/* The link, to send several calls at once; ready() first. */
redis_conn_t *jobs_client_conn(jobs_client_t *connection);
apr_interval_time_t jobs_client_timeout(const jobs_client_t *connection);
/* Scratch for calls that are given no pool: emptied by the next such call. */
apr_pool_t *jobs_client_scratch(jobs_client_t *connection);

#endif
