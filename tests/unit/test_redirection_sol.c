/* SPDX-License-Identifier: Apache-2.0 */
/* Serial-over-LAN against a device of our own: the login, text both ways, and every way to end, the device's
 * mistakes among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "amt/redirection/sol.h"
#include "amt_certificate.h"
#include "amt_rig.h"
#include "redirection_peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DAY (24L * 60 * 60)

/* ---- the rig --------------------------------------------------------------------------------- */

typedef struct {
    apr_pool_t *pool;
    struct event_base *base;
    amt_loop_t *loop;
    amt_target_t target;
    redirection_peer_t *peer;
    amt_sol_t *sol;
    const char *typed;  /* sent once `prompt` was received */
    const char *prompt; /* NULL: at once */
    int close_on_open;
    int destroy_on_open;
    int patience; /* milliseconds after which it is closed; 0: never */
    int gate_open;
    int gate_asked;
    apr_status_t sent; /* what amt_sol_send() returned */
    int opened;
    int ended;
    amt_status_e status;
    int acted;
    char text[640];
    size_t length;
    char received[70000];
} sol_rig_t;

/* How long the device's answer to a close is waited for; 2000 outside of tests. */
#define CLOSE_MS 200

static int gate(void *baton)
{
    sol_rig_t *rig = baton;

    rig->gate_asked++;
    return rig->gate_open;
}

static void type(sol_rig_t *rig)
{
    if (rig->typed &&
        (!rig->prompt || memmem(rig->received, rig->length, rig->prompt, strlen(rig->prompt)))) {
        rig->sent = amt_sol_send(rig->sol, rig->typed, strlen(rig->typed), gate, rig);
        rig->typed = NULL;
    }
}

static void on_opened(void *baton)
{
    sol_rig_t *rig = baton;

    rig->opened++;
    if (rig->destroy_on_open) {
        amt_sol_destroy(rig->sol);
        rig->sol = NULL;
        event_base_loopbreak(rig->base);
        return;
    }
    if (rig->close_on_open) {
        amt_sol_close(rig->sol);
    }
    type(rig);
}

static void on_received(void *baton, const char *bytes, apr_size_t length)
{
    sol_rig_t *rig = baton;

    assert_true(rig->length + length <= sizeof(rig->received));
    memcpy(rig->received + rig->length, bytes, length);
    rig->length += length;
    type(rig);
    if (memmem(rig->received, rig->length, "BYE", 3)) {
        amt_sol_close(rig->sol);
    }
}

static void on_ended(void *baton, const amt_result_t *result)
{
    sol_rig_t *rig = baton;

    rig->ended++;
    rig->status = result->status;
    rig->acted = result->acted;
    apr_cpystrn(rig->text, result->text, sizeof(rig->text));
    event_base_loopbreak(rig->base);
}

static const amt_sol_events_t sol_events = {on_opened, on_received, on_ended};

static void sol_up(sol_rig_t *rig, play_fn play, void *baton, SSL_CTX *tls, const amt_target_t *trust)
{
    static int ready;

    if (!ready) {
        ready = 1;
        assert_int_equal(apr_initialize(), APR_SUCCESS);
        assert_int_equal(amt_library_init(), APR_SUCCESS);
    }
    memset(rig, 0, sizeof(*rig));
    apr_pool_create(&rig->pool, NULL);
    rig->base = event_base_new();
    assert_int_equal(amt_loop_create(&rig->loop, rig->base, rig->pool), APR_SUCCESS);
    rig->peer = redirection_peer_start(play, baton, tls);
    rig->target = *trust;
    rig->target.fqdn = RIG_FQDN;
    rig->target.address = redirection_peer_address(rig->peer);
    rig->target.user = RIG_USER;
    rig->target.password = RIG_PASSWORD;
    rig->gate_open = 1;
}

static const amt_target_t plain = {.tls = AMT_TLS_NONE};
static const amt_target_t impatient = {
    .tls = AMT_TLS_NONE, .connect_timeout = APR_USEC_PER_SEC / 10, .call_timeout = APR_USEC_PER_SEC / 10};

