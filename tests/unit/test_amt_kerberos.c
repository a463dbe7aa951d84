/* SPDX-License-Identifier: Apache-2.0 */
/* Kerberos, against a device that misbehaves. Over HTTP: one ticket a connection, one new one after a 401, no
 * digest, and no body that acts on a connection that has shown no ticket. And for redirection sessions.
 * Tickets here are made by this file, in the place of the KDC's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_base64.h>
#include <apr_strings.h>
#include <cmocka.h>
#include <pthread.h>

#include "amt/kerberos/ticket.h"
#include "amt/redirection/sol.h"
#include "amt_certificate.h"
#include "amt_rig.h"
#include "redirection_peer.h"

#define ROWS(rows) rows, sizeof(rows) / sizeof((rows)[0])
#define DAY (24L * 60 * 60)
#define OFF_ANSWER                                                                                           \
    {                                                                                                        \
        .act = PEER_ANSWER, .body = POWER_OFF_ANSWER                                                         \
    }
#define ON_ANSWER                                                                                            \
    {                                                                                                        \
        .act = PEER_ANSWER, .body = POWER_REQUESTED("0")                                                     \
    }

/* ---- tickets, as ticket.h promises them -------------------------------------------------------- */

struct amt_tickets_t {
    int holders;
    int made;
    int alive;
    amt_status_e status; /* of what is made */
};

struct amt_ticket_t {
    amt_tickets_t *tickets; /* NULL: it was not made */
    char token[32];
};

/* The KDC is silent while the test holds this. */
static pthread_mutex_t kdc = PTHREAD_MUTEX_INITIALIZER;

static amt_tickets_t account;

amt_tickets_t *amt_tickets_hold(amt_tickets_t *tickets)
{
    tickets->holders++;
    return tickets;
}

void amt_tickets_drop(amt_tickets_t *tickets)
{
    tickets->holders--;
}

const char *amt_tickets_principal(const amt_tickets_t *tickets)
{
    (void)tickets;
    return "amtunlock@EXAMPLE.COM";
}

amt_ticket_t *amt_ticket_make(amt_tickets_t *tickets, const char *fqdn, int port)
{
    amt_ticket_t *ticket = calloc(1, sizeof(*ticket));

    assert_non_null(ticket);
    pthread_mutex_lock(&kdc);
    pthread_mutex_unlock(&kdc);
    ticket->tickets = tickets;
    tickets->alive++;
    snprintf(ticket->token, sizeof(ticket->token), "%d %s:%d", ++tickets->made, fqdn, port);
    return ticket;
}

amt_ticket_t *amt_ticket_without_turn(const char *fqdn)
{
    (void)fqdn;
    return calloc(1, sizeof(amt_ticket_t));
}

void amt_ticket_free(amt_ticket_t *ticket)
{
    if (ticket && ticket->tickets) {
        ticket->tickets->alive--;
    }
    free(ticket);
}

amt_status_e amt_ticket_status(const amt_ticket_t *ticket)
{
    return ticket->tickets ? ticket->tickets->status : AMT_NO_TICKET;
}

const char *amt_ticket_text(const amt_ticket_t *ticket)
{
    return ticket->tickets ? "no ticket: the test says so" : "no ticket: no turn";
}

const unsigned char *amt_ticket_token(const amt_ticket_t *ticket, apr_size_t *length)
{
    *length = strlen(ticket->token);
    return (const unsigned char *)ticket->token;
}

int amt_ticket_proves(amt_ticket_t *ticket, const unsigned char *answer, apr_size_t length)
{
    (void)ticket;
    return length == 4 && memcmp(answer, "good", 4) == 0;
}

/* ---- the rig ----------------------------------------------------------------------------------- */

static certificate_t certificate;
static char pin[65];
static SSL_CTX *server;

/* Work that was asked for and is not done yet. */
static apr_thread_start_t work_left;
static void *work_baton;
static int lazy;

static apr_status_t run(void *runner, const char *group, apr_thread_start_t work, void *baton)
{
    (void)runner;
    (void)group;
    if (lazy) {
        work_left = work;
        work_baton = baton;
        return APR_SUCCESS;
    }
    work(NULL, baton);
    return APR_SUCCESS;
}

