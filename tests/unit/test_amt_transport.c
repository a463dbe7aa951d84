/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange with a device, against one that misbehaves: that a body that acts leaves once, whatever the
 * connection does, and what is said about each end. */
#include <netinet/in.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <apr_strings.h>
#include <cmocka.h>

#include "amt_rig.h"

#define ROWS(rows) rows, sizeof(rows) / sizeof((rows)[0])
#define POWER_REQUEST "RequestPowerStateChange_INPUT"

static int power_bodies(const rig_t *rig)
{
    return peer_bodies(rig->peer, POWER_REQUEST);
}

/* ---- digest
 * ------------------------------------------------------------------------------------------------ */

static void test_handshake_then_reuse(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(facts.power.state, 8);
    assert_int_equal(facts.power.on_available, 1);
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(peer_requests(rig.peer, &requests), 3);
    assert_int_equal(requests[0].length, 0); /* the first try shows nothing to a stranger */
    assert_false(requests[0].authorized);
    assert_true(requests[1].authorized && requests[2].authorized);
    assert_int_equal(requests[2].connection, requests[1].connection);
    assert_non_null(strstr(requests[1].head, "qop=auth,"));
    assert_non_null(strstr(requests[1].head, "Host: " RIG_FQDN ":16992"));
    assert_null(strstr(requests[1].head, "Expect"));
    rig_down(&rig);
}

static void test_wrong_password_is_tried_once(void **state)
{
    static const peer_row_t rows[] = {
        {.act = PEER_CHALLENGE}, {.act = PEER_CHALLENGE}, {.act = PEER_CHALLENGE}, {.act = PEER_CHALLENGE}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_int_equal(peer_requests(rig.peer, NULL), 2);
    assert_non_null(strstr(rig.text, RIG_USER));
    assert_null(strstr(rig.text, RIG_PASSWORD));
    rig_down(&rig);
}

static void test_endless_stale_is_bounded(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_STALE}, {.act = PEER_STALE},
                                      {.act = PEER_STALE},     {.act = PEER_STALE}, {.act = PEER_STALE}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_int_equal(peer_requests(rig.peer, NULL), 3);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_int_equal(rig.acted, 0);
    rig_down(&rig);
}

static void test_no_common_mechanism(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_BASIC}, {.act = PEER_BASIC}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_non_null(strstr(rig.text, "kind of authentication"));
    assert_int_equal(peer_requests(rig.peer, NULL), 1);
    rig_down(&rig);
}

/* A device that restarted knows no nonce and does not call the answer stale. */
static void test_forgotten_nonce_is_answered(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_CHALLENGE},
                                      {.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig_read_power(&rig, &facts);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(peer_requests(rig.peer, NULL), 5);
    rig_down(&rig);
}

/* A password that was changed meanwhile: not one try more than that. */
static void test_changed_password_is_bounded(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_CHALLENGE}, {.act = PEER_CHALLENGE},
                                      {.act = PEER_CHALLENGE}, {.act = PEER_CHALLENGE}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_int_equal(rig.acted, 0);
    assert_int_equal(peer_requests(rig.peer, NULL), 5);
    rig_down(&rig);
}

/* ---- a body that acts
 * -------------------------------------------------------------------------------------- */

static void test_power_on_fresh_connection(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    const peer_request_t *requests;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_request_power(&rig, 2);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(rig.return_value, 0);
    assert_int_equal(rig.gate_asked, 1);
    assert_int_equal(peer_requests(rig.peer, &requests), 2);
    assert_int_equal(requests[0].length, 0);
    assert_int_equal(power_bodies(&rig), 1);
    assert_non_null(strstr(requests[1].body, ">2</"));
    assert_non_null(strstr(requests[1].body, "ManagedSystem"));
    rig_down(&rig);
}

static void test_power_is_not_repeated_on_a_closed_connection(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_CLOSE},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_OK);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_BROKEN);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(rig.gate_asked, 1);
    assert_int_equal(power_bodies(&rig), 1);
    rig_down(&rig);
}

