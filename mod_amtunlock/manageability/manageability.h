/* The Manageability Interface of Intel's Remote Encryption Management: AMT_RemoteEncryptionService and
 * CIM_ConcreteJob over WS-Management. The only room that knows both WS-Man and jobs.
 */
#ifndef AMTUNLOCK_MANAGEABILITY_MANAGEABILITY_H
#define AMTUNLOCK_MANAGEABILITY_MANAGEABILITY_H

#include "jobs/jobs.h"
#include "wsman/dispatch.h"

typedef struct {
    const char *system_name;          /* SystemName of the service: this server's FQDN */
    int max_systems;                  /* MaxSystemsPerRequest */
    apr_interval_time_t retention;
    apr_interval_time_t start_within;
    int job_started;                  /* ReturnValue of UnlockSystems: 4096, or 0 */
    int max_waiting_jobs, max_waiting_systems, max_contexts; /* of a caller; 0: no limit */
    apr_interval_time_t poll;         /* RetryAfter when Redis is away */
} manageability_settings_t;

/* What one request needs; lives as long as the request. */
typedef struct {
    const manageability_settings_t *settings;
    jobs_store_t *store;
    const jobs_caller_t *caller;
} manageability_context_t;

/* The dispatch table; ends with class_ == NULL. */
extern const wsman_operation_t manageability_operations[];

/* The service for an authenticated caller. */
wsman_service_t manageability_service(manageability_context_t *context);

#endif
