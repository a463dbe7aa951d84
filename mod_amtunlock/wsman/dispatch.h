/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatches an envelope to its operation: checks the headers in the order that consoles expect (DSP0226; the
 * reader checks SOAP version and XML), finds (ResourceURI, Action) in a table, runs the operation, and makes an
 * answer or a fault of its result, within the caller's MaxEnvelopeSize.
 */
#ifndef AMTUNLOCK_WSMAN_DISPATCH_H
#define AMTUNLOCK_WSMAN_DISPATCH_H

#include <apr_pools.h>

#include "wsman/envelope.h"
#include "wsman/fault.h"
#include "wsman/writer.h"

typedef struct wsman_class_t wsman_class_t;
typedef struct wsman_operation_t wsman_operation_t;

/* One request, as an operation gets it. */
typedef struct {
    apr_pool_t *pool;
    const wsman_envelope_t *envelope;
    const wsman_class_t *class_; /* of the ResourceURI */
    const wsman_operation_t *operation;
    apr_size_t max_envelope_size; /* bytes the answer may have: the caller's MaxEnvelopeSize, never below
                                   8192, or 32767 (DSP0226 13.1) where it names none */
    apr_interval_time_t operation_timeout; /* < 0: none given */
    apr_interval_time_t max_time;          /* of a Pull; < 0: none given */
    const char *base_class; /* a superclass of class_: instances are to be written as its instances, without
                               the properties of its subclasses (PolymorphismMode
                               ExcludeSubClassProperties); NULL: as what they are */
    void *context;          /* of the service */
} wsman_request_t;

/* Writes the payload into the open s:Body and returns NULL, or returns the fault; then the payload is dropped. */
typedef const wsman_fault_t *(wsman_operation_fn)(wsman_request_t *request, wsman_writer_t *answer);

/* A row of the table: which action of which class. */
struct wsman_operation_t {
    const wsman_class_t *class_;
    const char *action; /* complete URI */
    wsman_operation_fn *run;
    int any_selectors; /* 0: selectors must name the class's keys; 1: run() checks them itself */
};

struct wsman_class_t {
    const char *name;
    const char *uri;                 /* ResourceURI, and namespace of its elements */
    const char *const *keys;         /* NULL-terminated */
    int singleton;                   /* Get and methods may come without selectors (DSP0226 R5.1.2.2) */
    const char *const *superclasses; /* ResourceURIs whose enumeration includes this class, nearest first;
                                        NULL-terminated, or NULL */
    int keys_are_references;         /* an association: its selectors hold endpoint references */
};

/* True if an enumeration of `uri` includes the class: the URI is its own, a superclass's or "all classes". */
int wsman_class_is(const wsman_class_t *class_, const char *uri);

/* For Identify. Vendor and version may be NULL, as for an anonymous caller. */
typedef struct {
    const char *vendor;
    const char *version;
    const char *const *security_profiles; /* NULL-terminated URIs, or NULL */
} wsman_identity_t;

typedef struct {
    const wsman_operation_t *operations; /* ends with class_ == NULL */
    wsman_identity_t identity;
    void *context;
} wsman_service_t;

/* The answer over HTTP. */
typedef struct {
    int status; /* HTTP */
    const char *bytes;
    apr_size_t length;
    const char *content_type;   /* with the charset */
    const wsman_fault_t *fault; /* NULL: a result */
    const char *action;         /* of the request, for the log; may be NULL */
} wsman_answer_t;

/* Serves a whole envelope. Never fails: errors become a fault in *answer. */
void wsman_serve(const wsman_service_t *service, const wsman_envelope_t *envelope, wsman_answer_t *answer,
                 apr_pool_t *pool);

/* The answer for a fault of the reader, the authorisation or HTTP. `relates_to`: the MessageID, or NULL. */
void wsman_answer_fault(const wsman_fault_t *fault, wsman_encoding_t encoding, const char *relates_to,
                        wsman_answer_t *answer, apr_pool_t *pool);

/* Value of a selector by name (case-insensitive), or NULL; of a request's, and of any set. */
const char *wsman_selector_value(const wsman_envelope_t *envelope, const char *name);
const char *wsman_selector_named(const wsman_selector_t *selectors, const char *name);

#endif