/* The same for one that only looks: libcurl's second try is welcome there. */
static void test_looking_is_repeated_on_a_closed_connection(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_CLOSE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(peer_requests(rig.peer, NULL), 4);
    rig_down(&rig);
}

static void test_power_with_stale_nonce_is_given_twice_at_most(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_STALE},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(rig.gate_asked, 2);
    assert_int_equal(power_bodies(&rig), 2);
    rig_down(&rig);
}

static void test_power_with_stale_nonce_for_ever(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_STALE},     {.act = PEER_STALE},
                                      {.act = PEER_STALE},     {.act = PEER_STALE}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_int_equal(rig.acted, 0);
    assert_int_equal(rig.gate_asked, 2);
    assert_int_equal(power_bodies(&rig), 2);
    rig_down(&rig);
}

/* After the 401, the second body meets a closed connection: no third. */
static void test_power_after_stale_is_not_repeated_either(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_STALE},
                                      {.act = PEER_RESET},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_BROKEN);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(power_bodies(&rig), 2);
    rig_down(&rig);
}

/* The nonce is gone without "stale": a handshake, then the body again, past the gate again. */
static void test_power_with_forgotten_nonce(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_CHALLENGE},
                                      {.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.gate_asked, 2);
    assert_int_equal(power_bodies(&rig), 2);
    rig_down(&rig);
}

/* For a peer that stays silent: the limit is waited for. */
static void rig_up_silent(rig_t *rig, const peer_row_t *rows, size_t count)
{
    amt_target_t plain = {.tls = AMT_TLS_NONE, .call_timeout = apr_time_from_sec(1)};

    rig_up_tls(rig, rows, count, NULL, &plain);
}

/* The limit is each answer's own, not one that challenge and answer share. */
static void test_slow_answers(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE, .after_ms = 700},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER, .after_ms = 700}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_silent(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    rig_down(&rig);
}

/* ---- challenges of all kinds --------------------------------------------------------------------------- */

#define CHALLENGED(lines)                                                                                    \
    "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n" lines "\r\n"
#define OFFER(nonce, more) "Digest realm=\"Digest:00\", nonce=\"" nonce "\", stale=\"false\"" more
#define LINE(text) "WWW-Authenticate: " text "\r\n"
#define AUTH ", qop=\"auth\""

typedef struct {
    const char *head;          /* of the 401 */
    const char *nonce, *realm; /* of the challenge that is answered, */
    const char *(*hash)(void); /* and its hash's name */
    int session;
    const char *qop; /* "": as before there was one */
} challenge_t;

static const char *by_md5(void)
{
    return "MD5";
}

static const char *by_sha256(void)
{
    return "SHA256";
}

