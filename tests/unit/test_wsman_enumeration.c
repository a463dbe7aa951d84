/* SPDX-License-Identifier: Apache-2.0 */
/* Enumerate, Pull and Release over a small source in memory. */
#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wsman/enumeration.h"
#include "wsman/names.h"
#include "wsman/values.h"
#include "wsman_fixture.h"

#define ITEM_URI WSMAN_URI_CIM_CLASS "CIM_Item"
#define BASE_URI WSMAN_URI_CIM_CLASS "CIM_Base"
#define OTHER_URI WSMAN_URI_CIM_CLASS "CIM_Other"

static const char *const keys[] = {"InstanceID", NULL};
static const char *const bases[] = {BASE_URI, NULL};
static const wsman_class_t item_class = {
    .name = "CIM_Item", .uri = ITEM_URI, .keys = keys, .superclasses = bases};
static const wsman_class_t other_class = {.name = "CIM_Other", .uri = OTHER_URI, .keys = keys};

/* The source: `count` items named 0, 1, 2, ...; one context at a time. */
typedef struct {
    int count;
    int gone;               /* items with an odd number are gone */
    int failing;            /* number of the item that cannot be written, or -1 */
    int size;               /* bytes of text in an instance */
    int refuse;             /* no context is given */
    const char *listed;     /* resource of the last list */
    const char *written_as; /* base class of the last instance, or NULL */
    int expires;            /* of the last context */
    int opened, released;
    int fetched, fetches; /* items, and times, before they were written */
    int unfetched;        /* nothing can be fetched */
    int all_gone;
    wsman_context_t context;
    apr_pool_t *pool;
} source_t;

static const wsman_fault_t *list(wsman_request_t *request, const char *resource_uri,
                                 apr_array_header_t **items)
{
    source_t *source = request->context;

    source->listed = resource_uri;
    *items = apr_array_make(request->pool, 1, sizeof(const char *));
    for (int i = 0; i < source->count; i++)
        APR_ARRAY_PUSH(*items, const char *) = apr_itoa(request->pool, i);
    return NULL;
}

static const wsman_fault_t *fetch(wsman_request_t *request, const apr_array_header_t *items, int count)
{
    source_t *source = request->context;

    assert_true(count <= items->nelts);
    source->fetched += count;
    source->fetches++;
    return source->unfetched ? wsman_fault(request->pool, WSMAN_FAULT_INTERNAL, NULL, "No items.") : NULL;
}

static const wsman_fault_t *write_item(wsman_request_t *request, const char *item, wsman_writer_t *answer)
{
    source_t *source = request->context;
    char *text = apr_pcalloc(request->pool, (apr_size_t)source->size + 1);

    source->written_as = request->base_class;
    memset(text, 'x', (apr_size_t)source->size);
    if (source->failing >= 0 && strcmp(item, apr_itoa(request->pool, source->failing)) == 0)
        return wsman_fault(request->pool, WSMAN_FAULT_INTERNAL, NULL, "Item %s broke.", item);
    if (source->all_gone)
        return NULL;
    if (source->gone && (item[strlen(item) - 1] - '0') % 2 == 1)
        return NULL;
    wsman_start_class(answer, ITEM_URI, "CIM_Item");
    wsman_property(answer, "InstanceID", item);
    wsman_property(answer, "Text", text);
    wsman_end(answer);
    return NULL;
}

static const wsman_class_t *reference(wsman_request_t *request, const char *item,
                                      wsman_selector_t **selectors)
{
    *selectors = apr_pcalloc(request->pool, sizeof(**selectors));
    (*selectors)->name = "InstanceID";
    (*selectors)->value = item;
    return &item_class;
}

static const wsman_fault_t *context_open(wsman_request_t *request, const wsman_context_t *context,
                                         int expires, const char **id)
{
    source_t *source = request->context;

    if (source->refuse)
        return wsman_fault(request->pool, WSMAN_FAULT_QUOTA_LIMIT, NULL, NULL);
    source->context.resource_uri = apr_pstrdup(source->pool, context->resource_uri);
    source->context.mode = apr_pstrdup(source->pool, context->mode);
    source->context.items = apr_array_copy(source->pool, context->items);
    source->expires = expires;
    source->opened++;
    *id = "context-1";
    return NULL;
}

static const wsman_fault_t *no_context(wsman_request_t *request)
{
    return wsman_fault(request->pool, WSMAN_FAULT_ENUMERATION_CONTEXT, NULL, NULL);
}

