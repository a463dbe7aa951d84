/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch: which operation is found, what is refused, and in which order. */
#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wsman/dispatch.h"
#include "wsman/names.h"
#include "wsman_fixture.h"

#define THING_URI WSMAN_URI_AMT_CLASS "AMT_Thing"
#define ITEM_URI WSMAN_URI_CIM_CLASS "CIM_Item"
#define LINK_URI WSMAN_URI_CIM_CLASS "CIM_Link"
#define BASE_URI WSMAN_URI_CIM_CLASS "CIM_Base"

static const char *const thing_keys[] = {"Name", "SystemName", NULL};
static const char *const link_keys[] = {"End", NULL};
static const char *const item_keys[] = {"InstanceID", NULL};
static const char *const bases[] = {BASE_URI, NULL};
static const wsman_class_t thing = {
    .name = "AMT_Thing", .uri = THING_URI, .keys = thing_keys, .singleton = 1, .superclasses = bases};
static const wsman_class_t link_class = {
    .name = "CIM_Link", .uri = LINK_URI, .keys = link_keys, .keys_are_references = 1};
static const wsman_class_t item = {.name = "CIM_Item", .uri = ITEM_URI, .keys = item_keys};

/* Writes an instance with a text of *context bytes. */
static const wsman_fault_t *get(wsman_request_t *request, wsman_writer_t *answer)
{
    int *size = request->context;
    char *text = apr_palloc(request->pool, (apr_size_t)*size + 1);

    memset(text, 'x', (apr_size_t)*size);
    text[*size] = '\0';
    wsman_start_class(answer, request->class_->uri, request->class_->name);
    wsman_property(answer, "Text", text);
    wsman_property_uint(answer, "Room", request->max_envelope_size);
    wsman_property_interval(answer, "Timeout", request->operation_timeout);
    wsman_end(answer);
    return NULL;
}

static const wsman_fault_t *refuse(wsman_request_t *request, wsman_writer_t *answer)
{
    wsman_property(answer, "Dropped", "this must not be seen");
    return wsman_fault(request->pool, WSMAN_FAULT_CONCURRENCY, NULL, "In use.");
}

static const wsman_fault_t *keep_waiting(wsman_request_t *request, wsman_writer_t *answer)
{
    (void)answer;
    apr_sleep(apr_time_from_msec(3));
    return wsman_fault(request->pool, WSMAN_FAULT_ENDPOINT_UNAVAILABLE, NULL, NULL);
}

static const wsman_fault_t *write_badly(wsman_request_t *request, wsman_writer_t *answer)
{
    (void)request;
    wsman_property(answer, "Bad", "\x01");
    return NULL;
}

static const wsman_operation_t operations[] = {
    {&thing, WSMAN_ACTION_GET, get, 0},
    {&thing, THING_URI "/Refuse", refuse, 0},
    {&thing, THING_URI "/Break", write_badly, 0},
    {&thing, THING_URI "/Wait", keep_waiting, 0},
    {&link_class, WSMAN_ACTION_GET, get, 0},
    {&thing, WSMAN_ACTION_ENUMERATE, get, 0},
    {&item, WSMAN_ACTION_GET, get, 0},
    {&item, WSMAN_ACTION_DELETE, get, 1},
    {NULL, NULL, NULL, 0},
};

static const char *const profiles[] = {"urn:profile", NULL};

static void serve(const char *text, int size, wsman_answer_t *answer, apr_pool_t *pool)
{
    const wsman_service_t service = {
        .operations = operations, .identity = {"A vendor", "1.2.3", profiles}, .context = &size};

    wsman_serve(&service, fixture_envelope(text, pool), answer, pool);
}

static const wsman_envelope_t *read_answer(const wsman_answer_t *answer, apr_pool_t *pool)
{
    wsman_limits_t limits = wsman_limits_default;
    const wsman_envelope_t *envelope = NULL;

    limits.body = 10000000;
    assert_null(fixture_read_bytes(answer->bytes, answer->length, 0, NULL, &limits, &envelope, pool));
    return envelope;
}

static const wsman_envelope_t *answer_to(const char *header, const char *body, wsman_answer_t *answer,
                                         apr_pool_t *pool)
{
    serve(fixture_wrap(header, body, pool), 10, answer, pool);
    return read_answer(answer, pool);
}

