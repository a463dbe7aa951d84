/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/writer.h"

#include <apr_strings.h>
#include <libxml/xmlwriter.h>
#include <string.h>

#include "wsman/charset_priv.h"
#include "wsman/values.h"
#include "wsman/writer_priv.h"

#define AS_XML(text) ((const xmlChar *)(text))

static const struct {
    const char *prefix;
    const char *declaration; /* name of the attribute that declares it */
    const char *uri;
} namespaces[WSMAN_NAMESPACES] = {
    [WSMAN_NS_SOAP] = {"s", "xmlns:s", WSMAN_URI_SOAP},
    [WSMAN_NS_WSA] = {"wsa", "xmlns:wsa", WSMAN_URI_WSA},
    [WSMAN_NS_WSMAN] = {"wsman", "xmlns:wsman", WSMAN_URI_WSMAN},
    [WSMAN_NS_WSEN] = {"wsen", "xmlns:wsen", WSMAN_URI_WSEN},
    [WSMAN_NS_WXF] = {"wxf", "xmlns:wxf", WSMAN_URI_WXF},
    [WSMAN_NS_WSMID] = {"wsmid", "xmlns:wsmid", WSMAN_URI_WSMID},
    [WSMAN_NS_WSMB] = {"wsmb", "xmlns:wsmb", WSMAN_URI_WSMB},
    [WSMAN_NS_CIM] = {"cim", "xmlns:cim", WSMAN_URI_CIM_COMMON},
    [WSMAN_NS_XSI] = {"xsi", "xmlns:xsi", WSMAN_URI_XSI},
    [WSMAN_NS_CLASS] = {"p", NULL, NULL},
};

/* XML that is written into a buffer. */
typedef struct {
    xmlBufferPtr buffer;
    xmlTextWriterPtr xml;
    int open; /* elements */
} fragment_t;

/* Header and body are written apart and joined at the end in an s:Envelope that declares their namespaces. */
struct wsman_writer_t {
    apr_pool_t *pool;
    fragment_t header, body;
    fragment_t *current;
    fragment_t *before; /* where to continue after wsman_header_end() */
    unsigned int used;  /* a bit for each wsman_ns_e */
    int failed;
};

struct wsman_capture_t {
    fragment_t fragment;
    fragment_t *outer;
};

/* libxml2's writer does not report every failed allocation, but sets the thread's last error. */
static void check_write(wsman_writer_t *writer, int result)
{
    const xmlError *last = xmlGetLastError();

    if (result < 0 || (last != NULL && last->code == XML_ERR_NO_MEMORY)) {
        writer->failed = 1;
    }
}

/* ---- fragments ---------------------------------------------------------------------------------------- */

static apr_status_t fragment_free(void *data)
{
    fragment_t *fragment = data;

    if (fragment->xml != NULL) {
        xmlFreeTextWriter(fragment->xml);
    }
    if (fragment->buffer != NULL) {
        xmlBufferFree(fragment->buffer);
    }
    memset(fragment, 0, sizeof(*fragment));
    return APR_SUCCESS;
}

/* False if there is no memory. */
static int fragment_open(fragment_t *fragment, apr_pool_t *pool)
{
    apr_pool_cleanup_register(pool, fragment, fragment_free, apr_pool_cleanup_null);
    if ((fragment->buffer = xmlBufferCreate()) != NULL) {
        xmlBufferSetAllocationScheme(fragment->buffer, XML_BUFFER_ALLOC_DOUBLEIT);
        fragment->xml = xmlNewTextWriterMemory(fragment->buffer, 0);
    }
    return fragment->xml != NULL;
}

static void fragment_close(fragment_t *fragment, apr_pool_t *pool)
{
    apr_pool_cleanup_run(pool, fragment, fragment_free);
}

/* Ends open elements and flushes; then the buffer is complete. */
static void fragment_finish(wsman_writer_t *writer, fragment_t *fragment)
{
    for (; fragment->open > 0; fragment->open--) {
        check_write(writer, xmlTextWriterEndElement(fragment->xml));
    }
    check_write(writer, xmlTextWriterFlush(fragment->xml));
}

/* Past libxml2's writer, which would copy it once more: a list of a large job has a megabyte. */
static void fragment_put(wsman_writer_t *writer, fragment_t *to, const xmlChar *bytes, int length)
{
    check_write(writer, xmlTextWriterWriteRawLen(to->xml, AS_XML(""), 0)); /* ends a tag that is open */
    check_write(writer, xmlTextWriterFlush(to->xml));
    check_write(writer, xmlBufferAdd(to->buffer, bytes, length) == 0 ? 0 : -1);
}

