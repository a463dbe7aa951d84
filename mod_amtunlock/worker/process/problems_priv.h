/* SPDX-License-Identifier: Apache-2.0 */
/* What was found in the files that a worker reads, into its log. */
#ifndef AMTUNLOCK_WORKER_PROCESS_PROBLEMS_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_PROBLEMS_PRIV_H

#include "worker/settings/snapshot.h"

/* Why the files were not accepted (inventory_problem_t). */
void problems_log(const apr_array_header_t *problems);
/* What was accepted, but is probably not meant. */
void problems_log_warnings(const snapshot_t *snapshot);

#endif
