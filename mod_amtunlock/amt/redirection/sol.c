/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/sol.h"

#include <openssl/crypto.h>
#include <string.h>

#include "amt/redirection/link_priv.h"
#include "amt/redirection/session_priv.h"
#include "amt/redirection/wire_priv.h"

/* Ids of messages: ours, the device's, and those that either may send. */
enum {
    OPEN = 0x20,
    OPENED = 0x21,
    CLOSE = 0x22,
    CLOSED = 0x23,
    PING = 0x24,
    PONG = 0x25,
    LINES_TO_HOST = 0x27,
    DATA_TO_HOST = 0x28,
    LINES_FROM_HOST = 0x29,
    DATA_FROM_HOST = 0x2a,
    HEARTBEAT = 0x2b,
};

/* What the device is asked to keep; times in milliseconds. It hangs up when nothing came for RX_TIMEOUT,
 * so we send something twice in that time; its heartbeats come as often. */
enum {
    MAX_TX = 10000,
    TX_TIMEOUT = 100,
    TX_OVERFLOW = 0,
    RX_TIMEOUT = 10000,
    RX_FLUSH = 100,
    HEARTBEAT_EVERY = 5000,
    SILENCE_SECONDS = 30,
};

/* Bits of LINES_FROM_HOST. */
enum { TX_OVERFLOWED = 1, HOST_HAS_POWER = 4 };

enum { DATA_HEAD = 10, DATA_PIECE = 256 };

/* A serial port has 115,200 baud, and at worst each of its bytes comes in a message of its own. */
enum { TURNS_A_SECOND = 1000, BYTES_A_SECOND = 115200 / 10 * (DATA_HEAD + 1) };

struct amt_sol_t {
    amt_session_t *session;
    amt_sol_events_t events;
    void *baton;
    int powered; /* 1, 0, or -1 while the device has not said */
    int lost;
};

/* ---- the device's messages -------------------------------------------------------------------- */

static void sol_begin(void *channel)
{
    amt_sol_t *sol = channel;
    unsigned char message[24] = {OPEN};

    wire_put16(message + 8, MAX_TX);
    wire_put16(message + 10, TX_TIMEOUT);
    wire_put16(message + 12, TX_OVERFLOW);
    wire_put16(message + 14, RX_TIMEOUT);
    wire_put16(message + 16, RX_FLUSH);
    wire_put16(message + 18, HEARTBEAT_EVERY);
    amt_session_send(sol->session, message, sizeof(message), 0);
}

static void sol_on_opened(void *channel, const unsigned char *message)
{
    amt_sol_t *sol = channel;
    /* the control lines of a terminal that is present; other consoles send no more than this either */
    unsigned char lines[14] = {LINES_TO_HOST, [10] = 0x1b};

    if (amt_session_is_open(sol->session)) {
        amt_session_fail(sol->session, AMT_GARBAGE, "the device opened it twice");
        return;
    }
    if (message[1] != 0) {
        amt_session_refused(sol->session, message[1]);
        return;
    }
    amt_session_send(sol->session, lines, sizeof(lines), 0);
    amt_session_opened(sol->session);
    sol->events.opened(sol->baton);
}

static void sol_on_close(void *channel, const unsigned char *message)
{
    amt_sol_t *sol = channel;

    (void)message;
    amt_session_send_plain(sol->session, CLOSED);
    amt_session_fail(sol->session, AMT_BROKEN, "the device closed it");
}

static void sol_on_ping(void *channel, const unsigned char *message)
{
    amt_sol_t *sol = channel;

    (void)message;
    amt_session_send_plain(sol->session, PONG);
}

static void sol_on_lines(void *channel, const unsigned char *message)
{
    amt_sol_t *sol = channel;

    sol->powered = (message[9] & HOST_HAS_POWER) != 0;
    sol->lost |= (message[9] & TX_OVERFLOWED) != 0;
}

static void sol_on_data(void *channel, const unsigned char *bytes, apr_size_t length)
{
    amt_sol_t *sol = channel;

    if (!amt_session_is_open(sol->session)) {
        amt_session_fail(sol->session, AMT_GARBAGE, "the device sent text before it opened the console");
        return;
    }
    sol->events.received(sol->baton, (const char *)bytes, length);
}