static void rig_up_kerberos(rig_t *rig, const peer_row_t *rows, size_t count, int tls)
{
    const amt_target_t trust = {.tls = tls ? AMT_TLS_PIN : AMT_TLS_NONE,
                                .pin = pin,
                                .tickets = &account,
                                .call_timeout = apr_time_from_sec(1)};

    server = tls ? certificate_server(&certificate, 0) : NULL;
    lazy = 0;
    account = (amt_tickets_t){.status = AMT_OK};
    rig_up_tls(rig, rows, count, server, &trust);
    assert_int_equal(amt_loop_use_threads(rig->loop, run, NULL), APR_SUCCESS);
}

static void rig_down_kerberos(rig_t *rig)
{
    rig_down(rig);
    SSL_CTX_free(server);
    assert_int_equal(account.alive, 0);
    assert_int_equal(account.holders, 0);
}

/* The request brought the ticket with this number; 0: it brought none. */
static int brought(const peer_request_t *request)
{
    static const char name[] = "Authorization: Negotiate ";
    const char *header = strstr(request->head, name);
    char base64[128];
    char token[128] = "";

    assert_null(strstr(request->head, "Digest"));
    if (!header) {
        return 0;
    }
    header += sizeof(name) - 1;
    snprintf(base64, sizeof(base64), "%.*s", (int)strcspn(header, "\r"), header);
    token[apr_base64_decode(token, base64)] = '\0';
    return (int)strtol(token, NULL, 10);
}

static int power_bodies(const rig_t *rig)
{
    return peer_bodies(rig->peer, "RequestPowerStateChange_INPUT");
}

/* ---- tokens and connections -------------------------------------------------------------------- */

static void test_one_ticket_a_connection(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER, OFF_ANSWER, ON_ANSWER};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_read_power(&rig, &facts);
    assert_string_equal(rig.text, "");
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(peer_requests(rig.peer, &requests), 3);
    assert_int_equal(brought(&requests[0]), 1);
    assert_int_equal(brought(&requests[1]), 0);
    assert_int_equal(brought(&requests[2]), 0);
    assert_int_equal(peer_connections(rig.peer), 1);
    assert_int_equal(power_bodies(&rig), 1);
    assert_true(requests[0].length > 0); /* no request is wasted on a challenge */
    rig_down_kerberos(&rig);
}

static void test_the_name_has_the_port(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER};
    const peer_request_t *requests;
    char expected[256];
    char base64[128];
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_read_power(&rig, &facts);
    apr_base64_encode(base64, "1 " RIG_FQDN ":16993", (int)strlen("1 " RIG_FQDN ":16993"));
    snprintf(expected, sizeof(expected), "Authorization: Negotiate %s\r\n", base64);
    peer_requests(rig.peer, &requests);
    assert_non_null(strstr(requests[0].head, expected));
    rig_down_kerberos(&rig);
}

static void test_without_tls_each_request_has_its_own(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER, OFF_ANSWER, ON_ANSWER};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 0);
    rig_read_power(&rig, &facts);
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(peer_requests(rig.peer, &requests), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(brought(&requests[i]), i + 1);
    }
    rig_down_kerberos(&rig);
}

/* The device closed the connection meanwhile: nothing is said on the next one before there is a ticket for
 * it. */
static void test_a_new_connection_waits_for_its_ticket(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_ANSWER, .body = POWER_OFF_ANSWER, .closes = 1}, ON_ANSWER};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_read_power(&rig, &facts);
    peer_await_hang_up(rig.peer, 1);
    rig_request_power(&rig, 2);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(rig.gate_asked, 1);
    assert_int_equal(peer_requests(rig.peer, &requests), 2);
    assert_int_equal(brought(&requests[1]), 2);
    assert_int_equal(power_bodies(&rig), 1);
    rig_down_kerberos(&rig);
}

/* ---- refusals ---------------------------------------------------------------------------------- */

static void test_a_401_is_answered_by_one_new_ticket(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_NEGOTIATE}, ON_ANSWER};
    const peer_request_t *requests;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_request_power(&rig, 2);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(rig.gate_asked, 2);
    assert_int_equal(peer_requests(rig.peer, &requests), 2);
    assert_int_equal(brought(&requests[0]), 1);
    assert_int_equal(brought(&requests[1]), 2);
    rig_down_kerberos(&rig);
}

/* As after a power change: the connection that was let in is not any more. */
static void test_a_401_on_a_kept_connection(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER, {.act = PEER_NEGOTIATE}, ON_ANSWER};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(peer_requests(rig.peer, &requests), 3);
    assert_int_equal(brought(&requests[2]), 2);
    assert_int_equal(power_bodies(&rig), 2);
    rig_down_kerberos(&rig);
}

