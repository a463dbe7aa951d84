/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/enumeration.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "wsman/element_priv.h"
#include "wsman/values.h"
#include "wsman/writer_priv.h"

/* Life of a context in seconds: if the caller names none, and at most. */
enum { DEFAULT_EXPIRES = 600, MAX_EXPIRES = 3600 };

/* Bytes that are reserved for an item with its reference, and for what surrounds the items. An answer must not
 * exceed MaxEnvelopeSize, and items that were taken from a context cannot be put back. */
enum { BYTES_OF_ITEM = 4096, BYTES_AROUND = 2048 };

/* Items in an answer of any size, because each may cost the source a look-up; and how often a Pull goes on whose items
 * were all gone. */
enum { MAX_ITEMS = 200, MAX_TRIES = 25 };

/* The parameters of an Enumerate. */
typedef struct {
    const char *mode; /* as in wsman_context_t */
    int optimized;
    int max_elements;
    int expires; /* seconds */
    int expires_given;
    int only_base_class; /* PolymorphismMode None */
} enumerate_t;

static const char mode_object[] = "object";
static const char mode_epr[] = "epr";
static const char mode_both[] = "both";
static const char mode_base[] = "base";
static const char mode_base_both[] = "base-both";

static int has_object(const char *mode)
{
    return strcmp(mode, mode_epr) != 0;
}

static int has_reference(const char *mode)
{
    return strcmp(mode, mode_both) == 0 || strcmp(mode, mode_base_both) == 0;
}

/* For the items that are written from now on. */
static void set_base_class(wsman_request_t *request, const char *mode)
{
    int as_base = strcmp(mode, mode_base) == 0 || strcmp(mode, mode_base_both) == 0;

    request->base_class = as_base ? request->envelope->resource_uri : NULL;
}

/* ---- parameters ---------------------------------------------------------------------------------------- */

static const wsman_fault_t *enumeration_payload(const wsman_request_t *request, const char *name,
                                                const wsman_element_t **out)
{
    *out = request->envelope->body->child;
    if (wsman_is_element(*out, WSMAN_URI_WSEN, name)) {
        return NULL;
    }
    return wsman_fault(request->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL, "The s:Body must hold a wsen:%s.",
                       name);
}

/* xs:positiveInteger, of any size. */
static const wsman_fault_t *read_max_elements(const wsman_request_t *request, const wsman_element_t *parent,
                                              const char *ns, int *out)
{
    const char *text = wsman_child_text(parent, ns, "MaxElements", request->pool);
    apr_uint64_t value;

    *out = 1;
    if (text == NULL) {
        return NULL;
    }
    if (wsman_parse_uint(text, APR_UINT64_MAX, &value) != APR_SUCCESS || value == 0) {
        return wsman_fault(request->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "MaxElements is not a number above 0.");
    }
    *out = value > APR_INT32_MAX ? APR_INT32_MAX : (int)value;
    return NULL;
}

static const wsman_fault_t *read_filter(const wsman_request_t *request, const wsman_element_t *body)
{
    static const char *const dialects[] = {
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter",
        "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter",
        "http://schemas.dmtf.org/wbem/cql/1/dsp0202.pdf",
        "http://schemas.microsoft.com/wbem/wsman/1/WQL",
    };
    const wsman_element_t *general = wsman_child(body, WSMAN_URI_WSEN, "Filter");
    const wsman_element_t *filter = wsman_child(body, WSMAN_URI_WSMAN, "Filter");
    const char *dialect;

    if (general != NULL && filter != NULL) {
        return wsman_fault(request->pool, WSMAN_FAULT_CANNOT_PROCESS_FILTER, NULL,
                           "Only one of wsen:Filter and wsman:Filter may be given.");
    }
    if (filter == NULL && (filter = general) == NULL) {
        return NULL;
    }
    dialect = wsman_attribute(filter, "", "Dialect");
    if (dialect == NULL) {
        dialect = dialects[0]; /* XPath is the default (WS-Enumeration 3.1) */
    }
    for (apr_size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
        if (strcmp(dialect, dialects[i]) == 0) {
            return wsman_fault(request->pool, WSMAN_FAULT_FILTERING_NOT_SUPPORTED, NULL, NULL);
        }
    }
    return wsman_fault(request->pool, WSMAN_FAULT_FILTER_DIALECT, NULL, NULL);
}