static const challenge_t challenges[] = {
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=SHA-256")) LINE(OFFER("two", AUTH ", algorithm=MD5"))),
     "two", "Digest:00", by_md5, 0, "auth"},
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=\"SHA-256\"")) LINE(OFFER("two", AUTH))), "two",
     "Digest:00", by_md5, 0, "auth"},
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=MD5")) LINE(OFFER("two", AUTH ", algorithm=SHA-256"))),
     "one", "Digest:00", by_md5, 0, "auth"},
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=SHA-256") ", " OFFER("two", AUTH ", algorithm=MD5"))),
     "two", "Digest:00", by_md5, 0, "auth"},
    {CHALLENGED(
         LINE(OFFER("one", ", algorithm=MD5" AUTH) ",Negotiate, " OFFER("two", ", algorithm=SHA-256" AUTH))),
     "one", "Digest:00", by_md5, 0, "auth"},
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=SHA3-512"))
                    LINE(OFFER("two", AUTH ", algorithm=SHA-256"))),
     "two", "Digest:00", by_sha256, 0, "auth"},
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=SHA3-512"))
                    LINE(OFFER("two", AUTH ", algorithm=SHA-256-sess"))),
     "two", "Digest:00", by_sha256, 1, "auth"},
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=SHA-256-sess"))), "one", "Digest:00", by_sha256, 1,
     "auth"},
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=MD5-sess"))), "one", "Digest:00", by_md5, 1, "auth"},
    {CHALLENGED(LINE(OFFER("one", AUTH ", algorithm=SHA-256"))), "one", "Digest:00", by_sha256, 0, "auth"},
    {CHALLENGED(LINE(OFFER("one", ""))), "one", "Digest:00", by_md5, 0, ""},
    {CHALLENGED(LINE(OFFER("one", "")) LINE(OFFER("two", ", algorithm=SHA-256"))), "one", "Digest:00", by_md5,
     0, ""},
    {CHALLENGED(LINE(OFFER("one", ", qop=\"auth-int\""))), "one", "Digest:00", by_md5, 0, "auth-int"},
    {CHALLENGED(LINE(OFFER("one", ", qop=\"auth-int, auth\""))), "one", "Digest:00", by_md5, 0, "auth"},
    {CHALLENGED(LINE("Digest realm=\"a \\\"b\\\\\", nonce=\"one\", qop=\"auth\"")), "one", "a \"b\\", by_md5,
     0, "auth"},
    {CHALLENGED(LINE("Digest realm=\"a \\\"b\\\\\", nonce=\"one\", qop=\"auth\", algorithm=SHA-256")
                    LINE("Digest realm=\"a \\\"b\\\\\", nonce=\"two\", qop=\"auth\"")),
     "two", "a \"b\\", by_md5, 0, "auth"},
};

/* A parameter of an Authorization header, without its quotes. */
static const char *parameter_of(const peer_request_t *request, const char *name, apr_pool_t *pool)
{
    const char *at = strstr(request->head, apr_pstrcat(pool, " ", name, "=", NULL));

    if (at == NULL) {
        return "";
    }
    at += strlen(name) + 2;
    return *at == '"' ? apr_pstrmemdup(pool, at + 1, strcspn(at + 1, "\""))
                      : apr_pstrmemdup(pool, at, strcspn(at, ",\r\n"));
}

static const char *hash_text(const char *name, const char *text, apr_pool_t *pool)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    char *hex = apr_pcalloc(pool, 2 * sizeof(bytes) + 1);
    unsigned int length = 0;

    assert_int_equal(EVP_Digest(text, strlen(text), bytes, &length, EVP_get_digestbyname(name), NULL), 1);
    for (unsigned int i = 0; i < length; i++) {
        apr_snprintf(hex + 2 * (size_t)i, 3, "%02x", bytes[i]);
    }
    return hex;
}

static void check_answer(const challenge_t *is, const peer_request_t *request, const char *count,
                         apr_pool_t *pool)
{
    const char *name = is->hash(), *cnonce = parameter_of(request, "cnonce", pool);
    const char *login =
        hash_text(name, apr_pstrcat(pool, RIG_USER ":", is->realm, ":" RIG_PASSWORD, NULL), pool);
    const char *content = strcmp(is->qop, "auth-int") == 0
                              ? apr_pstrcat(pool, ":", hash_text(name, request->body, pool), NULL)
                              : "";
    const char *asked = hash_text(name, apr_pstrcat(pool, "POST:/wsman", content, NULL), pool);
    const char *middle = *is->qop ? apr_pstrcat(pool, count, ":", cnonce, ":", is->qop, ":", NULL) : "";

    login = is->session ? hash_text(name, apr_pstrcat(pool, login, ":", is->nonce, ":", cnonce, NULL), pool)
                        : login;
    assert_string_equal(parameter_of(request, "nonce", pool), is->nonce);
    assert_string_equal(parameter_of(request, "qop", pool), is->qop);
    assert_string_equal(
        parameter_of(request, "response", pool),
        hash_text(name, apr_pstrcat(pool, login, ":", is->nonce, ":", middle, asked, NULL), pool));
}

