/* SPDX-License-Identifier: Apache-2.0 */
#include "soap.h"

#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XML(text) ((const xmlChar *)(text))

const struct soap_fault fault_not_soap = {
    "a:Sender", "e:SchemaValidationError",
    "The supplied SOAP violates the corresponding XML schema definition.", NULL};
const struct soap_fault fault_headers_missing = {
    "a:Sender", "b:MessageInformationHeaderRequired",
    "A required message information header, To, MessageID, or Action, is not present.", NULL};
const struct soap_fault fault_invalid_header = {
    "a:Sender", "b:InvalidMessageInformationHeader",
    "A message information header is not valid and the message cannot be processed.", NULL};
const struct soap_fault fault_must_understand = {"a:MustUnderstand", NULL,
                                                 "A header block that must be understood is not.", NULL};
const struct soap_fault fault_reply_to = {"a:Sender", "e:UnsupportedFeature",
                                          "The specified feature is not supported.", "AddressingMode"};
const struct soap_fault fault_timeout = {"a:Sender", "b:InvalidMessageInformationHeader",
                                         "OperationTimeout is not a duration.", "InvalidValues"};
const struct soap_fault fault_envelope_size = {
    "a:Sender", "e:EncodingLimit",
    "An internal encoding limit was exceeded in a request or would be violated if "
    "the message were processed.",
    "MinimumEnvelopeLimit"};
const struct soap_fault fault_unreachable = {
    "a:Sender", "b:DestinationUnreachable",
    "No route can be determined to reach the destination role defined by the WSAddressing To.",
    "InvalidResourceURI"};
const struct soap_fault fault_action = {"a:Sender", "b:ActionNotSupported",
                                        "The action is not supported by the service.", NULL};
const struct soap_fault fault_selectors = {"a:Sender", "e:InvalidSelectors",
                                           "The Selectors for the resource were not valid.",
                                           "InsufficientSelectors"};
const struct soap_fault fault_denied = {"a:Sender", "e:AccessDenied",
                                        "The sender was not authorized to access the resource.", NULL};
const struct soap_fault fault_representation = {"a:Sender", "d:InvalidRepresentation",
                                                "The XML content was not valid.", "InvalidValues"};
const struct soap_fault fault_read_only = {"a:Sender", "d:InvalidRepresentation",
                                           "The XML content was not valid.", "ReadOnly"};
const struct soap_fault fault_busy = {
    "a:Sender", "e:Concurrency", "The action could not be completed due to concurrency or locking problems.",
    NULL};
const struct soap_fault fault_context = {"a:Receiver", "c:InvalidEnumerationContext",
                                         "The supplied enumeration context is invalid.", NULL};
const struct soap_fault fault_schema = {"a:Sender", "e:SchemaValidationError",
                                        "The supplied SOAP violates the corresponding XML schema definition.",
                                        NULL};

/* ---- reading ------------------------------------------------------------------------------------------- */

static bool is_named(const xmlNode *node, const char *ns, const char *name)
{
    return node->type == XML_ELEMENT_NODE && node->ns && xmlStrEqual(node->ns->href, XML(ns)) &&
           (!name || xmlStrEqual(node->name, XML(name)));
}

xmlNode *soap_child(const xmlNode *parent, const char *ns, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
        if (is_named(node, ns, name))
            return node;
    }
    return NULL;
}

const char *soap_text(const xmlNode *element)
{
    const xmlNode *text = element->children;

    if (!text)
        return "";
    if (text->next || (text->type != XML_TEXT_NODE && text->type != XML_CDATA_SECTION_NODE))
        return NULL;
    return (const char *)text->content;
}

const char *soap_reference(const xmlNode *reference, const char *selector)
{
    const xmlNode *set =
        soap_child(soap_child(reference, NS_ADDRESSING, "ReferenceParameters"), NS_WSMAN, "SelectorSet");
    const char *found = NULL;

    for (xmlNode *node = set ? set->children : NULL; node && !found; node = node->next) {
        if (!is_named(node, NS_WSMAN, "Selector"))
            continue;
        xmlChar *name = xmlGetNoNsProp(node, XML("Name"));
        if (name && xmlStrEqual(name, XML(selector)))
            found = soap_text(node);
        xmlFree(name);
    }
    return found;
}

static const struct soap_fault *read_selectors(struct soap_request *request, const xmlNode *set)
{
    for (xmlNode *node = set->children; node; node = node->next) {
        if (node->type != XML_ELEMENT_NODE)
            continue;
        const xmlAttr *name = xmlHasProp(node, XML("Name"));
        const char *value = soap_text(node);
        if (!is_named(node, NS_WSMAN, "Selector") || !name || !name->children || !value ||
            request->selector_count == SELECTORS_MAX)
            return &fault_selectors;
        request->selectors[request->selector_count].name = (const char *)name->children->content;
        request->selectors[request->selector_count++].value = value;
    }
    return NULL;
}

