/* SPDX-License-Identifier: Apache-2.0 */
/* Reading envelopes: well-formed ones in every encoding and split, and everything that must be refused. */
#include <apr_strings.h>
#include <apr_tables.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "wsman/charset_priv.h"
#include "wsman/names.h"
#include "wsman_fixture.h"

#define JOB_URI WSMAN_URI_CIM_CLASS "CIM_ConcreteJob"

static const wsman_encoding_t encodings[] = {{WSMAN_UTF8, 0},    {WSMAN_UTF8, 1},    {WSMAN_UTF16LE, 0},
                                             {WSMAN_UTF16LE, 1}, {WSMAN_UTF16BE, 0}, {WSMAN_UTF16BE, 1}};

enum { ENCODINGS = sizeof(encodings) / sizeof(encodings[0]) };

/* A request with characters of one to four bytes of UTF-8, and with markup inside quotes, comment and CDATA.
 */
static const char *sample(apr_pool_t *pool)
{
    const char *headers =
        apr_pstrcat(pool, fixture_headers(WSMAN_ACTION_GET, JOB_URI, pool),
                    "<!-- <a> ' \" - > --><wsman:Locale xml:lang=\"de\"/>",
                    "<wsman:SelectorSet><wsman:Selector Name=\"InstanceID\">\n a&lt;b&#x41; </wsman:Selector>"
                    "</wsman:SelectorSet>",
                    NULL);

    return fixture_wrap(headers,
                        "<x:y xmlns:x=\"urn:x\" a='>\"' b=\"'/>\"><![CDATA[<z>]]]>\xC3\xA9\xE2\x82\xAC"
                        "\xF0\x9F\x94\x91</x:y>",
                        pool);
}

static void check_sample(const wsman_envelope_t *envelope)
{
    const wsman_element_t *payload = envelope->body->child;

    assert_string_equal(envelope->to, "http://host:5985/wsman");
    assert_string_equal(envelope->action, WSMAN_ACTION_GET);
    assert_string_equal(envelope->message_id, "uuid:5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a");
    assert_string_equal(envelope->reply_to, WSMAN_URI_ANONYMOUS);
    assert_string_equal(envelope->resource_uri, JOB_URI);
    assert_string_equal(envelope->locale, "de");
    assert_null(envelope->relates_to);
    assert_null(envelope->not_understood);
    assert_null(envelope->fault);
    assert_true(envelope->has_selector_set);
    assert_string_equal(envelope->selectors->name, "InstanceID");
    assert_string_equal(envelope->selectors->value, "a<bA");
    assert_null(envelope->selectors->next);
    assert_string_equal(payload->ns, "urn:x");
    assert_string_equal(payload->name, "y");
    assert_string_equal(wsman_attribute(payload, "", "a"), ">\"");
    assert_string_equal(wsman_attribute(payload, "", "b"), "'/>");
    assert_string_equal(wsman_attribute(payload, WSMAN_URI_XMLNS, "x"), "urn:x");
    assert_string_equal(payload->text, "<z>]\xC3\xA9\xE2\x82\xAC\xF0\x9F\x94\x91");
    assert_ptr_equal(payload->parent, envelope->body);
}

static void every_encoding_reads_alike(void **state)
{
    const char *text = sample(*state);

    for (int i = 0; i < ENCODINGS; i++) {
        const wsman_envelope_t *envelope;
        apr_size_t length;
        const char *bytes = wsman_encode(text, strlen(text), encodings[i], &length, *state);

        assert_null(fixture_read_bytes(bytes, length, 0, NULL, &wsman_limits_default, &envelope, *state));
        check_sample(envelope);
        assert_int_equal(envelope->encoding.charset, encodings[i].charset);
        assert_int_equal(envelope->encoding.bom, encodings[i].bom);
    }
}