/* Of several challenges one of MD5 is answered, which all firmware takes, else one of SHA-256; and right. */
static void test_challenges_of_all_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(challenges) / sizeof(challenges[0]); i++) {
        const peer_row_t rows[] = {{.act = PEER_RAW, .body = challenges[i].head},
                                   {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                   {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
        const peer_request_t *requests = NULL;
        amt_facts_t facts;
        rig_t rig;

        rig_up(&rig, ROWS(rows));
        for (int call = 0; call < 2; call++) {
            rig_read_power(&rig, &facts);
            assert_string_equal(rig.text, "");
            assert_int_equal(rig.status, AMT_OK);
        }
        assert_int_equal(peer_requests(rig.peer, &requests), 3);
        assert_int_equal(requests[0].authorized, 0);
        check_answer(&challenges[i], &requests[1], "00000001", rig.pool);
        check_answer(&challenges[i], &requests[2], "00000002", rig.pool);
        rig_down(&rig);
    }
}

/* Where it answers by itself the rules are the same: a wrong password goes out once, a forgotten or stale nonce is
 * none, and an act leaves once for each that was not taken. */
static void test_own_answers_follow_the_rules(void **state)
{
#define TWO(nonce, stale)                                                                                    \
    CHALLENGED(LINE("Digest realm=\"r\", nonce=\"" nonce "\", qop=\"auth\", algorithm=SHA-256")              \
                   LINE("Digest realm=\"r\", nonce=\"" nonce "\", qop=\"auth\", stale=" stale))
    static const peer_row_t wrong[] = {{.act = PEER_RAW, .body = TWO("one", "false")},
                                       {.act = PEER_RAW, .body = TWO("two", "false")}};
    static const peer_row_t forgets[] = {{.act = PEER_RAW, .body = TWO("one", "false")},
                                         {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                         {.act = PEER_RAW, .body = TWO("two", "false")},
                                         {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    static const peer_row_t stale[] = {{.act = PEER_RAW, .body = TWO("one", "false")},
                                       {.act = PEER_RAW, .body = TWO("two", "\"true\"")},
                                       {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
    static const peer_row_t endless[] = {{.act = PEER_RAW, .body = TWO("one", "true")},
                                         {.act = PEER_RAW, .body = TWO("two", "true")},
                                         {.act = PEER_RAW, .body = TWO("three", "true")},
                                         {.act = PEER_RAW, .body = TWO("four", "true")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(wrong));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_int_equal(peer_requests(rig.peer, NULL), 2);
    rig_down(&rig);
    rig_up(&rig, ROWS(forgets));
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(power_bodies(&rig), 2);
    assert_int_equal(rig.gate_asked, 2);
    rig_down(&rig);
    rig_up(&rig, ROWS(stale));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_OK);
    rig_down(&rig);
    rig_up(&rig, ROWS(endless));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_int_equal(peer_requests(rig.peer, NULL), 3);
    rig_down(&rig);
}

static void test_power_without_answer(void **state)
{
    static const peer_row_t rows[] = {
        {.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}, {.act = PEER_HANG}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_silent(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_TIMEOUT);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(power_bodies(&rig), 1);
    rig_down(&rig);
}

static void test_power_reset(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_RESET},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_BROKEN);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(power_bodies(&rig), 1);
    rig_down(&rig);
}

/* The device hangs up on the challenge's empty first try: nothing acted, nothing is said to have acted. */
static void test_power_broken_before_its_body(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_RESET}};
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_BROKEN);
    assert_int_equal(rig.acted, 0);
    assert_int_equal(rig.gate_asked, 0);
    assert_int_equal(power_bodies(&rig), 0);
    rig_down(&rig);
}

static void test_closed_gate(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;
    int count;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    rig.gate_open = 0;
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_FENCED);
    assert_int_equal(rig.acted, 0);
    assert_int_equal(rig.gate_asked, 1);
    amt_device_destroy(rig.device);
    rig.device = NULL;
    count = peer_requests(rig.peer, &requests);
    for (int i = 0; i < count; i++) {
        assert_null(strstr(requests[i].body, "PowerState>2<"));
    }
    assert_int_equal(power_bodies(&rig), 0);
    rig_down(&rig);
}

/* The gate closes between a body that was denied and its second giving. */
static int gate_open_once(void *baton)
{
    rig_t *rig = baton;

    return ++rig->gate_asked == 1;
}

static void test_gate_that_closes_before_the_second_body(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER},
                                      {.act = PEER_STALE},
                                      {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    amt_request_power(rig.device, 2, gate_open_once, &rig, rig_done, &rig);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_FENCED);
    assert_int_equal(rig.acted, 0);
    assert_int_equal(rig.gate_asked, 2);
    assert_int_equal(power_bodies(&rig), 1);
    rig_down(&rig);
}

/* ---- ends of all kinds
 * ------------------------------------------------------------------------------------- */

static void test_nobody_listens(void **state)
{
    amt_facts_t facts;
    amt_target_t target;
    rig_t rig;

    (void)state;
    rig_up(&rig, NULL, 0);
    amt_device_destroy(rig.device);
    target = rig.target;
    target.address = "127.129.0.1";
    assert_int_equal(amt_device_create(&rig.device, rig.loop, &target, rig.pool), APR_SUCCESS);
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_UNREACHABLE);
    assert_non_null(strstr(rig.text, RIG_FQDN " (127.129.0.1 port 16992)"));
    assert_int_equal(rig.silent, 0);
    rig_down(&rig);
}