/* The headers with one more appended. */
static const char *with(const char *action, const char *uri, const char *more, apr_pool_t *pool)
{
    return apr_pstrcat(pool, fixture_headers(action, uri, pool), more, NULL);
}

static void expect_fault(const char *header, wsman_fault_e kind, const char *detail, apr_pool_t *pool)
{
    wsman_answer_t answer;
    const wsman_envelope_t *envelope = answer_to(header, "", &answer, pool);

    if (envelope->fault == NULL || envelope->fault->kind != kind) {
        fail_msg("%s: %s", header, envelope->fault == NULL ? "answered" : envelope->fault->reason);
        return;
    }
    assert_string_equal(envelope->fault->detail != NULL ? envelope->fault->detail : "",
                        detail != NULL ? detail : "");
    assert_int_equal(answer.fault->kind, kind);
    assert_int_equal(answer.status, answer.fault->status);
}

static void expect_answer(const char *header, apr_pool_t *pool)
{
    wsman_answer_t answer;
    const wsman_envelope_t *envelope = answer_to(header, "", &answer, pool);

    if (envelope->fault != NULL)
        fail_msg("%s: %s", header, envelope->fault->reason);
    assert_int_equal(answer.status, 200);
    assert_null(answer.fault);
}

#define SELECTORS(content) "<wsman:SelectorSet>" content "</wsman:SelectorSet>"
#define SELECTOR(name, value) "<wsman:Selector Name=\"" name "\">" value "</wsman:Selector>"

static void a_get_is_answered(void **state)
{
    wsman_answer_t answer;
    const wsman_envelope_t *envelope =
        answer_to(with(WSMAN_ACTION_GET, THING_URI,
                       "<wsman:MaxEnvelopeSize s:mustUnderstand=\"1\">153600</wsman:MaxEnvelopeSize>"
                       "<wsman:OperationTimeout>PT60.000S</wsman:OperationTimeout>",
                       *state),
                  "", &answer, *state);
    const wsman_element_t *instance = envelope->body->child;

    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.content_type, "application/soap+xml;charset=UTF-8");
    assert_string_equal(answer.action, WSMAN_ACTION_GET);
    assert_null(answer.fault);
    assert_string_equal(envelope->action, WSMAN_ACTION_GET "Response");
    assert_string_equal(envelope->relates_to, "uuid:5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a");
    assert_string_equal(envelope->to, WSMAN_URI_ANONYMOUS);
    assert_string_equal(instance->name, "AMT_Thing");
    assert_string_equal(wsman_child_text(instance, THING_URI, "Text", *state), "xxxxxxxxxx");
    assert_string_equal(wsman_child_text(instance, THING_URI, "Room", *state), "153600");
    assert_string_equal(wsman_child_text(wsman_child(instance, NULL, "Timeout"), NULL, "Interval", *state),
                        "PT1M");
}

