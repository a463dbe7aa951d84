/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of the image's proof against noise, damage, replay and forgery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <apr_strings.h>

#include <openssl/err.h>

#include "proof_fixture.h"

static void assert_broken(const proof_fixture_t *fixture, const char *text, const char *why)
{
    const char *line;

    assert_int_equal(hear(fixture, text), PROOF_BROKEN);
    assert_non_null(strstr(proof_text(fixture->session), why));
    /* and nothing is sent, then or later */
    assert_non_null(proof_seal(fixture->session, PASSPHRASE, &line));
    assert_null(line);
    assert_null(proof_acknowledge(fixture->session));
    assert_non_null(strstr(proof_text(fixture->session), why));
    assert_int_equal(hear(fixture, text), PROOF_NONE);
}

static const char *changed(const proof_fixture_t *fixture, const char *frame, size_t at, char to)
{
    char *copy = apr_pstrdup(fixture->pool, frame);

    assert_true(at < strlen(copy) && copy[at] != to);
    copy[at] = to;
    return copy;
}

/* The frame with one digit of a field changed and its check made right again: what an attacker sends, not
 * noise. */
static const char *forged(const proof_fixture_t *fixture, const char *frame, size_t field)
{
    char *body = apr_pstrmemdup(fixture->pool, frame + 6, (apr_size_t)(strchr(frame, '*') - frame) - 6);
    char *at = body;

    for (size_t i = 0; i < field; i++) {
        at = strchr(at, ',') + 1;
    }
    *at = *at == '0' ? '1' : '0';
    return peer_frame(body, fixture->pool);
}

/* ---- noise --------------------------------------------------------------------------------------------- */

static const char noise[] =
    "\x1b[2J\x1b[1;1HBIOS 1.0\r\n$AMTU,1,hel[    1.2] usb 1-1: new$$AMTU\r\n$AMTU,,,*";

static void test_noise_and_every_cut(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = apr_pstrcat(fixture->pool, noise, peer_hello(&fixture->peer), "\r\n", noise, NULL);
    size_t whole = strlen(hello);

    for (size_t cut = 1; cut < whole; cut++) {
        const char *bytes = hello;
        apr_size_t first = cut, rest;
        int heard;

        begin(fixture);
        hello = apr_pstrcat(fixture->pool, noise, peer_hello(&fixture->peer), "\r\n", noise, NULL);
        bytes = hello;
        heard = proof_feed(fixture->session, &bytes, &first) == PROOF_HELLO;
        if (heard) { /* the noise behind it is still to be taken */
            assert_int_equal(proof_feed(fixture->session, &bytes, &first), PROOF_NONE);
        }
        assert_int_equal(first, 0);
        assert_ptr_equal(bytes, hello + cut);
        rest = whole - cut;
        heard += proof_feed(fixture->session, &bytes, &rest) == PROOF_HELLO;
        assert_int_equal(heard, 1);
    }
}

static void test_byte_by_byte(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = apr_pstrcat(fixture->pool, noise, peer_hello(&fixture->peer), noise, NULL);
    int heard = 0;

    for (const char *at = hello; *at;) {
        apr_size_t one = 1;

        heard += proof_feed(fixture->session, &at, &one) == PROOF_HELLO;
    }
    assert_int_equal(heard, 1);
}

/* A kernel message may break in anywhere, and a NUL too; what is said again a second later counts. */
static void test_a_broken_hello_never_was(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = peer_hello(&fixture->peer);
    size_t length = strlen(hello);

    for (size_t at = 1; at < length; at++) {
        const char zero[] = {'\0'};
        const char *bytes = zero;
        apr_size_t one = 1;

        assert_int_equal(hear(fixture, apr_pstrmemdup(fixture->pool, hello, at)), PROOF_NONE);
        assert_int_equal(proof_feed(fixture->session, &bytes, &one), PROOF_NONE);
        assert_int_equal(hear(fixture, hello + at), PROOF_NONE);
        assert_int_equal(hear(fixture, changed(fixture, hello, at, hello[at] == 'e' ? 'f' : 'e')),
                         PROOF_NONE);
        assert_int_equal(hear(fixture, apr_pstrmemdup(fixture->pool, hello, at)), PROOF_NONE);
    }
    assert_int_equal(hear(fixture, hello), PROOF_HELLO); /* a '$' starts over, whatever came before */
}

/* However far it came, the '$' of the next one cuts it, and nothing of that one is lost. */
static void test_a_false_beginning_hides_nothing(void **state)
{
    proof_fixture_t *fixture = *state;

    for (size_t at = 1; at < strlen(peer_hello(&fixture->peer)); at++) {
        const char *hello;

        begin(fixture);
        hello = peer_hello(&fixture->peer);
        hello = apr_pstrcat(fixture->pool, apr_pstrmemdup(fixture->pool, hello, at), hello, NULL);
        assert_int_equal(hear(fixture, hello), PROOF_HELLO);
    }
}

