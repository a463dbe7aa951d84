/* SPDX-License-Identifier: Apache-2.0 */
#include "proof_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <apr_strings.h>

#include <apr_general.h>
#include <openssl/err.h>

void take_over(proof_fixture_t *fixture)
{
    const char *fence = apr_itoa(fixture->pool, fixture->boots);

    assert_null(proof_session_create(&fixture->session, &fixture->key, BOOT(fence), fixture->pool));
}

void begin(proof_fixture_t *fixture)
{
    fixture->boots++;
    take_over(fixture);
    proof_sector(fixture->session, fixture->sector);
    assert_null(peer_boot(&fixture->peer, fixture->sector, fixture->pool));
}

int proof_fixture_setup(void **state)
{
    apr_pool_t *pool;
    proof_fixture_t *fixture;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    memset(fixture->key.bytes, 7, sizeof(fixture->key.bytes));
    begin(fixture);
    ERR_clear_error(); /* what the peer left */
    *state = fixture;
    return 0;
}

int proof_fixture_teardown(void **state)
{
    proof_fixture_t *fixture = *state;

    apr_pool_destroy(fixture->pool);
    apr_terminate();
    return 0;
}

proof_event_e hear(const proof_fixture_t *fixture, const char *text)
{
    apr_size_t length = strlen(text);
    proof_event_e event;

    ERR_clear_error();
    event = proof_feed(fixture->session, &text, &length);
    while (length > 0) {
        assert_int_equal(proof_feed(fixture->session, &text, &length), PROOF_NONE);
    }
    /* nothing may be left for a TLS connection of this thread to stumble over */
    assert_int_equal(ERR_peek_error(), 0);
    return event;
}

const char *seal_it(const proof_fixture_t *fixture)
{
    const char *line;

    assert_null(proof_seal(fixture->session, PASSPHRASE, &line));
    return line;
}

void give_passphrase(proof_fixture_t *fixture)
{
    const char *wrong = NULL, *opened;

    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    opened = peer_open_seal(&fixture->peer, seal_it(fixture), &wrong);
    assert_null(wrong);
    assert_string_equal(opened, PASSPHRASE);
}
