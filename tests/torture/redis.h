/* SPDX-License-Identifier: Apache-2.0 */
/* One redis-server for all scenarios that need one, and what they find in it. */
#ifndef AMTUNLOCK_TESTS_TORTURE_REDIS_H
#define AMTUNLOCK_TESTS_TORTURE_REDIS_H

#include "../unit/redis_server.h"
#include "jobs/jobs.h"

#define REDIS_WORKER "worker-1"
#define REDIS_DIGEST "digest-1"
#define REDIS_BUDGET apr_time_from_sec(5)

extern redis_server_t redis_server;
extern const jobs_pool_limits_t redis_limits; /* of two connections, and two patient ones */

/* start() of a scenario: the server lives until the program ends. */
int redis_start(apr_pool_t *pool);
/* Empty, but for the library and an inventory: pc1.example and pc2.example in the group g. */
void redis_reset(apr_pool_t *pool);

/* A new pool of connections and a new client, in `pool`. */
jobs_pool_t *redis_pool(apr_pool_t *pool);
jobs_client_t *redis_client(apr_pool_t *pool);
/* One who may unlock everything. */
jobs_caller_t redis_caller(apr_pool_t *pool);
/* A job for the first `count` of the two, with this MessageID (NULL: none). */
jobs_submission_t redis_submission(int count, const char *message_id, apr_pool_t *pool);
/* Submits and claims a job for pc1.example. */
jobs_task_t redis_claim(apr_pool_t *pool);
/* How many jobs there are. */
int redis_jobs(apr_pool_t *pool);

/* The outcome is one of `known`, or an error that says something. */
void redis_holds(jobs_result_t result, jobs_outcome_e expected);

#endif
