/* SPDX-License-Identifier: Apache-2.0 */
/* Writing envelopes: answers and faults of the service, requests of the clients. Built on xmlTextWriter, so
 * every text is escaped. Errors are kept until wsman_writer_finish() reports them. One thread at a time.
 */
#ifndef AMTUNLOCK_WSMAN_WRITER_H
#define AMTUNLOCK_WSMAN_WRITER_H

#include <apr_pools.h>
#include <apr_time.h>

#include "wsman/envelope.h"
#include "wsman/names.h"

typedef struct wsman_writer_t wsman_writer_t;

/* Lives in `pool`; its buffer is freed with it. */
wsman_writer_t *wsman_writer_create(apr_pool_t *pool);

/* Envelope, headers and an open s:Body of an answer: To, Action, a MessageID of its own, and RelatesTo the
 * MessageID of the request (NULL: one that could not be read). `action` is the complete URI of the answer.
 * With `action` NULL the header is empty (Identify). */
void wsman_response_begin(wsman_writer_t *writer, const char *relates_to, const char *action);

/* A whole fault envelope. */
void wsman_fault_write(wsman_writer_t *writer, const char *relates_to, const wsman_fault_t *fault);

/* Headers of a request. Any member may be NULL, or 0: then the header is left out. */
typedef struct {
    const char *to;
    const char *action;
    const char *resource_uri;
    const wsman_selector_t *selectors;
    const char *message_id; /* NULL: a new "uuid:..." is made */
    int operation_timeout;  /* seconds */
    apr_uint32_t max_envelope_size;
} wsman_request_headers_t;

/* Envelope, headers and an open s:Body of a request. With action NULL: an empty header (Identify). */
void wsman_request_begin(wsman_writer_t *writer, const wsman_request_headers_t *headers);

/* Elements. `ns` picks prefix and namespace; all but WSMAN_NS_CLASS are declared on the envelope where used.
 */
void wsman_start(wsman_writer_t *writer, wsman_ns_e ns, const char *local);
/* <p:local xmlns:p="uri">: WSMAN_NS_CLASS means this class until the element ends. */
void wsman_start_class(wsman_writer_t *writer, const char *uri, const char *local);
void wsman_end(wsman_writer_t *writer);
void wsman_write_attribute(wsman_writer_t *writer, const char *name, const char *value);
void wsman_write_text(wsman_writer_t *writer, const char *text);
/* <prefix:local>text</prefix:local>; text NULL writes an empty element. */
void wsman_element(wsman_writer_t *writer, wsman_ns_e ns, const char *local, const char *text);

/* Properties of the class (WS-CIM, DSP0230). NULL or absent values are written as xsi:nil. */
void wsman_property(wsman_writer_t *writer, const char *name, const char *value);
void wsman_property_uint(wsman_writer_t *writer, const char *name, apr_uint64_t value);
void wsman_property_bool(wsman_writer_t *writer, const char *name, int value);
/* <cim:Datetime> in UTC with seconds; 0 is nil. */
void wsman_property_datetime(wsman_writer_t *writer, const char *name, apr_time_t value);
/* <cim:Interval> xs:duration; negative is nil. */
void wsman_property_interval(wsman_writer_t *writer, const char *name, apr_interval_time_t value);
void wsman_property_nil(wsman_writer_t *writer, const char *name);

/* An endpoint reference's content (Address, ReferenceParameters) into the element that is open
 * (DSP0226 5.1.2). */
void wsman_write_epr(wsman_writer_t *writer, const char *resource_uri, const wsman_selector_t *selectors);

/* Output between begin and end is captured (captures nest); end returns its length in bytes of UTF-8, 0 if it could not be
 * written. Paste writes it, once, at the current position. A capture that is not pasted is dropped. */
typedef struct wsman_capture_t wsman_capture_t;

wsman_capture_t *wsman_capture_begin(wsman_writer_t *writer);
apr_size_t wsman_capture_end(wsman_writer_t *writer, wsman_capture_t *capture);
void wsman_capture_paste(wsman_writer_t *writer, wsman_capture_t *capture);

/* Whole elements as text, which other envelopes can hold, too. */
typedef struct {
    const char *bytes; /* UTF-8 */
    apr_size_t length;
    unsigned int namespaces; /* that the envelope has to declare: a bit for each wsman_ns_e */
} wsman_written_t;

/* Of a capture that has ended; its bytes last until that is pasted, or the writer's pool ends. */
wsman_written_t wsman_capture_written(const wsman_writer_t *writer, const wsman_capture_t *capture);
/* Writes them at the current position. */
void wsman_paste(wsman_writer_t *writer, const wsman_written_t *written);

/* Closes all elements; the bytes, in `encoding`, are in the writer's pool. APR_EGENERAL if something could
 * not be written (a character that XML forbids, memory). */
apr_status_t wsman_writer_finish(wsman_writer_t *writer, wsman_encoding_t encoding, const char **bytes,
                                 apr_size_t *length);

#endif
