/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the command: asking for more systems than the service takes in one request. */
#ifndef AMTUNLOCK_CONSOLE_PARTS_PRIV_H
#define AMTUNLOCK_CONSOLE_PARTS_PRIV_H

#include "console/progress_priv.h"

/* Asks for all names, in as many requests as it takes, and follows the jobs to their ends if options->wait. Names the
 * jobs as they are started. NULL: *all is what came of them, read with --wait or --json, and *status the worst of what
 * was said of single parts. Else what ended it; jobs that were started go on. */
const console_problem_t *console_unlock(console_client_t *client, const console_t *console,
                                        const console_options_t *options, const apr_array_header_t *names,
                                        console_job_t *all, console_exit_e *status, apr_pool_t *pool);

#endif