static const wsman_fault_t *context_pull(wsman_request_t *request, const char *id, int count,
                                         wsman_context_t *context, int *more)
{
    source_t *source = request->context;
    apr_array_header_t *rest;

    if (source->context.items == NULL || strcmp(id, "context-1") != 0)
        return no_context(request);
    *context = source->context;
    context->items = apr_array_make(request->pool, 1, sizeof(const char *));
    rest = apr_array_make(source->pool, 1, sizeof(const char *));
    for (int i = 0; i < source->context.items->nelts; i++)
        APR_ARRAY_PUSH(i < count ? context->items : rest, const char *) =
            APR_ARRAY_IDX(source->context.items, i, const char *);
    *more = rest->nelts > 0;
    source->context.items = *more ? rest : NULL;
    return NULL;
}

static const wsman_fault_t *context_release(wsman_request_t *request, const char *id)
{
    source_t *source = request->context;

    if (source->context.items == NULL || strcmp(id, "context-1") != 0)
        return no_context(request);
    source->context.items = NULL;
    source->released++;
    return NULL;
}

static const wsman_enumeration_source_t table = {list,         fetch,        write_item,     reference,
                                                 context_open, context_pull, context_release};

static const wsman_fault_t *do_enumerate(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_enumerate(request, &table, answer);
}

static const wsman_fault_t *do_pull(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_pull(request, &table, answer);
}

static const wsman_fault_t *do_release(wsman_request_t *request, wsman_writer_t *answer)
{
    return wsman_release(request, &table, answer);
}

static const wsman_operation_t operations[] = {
    {&item_class, WSMAN_ACTION_ENUMERATE, do_enumerate, 0},
    {&item_class, WSMAN_ACTION_PULL, do_pull, 0},
    {&item_class, WSMAN_ACTION_RELEASE, do_release, 0},
    {&other_class, WSMAN_ACTION_PULL, do_pull, 0},
    {NULL, NULL, NULL, 0},
};

static source_t new_source(int count, apr_pool_t *pool)
{
    source_t source = {.count = count, .failing = -1, .size = 10, .pool = pool};

    return source;
}

static const wsman_envelope_t *ask(source_t *source, const char *action, const char *uri,
                                   const char *more_headers, const char *body, apr_pool_t *pool)
{
    const wsman_service_t service = {.operations = operations, .context = source};
    const char *headers = apr_pstrcat(pool, fixture_headers(action, uri, pool), more_headers, NULL);
    wsman_limits_t limits = wsman_limits_default;
    const wsman_envelope_t *envelope = NULL;
    wsman_answer_t answer;

    wsman_serve(&service, fixture_envelope(fixture_wrap(headers, body, pool), pool), &answer, pool);
    limits.body = 10000000;
    assert_null(fixture_read_bytes(answer.bytes, answer.length, 0, NULL, &limits, &envelope, pool));
    return envelope;
}

static const wsman_envelope_t *enumerate(source_t *source, const char *content, apr_pool_t *pool)
{
    return ask(source, WSMAN_ACTION_ENUMERATE, ITEM_URI, "",
               apr_pstrcat(pool, "<wsen:Enumerate>", content, "</wsen:Enumerate>", NULL), pool);
}

static const wsman_envelope_t *pull(source_t *source, const char *content, apr_pool_t *pool)
{
    return ask(source, WSMAN_ACTION_PULL, ITEM_URI, "",
               apr_pstrcat(pool, "<wsen:Pull><wsen:EnumerationContext>context-1</wsen:EnumerationContext>",
                           content, "</wsen:Pull>", NULL),
               pool);
}

static const wsman_element_t *payload(const wsman_envelope_t *envelope, const char *name)
{
    if (envelope->fault != NULL)
        fail_msg("%s", envelope->fault->reason);
    assert_string_equal(envelope->body->child->ns, WSMAN_URI_WSEN);
    assert_string_equal(envelope->body->child->name, name);
    return envelope->body->child;
}

static void expect_fault(const wsman_envelope_t *envelope, wsman_fault_e kind)
{
    assert_non_null(envelope->fault);
    if (envelope->fault->kind != kind)
        fail_msg("%s", envelope->fault->reason);
}

/* The names of the instances, "0 1 2". */
static const char *names(const wsman_element_t *items, apr_pool_t *pool)
{
    const char *text = "";

    for (const wsman_element_t *at = items->child; at != NULL; at = at->next) {
        assert_string_equal(at->name, "CIM_Item");
        text = apr_pstrcat(pool, text, *text ? " " : "", wsman_child_text(at, ITEM_URI, "InstanceID", pool),
                           NULL);
    }
    return text;
}

