/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange with a device, against one that misbehaves: that a body that acts leaves once, whatever the
 * connection does, and what is said about each end. */
#include <netinet/in.h>
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

#define TWO_DIGESTS(first, second)                                                                              \
    "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n"                                   \
    "WWW-Authenticate: Digest realm=\"Digest:00\", nonce=\"bm9uY2U\", stale=\"false\", qop=\"auth\"" first      \
    "\r\nWWW-Authenticate: Digest realm=\"Digest:00\", nonce=\"bm9uY2V\", stale=\"false\", qop=\"auth\"" second \
    "\r\n\r\n"

/* A device that offers more than one digest is answered with the first, which it prefers. */
static void test_two_digests(void **state)
{
    static const struct {
        const char *challenge, *algorithm, *nonce;
    } cases[] = {
        {TWO_DIGESTS(", algorithm=SHA-256", ", algorithm=MD5"), "algorithm=SHA-256", "nonce=\"bm9uY2U\""},
        {TWO_DIGESTS(", algorithm=\"SHA-256\"", ""), "algorithm=SHA-256", "nonce=\"bm9uY2U\""},
        {TWO_DIGESTS(", algorithm=MD5", ", algorithm=SHA-256"), "algorithm=MD5", "nonce=\"bm9uY2U\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const peer_row_t rows[] = {{.act = PEER_RAW, .body = cases[i].challenge},
                                   {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
        const peer_request_t *requests = NULL;
        amt_facts_t facts;
        rig_t rig;

        rig_up(&rig, ROWS(rows));
        rig_read_power(&rig, &facts);
        assert_string_equal(rig.text, "");
        assert_int_equal(rig.status, AMT_OK);
        assert_int_equal(peer_requests(rig.peer, &requests), 2);
        assert_non_null(strstr(requests[1].head, cases[i].algorithm));
        assert_non_null(strstr(requests[1].head, cases[i].nonce));
        rig_down(&rig);
    }
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
        cmocka_unit_test(test_two_digests),
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