/* The same answer wherever the bytes are cut in two. */
static void every_split_reads_alike(void **state)
{
    const char *text = sample(*state);

    for (int i = 0; i < ENCODINGS; i++) {
        apr_size_t length;
        const char *bytes = wsman_encode(text, strlen(text), encodings[i], &length, *state);

        for (apr_size_t at = 1; at < length; at++) {
            const wsman_envelope_t *envelope;
            wsman_reader_t *reader;
            apr_pool_t *pool;

            apr_pool_create(&pool, *state);
            reader = wsman_reader_create(&wsman_limits_default, NULL, pool);
            assert_null(wsman_reader_feed(reader, bytes, at));
            assert_null(wsman_reader_feed(reader, bytes + at, length - at));
            assert_null(wsman_reader_finish(reader, &envelope));
            check_sample(envelope);
            apr_pool_destroy(pool);
        }
    }
}

static void single_bytes_read_alike(void **state)
{
    const char *text = sample(*state);

    for (int i = 0; i < ENCODINGS; i++) {
        const wsman_envelope_t *envelope;
        apr_size_t length;
        const char *bytes = wsman_encode(text, strlen(text), encodings[i], &length, *state);

        assert_null(fixture_read_bytes(bytes, length, 1, NULL, &wsman_limits_default, &envelope, *state));
        check_sample(envelope);
    }
}

/* No prefix of an envelope is an envelope, and none does harm. */
static void every_truncation_is_refused(void **state)
{
    const char *text = sample(*state);

    for (int i = 0; i < ENCODINGS; i += 3) { /* UTF-8, UTF-16LE with mark */
        apr_size_t length;
        const char *bytes = wsman_encode(text, strlen(text), encodings[i], &length, *state);

        for (apr_size_t keep = 0; keep < length; keep++) {
            const wsman_envelope_t *envelope = NULL;
            const wsman_fault_t *fault;
            apr_pool_t *pool;

            apr_pool_create(&pool, *state);
            fault = fixture_read_bytes(bytes, keep, 0, NULL, &wsman_limits_default, &envelope, pool);
            assert_non_null(fault);
            assert_null(envelope);
            assert_true(fault->kind == WSMAN_FAULT_SCHEMA_VALIDATION ||
                        fault->kind == WSMAN_FAULT_ENCODING_LIMIT);
            assert_int_equal(fault->status, 400);
            apr_pool_destroy(pool);
        }
    }
}

static void charset_parameter_and_mark(void **state)
{
    static const struct {
        const char *charset;
        wsman_encoding_t sent;
        int good;
    } cases[] = {
        {"UTF-8", {WSMAN_UTF8, 0}, 1},
        {"utf-8", {WSMAN_UTF8, 1}, 1},
        {"\"utf-8\"", {WSMAN_UTF8, 0}, 1},
        {"us-ascii", {WSMAN_UTF8, 0}, 1},
        {"utf-16", {WSMAN_UTF16LE, 0}, 1},
        {"UTF-16", {WSMAN_UTF16BE, 0}, 1},
        {"utf-16", {WSMAN_UTF16BE, 1}, 1},
        {"utf-16le", {WSMAN_UTF16LE, 0}, 1},
        {"utf-16be", {WSMAN_UTF16BE, 0}, 1},
        {"utf-8", {WSMAN_UTF16LE, 1}, 1}, /* the mark wins */
        {"utf-16le", {WSMAN_UTF16BE, 0}, 0},
        {"utf-8", {WSMAN_UTF16LE, 0}, 0},
        {"utf-16", {WSMAN_UTF8, 0}, 0},
        {"iso-8859-1", {WSMAN_UTF8, 0}, 0},
        {"", {WSMAN_UTF8, 0}, 0},
        {"utf-32", {WSMAN_UTF8, 0}, 0},
    };
    const char *text = fixture_wrap("", "", *state);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const wsman_envelope_t *envelope;
        apr_size_t length;
        const char *bytes = wsman_encode(text, strlen(text), cases[i].sent, &length, *state);
        const wsman_fault_t *fault =
            fixture_read_bytes(bytes, length, 0, cases[i].charset, &wsman_limits_default, &envelope, *state);

        if ((fault == NULL) != cases[i].good)
            fail_msg("case %zu, %s", i, cases[i].charset);
        if (fault == NULL)
            assert_int_equal(envelope->encoding.charset, cases[i].sent.charset);
    }
}

