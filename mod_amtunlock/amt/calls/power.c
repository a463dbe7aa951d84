/* SPDX-License-Identifier: Apache-2.0 */
/* Power: which state the PC is in, and the one call that changes it. */
#include "amt/calls/read_priv.h"
#include "wsman/values.h"

#define ASSOCIATED_POWER WSMAN_URI_CIM_CLASS "CIM_AssociatedPowerManagementService"
#define POWER_SERVICE WSMAN_URI_CIM_CLASS "CIM_PowerManagementService"
#define IPS_POWER_SERVICE WSMAN_URI_IPS_CLASS "IPS_PowerManagementService"
#define COMPUTER_SYSTEM WSMAN_URI_CIM_CLASS "CIM_ComputerSystem"

enum { HIGHEST_POWER_STATE = 0xffff };

/* ---- reading --------------------------------------------------------------------------------- */

/* 1 if `wanted` is among the states that may be asked for now, 0 if not, -1 where none is listed. */
static int read_available(const amt_call_t *call, const wsman_element_t *payload, apr_uint64_t wanted)
{
    const wsman_element_t *state = wsman_child(payload, NULL, "AvailableRequestedPowerStates");
    int available = state != NULL ? 0 : -1;
    apr_uint64_t value;

    for (; state != NULL; state = wsman_next_same(state)) {
        if (wsman_parse_uint(wsman_text(state, call->pool), HIGHEST_POWER_STATE, &value) == APR_SUCCESS &&
            value == wanted) {
            available = 1;
        }
    }
    return available;
}

static amt_status_e read_state(amt_call_t *call, const wsman_element_t *payload)
{
    amt_facts_t *facts = call->out;
    amt_power_t *power = &facts->power;
    unsigned int state = 0;

    if (amt_answer_uint(call, payload, "PowerState", HIGHEST_POWER_STATE, &state) != APR_SUCCESS) {
        return amt_answer_garbage(call, "it has no PowerState");
    }
    power->state = (int)state;
    power->on_available = read_available(call, payload, AMT_POWER_ON);
    power->reset_available = read_available(call, payload, AMT_POWER_RESET);
    return AMT_OK;
}

static const amt_step_t power_steps[] = {
    {.uri = ASSOCIATED_POWER, .verb = AMT_VERB_GET, .read = read_state},
    {.uri = NULL},
};

static void clear_power(amt_device_t *device, amt_facts_t *facts)
{
    (void)device;
    facts->power = (amt_power_t){.state = 0, .on_available = -1, .reset_available = -1};
}

const amt_reading_t amt_reading_power = {.steps = power_steps, .clear = clear_power};

static amt_status_e read_saving(amt_call_t *call, const wsman_element_t *payload)
{
    amt_facts_t *facts = call->out;
    unsigned int state;

    if (amt_answer_uint(call, payload, "OSPowerSavingState", HIGHEST_POWER_STATE, &state) == APR_SUCCESS) {
        facts->saving = (int)state;
    }
    return AMT_OK;
}

static const amt_step_t saving_steps[] = {
    {.uri = IPS_POWER_SERVICE, .verb = AMT_VERB_GET, .optional = 1, .read = read_saving},
    {.uri = NULL},
};

static void clear_saving(amt_device_t *device, amt_facts_t *facts)
{
    (void)device;
    facts->saving = -1;
}

const amt_reading_t amt_reading_saving = {.steps = saving_steps, .clear = clear_saving};

/* ---- acting ---------------------------------------------------------------------------------- */

/* The host, not the management engine (whose Name is "Intel(r) AMT"). */
static const wsman_selector_t host_name = {.name = "Name", .value = "ManagedSystem"};
static const wsman_selector_t host = {
    .name = "CreationClassName", .value = "CIM_ComputerSystem", .next = (wsman_selector_t *)&host_name};

static void write_power_state(const amt_call_t *call, wsman_writer_t *writer)
{
    wsman_property_uint(writer, "PowerState", (apr_uint64_t)call->power_state);
    wsman_start(writer, WSMAN_NS_CLASS, "ManagedElement");
    wsman_write_epr(writer, COMPUTER_SYSTEM, &host);
    wsman_end(writer);
}

static const amt_code_t power_codes[] = {
    {1, 0, "not supported"},
    {2, 0, "failed for a reason that the device does not know"},
    {3, 0, "timed out inside the device"},
    {4, 0, "failed"},
    {5, 0, "invalid parameter: not possible in the state that the PC is in"},
    {6, 0, "in use: another power request is being carried out"},
    {4096, AMT_CODE_GOOD, "started"},
    {4097, 0, "invalid state transition"},
    {4098, 0, "a time-out parameter is not supported"},
    {4099, 0, "busy"},
    {0, 0, NULL},
};

static const amt_step_t request_steps[] = {
    {.uri = POWER_SERVICE,
     .verb = AMT_VERB_METHOD,
     .method = "RequestPowerStateChange",
     .once = 1,
     .codes = power_codes,
     .write = write_power_state},
    {.uri = NULL},
};

void amt_request_power(amt_device_t *device, int state, amt_gate_fn gate, void *gate_baton, amt_done_fn done,
                       void *baton)
{
    amt_call_t *call = amt_call_create(device, request_steps, NULL, done, baton);

    if (call != NULL) {
        call->power_state = state;
        call->gate = gate;
        call->gate_baton = gate_baton;
        amt_call_begin(call);
    }
}