#define OPTIMIZE "<wsman:OptimizeEnumeration/>"
#define MAX(count) "<wsman:MaxElements>" count "</wsman:MaxElements>"

static void plain_enumeration_gives_a_context(void **state)
{
    source_t source = new_source(3, *state);
    const wsman_envelope_t *envelope = enumerate(&source, "", *state);
    const wsman_element_t *response = payload(envelope, "EnumerateResponse");

    assert_string_equal(envelope->action, WSMAN_ACTION_ENUMERATE "Response");
    assert_string_equal(wsman_child_text(response, WSMAN_URI_WSEN, "EnumerationContext", *state),
                        "context-1");
    assert_null(response->child->next);
    assert_int_equal(source.expires, 600);
    assert_string_equal(source.context.mode, "object");
    assert_string_equal(source.context.resource_uri, ITEM_URI);
    assert_string_equal(source.listed, ITEM_URI);

    response = payload(pull(&source, "", *state), "PullResponse"); /* one, where MaxElements is not given */
    assert_string_equal(wsman_child_text(response, WSMAN_URI_WSEN, "EnumerationContext", *state),
                        "context-1");
    assert_string_equal(names(wsman_child(response, WSMAN_URI_WSEN, "Items"), *state), "0");
    assert_null(wsman_child(response, NULL, "EndOfSequence"));

    response = payload(
        pull(&source, "<wsen:MaxTime>PT5S</wsen:MaxTime><wsen:MaxElements>10</wsen:MaxElements>", *state),
        "PullResponse");
    assert_string_equal(names(wsman_child(response, WSMAN_URI_WSEN, "Items"), *state), "1 2");
    assert_non_null(wsman_child(response, WSMAN_URI_WSEN, "EndOfSequence"));
    assert_null(wsman_child(response, NULL, "EnumerationContext"));

    expect_fault(pull(&source, "", *state), WSMAN_FAULT_ENUMERATION_CONTEXT);
}

static void optimized_enumeration_in_one_answer(void **state)
{
    source_t source = new_source(3, *state);
    const wsman_element_t *response =
        payload(enumerate(&source, OPTIMIZE MAX("32000") "<wsen:Expires>PT1M</wsen:Expires>", *state),
                "EnumerateResponse");

    assert_string_equal(response->child->name, "EnumerationContext");
    assert_string_equal(response->child->text, "");
    assert_string_equal(names(wsman_child(response, WSMAN_URI_WSMAN, "Items"), *state), "0 1 2");
    assert_non_null(wsman_child(response, WSMAN_URI_WSMAN, "EndOfSequence"));
    assert_int_equal(source.opened, 0);
}

static void optimized_enumeration_in_parts(void **state)
{
    source_t source = new_source(5, *state);
    const wsman_element_t *response =
        payload(enumerate(&source, OPTIMIZE MAX("2") "<wsen:Expires>PT1M</wsen:Expires>", *state),
                "EnumerateResponse");

    assert_string_equal(response->child->name, "Expires");
    assert_string_equal(response->child->text, "PT1M");
    assert_int_equal(source.expires, 60);
    assert_string_equal(wsman_child_text(response, NULL, "EnumerationContext", *state), "context-1");
    assert_string_equal(names(wsman_child(response, WSMAN_URI_WSMAN, "Items"), *state), "0 1");
    assert_null(wsman_child(response, NULL, "EndOfSequence"));
    response = payload(pull(&source, "<wsen:MaxElements>3</wsen:MaxElements>", *state), "PullResponse");
    assert_string_equal(names(wsman_child(response, NULL, "Items"), *state), "2 3 4");
    assert_non_null(wsman_child(response, NULL, "EndOfSequence"));
}

static void nothing_to_enumerate(void **state)
{
    source_t source = new_source(0, *state);
    const wsman_element_t *response = payload(enumerate(&source, OPTIMIZE, *state), "EnumerateResponse");

    assert_null(wsman_child(response, WSMAN_URI_WSMAN, "Items")->child);
    assert_non_null(wsman_child(response, WSMAN_URI_WSMAN, "EndOfSequence"));
    payload(enumerate(&source, "", *state), "EnumerateResponse");
    response = payload(pull(&source, "", *state), "PullResponse");
    assert_null(wsman_child(response, WSMAN_URI_WSEN, "Items")->child);
    assert_non_null(wsman_child(response, WSMAN_URI_WSEN, "EndOfSequence"));
}

