/* SPDX-License-Identifier: Apache-2.0 */
/* AMT's redirection service: whether it is on, whether the user must consent, and switching it. */
#include <apr_strings.h>
#include <string.h>

#include "amt/calls/instance_priv.h"
#include "amt/calls/read_priv.h"

#define REDIRECTION_SERVICE WSMAN_URI_AMT_CLASS "AMT_RedirectionService"
#define HOST_BASED_SETUP WSMAN_URI_IPS_CLASS "IPS_HostBasedSetupService"
#define OPT_IN WSMAN_URI_IPS_CLASS "IPS_OptInService"

enum { HIGHEST_STATE = 0xffff };

/* ---- reading --------------------------------------------------------------------------------- */

static amt_status_e keep_redirection(amt_call_t *call, const wsman_element_t *payload)
{
    call->device->redirection = amt_instance_keep(payload, call->device->pool);
    return call->device->redirection != NULL ? AMT_OK
                                             : amt_answer_garbage(call, "a property is no plain value");
}

/* "true" or "false" */
static int read_flag(const char *text, int *flag)
{
    if (text == NULL || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)) {
        return 0;
    }
    *flag = *text == 't';
    return 1;
}

static amt_status_e read_redirection(amt_call_t *call, const wsman_element_t *payload)
{
    amt_facts_t *facts = call->out;
    amt_status_e status = keep_redirection(call, payload);
    unsigned int state = 0;

    if (status != AMT_OK) {
        return status;
    }
    if (amt_answer_uint(call, payload, "EnabledState", HIGHEST_STATE, &state) != APR_SUCCESS ||
        !read_flag(amt_instance_value(call->device->redirection, "ListenerEnabled"),
                   &facts->redirection.listener)) {
        call->device->redirection = NULL;
        return amt_answer_garbage(call, "it has no EnabledState or no ListenerEnabled");
    }
    facts->redirection.state = (int)state;
    return AMT_OK;
}

static const amt_step_t redirection_steps[] = {
    {.uri = REDIRECTION_SERVICE, .verb = AMT_VERB_GET, .read = read_redirection},
    {.uri = NULL},
};

static void clear_redirection(amt_device_t *device, amt_facts_t *facts)
{
    memset(&facts->redirection, 0, sizeof(facts->redirection));
    device->redirection = NULL;
}

const amt_reading_t amt_reading_redirection = {.steps = redirection_steps, .clear = clear_redirection};

/* ---- consent --------------------------------------------------------------------------------- */

static amt_status_e read_control_mode(amt_call_t *call, const wsman_element_t *payload)
{
    amt_facts_t *facts = call->out;
    amt_consent_t *consent = &facts->consent;
    unsigned int mode = 0;

    if (amt_answer_uint(call, payload, "CurrentControlMode", HIGHEST_STATE, &mode) != APR_SUCCESS) {
        return amt_answer_garbage(call, "it has no CurrentControlMode");
    }
    consent->control_mode = (int)mode;
    return AMT_OK;
}

static amt_status_e read_opt_in(amt_call_t *call, const wsman_element_t *payload)
{
    enum { KVM_ONLY = 1, RECEIVED = 3, IN_SESSION = 4 };
    amt_facts_t *facts = call->out;
    amt_consent_t *consent = &facts->consent;
    unsigned int required = 0;
    unsigned int state = 0;

    if (amt_answer_uint(call, payload, "OptInRequired", 0xffffffffU, &required) != APR_SUCCESS ||
        amt_answer_uint(call, payload, "OptInState", HIGHEST_STATE, &state) != APR_SUCCESS) {
        return amt_answer_garbage(call, "it has no OptInRequired or no OptInState");
    }
    consent->opt_in_required = required;
    consent->opt_in_state = (int)state;
    consent->needed = required > KVM_ONLY && state != RECEIVED && state != IN_SESSION;
    call->device->needs_consent = consent->needed;
    return AMT_OK;
}

/* Older firmware has neither, and an account may be denied them: then the refusal of a write shows it. */
static const amt_step_t consent_steps[] = {
    {.uri = HOST_BASED_SETUP, .verb = AMT_VERB_GET, .optional = 1, .read = read_control_mode},
    {.uri = OPT_IN, .verb = AMT_VERB_GET, .optional = 1, .read = read_opt_in},
    {.uri = NULL},
};