static void fragment_append(wsman_writer_t *writer, fragment_t *to, const fragment_t *from)
{
    if (xmlBufferLength(from->buffer) > 0) {
        fragment_put(writer, to, xmlBufferContent(from->buffer), xmlBufferLength(from->buffer));
    }
}

wsman_writer_t *wsman_writer_create(apr_pool_t *pool)
{
    wsman_writer_t *writer = apr_pcalloc(pool, sizeof(*writer));

    xmlResetLastError(); /* of earlier work in this thread */
    writer->pool = pool;
    writer->current = &writer->body;
    writer->failed = !fragment_open(&writer->header, pool) || !fragment_open(&writer->body, pool);
    return writer;
}

apr_pool_t *wsman_writer_pool(const wsman_writer_t *writer)
{
    return writer->pool;
}

wsman_capture_t *wsman_capture_begin(wsman_writer_t *writer)
{
    wsman_capture_t *capture = apr_pcalloc(writer->pool, sizeof(*capture));

    if (!fragment_open(&capture->fragment, writer->pool)) {
        writer->failed = 1;
    }
    capture->outer = writer->current;
    writer->current = &capture->fragment;
    return capture;
}

apr_size_t wsman_capture_end(wsman_writer_t *writer, wsman_capture_t *capture)
{
    writer->current = capture->outer;
    if (writer->failed) {
        return 0;
    }
    fragment_finish(writer, &capture->fragment);
    return (apr_size_t)xmlBufferLength(capture->fragment.buffer);
}

wsman_written_t wsman_capture_written(const wsman_writer_t *writer, const wsman_capture_t *capture)
{
    wsman_written_t written = {.bytes = (const char *)xmlBufferContent(capture->fragment.buffer),
                               .length = (apr_size_t)xmlBufferLength(capture->fragment.buffer),
                               .namespaces = writer->used};

    return written;
}

void wsman_paste(wsman_writer_t *writer, const wsman_written_t *written)
{
    if (!writer->failed) {
        writer->used |= written->namespaces;
        fragment_put(writer, writer->current, AS_XML(written->bytes), (int)written->length);
    }
}

void wsman_capture_paste(wsman_writer_t *writer, wsman_capture_t *capture)
{
    if (writer->failed) {
        return;
    }
    fragment_append(writer, writer->current, &capture->fragment);
    fragment_close(&capture->fragment, writer->pool);
}

void wsman_header_begin(wsman_writer_t *writer)
{
    writer->before = writer->current;
    writer->current = &writer->header;
}

void wsman_header_end(wsman_writer_t *writer)
{
    writer->current = writer->before;
}

/* ---- elements ----------------------------------------------------------------------------------------- */

void wsman_use(wsman_writer_t *writer, wsman_ns_e ns)
{
    writer->used |= 1U << ns;
}

wsman_ns_e wsman_ns_of(const char *uri)
{
    int ns = 0;

    while (ns < WSMAN_NS_CLASS && strcmp(namespaces[ns].uri, uri) != 0) {
        ns++;
    }
    return (wsman_ns_e)ns;
}

void wsman_start(wsman_writer_t *writer, wsman_ns_e ns, const char *local)
{
    if (writer->failed) {
        return;
    }
    wsman_use(writer, ns);
    check_write(writer, xmlTextWriterStartElementNS(writer->current->xml, AS_XML(namespaces[ns].prefix),
                                                    AS_XML(local), NULL));
    writer->current->open++;
}

int wsman_declarable(const char *uri)
{
    return uri[0] != '\0' && strcmp(uri, WSMAN_URI_XML) != 0 && strcmp(uri, WSMAN_URI_XMLNS) != 0;
}

void wsman_start_class(wsman_writer_t *writer, const char *uri, const char *local)
{
    const char *prefix = wsman_declarable(uri) ? namespaces[WSMAN_NS_CLASS].prefix : NULL;

    if (writer->failed) {
        return;
    }
    if (strcmp(uri, WSMAN_URI_XML) == 0) {
        prefix = "xml";
    }
    check_write(writer,
                xmlTextWriterStartElementNS(writer->current->xml, AS_XML(prefix), AS_XML(local), NULL));
    writer->current->open++;
    if (wsman_declarable(uri)) { /* not by libxml2, which drops it if it has no memory */
        wsman_write_attribute(writer, "xmlns:p", uri);
    }
}

void wsman_end(wsman_writer_t *writer)
{
    if (writer->failed) {
        return;
    }
    check_write(writer, xmlTextWriterEndElement(writer->current->xml));
    writer->current->open--;
}