static void test_a_frame_without_end_is_noise(void **state)
{
    proof_fixture_t *fixture = *state;
    char *flood = apr_palloc(fixture->pool, 100001);

    memset(flood, 'a', 100000);
    flood[100000] = '\0';
    assert_int_equal(hear(fixture, "$AMTU,1,hello,"), PROOF_NONE);
    assert_int_equal(hear(fixture, flood), PROOF_NONE);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
}

/* The longest frame is taken, one byte more is noise: seen by a version that ends the session. */
static void test_the_longest_frame(void **state)
{
    proof_fixture_t *fixture = *state;
    char body[2048 - 6 - 9 + 2];

    memset(body, 'a', sizeof(body));
    body[0] = '2';
    body[1] = ',';
    body[sizeof(body) - 1] = '\0';
    assert_int_equal(strlen(peer_frame(body, fixture->pool)), 2049);
    assert_int_equal(hear(fixture, peer_frame(body, fixture->pool)), PROOF_NONE);
    body[sizeof(body) - 2] = '\0';
    assert_broken(fixture, peer_frame(body, fixture->pool), "another version");
}

static void test_two_frames_in_one_portion(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *result, *bytes;
    apr_size_t length;

    give_passphrase(fixture);
    result = peer_result(&fixture->peer, "unlocked", "none");
    bytes = apr_pstrcat(fixture->pool, result, "\r\n\r\n", result, "\r\n", NULL);
    length = strlen(bytes);
    assert_int_equal(proof_feed(fixture->session, &bytes, &length), PROOF_RESULT_UNLOCKED);
    assert_int_equal(proof_feed(fixture->session, &bytes, &length), PROOF_AGAIN);
    assert_int_equal(proof_feed(fixture->session, &bytes, &length), PROOF_NONE);
    assert_int_equal(length, 0);
}

/* A terminal that sends back what is typed. */
static void test_echoes_are_noise(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *wrong, *line;

    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    line = seal_it(fixture);
    assert_int_equal(hear(fixture, line), PROOF_NONE);
    assert_non_null(peer_open_seal(&fixture->peer, line, &wrong));
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "unlocked", "none")), PROOF_RESULT_UNLOCKED);
    assert_int_equal(hear(fixture, proof_acknowledge(fixture->session)), PROOF_NONE);
}

/* ---- what must not be believed ------------------------------------------------------------------------- */

static void test_a_forged_hello_ends_the_session(void **state)
{
    proof_fixture_t *fixture = *state;

    for (size_t field = 2; field <= 4; field++) {
        begin(fixture);
        assert_broken(fixture, forged(fixture, peer_hello(&fixture->peer), field), "wrong proof");
        assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_NONE);
    }
}

static void test_another_systems_image_is_not_believed(void **state)
{
    proof_fixture_t *fixture = *state;
    proof_session_t *other;
    unsigned char sector[PROOF_SECTOR];
    peer_t peer;

    assert_null(proof_session_create(
        &other, &fixture->key, &(proof_boot_t){.job = "job1", .system = "pc2.example.com", .fence = "1"},
        fixture->pool));
    proof_sector(other, sector);
    assert_null(peer_boot(&peer, sector, fixture->pool));
    assert_broken(fixture, peer_hello(&peer), "wrong proof");
    /* nor one that has the bytes, but for another name */
    begin(fixture);
    fixture->peer.id[2] = '2';
    assert_broken(fixture, peer_hello(&fixture->peer), "wrong proof");
}

static void test_replay_of_an_older_session_fails(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = peer_hello(&fixture->peer), *result, *refusal;

    give_passphrase(fixture);
    result = peer_result(&fixture->peer, "unlocked", "none");
    refusal = peer_refusal(&fixture->peer, "no-disk");
    begin(fixture);
    assert_broken(fixture, hello, "wrong proof");
    begin(fixture);
    assert_broken(fixture, result, "before it was given");
    begin(fixture);
    assert_broken(fixture, refusal, "wrong proof");
    begin(fixture);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    assert_broken(fixture, result, "before it was given");
    begin(fixture);
    give_passphrase(fixture);
    assert_broken(fixture, result, "wrong proof");
}

static void test_a_tampered_result_ends_the_session(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *result;

    give_passphrase(fixture);
    result = peer_result(&fixture->peer, "unlocked", "none");
    assert_broken(fixture, forged(fixture, result, 4), "wrong proof");
}

/* The right MAC of one outcome under another. */
static void test_an_outcome_cannot_be_exchanged(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *mac;

    give_passphrase(fixture);
    peer_result(&fixture->peer, "failed", "internal");
    mac = peer_hex(fixture->peer.said, 32, fixture->pool);
    assert_broken(fixture,
                  peer_frame(apr_pstrcat(fixture->pool, "1,result,unlocked,none,", mac, NULL), fixture->pool),
                  "wrong proof");
}

/* A peer that knows the sector but did not open the seal cannot claim that the disk is open. */
static void test_a_result_needs_the_seal(void **state)
{
    proof_fixture_t *fixture = *state;

    give_passphrase(fixture);
    memcpy(fixture->peer.result_key, fixture->peer.s, 32);
    assert_broken(fixture, peer_result(&fixture->peer, "unlocked", "none"), "wrong proof");
}