/* Headers as Go, Microsoft and command line clients send them. */
static void clients_may_be_lax(void **state)
{
    const char *headers =
        "<wsa:Action>" WSMAN_ACTION_GET "</wsa:Action><wsa:To>/wsman</wsa:To><wsman:ResourceURI>" THING_URI
        "</wsman:ResourceURI><wsa:MessageID>0</wsa:MessageID><wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS
        "</wsa:Address></wsa:ReplyTo>"
        "<wsman:OperationTimeout>PT60S</wsman:OperationTimeout>";
    static const char *const more[] = {
        SELECTORS(SELECTOR("__cimnamespace", "root/cimv2")),
        SELECTORS(SELECTOR("NAME", "a") SELECTOR("systemname", "b")),
        SELECTORS(SELECTOR("Name", "a") SELECTOR("SystemName", "b") SELECTOR("__CIMNamespace", "x")),
        SELECTORS(""),
        "<wsman:Locale xml:lang=\"de-DE\" s:mustUnderstand=\"false\"/>",
        "<wsman:Locale xml:lang=\"en-GB\" s:mustUnderstand=\"true\"/>",
        "<m:DataLocale xmlns:m=\"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd\" xml:lang=\"de-DE\" "
        "s:mustUnderstand=\"false\"/>",
        "<m:ActivityId xmlns:m=\"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd\" "
        "s:mustUnderstand=\"true\">"
        "x</m:ActivityId>",
        "<m:SessionId xmlns:m=\"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd\" "
        "s:mustUnderstand=\"false\">"
        "x</m:SessionId>",
        "<x:Y xmlns:x=\"urn:x\"/>",
        "<x:Y xmlns:x=\"urn:x\" s:mustUnderstand=\"0\"/>",
        "<x:Y xmlns:x=\"urn:x\" mustUnderstand=\"true\"/>",
        "<x:Y xmlns:x=\"urn:x\" s:mustUnderstand=\"true\" s:role=\"urn:proxy\"/>",
        "<wsman:OptionSet s:mustUnderstand=\"true\"><wsman:Option "
        "Name=\"a\">b</wsman:Option></wsman:OptionSet>",
        "<wsman:OptionSet><wsman:Option Name=\"a\" MustComply=\"true\"/></wsman:OptionSet>",
        "<wsa:FaultTo><wsa:Address>" WSMAN_URI_ANONYMOUS "</wsa:Address></wsa:FaultTo>",
        "<wsa:From><wsa:Address>urn:me</wsa:Address></wsa:From>",
        "<wsman:MaxEnvelopeSize>8192</wsman:MaxEnvelopeSize>",
        "<wsman:MaxEnvelopeSize>18446744073709551615</wsman:MaxEnvelopeSize>",
    };

    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        expect_answer(apr_pstrcat(*state, headers, more[i], NULL), *state);
    expect_answer(with(WSMAN_ACTION_GET, ITEM_URI, SELECTORS(SELECTOR("instanceid", "x")), *state), *state);
    expect_answer(with(WSMAN_ACTION_DELETE, ITEM_URI, SELECTORS(SELECTOR("whatever", "x")), *state), *state);
    expect_answer(with(WSMAN_ACTION_ENUMERATE, THING_URI, "", *state), *state);
    expect_answer(with(WSMAN_ACTION_ENUMERATE, BASE_URI, "", *state), *state);
}

static void identify(void **state)
{
    wsman_answer_t answer;
    const char *text;

    serve("<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP
          "\"><s:Header/><s:Body><i:Identify xmlns:i=\"" WSMAN_URI_WSMID "\"/></s:Body></s:Envelope>",
          0, &answer, *state);
    text = apr_pstrmemdup(*state, answer.bytes, answer.length);
    assert_int_equal(answer.status, 200);
    assert_null(answer.action);
    assert_string_equal(
        text,
        "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP "\" xmlns:wsmid=\"" WSMAN_URI_WSMID
        "\"><s:Header/><s:Body><wsmid:IdentifyResponse><wsmid:ProtocolVersion>" WSMAN_URI_WSMAN
        "</wsmid:ProtocolVersion><wsmid:ProductVendor>A vendor</wsmid:ProductVendor>"
        "<wsmid:ProductVersion>1.2.3</"
        "wsmid:ProductVersion><wsmid:SecurityProfiles><wsmid:SecurityProfileName>"
        "urn:profile</wsmid:SecurityProfileName></wsmid:SecurityProfiles></wsmid:IdentifyResponse></s:Body>"
        "</s:Envelope>");
}

static void identify_tells_a_stranger_little(void **state)
{
    const wsman_service_t service = {.operations = operations};
    const wsman_envelope_t *envelope;
    wsman_answer_t answer;

    wsman_serve(&service, fixture_envelope(fixture_wrap("", "<wsmid:Identify/>", *state), *state), &answer,
                *state);
    envelope = read_answer(&answer, *state);
    assert_string_equal(envelope->body->child->child->name, "ProtocolVersion");
    assert_null(envelope->body->child->child->next);
}

static void identify_still_understands(void **state)
{
    wsman_answer_t answer;
    const wsman_envelope_t *envelope =
        answer_to("<x:Y xmlns:x=\"urn:x\" s:mustUnderstand=\"true\"/>", "<wsmid:Identify/>", &answer, *state);

    assert_int_equal(envelope->fault->kind, WSMAN_FAULT_MUST_UNDERSTAND);
}

