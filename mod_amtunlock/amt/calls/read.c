/* SPDX-License-Identifier: Apache-2.0 */
/* See amt_read(). */
#include "amt/calls/read_priv.h"

void amt_read(amt_device_t *device, amt_read_e kind, amt_facts_t *facts, amt_done_fn done, void *baton)
{
    static const amt_reading_t *const readings[AMT_READS] = {
        [AMT_READ_IDENTITY] = &amt_reading_identity,
        [AMT_READ_CONSENT] = &amt_reading_consent,
        [AMT_READ_REDIRECTION] = &amt_reading_redirection,
        [AMT_READ_CAPABILITIES] = &amt_reading_capabilities,
        [AMT_READ_BOOT] = &amt_reading_boot,
        [AMT_READ_POWER] = &amt_reading_power,
        [AMT_READ_SAVING] = &amt_reading_saving,
    };
    amt_call_t *call = amt_call_create(device, readings[kind]->steps, facts, done, baton);

    if (call != NULL) {
        readings[kind]->clear(device, facts);
        amt_call_begin(call);
    }
}