static void too_long(evutil_socket_t fd, short what, void *baton)
{
    (void)fd;
    (void)what;
    (void)baton;
    fail_msg("no end within 20 s");
}

static void lose_patience(evutil_socket_t fd, short what, void *baton)
{
    sol_rig_t *rig = baton;

    (void)fd;
    (void)what;
    amt_sol_close(rig->sol);
}

/* Opens and runs until the end. */
static void sol_run(sol_rig_t *rig)
{
    struct timeval limit = {20, 0};
    struct timeval patience = {0, (suseconds_t)rig->patience * 1000};
    struct event *guard = evtimer_new(rig->base, too_long, NULL);
    struct event *closer = evtimer_new(rig->base, lose_patience, rig);

    evtimer_add(guard, &limit);
    if (rig->patience) {
        evtimer_add(closer, &patience);
    }
    assert_int_equal(amt_sol_open(&rig->sol, rig->loop, &rig->target, &sol_events, rig, rig->pool),
                     APR_SUCCESS);
    assert_int_equal(rig->ended, 0);
    event_base_dispatch(rig->base);
    event_free(guard);
    event_free(closer);
    event_base_loop(rig->base, EVLOOP_NONBLOCK); /* whatever else there is: no second end */
}

static void sol_down(sol_rig_t *rig)
{
    if (rig->sol) {
        amt_sol_destroy(rig->sol);
    }
    redirection_peer_stop(rig->peer);
    apr_pool_destroy(rig->pool);
    event_base_free(rig->base);
}

/* ---- a device that does it right ------------------------------------------------------------- */

/* What the peer saw. */
typedef struct {
    unsigned char open[24];
    unsigned char lines[14];
    unsigned char data[10 + 64];
    unsigned char rest[256];
    size_t rest_length;
    unsigned char first; /* its first sequence number */
    int done;
} facts_t;

#define SEEN(unsigned_seen) facts_t *seen = (unsigned_seen)

static int say_opened(line_t *line, unsigned char number)
{
    unsigned char opened[25] = {0x21, 0, 0, 0, number, [22] = 2, 'o', 'm'};

    return line_say(line, opened, sizeof(opened));
}

static int say_text(line_t *line, unsigned char number, const char *text)
{
    unsigned char head[10] = {0x2a, 0, 0, 0, number, 0, 0, 0, (unsigned char)strlen(text)};

    return line_say(line, head, sizeof(head)) && line_say(line, text, strlen(text));
}

/* Opens, prompts, hears "hunter2\r", says goodbye in two pieces. */
static void play_prompt(line_t *line, void *baton)
{
    SEEN(baton);
    unsigned char lines[10] = {0x29, 0, 0, 0, (unsigned char)(seen->first + 2), 0, 0, 0, 3, 5};
    unsigned char ping[8] = {0x24, 0, 0, 0, (unsigned char)(seen->first + 3)};
    unsigned char beat[8] = {0x2b, 0, 0, 0, (unsigned char)(seen->first + 4)};
    unsigned char closed[8] = {0x23, 0, 0, 0, (unsigned char)(seen->first + 7)};
    unsigned char close_message[8];
    unsigned char pong[8];
    unsigned char end[4];

    if (!line_let_in(line, "SOL ") || !line_hear(line, seen->open, sizeof(seen->open)) ||
        !say_opened(line, seen->first) || !line_hear(line, seen->lines, sizeof(seen->lines)) ||
        !say_text(line, (unsigned char)(seen->first + 1), "Please unlock disk root: ") ||
        !line_hear(line, seen->data, 10 + 8) || !line_say(line, lines, sizeof(lines)) ||
        !line_say(line, ping, sizeof(ping)) || !line_hear(line, pong, sizeof(pong)) || pong[0] != 0x25 ||
        pong[4] != 3 || !line_say(line, beat, sizeof(beat)) ||
        !say_text(line, (unsigned char)(seen->first + 5), "ok, B") ||
        !say_text(line, (unsigned char)(seen->first + 6), "YE") ||
        !line_hear(line, close_message, sizeof(close_message)) || close_message[0] != 0x22 ||
        close_message[4] != 4 || !line_say(line, closed, sizeof(closed)) ||
        !line_hear(line, end, sizeof(end)) || end[0] != 0x12) {
        return;
    }
    seen->rest_length = line_hear_all(line, seen->rest, sizeof(seen->rest));
    seen->done = 1;
}

