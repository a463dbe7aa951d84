/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes are counted, decoded to UTF-8 and scanned before libxml2 gets them. */
#include <apr_strings.h>
#include <libxml/parser.h>

#include "wsman/charset_priv.h"
#include "wsman/headers_priv.h"
#include "wsman/scanner_priv.h"
#include "wsman/tree_priv.h"

/* Bytes decoded at a time, and bytes of UTF-8 given to libxml2 at a time: it reads its buffer again with every
 * piece, so pieces must not be small. */
enum { SLICE = 4096, HAND_OVER = 16384 };

const wsman_limits_t wsman_limits_default = {.body = 131072, .tag = 4096, .attributes = 64, .depth = 32};

struct wsman_reader_t {
    apr_pool_t *pool;
    wsman_limits_t limits;
    apr_size_t received;
    wsman_decoder_t decoder;
    wsman_scanner_t scanner;
    wsman_bytes_t pending; /* decoded and scanned, not yet with libxml2 */
    apr_size_t handed;     /* bytes of UTF-8 that libxml2 has */
    wsman_tree_t tree;
    const wsman_fault_t *fault;
};

void wsman_library_init(void)
{
    xmlInitParser();
}

wsman_reader_t *wsman_reader_create(const wsman_limits_t *limits, const char *charset, apr_pool_t *pool)
{
    wsman_reader_t *reader = apr_pcalloc(pool, sizeof(*reader));

    reader->pool = pool;
    reader->limits = *limits;
    wsman_scanner_init(&reader->scanner, &reader->limits);
    wsman_tree_init(&reader->tree, &reader->limits, pool);
    if (wsman_decoder_init(&reader->decoder, charset) != APR_SUCCESS) {
        reader->fault = wsman_fault(pool, WSMAN_FAULT_ENCODING_LIMIT, "CharacterSet",
                                    "The charset of the Content-Type is neither UTF-8 nor UTF-16.");
    }
    else if (wsman_tree_open(&reader->tree) != APR_SUCCESS) {
        reader->fault =
            wsman_fault(pool, WSMAN_FAULT_INTERNAL, NULL, "There is no memory for an XML parser.");
    }
    return reader;
}

static const wsman_fault_t *scan_fault(const wsman_reader_t *reader, wsman_scan_e why)
{
    apr_pool_t *pool = reader->pool;

    switch (why) {
    case WSMAN_SCAN_TAG:
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "A tag of the envelope is longer than %" APR_SIZE_T_FMT " bytes.",
                           reader->limits.tag);
    case WSMAN_SCAN_ATTRIBUTES:
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "A tag of the envelope has more than %u attributes.", reader->limits.attributes);
    case WSMAN_SCAN_DOCTYPE:
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "SOAP allows no document type declaration in an envelope.");
    case WSMAN_SCAN_COMMENT:
        return wsman_size_fault("bytes in one comment", WSMAN_LONGEST_TEXT(&reader->limits), pool);
    case WSMAN_SCAN_INSTRUCTION:
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "SOAP allows no processing instruction in an envelope.");
    case WSMAN_SCAN_DECLARATION:
        return wsman_fault(
            pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
            "SOAP allows no processing instruction in an envelope, and an XML declaration must be the "
            "very first of the envelope: something stands before it, perhaps an empty line or blanks.");
    case WSMAN_SCAN_NUL:
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "The envelope holds a NUL character, perhaps behind its end; XML allows none.");
    default:
        return wsman_fault(pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "The envelope holds a control character that XML does not allow.");
    }
}

static void feed_tree(wsman_reader_t *reader, apr_size_t length)
{
    wsman_bytes_t *pending = &reader->pending;

    wsman_tree_feed(&reader->tree, pending->data, length);
    reader->fault = reader->tree.fault;
    reader->handed += length;
    pending->length -= length;
    memmove(pending->data, pending->data + length, pending->length);
}