static void sol_on_end(void *channel, const amt_result_t *result)
{
    amt_sol_t *sol = channel;

    sol->events.ended(sol->baton, result);
}

static const amt_message_t messages[] = {
    {.id = OPENED,
     .length = 23,
     .body_at = 22,
     .body_width = 1,
     .handle = sol_on_opened}, /* body: the manufacturer's */
    {.id = CLOSE, .length = 8, .handle = sol_on_close},
    {.id = CLOSED, .length = 8},
    {.id = PING, .length = 8, .handle = sol_on_ping},
    {.id = PONG, .length = 8},
    {.id = LINES_FROM_HOST, .length = 10, .handle = sol_on_lines},
    {.id = DATA_FROM_HOST,
     .length = DATA_HEAD,
     .body_at = 8,
     .body_width = 2,
     .joins = 1,
     .body = sol_on_data},
    {.id = HEARTBEAT, .length = 8},
    {.id = 0},
};

static const amt_channel_t serial = {
    .kind = "SOL ",
    .name = "Serial-over-LAN",
    .messages = messages,
    .keepalive = HEARTBEAT,
    .close = CLOSE,
    .closed = CLOSED,
    .any_first = 1, /* public consoles begin at 0 and at 1, and devices take both */
    .silence = SILENCE_SECONDS,
    .interval = RX_TIMEOUT / 2,
    .bounds = {.room = AMT_SOL_SEND + ((AMT_SOL_SEND + DATA_PIECE - 1) / DATA_PIECE) * DATA_HEAD +
                       AMT_LINK_RESERVE,
               .pace = {.turns = TURNS_A_SECOND, .bytes = BYTES_A_SECOND}},
    .begin = sol_begin,
    .ended = sol_on_end,
};

/* ---- for callers -------------------------------------------------------------------- */

apr_status_t amt_sol_open(amt_sol_t **out, amt_loop_t *loop, const amt_target_t *target,
                          const amt_sol_events_t *events, void *baton, apr_pool_t *parent)
{
    amt_sol_t *sol;
    apr_pool_t *pool;
    apr_status_t status;

    apr_pool_create(&pool, parent);
    sol = apr_pcalloc(pool, sizeof(*sol));
    sol->events = *events;
    sol->baton = baton;
    sol->powered = -1;
    status = amt_session_open(&sol->session, loop, target, &serial, sol, pool);
    if (status == APR_SUCCESS) {
        *out = sol;
    }
    return status;
}

static void queue_piece(amt_sol_t *sol, const char *bytes, apr_size_t length)
{
    unsigned char head[DATA_HEAD] = {DATA_TO_HOST};

    wire_put16(head + 8, (unsigned int)length);
    memcpy(amt_session_send(sol->session, head, sizeof(head), length), bytes, length);
}

apr_status_t amt_sol_send(amt_sol_t *sol, const char *bytes, apr_size_t length, amt_gate_fn gate,
                          void *gate_baton)
{
    apr_size_t pieces = (length + DATA_PIECE - 1) / DATA_PIECE;

    if (length == 0 || length > AMT_SOL_SEND) {
        return APR_EINVAL;
    }
    if (!amt_session_is_open(sol->session) ||
        amt_session_room(sol->session) < length + pieces * DATA_HEAD + AMT_LINK_RESERVE ||
        (gate != NULL && !gate(gate_baton))) {
        return APR_EBUSY;
    }
    for (apr_size_t offset = 0; offset < length; offset += DATA_PIECE) {
        apr_size_t left = length - offset;

        queue_piece(sol, bytes + offset, left < DATA_PIECE ? left : DATA_PIECE);
    }
    amt_session_acted(sol->session);
    amt_session_flush(sol->session);
    return APR_SUCCESS;
}

int amt_sol_powered(const amt_sol_t *sol)
{
    return sol->powered;
}

int amt_sol_lost(const amt_sol_t *sol)
{
    return sol->lost;
}

void amt_sol_close(amt_sol_t *sol)
{
    amt_session_close(sol->session);
}

void amt_sol_destroy(amt_sol_t *sol)
{
    amt_session_destroy(sol->session);
}