/* The way to it is none: nobody there speaks. */
static void test_no_way_to_it_is_silence(void **state)
{
    amt_facts_t facts;
    amt_target_t target;
    rig_t rig;

    (void)state;
    rig_up(&rig, NULL, 0);
    amt_device_destroy(rig.device);
    target = rig.target;
    target.address = "255.255.255.255"; /* connect() says ENETUNREACH */
    assert_int_equal(amt_device_create(&rig.device, rig.loop, &target, rig.pool), APR_SUCCESS);
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_UNREACHABLE);
    assert_int_equal(rig.silent, 1);
    rig_down(&rig);
}

/* A socket whose backlog of one is full: packets for it are lost. */
static void be_deaf(int sockets[2], struct sockaddr_in *at)
{
    sockets[0] = socket(AF_INET, SOCK_STREAM, 0);
    sockets[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(sockets[0], (struct sockaddr *)at, sizeof(*at)), 0);
    assert_int_equal(listen(sockets[0], 0), 0);
    assert_int_equal(connect(sockets[1], (struct sockaddr *)at, sizeof(*at)), 0);
}

/* An ME that sleeps answers no packet; also where somebody else's network takes the connection for it. */
static void test_who_sleeps_is_silent(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f810002)}};
    const int ports[] = {16992, 16993};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, NULL, 0);
    for (int i = 0; i < 3; i++) { /* plain and with TLS; and with TLS, where only the connection is taken */
        amt_target_t target = rig.target;
        int sockets[2];

        at.sin_port = htons(ports[i > 0]);
        be_deaf(sockets, &at);
        assert_int_equal(i == 2 ? listen(sockets[0], 8) : 0, 0);
        amt_device_destroy(rig.device);
        target.address = "127.129.0.2";
        target.tls = i > 0 ? AMT_TLS_PIN : AMT_TLS_NONE;
        target.pin = "0000000000000000000000000000000000000000000000000000000000000000";
        target.connect_timeout = apr_time_from_msec(300);
        assert_int_equal(amt_device_create(&rig.device, rig.loop, &target, rig.pool), APR_SUCCESS);
        rig_read_power(&rig, &facts);
        assert_int_equal(rig.status, AMT_UNREACHABLE);
        assert_int_equal(rig.silent, 1);
        close(sockets[0]);
        close(sockets[1]);
    }
    rig_down(&rig);
}

/* It challenged: whatever keeps it from answering, it is awake. */
static void test_who_challenged_does_not_sleep(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_HANG}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_silent(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_UNREACHABLE);
    assert_int_equal(rig.silent, 0);
    rig_down(&rig);
}