/* Has the form of xs:dateTime, which is refused because clocks differ. */
static int is_datetime(const char *text)
{
    return strlen(text) >= strlen("2026-11-21T19:12:52") && text[4] == '-' && text[7] == '-' &&
           text[10] == 'T';
}

/* A moment without a zone is taken for UTC: a few hours do not matter here. */
static int is_past(const char *datetime)
{
    struct tm moment = {0};
    const char *rest = strptime(datetime, "%Y-%m-%dT%H:%M:%S", &moment);
    apr_time_t at = rest != NULL ? apr_time_from_sec(timegm(&moment)) : apr_time_now();

    if (rest != NULL && strptime(rest + strspn(rest, ".0123456789"), "%z", &moment) != NULL) {
        at -= apr_time_from_sec(moment.tm_gmtoff);
    }
    return at < apr_time_now();
}

static const wsman_fault_t *read_expires(const wsman_request_t *request, const wsman_element_t *body,
                                         enumerate_t *wanted)
{
    const char *text = wsman_child_text(body, WSMAN_URI_WSEN, "Expires", request->pool);
    apr_interval_time_t interval;

    wanted->expires = DEFAULT_EXPIRES;
    wanted->expires_given = text != NULL;
    if (text == NULL) {
        return NULL;
    }
    if (is_datetime(text) && is_past(text)) {
        return wsman_fault(request->pool, WSMAN_FAULT_EXPIRATION_TIME, NULL, "Expires lies in the past.");
    }
    if (is_datetime(text)) {
        return wsman_fault(request->pool, WSMAN_FAULT_EXPIRATION_TYPE, NULL, NULL);
    }
    if (wsman_parse_duration(text, &interval) != APR_SUCCESS || interval < apr_time_from_sec(1)) {
        return wsman_fault(request->pool, WSMAN_FAULT_EXPIRATION_TIME, NULL,
                           "Expires is not a duration of a second or more, such as PT10M.");
    }
    wanted->expires = interval > apr_time_from_sec(MAX_EXPIRES) ? MAX_EXPIRES : (int)apr_time_sec(interval);
    return NULL;
}

static const wsman_fault_t *read_mode(const wsman_request_t *request, const wsman_element_t *body,
                                      enumerate_t *wanted)
{
    const char *text = wsman_child_text(body, WSMAN_URI_WSMAN, "EnumerationMode", request->pool);

    wanted->mode = mode_object;
    if (text == NULL) {
        return NULL;
    }
    if (strcmp(text, "EnumerateEPR") == 0) {
        wanted->mode = mode_epr;
    }
    else if (strcmp(text, "EnumerateObjectAndEPR") == 0) {
        wanted->mode = mode_both;
    }
    else {
        return wsman_fault(request->pool, WSMAN_FAULT_UNSUPPORTED_FEATURE, "EnumerationMode", NULL);
    }
    return NULL;
}

/* DSP0227 8.1: has an effect only for a base class, because the classes here have no subclasses. A reference
 * always names the instance's own class, so that it can be used. */
static const wsman_fault_t *read_polymorphism(const wsman_request_t *request, const wsman_element_t *body,
                                              enumerate_t *wanted)
{
    const char *text = wsman_child_text(body, WSMAN_URI_WSMB, "PolymorphismMode", request->pool);
    const char *uri = request->envelope->resource_uri;
    int base_class = strcmp(request->class_->uri, uri) != 0;
    int all_classes = strcmp(uri, WSMAN_URI_ALL_CLASSES) == 0; /* it has no properties */

    if (text == NULL || strcmp(text, "IncludeSubClassProperties") == 0) {
        return NULL;
    }
    if (strcmp(text, "None") == 0 && !all_classes) {
        wanted->only_base_class = base_class;
        return NULL;
    }
    if (strcmp(text, "ExcludeSubClassProperties") != 0 || all_classes) {
        return wsman_fault(request->pool, WSMAN_FAULT_POLYMORPHISM, NULL, NULL);
    }
    if (base_class && wanted->mode == mode_object) {
        wanted->mode = mode_base;
    }
    if (base_class && wanted->mode == mode_both) {
        wanted->mode = mode_base_both;
    }
    return NULL;
}

