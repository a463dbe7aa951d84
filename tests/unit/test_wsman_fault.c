/* SPDX-License-Identifier: Apache-2.0 */
/* Faults: the table, what is written, and what is read back, also from devices. */
#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wsman/dispatch.h"
#include "wsman/names.h"
#include "wsman_fixture.h"

/* By the standards, independent of the table in fault.c. */
static const struct {
    wsman_fault_e kind;
    int status;
    const char *code;
    const char *subcode;
    const char *action;
} expected[] = {
    {WSMAN_FAULT_VERSION_MISMATCH, 500, "VersionMismatch", "", WSMAN_URI_WSA "/fault"},
    {WSMAN_FAULT_MUST_UNDERSTAND, 500, "MustUnderstand", "", WSMAN_URI_WSA "/fault"},
#define WSMAN_ACTION "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
    {WSMAN_FAULT_SCHEMA_VALIDATION, 400, "Sender", "wsman:SchemaValidationError", WSMAN_ACTION},
    {WSMAN_FAULT_HEADER_REQUIRED, 400, "Sender", "wsa:MessageInformationHeaderRequired",
     WSMAN_URI_WSA "/fault"},
    {WSMAN_FAULT_HEADER_INVALID, 400, "Sender", "wsa:InvalidMessageInformationHeader",
     WSMAN_URI_WSA "/fault"},
    {WSMAN_FAULT_ACTION_NOT_SUPPORTED, 400, "Sender", "wsa:ActionNotSupported", WSMAN_URI_WSA "/fault"},
    {WSMAN_FAULT_DESTINATION_UNREACHABLE, 400, "Sender", "wsa:DestinationUnreachable",
     WSMAN_URI_WSA "/fault"},
    {WSMAN_FAULT_ENDPOINT_UNAVAILABLE, 500, "Receiver", "wsa:EndpointUnavailable", WSMAN_URI_WSA "/fault"},
    {WSMAN_FAULT_ACCESS_DENIED, 403, "Sender", "wsman:AccessDenied", WSMAN_ACTION},
    {WSMAN_FAULT_CONCURRENCY, 400, "Sender", "wsman:Concurrency", WSMAN_ACTION},
    {WSMAN_FAULT_ENCODING_LIMIT, 400, "Sender", "wsman:EncodingLimit", WSMAN_ACTION},
    {WSMAN_FAULT_INTERNAL, 500, "Receiver", "wsman:InternalError", WSMAN_ACTION},
    {WSMAN_FAULT_INVALID_OPTIONS, 400, "Sender", "wsman:InvalidOptions", WSMAN_ACTION},
    {WSMAN_FAULT_INVALID_PARAMETER, 400, "Sender", "wsman:InvalidParameter", WSMAN_ACTION},
    {WSMAN_FAULT_INVALID_SELECTORS, 400, "Sender", "wsman:InvalidSelectors", WSMAN_ACTION},
    {WSMAN_FAULT_QUOTA_LIMIT, 400, "Sender", "wsman:QuotaLimit", WSMAN_ACTION},
    {WSMAN_FAULT_TIMED_OUT, 500, "Receiver", "wsman:TimedOut", WSMAN_ACTION},
    {WSMAN_FAULT_UNSUPPORTED_FEATURE, 400, "Sender", "wsman:UnsupportedFeature", WSMAN_ACTION},
    {WSMAN_FAULT_INVALID_REPRESENTATION, 400, "Sender", "wxf:InvalidRepresentation", WSMAN_URI_WXF "/fault"},
    {WSMAN_FAULT_CANNOT_PROCESS_FILTER, 400, "Sender", "wsen:CannotProcessFilter", WSMAN_URI_WSEN "/fault"},
    {WSMAN_FAULT_ENUMERATION_CONTEXT, 500, "Receiver", "wsen:InvalidEnumerationContext",
     WSMAN_URI_WSEN "/fault"},
    {WSMAN_FAULT_ENUMERATION_TIMED_OUT, 500, "Receiver", "wsen:TimedOut", WSMAN_URI_WSEN "/fault"},
    {WSMAN_FAULT_EXPIRATION_TIME, 400, "Sender", "wsen:InvalidExpirationTime", WSMAN_URI_WSEN "/fault"},
    {WSMAN_FAULT_EXPIRATION_TYPE, 400, "Sender", "wsen:UnsupportedExpirationType", WSMAN_URI_WSEN "/fault"},
    {WSMAN_FAULT_FILTERING_NOT_SUPPORTED, 400, "Sender", "wsen:FilteringNotSupported",
     WSMAN_URI_WSEN "/fault"},
    {WSMAN_FAULT_FILTER_DIALECT, 400, "Sender", "wsen:FilterDialectRequestedUnavailable",
     WSMAN_URI_WSEN "/fault"},
    {WSMAN_FAULT_POLYMORPHISM, 400, "Sender", "wsmb:PolymorphismModeNotSupported",
     "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/fault"},
    {WSMAN_FAULT_OTHER, 500, "Receiver", "", WSMAN_ACTION},
};

