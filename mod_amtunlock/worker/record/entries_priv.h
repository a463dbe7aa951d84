/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of the lines that the outbox adds to the audit record. */
#ifndef AMTUNLOCK_WORKER_RECORD_ENTRIES_PRIV_H
#define AMTUNLOCK_WORKER_RECORD_ENTRIES_PRIV_H

#include <jansson.h>

#include "worker/record/outbox.h"

/* The event of a request's line; NULL: it needs no line. */
const char *entry_event(const outbox_request_t *request);
/* The fields of that line; the caller's. */
json_t *entry_of_request(const outbox_request_t *request, const char *worker);
/* Those that remain where such a line cannot be recorded; the caller's. */
json_t *entry_of_unrecordable(const outbox_request_t *request, const char *worker);
/* The fields of a line that no request asked for; the caller's. An AUDIT_OUTCOME is indeterminate. */
json_t *entry_of_event(const char *event, const jobs_task_ref_t *task, const char *worker, const char *text);

/* A field of such a line, as made or as read back; "" where it is not there. */
const char *entry_text(const json_t *fields, const char *name);
/* The task of such a line, as long as that. */
jobs_task_ref_t entry_task(const json_t *fields);

#endif
