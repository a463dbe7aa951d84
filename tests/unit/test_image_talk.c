/* SPDX-License-Identifier: Apache-2.0 */
/* The unlock image's side of the proof: against the numbers of mod_amtunlock/proof/README.md, and against the worker's
 * side, with which it shares no code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <apr_strings.h>

#include "image/talk_priv.h"
#include "proof_fixture.h"

#define SEAL_OF_THE_PAGE                                                                                               \
    "$AMTU,1,seal,404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f,"                                   \
    "493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d,"                                                \
    "da9645594bdb35fb1a35550a311539857af4c1e9492963859abafc32cc09cbf752b6f619b41f48f60e2ee9ab08c272e9fb664fe209b1ff6d" \
    "fa2152521ebca3a4cfc135a2650da1c0f09065c331d21f43ed62b11c6d6339641529dc963aa787c508a9d567975eec9b0415c34a1a9560f4" \
    "bb96327990f97096c8b05b0b939904a9833596bf00ef9bcb61d4aaa47cd548a4*3ee53d95"
#define UNLOCKED (&(image_result_t){IMAGE_UNLOCKED, "none"})

typedef struct {
    proof_fixture_t *fixture;
    keys_t keys;
    talk_t talk;
    image_passphrase_t passphrase;
    long now, wait;
} pc_t;

/* A PC that was booted through the fixture's session. */
static pc_t *boot_pc(void **state)
{
    static pc_t pc;

    memset(&pc, 0, sizeof(pc));
    pc.fixture = *state;
    begin(pc.fixture);
    assert_true(keys_take_sector(&pc.keys, pc.fixture->sector));
    assert_true(keys_make(&pc.keys));
    talk_begin(&pc.talk, &pc.keys);
    return &pc;
}

/* The PC of the page. */
static pc_t *boot_page(void **state)
{
    pc_t *pc = boot_pc(state);

    for (unsigned i = 0; i < KEYS_BYTES; i++) {
        pc->keys.s[i] = (unsigned char)i;
        pc->keys.nonce[i] = (unsigned char)(0x20 + i);
        pc->keys.private_key[i] = (unsigned char)(0x60 + i);
    }
    assert_true(keys_make_public(&pc->keys));
    talk_begin(&pc->talk, &pc->keys);
    return pc;
}

static void take(pc_t *pc, const char *text)
{
    talk_take(&pc->talk, text, strlen(text), &pc->passphrase);
}

/* What it says at the time, which must be now. */
static const char *said(pc_t *pc)
{
    const char *line = talk_due(&pc->talk, pc->now, &pc->wait);

    assert_non_null(line);
    return line;
}

/* A frame of the other side, its check made right. */
static void take_frame(pc_t *pc, const char *body)
{
    take(pc, peer_frame(body, pc->fixture->pool));
}

static const char *seal_for(pc_t *pc, const char *passphrase)
{
    const char *line;

    assert_int_equal(hear(pc->fixture, said(pc)), PROOF_HELLO);
    assert_null(proof_seal(pc->fixture->session, passphrase, &line));
    return line;
}

/* ---- the page's numbers -------------------------------------------------------------------------------- */

static void test_numbers_of_the_page(void **state)
{
    pc_t *pc = boot_page(state);

    assert_string_equal(said(pc),
                        "\r\n$AMTU,1,hello,202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f,"
                        "675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52f,"
                        "75ec8c49372fd2b50298d8177ec7139426f7d87a6d3d99664417a1545e08f690*005d9c7c\r\n");
    take(pc, SEAL_OF_THE_PAGE);
    assert_int_equal(pc->talk.state, TALK_TRYING);
    assert_int_equal(pc->passphrase.length, strlen(PASSPHRASE));
    assert_memory_equal(pc->passphrase.bytes, PASSPHRASE, strlen(PASSPHRASE));
    talk_result(&pc->talk, UNLOCKED);
    assert_string_equal(said(pc),
                        "\r\n$AMTU,1,result,unlocked,none,"
                        "7c2cfc7bcc1907e8a74371aa86c12ccb0820e1435f5038e63def0aa506a1c8d8*9d0bb4af\r\n");
    take(pc, "$AMTU,1,ack,ae7fa1785877bb826070e6f6020472ae43eb2a4fec92c2b808a7a69d0dc3aba6*4c61ca85\r");
    assert_int_equal(pc->talk.state, TALK_OVER);
    assert_true(pc->talk.heard);
}