/* `fresh` bytes were decoded behind the end of what is pending. */
static void scan_decoded(wsman_reader_t *reader, apr_size_t fresh)
{
    wsman_bytes_t *pending = &reader->pending;
    wsman_scan_e why = wsman_scan(&reader->scanner, pending->data + pending->length, fresh);
    apr_size_t safe;

    pending->length += fresh;
    if (why != WSMAN_SCAN_OK) {
        reader->fault = scan_fault(reader, why);
        return;
    }
    safe = wsman_scanner_safe(&reader->scanner) - reader->handed;
    if (safe >= HAND_OVER) {
        feed_tree(reader, safe);
    }
}

static const wsman_fault_t *encoding_fault(const wsman_reader_t *reader)
{
    return wsman_fault(reader->pool, WSMAN_FAULT_ENCODING_LIMIT, "CharacterSet",
                       "The envelope is not valid %s.",
                       reader->decoder.encoding.charset == WSMAN_UTF8 ? "UTF-8" : "UTF-16");
}

static void decode_slice(wsman_reader_t *reader, const char *bytes, apr_size_t length)
{
    wsman_bytes_t *pending = &reader->pending;
    apr_size_t fresh;
    apr_status_t status;

    wsman_bytes_reserve(pending, WSMAN_DECODED_MAX(length), reader->pool);
    status = wsman_decode(&reader->decoder, bytes, length, pending->data + pending->length, &fresh);
    scan_decoded(reader, fresh);
    if (status != APR_SUCCESS && reader->fault == NULL) {
        reader->fault = encoding_fault(reader);
    }
}

static const wsman_fault_t *length_fault(const wsman_reader_t *reader)
{
    wsman_fault_t *fault =
        wsman_fault(reader->pool, WSMAN_FAULT_ENCODING_LIMIT, "ServiceEnvelopeLimit",
                    "The envelope is longer than %" APR_SIZE_T_FMT " bytes.", reader->limits.body);

    fault->status = 413;
    return fault;
}

const wsman_fault_t *wsman_reader_feed(wsman_reader_t *reader, const char *bytes, apr_size_t length)
{
    if (reader->fault == NULL && length > reader->limits.body - reader->received) {
        reader->fault = length_fault(reader);
    }
    reader->received += length;
    while (length > 0 && reader->fault == NULL) {
        apr_size_t slice = length < SLICE ? length : SLICE;

        decode_slice(reader, bytes, slice);
        bytes += slice;
        length -= slice;
    }
    return reader->fault;
}

static void decode_rest(wsman_reader_t *reader)
{
    wsman_bytes_t *pending = &reader->pending;
    apr_size_t fresh;
    apr_status_t status;

    wsman_bytes_reserve(pending, WSMAN_DECODED_MAX(0), reader->pool);
    status = wsman_decode_end(&reader->decoder, pending->data + pending->length, &fresh);
    scan_decoded(reader, fresh);
    if (status != APR_SUCCESS && reader->fault == NULL) {
        reader->fault = encoding_fault(reader);
    }
    /* an incomplete tag is within its limit, so libxml2 may get it and report the error */
    if (reader->fault == NULL && pending->length > 0) {
        feed_tree(reader, pending->length);
    }
}

const wsman_fault_t *wsman_reader_finish(wsman_reader_t *reader, const wsman_envelope_t **envelope)
{
    if (reader->fault == NULL && reader->received == 0) {
        reader->fault =
            wsman_fault(reader->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL, "There is no envelope.");
    }
    if (reader->fault == NULL) {
        decode_rest(reader);
    }
    if (reader->fault == NULL) {
        wsman_tree_finish(&reader->tree);
        reader->fault = reader->tree.fault;
    }
    wsman_tree_close(&reader->tree);
    if (reader->fault == NULL) {
        reader->fault =
            wsman_envelope_read(reader->tree.root, reader->decoder.encoding, envelope, reader->pool);
    }
    return reader->fault;
}

wsman_encoding_t wsman_reader_encoding(const wsman_reader_t *reader)
{
    return reader->decoder.encoding;
}

const char *wsman_reader_message_id(const wsman_reader_t *reader)
{
    return reader->tree.message_id;
}
