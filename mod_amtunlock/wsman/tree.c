/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/tree_priv.h"

#include <apr_strings.h>
#include <libxml/parser.h>
#include <string.h>

#include "wsman/element_priv.h"
#include "wsman/names.h"
#include "wsman/scanner_priv.h"

#define AS_TEXT(xml) ((const char *)(xml))

/* An endpoint reference has some thirteen elements and attributes, in 400 bytes at least. */
enum { NODES_ALWAYS = 1000, BYTES_A_NODE = 32 };

/* Different names and namespaces; the largest requests have some fifty. */
enum { MOST_NAMES = 1000 };

/* Fields of an attribute in libxml2's startElementNs. */
enum { ATTRIBUTE_NAME, ATTRIBUTE_PREFIX, ATTRIBUTE_URI, ATTRIBUTE_VALUE, ATTRIBUTE_END, ATTRIBUTE_FIELDS };

void wsman_bytes_reserve(wsman_bytes_t *bytes, apr_size_t more, apr_pool_t *pool)
{
    apr_size_t capacity = bytes->capacity > 0 ? bytes->capacity : 64;
    char *data;

    if (bytes->capacity - bytes->length >= more) {
        return;
    }
    while (capacity - bytes->length < more) {
        capacity *= 2;
    }
    data = apr_palloc(pool, capacity);
    if (bytes->length > 0) {
        memcpy(data, bytes->data, bytes->length);
    }
    bytes->data = data;
    bytes->capacity = capacity;
}

static void bytes_append(wsman_bytes_t *bytes, const char *data, apr_size_t length, apr_pool_t *pool)
{
    if (length == 0) { /* an empty CDATA section */
        return;
    }
    wsman_bytes_reserve(bytes, length, pool);
    memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
}

void wsman_tree_init(wsman_tree_t *tree, const wsman_limits_t *limits, apr_pool_t *pool)
{
    memset(tree, 0, sizeof(*tree));
    tree->pool = pool;
    tree->limits = limits;
    tree->names = apr_hash_make(pool);
    tree->texts = apr_array_make(pool, 8, sizeof(wsman_bytes_t));
    tree->tail = &tree->root;
}

static void stop_parser(wsman_tree_t *tree, const wsman_fault_t *fault)
{
    tree->fault = fault;
    xmlStopParser(tree->parser);
}

/* Our copy of a name or URI in libxml2's dictionary. There is one copy of each, or a long namespace used by many
 * short elements would fill the memory. */
static const char *interned(wsman_tree_t *tree, const xmlChar *name)
{
    const void **key;
    const char *copy;

    if (name == NULL) {
        return "";
    }
    if ((copy = apr_hash_get(tree->names, &name, sizeof(const void *))) != NULL) {
        return copy;
    }
    key = apr_palloc(tree->pool, sizeof(const void *));
    *key = name;
    copy = apr_pstrdup(tree->pool, AS_TEXT(name));
    apr_hash_set(tree->names, key, sizeof(const void *), copy);
    return copy;
}

static wsman_attribute_t **link_attribute(wsman_tree_t *tree, wsman_attribute_t **tail, const char *ns,
                                          const char *name, const char *value)
{
    wsman_attribute_t *attribute = apr_pcalloc(tree->pool, sizeof(*attribute));

    attribute->ns = ns;
    attribute->name = name;
    attribute->value = value;
    *tail = attribute;
    return &attribute->next;
}

/* libxml2 gives every '&' of an attribute as "&#38;", because it is not set to replace entities. */
static const char *attribute_value(wsman_tree_t *tree, const xmlChar *from, const xmlChar *end)
{
    static const char ampersand[] = "&#38;";
    const apr_size_t width = sizeof(ampersand) - 1;
    char *value = apr_pstrmemdup(tree->pool, AS_TEXT(from), (apr_size_t)(end - from));
    char *to = value;

    for (const char *c = value; *c != '\0'; c++) {
        *to++ = *c;
        if (strncmp(c, ampersand, width) == 0) {
            c += width - 1;
        }
    }
    *to = '\0';
    return value;
}

static void read_attributes(wsman_tree_t *tree, wsman_element_t *element, int declared,
                            const xmlChar **declarations, int count, const xmlChar **attributes)
{
    wsman_attribute_t **tail = &element->attributes;

    for (int i = 0; i < declared; i++, declarations += 2) {
        tail = link_attribute(tree, tail, WSMAN_URI_XMLNS, interned(tree, declarations[0]),
                              interned(tree, declarations[1]));
    }
    for (int i = 0; i < count; i++, attributes += ATTRIBUTE_FIELDS) {
        tail = link_attribute(tree, tail, interned(tree, attributes[ATTRIBUTE_URI]),
                              interned(tree, attributes[ATTRIBUTE_NAME]),
                              attribute_value(tree, attributes[ATTRIBUTE_VALUE], attributes[ATTRIBUTE_END]));
    }
}

