/* SPDX-License-Identifier: Apache-2.0 */
#include "ider.h"

#include "body.h"
#include "log.h"
#include "session.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

enum {
    IDER_OPEN = 0x40,
    IDER_OPENED,
    IDER_CLOSE,
    IDER_CLOSED,
    IDER_PING,
    IDER_PONG,
    IDER_RESET,
    IDER_RESET_SEEN,
    IDER_FEATURES,
    IDER_FEATURES_REPLY,
    IDER_ERROR,
    IDER_HEARTBEAT,
    IDER_COMMAND = 0x50,
    IDER_COMMAND_END,
    IDER_GET_DATA,
    IDER_DATA_FROM_HOST,
    IDER_DATA_TO_HOST,
};

/* header: identifier, two zeros, attributes, sequence */
#define HEAD 8
#define ATTRIBUTE_DMA 1U
#define ATTRIBUTE_LAST 2U

#define BUFFER_MAX 8192 /* what the device takes in one message */
#define DATA_HEAD 34
#define COMMAND_SECONDS 10
#define PACKET 0xa0
#define VERSION 1
#define RX_TIMEOUT_MIN 1000 /* ms; below it no host could be served */

/* IDE-R features */
enum { FEATURES_SUPPORTED = 1, FEATURES_STATUS, FEATURES_SET };
enum {
    FEATURE_ENABLE = 1,
    FEATURE_ENABLED = 2,
    FEATURE_ON_RESET = 8,
    FEATURE_GRACEFUL = 16,
    FEATURE_NOW = 24
};

struct ider {
    struct event timeout;
    bool opened;
    bool enabled;         /* the host sees the drives */
    bool enable_on_reset; /* and will after the next reset */
    bool resetting;       /* the console has not answered a reset yet */
    bool discard;         /* nobody waits for the answer to the command any more */
    ider_done *done;      /* of the command under way, NULL: none */
    struct ider_command command;
    size_t size;
    uint8_t *data;
};

/* ---- out ----------------------------------------------------------------------------------------------- */

static void write_head(struct session *session, uint8_t *message, uint8_t id, uint8_t attributes)
{
    message[0] = id;
    message[1] = 0;
    message[2] = 0;
    message[3] = attributes;
    put32(message + 4, session->out_sequence++);
}

static void send_simple(struct session *session, uint8_t id)
{
    uint8_t message[HEAD];

    write_head(session, message, id, 0);
    session_send(session, message, sizeof(message));
}

static void send_opened(struct session *session, uint8_t status)
{
    uint8_t message[30] = {0};

    write_head(session, message, IDER_OPENED, 0);
    message[1] = status;
    message[8] = 1;   /* of the protocol */
    message[10] = 12; /* of the firmware */
    put16(message + 16, BUFFER_MAX);
    put16(message + 18, BUFFER_MAX);
    put32(message + 25, 343); /* Intel's enterprise number */
    session_send(session, message, sizeof(message));
}

static void send_features(struct session *session, uint8_t type, uint32_t value)
{
    uint8_t message[13];

    write_head(session, message, IDER_FEATURES_REPLY, 0);
    message[8] = type;
    put32(message + 9, value);
    session_send(session, message, sizeof(message));
}

static void send_reset(struct session *session)
{
    uint8_t message[9];

    write_head(session, message, IDER_RESET, 0);
    message[8] = 0;
    session->ider->resetting = true;
    session_send(session, message, sizeof(message));
}

