/* SPDX-License-Identifier: Apache-2.0 */
/* Enumerate, Pull and Release (WS-Enumeration; DSP0226 8) for any class.
 *
 * A source lists the instances, writes one, and keeps the contexts between calls. An item is a string of the
 * source's choice that stands for an instance.
 */
#ifndef AMTUNLOCK_WSMAN_ENUMERATION_H
#define AMTUNLOCK_WSMAN_ENUMERATION_H

#include <apr_tables.h>

#include "wsman/dispatch.h"

/* What is kept between calls. The source binds it to its caller. */
typedef struct {
    const char *resource_uri;  /* of the Enumerate; a Pull must name the same */
    const char *mode;          /* "object", "epr", "both"; "base", "base-both": as the base class */
    apr_array_header_t *items; /* const char *: of the instances not yet sent */
} wsman_context_t;

typedef struct {
    /* All instances that the caller may see, as const char * in *items. */
    const wsman_fault_t *(*list)(wsman_request_t *request, const char *resource_uri,
                                 apr_array_header_t **items);
    /* Called before the first `count` of these items are written, so that what they need is read at once. */
    const wsman_fault_t *(*fetch)(wsman_request_t *request, const apr_array_header_t *items, int count);
    /* Writes the instance, as one of request->base_class if that is set. Writes nothing and returns NULL if the
     * instance is gone. */
    const wsman_fault_t *(*write)(wsman_request_t *request, const char *item, wsman_writer_t *answer);
    /* Class and selectors of the instance's endpoint reference. */
    const wsman_class_t *(*reference)(wsman_request_t *request, const char *item,
                                      wsman_selector_t **selectors);
    /* Opens, takes up to `count` items from, and releases a context. A context that is unknown, expired or
     * another caller's gives WSMAN_FAULT_ENUMERATION_CONTEXT. `expires` is in seconds. A pull that leaves
     * nothing sets *more to 0 and ends the context. */
    const wsman_fault_t *(*context_open)(wsman_request_t *request, const wsman_context_t *context,
                                         int expires, const char **id);
    const wsman_fault_t *(*context_pull)(wsman_request_t *request, const char *id, int count,
                                         wsman_context_t *context, int *more);
    const wsman_fault_t *(*context_release)(wsman_request_t *request, const char *id);
} wsman_enumeration_source_t;

const wsman_fault_t *wsman_enumerate(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                     wsman_writer_t *answer);
const wsman_fault_t *wsman_pull(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                wsman_writer_t *answer);
const wsman_fault_t *wsman_release(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                   wsman_writer_t *answer);

#endif