static void every_kind_is_in_the_table(void **state)
{
    assert_int_equal(sizeof(expected) / sizeof(expected[0]), WSMAN_FAULT_KINDS);
    for (int i = 0; i < WSMAN_FAULT_KINDS; i++) {
        wsman_fault_e kind = expected[i].kind;
        const wsman_fault_t *fault = wsman_fault(*state, kind, NULL, NULL);

        assert_int_equal(kind, i);
        assert_string_equal(wsman_fault_code(kind), expected[i].code);
        assert_string_equal(wsman_fault_subcode(kind), expected[i].subcode);
        assert_string_equal(wsman_fault_action(kind), expected[i].action);
        assert_int_equal(fault->status, expected[i].status);
        assert_int_equal(fault->kind, kind);
        assert_true(strlen(fault->reason) > 10);
    }
}

static const wsman_envelope_t *answered(const wsman_fault_t *fault, wsman_encoding_t encoding,
                                        wsman_answer_t *answer, apr_pool_t *pool)
{
    const wsman_envelope_t *envelope = NULL;
    const wsman_fault_t *refused;

    wsman_answer_fault(fault, encoding, "uuid:the-request", answer, pool);
    refused =
        fixture_read_bytes(answer->bytes, answer->length, 0, NULL, &wsman_limits_default, &envelope, pool);
    if (refused != NULL)
        fail_msg("%s", refused->reason);
    return envelope;
}

/* What is written reads as the same fault. */
static void every_kind_survives_the_round_trip(void **state)
{
    static const wsman_encoding_t encodings[] = {
        {WSMAN_UTF8, 0}, {WSMAN_UTF8, 1}, {WSMAN_UTF16LE, 1}, {WSMAN_UTF16LE, 0}, {WSMAN_UTF16BE, 1}};

    for (int kind = 0; kind < WSMAN_FAULT_OTHER; kind++) {
        wsman_encoding_t encoding = encodings[kind % 5];
        const wsman_fault_t *fault = wsman_fault(*state, (wsman_fault_e)kind, "InvalidValue",
                                                 "A sentence <with> \"marks\" & \xE2\x82\xAC.");
        wsman_answer_t answer;
        const wsman_envelope_t *envelope = answered(fault, encoding, &answer, *state);

        assert_int_equal(answer.status, fault->status);
        assert_ptr_equal(answer.fault, fault);
        assert_string_equal(answer.content_type, encoding.charset == WSMAN_UTF8
                                                     ? "application/soap+xml;charset=UTF-8"
                                                     : "application/soap+xml;charset=UTF-16");
        assert_int_equal(envelope->encoding.charset, encoding.charset);
        assert_int_equal(envelope->encoding.bom, encoding.bom);
        assert_string_equal(envelope->action, expected[kind].action);
        assert_string_equal(envelope->relates_to, "uuid:the-request");
        assert_string_equal(envelope->to, WSMAN_URI_ANONYMOUS);
        assert_int_equal(envelope->fault->kind, kind);
        assert_string_equal(envelope->fault->reason, fault->reason);
        assert_string_equal(envelope->fault->detail, "InvalidValue");
    }
}

/* Some consoles compare these as text. */
static void the_text_of_a_fault(void **state)
{
    const wsman_fault_t *fault =
        wsman_fault(*state, WSMAN_FAULT_INVALID_SELECTORS, "InsufficientSelectors", "The reason.");
    wsman_answer_t answer;
    const char *text;

    answered(fault, fixture_utf8, &answer, *state);
    text = apr_pstrmemdup(*state, answer.bytes, answer.length);
    assert_non_null(strstr(
        text,
        "<s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>wsman:InvalidSelectors"
        "</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang=\"en-US\">The reason.</s:Text></s:Reason>"
        "<s:Detail><wsman:FaultDetail>http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/"
        "InsufficientSelectors</wsman:FaultDetail></s:Detail></s:Fault></s:Body></s:Envelope>"));
    assert_non_null(strstr(text, " xmlns:wsman=\"" WSMAN_URI_WSMAN "\""));
    assert_null(strstr(text, "xmlns:wsen"));
    assert_true(strncmp(text, "<s:Envelope ", 12) == 0);
}

