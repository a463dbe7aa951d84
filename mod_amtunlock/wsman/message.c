/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes of answers, requests and faults; endpoint references. */
#include <apr_strings.h>
#include <apr_uuid.h>
#include <string.h>

#include "wsman/values.h"
#include "wsman/writer_priv.h"

#define MUST_UNDERSTAND "s:mustUnderstand"

static const char *new_message_id(apr_pool_t *pool)
{
    char text[APR_UUID_FORMATTED_LENGTH + 1];
    apr_uuid_t uuid;

    apr_uuid_get(&uuid);
    apr_uuid_format(text, &uuid);
    return apr_pstrcat(pool, "uuid:", text, NULL);
}

/* Opens s:Header; it stays open for wsman_write_header(). */
static void open_header(wsman_writer_t *writer)
{
    wsman_header_begin(writer);
    wsman_start(writer, WSMAN_NS_SOAP, "Header");
}

static void open_body(wsman_writer_t *writer)
{
    wsman_header_end(writer);
    wsman_start(writer, WSMAN_NS_SOAP, "Body");
}

void wsman_response_begin(wsman_writer_t *writer, const char *relates_to, const char *action)
{
    open_header(writer);
    if (action != NULL) {
        wsman_element(writer, WSMAN_NS_WSA, "To", WSMAN_URI_ANONYMOUS);
        wsman_element(writer, WSMAN_NS_WSA, "Action", action);
        if (relates_to != NULL) {
            wsman_element(writer, WSMAN_NS_WSA, "RelatesTo", relates_to);
        }
        wsman_element(writer, WSMAN_NS_WSA, "MessageID", new_message_id(wsman_writer_pool(writer)));
    }
    open_body(writer);
}

/* An element as it was read, with the prefixes of this writer. */
/* Depth is bounded by the reader's limit on elements. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void write_copy(wsman_writer_t *writer, const wsman_element_t *element)
{
    wsman_ns_e ns = wsman_ns_of(element->ns);

    if (ns == WSMAN_NS_CLASS) {
        wsman_start_class(writer, element->ns, element->name);
    }
    else {
        wsman_start(writer, ns, element->name);
    }
    for (const wsman_attribute_t *at = element->attributes; at != NULL; at = at->next) {
        if (at->ns[0] == '\0') {
            wsman_write_attribute(writer, at->name, at->value);
        }
    }
    if (element->child == NULL) {
        wsman_write_text(writer, element->text);
    }
    for (const wsman_element_t *child = element->child; child != NULL; child = child->next) {
        write_copy(writer, child);
    }
    wsman_end(writer);
}

void wsman_write_reply_parameters(wsman_writer_t *writer, const wsman_element_t *parameters)
{
    wsman_header_begin(writer);
    for (const wsman_element_t *one = parameters == NULL ? NULL : parameters->child; one != NULL;
         one = one->next) {
        write_copy(writer, one);
    }
    wsman_header_end(writer);
}

/* ---- requests ----------------------------------------------------------------------------------------- */

static void write_mandatory(wsman_writer_t *writer, wsman_ns_e ns, const char *local, const char *text)
{
    if (text == NULL) {
        return;
    }
    wsman_start(writer, ns, local);
    wsman_write_attribute(writer, MUST_UNDERSTAND, "true");
    wsman_write_text(writer, text);
    wsman_end(writer);
}