static void check_prompt(sol_rig_t *rig, const facts_t *seen)
{
    static const unsigned char open[24] = {0x20, [8] = 0x10, 0x27, 100, 0,    0,   0,
                                           0x10, 0x27,       100,  0,   0x88, 0x13};
    static const unsigned char lines[14] = {0x27, [4] = 1, [10] = 0x1b};
    static const unsigned char data[18] = {0x28, [4] = 2, [8] = 8, 0,   'h', 'u',
                                           'n',  't',     'e',     'r', '2', '\r'};

    assert_string_equal(rig->text, "");
    assert_int_equal(rig->status, AMT_OK);
    assert_int_equal(rig->opened, 1);
    assert_int_equal(rig->ended, 1);
    assert_int_equal(rig->acted, 1);
    assert_int_equal(rig->gate_asked, 1);
    assert_int_equal(amt_sol_powered(rig->sol), 1);
    assert_int_equal(amt_sol_lost(rig->sol), 1);
    assert_true(seen->done);
    assert_int_equal(seen->rest_length, 0);
    assert_memory_equal(seen->open, open, sizeof(open));
    assert_memory_equal(seen->lines, lines, sizeof(lines));
    assert_memory_equal(seen->data, data, sizeof(data));
    assert_int_equal(rig->length, strlen("Please unlock disk root: ok, BYE"));
    assert_memory_equal(rig->received, "Please unlock disk root: ok, BYE", rig->length);
}

static void test_prompt(void **state)
{
    (void)state;
    for (unsigned char first = 0; first < 3; first++) {
        facts_t seen = {.first = first};
        sol_rig_t rig;

        sol_up(&rig, play_prompt, &seen, NULL, &plain);
        rig.prompt = "disk root: ";
        rig.typed = "hunter2\r";
        sol_run(&rig);
        redirection_peer_stop(rig.peer);
        check_prompt(&rig, &seen);
        rig.peer = redirection_peer_start(play_prompt, &seen, NULL);
        sol_down(&rig);
    }
}

/* ---- trust ----------------------------------------------------------------------------------- */

static char folder[] = "/tmp/amtunlock-sol-XXXXXX";
static char ca_file[sizeof(folder) + 16];
static char crl_file[sizeof(folder) + 16];
static char own_file[sizeof(folder) + 16];
static char key_file[sizeof(folder) + 16];
static certificate_t authority;

