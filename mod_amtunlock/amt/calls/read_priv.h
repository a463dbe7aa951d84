/* SPDX-License-Identifier: Apache-2.0 */
/* What amt_read() reads: each kind is a row of steps that fill in their member of amt_facts_t (call->out). */
#ifndef AMTUNLOCK_AMT_CALLS_READ_PRIV_H
#define AMTUNLOCK_AMT_CALLS_READ_PRIV_H

#include "amt/calls/call_priv.h"

typedef struct {
    const amt_step_t *steps;
    /* What holds before the first answer: nothing is known. */
    void (*clear)(amt_device_t *device, amt_facts_t *facts);
} amt_reading_t;

extern const amt_reading_t amt_reading_identity, amt_reading_consent, amt_reading_redirection,
    amt_reading_capabilities, amt_reading_boot, amt_reading_power, amt_reading_saving;

#endif
