/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of the image's proof as it should go, against an image's side that shares no code with
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <apr_strings.h>

#include "proof_fixture.h"

/* ---- as it should go ----------------------------------------------------------------------------------- */

static void test_each_result_is_heard(void **state)
{
    static const struct {
        const char *outcome, *reason;
        proof_event_e event;
        const char *text;
    } cases[] = {
        {"unlocked", "none", PROOF_RESULT_UNLOCKED, ""},
        {"wrong-passphrase", "none", PROOF_RESULT_WRONG, ""},
        {"failed", "disk-error", PROOF_RESULT_FAILED, "the disk does not read or answer"},
        {"failed", "on-fire", PROOF_RESULT_FAILED, "the image gave as its reason: on-fire"},
    };
    proof_fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *result;

        begin(fixture);
        give_passphrase(fixture);
        assert_null(proof_acknowledge(fixture->session));
        result = peer_result(&fixture->peer, cases[i].outcome, cases[i].reason);
        assert_int_equal(hear(fixture, result), cases[i].event);
        assert_string_equal(proof_text(fixture->session), cases[i].text);
        assert_true(peer_is_acknowledged(&fixture->peer, proof_acknowledge(fixture->session)));
        /* it did not hear that */
        assert_int_equal(hear(fixture, result), PROOF_AGAIN);
        assert_int_equal(hear(fixture, result), PROOF_AGAIN);
        assert_true(peer_is_acknowledged(&fixture->peer, proof_acknowledge(fixture->session)));
    }
}

static void test_refusal_is_heard_at_any_time(void **state)
{
    proof_fixture_t *fixture = *state;

    for (int when = 0; when < 3; when++) {
        const char *refusal, *line;

        begin(fixture);
        if (when == 1) {
            assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
        }
        if (when == 2) {
            give_passphrase(fixture);
        }
        refusal = peer_refusal(&fixture->peer, "no-disk");
        assert_int_equal(hear(fixture, refusal), PROOF_RESULT_FAILED);
        assert_string_equal(proof_text(fixture->session), "the image found no encrypted disk");
        assert_true(peer_is_acknowledged(&fixture->peer, proof_acknowledge(fixture->session)));
        assert_int_equal(hear(fixture, refusal), PROOF_AGAIN);
        assert_non_null(proof_seal(fixture->session, PASSPHRASE, &line));
        assert_null(line);
    }
}

static void test_every_length_of_passphrase(void **state)
{
    static const size_t lengths[] = {1, 125, 126, 127, 254, 255, 382, 383, 510, 511, 512};
    proof_fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char passphrase[PROOF_PASSPHRASE_MAX + 1] = {0};
        const char *line, *wrong;

        begin(fixture);
        memset(passphrase, '\xfe', lengths[i]);
        assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
        assert_null(proof_seal(fixture->session, passphrase, &line));
        assert_string_equal(peer_open_seal(&fixture->peer, line, &wrong), passphrase);
    }
}

static void test_a_passphrase_must_have_a_length(void **state)
{
    proof_fixture_t *fixture = *state;

    for (int empty = 0; empty < 2; empty++) {
        char passphrase[PROOF_PASSPHRASE_MAX + 2] = {0};
        const char *line;

        begin(fixture);
        memset(passphrase, 'x', empty ? 0 : PROOF_PASSPHRASE_MAX + 1);
        assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
        assert_non_null(strstr(proof_seal(fixture->session, passphrase, &line), "longer than 512 bytes"));
        assert_null(line);
        assert_non_null(strstr(proof_text(fixture->session), "longer than 512 bytes"));
    }
}