static int set_up(void **state)
{
    (void)state;
    setenv("AMTUNLOCK_TEST_CLOSE_MS", APR_STRINGIFY(CLOSE_MS), 1);
    assert_non_null(mkdtemp(folder));
    snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", folder);
    snprintf(crl_file, sizeof(crl_file), "%s/crl.pem", folder);
    snprintf(own_file, sizeof(own_file), "%s/own.pem", folder);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
    certificate_make(&authority, "Test CA", NULL, -DAY, DAY);
    certificate_save(&authority, ca_file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certificate_free(&authority);
    unlink(ca_file);
    unlink(crl_file);
    unlink(own_file);
    unlink(key_file);
    rmdir(folder);
    return 0;
}

static const char *const bad_bundle = "/nowhere/ca.pem";

/* Whom the redirection ports are believed: as the WS-Man ports are. */
static void test_trust(void **state)
{
    static const struct {
        const char *name;
        int signed_by_us;
        amt_tls_e tls;
        int wrong_pin;
        int no_bundle;
        int version; /* the device's newest */
        amt_status_e status;
        const char *text;
    } cases[] = {
        {RIG_FQDN, 1, AMT_TLS_CA, 0, 0, 0, AMT_OK, ""},
        {RIG_FQDN, 1, AMT_TLS_CA, 0, 0, TLS1_2_VERSION, AMT_OK, ""},
        {"other.example.com", 1, AMT_TLS_CA, 0, 0, 0, AMT_TLS_UNTRUSTED, "ostname mismatch"},
        {RIG_FQDN, 0, AMT_TLS_CA, 0, 0, 0, AMT_TLS_UNTRUSTED, "self-signed"},
        {RIG_FQDN, 1, AMT_TLS_CA, 0, 1, 0, AMT_TLS_UNTRUSTED, "/nowhere/ca.pem"},
        {RIG_FQDN, 1, AMT_TLS_CA, 0, 0, TLS1_1_VERSION, AMT_TLS_UNTRUSTED, "legacy"},
        {RIG_FQDN, 1, AMT_TLS_LEGACY, 0, 0, TLS1_1_VERSION, AMT_OK, ""},
        {"other.example.com", 1, AMT_TLS_LEGACY, 0, 0, 0, AMT_TLS_UNTRUSTED, "ostname mismatch"},
        {"whatever", 0, AMT_TLS_PIN, 0, 0, 0, AMT_OK, ""},
        {"whatever", 0, AMT_TLS_PIN, 1, 0, 0, AMT_TLS_UNTRUSTED, "another certificate than the pinned one"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        facts_t seen = {.first = 0};
        certificate_t device;
        char pin[65];
        amt_target_t trust = {
            .tls = cases[i].tls, .ca_file = cases[i].no_bundle ? bad_bundle : ca_file, .pin = pin};
        sol_rig_t rig;
        SSL_CTX *ctx;

        certificate_make(&device, cases[i].name, cases[i].signed_by_us ? &authority : NULL, -DAY, DAY);
        certificate_pin(pin, cases[i].wrong_pin ? &authority : &device);
        ctx = certificate_server(&device, cases[i].version);
        sol_up(&rig, play_prompt, &seen, ctx, &trust);
        rig.prompt = "disk root: ";
        rig.typed = "hunter2\r";
        sol_run(&rig);
        assert_non_null(strstr(rig.text, cases[i].text));
        assert_int_equal(rig.status, cases[i].status);
        assert_int_equal(rig.ended, 1);
        assert_int_equal(rig.opened, cases[i].status == AMT_OK);
        assert_int_equal(rig.length > 0, cases[i].status == AMT_OK);
        sol_down(&rig);
        SSL_CTX_free(ctx);
        certificate_free(&device);
    }
}

/* Five answers until the console is open, of which each may take as long as one may. */
static void test_slow_answers(void **state)
{
    facts_t seen = {.first = 0};
    const amt_target_t patient = {.tls = AMT_TLS_NONE, .call_timeout = apr_time_from_msec(500)};
    sol_rig_t rig;

    (void)state;
    sol_up(&rig, play_prompt, &seen, NULL, &patient);
    redirection_peer_slow(rig.peer, 250);
    rig.prompt = "disk root: ";
    rig.typed = "hunter2\r";
    sol_run(&rig);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.opened, 1);
    sol_down(&rig);
}

static void test_firmware_that_breaks_off_tls13(void **state)
{
    certificate_t device;

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    for (int i = 0; i < 4; i++) {
        facts_t seen = {.first = 0};
        const int capped = i % 2;
        const amt_target_t trust = {.tls = AMT_TLS_CA, .ca_file = ca_file, .tls_max = capped ? 2 : 0};
        SSL_CTX *ctx = certificate_server(&device, 0);
        sol_rig_t rig;

        certificate_break_tls13(ctx, i < 2 ? BREAKS_WITH_ALERT : BREAKS_SILENTLY);
        sol_up(&rig, play_prompt, &seen, ctx, &trust);
        rig.prompt = "disk root: ";
        rig.typed = "hunter2\r";
        sol_run(&rig);
        assert_int_equal(rig.opened, capped);
        assert_int_equal(strstr(rig.text, "needs tls-max = 1.2") == NULL, capped);
        sol_down(&rig);
        SSL_CTX_free(ctx);
    }
    certificate_free(&device);
}

/* Mutual TLS and revocation hold there too. */
static void test_own_certificate_and_revocation(void **state)
{
    certificate_t device, own;
    const struct {
        int shows;
        const certificate_t *revoked;
        amt_status_e status;
        const char *text;
    } cases[] = {
        {1, NULL, AMT_OK, ""},
        {0, NULL, AMT_TLS_UNTRUSTED, "tls-certificate"},
        {1, &device, AMT_TLS_UNTRUSTED, "revoked"},
    };

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    certificate_make(&own, "worker", &authority, -DAY, DAY);
    certificate_save(&own, own_file);
    certificate_save_key(&own, key_file);
    for (size_t i = 0; i < COUNT(cases); i++) {
        facts_t seen = {.first = 0};
        const amt_target_t trust = {.tls = AMT_TLS_CA,
                                    .ca_file = ca_file,
                                    .crl_file = crl_file,
                                    .certificate_file = cases[i].shows ? own_file : NULL,
                                    .key_file = cases[i].shows ? key_file : NULL};
        SSL_CTX *ctx = certificate_server(&device, TLS1_2_VERSION);
        sol_rig_t rig;

        certificate_save_crl(&authority, cases[i].revoked, -DAY, DAY, crl_file);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        assert_int_equal(SSL_CTX_load_verify_file(ctx, ca_file), 1);
        sol_up(&rig, play_prompt, &seen, ctx, &trust);
        rig.prompt = "disk root: ";
        rig.typed = "hunter2\r";
        sol_run(&rig);
        assert_non_null(strstr(rig.text, cases[i].text));
        assert_int_equal(rig.status, cases[i].status);
        assert_int_equal(rig.opened, cases[i].status == AMT_OK);
        sol_down(&rig);
        SSL_CTX_free(ctx);
    }
    certificate_free(&device);
    certificate_free(&own);
}

/* ---- refusals and mistakes ------------------------------------------------------------------- */

/* Says these bytes to the start, and waits. */
typedef struct {
    const char *bytes;
    size_t length;
    int logged_in; /* they come after a proper login and opening */
    int hang_up;
    amt_status_e status;
    const char *text;
} mistake_t;

#define BYTES(text) (text), sizeof(text) - 1
#define OPENED "\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static void play_mistake(line_t *line, void *baton)
{
    const mistake_t *mistake = baton;
    unsigned char rest[256];

    if (mistake->logged_in ? line_let_in(line, "SOL ") && line_hear(line, rest, 24)
                           : line_hear(line, rest, 8)) {
        line_say(line, mistake->bytes, mistake->length);
    }
    if (!mistake->hang_up) {
        line_hear_all(line, rest, sizeof(rest));
    }
}

static const mistake_t mistakes[] = {
    {BYTES("\x11\x02\0\0"), 0, 0, AMT_BUSY, "another console"},
    {BYTES("\x11\x02\0\0\1\0\x0b\x08\x57\1\0\0\0"), 0, 0, AMT_BUSY, "another console"},
    {BYTES("\x11\x03\0\0"), 0, 0, AMT_REFUSED, "MEBx"},
    {BYTES("\x11\xff\0\0"), 0, 0, AMT_REFUSED, "status 255"},
    {BYTES("HTTP/1.1 400 Bad Request\r\n"), 0, 0, AMT_GARBAGE, "is it an AMT device"},
    {BYTES("\x11\0\0\0"), 0, 0, AMT_UNREACHABLE, "did not let us in"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\xff"), 0, 0, AMT_UNREACHABLE, "did not let us in"},
    {BYTES(""), 0, 1, AMT_BROKEN, "hung up before"},
    {BYTES(""), 0, 0, AMT_UNREACHABLE, "did not let us in"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\3\0\0\0\1\2\3"), 0, 0, AMT_AUTH_FAILED,
     "no digest"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\0\0\0\0"), 0, 0, AMT_AUTH_FAILED, "no digest"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\1\4\0\0"), 0, 0, AMT_GARBAGE, "too long"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\xff\xff\xff\xff"), 0, 0, AMT_GARBAGE, "too long"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\4\1\0\0\0\4"), 0, 0, AMT_GARBAGE, "another kind"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\2\0\0\0\0\0\0\0"), 0, 0, AMT_BUSY, "another login"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\1\0\0\0\4\x14\0\0\0\4\0\0\0\0"), 0, 0, AMT_GARBAGE,
     "without a password"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\1\0\0\0\4\x14\1\0\0\4\2\0\0\0\1r"), 0, 0,
     AMT_GARBAGE, "realm and nonce"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\1\0\0\0\4\x14\1\0\0\4\6\0\0\0\1r\1n\2a"), 0, 0,
     AMT_GARBAGE, "realm and nonce"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\1\0\0\0\4\x14\1\0\0\4\x0d\0\0\0\1r\1n\x08"
           "auth-int"),
     0, 0, AMT_AUTH_FAILED, "not known here"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\1\0\0\0\4\x14\1\0\0\4\x09\0\0\0\1r\1n\4auth"
           "\x14\1\0\0\4\0\0\0\0"),
     0, 0, AMT_AUTH_FAILED, "\"" RIG_USER "\" or its password"},
    {BYTES("\x11\0\0\0\1\0\x0b\x08\x57\1\0\0\0\x14\0\0\0\0\1\0\0\0\4\x14\1\0\0\4\x09\0\0\0\1r\1n\4auth"
           "\x14\7\0\0\4\0\0\0\0"),
     0, 0, AMT_REFUSED, "status 7"},
    {BYTES("\x21\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, AMT_REFUSED, "status 1"},
    {BYTES("\x21\0"), 1, 0, AMT_TIMEOUT, "did not let us in"},
    {BYTES("\x2a\0\0\0\0\0\0\0\1\0x"), 1, 0, AMT_GARBAGE, "before it opened"},
    {BYTES(OPENED "\x2a\0\0\0\2\0\0\0\1\0x"), 1, 0, AMT_GARBAGE, "number 2 where 1"},
    {BYTES(OPENED "\x2a\0\0\0\0\0\0\0\1\0x"), 1, 0, AMT_GARBAGE, "number 0 where 1"},
    {BYTES(OPENED "\x2b\0\0\0\1\0\0\0\x99\0\0\0"), 1, 0, AMT_GARBAGE, "message 0x99"},
    {BYTES(OPENED "\x21\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), 1, 0, AMT_GARBAGE, "twice"},
    {BYTES(OPENED "\x22\0\0\0\1\0\0\0"), 1, 0, AMT_BROKEN, "closed it"},
    {BYTES(OPENED "\x23\0\0\0\1\0\0\0"), 1, 0, AMT_BROKEN, "closed it"},
    {BYTES(OPENED "\x12\0\0\0"), 1, 0, AMT_BROKEN, "the device ended it"},
    {BYTES(OPENED "\x2a\0\0\0\1\0\0\0\xff\xffshort"), 1, 1, AMT_BROKEN, RIG_FQDN},
    {BYTES(OPENED), 1, 1, AMT_BROKEN, RIG_FQDN},
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        mistake_t mistake = mistakes[i];
        sol_rig_t rig;

        sol_up(&rig, play_mistake, &mistake, NULL, &impatient);
        sol_run(&rig);
        if (rig.status != mistake.status || !strstr(rig.text, mistake.text)) {
            fail_msg("mistake %zu: status %d, \"%s\"", i, rig.status, rig.text);
        }
        assert_int_equal(rig.ended, 1);
        assert_non_null(strstr(rig.text, RIG_FQDN " ("));
        assert_int_equal(redirection_peer_connections(rig.peer), 1);
        sol_down(&rig);
    }
}

/* A session that is cut after any byte ends once, as broken. */
static void test_cut_anywhere(void **state)
{
    size_t all = 0;

    (void)state;
    for (size_t cut = 0; cut == 0 || cut < all; cut++) {
        facts_t seen = {.first = 0};
        sol_rig_t rig;

        sol_up(&rig, play_prompt, &seen, NULL, &plain);
        redirection_peer_cut(rig.peer, cut == 0 ? SIZE_MAX : cut);
        rig.prompt = "disk root: ";
        rig.typed = "hunter2\r";
        sol_run(&rig);
        if (cut == 0) {
            all = redirection_peer_said(rig.peer) - 8; /* up to our close */
            assert_true(all > 100);
        }
        else {
            assert_int_equal(rig.status, AMT_BROKEN);
            assert_int_equal(rig.ended, 1);
            assert_true(*rig.text != '\0');
        }
        sol_down(&rig);
    }
}

/* Any byte changed: it ends once, with an error message unless it ended well. Where a length grew, the rest
 * is waited for; then we close. */
static void test_spoilt_anywhere(void **state)
{
    static const unsigned char masks[] = {0xff, 0x04, 0x01};

    (void)state;
    for (size_t place = 0; place < 250; place += 3) {
        facts_t seen = {.first = 0};
        sol_rig_t rig;

        sol_up(&rig, play_prompt, &seen, NULL, &impatient);
        redirection_peer_spoil(rig.peer, place, masks[place / 3 % 3]);
        rig.prompt = "";
        rig.typed = "hunter2\r";
        rig.patience = 120;
        sol_run(&rig);
        assert_int_equal(rig.ended, 1);
        assert_int_equal(rig.status == AMT_OK, *rig.text == '\0');
        sol_down(&rig);
    }
}

/* ---- ends of our own ------------------------------------------------------------------------- */

static void test_fenced(void **state)
{
    facts_t seen = {.first = 0};
    sol_rig_t rig;

    (void)state;
    sol_up(&rig, play_prompt, &seen, NULL, &plain);
    rig.gate_open = 0;
    rig.typed = "hunter2\r";
    rig.close_on_open = 0;
    rig.sent = APR_SUCCESS;
    assert_int_equal(amt_sol_open(&rig.sol, rig.loop, &rig.target, &sol_events, &rig, rig.pool), APR_SUCCESS);
    assert_int_equal(amt_sol_send(rig.sol, "x", 1, gate, &rig), APR_EBUSY); /* not open yet */
    assert_int_equal(rig.gate_asked, 0);
    assert_int_equal(amt_sol_send(rig.sol, "", 0, gate, &rig), APR_EINVAL);
    while (!rig.gate_asked) {
        event_base_loop(rig.base, EVLOOP_ONCE);
    }
    assert_int_equal(rig.sent, APR_EBUSY);
    amt_sol_close(rig.sol);
    event_base_dispatch(rig.base);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 0);
    assert_int_equal(seen.data[0], 0x22); /* the close, no data */
    sol_down(&rig);
}

/* Closing is done within its limit, whether the device answers or not. */
static void test_close_without_answer(void **state)
{
    mistake_t silent = {.bytes = OPENED, .length = sizeof(OPENED) - 1, .logged_in = 1};
    sol_rig_t rig;
    apr_time_t began;

    (void)state;
    sol_up(&rig, play_mistake, &silent, NULL, &plain);
    rig.close_on_open = 1;
    began = apr_time_now();
    sol_run(&rig);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.ended, 1);
    assert_true(apr_time_now() - began >= apr_time_from_msec(CLOSE_MS));
    assert_true(apr_time_now() - began < apr_time_from_sec(4));
    sol_down(&rig);
}