static void send_command(struct session *session, const struct ider_command *command)
{
    uint8_t message[28] = {0};

    write_head(session, message, IDER_COMMAND, 0);
    message[9] = command->dma ? 1 : 0;
    put16(message + 12, command->dma ? 0 : BUFFER_MAX);
    message[14] = command->drive;
    message[15] = PACKET;
    memcpy(message + 16, command->cdb, CDB_SIZE);
    session_send(session, message, sizeof(message));
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static void finish_command(struct session *session, const struct ider_answer *answer)
{
    struct ider *ider = session->ider;
    ider_done *done = ider->done;

    event_del(&ider->timeout);
    ider->done = NULL;
    if (done && !ider->discard)
        done(session->pc, answer);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct session *session = arg;

    (void)fd;
    (void)what;
    log_event(session->pc->fqdn, "ider-violation",
              json_pack("{s:s}", "what", "a command was not answered in time"));
    finish_command(session, NULL);
}

/* A console that breaks the protocol is told on: firmware would hang or drop it. */
static int violation(const struct session *session, const char *what)
{
    log_event(session->pc->fqdn, "ider-violation", json_pack("{s:s}", "what", what));
    return -1;
}

static int take_end(struct session *session, const uint8_t *m)
{
    struct ider *ider = session->ider;
    struct ider_answer answer = {.good = m[27] == 0x50, .sense = m[28], .asc = m[29], .ascq = m[30]};

    if (!ider->done)
        return violation(session, "the end of a command that was not sent");
    if (m[3] != ATTRIBUTE_LAST)
        return violation(session, "the end of a command without the attribute that says so");
    if (m[26] != ider->command.drive)
        return violation(session, "the end of a command for another drive");
    if (answer.good ? m[20] != 0xc5 : m[27] != 0x51 || m[20] != 0x87 || m[21] != (uint8_t)(m[28] << 4))
        return violation(session, "registers that do not belong together in the end of a command");
    answer.data = ider->data;
    answer.size = ider->size;
    finish_command(session, &answer);
    return 0;
}

static bool registers_are_right(const struct ider_command *command, const uint8_t *m, size_t length)
{
    bool last = (m[3] & ATTRIBUTE_LAST) != 0;

    if (m[12] != (command->dma ? 0xb4 : 0xb5) || m[14] != 2 || m[18] != command->drive || m[19] != 0x58)
        return false;
    if (get16(m + 16) != (command->dma ? 0 : length) || !(m[3] & ATTRIBUTE_DMA) != !command->dma)
        return false;
    return last ? m[20] == 0x85 && m[22] == 3 && m[26] == command->drive && m[27] == 0x50 : m[20] == 0;
}

static int take_data(struct session *session, const uint8_t *m)
{
    struct ider *ider = session->ider;
    size_t length = get16(m + 9);
    struct ider_answer answer = {.good = true};

    if (!ider->done)
        return violation(session, "data that nobody asked for");
    if (!registers_are_right(&ider->command, m, length))
        return violation(session, "registers that do not belong to this data");
    if (length > ider->command.max - ider->size)
        return violation(session, "more data than the command asked for");
    memcpy(ider->data + ider->size, m + DATA_HEAD, length);
    ider->size += length;
    session->read_bytes += length;
    if (!(m[3] & ATTRIBUTE_LAST))
        return 0;
    answer.data = ider->data;
    answer.size = ider->size;
    finish_command(session, &answer);
    return 0;
}

/* ---- in ------------------------------------------------------------------------------------------------ */

static int take_open(struct session *session, const uint8_t *m)
{
    unsigned rx_timeout = get16(m + 8), heartbeat = get16(m + 12);

    if (session->ider)
        return violation(session, "a second OPEN");
    session->ider = calloc(1, sizeof(struct ider));
    if (!session->ider)
        return -1;
    event_assign(&session->ider->timeout, bufferevent_get_base(session->stream), -1, 0, on_timeout, session);
    if (get32(m + 14) != VERSION || rx_timeout < RX_TIMEOUT_MIN) {
        send_opened(session, 1);
        return violation(session, "an OPEN with another version or a time-out that is too short");
    }
    session->ider->opened = true;
    send_opened(session, 0);
    session_opened(session, rx_timeout, heartbeat);
    return 0;
}

/* What the host sees of it. */
static void drive_gone(struct pc *pc)
{
    if (pc->body)
        body_drive_gone(pc);
}

static uint32_t set_features(struct session *session, uint32_t value)
{
    struct ider *ider = session->ider;

    if (!(value & FEATURE_ENABLE)) {
        ider->enabled = false;
        ider->enable_on_reset = false;
        drive_gone(session->pc);
        return 1;
    }
    if ((value & FEATURE_NOW) == FEATURE_NOW)
        ider->enabled = true;
    else if (value & FEATURE_ON_RESET)
        ider->enable_on_reset = true;
    else if (value & FEATURE_GRACEFUL)
        ider->enabled = session->pc->power != POWER_ON; /* nothing to wait for */
    return (value & FEATURE_NOW) != 0;
}

static int take_features(struct session *session, const uint8_t *m)
{
    switch (m[8]) {
    case FEATURES_SUPPORTED:
        send_features(session, m[8], FEATURE_ENABLE | FEATURE_NOW);
        return 0;
    case FEATURES_STATUS:
        send_features(session, m[8], session->ider->enabled ? FEATURE_ENABLED : 0);
        return 0;
    default:
        send_features(session, m[8], set_features(session, get32(m + 9)));
        return 0;
    }
}

static int take_reset_seen(struct session *session, const uint8_t *m)
{
    (void)m;
    if (!session->ider->resetting)
        return violation(session, "an answer to a reset that was not");
    session->ider->resetting = false;
    finish_command(session, NULL); /* a command that the reset cut off is over */
    return 0;
}

static int take_ping(struct session *session, const uint8_t *m)
{
    (void)m;
    send_simple(session, IDER_PONG);
    return 0;
}

static int take_close(struct session *session, const uint8_t *m)
{
    (void)m;
    send_simple(session, IDER_CLOSED);
    return 0;
}

static int take_nothing(struct session *session, const uint8_t *m)
{
    (void)session;
    (void)m;
    return 0;
}

static const struct {
    uint8_t id;
    size_t size;
    int (*take)(struct session *session, const uint8_t *message);
} messages[] = {
    {IDER_OPEN, 18, take_open},
    {IDER_CLOSE, HEAD, take_close},
    {IDER_PING, HEAD, take_ping},
    {IDER_PONG, HEAD, take_nothing},
    {IDER_RESET_SEEN, HEAD, take_reset_seen},
    {IDER_FEATURES, 9, take_features}, /* 13 with a value */
    {IDER_ERROR, 11, take_nothing},
    {IDER_HEARTBEAT, HEAD, take_nothing},
    {IDER_COMMAND_END, 31, take_end},
    {IDER_DATA_TO_HOST, DATA_HEAD, take_data}, /* and the data */
};

/* Its length, 0 while that is not known. */
static ssize_t length_of(const uint8_t *data, size_t size, size_t least)
{
    if (size < least)
        return 0;
    if (data[0] == IDER_FEATURES && data[8] == FEATURES_SET)
        return 13;
    if (data[0] == IDER_DATA_TO_HOST)
        return get16(data + 9) <= BUFFER_MAX ? DATA_HEAD + (ssize_t)get16(data + 9) : -1;
    return (ssize_t)least;
}

static ssize_t message(struct session *session, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        if (messages[i].id != data[0])
            continue;
        ssize_t length = length_of(data, size, messages[i].size);
        if (length < 0)
            return violation(session, "a message larger than the device's buffer");
        if (length == 0 || size < (size_t)length)
            return 0;
        if (get32(data + 4) != session->in_sequence++)
            return violation(session, "a sequence number that does not follow");
        if (data[0] != IDER_OPEN && !session->ider)
            return violation(session, "a message before OPEN");
        return messages[i].take(session, data) == 0 ? length : -1;
    }
    return violation(session, "an unknown message");
}