static void test_silence_before_an_answer_is_unreachable(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_HANG}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_silent(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_UNREACHABLE);
    assert_non_null(strstr(rig.text, "gave no answer"));
    assert_int_equal(rig.silent, 1);
    rig_down(&rig);
}

static void test_answer_without_end(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ENDLESS}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_GARBAGE);
    assert_non_null(strstr(rig.text, "256 KiB"));
    rig_down(&rig);
}

static void test_no_http(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_RAW, .body = "220 smtp.example.com ESMTP\r\n"}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_GARBAGE);
    rig_down(&rig);
}

static void test_headers_without_end(void **state)
{
    static char raw[64 * 1024] = "HTTP/1.1 200 OK\r\n";
    peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_RAW, .body = raw}};
    size_t used = strlen(raw);
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    while (used + 64 < sizeof(raw)) {
        used += (size_t)apr_snprintf(raw + used, sizeof(raw) - used,
                                     "X-Filler-%d: abcdefghijklmnopqrstuvwxyz\r\n", (int)used);
    }
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_GARBAGE);
    rig_down(&rig);
}

static void test_redirect_is_not_followed(void **state)
{
    static const peer_row_t rows[] = {
        {.act = PEER_CHALLENGE},
        {.act = PEER_RAW,
         .body = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n"}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_GARBAGE);
    assert_non_null(strstr(rig.text, "302"));
    rig_down(&rig);
}

/* ---- callbacks and lives
 * ----------------------------------------------------------------------------------- */

static void test_no_callback_from_inside_the_call(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    amt_clear_boot(rig.device, rig_gate, &rig, rig_done, &rig); /* refused: nothing was read before */
    assert_int_equal(rig.dones, 0);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_REFUSED);
    assert_int_equal(rig.gate_asked, 0);
    amt_read(rig.device, AMT_READ_POWER, &facts, rig_done, &rig);
    assert_int_equal(rig.dones, 1);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_OK);
    rig_down(&rig);
}

static void test_no_callback_after_destroy(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_HANG}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    amt_read(rig.device, AMT_READ_POWER, &facts, rig_done, &rig);
    while (peer_requests(rig.peer, NULL) == 0) {
        event_base_loop(rig.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    amt_device_destroy(rig.device);
    rig.device = NULL;
    rig_spin(&rig);
    assert_int_equal(rig.dones, 0);
    rig_down(&rig);
}

static void destroy_inside(void *baton, const amt_result_t *result)
{
    rig_t *rig = baton;

    amt_device_destroy(rig->device);
    rig->device = NULL;
    rig_done(rig, result);
}

static void test_destroy_inside_the_callback(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    amt_read(rig.device, AMT_READ_POWER, &facts, destroy_inside, &rig);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.dones, 1);
    rig_down(&rig);
}

/* Its owner's pool goes without a word: the call under way goes with it. */
static void test_pool_goes_first(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_HANG}};
    amt_device_t *device;
    amt_facts_t facts;
    apr_pool_t *pool;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    apr_pool_create(&pool, rig.pool);
    assert_int_equal(amt_device_create(&device, rig.loop, &rig.target, pool), APR_SUCCESS);
    amt_read(device, AMT_READ_POWER, &facts, rig_done, &rig);
    rig_spin(&rig);
    apr_pool_destroy(pool);
    rig_spin(&rig);
    assert_int_equal(rig.dones, 0);
    rig_down(&rig);
}

#ifndef AMTUNLOCK_TEST /* there it aborts */
static void test_second_call_is_refused(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
    amt_facts_t facts;
    amt_facts_t second;
    rig_t rig;

    (void)state;
    rig_up(&rig, ROWS(rows));
    amt_read(rig.device, AMT_READ_POWER, &facts, rig_done, &rig);
    amt_read(rig.device, AMT_READ_POWER, &second, rig_done, &rig);
    assert_int_equal(rig.dones, 0);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_REFUSED);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(facts.power.state, 8);
    rig_down(&rig);
}
#endif