static void test_close_at_once(void **state)
{
    mistake_t silent = {.bytes = "", .length = 0};
    sol_rig_t rig;

    (void)state;
    sol_up(&rig, play_mistake, &silent, NULL, &plain);
    assert_int_equal(amt_sol_open(&rig.sol, rig.loop, &rig.target, &sol_events, &rig, rig.pool), APR_SUCCESS);
    amt_sol_close(rig.sol);
    amt_sol_close(rig.sol);
    assert_int_equal(rig.ended, 0);
    event_base_dispatch(rig.base);
    assert_int_equal(rig.ended, 1);
    assert_int_equal(rig.status, AMT_OK);
    sol_down(&rig);
}

/* Destroyed in its own callback: `ended` is not called, and the device is sent the end. */
static void play_goodbye(line_t *line, void *baton)
{
    SEEN(baton);

    if (line_let_in(line, "SOL ") && line_hear(line, seen->open, sizeof(seen->open)) && say_opened(line, 0)) {
        seen->rest_length = line_hear_all(line, seen->rest, sizeof(seen->rest));
        seen->done = 1;
    }
}

static void test_destroy(void **state)
{
    static const unsigned char goodbye[] = {0x22, 0, 0, 0, 2, 0, 0, 0, 0x12, 0, 0, 0};
    facts_t seen = {.first = 0};
    sol_rig_t rig;

    (void)state;
    sol_up(&rig, play_goodbye, &seen, NULL, &plain);
    rig.destroy_on_open = 1;
    sol_run(&rig);
    assert_int_equal(rig.ended, 0);
    assert_null(rig.sol);
    sol_down(&rig);
    assert_true(seen.done);
    assert_int_equal(seen.rest_length, 14 + sizeof(goodbye));
    assert_memory_equal(seen.rest + 14, goodbye, sizeof(goodbye));
}