static void test_a_second_401_is_the_end(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_NEGOTIATE}, {.act = PEER_NEGOTIATE}, ON_ANSWER};
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_int_equal(rig.acted, 0);
    assert_non_null(strstr(rig.text, "amtunlock@EXAMPLE.COM"));
    assert_int_equal(peer_requests(rig.peer, NULL), 2);
    rig_down_kerberos(&rig);
}

static void test_digest_is_never_tried(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_CHALLENGE}, OFF_ANSWER};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_non_null(strstr(rig.text, "offers no Kerberos"));
    assert_int_equal(peer_requests(rig.peer, &requests), 2);
    assert_int_equal(brought(&requests[0]) + brought(&requests[1]), 3);
    rig_down_kerberos(&rig);
}

/* ---- a body that acts -------------------------------------------------------------------------- */

static void test_power_is_not_repeated_on_a_closed_connection(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER, {.act = PEER_CLOSE}, ON_ANSWER};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_read_power(&rig, &facts);
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_BROKEN);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(power_bodies(&rig), 1);
    rig_down_kerberos(&rig);
}

static void test_a_gate_that_closes_before_the_second_body(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_NEGOTIATE}, ON_ANSWER};
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig.gate_open = 0;
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_FENCED);
    assert_int_equal(power_bodies(&rig), 0);
    rig_down_kerberos(&rig);
}

/* ---- the device's proof ------------------------------------------------------------------------ */

static amt_status_e try_proof(const char *proof)
{
    const peer_row_t rows[] = {{.act = PEER_ANSWER, .body = POWER_OFF_ANSWER, .proof = proof}};
    amt_facts_t facts;
    rig_t rig;

    rig_up_kerberos(&rig, ROWS(rows), 1);
    rig_read_power(&rig, &facts);
    rig_down_kerberos(&rig);
    return rig.status;
}

static void test_a_proof_is_checked(void **state)
{
    (void)state;
    assert_int_equal(try_proof("Z29vZA=="), AMT_OK);          /* "good" */
    assert_int_equal(try_proof("YmFkYmFk"), AMT_AUTH_FAILED); /* "badbad" */
    assert_int_equal(try_proof("!"), AMT_AUTH_FAILED);
    assert_int_equal(try_proof("="), AMT_AUTH_FAILED);
    assert_int_equal(try_proof("Z29vZA==Z29vZA=="), AMT_AUTH_FAILED);
    assert_int_equal(try_proof(""), AMT_OK); /* gives none */
    assert_int_equal(try_proof(NULL), AMT_OK);
}

/* ---- no ticket --------------------------------------------------------------------------------- */

static void test_without_a_ticket_nobody_is_called(void **state)
{
    static const peer_row_t rows[] = {ON_ANSWER};
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    account.status = AMT_NO_TICKET;
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_NO_TICKET);
    assert_int_equal(rig.acted, 0);
    assert_non_null(strstr(rig.text, "the test says so"));
    assert_int_equal(peer_connections(rig.peer), 0);
    account.status = AMT_OK;
    rig_request_power(&rig, 2);
    assert_int_equal(rig.status, AMT_OK);
    rig_down_kerberos(&rig);
}

static void test_a_ticket_whose_turn_does_not_come(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    lazy = 1;
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_NO_TICKET);
    assert_non_null(strstr(rig.text, "no turn"));
    work_left(NULL, work_baton); /* its turn comes after all, too late: the KDC is not asked */
    rig_spin(&rig);
    assert_int_equal(rig.dones, 1);
    assert_int_equal(account.made, 0);
    rig_down_kerberos(&rig);
}

static void *make_it(void *data)
{
    (void)data;
    work_left(NULL, work_baton);
    return NULL;
}

static void test_a_silent_kdc_is_not_waited_for(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER};
    amt_facts_t facts;
    pthread_t thread;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    lazy = 1;
    pthread_mutex_lock(&kdc);
    amt_read(rig.device, AMT_READ_POWER, &facts, rig_done, &rig);
    assert_int_equal(pthread_create(&thread, NULL, make_it, NULL), 0);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_NO_TICKET);
    assert_non_null(strstr(rig.text, "the KDC does not answer"));
    pthread_mutex_unlock(&kdc); /* it answers after all, too late */
    pthread_join(thread, NULL);
    rig_spin(&rig);
    assert_int_equal(rig.dones, 1);
    assert_int_equal(account.alive, 0);
    rig_down_kerberos(&rig);
}

