/* SPDX-License-Identifier: Apache-2.0 */
/* Writing envelopes: requests that the reader reads back, properties, references, and what cannot be written.
 */
#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wsman/values.h"
#include "wsman/writer.h"
#include "wsman_fixture.h"

#define JOB_URI WSMAN_URI_CIM_CLASS "CIM_ConcreteJob"

static const char *finished(wsman_writer_t *writer, apr_pool_t *pool)
{
    const char *bytes;
    apr_size_t length;

    assert_int_equal(wsman_writer_finish(writer, fixture_utf8, &bytes, &length), APR_SUCCESS);
    return apr_pstrmemdup(pool, bytes, length);
}

static const wsman_envelope_t *read_back(wsman_writer_t *writer, wsman_encoding_t encoding, apr_pool_t *pool)
{
    const wsman_envelope_t *envelope;
    const char *bytes;
    apr_size_t length;

    assert_int_equal(wsman_writer_finish(writer, encoding, &bytes, &length), APR_SUCCESS);
    assert_null(fixture_read_bytes(bytes, length, 0, NULL, &wsman_limits_default, &envelope, pool));
    return envelope;
}

static void a_request_reads_back(void **state)
{
    static const wsman_encoding_t encodings[] = {{WSMAN_UTF8, 0},    {WSMAN_UTF8, 1},    {WSMAN_UTF16LE, 0},
                                                 {WSMAN_UTF16LE, 1}, {WSMAN_UTF16BE, 0}, {WSMAN_UTF16BE, 1}};
    wsman_selector_t second = {.name = "Name", .value = "Intel(r) AMT <\xE2\x82\xAC> \"&\" \xF0\x9F\x94\x91"};
    wsman_selector_t first = {.name = "SystemName", .value = "", .next = &second};
    const wsman_request_headers_t headers = {.to = "/wsman",
                                             .action = WSMAN_ACTION_GET,
                                             .resource_uri = JOB_URI,
                                             .selectors = &first,
                                             .message_id = "7",
                                             .operation_timeout = 60,
                                             .max_envelope_size = 51200};

    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++) {
        wsman_writer_t *writer = wsman_writer_create(*state);
        const wsman_envelope_t *envelope;

        wsman_request_begin(writer, &headers);
        envelope = read_back(writer, encodings[i], *state);
        assert_string_equal(envelope->to, "/wsman");
        assert_string_equal(envelope->action, WSMAN_ACTION_GET);
        assert_string_equal(envelope->resource_uri, JOB_URI);
        assert_string_equal(envelope->message_id, "7");
        assert_string_equal(envelope->reply_to, WSMAN_URI_ANONYMOUS);
        assert_string_equal(envelope->operation_timeout, "PT60S");
        assert_string_equal(envelope->max_envelope_size, "51200");
        assert_string_equal(envelope->selectors->name, "SystemName");
        assert_string_equal(envelope->selectors->value, "");
        assert_string_equal(envelope->selectors->next->value, second.value);
        assert_null(envelope->selectors->next->next);
        assert_null(envelope->body->child);
        assert_null(envelope->not_understood);
        assert_int_equal(envelope->encoding.bom, encodings[i].bom);
    }
}

static void a_short_request_has_few_headers(void **state)
{
    const wsman_request_headers_t headers = {.action = WSMAN_ACTION_GET};
    wsman_writer_t *writer = wsman_writer_create(*state);
    const wsman_envelope_t *envelope;

    wsman_request_begin(writer, &headers);
    envelope = read_back(writer, fixture_utf8, *state);
    assert_null(envelope->to);
    assert_null(envelope->resource_uri);
    assert_null(envelope->operation_timeout);
    assert_null(envelope->max_envelope_size);
    assert_false(envelope->has_selector_set);
    assert_true(wsman_is_uuid(envelope->message_id, NULL, *state));
    assert_true(strncmp(envelope->message_id, "uuid:", 5) == 0);
}