static void unknown_charset_is_named(void **state)
{
    const wsman_envelope_t *envelope;
    const wsman_fault_t *fault =
        fixture_read_bytes("<a/>", 4, 0, "ebcdic", &wsman_limits_default, &envelope, *state);

    assert_int_equal(fault->kind, WSMAN_FAULT_ENCODING_LIMIT);
    assert_string_equal(fault->detail, "CharacterSet");
    assert_int_equal(fault->status, 400);
}

/* The declaration of the document does not count: bytes and Content-Type say it. */
static void declared_encoding_is_ignored(void **state)
{
    static const char *const declarations[] = {
        "<?xml version=\"1.0\"?>",
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n",
        "<?xml version='1.0' encoding='ISO-8859-1' standalone='yes'?>",
        "<?xml version= \"1.0\" encoding= \"UTF-8\"?>\r\n",
    };

    for (size_t i = 0; i < sizeof(declarations) / sizeof(declarations[0]); i++) {
        for (int e = 0; e < ENCODINGS; e++) {
            const char *text = apr_pstrcat(*state, declarations[i], sample(*state), NULL);
            const wsman_envelope_t *envelope;
            apr_size_t length;
            const char *bytes = wsman_encode(text, strlen(text), encodings[e], &length, *state);

            assert_null(fixture_read_bytes(bytes, length, 7, NULL, &wsman_limits_default, &envelope, *state));
            check_sample(envelope);
        }
    }
}

static void bad_sequences_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        apr_size_t length;
        const char *charset;
    } cases[] = {
        {"<a>\xC0\x80</a>", 9, NULL},          /* overlong */
        {"<a>\xE0\x80\x80</a>", 10, NULL},     /* overlong */
        {"<a>\xED\xA0\x80</a>", 10, NULL},     /* surrogate */
        {"<a>\xF4\x90\x80\x80</a>", 11, NULL}, /* beyond Unicode */
        {"<a>\xFF</a>", 8, NULL},              /* no lead byte */
        {"<a>\x80</a>", 8, NULL},              /* lone continuation */
        {"<a>\xC3</a>", 8, NULL},              /* continuation missing */
        {"<a/>\xE2\x82", 6, NULL},             /* ends inside a character */
        {"<\0a\0/\0>\0\0\xD8", 10, NULL},      /* ends after a high surrogate */
        {"<\0\0\xD8>\0", 6, NULL},             /* high surrogate alone */
        {"<\0\0\xDC>\0", 6, NULL},             /* low surrogate alone */
        {"<\0a\0/\0>\0 ", 9, "utf-16le"},      /* half a unit */
        {"\xFF\xFE<\0\0\xD8\0\xD8", 8, NULL},  /* two high surrogates */
        {"<", 1, "utf-16le"},                  /* less than a unit */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const wsman_envelope_t *envelope;
        const wsman_fault_t *fault = fixture_read_bytes(cases[i].bytes, cases[i].length, 0, cases[i].charset,
                                                        &wsman_limits_default, &envelope, *state);

        if (fault == NULL || fault->kind != WSMAN_FAULT_ENCODING_LIMIT)
            fail_msg("case %zu: %s", i, fault == NULL ? "read" : fault->reason);
        else
            assert_string_equal(fault->detail, "CharacterSet");
    }
}

static void expect(const char *text, wsman_fault_e kind, const char *word, apr_pool_t *pool)
{
    const wsman_envelope_t *envelope;
    const wsman_fault_t *fault = fixture_read(text, &envelope, pool);

    if (fault == NULL || fault->kind != kind || strstr(fault->reason, word) == NULL)
        fail_msg("%.80s: %s", text, fault == NULL ? "read" : fault->reason);
}

