/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman_fixture.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wsman/names.h"

const wsman_encoding_t fixture_utf8 = {WSMAN_UTF8, 0};

int fixture_group_setup(void **state)
{
    (void)state;
    wsman_library_init();
    return apr_initialize() == APR_SUCCESS ? 0 : -1;
}

int fixture_group_teardown(void **state)
{
    (void)state;
    apr_terminate();
    return 0;
}

int fixture_setup(void **state)
{
    return apr_pool_create((apr_pool_t **)state, NULL) == APR_SUCCESS ? 0 : -1;
}

int fixture_teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

const wsman_fault_t *fixture_read_bytes(const char *bytes, apr_size_t length, apr_size_t piece,
                                        const char *charset, const wsman_limits_t *limits,
                                        const wsman_envelope_t **envelope, apr_pool_t *pool)
{
    wsman_reader_t *reader = wsman_reader_create(limits, charset, pool);
    const wsman_fault_t *fault = NULL;
    const wsman_fault_t *end;

    for (apr_size_t at = 0; at < length && fault == NULL;) {
        apr_size_t take = piece == 0 || piece > length - at ? length - at : piece;

        fault = wsman_reader_feed(reader, bytes + at, take);
        at += take;
    }
    end = wsman_reader_finish(reader, envelope);
    if (fault != NULL)
        assert_ptr_equal(end, fault);
    return end;
}

const wsman_fault_t *fixture_read(const char *text, const wsman_envelope_t **envelope, apr_pool_t *pool)
{
    return fixture_read_bytes(text, strlen(text), 0, NULL, &wsman_limits_default, envelope, pool);
}

const wsman_envelope_t *fixture_envelope(const char *text, apr_pool_t *pool)
{
    const wsman_envelope_t *envelope = NULL;
    const wsman_fault_t *fault = fixture_read(text, &envelope, pool);

    if (fault != NULL)
        fail_msg("refused: %s", fault->reason);
    return envelope;
}

const char *fixture_wrap(const char *header, const char *body, apr_pool_t *pool)
{
    return apr_pstrcat(pool,
                       "<s:Envelope xmlns:s=\"" WSMAN_URI_SOAP "\" xmlns:wsa=\"" WSMAN_URI_WSA
                       "\" xmlns:wsman=\"" WSMAN_URI_WSMAN "\" xmlns:wsen=\"" WSMAN_URI_WSEN
                       "\" xmlns:wsmb=\"" WSMAN_URI_WSMB "\" xmlns:wsmid=\"" WSMAN_URI_WSMID "\"><s:Header>",
                       header, "</s:Header><s:Body>", body, "</s:Body></s:Envelope>", NULL);
}

const char *fixture_headers(const char *action, const char *resource_uri, apr_pool_t *pool)
{
    const char *headers =
        apr_pstrcat(pool,
                    "<wsa:To s:mustUnderstand=\"true\">http://host:5985/wsman</wsa:To><wsa:Action "
                    "s:mustUnderstand=\"true\">",
                    action,
                    "</wsa:Action><wsa:MessageID>uuid:5c7b1a44-7d2f-4f43-9a5b-2f1d2b1f0e6a</wsa:MessageID>"
                    "<wsa:ReplyTo><wsa:Address>" WSMAN_URI_ANONYMOUS "</wsa:Address></wsa:ReplyTo>",
                    NULL);

    if (resource_uri == NULL)
        return headers;
    return apr_pstrcat(pool, headers, "<wsman:ResourceURI s:mustUnderstand=\"true\">", resource_uri,
                       "</wsman:ResourceURI>", NULL);
}