static void clear_consent(amt_device_t *device, amt_facts_t *facts)
{
    facts->consent = (amt_consent_t){.control_mode = -1, .opt_in_state = -1};
    device->needs_consent = 0;
}

const amt_reading_t amt_reading_consent = {.steps = consent_steps, .clear = clear_consent};

/* ---- switching ------------------------------------------------------------------------------- */

static int state_differs(const amt_call_t *call)
{
    const char *now = amt_instance_value(call->device->redirection, "EnabledState");

    return strcmp(apr_itoa(call->pool, call->redirection.state), now != NULL ? now : "") != 0;
}

static int listener_differs(const amt_call_t *call)
{
    int now = 0;

    return !read_flag(amt_instance_value(call->device->redirection, "ListenerEnabled"), &now) ||
           now != call->redirection.listener;
}

static const char *listener_text(int listener)
{
    return listener ? "true" : "false";
}

static amt_status_e state_changed(amt_call_t *call, const wsman_element_t *payload)
{
    (void)payload;
    amt_instance_set(call->device->redirection, "EnabledState",
                     apr_itoa(call->device->pool, call->redirection.state));
    return AMT_OK;
}

static amt_status_e listener_changed(amt_call_t *call, const wsman_element_t *payload)
{
    (void)payload;
    amt_instance_set(call->device->redirection, "ListenerEnabled", listener_text(call->redirection.listener));
    return AMT_OK;
}

static void write_state(const amt_call_t *call, wsman_writer_t *writer)
{
    wsman_property_uint(writer, "RequestedState", (apr_uint64_t)call->redirection.state);
}

/* As it came, but for the listener. */
static void write_listener(const amt_call_t *call, wsman_writer_t *writer)
{
    const apr_array_header_t *settings = call->device->redirection->settings;

    for (int i = 0; i < settings->nelts; i++) {
        const amt_setting_t *setting = &APR_ARRAY_IDX(settings, i, amt_setting_t);

        if (strcmp(setting->name, "ListenerEnabled") == 0) {
            wsman_property(writer, setting->name, listener_text(call->redirection.listener));
        }
        else {
            amt_setting_write(writer, setting);
        }
    }
}

static const amt_code_t state_codes[] = {
    {1, AMT_CODE_FAILED, "not supported: it may be switched off in the firmware's setup (MEBx)"},
    {2, AMT_CODE_FAILED, "failed for a reason that the device does not know"},
    {3, AMT_CODE_FAILED, "timed out inside the device"},
    {4, AMT_CODE_FAILED, "failed"},
    {5, AMT_CODE_FAILED, "invalid parameter"},
    {6, AMT_CODE_FAILED, "in use"},
    {16, AMT_CODE_DENIED, "not permitted"},
    {38, AMT_CODE_FAILED, "its memory was written too often lately; try again later"},
    {4096, AMT_CODE_GOOD, "started"},
    {4097, AMT_CODE_FAILED, "invalid state transition"},
    {4099, AMT_CODE_FAILED, "busy"},
    {0, 0, NULL},
};

/* Each write wears the device's flash, and firmware limits them: only what differs is written. The state
 * changes what a Put has to give back, so it is read again in between. */
static const amt_step_t set_steps[] = {
    {.uri = REDIRECTION_SERVICE,
     .verb = AMT_VERB_METHOD,
     .method = "RequestStateChange",
     .once = 1,
     .needed = state_differs,
     .codes = state_codes,
     .write = write_state,
     .read = state_changed},
    {.uri = REDIRECTION_SERVICE, .verb = AMT_VERB_GET, .needed = listener_differs, .read = keep_redirection},
    {.uri = REDIRECTION_SERVICE,
     .verb = AMT_VERB_PUT,
     .once = 1,
     .needed = listener_differs,
     .write = write_listener,
     .read = listener_changed},
    {.uri = NULL},
};

void amt_set_redirection(amt_device_t *device, const amt_redirection_t *wanted, amt_gate_fn gate,
                         void *gate_baton, amt_done_fn done, void *baton)
{
    amt_call_t *call = amt_call_create(device, set_steps, NULL, done, baton);

    if (call == NULL) {
        return;
    }
    call->gate = gate;
    call->gate_baton = gate_baton;
    call->redirection = *wanted;
    if (device->redirection == NULL) {
        amt_call_refuse(call,
                        amt_say(device, AMT_REFUSED, "the redirection service of %s was not read before",
                                device->http.where));
        return;
    }
    amt_call_begin(call);
}
