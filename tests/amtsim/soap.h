/* SPDX-License-Identifier: Apache-2.0 */
/* SOAP envelopes as AMT firmware reads and writes them. */
#ifndef AMTSIM_SOAP_H
#define AMTSIM_SOAP_H

#include "pc.h"

#include <libxml/tree.h>
#include <libxml/xmlwriter.h>

#define NS_SOAP "http://www.w3.org/2003/05/soap-envelope"
#define NS_ADDRESSING "http://schemas.xmlsoap.org/ws/2004/08/addressing"
#define NS_WSMAN "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
#define NS_TRANSFER "http://schemas.xmlsoap.org/ws/2004/09/transfer"
#define NS_ENUMERATION "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
#define NS_COMMON "http://schemas.dmtf.org/wbem/wscim/1/common"
#define NS_IDENTITY "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
#define ANONYMOUS NS_ADDRESSING "/role/anonymous"

#define SELECTORS_MAX 8

struct selector {
    const char *name, *value;
};

/* A request, read. The strings live in the document. */
struct soap_request {
    xmlDoc *document;
    const char *action, *to, *resource, *message_id, *reply_to;
    struct selector selectors[SELECTORS_MAX];
    int selector_count;
    xmlNode *body; /* the first element in the body, or NULL */
    bool identify;
};

/* Everything that can be said in a fault. */
struct soap_fault {
    const char *code;    /* a:Sender, a:Receiver, a:MustUnderstand */
    const char *subcode; /* with the prefix that a fault's envelope declares, or NULL */
    const char *reason;
    const char *detail; /* the last step of a faultDetail URI, or NULL */
};

extern const struct soap_fault fault_not_soap, fault_headers_missing, fault_invalid_header,
    fault_must_understand, fault_reply_to, fault_timeout, fault_envelope_size, fault_unreachable,
    fault_action, fault_selectors, fault_denied, fault_representation, fault_read_only, fault_busy,
    fault_context, fault_schema;

/* An answer in the making. */
struct answer {
    int status; /* of HTTP */
    xmlBuffer *text;
    xmlTextWriter *xml;
    bool drop;     /* close the connection instead of answering */
    bool wordless; /* the status, and nothing behind it */
};

/* Where an instance or a method's output is written: the writer and the prefix of its namespace. */
struct out {
    xmlTextWriter *xml;
    const char *prefix;
};

/* Reads XML of `size` bytes. Returns NULL, or the fault that it deserves. Either way soap_release()
 * afterwards. */
const struct soap_fault *soap_read(struct soap_request *request, const char *xml, size_t size);
void soap_release(struct soap_request *request);

/* The text of an element that has nothing but text, "" if it is empty, NULL if it has elements. */
const char *soap_text(const xmlNode *element);

/* The first element child of that name in that namespace, or NULL. */
xmlNode *soap_child(const xmlNode *parent, const char *ns, const char *name);

/* The value of the selector of that name in an endpoint reference, or NULL. */
const char *soap_reference(const xmlNode *reference, const char *selector);

/* Makes *answer ready to be written to; answer_free() afterwards. */
bool answer_begin(struct answer *answer);
void answer_free(struct answer *answer);

/* Opens envelope, header and body of an answer to request. The namespaces, NULL-terminated, get the prefixes
 * g, h, i behind the six that firmware always declares. */
void soap_open(struct answer *answer, struct pc *pc, const struct soap_request *request, const char *action,
               const char *const *namespaces);

/* Closes what soap_open() opened. */
void soap_close(struct answer *answer);

/* Replaces whatever was written so far by a fault; the status becomes 400. */
void soap_write_fault(struct answer *answer, struct pc *pc, const struct soap_request *request,
                      const struct soap_fault *fault);

/* The answer to Identify. */
void soap_write_identity(struct answer *answer, const char *version);

/* One member of an instance. */
void out_text(struct out *out, const char *name, const char *value);
void out_number(struct out *out, const char *name, unsigned long value);
void out_bool(struct out *out, const char *name, bool value);

/* An endpoint reference's two parts (Address, ReferenceParameters), inside whatever element is open. */
void out_reference(xmlTextWriter *xml, const char *resource, const struct selector *selectors, int count);

void out_open(struct out *out, const char *name);
void out_close(struct out *out);

#endif
