/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit record says of the store thread's work: the fields of its lines. */
#ifndef AMTUNLOCK_WORKER_RECORD_ENTRIES_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_ENTRIES_PRIV_H

#include <jansson.h>

#include "worker/record/outbox.h"

/* Under which name a request leaves a line; NULL: it leaves none. */
const char *entry_event(const outbox_request_t *request);
/* Its fields; the caller's. */
json_t *entry_of(const outbox_request_t *request, const char *worker);
/* Those of a line beside the requests; the caller's. An outcome is told as indeterminate. */
json_t *entry_aside(const char *event, const jobs_task_ref_t *task, const char *worker, const char *text);

#endif