static void what_is_no_envelope_is_refused(void **state)
{
    static const struct {
        const char *text;
        const char *word;
    } cases[] = {
        {"garbage", "well-formed"},
        {"<", "well-formed"},
        {"   ", "well-formed"},
        {"\xEF\xBB\xBF", "well-formed"},
        {"<a></a>", "Envelope"},
        {"<Envelope/>", "SOAP 1.2"},
        {"{\"json\": true}", "well-formed"},
        {"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "document type"},
        {"<!doctype html><html>", "document type"},
        {"<!ENTITY a 'b'>", "document type"},
        {"<!-x", "document type"},
        {"<![CDAT[", "document type"},
        {"<?php echo 1 ?><a/>", "instruction"},
        {"<?xmlish?><a/>", "instruction"},
        {"<?xml version=\"1.0\"?><?xml version=\"1.0\"?><a/>", "instruction"},
        {"<?xml version=\"1.0\"?><?pi?><a/>", "instruction"},
        {" <?xml version=\"1.0\"?><a/>", "instruction"},
        {"<a>\x01</a>", "control"},
        {"<s:Envelope/>", "well-formed"}, /* prefix not declared */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wsman_fault_e kind = strcmp(cases[i].word, "SOAP 1.2") == 0 ? WSMAN_FAULT_VERSION_MISMATCH
                                                                    : WSMAN_FAULT_SCHEMA_VALIDATION;
        expect(cases[i].text, kind, cases[i].word, *state);
    }
}

static void what_is_not_well_formed_is_refused(void **state)
{
    static const char *const bodies[] = {
        "<a><b></a></b>",
        "<a b=\"1\" b=\"2\"/>",
        "<a b=1/>",
        "<a>&undefined;</a>",
        "<a>&#0;</a>",
        "<a>]]></a>",
        "<a><!-- -- --></a>",
        "<p:a/>",
        "<a p:b=\"\"/>",
        "<a <b/>",
        "<a b=\"<\"/>",
        "<1/>",
        "</s:Body>",
        "<a b=\"1\"c=\"2\"/>",
        "&lt",
        "<a>\xEF\xBF\xBE</a>",
        "<a/ >",
        "<a xmlns:p=\"\"/>",
        "<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>",
    };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        expect(fixture_wrap("", bodies[i], *state), WSMAN_FAULT_SCHEMA_VALIDATION, "well-formed", *state);
    expect(apr_pstrcat(*state, sample(*state), "<a/>", NULL), WSMAN_FAULT_SCHEMA_VALIDATION, "well-formed",
           *state);
    expect(apr_pstrcat(*state, sample(*state), "x", NULL), WSMAN_FAULT_SCHEMA_VALIDATION, "well-formed",
           *state);
}

static void other_soap_versions_are_named(void **state)
{
    const wsman_envelope_t *envelope;
    const wsman_fault_t *fault = fixture_read(
        "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP11 "\"><s:Body/></s:Envelope>", &envelope, *state);

    assert_int_equal(fault->kind, WSMAN_FAULT_VERSION_MISMATCH);
    assert_int_equal(fault->status, 500);
    assert_non_null(strstr(fault->reason, "SOAP 1.1"));
    expect("<Envelope xmlns=\"urn:soap13\"/>", WSMAN_FAULT_VERSION_MISMATCH, "not SOAP 1.2", *state);
}

static void structure_is_checked(void **state)
{
#define ENVELOPE "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP "\" xmlns:t=\"" WSMAN_URI_SOAP "\">"
    static const char *const bad[] = {
        ENVELOPE "</s:Envelope>",
        ENVELOPE "<s:Header/></s:Envelope>",
        ENVELOPE "<s:Body/><s:Header/></s:Envelope>",
        ENVELOPE "<s:Header/><s:Header/><s:Body/></s:Envelope>",
        ENVELOPE "<s:Body/><s:Body/></s:Envelope>",
        ENVELOPE "<s:Body><a/><b/></s:Body></s:Envelope>",
        ENVELOPE "<Body/></s:Envelope>",
        ENVELOPE "<s:body/></s:Envelope>",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect(bad[i], WSMAN_FAULT_SCHEMA_VALIDATION, "Body", *state);
    assert_null(fixture_envelope(ENVELOPE "<t:Body/></s:Envelope>", *state)->header);
}

/* ---- limits ------------------------------------------------------------------------------------------- */

static wsman_fault_e outcome(const char *text, const wsman_limits_t *limits, apr_pool_t *pool)
{
    const wsman_envelope_t *envelope;
    const wsman_fault_t *fault = fixture_read_bytes(text, strlen(text), 0, NULL, limits, &envelope, pool);

    if (fault == NULL)
        return WSMAN_FAULT_KINDS;
    assert_int_equal(fault->status, fault->kind == WSMAN_FAULT_ENCODING_LIMIT ? 413 : 400);
    return fault->kind;
}

static char *spaces(apr_size_t count, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, count + 1);

    memset(text, ' ', count);
    text[count] = '\0';
    return text;
}

static void body_limit_is_inclusive(void **state)
{
    wsman_limits_t limits = wsman_limits_default;
    const char *text = sample(*state);
    const wsman_envelope_t *envelope;
    const wsman_fault_t *fault;

    limits.body = strlen(text);
    assert_int_equal(outcome(text, &limits, *state), WSMAN_FAULT_KINDS);
    limits.body--;
    assert_int_equal(outcome(text, &limits, *state), WSMAN_FAULT_ENCODING_LIMIT);
    fault = fixture_read_bytes(text, strlen(text), 5, NULL, &limits, &envelope, *state);
    assert_string_equal(fault->detail, "ServiceEnvelopeLimit");
}

static void body_limit_counts_bytes_as_sent(void **state)
{
    wsman_limits_t limits = wsman_limits_default;
    const char *text = sample(*state);
    const wsman_encoding_t utf16 = {WSMAN_UTF16LE, 1};
    const wsman_envelope_t *envelope;
    apr_size_t length;
    const char *bytes = wsman_encode(text, strlen(text), utf16, &length, *state);

    limits.body = length;
    assert_null(fixture_read_bytes(bytes, length, 100, NULL, &limits, &envelope, *state));
    limits.body = length - 1;
    assert_int_equal(fixture_read_bytes(bytes, length, 100, NULL, &limits, &envelope, *state)->kind,
                     WSMAN_FAULT_ENCODING_LIMIT);
}

static void tag_limit_is_inclusive(void **state)
{
    wsman_limits_t limits = wsman_limits_default;
    const char *good =
        fixture_wrap("", apr_pstrcat(*state, "<a b=\"", spaces(4096 - 9, *state), "\"/>", NULL), *state);
    const char *bad =
        fixture_wrap("", apr_pstrcat(*state, "<a b=\"", spaces(4096 - 8, *state), "\"/>", NULL), *state);
    const char *end =
        fixture_wrap("", apr_pstrcat(*state, "<a></a", spaces(4096 - 3, *state), ">", NULL), *state);

    assert_int_equal(outcome(good, &limits, *state), WSMAN_FAULT_KINDS);
    assert_int_equal(outcome(bad, &limits, *state), WSMAN_FAULT_SCHEMA_VALIDATION);
    assert_int_equal(outcome(end, &limits, *state), WSMAN_FAULT_SCHEMA_VALIDATION);
    /* while it arrives, not at its end */
    limits.body = 10000000;
    assert_int_equal(outcome(apr_pstrcat(*state, "<a ", spaces(5000, *state), NULL), &limits, *state),
                     WSMAN_FAULT_SCHEMA_VALIDATION);
}

static const char *with_attributes(unsigned int count, const char *value, apr_pool_t *pool)
{
    apr_array_header_t *parts = apr_array_make(pool, (int)count + 2, sizeof(const char *));

    APR_ARRAY_PUSH(parts, const char *) = "<a";
    for (unsigned int i = 0; i < count; i++)
        APR_ARRAY_PUSH(parts, const char *) = apr_psprintf(pool, " a%u=\"%s\"", i, value);
    APR_ARRAY_PUSH(parts, const char *) = "/>";
    return fixture_wrap("", apr_array_pstrcat(pool, parts, 0), pool);
}

static void attribute_limit_is_inclusive(void **state)
{
    assert_int_equal(outcome(with_attributes(64, "x=y>", *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_KINDS);
    assert_int_equal(outcome(with_attributes(65, "", *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_SCHEMA_VALIDATION);
}

static const char *nested(unsigned int levels, apr_pool_t *pool)
{
    const char *text = "";

    for (unsigned int i = 0; i < levels; i++)
        text = apr_pstrcat(pool, "<a>", text, "</a>", NULL);
    return fixture_wrap("", text, pool);
}

static void depth_limit_is_inclusive(void **state)
{
    assert_int_equal(outcome(nested(30, *state), &wsman_limits_default, *state), WSMAN_FAULT_KINDS);
    assert_int_equal(outcome(nested(31, *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_SCHEMA_VALIDATION);
    assert_int_equal(outcome(nested(2000, *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_SCHEMA_VALIDATION);
}

/* An envelope whose body holds `text` so often, with "#" in it a number: 0, 1, ... */
static const char *repeated(unsigned int count, const char *text, apr_pool_t *pool)
{
    apr_array_header_t *parts = apr_array_make(pool, (int)count * 3, sizeof(const char *));
    const char *hash = strchr(text, '#');

    for (unsigned int i = 0; i < count; i++) {
        APR_ARRAY_PUSH(parts, const char *) =
            hash != NULL ? apr_pstrmemdup(pool, text, (apr_size_t)(hash - text)) : text;
        if (hash != NULL) {
            APR_ARRAY_PUSH(parts, const char *) = apr_itoa(pool, (int)i);
            APR_ARRAY_PUSH(parts, const char *) = hash + 1;
        }
    }
    return fixture_wrap("", apr_pstrcat(pool, "<list>", apr_array_pstrcat(pool, parts, 0), "</list>", NULL),
                        pool);
}

/* What is small on the wire and large in memory. */
static void elements_and_attributes_are_counted(void **state)
{
    const apr_size_t most = 1000 + wsman_limits_default.body / 32;
    const char *const many[] = {"<a/>", "<a b='c'/>", "<a xmlns='u'/>", "<a b='c' c='d' d='e' e='f'/>"};
    const wsman_envelope_t *envelope;
    const char *said =
        apr_psprintf(*state, "The envelope has more than %" APR_SIZE_T_FMT " elements and attributes.", most);

    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++) {
        const char *text = repeated((unsigned int)(120000 / strlen(many[i])), many[i], *state);
        const wsman_fault_t *fault =
            fixture_read_bytes(text, strlen(text), 0, NULL, &wsman_limits_default, &envelope, *state);

        assert_non_null(fault);
        assert_int_equal(fault->kind, WSMAN_FAULT_ENCODING_LIMIT);
        assert_string_equal(fault->reason, said);
    }
}

static void a_full_request_of_references_is_read(void **state)
{
    static const char reference[] =
        "<p:Systems xmlns:p='urn:p'><a:Address xmlns:a='urn:a'>urn:anonymous</a:Address><a:ReferenceParameters "
        "xmlns:a='urn:a'><w:ResourceURI xmlns:w='urn:w'>urn:CIM_ComputerSystem</w:ResourceURI><w:SelectorSet "
        "xmlns:w='urn:w'><w:Selector Name='CreationClassName'>CIM_ComputerSystem</w:Selector><w:Selector "
        "Name='Name'>pc-#.fleet.example.com</w:Selector></w:SelectorSet></a:ReferenceParameters></p:Systems>";

    assert_int_equal(outcome(repeated(250, reference, *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_KINDS);
}

static void different_names_are_counted(void **state)
{
    assert_int_equal(outcome(repeated(900, "<a#/>", *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_KINDS);
    assert_int_equal(outcome(repeated(1010, "<a#/>", *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_ENCODING_LIMIT);
    assert_int_equal(outcome(repeated(1010, "<a b#='c'/>", *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_ENCODING_LIMIT);
    assert_int_equal(outcome(repeated(1010, "<a xmlns='u#'/>", *state), &wsman_limits_default, *state),
                     WSMAN_FAULT_ENCODING_LIMIT);
}

static void texts_and_comments_are_bounded(void **state)
{
    static const char *const around[][2] = {{"<a>", "</a>"}, {"<a><![CDATA[", "]]></a>"}, {"<!--", "-->"}};

    for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
        const char *good =
            apr_pstrcat(*state, around[i][0], spaces(65536 + 131072 / 8 - 16, *state), around[i][1], NULL);
        const char *bad =
            apr_pstrcat(*state, around[i][0], spaces(65536 + 131072 / 8 + 16, *state), around[i][1], NULL);

        assert_int_equal(outcome(fixture_wrap("", good, *state), &wsman_limits_default, *state),
                         WSMAN_FAULT_KINDS);
        assert_int_equal(outcome(fixture_wrap("", bad, *state), &wsman_limits_default, *state),
                         WSMAN_FAULT_ENCODING_LIMIT);
    }
}

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The sanitizers make everything slower, but nothing quadratic. */
static const double most_seconds = 0.1;

static void attribute_flood_is_cheap(void **state)
{
    static const char *const values[] = {"", ">", "'/>"};

    for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
        const char *text = with_attributes(30000, values[v], *state);

        for (int i = 0; i < ENCODINGS; i++) {
            wsman_limits_t limits = wsman_limits_default;
            const wsman_envelope_t *envelope;
            apr_size_t length;
            const char *bytes = wsman_encode(text, strlen(text), encodings[i], &length, *state);
            double start = cpu_seconds();

            limits.body = 10 * length; /* so that it is the tag that is refused */
            assert_int_equal(fixture_read_bytes(bytes, length, 8000, NULL, &limits, &envelope, *state)->kind,
                             WSMAN_FAULT_SCHEMA_VALIDATION);
            assert_true(cpu_seconds() - start < most_seconds);
        }
    }
}

/* What is well-formed, but built to cost as much as it can: read or refused, it costs little. */
static void costly_envelopes_are_cheap(void **state)
{
    static const struct {
        const char *before, *unit, *after;
    } cases[] = {
        {"<r>", "<a/>", "</r>"},
        {"<r>", "&lt;", "</r>"},
        {"<r><!--", "x ", "--></r>"},
        {"<r>", "<!---->", "</r>"},
        {"<r><![CDATA[", "] ", "]]></r>"},
        {"<r>", "<![CDATA[]]>", "</r>"},
        {"<r xmlns=\"urn:012345678901234567890123456789012345678901234567890123456789\">", "<a/>", "</r>"},
        {"<r>", "<a b='' c='' d='' e='' f='' g='' h='' i='' j='' k=''/>", "</r>"},
        {"<r>", "<a xmlns:b='b' xmlns:c='c' xmlns:d='d' xmlns:e='e'/>", "</r>"},
        {"<r>", "x", "</r>"},
        {"<r>", "\n", "</r>"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        apr_size_t count = 127000 / strlen(cases[i].unit);
        apr_array_header_t *parts = apr_array_make(*state, (int)count + 2, sizeof(const char *));
        const wsman_envelope_t *envelope;
        const wsman_fault_t *fault;
        const char *text;
        double start;

        APR_ARRAY_PUSH(parts, const char *) = cases[i].before;
        for (apr_size_t n = 0; n < count; n++)
            APR_ARRAY_PUSH(parts, const char *) = cases[i].unit;
        APR_ARRAY_PUSH(parts, const char *) = cases[i].after;
        text = fixture_wrap("", apr_array_pstrcat(*state, parts, 0), *state);
        start = cpu_seconds();
        fault = fixture_read_bytes(text, strlen(text), 100, NULL, &wsman_limits_default, &envelope, *state);
        assert_true(fault == NULL || fault->kind == WSMAN_FAULT_ENCODING_LIMIT);
        if (cpu_seconds() - start > 3 * most_seconds)
            fail_msg("case %zu: %.3f s", i, cpu_seconds() - start);
    }
}

static void a_dead_reader_stays_dead(void **state)
{
    wsman_reader_t *reader = wsman_reader_create(&wsman_limits_default, NULL, *state);
    const wsman_envelope_t *envelope = NULL;
    const wsman_fault_t *fault = wsman_reader_feed(reader, "<!DOCTYPE", 9);
    const char *text = sample(*state);

    assert_non_null(fault);
    assert_ptr_equal(wsman_reader_feed(reader, text, strlen(text)), fault);
    assert_ptr_equal(wsman_reader_finish(reader, &envelope), fault);
    assert_null(envelope);
}

/* For the fault that answers an envelope which is refused later. */
static void message_id_outlives_the_fault(void **state)
{
    const char *text = fixture_wrap("<wsa:MessageID> urn:x </wsa:MessageID>", "<a></b>", *state);
    wsman_reader_t *reader = wsman_reader_create(&wsman_limits_default, NULL, *state);
    const wsman_envelope_t *envelope;

    wsman_reader_feed(reader, text, strlen(text));
    assert_non_null(wsman_reader_finish(reader, &envelope));
    assert_string_equal(wsman_reader_message_id(reader), "urn:x");

    text = fixture_wrap("", "<wsa:MessageID>not a header</wsa:MessageID>", *state);
    reader = wsman_reader_create(&wsman_limits_default, NULL, *state);
    wsman_reader_feed(reader, text, strlen(text));
    assert_null(wsman_reader_finish(reader, &envelope));
    assert_null(wsman_reader_message_id(reader));
}

static void references_in_attributes(void **state)
{
    static const struct {
        const char *written, *value;
    } cases[] = {
        {"&amp;", "&"},         {"&#38;", "&"},      {"&#x26;", "&"},    {"&amp;#38;", "&#38;"},
        {"&amp;amp;", "&amp;"}, {"a&amp;b", "a&b"},  {"&lt;&gt;", "<>"}, {"&quot;&apos;", "\"'"},
        {"&amp;&amp;", "&&"},   {" a\n b", " a  b"}, {"&#10;", "\n"},    {"&#x20AC;", "\xE2\x82\xAC"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *body =
            apr_pstrcat(*state, "<a b=\"", cases[i].written, "\">", cases[i].written, "</a>", NULL);
        const wsman_element_t *element =
            fixture_envelope(fixture_wrap("", body, *state), *state)->body->child;

        assert_string_equal(wsman_attribute(element, "", "b"), cases[i].value);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_encoding_reads_alike),
        TEST(every_split_reads_alike),
        TEST(single_bytes_read_alike),
        TEST(every_truncation_is_refused),
        TEST(charset_parameter_and_mark),
        TEST(unknown_charset_is_named),
        TEST(declared_encoding_is_ignored),
        TEST(bad_sequences_are_refused),
        TEST(what_is_no_envelope_is_refused),
        TEST(what_is_not_well_formed_is_refused),
        TEST(other_soap_versions_are_named),
        TEST(structure_is_checked),
        TEST(body_limit_is_inclusive),
        TEST(body_limit_counts_bytes_as_sent),
        TEST(tag_limit_is_inclusive),
        TEST(attribute_limit_is_inclusive),
        TEST(depth_limit_is_inclusive),
        TEST(attribute_flood_is_cheap),
        TEST(elements_and_attributes_are_counted),
        TEST(a_full_request_of_references_is_read),
        TEST(different_names_are_counted),
        TEST(texts_and_comments_are_bounded),
        TEST(costly_envelopes_are_cheap),
        TEST(a_dead_reader_stays_dead),
        TEST(message_id_outlives_the_fault),
        TEST(references_in_attributes),
    };

    return cmocka_run_group_tests(tests, fixture_group_setup, fixture_group_teardown);
}
