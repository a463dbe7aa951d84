/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/headers_priv.h"

#include <apr_pools.h>
#include <stddef.h>
#include <string.h>

#include "wsman/element_priv.h"
#include "wsman/names.h"

/* Sets the member of the envelope at `offset` from a header. */
typedef void(read_fn)(wsman_envelope_t *envelope, const wsman_element_t *header, size_t offset,
                      apr_pool_t *pool);

#define MEMBER(envelope, offset, type) ((type *)(void *)((char *)(envelope) + (offset)))

static void read_text(wsman_envelope_t *envelope, const wsman_element_t *header, size_t offset,
                      apr_pool_t *pool)
{
    *MEMBER(envelope, offset, const char *) = wsman_text(header, pool);
}

static void read_address(wsman_envelope_t *envelope, const wsman_element_t *header, size_t offset,
                         apr_pool_t *pool)
{
    const char *address = wsman_child_text(header, WSMAN_URI_WSA, "Address", pool);

    *MEMBER(envelope, offset, const char *) = address != NULL ? address : "";
}

static void read_reply_to(wsman_envelope_t *envelope, const wsman_element_t *header, size_t offset,
                          apr_pool_t *pool)
{
    read_address(envelope, header, offset, pool);
    envelope->reply_parameters = wsman_child(header, WSMAN_URI_WSA, "ReferenceParameters");
}

static void read_presence(wsman_envelope_t *envelope, const wsman_element_t *header, size_t offset,
                          apr_pool_t *pool)
{
    (void)header;
    (void)pool;
    *MEMBER(envelope, offset, int) = 1;
}

static void read_locale(wsman_envelope_t *envelope, const wsman_element_t *header, size_t offset,
                        apr_pool_t *pool)
{
    const char *language = wsman_attribute(header, WSMAN_URI_XML, "lang");

    (void)pool;
    *MEMBER(envelope, offset, const char *) = language != NULL ? language : "";
}

static const char *name_attribute(const wsman_element_t *element)
{
    const char *name = wsman_attribute(element, "", "Name");

    return name != NULL ? name : "";
}

/* Depth is bounded by the reader's limit on elements. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static wsman_selector_t *selectors_in(const wsman_element_t *set, apr_pool_t *pool)
{
    wsman_selector_t *first = NULL, **tail = &first;
    const wsman_element_t *from = wsman_child(set, WSMAN_URI_WSMAN, "Selector");

    for (; from != NULL; from = wsman_next_same(from)) {
        wsman_selector_t *selector = apr_pcalloc(pool, sizeof(*selector));

        selector->name = name_attribute(from);
        selector->value = wsman_text(from, pool);
        selector->epr = wsman_child(from, WSMAN_URI_WSA, "EndpointReference");
        selector->reference = wsman_reference(selector->epr, pool);
        *tail = selector;
        tail = &selector->next;
    }
    return first;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
const wsman_reference_t *wsman_reference(const wsman_element_t *element, apr_pool_t *pool)
{
    const wsman_element_t *wrapped = wsman_child(element, WSMAN_URI_WSA, "EndpointReference");
    const wsman_element_t *parameters =
        wsman_child(wrapped != NULL ? wrapped : element, WSMAN_URI_WSA, "ReferenceParameters");
    wsman_reference_t *reference;

    if (parameters == NULL) {
        return NULL;
    }
    reference = apr_pcalloc(pool, sizeof(*reference));
    reference->resource_uri = wsman_child_text(parameters, WSMAN_URI_WSMAN, "ResourceURI", pool);
    reference->selectors = selectors_in(wsman_child(parameters, WSMAN_URI_WSMAN, "SelectorSet"), pool);
    return reference;
}

static void read_selectors(wsman_envelope_t *envelope, const wsman_element_t *header, size_t offset,
                           apr_pool_t *pool)
{
    envelope->has_selector_set = 1;
    *MEMBER(envelope, offset, wsman_selector_t *) = selectors_in(header, pool);
}

static void read_options(wsman_envelope_t *envelope, const wsman_element_t *header, size_t offset,
                         apr_pool_t *pool)
{
    wsman_option_t **tail = MEMBER(envelope, offset, wsman_option_t *);
    const wsman_element_t *from = wsman_child(header, WSMAN_URI_WSMAN, "Option");

    envelope->options_must_understand = wsman_must_understand(header);
    for (; from != NULL; from = wsman_next_same(from)) {
        wsman_option_t *option = apr_pcalloc(pool, sizeof(*option));

        option->name = name_attribute(from);
        option->value = wsman_text(from, pool);
        option->must_comply = wsman_is_true(wsman_attribute(from, "", "MustComply"));
        *tail = option;
        tail = &option->next;
    }
}

/* Headers of Microsoft's clients (MS-WSMV) without effect here; checks.c checks DataLocale. */
#define URI_MICROSOFT "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"

