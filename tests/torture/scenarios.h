/* SPDX-License-Identifier: Apache-2.0 */
/* The scenarios, by the room that they go through. */
#ifndef AMTUNLOCK_TESTS_TORTURE_SCENARIOS_H
#define AMTUNLOCK_TESTS_TORTURE_SCENARIOS_H

#include "torture.h"

extern const torture_scenario_t torture_audit_write, torture_audit_torn, torture_audit_rotate,
    torture_audit_verify, torture_audit_replay;
extern const torture_scenario_t torture_record_outbox, torture_record_open_intents, torture_record_reconcile,
    torture_unlock_intent, torture_unlock_intent_read;
extern const torture_scenario_t torture_jobs_web, torture_jobs_parts, torture_jobs_end, torture_jobs_worker;
extern const torture_scenario_t torture_inventory_load, torture_inventory_publish, torture_worker_snapshot;
extern const torture_scenario_t torture_secrets_file, torture_secrets_helper;
extern const torture_scenario_t torture_service_unlock, torture_service_get, torture_service_enumerate,
    torture_service_hostile;
extern const torture_scenario_t torture_amt_power, torture_proof_talk, torture_proof_key,
    torture_console_json;

#endif