static const char *reference_id(const wsman_element_t *reference_element, apr_pool_t *pool)
{
    const wsman_element_t *parameters = wsman_child(reference_element, WSMAN_URI_WSA, "ReferenceParameters");
    const wsman_element_t *selector =
        wsman_child(wsman_child(parameters, WSMAN_URI_WSMAN, "SelectorSet"), WSMAN_URI_WSMAN, "Selector");

    assert_string_equal(reference_element->name, "EndpointReference");
    assert_string_equal(reference_element->ns, WSMAN_URI_WSA);
    assert_string_equal(wsman_child_text(reference_element, WSMAN_URI_WSA, "Address", pool),
                        WSMAN_URI_ANONYMOUS);
    assert_string_equal(wsman_child_text(parameters, WSMAN_URI_WSMAN, "ResourceURI", pool), ITEM_URI);
    assert_string_equal(wsman_attribute(selector, "", "Name"), "InstanceID");
    return selector->text;
}

static void modes(void **state)
{
#define MODE(name) "<wsman:EnumerationMode>" name "</wsman:EnumerationMode>"
    source_t source = new_source(2, *state);
    const wsman_element_t *items, *one;

    items = wsman_child(
        payload(enumerate(&source, OPTIMIZE MAX("9") MODE("EnumerateEPR"), *state), "EnumerateResponse"),
        NULL, "Items");
    assert_string_equal(reference_id(items->child, *state), "0");
    assert_string_equal(reference_id(items->child->next, *state), "1");

    items = wsman_child(payload(enumerate(&source, OPTIMIZE MAX("9") MODE("EnumerateObjectAndEPR"), *state),
                                "EnumerateResponse"),
                        NULL, "Items");
    for (one = items->child; one != NULL; one = one->next) {
        assert_string_equal(one->ns, WSMAN_URI_WSMAN);
        assert_string_equal(one->name, "Item");
        assert_string_equal(one->child->name, "CIM_Item");
        assert_string_equal(reference_id(one->child->next, *state),
                            wsman_child_text(one->child, ITEM_URI, "InstanceID", *state));
    }

    /* the mode is kept for the Pull */
    payload(enumerate(&source, MODE("EnumerateEPR"), *state), "EnumerateResponse");
    items =
        wsman_child(payload(pull(&source, "<wsen:MaxElements>9</wsen:MaxElements>", *state), "PullResponse"),
                    NULL, "Items");
    assert_string_equal(reference_id(items->child->next, *state), "1");

    expect_fault(enumerate(&source, MODE("EnumerateEverything"), *state), WSMAN_FAULT_UNSUPPORTED_FEATURE);
}

static int count_items(const wsman_element_t *response)
{
    const wsman_element_t *items = wsman_child(response, NULL, "Items");
    int count = 0;

    for (const wsman_element_t *at = items->child; at != NULL; at = at->next)
        count++;
    return count;
}

static void instances_may_be_gone(void **state)
{
    source_t source = new_source(6, *state);
    const wsman_element_t *response;

    source.gone = 1;
    response = payload(enumerate(&source, OPTIMIZE MAX("9") MODE("EnumerateObjectAndEPR"), *state),
                       "EnumerateResponse");
    assert_int_equal(count_items(response), 3);

    /* never an answer with neither item nor end */
    payload(enumerate(&source, OPTIMIZE MAX("1"), *state), "EnumerateResponse");
    response = payload(pull(&source, "", *state), "PullResponse");
    assert_string_equal(names(wsman_child(response, NULL, "Items"), *state), "2");
    assert_null(wsman_child(response, NULL, "EndOfSequence"));
    response = payload(pull(&source, "<wsen:MaxElements>2</wsen:MaxElements>", *state), "PullResponse");
    assert_string_equal(names(wsman_child(response, NULL, "Items"), *state), "4");
    response = payload(pull(&source, "", *state), "PullResponse");
    assert_string_equal(names(wsman_child(response, NULL, "Items"), *state), "");
    assert_non_null(wsman_child(response, NULL, "EndOfSequence"));
}