static bool is_duration(const char *text)
{
    return text && text[0] == 'P' && text[1] && strspn(text + 1, "0123456789.YMDTHS") == strlen(text + 1);
}

static const struct soap_fault *read_reply_to(struct soap_request *request, const xmlNode *node)
{
    const xmlNode *address = soap_child(node, NS_ADDRESSING, "Address");

    request->reply_to = address ? soap_text(address) : NULL;
    return request->reply_to && !strcmp(request->reply_to, ANONYMOUS) ? NULL : &fault_reply_to;
}

static const struct soap_fault *read_wsman_header(struct soap_request *request, const xmlNode *node,
                                                  bool *known)
{
    const char *text = soap_text(node);

    *known = true;
    if (xmlStrEqual(node->name, XML("ResourceURI"))) {
        request->resource = text;
        return NULL;
    }
    if (xmlStrEqual(node->name, XML("SelectorSet")))
        return read_selectors(request, node);
    if (xmlStrEqual(node->name, XML("OperationTimeout")))
        return is_duration(text) ? NULL : &fault_timeout;
    if (xmlStrEqual(node->name, XML("MaxEnvelopeSize")))
        return text && strtoul(text, NULL, 10) >= 8192 ? NULL : &fault_envelope_size;
    *known = xmlStrEqual(node->name, XML("Locale")) || xmlStrEqual(node->name, XML("OptionSet")) ||
             xmlStrEqual(node->name, XML("RequestTotalItemsCountEstimate"));
    return NULL;
}

static const struct soap_fault *read_addressing_header(struct soap_request *request, const xmlNode *node,
                                                       bool *known)
{
    *known = true;
    if (xmlStrEqual(node->name, XML("Action")))
        request->action = soap_text(node);
    else if (xmlStrEqual(node->name, XML("To")))
        request->to = soap_text(node);
    else if (xmlStrEqual(node->name, XML("MessageID")))
        request->message_id = soap_text(node);
    else if (xmlStrEqual(node->name, XML("ReplyTo")))
        return read_reply_to(request, node);
    else
        *known = xmlStrEqual(node->name, XML("From")) || xmlStrEqual(node->name, XML("FaultTo"));
    return NULL;
}

static const struct soap_fault *read_header(struct soap_request *request, const xmlNode *node)
{
    const struct soap_fault *fault = NULL;
    bool known = false;

    if (is_named(node, NS_ADDRESSING, NULL))
        fault = read_addressing_header(request, node, &known);
    else if (is_named(node, NS_WSMAN, NULL))
        fault = read_wsman_header(request, node, &known);
    if (fault || known)
        return fault;
    xmlChar *must = xmlGetNsProp((xmlNode *)node, XML("mustUnderstand"), XML(NS_SOAP));
    bool must_understand = must && (xmlStrEqual(must, XML("true")) || xmlStrEqual(must, XML("1")));
    xmlFree(must);
    return must_understand ? &fault_must_understand : NULL;
}

static const struct soap_fault *read_headers(struct soap_request *request, const xmlNode *header)
{
    for (xmlNode *node = header ? header->children : NULL; node; node = node->next) {
        const struct soap_fault *fault = node->type == XML_ELEMENT_NODE ? read_header(request, node) : NULL;
        if (fault)
            return fault;
    }
    if (request->identify)
        return NULL; /* has none */
    if (!request->action || !request->to || !request->message_id || !request->reply_to)
        return &fault_headers_missing;
    if (!*request->action || !*request->message_id || strlen(request->message_id) > 256)
        return &fault_invalid_header;
    return request->resource ? NULL : &fault_unreachable;
}

