/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the command: the Manageability Interface as calls. Each returns NULL, or what went wrong. */
#ifndef AMTUNLOCK_CONSOLE_SERVICE_PRIV_H
#define AMTUNLOCK_CONSOLE_SERVICE_PRIV_H

#include "console/client_priv.h"

/* CIM_ConcreteJob.JobState, as far as this service uses it. */
enum { SERVICE_JOB_NEW = 2, SERVICE_JOB_RUNNING = 4, SERVICE_JOB_COMPLETED = 7, SERVICE_JOB_TERMINATED = 8 };

const console_problem_t *service_info(console_client_t *client, console_info_t *info, apr_pool_t *pool);
/* Only MaxSystemsPerRequest (0: not said). */
const console_problem_t *service_max_systems(console_client_t *client, unsigned int *max, apr_pool_t *pool);
const console_problem_t *service_unlock(console_client_t *client, const apr_array_header_t *names,
                                        const char **job, apr_pool_t *pool);
/* State only; the lists are made empty. */
const console_problem_t *service_job(console_client_t *client, const char *id, console_job_t *job,
                                     apr_pool_t *pool);
/* Appends the names of a window of the request: `window` names from `first` (from 0) on; window 0: of all. */
const console_problem_t *service_results(console_client_t *client, const char *id, int first, int window,
                                         apr_array_header_t *unlocked, apr_array_header_t *failed,
                                         apr_pool_t *pool);
/* Appends a console_failure_t for each failed system of such a window. */
const console_problem_t *service_errors(console_client_t *client, const char *id, int first, int window,
                                        apr_array_header_t *failures, apr_pool_t *pool);
const console_problem_t *service_cancel(console_client_t *client, const char *id, apr_pool_t *pool);
/* An ended job is kept no longer. */
const console_problem_t *service_delete(console_client_t *client, const char *id, apr_pool_t *pool);
/* console_job_t * each. */
const console_problem_t *service_jobs(console_client_t *client, apr_array_header_t *jobs, apr_pool_t *pool);

/* "amtunlock:..." for a job named with or without that prefix; NULL if it cannot be a job. */
const char *service_job_id(const char *text, apr_pool_t *pool);

#endif