static void test_refusal_of_the_page(void **state)
{
    pc_t *pc = boot_page(state);

    talk_refuse(&pc->talk, IMAGE_NO_DISK);
    assert_string_equal(
        said(pc), "\r\n$AMTU,1,refusal,202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f,"
                  "no-disk,c7a5a7e34ce497d3e06aabdcb713187e39c6b6b330704a104005af0e9aadad03*f2ee93c0\r\n");
}

/* ---- against the worker's side ------------------------------------------------------------------------- */

static void test_each_result_is_believed(void **state)
{
    static const struct {
        image_result_t result;
        proof_event_e event;
        const char *text;
    } cases[] = {
        {{IMAGE_UNLOCKED, "none"}, PROOF_RESULT_UNLOCKED, ""},
        {{IMAGE_WRONG_PASSPHRASE, "none"}, PROOF_RESULT_WRONG, ""},
        {{IMAGE_FAILED, IMAGE_NO_SYSTEM},
         PROOF_RESULT_FAILED,
         "the disk is open, but no system on it can be started in memory"},
        {{IMAGE_FAILED, IMAGE_LOCKED_OUT},
         PROOF_RESULT_FAILED,
         "the disk takes no more tries before its power was off"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pc_t *pc = boot_pc(state);

        take(pc, seal_for(pc, PASSPHRASE));
        assert_int_equal(pc->talk.state, TALK_TRYING);
        assert_null(talk_due(&pc->talk, pc->now, &pc->wait));
        talk_result(&pc->talk, &cases[i].result);
        assert_int_equal(hear(pc->fixture, said(pc)), cases[i].event);
        assert_string_equal(proof_text(pc->fixture->session), cases[i].text);
        take(pc, proof_acknowledge(pc->fixture->session));
        assert_true(pc->talk.heard);
    }
}

static void test_each_length_of_passphrase(void **state)
{
    static const size_t lengths[] = {1, 125, 126, 127, 254, 255, 382, 383, 510, 511, 512};
    char text[513];

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        pc_t *pc = boot_pc(state);

        memset(text, 'x', lengths[i]);
        text[lengths[i]] = '\0';
        take(pc, seal_for(pc, text));
        assert_int_equal(pc->talk.state, TALK_TRYING);
        assert_int_equal(pc->passphrase.length, lengths[i]);
        assert_memory_equal(pc->passphrase.bytes, text, lengths[i]);
    }
}

static void test_seal_between_noise_byte_by_byte(void **state)
{
    pc_t *pc = boot_pc(state);
    const char *line = seal_for(pc, PASSPHRASE);

    take(pc, "\033[2J$AMTU,1,ack,$AM$AMTU");
    for (; *line != '\0'; line++) {
        talk_take(&pc->talk, line, 1, &pc->passphrase);
    }
    assert_int_equal(pc->talk.state, TALK_TRYING);
    talk_take(&pc->talk, "\0", 1, &pc->passphrase);
    assert_int_equal(pc->talk.state, TALK_TRYING);
}

/* ---- what is not a seal for it ------------------------------------------------------------------------- */

static void test_cut_seal_is_refused_at_once(void **state)
{
    static const size_t kept[] = {13, 14, 100, 290, 430};

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        pc_t *pc = boot_pc(state);
        const char *line = apr_pstrndup(pc->fixture->pool, seal_for(pc, PASSPHRASE), kept[i]);

        take(pc, line);
        assert_int_equal(pc->talk.state, TALK_GREETING);
        take(pc, "\n");
        assert_int_equal(pc->talk.state, TALK_SAYING);
        assert_int_equal(hear(pc->fixture, said(pc)), PROOF_RESULT_FAILED);
        assert_string_equal(proof_text(pc->fixture->session), "the passphrase reached the image damaged");
    }
}

