/* SPDX-License-Identifier: Apache-2.0 */
/* The Manageability Interface of Intel's Remote Encryption Management: AMT_RemoteEncryptionService and
 * CIM_ConcreteJob over WS-Management. The only room that knows both wsman/ and jobs/.
 */
#ifndef AMTUNLOCK_MANAGEABILITY_MANAGEABILITY_H
#define AMTUNLOCK_MANAGEABILITY_MANAGEABILITY_H

#include "jobs/jobs.h"
#include "wsman/dispatch.h"

typedef struct {
    const char *system_name;          /* SystemName of the service: this server's FQDN */
    int max_systems;                  /* MaxSystemsPerRequest */
    apr_interval_time_t retention;    /* how long a job is kept after it completed */
    apr_interval_time_t start_within; /* systems not begun by then fail with `timeout` */
    int job_started;                  /* ReturnValue of UnlockSystems: 4096, or 0 */
    jobs_limits_t limits;             /* of this caller */
    int retry_after;                  /* seconds; for callers while Redis does not answer */
} manageability_settings_t;

/* Answers that were written before, for all threads of a process: who asks the same of the same version of a job is answered
 * from here, once the job store has said that the caller may read it and that the version is that one. */
typedef struct manageability_answers_t manageability_answers_t;

/* For so many bytes at most; what was used longest ago goes first. Freed with `pool`. */
apr_status_t manageability_answers_create(manageability_answers_t **answers, apr_size_t bytes,
                                          apr_pool_t *pool);

/* What one request needs; lives as long as the request. */
typedef struct {
    const manageability_settings_t *settings;
    jobs_pool_t *jobs;
    const jobs_caller_t *caller;
    manageability_answers_t *answers; /* NULL: none are kept */
    /* Out, for the log: what happened to which job, or Redis' error text; no secret. NULL: nothing to log. */
    const char *note;
    const char *denied; /* the same of names that were denied: see jobs_submit(); NULL: none */
    /* jobs_job_t by id: those of the page of an enumeration that is being written. NULL: none was read. */
    apr_hash_t *page;
} manageability_context_t;

/* The dispatch table; ends with class_ == NULL. */
extern const wsman_operation_t manageability_operations[];

/* The service for an authenticated caller. */
wsman_service_t manageability_service(manageability_context_t *context);

#endif