static void test_targets_that_are_refused(void **state)
{
    static const struct {
        const char *fqdn;
        const char *address;
        amt_tls_e tls;
        const char *pin;
        const char *ca_file;
    } rows[] = {
        {"pc1.example.com/x", "127.0.0.1", AMT_TLS_NONE, NULL, NULL},
        {"pc1@evil.example.com", "127.0.0.1", AMT_TLS_NONE, NULL, NULL},
        {"", "127.0.0.1", AMT_TLS_NONE, NULL, NULL},
        {"pc1.example.com", "pc1.example.com", AMT_TLS_NONE, NULL, NULL},
        {"pc1.example.com", "127.0.0.1:80", AMT_TLS_NONE, NULL, NULL},
        {"pc1.example.com", "127.0.0.1", AMT_TLS_PIN, NULL, NULL},
        {"pc1.example.com", "127.0.0.1", AMT_TLS_PIN, "12", NULL},
        {"pc1.example.com", "127.0.0.1", AMT_TLS_PIN,
         "ZZ34567890123456789012345678901234567890123456789012345678901234", NULL},
        {"pc1.example.com", "127.0.0.1", AMT_TLS_CA, NULL, NULL},
        {"pc1.example.com", "127.0.0.1", AMT_TLS_LEGACY, NULL, NULL},
    };
    rig_t rig;

    (void)state;
    rig_up(&rig, NULL, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        amt_target_t target = {.fqdn = rows[i].fqdn,
                               .address = rows[i].address,
                               .tls = rows[i].tls,
                               .pin = rows[i].pin,
                               .ca_file = rows[i].ca_file,
                               .user = RIG_USER,
                               .password = RIG_PASSWORD};
        amt_device_t *device;

        assert_int_equal(amt_device_create(&device, rig.loop, &target, rig.pool), APR_EINVAL);
    }
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_then_reuse),
        cmocka_unit_test(test_wrong_password_is_tried_once),
        cmocka_unit_test(test_endless_stale_is_bounded),
        cmocka_unit_test(test_no_common_mechanism),
        cmocka_unit_test(test_forgotten_nonce_is_answered),
        cmocka_unit_test(test_changed_password_is_bounded),
        cmocka_unit_test(test_power_on_fresh_connection),
        cmocka_unit_test(test_power_is_not_repeated_on_a_closed_connection),
        cmocka_unit_test(test_looking_is_repeated_on_a_closed_connection),
        cmocka_unit_test(test_power_with_stale_nonce_is_given_twice_at_most),
        cmocka_unit_test(test_power_with_stale_nonce_for_ever),
        cmocka_unit_test(test_power_after_stale_is_not_repeated_either),
        cmocka_unit_test(test_power_with_forgotten_nonce),
        cmocka_unit_test(test_slow_answers),
        cmocka_unit_test(test_challenges_of_all_kinds),
        cmocka_unit_test(test_own_answers_follow_the_rules),
        cmocka_unit_test(test_power_without_answer),
        cmocka_unit_test(test_power_reset),
        cmocka_unit_test(test_power_broken_before_its_body),
        cmocka_unit_test(test_closed_gate),
        cmocka_unit_test(test_gate_that_closes_before_the_second_body),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_no_way_to_it_is_silence),
        cmocka_unit_test(test_who_sleeps_is_silent),
        cmocka_unit_test(test_who_challenged_does_not_sleep),
        cmocka_unit_test(test_silence_before_an_answer_is_unreachable),
        cmocka_unit_test(test_answer_without_end),
        cmocka_unit_test(test_no_http),
        cmocka_unit_test(test_headers_without_end),
        cmocka_unit_test(test_redirect_is_not_followed),
        cmocka_unit_test(test_no_callback_from_inside_the_call),
        cmocka_unit_test(test_no_callback_after_destroy),
        cmocka_unit_test(test_destroy_inside_the_callback),
        cmocka_unit_test(test_pool_goes_first),
#ifndef AMTUNLOCK_TEST
        cmocka_unit_test(test_second_call_is_refused),
#endif
        cmocka_unit_test(test_targets_that_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