static void test_seal_that_broke_off_early_is_noise(void **state)
{
    pc_t *pc = boot_pc(state);
    const char *line = seal_for(pc, PASSPHRASE);

    take(pc, "$AMTU,1,seal\n");
    assert_int_equal(pc->talk.state, TALK_GREETING);
    take(pc, line);
    assert_int_equal(pc->talk.state, TALK_TRYING);
}

static void test_changed_byte_is_refused(void **state)
{
    pc_t *pc = boot_pc(state);
    const char *line = seal_for(pc, PASSPHRASE);
    char *changed = apr_pstrdup(pc->fixture->pool, line);

    changed[200] = changed[200] == '0' ? '1' : '0';
    take(pc, changed);
    assert_string_equal(strstr(said(pc), "seal-damaged") != NULL ? "seal-damaged" : "", "seal-damaged");
}

static void test_seal_for_another_boot_does_not_open(void **state)
{
    pc_t *pc = boot_page(state);

    pc->keys.nonce[0] ^= 1;
    take(pc, SEAL_OF_THE_PAGE);
    assert_int_equal(pc->talk.state, TALK_SAYING);
    assert_non_null(strstr(said(pc), ",seal-invalid,"));
}

static void test_public_key_of_small_order_ends_it(void **state)
{
    pc_t *pc = boot_pc(state);
    char zeros[289];

    memset(zeros, '0', 288);
    zeros[288] = '\0';
    take_frame(pc, apr_psprintf(pc->fixture->pool, "1,seal,%.64s,%.64s,%s", zeros, zeros, zeros));
    assert_int_equal(pc->talk.state, TALK_OVER);
    assert_false(pc->talk.heard);
    assert_null(talk_due(&pc->talk, 0, &pc->wait));
}

static void test_how_frames_are_judged(void **state)
{
    static const struct {
        const char *body;
        talk_state_e state;
    } cases[] = {
        {"1,hello,00", TALK_GREETING},
        {"1,result", TALK_GREETING},
        {"1,refusal,x,y,z,1,2,3,4", TALK_GREETING},
        {"1,ack,0000000000000000000000000000000000000000000000000000000000000000", TALK_GREETING},
        {"1,ack,00", TALK_OVER},
        {"1,ack", TALK_OVER},
        {"1,ack,000000000000000000000000000000000000000000000000000000000000000z", TALK_OVER},
        {"1,seal", TALK_OVER},
        {"1,seal,00,00,00", TALK_OVER},
        {"1,open,00", TALK_OVER},
        {"1", TALK_OVER},
        {"", TALK_OVER},
        {"2,hello,00", TALK_OVER},
        {"01,hello,00", TALK_OVER},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pc_t *pc = boot_pc(state);

        take_frame(pc, cases[i].body);
        assert_int_equal(pc->talk.state, cases[i].state);
    }
}

static void test_only_the_right_acknowledgement_counts(void **state)
{
    pc_t *pc = boot_pc(state);

    talk_refuse(&pc->talk, IMAGE_NO_DISK);
    take_frame(pc, "2,hello,00");
    take_frame(pc, "1,ack");
    take_frame(pc, "1,ack,0000000000000000000000000000000000000000000000000000000000000000");
    take(pc, SEAL_OF_THE_PAGE);
    assert_int_equal(pc->talk.state, TALK_SAYING);
    assert_int_equal(hear(pc->fixture, said(pc)), PROOF_RESULT_FAILED);
    take(pc, proof_acknowledge(pc->fixture->session));
    assert_true(pc->talk.heard);
}