static void test_a_device_goes_before_its_ticket_comes(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    lazy = 1;
    amt_read(rig.device, AMT_READ_POWER, &facts, rig_done, &rig);
    amt_device_destroy(rig.device);
    rig.device = NULL;
    work_left(NULL, work_baton);
    rig_spin(&rig);
    assert_int_equal(rig.dones, 0);
    rig_down_kerberos(&rig);
}

/* And so does the loop, before anybody began to make it. */
static void test_a_loop_goes_before_the_work_began(void **state)
{
    static const peer_row_t rows[] = {OFF_ANSWER};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up_kerberos(&rig, ROWS(rows), 1);
    lazy = 1;
    amt_read(rig.device, AMT_READ_POWER, &facts, rig_done, &rig);
    rig_down_kerberos(&rig);
    assert_int_equal(rig.dones, 0);
}

/* ---- redirection sessions ---------------------------------------------------------------------- */

/* A device's part in a login, and what it was shown. */
typedef struct {
    const char *kinds; /* that it offers */
    size_t kinds_length;
    unsigned char status; /* of its answer to the ticket */
    const char *proof;
    unsigned char kind; /* that was tried; 0: none */
    char token[64];
    unsigned char next; /* the first byte after the login */
} door_t;

static int say_authenticated(line_t *line, unsigned char status, unsigned char kind, const char *data,
                             size_t length)
{
    const unsigned char head[] = {0x14, status, 0, 0, kind, (unsigned char)length, 0, 0, 0};

    return line_say(line, head, sizeof(head)) && line_say(line, data, length);
}

static void play_door(line_t *line, void *baton)
{
    static const unsigned char started[] = {0x11, 0, 0, 0, 1, 0, 11, 8, 0x57, 1, 0, 0, 0};
    door_t *door = baton;
    unsigned char bytes[9];

    if (!line_hear(line, bytes, 8) || !line_say(line, started, sizeof(started)) ||
        !line_hear(line, bytes, 9) || !say_authenticated(line, 0, 0, door->kinds, door->kinds_length) ||
        !line_hear(line, bytes, 9)) {
        return;
    }
    door->kind = bytes[4];
    if (bytes[5] < sizeof(door->token) && line_hear(line, door->token, bytes[5]) &&
        say_authenticated(line, door->status, 2, door->proof, strlen(door->proof)) &&
        line_hear(line, bytes, 1)) {
        door->next = bytes[0];
    }
}

static void sol_opened(void *baton)
{
    (void)baton;
}

static void sol_received(void *baton, const char *bytes, apr_size_t length)
{
    (void)baton;
    (void)bytes;
    (void)length;
}

static void sol_ended(void *baton, const amt_result_t *result)
{
    rig_done(baton, result);
}

static amt_sol_t *open_door(rig_t *rig, const redirection_peer_t *peer)
{
    static const amt_sol_events_t events = {sol_opened, sol_received, sol_ended};
    amt_target_t target;
    amt_sol_t *sol = NULL;

    rig_up_kerberos(rig, NULL, 0, 0);
    target = rig->target;
    target.address = redirection_peer_address(peer);
    target.user = NULL;
    target.password = NULL;
    assert_int_equal(amt_sol_open(&sol, rig->loop, &target, &events, rig, rig->pool), APR_SUCCESS);
    return sol;
}

/* Opens a session that the device ends; status and text are left in *rig. */
static void try_door(rig_t *rig, door_t *door)
{
    redirection_peer_t *peer = redirection_peer_start(play_door, door, NULL);
    amt_sol_t *sol = open_door(rig, peer);

    rig_wait(rig);
    amt_sol_destroy(sol);
    redirection_peer_stop(peer);
    rig_down_kerberos(rig);
}

static void test_a_session_shows_a_ticket_for_its_port(void **state)
{
    door_t door = {"\x04\x02", 2, 0, "good", 0, "", 0};
    rig_t rig;

    (void)state;
    try_door(&rig, &door);
    assert_int_equal(door.kind, 2);
    assert_string_equal(door.token, "1 " RIG_FQDN ":16994");
    assert_int_equal(door.next, 0x20); /* it opens the channel */
}

static void test_a_session_without_a_proof(void **state)
{
    door_t door = {"\x02", 1, 0, "", 0, "", 0};
    rig_t rig;

    (void)state;
    try_door(&rig, &door);
    assert_int_equal(door.next, 0x20);
}