static void test_nobody_there(void **state)
{
    facts_t seen = {.first = 0};
    sol_rig_t rig;

    (void)state;
    sol_up(&rig, play_prompt, &seen, NULL, &plain);
    rig.target.address = "127.0.0.1"; /* and nothing listens there */
    sol_run(&rig);
    assert_int_equal(rig.status, AMT_UNREACHABLE);
    assert_non_null(strstr(rig.text, "ListenerEnabled"));
    sol_down(&rig);
}

static void test_bad_targets(void **state)
{
    static const amt_target_t bad[] = {
        {.fqdn = "a b", .address = "127.0.0.1", .user = "u", .password = "p", .tls = AMT_TLS_NONE},
        {.fqdn = "a", .address = "localhost", .user = "u", .password = "p", .tls = AMT_TLS_NONE},
        {.fqdn = "a", .address = "127.0.0.1", .password = "p", .tls = AMT_TLS_NONE},
        {.fqdn = "a", .address = "127.0.0.1", .user = "u", .password = "p", .tls = AMT_TLS_PIN, .pin = "00"},
        {.fqdn = "a", .address = "127.0.0.1", .user = "u", .password = "p", .tls = AMT_TLS_CA},
    };
    facts_t seen = {.first = 0};
    sol_rig_t rig;

    (void)state;
    sol_up(&rig, play_prompt, &seen, NULL, &plain);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(amt_sol_open(&rig.sol, rig.loop, &bad[i], &sol_events, &rig, rig.pool), APR_EINVAL);
    }
    rig.sol = NULL;
    sol_down(&rig);
}