static void headers_are_required(void **state)
{
    static const char *const headers[][2] = {
        {"To", "<wsa:To>urn:x</wsa:To>"},
        {"Action", "<wsa:Action>" WSMAN_ACTION_GET "</wsa:Action>"},
        {"MessageID", "<wsa:MessageID>1</wsa:MessageID>"},
        {"ReplyTo", "<wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS "</wsa:Address></wsa:ReplyTo>"},
    };

    for (int missing = 0; missing < 4; missing++) {
        const char *text = "<wsman:ResourceURI>" THING_URI "</wsman:ResourceURI>";
        wsman_answer_t answer;
        const wsman_envelope_t *envelope;

        for (int i = 0; i < 4; i++)
            if (i != missing)
                text = apr_pstrcat(*state, text, headers[i][1], NULL);
        envelope = answer_to(text, "", &answer, *state);
        assert_int_equal(envelope->fault->kind, WSMAN_FAULT_HEADER_REQUIRED);
        assert_string_equal(answer.fault->name, headers[missing][0]);
        assert_non_null(strstr(envelope->fault->reason, headers[missing][0]));
    }
    expect_fault("", WSMAN_FAULT_HEADER_REQUIRED, NULL, *state);
}

static char *repeated(char c, int count, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, (apr_size_t)count + 1);

    memset(text, c, (apr_size_t)count);
    text[count] = '\0';
    return text;
}

/* An answer repeats at most so many bytes, and so does the fault about it. */
static void long_headers_are_refused(void **state)
{
    static const char *const names[] = {"To", "Action", "MessageID"};
    const char *text =
        fixture_wrap(fixture_headers(repeated('a', 2048, *state), THING_URI, *state), "", *state);
    wsman_answer_t answer;

    serve(text, 0, &answer, *state);
    assert_int_equal(answer.fault->kind, WSMAN_FAULT_ACTION_NOT_SUPPORTED);
    for (int i = 0; i < 3; i++) {
        const char *headers = "<wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS "</wsa:Address></wsa:ReplyTo>";

        for (int j = 0; j < 3; j++)
            headers = apr_pstrcat(*state, headers, "<wsa:", names[j], ">",
                                  repeated('b', i == j ? 50000 : 3, *state), "</wsa:", names[j], ">", NULL);
        serve(fixture_wrap(headers, "", *state), 0, &answer, *state);
        assert_int_equal(answer.fault->kind, WSMAN_FAULT_HEADER_INVALID);
        assert_string_equal(answer.fault->name, names[i]);
        assert_true(answer.length < 8192);
    }
}