static void test_endless_frame_ends_at_its_limit(void **state)
{
    pc_t *pc = boot_pc(state);

    take(pc, "$AMTU,1,hello,");
    for (int i = 0; i < 5000; i++) {
        take(pc, "0");
    }
    assert_int_equal(pc->talk.state, TALK_GREETING);
    take(pc, seal_for(pc, PASSPHRASE));
    assert_int_equal(pc->talk.state, TALK_TRYING);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static void test_says_it_every_second(void **state)
{
    pc_t *pc = boot_pc(state);
    const char *first = apr_pstrdup(pc->fixture->pool, said(pc));

    assert_null(talk_due(&pc->talk, 400, &pc->wait));
    assert_int_equal(pc->wait, 600);
    for (pc->now = 1000; pc->now < 120000; pc->now += 1000) {
        assert_string_equal(said(pc), first);
    }
    assert_int_equal(hear(pc->fixture, said(pc)), PROOF_RESULT_FAILED);
    assert_string_equal(proof_text(pc->fixture->session), "the image got no passphrase in time");
    pc->now += 29000;
    assert_non_null(strstr(said(pc), "refusal"));
    assert_null(talk_due(&pc->talk, pc->now + 1000, &pc->wait));
    assert_int_equal(pc->talk.state, TALK_OVER);
    assert_false(pc->talk.heard);
}

/* ---- the sector ---------------------------------------------------------------------------------------- */

static void test_each_byte_of_the_sector_counts(void **state)
{
    pc_t *pc = boot_pc(state);
    unsigned char *sector = pc->fixture->sector;
    keys_t keys;

    for (size_t i = 0; i < KEYS_SECTOR; i++) {
        sector[i] ^= 1;
        assert_false(keys_take_sector(&keys, sector));
        sector[i] ^= 1;
    }
    assert_true(keys_take_sector(&keys, sector));
    assert_string_equal(keys.id, SYSTEM);
}

/* What is wrong though its SHA-256 is right. */
static void test_sector_of_another_form(void **state)
{
    static const struct {
        size_t at;
        unsigned char byte;
    } cases[] = {{0, 'b'},  {64, 2}, {65, 0},    {65, 2},  {66, 0},    {66, 14},
                 {66, 254}, {67, 1}, {100, 'P'}, {100, 0}, {115, 'x'}, {2015, 1}};
    pc_t *pc = boot_pc(state);
    unsigned char sector[KEYS_SECTOR];
    keys_t keys;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(sector, pc->fixture->sector, sizeof(sector));
        sector[cases[i].at] = cases[i].byte;
        assert_true(keys_hash(sector, 2016, sector + 2016));
        assert_false(keys_take_sector(&keys, sector));
    }
}

int main(void)
{
#define IN_A_SESSION(test) cmocka_unit_test_setup_teardown(test, proof_fixture_setup, proof_fixture_teardown)
    const struct CMUnitTest tests[] = {
        IN_A_SESSION(test_numbers_of_the_page),
        IN_A_SESSION(test_refusal_of_the_page),
        IN_A_SESSION(test_each_result_is_believed),
        IN_A_SESSION(test_each_length_of_passphrase),
        IN_A_SESSION(test_seal_between_noise_byte_by_byte),
        IN_A_SESSION(test_cut_seal_is_refused_at_once),
        IN_A_SESSION(test_seal_that_broke_off_early_is_noise),
        IN_A_SESSION(test_changed_byte_is_refused),
        IN_A_SESSION(test_seal_for_another_boot_does_not_open),
        IN_A_SESSION(test_public_key_of_small_order_ends_it),
        IN_A_SESSION(test_how_frames_are_judged),
        IN_A_SESSION(test_only_the_right_acknowledgement_counts),
        IN_A_SESSION(test_endless_frame_ends_at_its_limit),
        IN_A_SESSION(test_says_it_every_second),
        IN_A_SESSION(test_each_byte_of_the_sector_counts),
        IN_A_SESSION(test_sector_of_another_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