static const wsman_fault_t *read_enumerate(const wsman_request_t *request, enumerate_t *wanted)
{
    const wsman_element_t *body;
    const wsman_fault_t *fault = enumeration_payload(request, "Enumerate", &body);

    if (fault == NULL && wsman_child(body, WSMAN_URI_WSEN, "EndTo") != NULL) {
        fault = wsman_fault(request->pool, WSMAN_FAULT_UNSUPPORTED_FEATURE, "AddressingMode",
                            "wsen:EndTo is not supported.");
    }
    if (fault == NULL) {
        fault = read_filter(request, body);
    }
    if (fault == NULL) {
        fault = read_expires(request, body, wanted);
    }
    if (fault == NULL) {
        fault = read_mode(request, body, wanted);
    }
    if (fault == NULL) {
        fault = read_polymorphism(request, body, wanted);
    }
    if (fault == NULL) {
        fault = read_max_elements(request, body, WSMAN_URI_WSMAN, &wanted->max_elements);
    }
    wanted->optimized = fault == NULL && wsman_child(body, WSMAN_URI_WSMAN, "OptimizeEnumeration") != NULL;
    return fault;
}

/* ---- writing items ------------------------------------------------------------------------------------ */

/* `count`, or fewer items if they might not fit. */
static int items_that_fit(const wsman_request_t *request, int count)
{
    apr_size_t width = request->envelope->encoding.charset == WSMAN_UTF8 ? 1 : 2;
    apr_size_t capacity = request->max_envelope_size / width;
    apr_size_t fit = capacity < BYTES_AROUND + BYTES_OF_ITEM ? 1 : (capacity - BYTES_AROUND) / BYTES_OF_ITEM;

    if (fit > MAX_ITEMS) {
        fit = MAX_ITEMS;
    }
    return (apr_size_t)count < fit ? count : (int)fit;
}

static void write_reference(wsman_request_t *request, const wsman_enumeration_source_t *source,
                            const char *item, wsman_writer_t *answer)
{
    wsman_selector_t *selectors = NULL;
    const wsman_class_t *class_ = source->reference(request, item, &selectors);

    wsman_start(answer, WSMAN_NS_WSA, "EndpointReference");
    wsman_write_epr(answer, class_->uri, selectors);
    wsman_end(answer);
}

/* Writes no item if the instance is gone. */
static const wsman_fault_t *write_object(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                         const char *item, int with_reference, wsman_writer_t *answer,
                                         int *written)
{
    wsman_capture_t *object = wsman_capture_begin(answer);
    const wsman_fault_t *fault = source->write(request, item, answer);

    if (wsman_capture_end(answer, object) == 0 || fault != NULL) {
        return fault;
    }
    ++*written;
    if (with_reference) {
        wsman_start(answer, WSMAN_NS_WSMAN, "Item");
    }
    wsman_capture_paste(answer, object);
    if (with_reference) {
        write_reference(request, source, item, answer);
        wsman_end(answer);
    }
    return NULL;
}

/* The first `count` items, as `mode` says. Adds to *written. */
static const wsman_fault_t *write_items(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                        const char *mode, const apr_array_header_t *items, int count,
                                        wsman_writer_t *answer, int *written)
{
    const wsman_fault_t *fault = has_object(mode) ? source->fetch(request, items, count) : NULL;

    set_base_class(request, mode);
    for (int i = 0; i < count && fault == NULL; i++) {
        const char *item = APR_ARRAY_IDX(items, i, const char *);

        if (has_object(mode)) {
            fault = write_object(request, source, item, has_reference(mode), answer, written);
        }
        else {
            write_reference(request, source, item, answer);
            ++*written;
        }
    }
    return fault;
}

/* `count` < 0: not known. */
static void write_estimate(const wsman_request_t *request, int count, wsman_writer_t *answer)
{
    if (!request->envelope->total_items_estimate) {
        return;
    }
    wsman_header_begin(answer);
    wsman_start(answer, WSMAN_NS_WSMAN, "TotalItemsCountEstimate");
    if (count < 0) {
        wsman_use(answer, WSMAN_NS_XSI);
        wsman_write_attribute(answer, "xsi:nil", "true");
    }
    else {
        wsman_write_text(answer, apr_itoa(request->pool, count));
    }
    wsman_end(answer);
    wsman_header_end(answer);
}

/* ---- Enumerate ---------------------------------------------------------------------------------------- */