static void identify_has_an_empty_header(void **state)
{
    const wsman_request_headers_t headers = {0};
    wsman_writer_t *writer = wsman_writer_create(*state);

    wsman_request_begin(writer, &headers);
    wsman_element(writer, WSMAN_NS_WSMID, "Identify", NULL);
    assert_string_equal(finished(writer, *state),
                        "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP "\" xmlns:wsmid=\"" WSMAN_URI_WSMID
                        "\"><s:Header/><s:Body><wsmid:Identify/></s:Body></s:Envelope>");
}

static void properties(void **state)
{
    wsman_writer_t *writer = wsman_writer_create(*state);

    wsman_response_begin(writer, NULL, NULL);
    wsman_start_class(writer, "urn:c", "C");
    wsman_property(writer, "Text", "a<b>&\"c\"");
    wsman_property(writer, "Empty", "");
    wsman_property(writer, "Null", NULL);
    wsman_property_uint(writer, "Number", APR_UINT64_MAX);
    wsman_property_bool(writer, "Yes", 2);
    wsman_property_bool(writer, "No", 0);
    wsman_property_datetime(writer, "Start", apr_time_from_sec(1795288372));
    wsman_property_datetime(writer, "Never", 0);
    wsman_property_interval(writer, "Elapsed", apr_time_from_sec(5));
    wsman_property_interval(writer, "Zero", 0);
    wsman_property_interval(writer, "Unknown", -1);
    wsman_end(writer);
    assert_non_null(strstr(
        finished(writer, *state),
        "<s:Body><p:C xmlns:p=\"urn:c\"><p:Text>a&lt;b&gt;&amp;&quot;c&quot;</p:Text><p:Empty></p:Empty>"
        "<p:Null "
        "xsi:nil=\"true\"/><p:Number>18446744073709551615</p:Number><p:Yes>true</p:Yes><p:No>false</p:No>"
        "<p:Start><cim:Datetime>2026-11-21T19:12:52Z</cim:Datetime></p:Start><p:Never xsi:nil=\"true\"/>"
        "<p:Elapsed><cim:Interval>PT5S</cim:Interval></p:Elapsed><p:Zero><cim:Interval>PT0S</cim:Interval></"
        "p:Zero>"
        "<p:Unknown xsi:nil=\"true\"/></p:C></s:Body>"));
}

static void nil_reads_back(void **state)
{
    wsman_writer_t *writer = wsman_writer_create(*state);
    const wsman_element_t *instance;

    wsman_response_begin(writer, "uuid:x", "urn:a");
    wsman_start_class(writer, "urn:c", "C");
    wsman_property_nil(writer, "A");
    wsman_property(writer, "B", "b");
    wsman_end(writer);
    instance = read_back(writer, fixture_utf8, *state)->body->child;
    assert_true(wsman_is_nil(wsman_child(instance, "urn:c", "A")));
    assert_false(wsman_is_nil(wsman_child(instance, "urn:c", "B")));
    assert_false(wsman_is_nil(NULL));
}

/* p means the class of the innermost element that opened one. */
static void classes_nest(void **state)
{
    wsman_writer_t *writer = wsman_writer_create(*state);
    const wsman_element_t *outer;

    wsman_response_begin(writer, NULL, "urn:a");
    wsman_start_class(writer, "urn:outer", "Outer");
    wsman_start_class(writer, "urn:inner", "Inner");
    wsman_property(writer, "X", "1");
    wsman_end(writer);
    wsman_property(writer, "Y", "2");
    wsman_end(writer);
    outer = read_back(writer, fixture_utf8, *state)->body->child;
    assert_string_equal(outer->ns, "urn:outer");
    assert_string_equal(wsman_child_text(wsman_child(outer, "urn:inner", "Inner"), "urn:inner", "X", *state),
                        "1");
    assert_string_equal(wsman_child_text(outer, "urn:outer", "Y", *state), "2");
}

