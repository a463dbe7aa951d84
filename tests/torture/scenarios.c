/* SPDX-License-Identifier: Apache-2.0 */
/* The order: what must never lie comes first. */
#include "scenarios.h"

const torture_scenario_t *const torture_scenarios[] = {
    &torture_audit_write,
    &torture_audit_torn,
    &torture_audit_rotate,
    &torture_audit_verify,
    &torture_audit_replay,
    &torture_record_outbox,
    &torture_record_open_intents,
    &torture_record_reconcile,
    &torture_unlock_intent,
    &torture_unlock_intent_read,
    &torture_jobs_web,
    &torture_jobs_parts,
    &torture_jobs_end,
    &torture_jobs_worker,
    &torture_inventory_load,
    &torture_inventory_publish,
    &torture_worker_snapshot,
    &torture_secrets_file,
    &torture_secrets_helper,
    &torture_service_unlock,
    &torture_service_get,
    &torture_service_enumerate,
    &torture_service_hostile,
    &torture_amt_power,
    &torture_proof_talk,
    &torture_proof_key,
    &torture_console_json,
    NULL,
};
