/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/checks_priv.h"

#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "wsman/element_priv.h"
#include "wsman/headers_priv.h"
#include "wsman/names.h"
#include "wsman/values.h"

/* DSP0226 13.1: the smallest MaxEnvelopeSize that must be accepted, and the size for a caller that sends none.
 * Most consoles without the header could take more, but the fault says what to send, and a caller with a fixed
 * buffer must not get more. */
#define MIN_ENVELOPE 8192
#define DEFAULT_ENVELOPE 32767
#define MAX_ENVELOPE (1U << 30) /* practically no limit */
/* DSP0226 13.1: the longest URI that must be accepted. Also limits what an answer repeats. */
#define MAX_URI 2048

typedef const wsman_fault_t *(check_fn)(wsman_request_t *request);

/* ---- headers ------------------------------------------------------------------------------------------ */

/* The fault, with the name of the header that it is about. */
static const wsman_fault_t *fault_about(wsman_fault_t *fault, const char *ns, const char *name)
{
    fault->name_ns = ns;
    fault->name = name;
    return fault;
}

/* Of a header that is not there: what the envelope has under its name in another namespace, such as that of another
 * version of WS-Addressing. */
static const char *elsewhere(const wsman_request_t *request, const char *name)
{
    const wsman_element_t *header = wsman_child(request->envelope->header, NULL, name);
    const char *ns = wsman_header_namespace(name);

    if (header == NULL || strcmp(header->ns, ns) == 0) {
        return "";
    }
    return apr_psprintf(request->pool,
                        " This envelope has it in the namespace %.200s; WS-Management has it in %s.",
                        header->ns, ns);
}

static const wsman_fault_t *check_required(wsman_request_t *request)
{
    const wsman_envelope_t *envelope = request->envelope;

    const struct {
        const char *name;
        const char *value;
    } required[] = {{"To", envelope->to},
                    {"Action", envelope->action},
                    {"MessageID", envelope->message_id},
                    {"ReplyTo", envelope->reply_to}};

    for (apr_size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        const char *name = required[i].name;

        if (required[i].value == NULL || required[i].value[0] == '\0') {
            return fault_about(wsman_fault(request->pool, WSMAN_FAULT_HEADER_REQUIRED, NULL,
                                           "The header wsa:%s is missing or empty.%s", name,
                                           elsewhere(request, name)),
                               WSMAN_URI_WSA, name);
        }
        if (strlen(required[i].value) > MAX_URI) {
            return fault_about(wsman_fault(request->pool, WSMAN_FAULT_HEADER_INVALID, NULL,
                                           "The header wsa:%s is longer than %d bytes.", name, MAX_URI),
                               WSMAN_URI_WSA, name);
        }
    }
    return NULL;
}

/* Answers are sent on the connection of the request only. */
static const wsman_fault_t *check_reply(wsman_request_t *request)
{
    const wsman_envelope_t *envelope = request->envelope;

    if (strcmp(envelope->reply_to, WSMAN_URI_ANONYMOUS) != 0) {
        return wsman_fault(request->pool, WSMAN_FAULT_UNSUPPORTED_FEATURE, "AddressingMode",
                           "wsa:ReplyTo must be the anonymous address, " WSMAN_URI_ANONYMOUS ".");
    }
    if (envelope->fault_to != NULL && strcmp(envelope->fault_to, WSMAN_URI_ANONYMOUS) != 0) {
        return wsman_fault(request->pool, WSMAN_FAULT_UNSUPPORTED_FEATURE, "AddressingMode",
                           "wsa:FaultTo must be the anonymous address, " WSMAN_URI_ANONYMOUS ".");
    }
    return NULL;
}

const wsman_fault_t *wsman_check_understood(wsman_request_t *request)
{
    const wsman_element_t *header = request->envelope->not_understood;

    if (header == NULL) {
        return NULL;
    }
    return fault_about(
        wsman_fault(request->pool, WSMAN_FAULT_MUST_UNDERSTAND, NULL,
                    "The header %.100s of the namespace %.200s must be understood, but is not known "
                    "here.%s",
                    header->name, header->ns,
                    wsman_header_namespace(header->name) != NULL ? elsewhere(request, header->name) : ""),
        header->ns, header->name);
}

/* Error messages are in English: another language is refused only if it must be understood. */
static const wsman_fault_t *check_locale(wsman_request_t *request)
{
    static const char *const headers[] = {"Locale", "DataLocale"};

    for (apr_size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const wsman_element_t *header = wsman_child(request->envelope->header, NULL, headers[i]);
        const char *language = wsman_attribute(header, WSMAN_URI_XML, "lang");

        if (header != NULL && wsman_must_understand(header) && language != NULL && *language != '\0' &&
            strncasecmp(language, "en", 2) != 0) {
            return wsman_fault(request->pool, WSMAN_FAULT_UNSUPPORTED_FEATURE, headers[i],
                               "The header %s asks for a language other than English.", headers[i]);
        }
    }
    return NULL;
}

