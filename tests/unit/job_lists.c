/* SPDX-License-Identifier: Apache-2.0 */
#include "job_lists.h"

jobs_result_t read_results(jobs_pool_t *jobs, const jobs_caller_t *caller, jobs_window_t window,
                           jobs_results_t **results, apr_pool_t *pool)
{
    jobs_look_t look;
    jobs_result_t result = jobs_look(jobs, caller, JOBS_RESULTS, &window, NULL, &look, pool);

    return result.outcome == JOBS_OK ? jobs_results(jobs, caller, &look, results, pool) : result;
}

jobs_result_t read_errors(jobs_pool_t *jobs, const jobs_caller_t *caller, jobs_window_t window,
                          apr_array_header_t **errors, apr_pool_t *pool)
{
    jobs_look_t look;
    jobs_result_t result = jobs_look(jobs, caller, JOBS_ERRORS, &window, NULL, &look, pool);

    return result.outcome == JOBS_OK ? jobs_errors(jobs, caller, &look, errors, pool) : result;
}