static void test_a_session_with_a_wrong_proof(void **state)
{
    door_t door = {"\x02", 1, 0, "bad", 0, "", 0};
    rig_t rig;

    (void)state;
    try_door(&rig, &door);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_non_null(strstr(rig.text, "prove"));
    assert_int_not_equal(door.next, 0x20);
}

static void test_a_session_that_is_refused(void **state)
{
    door_t door = {"\x02\x04", 2, 1, "", 0, "", 0};
    rig_t rig;

    (void)state;
    try_door(&rig, &door);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_non_null(strstr(rig.text, "amtunlock@EXAMPLE.COM"));
    assert_int_not_equal(door.next, 0x13); /* no second login, by digest or otherwise */
}

static void test_a_session_without_kerberos(void **state)
{
    door_t door = {"\x01\x03\x04", 3, 0, "", 0, "", 0};
    rig_t rig;

    (void)state;
    try_door(&rig, &door);
    assert_int_equal(rig.status, AMT_AUTH_FAILED);
    assert_non_null(strstr(rig.text, "offers no Kerberos"));
    assert_int_not_equal(door.kind, 4);
    assert_int_equal(account.made, 0);
}

static void test_a_session_that_waits_for_a_silent_kdc(void **state)
{
    door_t door = {"\x02", 1, 0, "", 0, "", 0};
    redirection_peer_t *peer = redirection_peer_start(play_door, &door, NULL);
    rig_t rig;
    amt_sol_t *sol = open_door(&rig, peer);

    (void)state;
    lazy = 1;
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_NO_TICKET);
    amt_sol_destroy(sol);
    work_left(NULL, work_baton);
    rig_spin(&rig);
    assert_int_equal(rig.dones, 1);
    redirection_peer_stop(peer);
    rig_down_kerberos(&rig);
}

static void test_a_session_goes_before_its_ticket_comes(void **state)
{
    door_t door = {"\x02", 1, 0, "", 0, "", 0};
    redirection_peer_t *peer = redirection_peer_start(play_door, &door, NULL);
    rig_t rig;
    amt_sol_t *sol = open_door(&rig, peer);

    (void)state;
    lazy = 1;
    work_left = NULL;
    while (!work_left) {
        event_base_loop(rig.base, EVLOOP_ONCE);
    }
    amt_sol_destroy(sol);
    work_left(NULL, work_baton);
    rig_spin(&rig);
    assert_int_equal(rig.dones, 0);
    redirection_peer_stop(peer);
    rig_down_kerberos(&rig);
}

static int set_up(void **state)
{
    (void)state;
    certificate_make(&certificate, RIG_FQDN, NULL, -DAY, DAY);
    certificate_pin(pin, &certificate);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certificate_free(&certificate);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_ticket_a_connection),
        cmocka_unit_test(test_the_name_has_the_port),
        cmocka_unit_test(test_without_tls_each_request_has_its_own),
        cmocka_unit_test(test_a_new_connection_waits_for_its_ticket),
        cmocka_unit_test(test_a_401_is_answered_by_one_new_ticket),
        cmocka_unit_test(test_a_401_on_a_kept_connection),
        cmocka_unit_test(test_a_second_401_is_the_end),
        cmocka_unit_test(test_digest_is_never_tried),
        cmocka_unit_test(test_power_is_not_repeated_on_a_closed_connection),
        cmocka_unit_test(test_a_gate_that_closes_before_the_second_body),
        cmocka_unit_test(test_a_proof_is_checked),
        cmocka_unit_test(test_without_a_ticket_nobody_is_called),
        cmocka_unit_test(test_a_ticket_whose_turn_does_not_come),
        cmocka_unit_test(test_a_silent_kdc_is_not_waited_for),
        cmocka_unit_test(test_a_device_goes_before_its_ticket_comes),
        cmocka_unit_test(test_a_loop_goes_before_the_work_began),
        cmocka_unit_test(test_a_session_shows_a_ticket_for_its_port),
        cmocka_unit_test(test_a_session_without_a_proof),
        cmocka_unit_test(test_a_session_with_a_wrong_proof),
        cmocka_unit_test(test_a_session_that_is_refused),
        cmocka_unit_test(test_a_session_without_kerberos),
        cmocka_unit_test(test_a_session_that_waits_for_a_silent_kdc),
        cmocka_unit_test(test_a_session_goes_before_its_ticket_comes),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