static int parse_envelope_size(const char *text, apr_uint64_t *size)
{
    return wsman_parse_uint(text, APR_UINT64_MAX, size) == APR_SUCCESS;
}

apr_size_t wsman_envelope_limit(const wsman_envelope_t *envelope)
{
    const char *text = envelope == NULL ? NULL : envelope->max_envelope_size;
    apr_uint64_t size;

    if (text == NULL || !parse_envelope_size(text, &size) || size < MIN_ENVELOPE) {
        return DEFAULT_ENVELOPE;
    }
    return size > MAX_ENVELOPE ? MAX_ENVELOPE : (apr_size_t)size;
}

static const wsman_fault_t *check_envelope_size(wsman_request_t *request)
{
    const char *text = request->envelope->max_envelope_size;
    apr_uint64_t size;

    request->max_envelope_size = wsman_envelope_limit(request->envelope);
    if (text == NULL) {
        return NULL;
    }
    if (!parse_envelope_size(text, &size)) {
        return fault_about(wsman_fault(request->pool, WSMAN_FAULT_HEADER_INVALID, NULL,
                                       "The header wsman:MaxEnvelopeSize is not a number of bytes."),
                           WSMAN_URI_WSMAN, "MaxEnvelopeSize");
    }
    if (size < MIN_ENVELOPE) {
        return wsman_fault(request->pool, WSMAN_FAULT_ENCODING_LIMIT, "MinimumEnvelopeLimit",
                           "MaxEnvelopeSize must be at least %d bytes.", MIN_ENVELOPE);
    }
    return NULL;
}

static const wsman_fault_t *check_timeout(wsman_request_t *request)
{
    const char *text = request->envelope->operation_timeout;

    request->operation_timeout = -1;
    if (text == NULL) {
        return NULL;
    }
    if (wsman_parse_duration(text, &request->operation_timeout) == APR_SUCCESS &&
        request->operation_timeout > 0) {
        return NULL;
    }
    return fault_about(
        wsman_fault(request->pool, WSMAN_FAULT_HEADER_INVALID, "OperationTimeout",
                    "The header wsman:OperationTimeout is not a positive duration such as PT60S."),
        WSMAN_URI_WSMAN, "OperationTimeout");
}

static const wsman_fault_t *check_fragment(wsman_request_t *request)
{
    if (!request->envelope->fragment_transfer) {
        return NULL;
    }
    return wsman_fault(request->pool, WSMAN_FAULT_UNSUPPORTED_FEATURE, "FragmentLevelAccess",
                       "Fragments are not supported: ask for the whole instance.");
}

/* ---- resource and action ------------------------------------------------------------------------------ */

static int is_enumeration(const char *action)
{
    return strcmp(action, WSMAN_ACTION_ENUMERATE) == 0 || strcmp(action, WSMAN_ACTION_PULL) == 0 ||
           strcmp(action, WSMAN_ACTION_RELEASE) == 0;
}

int wsman_class_is(const wsman_class_t *class_, const char *uri)
{
    const char *const *superclass = class_->superclasses;

    if (strcmp(class_->uri, uri) == 0 || strcmp(uri, WSMAN_URI_ALL_CLASSES) == 0) {
        return 1;
    }
    while (superclass != NULL && *superclass != NULL && strcmp(*superclass, uri) != 0) {
        superclass++;
    }
    return superclass != NULL && *superclass != NULL;
}

static const wsman_fault_t *no_operation(wsman_request_t *request, int action_exists)
{
    wsman_fault_t *fault = wsman_fault(request->pool, WSMAN_FAULT_ACTION_NOT_SUPPORTED,
                                       action_exists ? "ActionMismatch" : NULL, NULL);

    fault->name = request->envelope->action;
    return fault;
}

static const wsman_fault_t *find_operation(wsman_request_t *request, const wsman_service_t *service)
{
    const char *uri = request->envelope->resource_uri;
    const char *action = request->envelope->action;
    int resource_exists = 0, action_exists = 0;

    if (uri == NULL || *uri == '\0') {
        return wsman_fault(request->pool, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI",
                           "The header wsman:ResourceURI is missing or empty.%s",
                           elsewhere(request, "ResourceURI"));
    }
    for (const wsman_operation_t *row = service->operations; row->class_ != NULL; row++) {
        int same_action = strcmp(row->action, action) == 0;
        int same_class = strcmp(row->class_->uri, uri) == 0;
        int included = wsman_class_is(row->class_, uri);

        resource_exists |= included;
        action_exists |= same_action;
        if (same_action && (same_class || (included && is_enumeration(action)))) {
            request->class_ = row->class_;
            request->operation = row;
            return NULL;
        }
    }
    if (resource_exists) {
        return no_operation(request, action_exists);
    }
    return wsman_fault(request->pool, WSMAN_FAULT_DESTINATION_UNREACHABLE, "InvalidResourceURI",
                       "There is no resource with this ResourceURI.");
}

/* ---- selectors and options ---------------------------------------------------------------------------- */