static void retry_after_is_milliseconds(void **state)
{
    wsman_fault_t *fault = wsman_fault(*state, WSMAN_FAULT_ENDPOINT_UNAVAILABLE, NULL, NULL);
    wsman_answer_t answer;
    const wsman_envelope_t *envelope;

    fault->retry_after = 3;
    envelope = answered(fault, fixture_utf8, &answer, *state);
    assert_non_null(
        strstr(apr_pstrmemdup(*state, answer.bytes, answer.length), "<wsa:RetryAfter>3000</wsa:RetryAfter>"));
    assert_int_equal(envelope->fault->retry_after, 3);
}

static void headers_are_named(void **state)
{
    wsman_fault_t *fault = wsman_fault(*state, WSMAN_FAULT_HEADER_REQUIRED, NULL, NULL);
    wsman_answer_t answer;
    const wsman_envelope_t *envelope;

    fault->name_ns = WSMAN_URI_WSA;
    fault->name = "MessageID";
    envelope = answered(fault, fixture_utf8, &answer, *state);
    assert_non_null(
        wsman_child(wsman_child(envelope->body->child, NULL, "Detail"), WSMAN_URI_WSA, "MessageID"));

    fault = wsman_fault(*state, WSMAN_FAULT_ACTION_NOT_SUPPORTED, NULL, NULL);
    fault->name = "urn:action";
    envelope = answered(fault, fixture_utf8, &answer, *state);
    assert_string_equal(
        wsman_child_text(wsman_child(envelope->body->child, NULL, "Detail"), WSMAN_URI_WSA, "Action", *state),
        "urn:action");

    fault = wsman_fault(*state, WSMAN_FAULT_MUST_UNDERSTAND, NULL, NULL);
    fault->name_ns = "urn:security";
    fault->name = "Security";
    envelope = answered(fault, fixture_utf8, &answer, *state);
    assert_string_equal(envelope->fault->name_ns, "urn:security");
    assert_string_equal(envelope->fault->name, "Security");
    assert_null(wsman_child(envelope->body->child, NULL, "Detail"));

    fault = wsman_fault(*state, WSMAN_FAULT_VERSION_MISMATCH, NULL, NULL);
    envelope = answered(fault, fixture_utf8, &answer, *state);
    assert_string_equal(wsman_attribute(wsman_child(wsman_child(envelope->header, WSMAN_URI_SOAP, "Upgrade"),
                                                    WSMAN_URI_SOAP, "SupportedEnvelope"),
                                        "", "qname"),
                        "s:Envelope");
}

/* A fault can be written whatever a caller put into it. */
static void faults_can_always_be_written(void **state)
{
    wsman_fault_t *fault =
        wsman_fault(*state, WSMAN_FAULT_INTERNAL, NULL, "bad \xC3( and \x01 and cut \xE2\x82");
    wsman_answer_t answer;
    const wsman_envelope_t *envelope = answered(fault, fixture_utf8, &answer, *state);

    assert_string_equal(envelope->fault->reason, "bad ?( and ? and cut ??");

    fault = wsman_fault(*state, WSMAN_FAULT_ACTION_NOT_SUPPORTED, NULL, NULL);
    fault->name = "\xFF";
    envelope = answered(wsman_fault(*state, WSMAN_FAULT_INTERNAL, NULL, NULL), fixture_utf8, &answer, *state);
    wsman_answer_fault(fault, fixture_utf8, "\x02", &answer, *state);
    assert_int_equal(answer.status, 400);
    assert_ptr_equal(answer.fault, fault);
    assert_null(
        fixture_read_bytes(answer.bytes, answer.length, 0, NULL, &wsman_limits_default, &envelope, *state));
    assert_int_equal(envelope->fault->kind, WSMAN_FAULT_ACTION_NOT_SUPPORTED);
}

static void a_status_of_its_own_is_kept(void **state)
{
    wsman_fault_t *fault = wsman_fault(*state, WSMAN_FAULT_ENCODING_LIMIT, "ServiceEnvelopeLimit", NULL);
    wsman_answer_t answer;

    fault->status = 413;
    answered(fault, fixture_utf8, &answer, *state);
    assert_int_equal(answer.status, 413);
}

/* ---- faults of devices -------------------------------------------------------------------------------- */

