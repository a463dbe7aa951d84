/* SPDX-License-Identifier: Apache-2.0 */
/* What a device answered to a step. Nothing of it is trusted: size, depth and the like are bounded by the
 * reader, and everything that is not what was asked for is garbage. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "amt/calls/call_priv.h"
#include "wsman/fault.h"
#include "wsman/values.h"

static const wsman_limits_t limits = {.body = AMT_MAX_ANSWER, .tag = 4096, .attributes = 64, .depth = 32};

/* What the step asked for, for error messages: "GetUuid", "Put AMT_BootSettingData". */
static const char *asked_for(const amt_call_t *call)
{
    const amt_step_t *step = call->step;

    if (step->verb == AMT_VERB_METHOD) {
        return step->method;
    }
    return apr_pstrcat(call->pool, step->verb == AMT_VERB_PUT ? "Put " : "Get ", amt_class_name(step->uri),
                       NULL);
}

amt_status_e amt_answer_garbage(const amt_call_t *call, const char *what)
{
    return amt_say(call->device, AMT_GARBAGE, "the answer of %s to %s is not understood: %s",
                   call->device->http.where, asked_for(call), what);
}

apr_status_t amt_answer_uint(const amt_call_t *call, const wsman_element_t *payload, const char *name,
                             unsigned int max, unsigned int *out)
{
    const char *text = wsman_child_text(payload, NULL, name, call->pool);
    apr_uint64_t value;
    apr_status_t status;

    if (text == NULL) {
        return APR_NOTFOUND;
    }
    status = wsman_parse_uint(text, max, &value);
    if (status == APR_SUCCESS) {
        *out = (unsigned int)value;
    }
    return status;
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* AMT's own status for a missing consent. */
enum { CONSENT_MISSING = 0x821 };

static amt_status_e say_consent(const amt_call_t *call)
{
    return amt_say(
        call->device, AMT_CONSENT,
        "%s does not allow %s without the consent of whoever sits at the PC; unattended unlocks need admin "
        "control mode with user consent off, or for KVM only",
        call->device->http.where, asked_for(call));
}

static amt_status_e say_denied(const amt_call_t *call, const char *reason)
{
    if (call->step->once && call->device->needs_consent) {
        return say_consent(call);
    }
    call->device->denied = 1;
    return amt_say(call->device, AMT_REFUSED,
                   "%s does not allow %s to the AMT user \"%s\": %s; the account needs the realms Remote "
                   "Control and General "
                   "Info, and user consent must not be required",
                   call->device->http.where, asked_for(call), amt_target_account(&call->device->http.target),
                   reason);
}

/* Another console is served (firmware serves one call at a time), or AMT is short of something. */
static int is_passing_fault(const wsman_fault_t *fault)
{
    return fault->kind == WSMAN_FAULT_CONCURRENCY || fault->kind == WSMAN_FAULT_QUOTA_LIMIT;
}

static amt_status_e say_fault(const amt_call_t *call, const wsman_fault_t *fault)
{
    const char *name = fault->subcode != NULL ? fault->subcode : wsman_fault_subcode(fault->kind);
    amt_status_e status = is_passing_fault(fault) ? AMT_NOT_NOW : AMT_REFUSED;

    if (strcasestr(fault->reason, "0x821") || !strcmp(name, "0x821")) {
        return say_consent(call);
    }
    if (fault->kind == WSMAN_FAULT_ACCESS_DENIED) {
        return say_denied(call, fault->reason);
    }
    return amt_say(call->device, status, "%s refused %s: %s%s%s%s", call->device->http.where, asked_for(call),
                   fault->reason, *name ? " (" : "", name, *name ? ")" : "");
}

/* Intel's "not ready", and DMTF's "busy": of all methods that are called here. */
static int is_passing_value(int value)
{
    return value == 2 || value == 4099;
}

static amt_status_e judge_return_value(const amt_call_t *call, int value)
{
    const char *meaning = "no documented meaning";
    int passing = is_passing_value(value);

    if (value == CONSENT_MISSING) {
        return say_consent(call);
    }
    for (const amt_code_t *code = call->step->codes; code != NULL && code->text != NULL; code++) {
        if (code->value == value) {
            if (code->kind == AMT_CODE_GOOD) {
                return AMT_OK;
            }
            if (code->kind == AMT_CODE_DENIED && call->device->needs_consent) {
                return say_consent(call);
            }
            passing |= code->kind == AMT_CODE_PASSING;
            meaning = code->text;
        }
    }
    return amt_say(call->device, passing ? AMT_NOT_NOW : AMT_REFUSED, "%s refused %s: ReturnValue %d (%s)",
                   call->device->http.where, asked_for(call), value, meaning);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* "utf-8" of "application/soap+xml; charset=utf-8", or NULL. */
static const char *charset_of(const char *content_type, apr_pool_t *pool)
{
    const char *charset = content_type != NULL ? strcasestr(content_type, "charset=") : NULL;

    if (charset == NULL) {
        return NULL;
    }
    charset += strlen("charset=");
    charset += *charset == '"';
    return apr_pstrmemdup(pool, charset, strcspn(charset, "\"; \t"));
}

static const wsman_fault_t *parse_reply(const amt_call_t *call, const amt_reply_t *reply,
                                        const wsman_envelope_t **envelope)
{
    wsman_reader_t *reader =
        wsman_reader_create(&limits, charset_of(reply->content_type, call->pool), call->pool);
    const wsman_fault_t *fault = wsman_reader_feed(reader, reply->bytes, reply->length);

    return fault != NULL ? fault : wsman_reader_finish(reader, envelope);
}

/* An answer that is no envelope: the HTTP status decides. */
static amt_status_e read_bare_status(const amt_call_t *call, const amt_reply_t *reply,
                                     const wsman_fault_t *problem)
{
    switch (reply->http_status) {
    case 200:
        return amt_answer_garbage(call, problem->reason);
    case 403:
        return say_denied(call, "HTTP status 403");
    case 400: /* with nothing behind it, what firmware says for a moment after its start, or under load */
        return reply->length == 0
                   ? amt_say(call->device, AMT_NOT_NOW, "%s did not take %s (HTTP status 400 without a word)",
                             call->device->http.where, asked_for(call))
                   : amt_answer_garbage(call, "HTTP status 400");
    case 503:
        return amt_say(call->device, AMT_NOT_NOW, "%s is too busy for %s now (HTTP status 503)",
                       call->device->http.where, asked_for(call));
    default:
        return amt_answer_garbage(call, apr_psprintf(call->pool, "HTTP status %ld", reply->http_status));
    }
}

/* The element that answers the step, or NULL. */
static const wsman_element_t *payload_of(const amt_call_t *call, const wsman_envelope_t *envelope)
{
    const amt_step_t *step = call->step;
    const wsman_element_t *payload = envelope->body != NULL ? envelope->body->child : NULL;
    const char *name = step->verb == AMT_VERB_METHOD ? apr_pstrcat(call->pool, step->method, "_OUTPUT", NULL)
                                                     : amt_class_name(step->uri);

    return payload != NULL && !strcmp(payload->ns, step->uri) && !strcmp(payload->name, name) ? payload
                                                                                              : NULL;
}

/* The answer to a method has a ReturnValue; only where the method acts must it be there. */
static amt_status_e read_return_value(amt_call_t *call, const wsman_element_t *payload)
{
    unsigned int value = 0;
    apr_status_t status = amt_answer_uint(call, payload, "ReturnValue", 0x7fffffff, &value);

    if (status == APR_NOTFOUND && !call->step->once) {
        return AMT_OK;
    }
    if (status != APR_SUCCESS) {
        return amt_answer_garbage(call, status == APR_NOTFOUND ? "it has no ReturnValue"
                                                               : "its ReturnValue is no number");
    }
    call->return_value = (int)value;
    return value ? judge_return_value(call, call->return_value) : AMT_OK;
}

static amt_status_e read_payload(amt_call_t *call, const wsman_envelope_t *envelope)
{
    const amt_step_t *step = call->step;
    const wsman_element_t *payload = payload_of(call, envelope);
    int nothing_to_say =
        step->verb == AMT_VERB_PUT && envelope->body != NULL && envelope->body->child == NULL;
    amt_status_e status = AMT_OK;

    if (payload == NULL && !nothing_to_say) {
        return amt_answer_garbage(call, "it holds something else");
    }
    if (step->verb == AMT_VERB_METHOD) {
        status = read_return_value(call, payload);
    }
    return status == AMT_OK && step->read != NULL ? step->read(call, payload) : status;
}

amt_status_e amt_answer_read(amt_call_t *call, const amt_reply_t *reply)
{
    const wsman_envelope_t *envelope = NULL;
    const wsman_fault_t *problem = parse_reply(call, reply, &envelope);

    if (problem != NULL) {
        return read_bare_status(call, reply, problem);
    }
    if (envelope->fault != NULL) {
        return say_fault(call, envelope->fault);
    }
    if (reply->http_status != 200) {
        return amt_answer_garbage(call, apr_psprintf(call->pool, "HTTP status %ld", reply->http_status));
    }
    if (envelope->relates_to && strcmp(envelope->relates_to, call->message_id) != 0) {
        return amt_answer_garbage(call, "it belongs to another message");
    }
    return read_payload(call, envelope);
}
