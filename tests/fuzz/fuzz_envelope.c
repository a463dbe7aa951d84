/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as an envelope: read in pieces and whole, served, and the answer read back.
 *
 * The first byte of an input chooses the charset of the Content-Type, the second the size of the pieces.
 * Build with clang -fsanitize=fuzzer,address,undefined; run with tests/fuzz/corpus/envelope.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "require.h"
#include "wsman/dispatch.h"
#include "wsman/enumeration.h"
#include "wsman/names.h"

#define THING_URI WSMAN_URI_AMT_CLASS "AMT_Thing"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const keys[] = {"Name", NULL};
static const wsman_class_t thing = {.name = "AMT_Thing", .uri = THING_URI, .keys = keys, .singleton = 1};

/* Returns what the caller sent. */
static const wsman_fault_t *get_thing(wsman_request_t *request, wsman_writer_t *answer)
{
    const char *name = wsman_selector_value(request->envelope, "Name");

    wsman_start_class(answer, THING_URI, "AMT_Thing");
    wsman_property(answer, "Name", name);
    wsman_property_interval(answer, "Timeout", request->operation_timeout);
    wsman_end(answer);
    return NULL;
}

static const wsman_fault_t *list_things(wsman_request_t *request, const char *resource_uri,
                                        apr_array_header_t **items)
{
    (void)resource_uri;
    *items = apr_array_make(request->pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(*items, const char *) = "a";
    APR_ARRAY_PUSH(*items, const char *) = "b";
    return NULL;
}

static const wsman_fault_t *write_thing(wsman_request_t *request, const char *item, wsman_writer_t *answer)
{
    (void)item;
    return get_thing(request, answer);
}

static const wsman_fault_t *fetch_things(wsman_request_t *request, const apr_array_header_t *items, int count)
{
    (void)request;
    REQUIRE(count >= 0 && count <= items->nelts);
    return NULL;
}

static const wsman_class_t *reference_thing(wsman_request_t *request, const char *item,
                                            wsman_selector_t **selectors)
{
    (void)item;
    *selectors = request->envelope->selectors;
    return &thing;
}

static const wsman_fault_t *context_open(wsman_request_t *request, const wsman_context_t *context,
                                         int expires, const char **id)
{
    (void)request;
    (void)context;
    REQUIRE(expires >= 1 && expires <= 3600);
    *id = "1";
    return NULL;
}

static const wsman_fault_t *context_pull(wsman_request_t *request, const char *id, int count,
                                         wsman_context_t *context, int *more)
{
    (void)id;
    REQUIRE(count >= 1);
    context->resource_uri = THING_URI;
    context->mode = "both";
    *more = 0;
    return list_things(request, THING_URI, &context->items);
}

static const wsman_fault_t *context_release(wsman_request_t *request, const char *id)
{
    (void)request;
    (void)id;
    return NULL;
}

static const wsman_enumeration_source_t source = {list_things,  fetch_things, write_thing,    reference_thing,
                                                  context_open, context_pull, context_release};

static const wsman_fault_t *enumerate_things(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_enumerate(request, &source, answer);
}

static const wsman_fault_t *pull_things(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_pull(request, &source, answer);
}

static const wsman_operation_t operations[] = {
    {&thing, WSMAN_ACTION_GET, get_thing, 0},
    {&thing, WSMAN_ACTION_ENUMERATE, enumerate_things, 0},
    {&thing, WSMAN_ACTION_PULL, pull_things, 0},
    {NULL, NULL, NULL, 0},
};

static const wsman_fault_t *read_pieces(const char *bytes, size_t length, size_t piece, const char *charset,
                                        const wsman_envelope_t **envelope, apr_pool_t *pool)
{
    wsman_reader_t *reader = wsman_reader_create(&wsman_limits_default, charset, pool);
    const wsman_fault_t *fault;

    for (size_t at = 0; at < length; at += piece) {
        size_t take = length - at < piece ? length - at : piece;

        if (wsman_reader_feed(reader, bytes + at, take) != NULL) {
            break;
        }
    }
    fault = wsman_reader_finish(reader, envelope);
    REQUIRE((fault == NULL) == (*envelope != NULL));
    wsman_reader_message_id(reader);
    return fault;
}

/* The same reader accepts an answer, but with wider limits. */
static void check_answer(const wsman_answer_t *answer, apr_pool_t *pool)
{
    const wsman_limits_t limits = {.body = SIZE_MAX, .tag = SIZE_MAX, .attributes = 64, .depth = 64};
    wsman_reader_t *reader = wsman_reader_create(&limits, NULL, pool);
    const wsman_envelope_t *envelope = NULL;

    REQUIRE(answer->status == 200 || answer->fault != NULL);
    wsman_reader_feed(reader, answer->bytes, answer->length);
    REQUIRE(wsman_reader_finish(reader, &envelope) == NULL);
    REQUIRE((envelope->fault != NULL) == (answer->fault != NULL));
    if (answer->fault != NULL) {
        REQUIRE(envelope->fault->kind == answer->fault->kind);
    }
}

static void serve(const wsman_envelope_t *envelope, apr_pool_t *pool)
{
    const wsman_service_t service = {.operations = operations};
    wsman_answer_t answer;

    wsman_serve(&service, envelope, &answer, pool);
    check_answer(&answer, pool);
    if (envelope->fault != NULL && envelope->fault->kind != WSMAN_FAULT_OTHER) {
        wsman_answer_fault(envelope->fault, envelope->encoding, envelope->message_id, &answer, pool);
        check_answer(&answer, pool);
    }
}

static apr_pool_t *root_pool(void)
{
    static apr_pool_t *root;

    if (root == NULL) {
        apr_initialize();
        wsman_library_init();
        apr_pool_create(&root, NULL);
    }
    return root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const charsets[] = {NULL, "utf-8", "utf-16", "utf-16le", "utf-16be", "latin1"};
    const wsman_envelope_t *envelope = NULL, *whole = NULL;
    const wsman_fault_t *fault, *fault_of_whole;
    const char *charset, *bytes;
    apr_pool_t *pool;

    if (size < 2) {
        return 0;
    }
    apr_pool_create(&pool, root_pool());
    charset = charsets[data[0] % (sizeof(charsets) / sizeof(charsets[0]))];
    bytes = apr_pmemdup(pool, data + 2, size - 2);
    fault = read_pieces(bytes, size - 2, 1U + data[1], charset, &envelope, pool);
    fault_of_whole = read_pieces(bytes, size - 2, size, charset, &whole, pool);
    REQUIRE((fault == NULL) == (fault_of_whole == NULL));
    if (envelope != NULL) {
        serve(envelope, pool);
    }
    apr_pool_destroy(pool);
    return 0;
}