static void a_response_relates(void **state)
{
    wsman_writer_t *writer = wsman_writer_create(*state);
    const wsman_envelope_t *one, *other;

    wsman_response_begin(writer, "0", "urn:action");
    one = read_back(writer, fixture_utf8, *state);
    writer = wsman_writer_create(*state);
    wsman_response_begin(writer, "0", "urn:action");
    other = read_back(writer, fixture_utf8, *state);
    assert_string_equal(one->relates_to, "0");
    assert_string_equal(one->to, WSMAN_URI_ANONYMOUS);
    assert_string_equal(one->action, "urn:action");
    assert_true(wsman_is_uuid(one->message_id, NULL, *state));
    assert_string_not_equal(one->message_id, other->message_id);
}

static void references(void **state)
{
    const wsman_selector_t key = {.name = "InstanceID", .value = "amtunlock:a"};
    wsman_writer_t *writer = wsman_writer_create(*state);

    wsman_response_begin(writer, NULL, NULL);
    wsman_start_class(writer, "urn:c", "Job");
    wsman_write_epr(writer, JOB_URI, &key);
    wsman_end(writer);
    wsman_start_class(writer, "urn:c", "None");
    wsman_write_epr(writer, JOB_URI, NULL);
    wsman_end(writer);
    assert_non_null(strstr(
        finished(writer, *state),
        "<p:Job xmlns:p=\"urn:c\"><wsa:Address>" WSMAN_URI_ANONYMOUS "</wsa:Address><wsa:ReferenceParameters>"
        "<wsman:ResourceURI>" JOB_URI
        "</wsman:ResourceURI><wsman:SelectorSet><wsman:Selector Name=\"InstanceID\">"
        "amtunlock:a</wsman:Selector></wsman:SelectorSet></wsa:ReferenceParameters></p:Job>"
        "<p:None xmlns:p=\"urn:c\"><wsa:Address>" WSMAN_URI_ANONYMOUS
        "</wsa:Address><wsa:ReferenceParameters>"
        "<wsman:ResourceURI>" JOB_URI "</wsman:ResourceURI></wsa:ReferenceParameters></p:None>"));
}

/* A reference as selector, as associations have them. */
static void references_as_selectors_read_back(void **state)
{
    const char *header =
        "<wsman:SelectorSet><wsman:Selector Name=\"Antecedent\"><wsa:EndpointReference><wsa:Address>urn:a"
        "</wsa:Address><wsa:ReferenceParameters><wsman:ResourceURI>urn:r</"
        "wsman:ResourceURI><wsman:SelectorSet>"
        "<wsman:Selector Name=\"K\">&lt;v&gt;</wsman:Selector></wsman:SelectorSet><x:y xmlns:x=\"urn:x\" "
        "z=\"1\"/>"
        "</wsa:ReferenceParameters></wsa:EndpointReference></wsman:Selector></wsman:SelectorSet>";
    const wsman_envelope_t *read = fixture_envelope(fixture_wrap(header, "", *state), *state);
    wsman_request_headers_t headers = {.action = "urn:a", .selectors = read->selectors};

    for (int round = 0; round < 2; round++) {
        wsman_writer_t *writer = wsman_writer_create(*state);
        const wsman_element_t *parameters;

        wsman_request_begin(writer, &headers);
        read = read_back(writer, fixture_utf8, *state);
        headers.selectors = read->selectors;
        assert_string_equal(read->selectors->name, "Antecedent");
        assert_string_equal(wsman_child_text(read->selectors->epr, WSMAN_URI_WSA, "Address", *state),
                            "urn:a");
        parameters = wsman_child(read->selectors->epr, WSMAN_URI_WSA, "ReferenceParameters");
        assert_string_equal(wsman_child_text(parameters, WSMAN_URI_WSMAN, "ResourceURI", *state), "urn:r");
        assert_string_equal(wsman_attribute(wsman_child(parameters, "urn:x", "y"), "", "z"), "1");
        assert_string_equal(
            wsman_child_text(wsman_child(parameters, NULL, "SelectorSet"), NULL, "Selector", *state), "<v>");
    }
}

