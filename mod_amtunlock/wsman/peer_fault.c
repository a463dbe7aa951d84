/* SPDX-License-Identifier: Apache-2.0 */
/* A s:Fault of a peer. Devices differ in prefixes and in what they leave out, but a reason for the operator must
 * be read from all of them. */
#include <apr_strings.h>
#include <string.h>

#include "wsman/element_priv.h"
#include "wsman/names.h"
#include "wsman/values.h"

static wsman_fault_e kind_of_code(const wsman_element_t *value, apr_pool_t *pool)
{
    wsman_qname_t code = wsman_qname(value, value->text, pool);

    if (code.local == NULL || strcmp(code.ns, WSMAN_URI_SOAP) != 0) {
        return WSMAN_FAULT_OTHER;
    }
    if (strcmp(code.local, "VersionMismatch") == 0) {
        return WSMAN_FAULT_VERSION_MISMATCH;
    }
    if (strcmp(code.local, "MustUnderstand") == 0) {
        return WSMAN_FAULT_MUST_UNDERSTAND;
    }
    return WSMAN_FAULT_OTHER;
}

/* Subcodes may nest: the first known one decides. If none is known, the outermost is kept. */
static wsman_fault_e kind_of(const wsman_element_t *code, const char **subcode, apr_pool_t *pool)
{
    const wsman_element_t *value = wsman_child(code, WSMAN_URI_SOAP, "Value");
    wsman_fault_e kind = value == NULL ? WSMAN_FAULT_OTHER : kind_of_code(value, pool);
    const wsman_element_t *sub = wsman_child(code, WSMAN_URI_SOAP, "Subcode");

    for (; sub != NULL && kind == WSMAN_FAULT_OTHER; sub = wsman_child(sub, WSMAN_URI_SOAP, "Subcode")) {
        wsman_qname_t name;

        value = wsman_child(sub, WSMAN_URI_SOAP, "Value");
        if (value == NULL || (name = wsman_qname(value, value->text, pool)).local == NULL) {
            continue;
        }
        kind = wsman_fault_of_subcode(name.ns, name.local);
        if (*subcode == NULL || kind != WSMAN_FAULT_OTHER) {
            *subcode = wsman_one_line(name.local, pool);
        }
    }
    return kind;
}

/* The last part of the faultDetail URI. */
static const char *detail_of(const wsman_element_t *detail, apr_pool_t *pool)
{
    const char *uri = wsman_child_text(detail, WSMAN_URI_WSMAN, "FaultDetail", pool);
    const char *slash = uri == NULL ? NULL : strrchr(uri, '/');

    if (slash != NULL) {
        uri = slash + 1;
    }
    return uri == NULL || *uri == '\0' ? NULL : wsman_one_line(uri, pool);
}

/* English where there is a choice; a Text without language counts as English. */
static const char *reason_of(const wsman_element_t *reason, apr_pool_t *pool)
{
    const wsman_element_t *text = wsman_child(reason, WSMAN_URI_SOAP, "Text");
    const wsman_element_t *best = text;

    for (; text != NULL; text = wsman_next_same(text)) {
        const char *language = wsman_attribute(text, WSMAN_URI_XML, "lang");

        if (language == NULL || strncasecmp(language, "en", 2) == 0) {
            best = text;
            break;
        }
    }
    return best == NULL ? "" : wsman_one_line(best->text, pool);
}

/* Milliseconds on the wire; rounded up, so that no client comes back too early. */
static int retry_after_of(const wsman_element_t *detail, apr_pool_t *pool)
{
    const char *text = wsman_child_text(detail, WSMAN_URI_WSA, "RetryAfter", pool);
    apr_uint64_t milliseconds = 0;

    if (text != NULL) {
        wsman_parse_uint(text, APR_INT32_MAX, &milliseconds);
    }
    return (int)((milliseconds + 999) / 1000);
}

static void read_not_understood(wsman_fault_t *fault, const wsman_element_t *header, apr_pool_t *pool)
{
    const wsman_element_t *element = wsman_child(header, WSMAN_URI_SOAP, "NotUnderstood");
    const char *qname = wsman_attribute(element, "", "qname");

    if (qname != NULL) {
        wsman_qname_t name = wsman_qname(element, qname, pool);

        fault->name_ns = name.ns;
        fault->name = name.local;
    }
}

const wsman_fault_t *wsman_fault_read(const wsman_element_t *fault, const wsman_element_t *header,
                                      apr_pool_t *pool)
{
    const wsman_element_t *detail = wsman_child(fault, WSMAN_URI_SOAP, "Detail");
    const char *reason = reason_of(wsman_child(fault, WSMAN_URI_SOAP, "Reason"), pool);
    const char *subcode = NULL;
    wsman_fault_e kind = kind_of(wsman_child(fault, WSMAN_URI_SOAP, "Code"), &subcode, pool);
    wsman_fault_t *read = wsman_fault(pool, kind, detail_of(detail, pool), NULL);

    if (*reason != '\0') {
        read->reason = reason;
    }
    read->subcode = subcode;
    if (kind == WSMAN_FAULT_ENDPOINT_UNAVAILABLE || kind == WSMAN_FAULT_QUOTA_LIMIT) {
        read->retry_after = retry_after_of(detail, pool);
    }
    if (kind == WSMAN_FAULT_MUST_UNDERSTAND) {
        read_not_understood(read, header, pool);
    }
    return read;
}