static void pester(struct session *session)
{
    send_simple(session, IDER_PING);
}

static void heartbeat(struct session *session)
{
    send_simple(session, IDER_HEARTBEAT);
}

static void ended(struct session *session)
{
    struct ider *ider = session->ider;

    if (!ider)
        return;
    session->pc->ider = NULL; /* nothing more is sent from here on */
    finish_command(session, NULL);
    drive_gone(session->pc);
    free(ider->data);
    free(ider);
    session->ider = NULL;
}

const struct session_kind ider_kind = {
    .name = "IDER",
    .opens = "ider-open",
    .closes = "ider-close",
    .enabled = REDIRECTION_IDER,
    .message = message,
    .pester = pester,
    .heartbeat = heartbeat,
    .ended = ended,
};

/* ---- for the host -------------------------------------------------------------------------------------- */

static struct session *open_for(const struct pc *pc)
{
    return pc->ider && pc->ider->ider && pc->ider->ider->opened ? pc->ider : NULL;
}

bool ider_is_there(const struct pc *pc)
{
    const struct session *session = open_for(pc);

    return session && session->ider->enabled;
}

bool ider_is_resetting(const struct pc *pc)
{
    const struct session *session = open_for(pc);

    return session && session->ider->resetting;
}

void ider_host_reset(struct pc *pc)
{
    struct session *session = open_for(pc);

    if (!session)
        return;
    session->ider->enabled |= session->ider->enable_on_reset;
    send_reset(session);
}

bool ider_run(struct pc *pc, const struct ider_command *command, ider_done *done)
{
    struct session *session = open_for(pc);
    const struct timeval wait = {COMMAND_SECONDS, 0};
    uint8_t *data;

    if (!ider_is_there(pc) || ider_is_resetting(pc) || session->ider->done)
        return false;
    data = realloc(session->ider->data, command->max + 1);
    if (!data)
        return false;
    session->ider->data = data;
    session->ider->size = 0;
    session->ider->command = *command;
    session->ider->done = done;
    session->ider->discard = false;
    send_command(session, command);
    event_add(&session->ider->timeout, &wait);
    return true;
}

void ider_babble(struct pc *pc)
{
    struct session *session = open_for(pc);

    if (session)
        session_babble(session);
}

void ider_forget(struct pc *pc)
{
    struct session *session = open_for(pc);

    if (session && session->ider->done)
        session->ider->discard = true;
}