static void what_xml_forbids_fails(void **state)
{
    static const char *const bad[] = {"\x01",         "a\x1F",        "\xFF",    "\xC3",
                                      "\xED\xA0\x80", "\xEF\xBF\xBF", "\xC0\x80"};
    const char *bytes;
    apr_size_t length;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        wsman_writer_t *writer = wsman_writer_create(*state);

        wsman_response_begin(writer, NULL, "urn:a");
        wsman_element(writer, WSMAN_NS_WSA, "X", bad[i]);
        wsman_element(writer, WSMAN_NS_WSA, "Y", "good");
        assert_int_equal(wsman_writer_finish(writer, fixture_utf8, &bytes, &length), APR_EGENERAL);

        writer = wsman_writer_create(*state);
        wsman_response_begin(writer, NULL, "urn:a");
        wsman_start(writer, WSMAN_NS_WSA, "X");
        wsman_write_attribute(writer, "Name", bad[i]);
        assert_int_equal(wsman_writer_finish(writer, fixture_utf8, &bytes, &length), APR_EGENERAL);
    }
}

static void one_end_too_many_fails(void **state)
{
    wsman_writer_t *writer = wsman_writer_create(*state);
    const char *bytes;
    apr_size_t length;

    wsman_response_begin(writer, NULL, "urn:a");
    wsman_end(writer); /* s:Body */
    wsman_end(writer);
    assert_int_equal(wsman_writer_finish(writer, fixture_utf8, &bytes, &length), APR_EGENERAL);
}

/* White space and quotes survive in attributes and text. */
static void odd_values_survive(void **state)
{
    static const char *const values[] = {"'\"<>&", "a\nb\tc\rd", "\xE2\x82\xAC\xF0\x9F\x94\x91", "]]>",
                                         "  inner  x"};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        wsman_writer_t *writer = wsman_writer_create(*state);
        const wsman_element_t *element;

        wsman_response_begin(writer, NULL, NULL);
        wsman_start_class(writer, "urn:c", "C");
        wsman_write_attribute(writer, "a", values[i]);
        wsman_write_text(writer, values[i]);
        element = read_back(writer, fixture_utf8, *state)->body->child;
        assert_string_equal(wsman_attribute(element, "", "a"), values[i]);
        assert_string_equal(element->text, values[i]);
    }
}

static void large_answers_are_whole(void **state)
{
    wsman_limits_t limits = wsman_limits_default;
    const wsman_encoding_t utf16 = {WSMAN_UTF16LE, 1};
    wsman_writer_t *writer = wsman_writer_create(*state);
    const wsman_envelope_t *envelope;
    const wsman_element_t *item;
    const char *bytes;
    apr_size_t length;
    int count = 0;

    wsman_response_begin(writer, NULL, NULL);
    wsman_start_class(writer, "urn:c", "C");
    for (int i = 0; i < 20000; i++)
        wsman_property_uint(writer, "N", (apr_uint64_t)i);
    assert_int_equal(wsman_writer_finish(writer, utf16, &bytes, &length), APR_SUCCESS);
    limits.body = length;
    assert_null(fixture_read_bytes(bytes, length, 0, NULL, &limits, &envelope, *state));
    for (item = envelope->body->child->child; item != NULL; item = wsman_next_same(item))
        assert_string_equal(item->text, apr_itoa(*state, count++));
    assert_int_equal(count, 20000);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_request_reads_back),
        TEST(a_short_request_has_few_headers),
        TEST(identify_has_an_empty_header),
        TEST(properties),
        TEST(nil_reads_back),
        TEST(classes_nest),
        TEST(a_response_relates),
        TEST(references),
        TEST(references_as_selectors_read_back),
        TEST(what_xml_forbids_fails),
        TEST(one_end_too_many_fails),
        TEST(odd_values_survive),
        TEST(large_answers_are_whole),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup, fixture_group_teardown);
}