const struct soap_fault *soap_read(struct soap_request *request, const char *xml, size_t size)
{
    memset(request, 0, sizeof(*request));
    request->document =
        xmlReadMemory(xml, (int)size, "request.xml", NULL,
                      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
    const xmlNode *envelope = request->document ? xmlDocGetRootElement(request->document) : NULL;
    if (!envelope || request->document->intSubset || !is_named(envelope, NS_SOAP, "Envelope"))
        return &fault_not_soap;
    const xmlNode *body = soap_child(envelope, NS_SOAP, "Body");
    if (!body)
        return &fault_not_soap;
    request->body = xmlFirstElementChild((xmlNode *)body);
    request->identify = request->body && is_named(request->body, NS_IDENTITY, "Identify");
    return read_headers(request, soap_child(envelope, NS_SOAP, "Header"));
}

void soap_release(struct soap_request *request)
{
    xmlFreeDoc(request->document);
    request->document = NULL;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

bool answer_begin(struct answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    answer->status = 200;
    answer->text = xmlBufferCreate();
    answer->xml = answer->text ? xmlNewTextWriterMemory(answer->text, 0) : NULL;
    return answer->xml != NULL;
}

void answer_free(struct answer *answer)
{
    if (answer->xml)
        xmlFreeTextWriter(answer->xml);
    if (answer->text)
        xmlBufferFree(answer->text);
    memset(answer, 0, sizeof(*answer));
}

static void element(xmlTextWriter *xml, const char *name, const char *value)
{
    xmlTextWriterStartElement(xml, XML(name));
    xmlTextWriterWriteString(xml, XML(value));
    xmlTextWriterFullEndElement(xml);
}

static void qualified(char *buffer, size_t size, const char *prefix, const char *name)
{
    snprintf(buffer, size, "%s:%s", prefix, name);
}

void out_open(struct out *out, const char *name)
{
    char tag[128];

    qualified(tag, sizeof(tag), out->prefix, name);
    xmlTextWriterStartElement(out->xml, XML(tag));
}

void out_close(struct out *out)
{
    xmlTextWriterFullEndElement(out->xml);
}

void out_text(struct out *out, const char *name, const char *value)
{
    char tag[128];

    qualified(tag, sizeof(tag), out->prefix, name);
    element(out->xml, tag, value);
}

void out_number(struct out *out, const char *name, unsigned long value)
{
    char text[32];

    snprintf(text, sizeof(text), "%lu", value);
    out_text(out, name, text);
}

void out_bool(struct out *out, const char *name, bool value)
{
    out_text(out, name, value ? "true" : "false");
}

void out_reference(xmlTextWriter *xml, const char *resource, const struct selector *selectors, int count)
{
    element(xml, "b:Address", ANONYMOUS);
    xmlTextWriterStartElement(xml, XML("b:ReferenceParameters"));
    element(xml, "c:ResourceURI", resource);
    xmlTextWriterStartElement(xml, XML("c:SelectorSet"));
    for (int i = 0; i < count; i++) {
        xmlTextWriterStartElement(xml, XML("c:Selector"));
        xmlTextWriterWriteAttribute(xml, XML("Name"), XML(selectors[i].name));
        xmlTextWriterWriteString(xml, XML(selectors[i].value));
        xmlTextWriterFullEndElement(xml);
    }
    xmlTextWriterFullEndElement(xml);
    xmlTextWriterFullEndElement(xml);
}

struct namespace
{
    const char *attribute, *uri;
};

static const struct namespace usual[] = {
    {"xmlns:a", NS_SOAP},
    {"xmlns:b", NS_ADDRESSING},
    {"xmlns:c", NS_WSMAN},
    {"xmlns:d", "http://schemas.xmlsoap.org/ws/2005/02/trust"},
    {"xmlns:e", "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"},
    {"xmlns:f", "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"},
    {NULL, NULL},
};

/* a fault's envelope declares others */
static const struct namespace for_fault[] = {
    {"xmlns:g", "http://schemas.xmlsoap.org/ws/2005/02/trust"},
    {"xmlns:f", "http://schemas.xmlsoap.org/ws/2004/08/eventing"},
    {"xmlns:e", NS_WSMAN},
    {"xmlns:d", NS_TRANSFER},
    {"xmlns:c", NS_ENUMERATION},
    {"xmlns:b", NS_ADDRESSING},
    {"xmlns:a", NS_SOAP},
    {"xmlns:h", "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2"},
    {"xmlns:i", "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"},
    {"xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"},
    {NULL, NULL},
};

static void open_envelope(struct answer *answer, const struct namespace *namespaces)
{
    /* libxml2's own start of a document ends in a newline, which firmware does not send */
    xmlTextWriterWriteRaw(answer->xml, XML("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
    xmlTextWriterStartElement(answer->xml, XML("a:Envelope"));
    for (; namespaces->attribute; namespaces++)
        xmlTextWriterWriteAttribute(answer->xml, XML(namespaces->attribute), XML(namespaces->uri));
}

static void write_header(struct answer *answer, struct pc *pc, const struct soap_request *request,
                         const char *action, const char *resource)
{
    char id[64];

    snprintf(id, sizeof(id), "uuid:00000000-8086-8086-8086-%012X", ++pc->message_last);
    xmlTextWriterStartElement(answer->xml, XML("a:Header"));
    element(answer->xml, "b:To", ANONYMOUS);
    if (request->message_id)
        element(answer->xml, "b:RelatesTo", request->message_id);
    xmlTextWriterStartElement(answer->xml, XML("b:Action"));
    xmlTextWriterWriteAttribute(answer->xml, XML("a:mustUnderstand"), XML("true"));
    xmlTextWriterWriteString(answer->xml, XML(action));
    xmlTextWriterFullEndElement(answer->xml);
    element(answer->xml, "b:MessageID", id);
    if (resource)
        element(answer->xml, "c:ResourceURI", resource);
    xmlTextWriterFullEndElement(answer->xml);
}

void soap_open(struct answer *answer, struct pc *pc, const struct soap_request *request, const char *action,
               const char *const *namespaces)
{
    static const char *const more[] = {"xmlns:g", "xmlns:h", "xmlns:i"};

    open_envelope(answer, usual);
    for (int i = 0; i < 3 && namespaces[i]; i++)
        xmlTextWriterWriteAttribute(answer->xml, XML(more[i]), XML(namespaces[i]));
    xmlTextWriterWriteAttribute(answer->xml, XML("xmlns:xsi"),
                                XML("http://www.w3.org/2001/XMLSchema-instance"));
    write_header(answer, pc, request, action, request->resource);
    xmlTextWriterStartElement(answer->xml, XML("a:Body"));
}

void soap_close(struct answer *answer)
{
    xmlTextWriterFullEndElement(answer->xml);
    xmlTextWriterFullEndElement(answer->xml);
    xmlTextWriterFlush(answer->xml);
}

static const char *fault_action_uri(const struct soap_fault *fault)
{
    switch (fault->subcode ? fault->subcode[0] : 'b') {
    case 'c':
        return NS_ENUMERATION "/fault";
    case 'd':
        return NS_TRANSFER "/fault";
    case 'e':
        return "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault";
    default:
        return NS_ADDRESSING "/fault";
    }
}

static void write_reason(xmlTextWriter *xml, const char *reason)
{
    xmlTextWriterStartElement(xml, XML("a:Reason"));
    xmlTextWriterStartElement(xml, XML("a:Text"));
    xmlTextWriterWriteAttribute(xml, XML("xml:lang"), XML("en-US"));
    xmlTextWriterWriteString(xml, XML(reason));
    xmlTextWriterFullEndElement(xml);
    xmlTextWriterFullEndElement(xml);
}

static void write_fault_body(xmlTextWriter *xml, const struct soap_fault *fault)
{
    char uri[128];

    xmlTextWriterStartElement(xml, XML("a:Body"));
    xmlTextWriterStartElement(xml, XML("a:Fault"));
    xmlTextWriterStartElement(xml, XML("a:Code"));
    element(xml, "a:Value", fault->code);
    if (fault->subcode) {
        xmlTextWriterStartElement(xml, XML("a:Subcode"));
        element(xml, "a:Value", fault->subcode);
        xmlTextWriterFullEndElement(xml);
    }
    xmlTextWriterFullEndElement(xml);
    write_reason(xml, fault->reason);
    xmlTextWriterStartElement(xml, XML("a:Detail"));
    if (fault->detail) {
        snprintf(uri, sizeof(uri), "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/%s",
                 fault->detail);
        element(xml, "e:FaultDetail", uri);
    }
    xmlTextWriterFullEndElement(xml);
    xmlTextWriterFullEndElement(xml);
}

void soap_write_fault(struct answer *answer, struct pc *pc, const struct soap_request *request,
                      const struct soap_fault *fault)
{
    bool drop = answer->drop;

    answer_free(answer);
    if (!answer_begin(answer))
        return;
    answer->status = 400;
    answer->drop = drop;
    open_envelope(answer, for_fault);
    write_header(answer, pc, request, fault_action_uri(fault), NULL);
    write_fault_body(answer->xml, fault);
    soap_close(answer);
}

void soap_write_identity(struct answer *answer, const char *version)
{
    static const struct namespace identity[] = {{"xmlns:a", NS_SOAP}, {"xmlns:b", NS_IDENTITY}, {NULL, NULL}};
    struct out out = {answer->xml, "b"};

    open_envelope(answer, identity);
    element(answer->xml, "a:Header", "");
    xmlTextWriterStartElement(answer->xml, XML("a:Body"));
    out_open(&out, "IdentifyResponse");
    out_text(&out, "ProtocolVersion", NS_WSMAN);
    out_text(&out, "ProductVendor", "Intel(r)");
    out_text(&out, "ProductVersion", version);
    out_open(&out, "SecurityProfiles");
    out_text(&out, "SecurityProfileName",
             "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/http/digest");
    out_text(&out, "SecurityProfileName",
             "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/digest");
    out_close(&out);
    out_close(&out);
    soap_close(answer);
}