/* A second implementation's figures, from README.md section 7, through the peer of these tests. */
static void test_the_peer_agrees_with_the_written_figures(void **state)
{
    static const char seal[] =
        "$AMTU,1,seal,404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f,"
        "493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d,"
        "da9645594bdb35fb1a35550a311539857af4c1e9492963859abafc32cc09cbf752b6f619b41f48f60e2ee9ab08c272e9"
        "fb664fe209b1ff6dfa2152521ebca3a4cfc135a2650da1c0f09065c331d21f43ed62b11c6d6339641529dc963aa787c5"
        "08a9d567975eec9b0415c34a1a9560f4bb96327990f97096c8b05b0b939904a9833596bf00ef9bcb61d4aaa47cd548a4"
        "*3ee53d95\r";
    proof_fixture_t *fixture = *state;
    unsigned char bytes[128];
    peer_t *peer = &fixture->peer;
    const char *wrong;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)i;
    }
    memcpy(peer->s, bytes, 32);
    peer_set_keys(peer, bytes + 0x20, bytes + 0x60);
    assert_string_equal(peer_hello(peer),
                        "$AMTU,1,hello,202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f,"
                        "675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52f,"
                        "75ec8c49372fd2b50298d8177ec7139426f7d87a6d3d99664417a1545e08f690*005d9c7c");
    assert_string_equal(peer_open_seal(peer, seal, &wrong), PASSPHRASE);
    assert_string_equal(peer_refusal(peer, "no-disk"),
                        "$AMTU,1,refusal,202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f,"
                        "no-disk,c7a5a7e34ce497d3e06aabdcb713187e39c6b6b330704a104005af0e9aadad03*f2ee93c0");
    assert_string_equal(peer_result(peer, "unlocked", "none"),
                        "$AMTU,1,result,unlocked,none,"
                        "7c2cfc7bcc1907e8a74371aa86c12ccb0820e1435f5038e63def0aa506a1c8d8*9d0bb4af");
    assert_true(peer_is_acknowledged(
        peer, "$AMTU,1,ack,ae7fa1785877bb826070e6f6020472ae43eb2a4fec92c2b808a7a69d0dc3aba6*4c61ca85\r"));
}

static void test_sessions_differ(void **state)
{
    proof_fixture_t *fixture = *state;
    unsigned char first[PROOF_SECTOR];
    const char *line, *again, *wrong;

    memcpy(first, fixture->sector, sizeof(first));
    give_passphrase(fixture);
    begin(fixture);
    assert_memory_not_equal(first + 68, fixture->sector + 68, 32);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    line = seal_it(fixture);
    assert_null(strstr(line, PASSPHRASE));
    /* the image of another session cannot open it, though it has the same keys */
    begin(fixture);
    assert_null(peer_open_seal(&fixture->peer, line, &wrong));
    assert_string_equal(wrong, "the seal");
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    again = seal_it(fixture);
    assert_string_not_equal(line, again);
}

static void test_a_system_has_a_sane_name(void **state)
{
    const proof_fixture_t *fixture = *state;
    proof_session_t *session;
    char name[255];

    memset(name, 'a', sizeof(name));
    name[254] = '\0';
    assert_non_null(proof_session_create(&session, name, fixture->pool));
    assert_null(session);
    name[253] = '\0';
    assert_null(proof_session_create(&session, name, fixture->pool));
    assert_non_null(proof_session_create(&session, "", fixture->pool));
    assert_non_null(proof_session_create(&session, "PC1.example.com", fixture->pool));
    assert_non_null(proof_session_create(&session, "pc1\n", fixture->pool));
}

static void test_the_longest_name_fits(void **state)
{
    proof_fixture_t *fixture = *state;
    char name[254];
    unsigned char sector[PROOF_SECTOR];
    const char *wrong;

    memset(name, 'a', sizeof(name));
    name[253] = '\0';
    assert_null(proof_session_create(&fixture->session, name, fixture->pool));
    proof_sector(fixture->session, sector);
    assert_null(peer_boot(&fixture->peer, sector, fixture->pool));
    assert_string_equal(fixture->peer.id, name);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    assert_string_equal(peer_open_seal(&fixture->peer, seal_it(fixture), &wrong), PASSPHRASE);
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "unlocked", "none")), PROOF_RESULT_UNLOCKED);
}

/* ---- once ---------------------------------------------------------------------------------------------- */

static void test_nothing_is_sealed_before_hello(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *line;

    assert_non_null(strstr(proof_seal(fixture->session, PASSPHRASE, &line), "has not said hello"));
    assert_null(line);
    give_passphrase(fixture); /* no harm was done */
}