const wsman_fault_t *wsman_size_fault(const char *what, apr_size_t limit, apr_pool_t *pool)
{
    wsman_fault_t *fault = wsman_fault(pool, WSMAN_FAULT_ENCODING_LIMIT, "ServiceEnvelopeLimit",
                                       "The envelope has more than %" APR_SIZE_T_FMT " %s.", limit, what);

    fault->status = 413;
    return fault;
}

/* Counts them before there is memory for them. */
static const wsman_fault_t *count_nodes(wsman_tree_t *tree, int declared, int count)
{
    apr_size_t most = NODES_ALWAYS + tree->limits->body / BYTES_A_NODE;

    tree->nodes += 1 + (apr_size_t)declared + (apr_size_t)count;
    if (tree->nodes > most) {
        return wsman_size_fault("elements and attributes", most, tree->pool);
    }
    return apr_hash_count(tree->names) > MOST_NAMES
               ? wsman_size_fault("different names", MOST_NAMES, tree->pool)
               : NULL;
}

/* The root shows whether this is SOAP 1.2, so that the rest need not be read if it is not. */
static const wsman_fault_t *check_root(wsman_tree_t *tree, const char *ns, const char *name)
{
    if (strcmp(name, "Envelope") != 0) {
        return wsman_fault(tree->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "The document is not a SOAP envelope: its root is not Envelope.");
    }
    if (strcmp(ns, WSMAN_URI_SOAP) == 0) {
        return NULL;
    }
    if (strcmp(ns, WSMAN_URI_SOAP11) == 0) {
        return wsman_fault(tree->pool, WSMAN_FAULT_VERSION_MISMATCH, NULL,
                           "The envelope is SOAP 1.1; WS-Management is SOAP 1.2 (%s).", WSMAN_URI_SOAP);
    }
    return wsman_fault(tree->pool, WSMAN_FAULT_VERSION_MISMATCH, NULL, NULL);
}

static const wsman_fault_t *check_start(wsman_tree_t *tree, const char *ns, const char *name)
{
    if (tree->depth == 0) {
        return check_root(tree, ns, name);
    }
    if (tree->depth < tree->limits->depth) {
        return NULL;
    }
    return wsman_fault(tree->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                       "The envelope's elements are nested deeper than %u.", tree->limits->depth);
}

static void open_element(wsman_tree_t *tree, wsman_element_t *element)
{
    element->text = "";
    element->parent = tree->open;
    *tree->tail = element;
    tree->tail = &element->child;
    tree->open = element;
    if ((unsigned int)tree->texts->nelts == tree->depth) {
        memset(apr_array_push(tree->texts), 0, sizeof(wsman_bytes_t));
    }
    APR_ARRAY_IDX(tree->texts, tree->depth, wsman_bytes_t).length = 0;
    tree->depth++;
}

static void on_element_start(void *context, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri,
                             int declared, const xmlChar **declarations, int count, int defaulted,
                             const xmlChar **attributes)
{
    wsman_tree_t *tree = context;
    const wsman_fault_t *fault;
    wsman_element_t *element;

    (void)prefix;
    (void)defaulted; /* only a DTD has defaults */
    if (tree->fault != NULL) {
        return;
    }
    if ((fault = count_nodes(tree, declared, count)) != NULL) {
        stop_parser(tree, fault);
        return;
    }
    element = apr_pcalloc(tree->pool, sizeof(*element));
    element->ns = interned(tree, uri);
    element->name = interned(tree, local);
    if ((fault = check_start(tree, element->ns, element->name)) != NULL) {
        stop_parser(tree, fault);
        return;
    }
    read_attributes(tree, element, declared, declarations, count, attributes);
    open_element(tree, element);
}

/* For the fault of an envelope that is refused later. */
static void note_message_id(wsman_tree_t *tree, const wsman_element_t *element)
{
    const wsman_element_t *parent = element->parent;

    if (tree->depth == 2 && wsman_is_element(element, WSMAN_URI_WSA, "MessageID") &&
        wsman_is_element(parent, WSMAN_URI_SOAP, "Header")) {
        tree->message_id = wsman_text(element, tree->pool);
    }
}