/* xmlTextWriter escapes, but does not refuse characters that XML forbids. */
static int is_writable(wsman_writer_t *writer, const char *text)
{
    if (!wsman_is_xml_text(text, strlen(text))) {
        writer->failed = 1;
    }
    return !writer->failed;
}

void wsman_write_attribute(wsman_writer_t *writer, const char *name, const char *value)
{
    if (is_writable(writer, value)) {
        check_write(writer, xmlTextWriterWriteAttribute(writer->current->xml, AS_XML(name), AS_XML(value)));
    }
}

void wsman_write_text(wsman_writer_t *writer, const char *text)
{
    if (is_writable(writer, text)) {
        check_write(writer, xmlTextWriterWriteString(writer->current->xml, AS_XML(text)));
    }
}

void wsman_element(wsman_writer_t *writer, wsman_ns_e ns, const char *local, const char *text)
{
    wsman_start(writer, ns, local);
    if (text != NULL) {
        wsman_write_text(writer, text);
    }
    wsman_end(writer);
}

void wsman_write_header(wsman_writer_t *writer, wsman_ns_e ns, const char *local, const char *text)
{
    wsman_header_begin(writer);
    wsman_element(writer, ns, local, text);
    wsman_header_end(writer);
}

/* ---- properties --------------------------------------------------------------------------------------- */

void wsman_property(wsman_writer_t *writer, const char *name, const char *value)
{
    if (value == NULL) {
        wsman_property_nil(writer, name);
    }
    else {
        wsman_element(writer, WSMAN_NS_CLASS, name, value);
    }
}

void wsman_property_uint(wsman_writer_t *writer, const char *name, apr_uint64_t value)
{
    wsman_property(writer, name, apr_psprintf(writer->pool, "%" APR_UINT64_T_FMT, value));
}

void wsman_property_bool(wsman_writer_t *writer, const char *name, int value)
{
    wsman_property(writer, name, value ? "true" : "false");
}

static void property_of_type(wsman_writer_t *writer, const char *name, const char *type, const char *value)
{
    wsman_start(writer, WSMAN_NS_CLASS, name);
    wsman_element(writer, WSMAN_NS_CIM, type, value);
    wsman_end(writer);
}

void wsman_property_datetime(wsman_writer_t *writer, const char *name, apr_time_t value)
{
    if (value == 0) {
        wsman_property_nil(writer, name);
    }
    else {
        property_of_type(writer, name, "Datetime", wsman_format_datetime(value, writer->pool));
    }
}

void wsman_property_interval(wsman_writer_t *writer, const char *name, apr_interval_time_t value)
{
    if (value < 0) {
        wsman_property_nil(writer, name);
    }
    else {
        property_of_type(writer, name, "Interval", wsman_format_duration(value, writer->pool));
    }
}

void wsman_property_nil(wsman_writer_t *writer, const char *name)
{
    wsman_start(writer, WSMAN_NS_CLASS, name);
    wsman_use(writer, WSMAN_NS_XSI);
    wsman_write_attribute(writer, "xsi:nil", "true");
    wsman_end(writer);
}

/* ---- the envelope -------------------------------------------------------------------------------------- */

/* <s:Envelope> with the namespaces that are used, around header and body. */
static void join_envelope(wsman_writer_t *writer, fragment_t *whole)
{
    fragment_finish(writer, &writer->header);
    fragment_finish(writer, &writer->body);
    check_write(writer, xmlTextWriterStartElement(whole->xml, AS_XML("s:Envelope")));
    for (int ns = 0; ns < WSMAN_NS_CLASS; ns++) {
        if (writer->used & (1U << ns)) {
            check_write(writer, xmlTextWriterWriteAttribute(whole->xml, AS_XML(namespaces[ns].declaration),
                                                            AS_XML(namespaces[ns].uri)));
        }
    }
    fragment_append(writer, whole, &writer->header);
    fragment_append(writer, whole, &writer->body);
    check_write(writer, xmlTextWriterEndElement(whole->xml));
    check_write(writer, xmlTextWriterFlush(whole->xml));
}

apr_status_t wsman_writer_finish(wsman_writer_t *writer, wsman_encoding_t encoding, const char **bytes,
                                 apr_size_t *length)
{
    fragment_t *whole = apr_pcalloc(writer->pool, sizeof(*whole)); /* as long as the bytes */

    if (writer->failed || !fragment_open(whole, writer->pool)) {
        return APR_EGENERAL;
    }
    join_envelope(writer, whole);
    if (writer->failed) {
        return APR_EGENERAL;
    }
    *bytes = wsman_encode((const char *)xmlBufferContent(whole->buffer),
                          (apr_size_t)xmlBufferLength(whole->buffer), encoding, length, writer->pool);
    return APR_SUCCESS;
}