/* Who reads the drive later, the PC's own system for one, learns nothing that says hello. */
static void test_no_sector_after_hello(void **state)
{
    static const unsigned char zeros[PROOF_SECTOR];
    proof_fixture_t *fixture = *state;
    unsigned char sector[PROOF_SECTOR];

    assert_int_equal(proof_sector(fixture->session, sector), 1);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    assert_int_equal(proof_sector(fixture->session, sector), 0);
    assert_memory_equal(sector, zeros, sizeof(zeros));
}

static void test_a_second_seal_is_refused(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *line;

    give_passphrase(fixture);
    assert_non_null(strstr(proof_seal(fixture->session, PASSPHRASE, &line), "its one passphrase"));
    assert_null(line);
    /* the first one's result still counts */
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "unlocked", "none")), PROOF_RESULT_UNLOCKED);
    assert_non_null(proof_seal(fixture->session, PASSPHRASE, &line));
    assert_null(line);
}

static void test_hello_is_said_again(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = peer_hello(&fixture->peer);

    assert_int_equal(hear(fixture, hello), PROOF_HELLO);
    assert_int_equal(hear(fixture, hello), PROOF_NONE);
    seal_it(fixture);
    assert_int_equal(hear(fixture, hello), PROOF_NONE); /* they crossed on the line */
}

/* The seal left when the image had just given up waiting for it, and said so. */
static void test_a_refusal_and_the_seal_cross(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *refusal = peer_refusal(&fixture->peer, "no-seal");

    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    seal_it(fixture);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_NONE);
    assert_int_equal(hear(fixture, refusal), PROOF_RESULT_FAILED);
    assert_string_equal(proof_text(fixture->session), "the image got no passphrase in time");
    assert_true(peer_is_acknowledged(&fixture->peer, proof_acknowledge(fixture->session)));
    assert_int_equal(hear(fixture, refusal), PROOF_AGAIN); /* it crossed the acknowledgement */
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_NONE);
}

static void test_the_newest_hello_before_the_seal_counts(void **state)
{
    proof_fixture_t *fixture = *state;
    peer_t second;
    const char *line, *wrong;

    assert_null(peer_boot(&second, fixture->sector, fixture->pool));
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    assert_int_equal(hear(fixture, peer_hello(&second)), PROOF_NONE);
    line = seal_it(fixture);
    assert_null(peer_open_seal(&fixture->peer, line, &wrong));
    assert_string_equal(peer_open_seal(&second, line, &wrong), PASSPHRASE);
    assert_int_equal(hear(fixture, peer_result(&second, "unlocked", "none")), PROOF_RESULT_UNLOCKED);
}

static void test_the_first_result_counts(void **state)
{
    proof_fixture_t *fixture = *state;

    give_passphrase(fixture);
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "wrong-passphrase", "none")),
                     PROOF_RESULT_WRONG);
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "unlocked", "none")), PROOF_NONE);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_NONE);
    assert_int_equal(hear(fixture, peer_frame("2,farewell", fixture->pool)), PROOF_NONE);
    assert_int_equal(hear(fixture, peer_frame("1,farewell", fixture->pool)), PROOF_NONE);
    assert_non_null(proof_acknowledge(fixture->session));
}

static void test_nothing_comes_of_an_ended_session(void **state)
{
    proof_fixture_t *fixture = *state;
    unsigned char zeros[PROOF_SECTOR] = {0}, sector[PROOF_SECTOR];
    const char *line;

    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    proof_session_end(fixture->session);
    proof_session_end(fixture->session);
    assert_non_null(proof_seal(fixture->session, PASSPHRASE, &line));
    assert_null(line);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_NONE);
    proof_sector(fixture->session, sector);
    assert_memory_equal(sector, zeros, sizeof(zeros));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_result_is_heard, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_refusal_is_heard_at_any_time, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_every_length_of_passphrase, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_passphrase_must_have_a_length, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_peer_agrees_with_the_written_figures, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_sessions_differ, proof_fixture_setup, proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_system_has_a_sane_name, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_longest_name_fits, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_sealed_before_hello, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_no_sector_after_hello, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_second_seal_is_refused, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_hello_is_said_again, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_refusal_and_the_seal_cross, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_newest_hello_before_the_seal_counts, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_first_result_counts, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_nothing_comes_of_an_ended_session, proof_fixture_setup,
                                        proof_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