/* A body of 64 KiB comes through as it is, in whatever pieces. */
static void play_flood(line_t *line, void *baton)
{
    unsigned char rest[64];
    unsigned char head[10] = {0x2a, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff};
    unsigned char *text = malloc(0xffff);

    (void)baton;
    for (size_t i = 0; i < 0xffff; i++) {
        text[i] = (unsigned char)('a' + i % 23);
    }
    if (line_let_in(line, "SOL ") && line_hear(line, rest, 24) && say_opened(line, 0) &&
        line_say(line, head, sizeof(head)) && line_say(line, text, 0xffff)) {
        say_text(line, 2, "BYE");
        line_hear_all(line, rest, sizeof(rest));
    }
    free(text);
}

static void test_flood(void **state)
{
    static sol_rig_t rig;

    (void)state;
    sol_up(&rig, play_flood, NULL, NULL, &plain);
    sol_run(&rig);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.length, 0xffff + 3);
    for (size_t i = 0; i < 0xffff; i++) {
        assert_int_equal(rig.received[i], 'a' + i % 23);
    }
    sol_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompt),
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_firmware_that_breaks_off_tls13),
        cmocka_unit_test(test_slow_answers),
        cmocka_unit_test(test_own_certificate_and_revocation),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_spoilt_anywhere),
        cmocka_unit_test(test_fenced),
        cmocka_unit_test(test_close_without_answer),
        cmocka_unit_test(test_close_at_once),
        cmocka_unit_test(test_destroy),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_flood),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