/* As Intel AMT firmware lays out its envelopes: prefixes by the alphabet, spaces behind '='. */
static const wsman_fault_t *from_device(const char *code, const char *rest, apr_pool_t *pool)
{
    const char *text = apr_pstrcat(
        pool,
        "<?xml version= \"1.0\" encoding= \"UTF-8\"?>\n<a:Envelope xmlns:a= \"" WSMAN_URI_SOAP
        "\"\n    xmlns:b= \"" WSMAN_URI_WSA "\" xmlns:c= \"" WSMAN_URI_WSMAN "\" xmlns:xsi= \"" WSMAN_URI_XSI
        "\">\n  <a:Header>\n    <b:To>" WSMAN_URI_ANONYMOUS
        "</b:To>\n    <b:RelatesTo>7</b:RelatesTo>\n    <b:Action a:mustUnderstand= \"true\">\n      "
        " " WSMAN_URI_WSA
        "/fault</b:Action>\n    <b:MessageID>uuid:00000000-8086-8086-8086-0000000000A1</b:MessageID>\n"
        "  </a:Header>\n  <a:Body>\n    <a:Fault><a:Code>",
        code, "</a:Code>", rest, "</a:Fault>\n  </a:Body>\n</a:Envelope>\n", NULL);
    const wsman_envelope_t *envelope = fixture_envelope(text, pool);

    assert_string_equal(envelope->relates_to, "7");
    assert_string_equal(envelope->action, WSMAN_URI_WSA "/fault");
    assert_null(envelope->not_understood);
    assert_non_null(envelope->fault);
    return envelope->fault;
}

static void a_device_refuses_a_resource(void **state)
{
    const wsman_fault_t *fault = from_device(
        "<a:Value>a:Sender</a:Value><a:Subcode><a:Value>b:DestinationUnreachable</a:Value></a:Subcode>",
        "<a:Reason><a:Text xml:lang= \"en-US\">No route\n   to "
        "the\tresource.</a:Text></a:Reason><a:Detail></a:Detail>",
        *state);

    assert_int_equal(fault->kind, WSMAN_FAULT_DESTINATION_UNREACHABLE);
    assert_string_equal(fault->subcode, "DestinationUnreachable");
    assert_string_equal(fault->reason, "No route to the resource.");
    assert_null(fault->detail);
}

static void a_device_gives_detail(void **state)
{
    const wsman_fault_t *fault = from_device(
        "<a:Value>a:Sender</a:Value><a:Subcode><a:Value> c:InvalidParameter\n</a:Value></a:Subcode>",
        "<a:Reason><a:Text xml:lang=\"de\">Nein.</a:Text><a:Text xml:lang=\"en\">No.</a:Text></a:Reason>"
        "<a:Detail><c:FaultDetail>" WSMAN_URI_FAULT_DETAIL "InvalidValue</c:FaultDetail></a:Detail>",
        *state);

    assert_int_equal(fault->kind, WSMAN_FAULT_INVALID_PARAMETER);
    assert_string_equal(fault->detail, "InvalidValue");
    assert_string_equal(fault->reason, "No.");
}

static void a_device_is_vague(void **state)
{
    const wsman_fault_t *fault = from_device("<a:Value>a:Receiver</a:Value>", "", *state);

    assert_int_equal(fault->kind, WSMAN_FAULT_OTHER);
    assert_null(fault->subcode);
    assert_string_equal(fault->reason, "The peer answered with a fault.");

    fault = from_device("<a:Value>a:Sender</a:Value><a:Subcode><a:Value>c:Strange</a:Value></a:Subcode>", "",
                        *state);
    assert_int_equal(fault->kind, WSMAN_FAULT_OTHER);
    assert_string_equal(fault->subcode, "Strange");

    /* an undeclared prefix */
    fault = from_device("<a:Value>a:Sender</a:Value><a:Subcode><a:Value>z:AccessDenied</a:Value></a:Subcode>",
                        "", *state);
    assert_int_equal(fault->kind, WSMAN_FAULT_OTHER);
    assert_null(fault->subcode);

    fault = from_device("", "", *state);
    assert_int_equal(fault->kind, WSMAN_FAULT_OTHER);
}

static void subcodes_may_nest(void **state)
{
    const wsman_fault_t *fault = from_device(
        "<a:Value>a:Sender</a:Value><a:Subcode><a:Value>c:Strange</a:Value><a:Subcode><a:Value>c:AccessDenied"
        "</a:Value></a:Subcode></a:Subcode>",
        "", *state);

    assert_int_equal(fault->kind, WSMAN_FAULT_ACCESS_DENIED);
    assert_string_equal(fault->subcode, "AccessDenied");
}

