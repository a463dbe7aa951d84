/* SPDX-License-Identifier: Apache-2.0 */
#include "sol.h"

#include "body.h"
#include "image.h"
#include "player.h"
#include "prompt.h"
#include "session.h"
#include "wire.h"

#include <string.h>

enum {
    SOL_START = 0x20,
    SOL_STARTED,
    SOL_END,
    SOL_ENDED,
    SOL_PING,
    SOL_PONG,
    SOL_CONTROLS_TO_HOST = 0x27,
    SOL_DATA_TO_HOST,
    SOL_CONTROLS_FROM_HOST,
    SOL_DATA_FROM_HOST,
    SOL_HEARTBEAT,
};

#define HEAD 8
#define DATA_MAX 4096
#define NOISE 256
#define FIFO 48 /* bytes a message: the device empties its 16550 often */

/* control lines of the host */
enum { LINE_RTS = 1, LINE_DTR = 2 };
/* state of the port; POWER_ON_BIT clear: the system is off */
enum { POWER_ON_BIT = 4 };

static void write_head(struct session *session, uint8_t *message, uint8_t id)
{
    memset(message, 0, HEAD);
    message[0] = id;
    put32(message + 4, session->out_sequence++);
}

static void send_simple(struct session *session, uint8_t id)
{
    uint8_t message[HEAD];

    write_head(session, message, id);
    session_send(session, message, sizeof(message));
}

static void send_lines(struct session *session)
{
    uint8_t message[HEAD + 2];

    write_head(session, message, SOL_CONTROLS_FROM_HOST);
    message[8] = LINE_RTS | LINE_DTR;
    message[9] = session->pc->power == POWER_ON ? POWER_ON_BIT : 0;
    session_send(session, message, sizeof(message));
}

static void open_session(struct session *session, const uint8_t *data)
{
    uint8_t reply[23] = {0};

    write_head(session, reply, SOL_STARTED);
    put16(reply + 8, get16(data + 8)); /* the limits are taken as they are */
    put16(reply + 10, get16(data + 10));
    put16(reply + 12, get16(data + 12));
    put16(reply + 14, get16(data + 14));
    put16(reply + 16, get16(data + 16));
    put16(reply + 18, get16(data + 18));
    session_send(session, reply, sizeof(reply));
    session_opened(session, get16(data + 14), get16(data + 18));
    send_lines(session);
    if (session->pc->player)
        player_session_opened(session->pc);
}

/* The length of a message, 0 while it is not known yet, -1 for one that a console never sends. */
static ssize_t length_of(const uint8_t *data, size_t size)
{
    switch (data[0]) {
    case SOL_START:
        return 24;
    case SOL_CONTROLS_TO_HOST:
        return HEAD + 6;
    case SOL_DATA_TO_HOST:
        if (size < HEAD + 2)
            return 0;
        return get16(data + HEAD) <= DATA_MAX ? HEAD + 2 + (ssize_t)get16(data + HEAD) : -1;
    case SOL_END:
    case SOL_PING:
    case SOL_PONG:
    case SOL_HEARTBEAT:
        return HEAD;
    default:
        return -1;
    }
}

/* Who reads the serial port now. */
static void type(struct pc *pc, const char *data, size_t size)
{
    if (pc->body)
        body_input(pc, data, size);
    else if (pc->image)
        image_input(pc, data, size);
    else if (pc->player)
        player_input(pc, data, size);
    else
        prompt_input(pc, data, size);
}

static void obey(struct session *session, const uint8_t *data)
{
    switch (data[0]) {
    case SOL_START:
        open_session(session, data);
        break;
    case SOL_DATA_TO_HOST:
        type(session->pc, (const char *)data + HEAD + 2, get16(data + HEAD));
        break;
    case SOL_PING:
        send_simple(session, SOL_PONG);
        break;
    case SOL_END:
        send_simple(session, SOL_ENDED);
        break;
    default:
        break;
    }
}

static ssize_t message(struct session *session, const uint8_t *data, size_t size)
{
    ssize_t length = length_of(data, size);

    if (length <= 0 || size < (size_t)length)
        return length < 0 ? -1 : 0;
    if ((data[0] == SOL_START) != (session->state == SESSION_AUTHENTICATED))
        return -1;
    obey(session, data);
    return length;
}

static void pester(struct session *session)
{
    static const char escapes[] = "\033]0;;;\033[1;1;1;1;\033P+q\033_\033[?\0337\033[9999;\033["
                                  "\xf0\x9f";

    if (pc_has(session->pc, FAULT_ESCAPES))
        sol_write(session->pc, escapes, sizeof(escapes) - 1);
    else
        sol_write(session->pc, ".", 1);
}

static void heartbeat(struct session *session)
{
    send_simple(session, SOL_HEARTBEAT);
}

static void ended(struct session *session)
{
    (void)session;
}

const struct session_kind sol_kind = {
    .name = "SOL ",
    .opens = "sol-open",
    .closes = "sol-close",
    .enabled = REDIRECTION_SOL,
    .message = message,
    .pester = pester,
    .heartbeat = heartbeat,
    .ended = ended,
};

static struct session *open_for(const struct pc *pc)
{
    return pc->sol && pc->sol->state == SESSION_OPEN ? pc->sol : NULL;
}

void sol_write_in(struct pc *pc, const void *data, size_t size, size_t most)
{
    struct session *session = open_for(pc);
    const uint8_t *from = data;

    while (session && size > 0) {
        uint8_t message_bytes[HEAD + 2 + DATA_MAX];
        size_t part = size < most ? size : most;
        write_head(session, message_bytes, SOL_DATA_FROM_HOST);
        put16(message_bytes + HEAD, (unsigned)part);
        memcpy(message_bytes + HEAD + 2, from, part);
        session_send(session, message_bytes, HEAD + 2 + part);
        from += part;
        size -= part;
    }
}

void sol_write(struct pc *pc, const void *data, size_t size)
{
    sol_write_in(pc, data, size, FIFO);
}

void sol_babble(struct pc *pc)
{
    struct session *session = open_for(pc);

    if (session)
        session_babble(session);
}

void sol_cut(struct pc *pc)
{
    struct session *session = open_for(pc);

    if (session)
        session_end(session, "cut");
}

void sol_make_noise(struct pc *pc)
{
    uint8_t noise[NOISE];

    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)(pc_random(pc) * 256);
    sol_write(pc, noise, sizeof(noise));
}

void sol_tell_power(struct pc *pc)
{
    struct session *session = open_for(pc);

    if (session)
        send_lines(session);
}
