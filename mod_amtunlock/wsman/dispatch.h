/* SPDX-License-Identifier: Apache-2.0 */
/* From an envelope to the operation that serves it, for any class: checks headers in the order that consoles
 * expect (DSP0226; SOAP version and XML are the reader's part), finds (ResourceURI, Action) in one table,
 * runs it, and turns what it returns into an answer or a fault, within the caller's MaxEnvelopeSize.
 */
#ifndef AMTUNLOCK_WSMAN_DISPATCH_H
#define AMTUNLOCK_WSMAN_DISPATCH_H

#include <apr_pools.h>

#include "wsman/envelope.h"
#include "wsman/fault.h"
#include "wsman/writer.h"

typedef struct wsman_class_t wsman_class_t;
typedef struct wsman_operation_t wsman_operation_t;

/* One request on its way. */
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
    void *context;          /* of whoever made the table */
} wsman_request_t;

/* Writes the payload into an open s:Body and returns NULL, or returns the fault (what it wrote is dropped).
 */
typedef const wsman_fault_t *(wsman_operation_fn)(wsman_request_t *request, wsman_writer_t *answer);

/* A row of the table: which action of which class. */
struct wsman_operation_t {
    const wsman_class_t *class_;
    const char *action; /* complete URI */
    wsman_operation_fn *run;
    int any_selectors; /* 0: selectors must name the class's keys; 1: run() looks at them itself */
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

/* True if an enumeration of `uri` includes the class: it is its own, or a superclass's, or "all classes". */
int wsman_class_is(const wsman_class_t *class_, const char *uri);

/* Who made the answer's Identify; version and vendor are left out (NULL) for an anonymous caller. */
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

/* What goes back over HTTP. */
typedef struct {
    int status; /* HTTP */
    const char *bytes;
    apr_size_t length;
    const char *content_type;   /* with the charset */
    const wsman_fault_t *fault; /* NULL: a result */
    const char *action;         /* of the request, for the log; may be NULL */
} wsman_answer_t;

/* Serves a whole envelope. Never fails: what goes wrong becomes a fault in *answer. */
void wsman_serve(const wsman_service_t *service, const wsman_envelope_t *envelope, wsman_answer_t *answer,
                 apr_pool_t *pool);

/* The answer for a fault that came before there was an envelope (reader, authorisation, HTTP). */
void wsman_answer_fault(const wsman_fault_t *fault, wsman_encoding_t encoding, const char *relates_to,
                        wsman_answer_t *answer, apr_pool_t *pool);

/* Value of a selector by name (case-insensitive), or NULL; of a request's, and of any set. */
const char *wsman_selector_value(const wsman_envelope_t *envelope, const char *name);
const char *wsman_selector_named(const wsman_selector_t *selectors, const char *name);

#endif