/* Known headers. One without `read` is accepted, even with mustUnderstand, and has no effect. */
static const struct {
    const char *ns;
    const char *name;
    read_fn *read;
    size_t offset;
} known[] = {
    {WSMAN_URI_WSA, "To", read_text, offsetof(wsman_envelope_t, to)},
    {WSMAN_URI_WSA, "Action", read_text, offsetof(wsman_envelope_t, action)},
    {WSMAN_URI_WSA, "MessageID", read_text, offsetof(wsman_envelope_t, message_id)},
    {WSMAN_URI_WSA, "RelatesTo", read_text, offsetof(wsman_envelope_t, relates_to)},
    {WSMAN_URI_WSA, "ReplyTo", read_reply_to, offsetof(wsman_envelope_t, reply_to)},
    {WSMAN_URI_WSA, "FaultTo", read_address, offsetof(wsman_envelope_t, fault_to)},
    {WSMAN_URI_WSA, "From", NULL, 0},
    {WSMAN_URI_WSMAN, "ResourceURI", read_text, offsetof(wsman_envelope_t, resource_uri)},
    {WSMAN_URI_WSMAN, "SelectorSet", read_selectors, offsetof(wsman_envelope_t, selectors)},
    {WSMAN_URI_WSMAN, "OptionSet", read_options, offsetof(wsman_envelope_t, options)},
    {WSMAN_URI_WSMAN, "MaxEnvelopeSize", read_text, offsetof(wsman_envelope_t, max_envelope_size)},
    {WSMAN_URI_WSMAN, "OperationTimeout", read_text, offsetof(wsman_envelope_t, operation_timeout)},
    {WSMAN_URI_WSMAN, "Locale", read_locale, offsetof(wsman_envelope_t, locale)},
    {WSMAN_URI_WSMAN, "FragmentTransfer", read_presence, offsetof(wsman_envelope_t, fragment_transfer)},
    {WSMAN_URI_WSMAN, "RequestTotalItemsCountEstimate", read_presence,
     offsetof(wsman_envelope_t, total_items_estimate)},
    {WSMAN_URI_WSMAN, "TotalItemsCountEstimate", NULL, 0},
    {URI_MICROSOFT, "DataLocale", NULL, 0},
    {URI_MICROSOFT, "ActivityId", NULL, 0},
};

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

static int index_of_header(const wsman_element_t *header)
{
    int i = 0;

    while (i < KNOWN && !wsman_is_element(header, known[i].ns, known[i].name)) {
        i++;
    }
    return i;
}

const char *wsman_header_namespace(const char *name)
{
    for (int i = 0; i < KNOWN; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return known[i].ns;
        }
    }
    return NULL;
}

/* False for a header that is meant for another role (SOAP 1.2 part 1, 2.2). */
static int is_for_us(const wsman_element_t *header)
{
    const char *role = wsman_attribute(header, WSMAN_URI_SOAP, "role");

    return role == NULL || role[0] == '\0' || strcmp(role, WSMAN_URI_SOAP "/role/next") == 0 ||
           strcmp(role, WSMAN_URI_SOAP "/role/ultimateReceiver") == 0;
}

int wsman_must_understand(const wsman_element_t *header)
{
    return wsman_is_true(wsman_attribute(header, WSMAN_URI_SOAP, "mustUnderstand")) && is_for_us(header);
}

static const wsman_fault_t *repeated_header(const wsman_element_t *header, apr_pool_t *pool)
{
    wsman_fault_t *fault =
        wsman_fault(pool, WSMAN_FAULT_HEADER_INVALID, NULL, "The header %s appears twice.", header->name);

    fault->name_ns = header->ns;
    fault->name = header->name;
    return fault;
}

static const wsman_fault_t *read_headers(wsman_envelope_t *envelope, apr_pool_t *pool)
{
    char seen[KNOWN + 1] = {0};

    for (const wsman_element_t *header = envelope->header->child; header != NULL; header = header->next) {
        int i = index_of_header(header);

        if (i == KNOWN && envelope->not_understood == NULL && wsman_must_understand(header)) {
            envelope->not_understood = header;
        }
        if (i == KNOWN || known[i].read == NULL || !is_for_us(header)) {
            continue;
        }
        if (seen[i]++) {
            return repeated_header(header, pool);
        }
        known[i].read(envelope, header, known[i].offset, pool);
    }
    return NULL;
}

/* SOAP 1.2 part 1, 5.1: an optional Header, then one Body, and nothing else. */
static const wsman_fault_t *read_parts(wsman_envelope_t *envelope, const wsman_element_t *root,
                                       apr_pool_t *pool)
{
    const wsman_element_t *part = root->child;

    if (wsman_is_element(part, WSMAN_URI_SOAP, "Header")) {
        envelope->header = part;
        part = part->next;
    }
    if (!wsman_is_element(part, WSMAN_URI_SOAP, "Body")) {
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "The envelope must hold one s:Header, if any, and then one s:Body.");
    }
    envelope->body = part;
    if (part->next != NULL) {
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "The envelope holds an element after its s:Body.");
    }
    if (part->child != NULL && part->child->next != NULL) {
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "The s:Body of the envelope holds more than one element.");
    }
    return NULL;
}

const wsman_fault_t *wsman_envelope_read(const wsman_element_t *root, wsman_encoding_t encoding,
                                         const wsman_envelope_t **envelope, apr_pool_t *pool)
{
    wsman_envelope_t *read = apr_pcalloc(pool, sizeof(*read));
    const wsman_fault_t *fault = read_parts(read, root, pool);

    read->encoding = encoding;
    if (fault == NULL && read->header != NULL) {
        fault = read_headers(read, pool);
    }
    if (fault != NULL) {
        return fault;
    }
    if (wsman_is_element(read->body->child, WSMAN_URI_SOAP, "Fault")) {
        read->fault = wsman_fault_read(read->body->child, read->header, pool);
    }
    *envelope = read;
    return NULL;
}