/* A context for all items but the first `sent`. *id stays NULL if none is left. */
static const wsman_fault_t *open_context(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                         const enumerate_t *wanted, const apr_array_header_t *items, int sent,
                                         const char **id)
{
    wsman_context_t *context = apr_pcalloc(request->pool, sizeof(*context));

    if (wanted->optimized && sent == items->nelts) {
        return NULL;
    }
    context->resource_uri = request->envelope->resource_uri;
    context->mode = wanted->mode;
    context->items = apr_array_make(request->pool, items->nelts - sent + 1, sizeof(const char *));
    for (int i = sent; i < items->nelts; i++) {
        APR_ARRAY_PUSH(context->items, const char *) = APR_ARRAY_IDX(items, i, const char *);
    }
    return source->context_open(request, context, wanted->expires, id);
}

/* The items that travel with the answer to Enumerate itself (DSP0226 8.2.3). */
static const wsman_fault_t *write_optimized(wsman_request_t *request,
                                            const wsman_enumeration_source_t *source,
                                            const enumerate_t *wanted, const apr_array_header_t *items,
                                            int count, wsman_writer_t *answer)
{
    const wsman_fault_t *fault;
    int written = 0;

    if (!wanted->optimized) {
        return NULL;
    }
    wsman_start(answer, WSMAN_NS_WSMAN, "Items");
    fault = write_items(request, source, wanted->mode, items, count, answer, &written);
    wsman_end(answer);
    if (count == items->nelts) {
        wsman_element(answer, WSMAN_NS_WSMAN, "EndOfSequence", NULL);
    }
    return fault;
}

static const wsman_fault_t *answer_enumerate(wsman_request_t *request,
                                             const wsman_enumeration_source_t *source,
                                             const enumerate_t *wanted, const apr_array_header_t *items,
                                             wsman_writer_t *answer)
{
    int most = wanted->optimized ? items_that_fit(request, wanted->max_elements) : 0;
    int count = items->nelts < most ? items->nelts : most;
    const char *id = NULL;
    const wsman_fault_t *fault = open_context(request, source, wanted, items, count, &id);

    if (fault != NULL) {
        return fault;
    }
    wsman_start(answer, WSMAN_NS_WSEN, "EnumerateResponse");
    if (id != NULL && wanted->expires_given) {
        wsman_element(answer, WSMAN_NS_WSEN, "Expires",
                      wsman_format_duration(apr_time_from_sec(wanted->expires), request->pool));
    }
    wsman_element(answer, WSMAN_NS_WSEN, "EnumerationContext", id);
    fault = write_optimized(request, source, wanted, items, count, answer);
    wsman_end(answer);
    write_estimate(request, items->nelts, answer);
    if (fault != NULL && id != NULL) {
        source->context_release(request, id); /* the caller does not get its id */
    }
    return fault;
}

const wsman_fault_t *wsman_enumerate(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                     wsman_writer_t *answer)
{
    enumerate_t wanted = {0};
    apr_array_header_t *items = apr_array_make(request->pool, 1, sizeof(const char *));
    const wsman_fault_t *fault = read_enumerate(request, &wanted);

    if (fault == NULL && !wanted.only_base_class) {
        fault = source->list(request, request->envelope->resource_uri, &items);
    }
    return fault != NULL ? fault : answer_enumerate(request, source, &wanted, items, answer);
}

/* ---- Pull and Release --------------------------------------------------------------------------------- */

static const wsman_fault_t *read_context_id(const wsman_request_t *request, const char *name,
                                            const wsman_element_t **body, const char **id)
{
    const wsman_fault_t *fault = enumeration_payload(request, name, body);

    if (fault != NULL) {
        return fault;
    }
    *id = wsman_child_text(*body, WSMAN_URI_WSEN, "EnumerationContext", request->pool);
    if (*id != NULL && **id != '\0') {
        return NULL;
    }
    return wsman_fault(request->pool, WSMAN_FAULT_ENUMERATION_CONTEXT, NULL, "The wsen:%s names no context.",
                       name);
}