static void a_device_says_when_to_come_back(void **state)
{
    static const struct {
        const char *text;
        int seconds;
    } cases[] = {{"1500", 2}, {"0", 0}, {"-1", 0}, {"soon", 0}, {"99999999999", 0}, {"2147483647", 2147484}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const wsman_fault_t *fault = from_device(
            "<a:Value>a:Receiver</a:Value><a:Subcode><a:Value>b:EndpointUnavailable</a:Value></a:Subcode>",
            apr_pstrcat(*state, "<a:Detail><b:RetryAfter>", cases[i].text, "</b:RetryAfter></a:Detail>",
                        NULL),
            *state);

        assert_int_equal(fault->retry_after, cases[i].seconds);
    }
}

static void a_limit_says_when_to_come_back(void **state)
{
    const wsman_fault_t *fault =
        from_device("<a:Value>a:Sender</a:Value><a:Subcode><a:Value>c:QuotaLimit</a:Value></a:Subcode>",
                    "<a:Detail><b:RetryAfter>3000</b:RetryAfter></a:Detail>", *state);

    assert_int_equal(fault->kind, WSMAN_FAULT_QUOTA_LIMIT);
    assert_int_equal(fault->retry_after, 3);
}

/* A device's reason goes to logs and consoles: it is short and printable. */
static void long_reasons_are_cut(void **state)
{
    char *text = apr_palloc(*state, 3001);
    const wsman_fault_t *fault;

    for (size_t i = 0; i < 1500; i++)
        memcpy(text + 2 * i, "\xC3\xA9", 2);
    text[3000] = '\0';
    fault = from_device("", apr_pstrcat(*state, "<a:Reason><a:Text>x", text, "</a:Text></a:Reason>", NULL),
                        *state);
    assert_int_equal(strlen(fault->reason), 503);
    assert_string_equal(fault->reason + 499, "?...");
}

/* A device is not trusted with an operator's terminal: CSI is a single character of C1. */
static void words_of_a_device_give_no_orders(void **state)
{
    const wsman_fault_t *fault = from_device(
        "<a:Value>a:Sender</a:Value><a:Subcode><a:Value>c:A\xC2\x9B"
        "B</a:Value></a:Subcode>",
        "<a:Reason><a:Text>\xC2\x9B"
        "2J\x7F "
        "\xC2\xA0\xC3\x9B</a:Text></a:Reason><a:Detail><c:FaultDetail>x/\xC2\x80</c:FaultDetail></a:Detail>",
        *state);

    assert_string_equal(fault->reason, "??2J? \xC2\xA0\xC3\x9B");
    assert_string_equal(fault->subcode, "A??B");
    assert_string_equal(fault->detail, "??");
}

static void subcodes_of_other_namespaces_are_not_ours(void **state)
{
    (void)state;
    assert_int_equal(wsman_fault_of_subcode(WSMAN_URI_WSMAN, "TimedOut"), WSMAN_FAULT_TIMED_OUT);
    assert_int_equal(wsman_fault_of_subcode(WSMAN_URI_WSEN, "TimedOut"), WSMAN_FAULT_ENUMERATION_TIMED_OUT);
    assert_int_equal(wsman_fault_of_subcode("urn:x", "TimedOut"), WSMAN_FAULT_OTHER);
    assert_int_equal(wsman_fault_of_subcode("", ""), WSMAN_FAULT_OTHER);
    assert_int_equal(wsman_fault_of_subcode(WSMAN_URI_WSMAN, "CannotProcessFilter"),
                     WSMAN_FAULT_CANNOT_PROCESS_FILTER);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_kind_is_in_the_table),
        TEST(every_kind_survives_the_round_trip),
        TEST(the_text_of_a_fault),
        TEST(retry_after_is_milliseconds),
        TEST(headers_are_named),
        TEST(faults_can_always_be_written),
        TEST(a_status_of_its_own_is_kept),
        TEST(a_device_refuses_a_resource),
        TEST(a_device_gives_detail),
        TEST(a_device_is_vague),
        TEST(subcodes_may_nest),
        TEST(a_device_says_when_to_come_back),
        TEST(a_limit_says_when_to_come_back),
        TEST(long_reasons_are_cut),
        TEST(words_of_a_device_give_no_orders),
        TEST(subcodes_of_other_namespaces_are_not_ours),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup, fixture_group_teardown);
}