static void polymorphism(void **state)
{
#define POLYMORPHISM(name) "<wsmb:PolymorphismMode>" name "</wsmb:PolymorphismMode>"
    static const struct {
        const char *uri, *content;
        const char *names; /* NULL: the fault */
    } cases[] = {
        {BASE_URI, "", "0 1"},
        {BASE_URI, POLYMORPHISM("IncludeSubClassProperties"), "0 1"},
        {BASE_URI, POLYMORPHISM("None"), ""},
        {BASE_URI, POLYMORPHISM("ExcludeSubClassProperties"), "0 1"},
        {BASE_URI, POLYMORPHISM("Sideways"), NULL},
        {WSMAN_URI_ALL_CLASSES, "", "0 1"},
        {WSMAN_URI_ALL_CLASSES, POLYMORPHISM("IncludeSubClassProperties"), "0 1"},
        {WSMAN_URI_ALL_CLASSES, POLYMORPHISM("None"), NULL},
        {WSMAN_URI_ALL_CLASSES, POLYMORPHISM("ExcludeSubClassProperties"), NULL},
        {ITEM_URI, POLYMORPHISM("IncludeSubClassProperties"), "0 1"},
        {ITEM_URI, POLYMORPHISM("None"), "0 1"},
        {ITEM_URI, POLYMORPHISM("ExcludeSubClassProperties"), "0 1"},
        {ITEM_URI, POLYMORPHISM("Sideways"), NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        source_t source = new_source(2, *state);
        const wsman_envelope_t *envelope = ask(&source, WSMAN_ACTION_ENUMERATE, cases[i].uri, "",
                                               apr_pstrcat(*state, "<wsen:Enumerate>" OPTIMIZE MAX("9"),
                                                           cases[i].content, "</wsen:Enumerate>", NULL),
                                               *state);

        if (cases[i].names == NULL) {
            expect_fault(envelope, WSMAN_FAULT_POLYMORPHISM);
            continue;
        }
        assert_string_equal(names(wsman_child(payload(envelope, "EnumerateResponse"), NULL, "Items"), *state),
                            cases[i].names);
        if (source.listed != NULL)
            assert_string_equal(source.listed, cases[i].uri);
    }
}

/* The class that instances are written as is kept from one Pull to the next. */
static void instances_as_the_base_class(void **state)
{
    static const struct {
        const char *uri, *content;
        const char *base; /* NULL: as what they are */
    } cases[] = {
        {BASE_URI, POLYMORPHISM("ExcludeSubClassProperties"), BASE_URI},
        {BASE_URI,
         POLYMORPHISM("ExcludeSubClassProperties") "<wsman:EnumerationMode>EnumerateObjectAndEPR</"
                                                   "wsman:EnumerationMode>",
         BASE_URI},
        {BASE_URI, "", NULL},
        {ITEM_URI, POLYMORPHISM("ExcludeSubClassProperties"), NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        source_t source = new_source(2, *state);
        const char *body =
            apr_pstrcat(*state, "<wsen:Enumerate>", cases[i].content, "</wsen:Enumerate>", NULL);

        payload(ask(&source, WSMAN_ACTION_ENUMERATE, cases[i].uri, "", body, *state), "EnumerateResponse");
        payload(ask(&source, WSMAN_ACTION_PULL, cases[i].uri, "",
                    "<wsen:Pull><wsen:EnumerationContext>context-1</wsen:EnumerationContext></wsen:Pull>",
                    *state),
                "PullResponse");
        assert_int_equal(source.written_as != NULL, cases[i].base != NULL);
        if (cases[i].base != NULL)
            assert_string_equal(source.written_as, cases[i].base);
    }
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *content;
        wsman_fault_e kind;
    } cases[] = {
        {"<wsen:Filter>x</wsen:Filter>", WSMAN_FAULT_FILTERING_NOT_SUPPORTED},
        {"<wsman:Filter Dialect=\"http://schemas.microsoft.com/wbem/wsman/1/WQL\">select * from "
         "x</wsman:Filter>",
         WSMAN_FAULT_FILTERING_NOT_SUPPORTED},
        {"<wsman:Filter Dialect=\"urn:mine\">x</wsman:Filter>", WSMAN_FAULT_FILTER_DIALECT},
        {"<wsman:Filter/><wsen:Filter/>", WSMAN_FAULT_CANNOT_PROCESS_FILTER},
        {"<wsen:Expires>PT0S</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TIME},
        {"<wsen:Expires>-PT10M</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TIME},
        {"<wsen:Expires>PT0.5S</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TIME},
        {"<wsen:Expires>soon</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TIME},
        {"<wsen:Expires/>", WSMAN_FAULT_EXPIRATION_TIME},
        {"<wsen:Expires>2136-11-21T19:12:52Z</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TYPE},
        {"<wsen:Expires>2136-11-21T19:12:52.5+02:00</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TYPE},
        {"<wsen:Expires>2016-11-21T19:12:52Z</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TIME},
        {"<wsen:Expires>2016-11-21T19:12:52.123-07:00</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TIME},
        {"<wsen:Expires>2016-11-21T19:12:52</wsen:Expires>", WSMAN_FAULT_EXPIRATION_TIME},
        {"<wsen:EndTo><wsa:Address>urn:x</wsa:Address></wsen:EndTo>", WSMAN_FAULT_UNSUPPORTED_FEATURE},
        {MAX("0"), WSMAN_FAULT_SCHEMA_VALIDATION},
        {MAX("-1"), WSMAN_FAULT_SCHEMA_VALIDATION},
        {MAX(""), WSMAN_FAULT_SCHEMA_VALIDATION},
        {MAX("x"), WSMAN_FAULT_SCHEMA_VALIDATION},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        source_t source = new_source(2, *state);

        expect_fault(enumerate(&source, cases[i].content, *state), cases[i].kind);
        assert_int_equal(source.opened, 0);
    }
}

static void bodies_must_fit_the_action(void **state)
{
    source_t source = new_source(2, *state);

    expect_fault(ask(&source, WSMAN_ACTION_ENUMERATE, ITEM_URI, "", "", *state),
                 WSMAN_FAULT_SCHEMA_VALIDATION);
    expect_fault(ask(&source, WSMAN_ACTION_ENUMERATE, ITEM_URI, "", "<wsen:Pull/>", *state),
                 WSMAN_FAULT_SCHEMA_VALIDATION);
    expect_fault(ask(&source, WSMAN_ACTION_PULL, ITEM_URI, "", "", *state), WSMAN_FAULT_SCHEMA_VALIDATION);
    expect_fault(ask(&source, WSMAN_ACTION_PULL, ITEM_URI, "", "<wsen:Pull/>", *state),
                 WSMAN_FAULT_ENUMERATION_CONTEXT);
    expect_fault(ask(&source, WSMAN_ACTION_RELEASE, ITEM_URI, "", "<wsen:Pull/>", *state),
                 WSMAN_FAULT_SCHEMA_VALIDATION);
}

static void bad_pulls_cost_no_item(void **state)
{
    static const char *const bad[] = {
        "<wsen:MaxElements>0</wsen:MaxElements>",     "<wsen:MaxElements>x</wsen:MaxElements>",
        "<wsen:MaxTime>-PT1S</wsen:MaxTime>",         "<wsen:MaxTime>5</wsen:MaxTime>",
        "<wsen:MaxCharacters>x</wsen:MaxCharacters>", "<wsen:MaxCharacters>0</wsen:MaxCharacters>",
    };
    source_t source = new_source(2, *state);

    payload(enumerate(&source, "", *state), "EnumerateResponse");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_fault(pull(&source, bad[i], *state), WSMAN_FAULT_SCHEMA_VALIDATION);
    assert_int_equal(source.context.items->nelts, 2);
}

static void expires_is_bounded(void **state)
{
    source_t source = new_source(2, *state);
    const wsman_element_t *response =
        payload(enumerate(&source, "<wsen:Expires>P1000D</wsen:Expires>", *state), "EnumerateResponse");

    assert_int_equal(source.expires, 3600);
    assert_string_equal(wsman_child_text(response, WSMAN_URI_WSEN, "Expires", *state), "PT1H");
}

static void a_context_belongs_to_its_resource(void **state)
{
    source_t source = new_source(2, *state);

    payload(enumerate(&source, "", *state), "EnumerateResponse");
    expect_fault(ask(&source, WSMAN_ACTION_PULL, OTHER_URI, "",
                     "<wsen:Pull><wsen:EnumerationContext>context-1</wsen:EnumerationContext></wsen:Pull>",
                     *state),
                 WSMAN_FAULT_ENUMERATION_CONTEXT);
    assert_int_equal(source.released, 1);
    expect_fault(pull(&source, "", *state), WSMAN_FAULT_ENUMERATION_CONTEXT);
}

/* What a Pull took before it failed is lost to its caller, who must not go on as if nothing had been done. */
static void a_pull_that_cannot_write_an_item_ends_it_and_says_so(void **state)
{
    source_t source = new_source(3, *state);
    const wsman_envelope_t *envelope;

    payload(enumerate(&source, "", *state), "EnumerateResponse");
    source.failing = 0;
    envelope = pull(&source, "", *state);
    assert_non_null(envelope->fault);
    assert_non_null(strstr(envelope->fault->reason, "has ended its enumeration; begin it again"));
    assert_int_equal(source.released, 1);
}

static void release_ends_it(void **state)
{
#define RELEASE "<wsen:Release><wsen:EnumerationContext>context-1</wsen:EnumerationContext></wsen:Release>"
    source_t source = new_source(2, *state);
    const wsman_envelope_t *envelope;

    payload(enumerate(&source, "", *state), "EnumerateResponse");
    envelope = ask(&source, WSMAN_ACTION_RELEASE, ITEM_URI, "", RELEASE, *state);
    assert_null(envelope->fault);
    assert_string_equal(envelope->action, WSMAN_ACTION_RELEASE "Response");
    assert_null(envelope->body->child);
    assert_int_equal(source.released, 1);
    expect_fault(pull(&source, "", *state), WSMAN_FAULT_ENUMERATION_CONTEXT);
    expect_fault(ask(&source, WSMAN_ACTION_RELEASE, ITEM_URI, "", RELEASE, *state),
                 WSMAN_FAULT_ENUMERATION_CONTEXT);
}

static void estimates(void **state)
{
#define ESTIMATE "<wsman:RequestTotalItemsCountEstimate s:mustUnderstand=\"true\"/>"
    source_t source = new_source(12, *state);
    const wsman_envelope_t *envelope =
        ask(&source, WSMAN_ACTION_ENUMERATE, ITEM_URI, ESTIMATE, "<wsen:Enumerate/>", *state);

    assert_string_equal(
        wsman_child_text(envelope->header, WSMAN_URI_WSMAN, "TotalItemsCountEstimate", *state), "12");
    envelope =
        ask(&source, WSMAN_ACTION_PULL, ITEM_URI, ESTIMATE,
            "<wsen:Pull><wsen:EnumerationContext>context-1</wsen:EnumerationContext></wsen:Pull>", *state);
    assert_true(wsman_is_nil(wsman_child(envelope->header, WSMAN_URI_WSMAN, "TotalItemsCountEstimate")));
    envelope = enumerate(&source, "", *state);
    assert_null(wsman_child(envelope->header, WSMAN_URI_WSMAN, "TotalItemsCountEstimate"));
}

static void faults_of_the_source_come_through(void **state)
{
    source_t source = new_source(5, *state);

    source.refuse = 1;
    expect_fault(enumerate(&source, "", *state), WSMAN_FAULT_QUOTA_LIMIT);
    source.refuse = 0;
    source.failing = 1;
    expect_fault(enumerate(&source, OPTIMIZE MAX("2"), *state), WSMAN_FAULT_INTERNAL);
    assert_int_equal(source.released, 1); /* no context is left whose id the caller does not have */
    payload(enumerate(&source, "", *state), "EnumerateResponse");
    expect_fault(pull(&source, "<wsen:MaxElements>2</wsen:MaxElements>", *state), WSMAN_FAULT_INTERNAL);
    expect_fault(pull(&source, "", *state), WSMAN_FAULT_ENUMERATION_CONTEXT);
}

/* For any MaxElements, the items fit into MaxEnvelopeSize, and all of them arrive in the end. */
static void items_are_rationed(void **state)
{
    static const char *const rooms[] = {"8192", "32767", "153600"};

    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        source_t source = new_source(100, *state);
        const char *headers =
            apr_pstrcat(*state, "<wsman:MaxEnvelopeSize>", rooms[i], "</wsman:MaxEnvelopeSize>", NULL);
        int count = 0, end = 0;

        source.size = 3400;
        payload(ask(&source, WSMAN_ACTION_ENUMERATE, ITEM_URI, headers,
                    "<wsen:Enumerate>" MODE("EnumerateObjectAndEPR") "</wsen:Enumerate>", *state),
                "EnumerateResponse");
        while (!end) {
            const wsman_element_t *response =
                payload(ask(&source, WSMAN_ACTION_PULL, ITEM_URI, headers,
                            "<wsen:Pull><wsen:EnumerationContext>context-1</wsen:EnumerationContext>"
                            "<wsen:MaxElements>1000</wsen:MaxElements></wsen:Pull>",
                            *state),
                        "PullResponse");

            for (const wsman_element_t *one = wsman_child(response, NULL, "Items")->child; one != NULL;
                 one = one->next)
                count++;
            end = wsman_child(response, NULL, "EndOfSequence") != NULL;
        }
        assert_int_equal(count, 100);
    }
}

/* For any MaxEnvelopeSize and any MaxElements. */
static void an_answer_costs_only_so_much(void **state)
{
    source_t source = new_source(2500, *state);
    const wsman_element_t *response =
        payload(ask(&source, WSMAN_ACTION_ENUMERATE, ITEM_URI,
                    "<wsman:MaxEnvelopeSize>1000000000</wsman:MaxEnvelopeSize>",
                    "<wsen:Enumerate>" OPTIMIZE MAX("1000000") "</wsen:Enumerate>", *state),
                "EnumerateResponse");
    int count = 0;

    for (const wsman_element_t *one = wsman_child(response, NULL, "Items")->child; one != NULL;
         one = one->next)
        count++;
    assert_int_equal(count, 200);
    assert_null(wsman_child(response, NULL, "EndOfSequence"));
    assert_int_equal(source.context.items->nelts, 2300);
}

static void a_page_is_fetched_at_once(void **state)
{
    source_t source = new_source(20, *state);

    payload(enumerate(&source, OPTIMIZE MAX("3"), *state), "EnumerateResponse");
    assert_int_equal(source.fetches, 1);
    assert_int_equal(source.fetched, 3);
    payload(pull(&source, "<wsen:MaxElements>5</wsen:MaxElements>", *state), "PullResponse");
    assert_int_equal(source.fetches, 2);
    assert_int_equal(source.fetched, 8);
}

static void a_fetch_that_fails_ends_the_enumeration(void **state)
{
    source_t source = new_source(20, *state);

    payload(enumerate(&source, "", *state), "EnumerateResponse");
    source.unfetched = 1;
    expect_fault(pull(&source, "<wsen:MaxElements>5</wsen:MaxElements>", *state), WSMAN_FAULT_INTERNAL);
    assert_int_equal(source.released, 1);
}

/* All instances are gone: a Pull looks at some, not at all of them. */
static void a_pull_of_what_is_gone_ends(void **state)
{
    source_t source = new_source(2500, *state);
    const wsman_element_t *response;

    payload(enumerate(&source, "", *state), "EnumerateResponse");
    source.all_gone = 1;
    response = payload(pull(&source, "", *state), "PullResponse");
    assert_non_null(wsman_child(response, NULL, "EnumerationContext"));
    assert_null(wsman_child(response, NULL, "Items")->child);
    assert_in_range(source.fetches, 1, 30);
}

static void max_characters_is_a_limit(void **state)
{
    source_t source = new_source(20, *state);
    const wsman_element_t *response;

    source.size = 3000;
    payload(enumerate(&source, "", *state), "EnumerateResponse");
    response = payload(
        pull(&source, "<wsen:MaxElements>7</wsen:MaxElements><wsen:MaxCharacters>9000</wsen:MaxCharacters>",
             *state),
        "PullResponse");
    assert_string_equal(names(wsman_child(response, NULL, "Items"), *state), "0 1");
    response = payload(
        pull(&source, "<wsen:MaxElements>7</wsen:MaxElements><wsen:MaxCharacters>10</wsen:MaxCharacters>",
             *state),
        "PullResponse");
    assert_string_equal(names(wsman_child(response, NULL, "Items"), *state), "2");
    response = payload(pull(&source, "<wsen:MaxElements>3</wsen:MaxElements><wsen:MaxCharacters/>", *state),
                       "PullResponse");
    assert_string_equal(names(wsman_child(response, NULL, "Items"), *state), "3 4 5");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(plain_enumeration_gives_a_context),
        TEST(optimized_enumeration_in_one_answer),
        TEST(optimized_enumeration_in_parts),
        TEST(nothing_to_enumerate),
        TEST(modes),
        TEST(instances_may_be_gone),
        TEST(polymorphism),
        TEST(instances_as_the_base_class),
        TEST(what_is_refused),
        TEST(bodies_must_fit_the_action),
        TEST(bad_pulls_cost_no_item),
        TEST(expires_is_bounded),
        TEST(a_context_belongs_to_its_resource),
        TEST(a_pull_that_cannot_write_an_item_ends_it_and_says_so),
        TEST(release_ends_it),
        TEST(estimates),
        TEST(faults_of_the_source_come_through),
        TEST(items_are_rationed),
        TEST(an_answer_costs_only_so_much),
        TEST(a_page_is_fetched_at_once),
        TEST(a_fetch_that_fails_ends_the_enumeration),
        TEST(a_pull_of_what_is_gone_ends),
        TEST(max_characters_is_a_limit),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup, fixture_group_teardown);
}
