/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of a job as one call: a look, and what it takes after it. */
#ifndef AMTUNLOCK_TESTS_JOB_LISTS_H
#define AMTUNLOCK_TESTS_JOB_LISTS_H

#include "jobs/jobs.h"

jobs_result_t read_results(jobs_pool_t *jobs, const jobs_caller_t *caller, jobs_window_t window,
                           jobs_results_t **results, apr_pool_t *pool);
jobs_result_t read_errors(jobs_pool_t *jobs, const jobs_caller_t *caller, jobs_window_t window,
                          apr_array_header_t **errors, apr_pool_t *pool);

#endif
