/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a SOAP 1.2 / WS-Management envelope (DSP0226 5, 8).
 *
 * One reader serves the service (requests of consoles), the AMT client (answers of devices, which are not
 * trusted either) and the command. Bytes are pushed in as they arrive; limits are checked before libxml2
 * sees them. The result is plain data in the caller's pool, without objects of libxml2.
 *
 * A reader is used by one thread at a time. Call wsman_library_init() once per process before threads start.
 */
#ifndef AMTUNLOCK_WSMAN_ENVELOPE_H
#define AMTUNLOCK_WSMAN_ENVELOPE_H

#include <apr_pools.h>
#include <apr_time.h>

#include "wsman/fault.h"

/* How the sender encoded its bytes; an answer is written the same way. */
typedef enum {
    WSMAN_UTF8,
    WSMAN_UTF16LE,
    WSMAN_UTF16BE,
} wsman_charset_e;

typedef struct {
    wsman_charset_e charset;
    int bom; /* the bytes began with a byte order mark */
} wsman_encoding_t;

/* Every limit is inclusive. What is not said here follows: elements and attributes in all, from the bytes of the
 * body (so many as a full request of endpoint references has); and, the same for all, how many names there are and
 * how long one text or comment is. So a request needs memory in proportion to its body, whatever is in it. */
typedef struct {
    apr_size_t body;         /* bytes, as sent */
    apr_size_t tag;          /* bytes of one start tag in UTF-8, from '<' to '>' */
    unsigned int attributes; /* of one tag; namespace declarations count */
    unsigned int depth;      /* of elements */
} wsman_limits_t;

/* body 128 KiB, tag 4 KiB, 64 attributes, depth 32: what the service reads unless it is configured wider. */
extern const wsman_limits_t wsman_limits_default;

/* A namespace declaration is an attribute too, in WSMAN_URI_XMLNS, named by its prefix ("" for the default):
 * text such as a fault's subcode holds names with prefixes. */
typedef struct wsman_attribute_t {
    const char *ns; /* "" for none */
    const char *name;
    const char *value;
    struct wsman_attribute_t *next;
} wsman_attribute_t;

/* An element with its text (all character data directly inside it, joined; never NULL) in document order. */
typedef struct wsman_element_t {
    const char *ns; /* "" for none */
    const char *name;
    const char *text;
    wsman_attribute_t *attributes;
    struct wsman_element_t *parent;
    struct wsman_element_t *child; /* the first */
    struct wsman_element_t *next;  /* sibling */
} wsman_element_t;

/* An endpoint reference of the default addressing model (DSP0226 5.1.2). */
typedef struct wsman_reference_t {
    const char *resource_uri; /* or NULL */
    struct wsman_selector_t *selectors;
} wsman_reference_t;

/* One selector: a value, or (reference != NULL) an endpoint reference inside wsman:Selector. */
typedef struct wsman_selector_t {
    const char *name;
    const char *value;
    const wsman_reference_t *reference;
    const wsman_element_t *epr; /* the reference as it was read; a writer repeats it as it is */
    struct wsman_selector_t *next;
} wsman_selector_t;

typedef struct wsman_option_t {
    const char *name;
    const char *value;
    int must_comply;
    struct wsman_option_t *next;
} wsman_option_t;

/* A whole envelope. Strings are trimmed of surrounding white space; NULL means "header absent". */
typedef struct wsman_envelope_t {
    wsman_encoding_t encoding;

    const char *to;
    const char *action;
    const char *message_id;
    const char *relates_to;
    const char *reply_to;                    /* the Address inside */
    const wsman_element_t *reply_parameters; /* its wsa:ReferenceParameters; NULL for none */
    const char *fault_to;
    const char *resource_uri;
    int has_selector_set;
    wsman_selector_t *selectors; /* as sent, duplicates kept */
    int options_must_understand;
    wsman_option_t *options;
    const char *max_envelope_size; /* text; the dispatcher checks and converts it */
    const char *operation_timeout;
    const char *locale; /* xml:lang */
    int fragment_transfer;
    int total_items_estimate; /* wsman:RequestTotalItemsCountEstimate was there */

    const wsman_element_t *header; /* s:Header as sent, or NULL */
    const wsman_element_t *body;   /* s:Body; its first child is the payload */
    /* First header with mustUnderstand that this reader does not know. */
    const wsman_element_t *not_understood;

    /* Set when the body is a s:Fault (answers only). */
    const wsman_fault_t *fault;
} wsman_envelope_t;

typedef struct wsman_reader_t wsman_reader_t;

/* Once per process, before threads. Never undone: libxml2 is shared with other modules of the process. */
void wsman_library_init(void);

/* `charset` is the charset parameter of the Content-Type, or NULL: a byte order mark wins, then the charset,
 * then the first bytes. An unknown charset gives EncodingLimit/CharacterSet from feed or finish.
 * The reader lives in `pool` and is cleaned up with it. */
wsman_reader_t *wsman_reader_create(const wsman_limits_t *limits, const char *charset, apr_pool_t *pool);

/* Takes the next bytes. NULL, or the fault to answer with, which all later calls return again. */
const wsman_fault_t *wsman_reader_feed(wsman_reader_t *reader, const char *bytes, apr_size_t length);

/* No more bytes. On success NULL, and *envelope is set (in the reader's pool); else the fault. The encoding
 * of a refused envelope is known through wsman_reader_encoding(), its MessageID (where read) through
 * wsman_reader_message_id(), so that the fault can be answered properly. */
const wsman_fault_t *wsman_reader_finish(wsman_reader_t *reader, const wsman_envelope_t **envelope);

wsman_encoding_t wsman_reader_encoding(const wsman_reader_t *reader);
const char *wsman_reader_message_id(const wsman_reader_t *reader);

/* First child of `parent` with this name; ns NULL accepts any. NULL if there is none or parent is NULL. */
const wsman_element_t *wsman_child(const wsman_element_t *parent, const char *ns, const char *name);
/* Next sibling with the same ns and name as `element`. */
const wsman_element_t *wsman_next_same(const wsman_element_t *element);
/* Text of that child, trimmed, or NULL. */
const char *wsman_child_text(const wsman_element_t *parent, const char *ns, const char *name,
                             apr_pool_t *pool);
/* Value of an attribute, or NULL. */
const char *wsman_attribute(const wsman_element_t *element, const char *ns, const char *name);
/* Text of an element, trimmed of white space. */
const char *wsman_text(const wsman_element_t *element, apr_pool_t *pool);
/* True if xsi:nil is true. */
int wsman_is_nil(const wsman_element_t *element);
/* The reference in a wsa:EndpointReference, or in an element that holds its content (as the REF parameters
 * of CIM methods do). NULL if there are no wsa:ReferenceParameters. */
const wsman_reference_t *wsman_reference(const wsman_element_t *element, apr_pool_t *pool);

#endif
