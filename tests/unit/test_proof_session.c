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

/* NULL, or what is wrong with the names. */
static const char *create(const proof_fixture_t *fixture, const char *job, const char *system,
                          const char *fence)
{
    const proof_boot_t boot = {.job = job, .system = system, .fence = fence};
    proof_session_t *session;
    const char *error = proof_session_create(&session, &fixture->key, &boot, fixture->pool);

    assert_int_equal(session == NULL, error != NULL);
    return error;
}

static void test_a_boot_has_sane_names(void **state)
{
    const proof_fixture_t *fixture = *state;
    proof_session_t *session;
    char name[255];

    memset(name, 'a', sizeof(name));
    name[254] = '\0';
    assert_non_null(create(fixture, "job1", name, "1"));
    assert_non_null(create(fixture, name, SYSTEM, "1"));
    name[253] = '\0';
    assert_null(create(fixture, "job1", name, "1"));
    name[128] = '\0';
    assert_null(create(fixture, name, SYSTEM, "18446744073709551615"));
    assert_non_null(create(fixture, "", SYSTEM, "1"));
    assert_non_null(create(fixture, "job1", "", "1"));
    assert_non_null(create(fixture, "job1", "PC1.example.com", "1"));
    assert_non_null(create(fixture, "job1", "pc1\n", "1"));
    assert_non_null(create(fixture, "job1", SYSTEM, ""));
    assert_non_null(create(fixture, "job1", SYSTEM, "-1"));
    assert_non_null(create(fixture, "job1", SYSTEM, "118446744073709551615"));
    assert_non_null(strstr(proof_session_create(&session, NULL, BOOT("1"), fixture->pool), "no proof key"));
    assert_null(session);
}

static void test_the_longest_names_fit(void **state)
{
    proof_fixture_t *fixture = *state;
    char name[254], job[129];
    const proof_boot_t boot = {.job = job, .system = name, .fence = "18446744073709551615"};
    unsigned char sector[PROOF_SECTOR];
    const char *wrong;

    memset(name, 'a', sizeof(name));
    name[253] = '\0';
    memset(job, 'b', sizeof(job));
    job[128] = '\0';
    assert_null(proof_session_create(&fixture->session, &fixture->key, &boot, fixture->pool));
    proof_sector(fixture->session, sector);
    assert_null(peer_boot(&fixture->peer, sector, fixture->pool));
    assert_string_equal(fixture->peer.id, name);
    assert_int_equal(hear(fixture, peer_hello(&fixture->peer)), PROOF_HELLO);
    assert_string_equal(peer_open_seal(&fixture->peer, seal_it(fixture), &wrong), PASSPHRASE);
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "unlocked", "none")), PROOF_RESULT_UNLOCKED);
}

/* ---- S of a boot --------------------------------------------------------------------------------------- */

/* S as the sector has it. */
static const unsigned char *secret_of(const proof_fixture_t *fixture, const proof_key_t *key, const char *job,
                                      const char *system, const char *fence)
{
    const proof_boot_t boot = {.job = job, .system = system, .fence = fence};
    unsigned char *sector = apr_palloc(fixture->pool, PROOF_SECTOR);
    proof_session_t *session;

    assert_null(proof_session_create(&session, key, &boot, fixture->pool));
    assert_int_equal(proof_sector(session, sector), 1);
    return sector + 68;
}

/* openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:000102...1e1f -kdfopt hexinfo:INFO HKDF, where INFO is
 * 18 "amtunlock-proof-1 secret" 04 "job1" 0f "pc1.example.com" 02 "42" */
static void test_the_secret_is_as_computed_elsewhere(void **state)
{
    static const unsigned char expected[] = {0x47, 0xb9, 0x8c, 0x63, 0x1f, 0xf6, 0x16, 0x7f, 0xa8, 0x53, 0x79,
                                             0xbe, 0x17, 0x3c, 0xc3, 0x6e, 0x36, 0x67, 0xb3, 0x9f, 0xcb, 0x02,
                                             0x0e, 0xff, 0xc6, 0xc7, 0xa9, 0xd6, 0x43, 0x96, 0x85, 0x6a};
    const proof_fixture_t *fixture = *state;
    proof_key_t key = {.id = ""};

    for (int i = 0; i < PROOF_BYTES; i++) {
        key.bytes[i] = (unsigned char)i;
    }
    assert_memory_equal(secret_of(fixture, &key, "job1", "pc1.example.com", "42"), expected, 32);
}