static void on_element_end(void *context, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri)
{
    wsman_tree_t *tree = context;
    wsman_element_t *element = tree->open;
    const wsman_bytes_t *text;

    (void)local;
    (void)prefix;
    (void)uri;
    if (tree->fault != NULL || element == NULL) {
        return;
    }
    tree->depth--;
    text = &APR_ARRAY_IDX(tree->texts, tree->depth, wsman_bytes_t);
    if (text->length > 0) {
        element->text = apr_pstrmemdup(tree->pool, text->data, text->length);
    }
    tree->tail = &element->next;
    tree->open = element->parent;
    note_message_id(tree, element);
}

static void on_text(void *context, const xmlChar *text, int length)
{
    wsman_tree_t *tree = context;
    wsman_bytes_t *bytes = NULL;

    if (tree->fault != NULL || tree->depth == 0) {
        return;
    }
    bytes = &APR_ARRAY_IDX(tree->texts, tree->depth - 1, wsman_bytes_t);
    if (bytes->length + (apr_size_t)length > WSMAN_LONGEST_TEXT(tree->limits)) {
        stop_parser(tree, wsman_size_fault("bytes of text in one element", WSMAN_LONGEST_TEXT(tree->limits),
                                           tree->pool));
        return;
    }
    bytes_append(bytes, AS_TEXT(text), (apr_size_t)length, tree->pool);
}

/* Without a DTD, only amp, lt, gt, apos and quot exist. */
static xmlEntityPtr on_entity(void *context, const xmlChar *name)
{
    (void)context;
    return xmlGetPredefinedEntity(name);
}

/* libxml2 has made the error const since 2.12. */
#if LIBXML_VERSION >= 21200
typedef const xmlError *parser_error_t;
#else
typedef xmlErrorPtr parser_error_t;
#endif

static void on_parser_error(void *context, parser_error_t error)
{
    wsman_tree_t *tree = context;

    if (tree->fault != NULL || error->level < XML_ERR_ERROR || error->code == XML_WAR_NS_URI) {
        return;
    }
    if (error->code == XML_ERR_NO_MEMORY) { /* not an error of the caller */
        tree->fault =
            wsman_fault(tree->pool, WSMAN_FAULT_INTERNAL, NULL, "There is no memory to read the envelope.");
        return;
    }
    tree->fault = wsman_fault(tree->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                              "The envelope is not well-formed XML (line %d): %s", error->line,
                              wsman_one_line(error->message != NULL ? error->message : "", tree->pool));
}

/* No callback for DTDs, comments, or warnings; `serror` keeps libxml2 off the process's standard error and
 * away from handlers that other modules may have set for the whole process. */
static xmlSAXHandler handler = {
    .initialized = XML_SAX2_MAGIC,
    .startElementNs = on_element_start,
    .endElementNs = on_element_end,
    .characters = on_text,
    .ignorableWhitespace = on_text,
    .cdataBlock = on_text,
    .getEntity = on_entity,
    .serror = on_parser_error,
};

static apr_status_t free_parser(void *data)
{
    wsman_tree_t *tree = data;

    xmlFreeParserCtxt(tree->parser);
    tree->parser = NULL;
    return APR_SUCCESS;
}

apr_status_t wsman_tree_open(wsman_tree_t *tree)
{
    tree->parser = xmlCreatePushParserCtxt(&handler, tree, NULL, 0, NULL);
    if (tree->parser == NULL) {
        return APR_ENOMEM;
    }
    apr_pool_cleanup_register(tree->pool, tree, free_parser, apr_pool_cleanup_null);
    /* the bytes are UTF-8 already, independent of the XML declaration */
    xmlCtxtUseOptions(tree->parser, XML_PARSE_NONET | XML_PARSE_IGNORE_ENC);
    return APR_SUCCESS;
}

void wsman_tree_close(wsman_tree_t *tree)
{
    if (tree->parser != NULL) {
        apr_pool_cleanup_run(tree->pool, tree, free_parser);
    }
}

static void parse_bytes(wsman_tree_t *tree, const char *bytes, apr_size_t length, int last)
{
    if (tree->fault != NULL) {
        return;
    }
    if (xmlParseChunk(tree->parser, bytes, (int)length, last) != XML_ERR_OK && tree->fault == NULL &&
        !((xmlParserCtxtPtr)tree->parser)->wellFormed) {
        tree->fault = wsman_fault(tree->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                                  "The envelope is not well-formed XML.");
    }
}

void wsman_tree_feed(wsman_tree_t *tree, const char *bytes, apr_size_t length)
{
    parse_bytes(tree, bytes, length, 0);
}

void wsman_tree_finish(wsman_tree_t *tree)
{
    parse_bytes(tree, NULL, 0, 1);
    if (tree->fault == NULL && (tree->root == NULL || tree->open != NULL)) {
        tree->fault = wsman_fault(tree->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                                  "The envelope ends before its root element does.");
    }
    wsman_tree_close(tree);
}