/* A selector may hold an endpoint reference, which has selectors itself. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void write_selectors(wsman_writer_t *writer, const wsman_selector_t *selector)
{
    if (selector == NULL) {
        return;
    }
    wsman_start(writer, WSMAN_NS_WSMAN, "SelectorSet");
    for (; selector != NULL; selector = selector->next) {
        wsman_start(writer, WSMAN_NS_WSMAN, "Selector");
        wsman_write_attribute(writer, "Name", selector->name);
        if (selector->epr != NULL) {
            write_copy(writer, selector->epr);
        }
        else if (selector->reference != NULL) {
            wsman_start(writer, WSMAN_NS_WSA, "EndpointReference");
            wsman_write_epr(writer, selector->reference->resource_uri, selector->reference->selectors);
            wsman_end(writer);
        }
        else if (selector->value != NULL) {
            wsman_write_text(writer, selector->value);
        }
        wsman_end(writer);
    }
    wsman_end(writer);
}

static void write_number(wsman_writer_t *writer, const char *local, apr_uint64_t value)
{
    if (value > 0) {
        write_mandatory(writer, WSMAN_NS_WSMAN, local,
                        apr_psprintf(wsman_writer_pool(writer), "%" APR_UINT64_T_FMT, value));
    }
}

static void write_timeout(wsman_writer_t *writer, int seconds)
{
    if (seconds > 0) {
        wsman_element(writer, WSMAN_NS_WSMAN, "OperationTimeout",
                      apr_psprintf(wsman_writer_pool(writer), "PT%dS", seconds));
    }
}

void wsman_request_begin(wsman_writer_t *writer, const wsman_request_headers_t *headers)
{
    open_header(writer);
    if (headers->action != NULL) {
        write_mandatory(writer, WSMAN_NS_WSA, "Action", headers->action);
        write_mandatory(writer, WSMAN_NS_WSA, "To", headers->to);
        write_mandatory(writer, WSMAN_NS_WSMAN, "ResourceURI", headers->resource_uri);
        wsman_element(writer, WSMAN_NS_WSA, "MessageID",
                      headers->message_id != NULL ? headers->message_id
                                                  : new_message_id(wsman_writer_pool(writer)));
        wsman_start(writer, WSMAN_NS_WSA, "ReplyTo");
        wsman_element(writer, WSMAN_NS_WSA, "Address", WSMAN_URI_ANONYMOUS);
        wsman_end(writer);
        write_number(writer, "MaxEnvelopeSize", headers->max_envelope_size);
        write_timeout(writer, headers->operation_timeout);
        write_selectors(writer, headers->selectors);
    }
    open_body(writer);
}

/* NOLINTNEXTLINE(misc-no-recursion) */
void wsman_write_epr(wsman_writer_t *writer, const char *resource_uri, const wsman_selector_t *selectors)
{
    wsman_element(writer, WSMAN_NS_WSA, "Address", WSMAN_URI_ANONYMOUS);
    wsman_start(writer, WSMAN_NS_WSA, "ReferenceParameters");
    wsman_element(writer, WSMAN_NS_WSMAN, "ResourceURI", resource_uri);
    write_selectors(writer, selectors);
    wsman_end(writer);
}

/* ---- faults ------------------------------------------------------------------------------------------- */

/* SOAP 1.2 part 1, 5.4.8 */
static void write_not_understood(wsman_writer_t *writer, const wsman_fault_t *fault)
{
    if (fault->name == NULL) {
        return;
    }
    wsman_header_begin(writer);
    wsman_start(writer, WSMAN_NS_SOAP, "NotUnderstood");
    if (fault->name_ns != NULL && wsman_declarable(fault->name_ns)) {
        wsman_write_attribute(writer, "qname",
                              apr_pstrcat(wsman_writer_pool(writer), "p:", fault->name, NULL));
        wsman_write_attribute(writer, "xmlns:p", fault->name_ns);
    }
    else {
        int is_xml = fault->name_ns != NULL && strcmp(fault->name_ns, WSMAN_URI_XML) == 0;

        wsman_write_attribute(
            writer, "qname", apr_pstrcat(wsman_writer_pool(writer), is_xml ? "xml:" : "", fault->name, NULL));
    }
    wsman_end(writer);
    wsman_header_end(writer);
}

/* SOAP 1.2 part 1, 5.4.7 */
static void write_upgrade(wsman_writer_t *writer)
{
    wsman_header_begin(writer);
    wsman_start(writer, WSMAN_NS_SOAP, "Upgrade");
    wsman_start(writer, WSMAN_NS_SOAP, "SupportedEnvelope");
    wsman_write_attribute(writer, "qname", "s:Envelope");
    wsman_end(writer);
    wsman_end(writer);
    wsman_header_end(writer);
}