/* Also where the names, one behind the other, are the same letters. */
static void test_another_boot_has_another_secret(void **state)
{
    static const struct {
        unsigned char key;
        const char *job, *system, *fence;
    } boots[] = {
        {7, "job1", "pc1.example.com", "42"},  {8, "job1", "pc1.example.com", "42"},
        {7, "job2", "pc1.example.com", "42"},  {7, "job1", "pc2.example.com", "42"},
        {7, "job1", "pc1.example.com", "43"},  {7, "job", "1pc1.example.com", "42"},
        {7, "job1p", "c1.example.com", "42"},  {7, "job1", "pc1.example.com4", "2"},
        {7, "job1", "pc1.example.com", "042"}, {7, "pc1.example.com", "job1", "42"},
    };
    enum { BOOTS = sizeof(boots) / sizeof(boots[0]) };
    const proof_fixture_t *fixture = *state;
    const unsigned char *secrets[BOOTS];
    proof_key_t key = {.bytes = {0}};

    for (size_t i = 0; i < BOOTS; i++) {
        memset(key.bytes, boots[i].key, sizeof(key.bytes));
        secrets[i] = secret_of(fixture, &key, boots[i].job, boots[i].system, boots[i].fence);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(secrets[i], secrets[j], 32);
        }
    }
}

/* ---- taking over --------------------------------------------------------------------------------------- */

static void test_who_takes_over_serves_the_same_sector(void **state)
{
    proof_fixture_t *fixture = *state;
    unsigned char sector[PROOF_SECTOR];

    take_over(fixture);
    assert_int_equal(proof_sector(fixture->session, sector), 1);
    assert_memory_equal(sector, fixture->sector, sizeof(sector));
}

/* Whether the predecessor had heard the hello or not: the image says it until a seal comes. */
static void test_who_takes_over_hears_the_same_hello(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = peer_hello(&fixture->peer), *wrong;

    assert_int_equal(hear(fixture, hello), PROOF_HELLO);
    take_over(fixture);
    assert_int_equal(hear(fixture, hello), PROOF_HELLO);
    assert_string_equal(peer_open_seal(&fixture->peer, seal_it(fixture), &wrong), PASSPHRASE);
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "unlocked", "none")), PROOF_RESULT_UNLOCKED);
    assert_true(peer_is_acknowledged(&fixture->peer, proof_acknowledge(fixture->session)));
}

/* A refusal needs no seal; the image may say it for as long as nobody acknowledges it. */
static void test_who_takes_over_hears_a_refusal(void **state)
{
    proof_fixture_t *fixture = *state;

    take_over(fixture);
    assert_int_equal(hear(fixture, peer_refusal(&fixture->peer, "no-disk")), PROOF_RESULT_FAILED);
    assert_true(peer_is_acknowledged(&fixture->peer, proof_acknowledge(fixture->session)));
}

/* The field behind a seal's second comma is the worker's nonce, behind its third the worker's key. */
static const char *field_of(const char *line, int commas)
{
    for (int i = 0; i < commas; i++) {
        line = strchr(line, ',') + 1;
    }
    return line;
}

/* No seal of one boot shares a nonce, a key or a secret with another: what a recorded seal of the predecessor is worth
 * does not change, and what it made the image say is believed by nobody else. */
static void test_seals_of_one_boot_have_nothing_in_common(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = peer_hello(&fixture->peer), *first, *second, *wrong;

    assert_int_equal(hear(fixture, hello), PROOF_HELLO);
    first = seal_it(fixture);
    take_over(fixture);
    assert_int_equal(hear(fixture, hello), PROOF_HELLO);
    second = seal_it(fixture);
    for (int field = 3; field <= 5; field++) {
        assert_memory_not_equal(field_of(first, field), field_of(second, field), 64);
    }
    assert_string_equal(peer_open_seal(&fixture->peer, first, &wrong), PASSPHRASE);
    assert_int_equal(hear(fixture, peer_result(&fixture->peer, "unlocked", "none")), PROOF_BROKEN);
    assert_non_null(strstr(proof_text(fixture->session), "wrong proof"));
}

static void test_who_has_another_key_or_fence_hears_no_hello(void **state)
{
    proof_fixture_t *fixture = *state;
    const char *hello = peer_hello(&fixture->peer);
    proof_key_t other = fixture->key;

    other.bytes[31] ^= 1;
    assert_null(proof_session_create(&fixture->session, &other, BOOT("1"), fixture->pool));
    assert_int_equal(hear(fixture, hello), PROOF_BROKEN);
    assert_null(proof_session_create(&fixture->session, &fixture->key, BOOT("2"), fixture->pool));
    assert_int_equal(hear(fixture, hello), PROOF_BROKEN);
    assert_null(proof_session_create(&fixture->session, &fixture->key, BOOT("1"), fixture->pool));
    assert_int_equal(hear(fixture, hello), PROOF_HELLO);
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
        cmocka_unit_test_setup_teardown(test_a_boot_has_sane_names, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_longest_names_fit, proof_fixture_setup,
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
        cmocka_unit_test_setup_teardown(test_the_secret_is_as_computed_elsewhere, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_another_boot_has_another_secret, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_who_takes_over_serves_the_same_sector, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_who_takes_over_hears_the_same_hello, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_who_takes_over_hears_a_refusal, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_seals_of_one_boot_have_nothing_in_common, proof_fixture_setup,
                                        proof_fixture_teardown),
        cmocka_unit_test_setup_teardown(test_who_has_another_key_or_fence_hears_no_hello, proof_fixture_setup,
                                        proof_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