/* A Pull never waits, so MaxTime is only checked. MaxCharacters limits the items. */
static const wsman_fault_t *read_pull(wsman_request_t *request, const char **id, int *count)
{
    const wsman_element_t *body;
    const wsman_fault_t *fault = read_context_id(request, "Pull", &body, id);
    const char *characters, *time;
    apr_interval_time_t interval;
    apr_uint64_t most;

    if (fault == NULL) {
        fault = read_max_elements(request, body, WSMAN_URI_WSEN, count);
    }
    if (fault != NULL) {
        return fault;
    }
    *count = items_that_fit(request, *count);
    time = wsman_child_text(body, WSMAN_URI_WSEN, "MaxTime", request->pool);
    if (time != NULL && (wsman_parse_duration(time, &interval) != APR_SUCCESS || interval <= 0)) {
        return wsman_fault(request->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "MaxTime is not a positive duration such as PT5S.");
    }
    if (time != NULL) {
        request->max_time = interval;
    }
    characters = wsman_child_text(body, WSMAN_URI_WSEN, "MaxCharacters", request->pool);
    if (characters == NULL || *characters == '\0') {
        return NULL;
    }
    if (wsman_parse_uint(characters, APR_UINT64_MAX, &most) != APR_SUCCESS || most == 0) {
        return wsman_fault(request->pool, WSMAN_FAULT_SCHEMA_VALIDATION, NULL,
                           "MaxCharacters is not a number above 0.");
    }
    if (most / BYTES_OF_ITEM < (apr_uint64_t)*count) {
        *count = most < BYTES_OF_ITEM ? 1 : (int)(most / BYTES_OF_ITEM);
    }
    return NULL;
}

/* The fault of a Pull that could not write an item: what it took cannot be put back. */
static const wsman_fault_t *lost_items(const wsman_request_t *request, const wsman_fault_t *fault)
{
    wsman_fault_t *lost = apr_pmemdup(request->pool, fault, sizeof(*fault));

    lost->reason = "an item could not be read, so this Pull has ended its enumeration; begin it again";
    return lost;
}

/* Takes items until one was written: instances may be gone, and an answer without items is odd. But not for ever: after
 * some tries there is an answer without items. */
static const wsman_fault_t *pull_items(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                       const char *id, int count, wsman_writer_t *answer, int *more)
{
    const wsman_fault_t *fault = NULL;
    int written = 0;

    *more = 1;
    for (int tries = 0; fault == NULL && written == 0 && *more && tries < MAX_TRIES; tries++) {
        wsman_context_t context = {0};

        if ((fault = source->context_pull(request, id, count, &context, more)) != NULL) {
            return fault;
        }
        if (strcmp(context.resource_uri, request->envelope->resource_uri) != 0) {
            fault = wsman_fault(request->pool, WSMAN_FAULT_ENUMERATION_CONTEXT, NULL,
                                "The context belongs to an enumeration of another resource.");
        }
        else {
            fault = write_items(request, source, context.mode, context.items, context.items->nelts, answer,
                                &written);
            fault = fault != NULL ? lost_items(request, fault) : NULL;
        }
    }
    if (fault != NULL && *more) {
        source->context_release(request, id); /* a Pull that fails ends its enumeration */
    }
    return fault;
}

const wsman_fault_t *wsman_pull(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                wsman_writer_t *answer)
{
    const wsman_fault_t *fault;
    wsman_capture_t *items;
    const char *id;
    int count, more;

    if ((fault = read_pull(request, &id, &count)) != NULL) {
        return fault;
    }
    items = wsman_capture_begin(answer);
    fault = pull_items(request, source, id, count, answer, &more);
    wsman_capture_end(answer, items);
    if (fault != NULL) {
        return fault;
    }
    wsman_start(answer, WSMAN_NS_WSEN, "PullResponse");
    if (more) { /* clients pull as long as they get a context */
        wsman_element(answer, WSMAN_NS_WSEN, "EnumerationContext", id);
    }
    wsman_start(answer, WSMAN_NS_WSEN, "Items");
    wsman_capture_paste(answer, items);
    wsman_end(answer);
    if (!more) {
        wsman_element(answer, WSMAN_NS_WSEN, "EndOfSequence", NULL);
    }
    wsman_end(answer);
    write_estimate(request, -1, answer);
    return NULL;
}

const wsman_fault_t *wsman_release(wsman_request_t *request, const wsman_enumeration_source_t *source,
                                   wsman_writer_t *answer)
{
    const wsman_element_t *body;
    const char *id;
    const wsman_fault_t *fault = read_context_id(request, "Release", &body, &id);

    (void)answer; /* the body of a ReleaseResponse is empty */
    return fault != NULL ? fault : source->context_release(request, id);
}