static void each_header_is_checked(void **state)
{
    static const struct {
        const char *header;
        wsman_fault_e kind;
        const char *detail;
    } cases[] = {
        {"<wsa:FaultTo><wsa:Address>http://elsewhere/</wsa:Address></wsa:FaultTo>",
         WSMAN_FAULT_UNSUPPORTED_FEATURE, "AddressingMode"},
        {"<x:Y xmlns:x=\"urn:x\" s:mustUnderstand=\"true\"/>", WSMAN_FAULT_MUST_UNDERSTAND, NULL},
        {"<x:Y xmlns:x=\"urn:x\" s:mustUnderstand=\"1\"/>", WSMAN_FAULT_MUST_UNDERSTAND, NULL},
        {"<x:Y xmlns:x=\"urn:x\" s:mustUnderstand=\"1\" s:role=\"" WSMAN_URI_SOAP "/role/next\"/>",
         WSMAN_FAULT_MUST_UNDERSTAND, NULL},
        {"<wsman:Locale xml:lang=\"de\" s:mustUnderstand=\"true\"/>", WSMAN_FAULT_UNSUPPORTED_FEATURE,
         "Locale"},
        {"<m:DataLocale xmlns:m=\"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd\" xml:lang=\"fr\" "
         "s:mustUnderstand=\"true\"/>",
         WSMAN_FAULT_UNSUPPORTED_FEATURE, "DataLocale"},
        {"<wsman:MaxEnvelopeSize>8191</wsman:MaxEnvelopeSize>", WSMAN_FAULT_ENCODING_LIMIT,
         "MinimumEnvelopeLimit"},
        {"<wsman:MaxEnvelopeSize>0</wsman:MaxEnvelopeSize>", WSMAN_FAULT_ENCODING_LIMIT,
         "MinimumEnvelopeLimit"},
        {"<wsman:MaxEnvelopeSize>many</wsman:MaxEnvelopeSize>", WSMAN_FAULT_HEADER_INVALID, NULL},
        {"<wsman:MaxEnvelopeSize>-9000</wsman:MaxEnvelopeSize>", WSMAN_FAULT_HEADER_INVALID, NULL},
        {"<wsman:MaxEnvelopeSize/>", WSMAN_FAULT_HEADER_INVALID, NULL},
        {"<wsman:OperationTimeout>60</wsman:OperationTimeout>", WSMAN_FAULT_HEADER_INVALID,
         "OperationTimeout"},
        {"<wsman:OperationTimeout>-PT60S</wsman:OperationTimeout>", WSMAN_FAULT_HEADER_INVALID,
         "OperationTimeout"},
        {"<wsman:OperationTimeout>PT0S</wsman:OperationTimeout>", WSMAN_FAULT_HEADER_INVALID,
         "OperationTimeout"},
        {"<wsman:FragmentTransfer>Text</wsman:FragmentTransfer>", WSMAN_FAULT_UNSUPPORTED_FEATURE,
         "FragmentLevelAccess"},
        {SELECTORS(SELECTOR("Name", "a") SELECTOR("name", "b")), WSMAN_FAULT_INVALID_SELECTORS,
         "DuplicateSelectors"},
        {SELECTORS(SELECTOR("Name", "a") SELECTOR("SystemName", "a") SELECTOR("Color", "b")),
         WSMAN_FAULT_INVALID_SELECTORS, "UnexpectedSelectors"},
        {SELECTORS("<wsman:Selector>a</wsman:Selector>"), WSMAN_FAULT_INVALID_SELECTORS,
         "UnexpectedSelectors"},
        {SELECTORS(SELECTOR("Name", "a")), WSMAN_FAULT_INVALID_SELECTORS, "InsufficientSelectors"},
        {"<wsman:OptionSet s:mustUnderstand=\"true\"><wsman:Option Name=\"a\" MustComply=\"true\"/>"
         "</wsman:OptionSet>",
         WSMAN_FAULT_INVALID_OPTIONS, "InvalidName"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_fault(with(WSMAN_ACTION_GET, THING_URI, cases[i].header, *state), cases[i].kind,
                     cases[i].detail, *state);
}

static void resources_and_actions_are_found(void **state)
{
    expect_fault(with(WSMAN_ACTION_GET, NULL, "", *state), WSMAN_FAULT_DESTINATION_UNREACHABLE,
                 "InvalidResourceURI", *state);
    expect_fault(with(WSMAN_ACTION_GET, "", "", *state), WSMAN_FAULT_DESTINATION_UNREACHABLE,
                 "InvalidResourceURI", *state);
    expect_fault(with(WSMAN_ACTION_GET, THING_URI "2", "", *state), WSMAN_FAULT_DESTINATION_UNREACHABLE,
                 "InvalidResourceURI", *state);
    expect_fault(with(WSMAN_ACTION_PUT, THING_URI, "", *state), WSMAN_FAULT_ACTION_NOT_SUPPORTED, NULL,
                 *state);
    expect_fault(with(THING_URI "/Refuse", ITEM_URI, "", *state), WSMAN_FAULT_ACTION_NOT_SUPPORTED,
                 "ActionMismatch", *state);
    expect_fault(with(WSMAN_ACTION_GET, BASE_URI, "", *state), WSMAN_FAULT_ACTION_NOT_SUPPORTED,
                 "ActionMismatch", *state);
    expect_fault(with(WSMAN_ACTION_GET, ITEM_URI, "", *state), WSMAN_FAULT_INVALID_SELECTORS,
                 "InsufficientSelectors", *state);
    expect_fault(with(WSMAN_ACTION_ENUMERATE, THING_URI, SELECTORS(SELECTOR("Color", "b")), *state),
                 WSMAN_FAULT_INVALID_SELECTORS, "UnexpectedSelectors", *state);
    expect_fault(with(THING_URI "/Refuse", THING_URI, "", *state), WSMAN_FAULT_CONCURRENCY, NULL, *state);
    expect_fault(with(THING_URI "/Break", THING_URI, "", *state), WSMAN_FAULT_INTERNAL, NULL, *state);
}

static void headers_come_once(void **state)
{
    const char *text = fixture_wrap(
        with(WSMAN_ACTION_GET, THING_URI, "<wsa:Action>" WSMAN_ACTION_DELETE "</wsa:Action>", *state), "",
        *state);
    const wsman_envelope_t *envelope;
    const wsman_fault_t *fault = fixture_read(text, &envelope, *state);

    assert_int_equal(fault->kind, WSMAN_FAULT_HEADER_INVALID);
    assert_string_equal(fault->name, "Action");
}

/* The first fault wins: everything is wrong at first, then one thing after the other is corrected, in the order
 * of the checks. */
static void the_first_fault_wins(void **state)
{
    static const struct {
        const char *bad, *good;
        wsman_fault_e kind;
        const char *detail;
    } steps[] = {
        {"", "<wsa:MessageID>1</wsa:MessageID>", WSMAN_FAULT_HEADER_REQUIRED, NULL},
        {"<wsa:ReplyTo><wsa:Address>urn:x</wsa:Address></wsa:ReplyTo>",
         "<wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS "</wsa:Address></wsa:ReplyTo>",
         WSMAN_FAULT_UNSUPPORTED_FEATURE, "AddressingMode"},
        {"<x:Y xmlns:x=\"urn:x\" s:mustUnderstand=\"1\"/>", "", WSMAN_FAULT_MUST_UNDERSTAND, NULL},
        {"<wsman:MaxEnvelopeSize>1</wsman:MaxEnvelopeSize>", "", WSMAN_FAULT_ENCODING_LIMIT,
         "MinimumEnvelopeLimit"},
        {"<wsman:OperationTimeout>x</wsman:OperationTimeout>", "", WSMAN_FAULT_HEADER_INVALID,
         "OperationTimeout"},
        {"<wsman:FragmentTransfer/>", "", WSMAN_FAULT_UNSUPPORTED_FEATURE, "FragmentLevelAccess"},
        {SELECTORS(SELECTOR("A", "") SELECTOR("a", "")), SELECTORS(SELECTOR("A", "")),
         WSMAN_FAULT_INVALID_SELECTORS, "DuplicateSelectors"},
        {"<wsman:ResourceURI>urn:x</wsman:ResourceURI>",
         "<wsman:ResourceURI>" THING_URI "</wsman:ResourceURI>", WSMAN_FAULT_DESTINATION_UNREACHABLE,
         "InvalidResourceURI"},
        {"<wsa:Action>urn:x</wsa:Action>", "<wsa:Action>" THING_URI "/Refuse</wsa:Action>",
         WSMAN_FAULT_ACTION_NOT_SUPPORTED, NULL},
        {"", "", WSMAN_FAULT_INVALID_SELECTORS, "UnexpectedSelectors"}, /* A, from above */
        {"<wsman:OptionSet s:mustUnderstand=\"1\"><wsman:Option Name=\"o\" "
         "MustComply=\"1\"/></wsman:OptionSet>",
         "", WSMAN_FAULT_INVALID_OPTIONS, "InvalidName"},
        {"", "", WSMAN_FAULT_CONCURRENCY, NULL},
    };
    enum { STEPS = sizeof(steps) / sizeof(steps[0]), SELECTOR_STEP = 6, UNEXPECTED_STEP = 9 };

    for (int right = 0; right < STEPS; right++) {
        const char *headers = "<wsa:To>urn:x</wsa:To>";

        for (int i = 0; i < STEPS; i++) {
            if (i == SELECTOR_STEP && right > UNEXPECTED_STEP)
                continue;
            headers = apr_pstrcat(*state, headers, i < right ? steps[i].good : steps[i].bad, NULL);
        }
        expect_fault(headers, steps[right].kind, steps[right].detail, *state);
    }
}

static void answers_keep_the_callers_encoding(void **state)
{
    static const wsman_encoding_t encodings[] = {
        {WSMAN_UTF8, 1}, {WSMAN_UTF16LE, 1}, {WSMAN_UTF16LE, 0}, {WSMAN_UTF16BE, 1}, {WSMAN_UTF16BE, 0}};
    const wsman_envelope_t *sent = fixture_envelope(
        fixture_wrap(fixture_headers(WSMAN_ACTION_GET, THING_URI, *state), "", *state), *state);
    int size = 3;
    const wsman_service_t service = {.operations = operations, .context = &size};

    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
        wsman_envelope_t envelope = *sent;
        const wsman_envelope_t *read;
        wsman_answer_t answer;

        envelope.encoding = encodings[i];
        wsman_serve(&service, &envelope, &answer, *state);
        read = read_answer(&answer, *state);
        assert_null(read->fault);
        assert_int_equal(read->encoding.charset, encodings[i].charset);
        assert_int_equal(read->encoding.bom, encodings[i].bom);
    }
}

/* The length of the answer for a text of this size, or 0 if it was too long. */
static apr_size_t length_for(const char *header, int size, apr_pool_t *pool)
{
    wsman_answer_t answer;

    serve(fixture_wrap(with(WSMAN_ACTION_GET, THING_URI, header, pool), "", pool), size, &answer, pool);
    if (answer.fault == NULL)
        return answer.length;
    assert_int_equal(answer.fault->kind, WSMAN_FAULT_ENCODING_LIMIT);
    assert_string_equal(answer.fault->detail, "MaxEnvelopeSize");
    assert_non_null(strstr(answer.fault->reason, "was carried out")); /* whatever it was */
    assert_int_equal(answer.status, 400);
    assert_true(answer.length < 8192);
    return 0;
}

static void answers_keep_within_the_callers_room(void **state)
{
    static const struct {
        const char *header;
        int limit;
    } cases[] = {
        {"<wsman:MaxEnvelopeSize>8192</wsman:MaxEnvelopeSize>", 8192},
        {"<wsman:MaxEnvelopeSize>51200</wsman:MaxEnvelopeSize>", 51200},
        {"", 32767},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int around = (int)length_for(cases[i].header, 4000, *state) - 4000;

        assert_int_equal(length_for(cases[i].header, cases[i].limit - around, *state), cases[i].limit);
        assert_int_equal(length_for(cases[i].header, cases[i].limit - around + 1, *state), 0);
    }
}

#define EPR                                                                                                  \
    "<wsa:EndpointReference><wsa:Address>urn:a</wsa:Address><wsa:ReferenceParameters><wsman:ResourceURI>"    \
    "urn:r</wsman:ResourceURI></wsa:ReferenceParameters></wsa:EndpointReference>"

/* An association is found by references, everything else by texts. */
static void selectors_are_of_the_keys_type(void **state)
{
    expect_answer(with(WSMAN_ACTION_GET, LINK_URI, SELECTORS(SELECTOR("End", EPR)), *state), *state);
    expect_fault(with(WSMAN_ACTION_GET, LINK_URI, SELECTORS(SELECTOR("End", "x")), *state),
                 WSMAN_FAULT_INVALID_SELECTORS, "TypeMismatch", *state);
    expect_fault(with(WSMAN_ACTION_GET, ITEM_URI, SELECTORS(SELECTOR("InstanceID", EPR)), *state),
                 WSMAN_FAULT_INVALID_SELECTORS, "TypeMismatch", *state);
}

/* DSP0226 R5.4.2-5, but not in a fault, which must fit into the smallest buffer. */
static void reply_parameters_come_back(void **state)
{
    const char *header = apr_pstrcat(
        *state,
        "<wsa:Action>" WSMAN_ACTION_GET "</wsa:Action><wsa:To>urn:t</wsa:To><wsa:MessageID>1</wsa:MessageID>"
        "<wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS "</wsa:Address><wsa:ReferenceParameters>"
        "<x:Route xmlns:x=\"urn:x\" hop=\"1\"><x:Via>&lt;a&gt;</x:Via></x:Route><y:More xmlns:y=\"urn:y\"/>"
        "</wsa:ReferenceParameters></wsa:ReplyTo>",
        NULL);
    wsman_answer_t answer;
    const wsman_element_t *route;
    const wsman_envelope_t *envelope =
        answer_to(apr_pstrcat(*state, header, "<wsman:ResourceURI>" THING_URI "</wsman:ResourceURI>", NULL),
                  "", &answer, *state);

    assert_int_equal(answer.status, 200);
    route = wsman_child(envelope->header, "urn:x", "Route");
    assert_non_null(route);
    assert_string_equal(wsman_attribute(route, "", "hop"), "1");
    assert_string_equal(wsman_child_text(route, "urn:x", "Via", *state), "<a>");
    assert_non_null(wsman_child(envelope->header, "urn:y", "More"));
    envelope = answer_to(header, "", &answer, *state);
    assert_non_null(envelope->fault);
    assert_null(wsman_child(envelope->header, "urn:x", "Route"));
}

/* A peer may put its names into no namespace, or into XML's own, for which no prefix can be declared. */
static void names_in_any_namespace_come_back(void **state)
{
    wsman_answer_t answer;
    const wsman_envelope_t *envelope;
    const char *to = "<wsa:Action>" WSMAN_ACTION_GET "</wsa:Action><wsa:To>urn:t</wsa:To><wsa:MessageID>1"
                     "</wsa:MessageID><wsman:ResourceURI>" THING_URI "</wsman:ResourceURI>";
    const char *reply =
        "<wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS
        "</wsa:Address><wsa:ReferenceParameters><plain><xml:odd/></plain><xml:more>1</xml:more>"
        "</wsa:ReferenceParameters></wsa:ReplyTo>";

    envelope = answer_to(apr_pstrcat(*state, to, reply, NULL), "", &answer, *state);
    assert_int_equal(answer.status, 200);
    assert_non_null(wsman_child(wsman_child(envelope->header, "", "plain"), WSMAN_URI_XML, "odd"));
    assert_string_equal(wsman_child_text(envelope->header, WSMAN_URI_XML, "more", *state), "1");
    envelope = answer_to(with(WSMAN_ACTION_GET, THING_URI, "<xml:odd s:mustUnderstand=\"1\"/>", *state), "",
                         &answer, *state);
    assert_int_equal(envelope->fault->kind, WSMAN_FAULT_MUST_UNDERSTAND);
    assert_string_equal(wsman_attribute(wsman_child(envelope->header, NULL, "NotUnderstood"), "", "qname"),
                        "xml:odd");
    envelope = answer_to(with(WSMAN_ACTION_GET, THING_URI, "<odd s:mustUnderstand=\"1\"/>", *state), "",
                         &answer, *state);
    assert_string_equal(wsman_attribute(wsman_child(envelope->header, NULL, "NotUnderstood"), "", "qname"),
                        "odd");
}

/* EndpointUnavailable becomes a time-out if the caller's time is over, and still says what is certain. */
static void impatient_callers_are_told_so(void **state)
{
    wsman_answer_t answer;

#define TIMEOUT(text) "<wsman:OperationTimeout>" text "</wsman:OperationTimeout>"
    expect_fault(with(THING_URI "/Wait", THING_URI, TIMEOUT("PT0.001S"), *state), WSMAN_FAULT_TIMED_OUT, NULL,
                 *state);
    expect_fault(with(THING_URI "/Wait", THING_URI, TIMEOUT("PT60S"), *state),
                 WSMAN_FAULT_ENDPOINT_UNAVAILABLE, NULL, *state);
    expect_fault(with(THING_URI "/Wait", THING_URI, "", *state), WSMAN_FAULT_ENDPOINT_UNAVAILABLE, NULL,
                 *state);
    expect_fault(with(THING_URI "/Refuse", THING_URI, TIMEOUT("PT0.000001S"), *state),
                 WSMAN_FAULT_CONCURRENCY, NULL, *state);
    answer_to(with(THING_URI "/Wait", THING_URI, TIMEOUT("PT0.001S"), *state), "", &answer, *state);
    assert_non_null(strstr(answer.fault->reason, "cannot answer now"));
}

static void selector_values(void **state)
{
    const wsman_envelope_t *envelope = fixture_envelope(
        fixture_wrap(SELECTORS(SELECTOR("InstanceID", " a b ") SELECTOR("Empty", "")), "", *state), *state);

    assert_string_equal(wsman_selector_value(envelope, "instanceid"), "a b");
    assert_string_equal(wsman_selector_value(envelope, "EMPTY"), "");
    assert_null(wsman_selector_value(envelope, "Other"));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_get_is_answered),
        TEST(clients_may_be_lax),
        TEST(identify),
        TEST(identify_tells_a_stranger_little),
        TEST(identify_still_understands),
        TEST(headers_are_required),
        TEST(long_headers_are_refused),
        TEST(each_header_is_checked),
        TEST(resources_and_actions_are_found),
        TEST(headers_come_once),
        TEST(the_first_fault_wins),
        TEST(answers_keep_the_callers_encoding),
        TEST(answers_keep_within_the_callers_room),
        TEST(selectors_are_of_the_keys_type),
        TEST(reply_parameters_come_back),
        TEST(names_in_any_namespace_come_back),
        TEST(impatient_callers_are_told_so),
        TEST(selector_values),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup, fixture_group_teardown);
}