static void test_a_forged_refusal_ends_the_session(void **state)
{
    proof_fixture_t *fixture = *state;

    for (size_t field = 2; field <= 4; field++) {
        begin(fixture);
        give_passphrase(fixture);
        assert_broken(fixture, forged(fixture, peer_refusal(&fixture->peer, "no-disk"), field),
                      "wrong proof");
    }
}

static void test_unknown_words_end_the_session(void **state)
{
    static const struct {
        const char *body, *why;
    } cases[] = {
        {"2,hello", "another version"},
        {"0,hello", "another version"},
        {"01,hello", "another version"},
        {"", "another version"},
        {"2,seal,aa", "another version"},
        {"1", "does not have"},
        {"1,", "does not have"},
        {"1,goodbye,aa", "does not have"},
        {"1,hello", "does not have"},
        {"1,hello,,,", "does not have"},
        {"1,hello,aa,bb,cc", "does not have"},
        {"1,result,unlocked,none", "does not have"},
        {"1,refusal,aa,bb,cc,dd,ee,ff", "does not have"},
    };
    proof_fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(fixture);
        assert_broken(fixture, peer_frame(cases[i].body, fixture->pool), cases[i].why);
    }
}

static void test_fields_of_a_wrong_form_end_the_session(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = peer_hello(&fixture->peer);
    char *body = apr_pstrmemdup(fixture->pool, hello + 6, strlen(hello) - 6 - 9);

    assert_broken(fixture, peer_frame(apr_pstrcat(fixture->pool, body, "0", NULL), fixture->pool),
                  "does not have");
    begin(fixture);
    assert_broken(fixture, peer_frame(apr_pstrcat(fixture->pool, body, ",", NULL), fixture->pool),
                  "does not have");
    begin(fixture);
    body[strlen(body) - 1] = 'g'; /* no digit */
    assert_broken(fixture, peer_frame(body, fixture->pool), "does not have");
    begin(fixture);
    body[strlen(body) - 1] = '\0'; /* half a byte */
    assert_broken(fixture, peer_frame(body, fixture->pool), "does not have");
}

static void test_results_that_do_not_exist(void **state)
{
    static const struct {
        const char *outcome, *reason;
    } cases[] = {{"opened", "none"}, {"unlocked", "nearly"}, {"wrong-passphrase", "no-disk"}};
    proof_fixture_t *fixture = *state;
    char reason[66];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(fixture);
        give_passphrase(fixture);
        assert_broken(fixture, peer_result(&fixture->peer, cases[i].outcome, cases[i].reason),
                      "does not have");
    }
    memset(reason, 'x', sizeof(reason));
    reason[65] = '\0';
    begin(fixture);
    give_passphrase(fixture);
    assert_broken(fixture, peer_result(&fixture->peer, "failed", reason), "does not have");
    reason[64] = '\0';
    begin(fixture);
    give_passphrase(fixture);
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "failed", reason)), PROOF_RESULT_FAILED);
    assert_non_null(strstr(proof_text(fixture->session), reason));
}

static void test_an_image_that_started_anew_gets_nothing_more(void **state)
{
    proof_fixture_t *fixture = *state;
    peer_t second;

    assert_null(peer_boot(&second, fixture->sector, fixture->pool));
    give_passphrase(fixture);
    assert_broken(fixture, peer_hello(&second), "started anew");
}

/* The points of small order on Curve25519 and its twist: the shared secret would be zero, known to everyone.
 */
static void test_public_keys_of_low_order_are_refused(void **state)
{
    static const unsigned char points[][32] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
         0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
        {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
         0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
        {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    };
    proof_fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        const char *line;

        begin(fixture);
        memcpy(fixture->peer.public_key, points[i], 32);
        assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
        assert_non_null(strstr(proof_seal(fixture->session, PASSPHRASE, &line), "makes no secret"));
        assert_null(line);
        assert_int_equal(ERR_peek_error(), 0);
        assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_noise_and_every_cut, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, proof_fixture_setup, proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_hello_never_was, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_false_beginning_hides_nothing, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_frame_without_end_is_noise, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_longest_frame, proof_fixture_setup, proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_two_frames_in_one_portion, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_echoes_are_noise, proof_fixture_setup, proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_forged_hello_ends_the_session, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_another_systems_image_is_not_believed, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_replay_of_an_older_session_fails, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_tampered_result_ends_the_session, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_an_outcome_cannot_be_exchanged, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_result_needs_the_seal, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_forged_refusal_ends_the_session, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_unknown_words_end_the_session, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_fields_of_a_wrong_form_end_the_session, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_results_that_do_not_exist, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_an_image_that_started_anew_gets_nothing_more,
                                        proof_fixture_setup, proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_public_keys_of_low_order_are_refused, proof_fixture_setup,
                                        proof_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