static const char *lower_case(const char *name, apr_pool_t *pool)
{
    char *copy = apr_pstrdup(pool, name);

    for (char *c = copy; *c != '\0'; c++) {
        *c = (char)apr_tolower(*c);
    }
    return copy;
}

/* By a hash, because an envelope can hold thousands of selectors. */
static const wsman_fault_t *check_duplicates(wsman_request_t *request)
{
    apr_hash_t *seen = apr_hash_make(request->pool);

    for (const wsman_selector_t *one = request->envelope->selectors; one != NULL; one = one->next) {
        const char *name = lower_case(one->name, request->pool);

        if (apr_hash_get(seen, name, APR_HASH_KEY_STRING) != NULL) {
            return wsman_fault(request->pool, WSMAN_FAULT_INVALID_SELECTORS, "DuplicateSelectors",
                               "The selector %.100s appears twice.", one->name);
        }
        apr_hash_set(seen, name, APR_HASH_KEY_STRING, one);
    }
    return NULL;
}

static int is_key(const wsman_class_t *class_, const char *name)
{
    const char *const *key = class_->keys;

    while (key != NULL && *key != NULL && strcasecmp(*key, name) != 0) {
        key++;
    }
    return key != NULL && *key != NULL;
}

static const wsman_fault_t *check_keys(wsman_request_t *request, int given)
{
    const wsman_class_t *class_ = request->class_;

    if (is_enumeration(request->envelope->action) || (class_->singleton && given == 0)) {
        return NULL;
    }
    for (const char *const *key = class_->keys; key != NULL && *key != NULL; key++) {
        if (wsman_selector_value(request->envelope, *key) == NULL) {
            return wsman_fault(request->pool, WSMAN_FAULT_INVALID_SELECTORS, "InsufficientSelectors",
                               "The selector %s of class %s is missing.", *key, class_->name);
        }
    }
    return NULL;
}

static const wsman_fault_t *check_selectors(wsman_request_t *request)
{
    int given = 0;

    if (request->operation->any_selectors) {
        return NULL;
    }
    for (const wsman_selector_t *one = request->envelope->selectors; one != NULL; one = one->next) {
        /* many consoles send it; there is only one namespace here, under any name */
        if (strcasecmp(one->name, "__cimnamespace") == 0) {
            continue;
        }
        if (!is_key(request->class_, one->name)) {
            return wsman_fault(request->pool, WSMAN_FAULT_INVALID_SELECTORS, "UnexpectedSelectors",
                               "The class %s has no key %.100s.", request->class_->name, one->name);
        }
        if ((one->epr != NULL) != (request->class_->keys_are_references != 0)) {
            return wsman_fault(request->pool, WSMAN_FAULT_INVALID_SELECTORS, "TypeMismatch",
                               "The selector %s of class %s must be %s.", one->name, request->class_->name,
                               one->epr != NULL ? "a text" : "an endpoint reference");
        }
        given++;
    }
    return check_keys(request, given);
}

/* No operation has options. */
static const wsman_fault_t *check_options(wsman_request_t *request)
{
    if (!request->envelope->options_must_understand) {
        return NULL;
    }
    for (const wsman_option_t *option = request->envelope->options; option != NULL; option = option->next) {
        if (option->must_comply) {
            return wsman_fault(request->pool, WSMAN_FAULT_INVALID_OPTIONS, "InvalidName",
                               "The option %.100s must be complied with, but is not known here.",
                               option->name);
        }
    }
    return NULL;
}

/* In the order in which consoles expect the first fault. The reader has checked SOAP version and XML before. */
static check_fn *const checks_of_headers[] = {
    check_required,      check_reply,   wsman_check_understood, check_locale,
    check_envelope_size, check_timeout, check_fragment,         check_duplicates,
};
static check_fn *const checks_of_operation[] = {check_selectors, check_options};

static const wsman_fault_t *run_checks(check_fn *const *checks, apr_size_t count, wsman_request_t *request)
{
    const wsman_fault_t *fault = NULL;

    for (apr_size_t i = 0; i < count && fault == NULL; i++) {
        fault = checks[i](request);
    }
    return fault;
}

const wsman_fault_t *wsman_check_request(wsman_request_t *request, const wsman_service_t *service)
{
    const wsman_fault_t *fault =
        run_checks(checks_of_headers, sizeof(checks_of_headers) / sizeof(checks_of_headers[0]), request);

    if (fault == NULL) {
        fault = find_operation(request, service);
    }
    if (fault == NULL) {
        fault = run_checks(checks_of_operation, sizeof(checks_of_operation) / sizeof(checks_of_operation[0]),
                           request);
    }
    return fault;
}

const char *wsman_selector_named(const wsman_selector_t *selectors, const char *name)
{
    while (selectors != NULL && strcasecmp(selectors->name, name) != 0) {
        selectors = selectors->next;
    }
    return selectors == NULL ? NULL : selectors->value;
}

const char *wsman_selector_value(const wsman_envelope_t *envelope, const char *name)
{
    return wsman_selector_named(envelope->selectors, name);
}