static void write_code(wsman_writer_t *writer, const wsman_fault_t *fault)
{
    const char *subcode = wsman_fault_subcode(fault->kind);
    apr_pool_t *pool = wsman_writer_pool(writer);

    wsman_start(writer, WSMAN_NS_SOAP, "Code");
    wsman_element(writer, WSMAN_NS_SOAP, "Value",
                  apr_pstrcat(pool, "s:", wsman_fault_code(fault->kind), NULL));
    if (*subcode != '\0') {
        wsman_use(writer, wsman_ns_of(wsman_fault_ns(fault->kind)));
        wsman_start(writer, WSMAN_NS_SOAP, "Subcode");
        wsman_element(writer, WSMAN_NS_SOAP, "Value", subcode);
        wsman_end(writer);
    }
    wsman_end(writer);
}

static void write_reason(wsman_writer_t *writer, const wsman_fault_t *fault)
{
    wsman_start(writer, WSMAN_NS_SOAP, "Reason");
    wsman_start(writer, WSMAN_NS_SOAP, "Text");
    wsman_write_attribute(writer, "xml:lang", "en-US");
    wsman_write_text(writer, fault->reason);
    wsman_end(writer);
    wsman_end(writer);
}

/* WS-Addressing wants the missing or invalid header in the detail, as an empty element. */
static int names_header(const wsman_fault_t *fault)
{
    return (fault->kind == WSMAN_FAULT_HEADER_REQUIRED || fault->kind == WSMAN_FAULT_HEADER_INVALID) &&
           fault->name != NULL && fault->name_ns != NULL && wsman_ns_of(fault->name_ns) != WSMAN_NS_CLASS;
}

static int names_action(const wsman_fault_t *fault)
{
    return fault->kind == WSMAN_FAULT_ACTION_NOT_SUPPORTED && fault->name != NULL;
}

static void write_detail(wsman_writer_t *writer, const wsman_fault_t *fault)
{
    apr_pool_t *pool = wsman_writer_pool(writer);

    if (fault->detail == NULL && fault->retry_after <= 0 && !names_header(fault) && !names_action(fault)) {
        return;
    }
    wsman_start(writer, WSMAN_NS_SOAP, "Detail");
    if (fault->detail != NULL) {
        wsman_element(writer, WSMAN_NS_WSMAN, "FaultDetail",
                      apr_pstrcat(pool, WSMAN_URI_FAULT_DETAIL, fault->detail, NULL));
    }
    if (fault->retry_after > 0) { /* in milliseconds: WS-Addressing 2004/08, 4.5 */
        wsman_element(writer, WSMAN_NS_WSA, "RetryAfter",
                      apr_psprintf(pool, "%" APR_INT64_T_FMT, (apr_int64_t)fault->retry_after * 1000));
    }
    if (names_action(fault)) {
        wsman_element(writer, WSMAN_NS_WSA, "Action", fault->name);
    }
    if (names_header(fault)) {
        wsman_element(writer, wsman_ns_of(fault->name_ns), fault->name, NULL);
    }
    wsman_end(writer);
}

void wsman_fault_write(wsman_writer_t *writer, const char *relates_to, const wsman_fault_t *fault)
{
    wsman_response_begin(writer, relates_to, wsman_fault_action(fault->kind));
    if (fault->kind == WSMAN_FAULT_MUST_UNDERSTAND) {
        write_not_understood(writer, fault);
    }
    if (fault->kind == WSMAN_FAULT_VERSION_MISMATCH) {
        write_upgrade(writer);
    }
    wsman_start(writer, WSMAN_NS_SOAP, "Fault");
    write_code(writer, fault);
    write_reason(writer, fault);
    write_detail(writer, fault);
    wsman_end(writer);
}
