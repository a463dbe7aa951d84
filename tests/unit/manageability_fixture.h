/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the Manageability Interface share: a real Redis with an inventory, two callers, and
 * requests that go through the dispatcher like a console's. */
#ifndef AMTUNLOCK_TESTS_MANAGEABILITY_FIXTURE_H
#define AMTUNLOCK_TESTS_MANAGEABILITY_FIXTURE_H

#include "manageability/manageability.h"
#include "redis_server.h"
#include "wsman/envelope.h"
#include "wsman/names.h"

#define SERVICE_URI WSMAN_URI_AMT_CLASS "AMT_RemoteEncryptionService"
#define JOB_URI WSMAN_URI_CIM_CLASS "CIM_ConcreteJob"

/* Renewed before every test. The inventory: pc1.example (also 10.0.0.1) and pc2.example in floor1,
 * vault.example in safe. alice may unlock floor1, mallory everything. */
typedef struct {
    redis_server_t server;
    apr_pool_t *pool;
    jobs_pool_t *jobs;
    jobs_client_t *worker;
    manageability_answers_t *answers;
    manageability_settings_t settings;
    jobs_caller_t alice, mallory;
    const char *note; /* for the log, of the last request */
} manageability_fixture_t;

extern manageability_fixture_t fixture;

/* group_setup and group_teardown of the program, setup and teardown of a test. */
int manageability_group_setup(void **state);
int manageability_group_teardown(void **state);
int manageability_setup(void **state);
int manageability_teardown(void **state);

/* One request; `selectors` and `body` are XML, "" for none. In `body` the prefix p is bound to `uri`. */
typedef struct {
    const jobs_caller_t *caller; /* NULL: alice */
    const char *uri, *action;
    const char *selectors;
    const char *body;
    const char *message_id; /* NULL: a new UUID */
} request_t;

wsman_answer_t ask(request_t request);
/* The payload of an answer that must not be a fault. */
const wsman_element_t *answered(request_t request);
/* The request must be answered by this fault; its reason comes back. detail NULL: none. */
const char *refused(request_t request, wsman_fault_e kind, const char *detail);

/* A method of the service, and of a job. */
request_t service_method(const char *method, const char *input);
request_t job_method(const char *job, const char *method, const char *input);
/* A Get of this job, or another action of WS-Transfer. */
request_t job_request(const char *job, const char *action);

/* A list of names for the two below. */
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
/* <p:systems> for each name. */
const char *names_xml(const char *const *names);
/* The InstanceID of a job of this caller (NULL: alice) for these names. */
const char *unlock(const jobs_caller_t *caller, const char *const *names);
/* The InstanceID in an UnlockSystems_OUTPUT. */
const char *job_of_output(const wsman_element_t *output);

/* Text of a property (NULL: absent or nil), and all texts of a repeated one joined by a blank. */
const char *property(const wsman_element_t *instance, const char *name);
const char *properties(const wsman_element_t *instance, const char *name);

/* What a worker does: claims one task; finishes it, unlocked or for this reason. */
jobs_task_t claim_task(void);
void finish_task(const jobs_task_t *task, jobs_reason_e reason);

#endif
