/* SPDX-License-Identifier: Apache-2.0 */
#include "redirection.h"

#include "digest.h"
#include "listen.h"
#include "log.h"
#include "negotiate.h"
#include "session.h"
#include "wire.h"

#include <event2/buffer.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* messages before a session speaks its own protocol */
enum { START = 0x10, START_REPLY, END, AUTHENTICATE, AUTHENTICATE_REPLY };
/* status of START_REPLY */
enum { STARTED = 0, START_BUSY = 2, START_UNSUPPORTED = 3 };
/* kinds of authentication */
enum { AUTH_QUERY = 0, AUTH_KERBEROS = 2, AUTH_DIGEST = 4 };
/* status of AUTHENTICATE_REPLY */
enum { AUTH_OK = 0, AUTH_FAILED = 1 };

#define HANDSHAKE_MS 30000
#define AUTHENTICATE_HEAD 9
#define AUTHENTICATE_MAX NEGOTIATE_TOKEN_MAX
#define DIGEST_URI "/RedirectionService"

/* Messages a second of a flood, and the most that wait to be sent. */
#define FLOOD 10000
#define FLOOD_EVERY_MS 2
#define FLOOD_QUEUED 262144

static struct event_base *loop;
static struct session *sessions;

void redirection_setup(struct event_base *base)
{
    loop = base;
}

/* ---- sessions ------------------------------------------------------------------------------------------ */

static void arm_ms(struct event *timer, unsigned ms)
{
    struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    if (ms > 0)
        event_add(timer, &tv);
}

void session_send(struct session *session, const void *data, size_t size)
{
    bufferevent_write(session->stream, data, size);
}

void session_babble(struct session *session)
{
    static const char text[] = "What is this? It belongs to no message.";

    session_send(session, text, sizeof(text) - 1);
}

static struct session **place_of(struct session *session)
{
    return session->kind == &sol_kind ? &session->pc->sol : &session->pc->ider;
}

static json_t *closing_fields(const struct session *session, const char *reason)
{
    if (session->kind == &sol_kind)
        return json_pack("{s:s}", "reason", reason);
    return json_pack("{s:s, s:I}", "reason", reason, "bytes", (json_int_t)session->read_bytes);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool floods(const struct pc *pc)
{
    return pc_has(pc, FAULT_FLOOD) || pc_has(pc, FAULT_ESCAPES);
}

/* As many as are due by now: a simulator that came late sends more at a time. */
static void on_flood(evutil_socket_t fd, short what, void *arg)
{
    struct session *session = arg;
    unsigned long due = (unsigned long)((now() - session->flood_began) * FLOOD);

    (void)fd;
    (void)what;
    for (; session->flooded < due; session->flooded++) {
        if (evbuffer_get_length(bufferevent_get_output(session->stream)) < FLOOD_QUEUED)
            session->kind->pester(session);
    }
    if (floods(session->pc))
        arm_ms(&session->flood, FLOOD_EVERY_MS);
}

void session_opened(struct session *session, unsigned silence_ms, unsigned beat_ms)
{
    session->state = SESSION_OPEN;
    session->silence_ms = silence_ms;
    session->beat_ms = beat_ms;
    event_del(&session->silence);
    arm_ms(&session->silence, silence_ms);
    arm_ms(&session->beat, beat_ms);
    log_event(session->pc->fqdn, session->kind->opens, NULL);
    if (pc_has(session->pc, FAULT_BABBLE))
        session_babble(session);
    if (pc_has(session->pc, FAULT_DROPS_SESSION)) {
        session->silence_ms = 0;
        arm_ms(&session->silence, 1);
    }
    session->flood_began = now();
    if (floods(session->pc))
        arm_ms(&session->flood, FLOOD_EVERY_MS);
}

void session_end(struct session *session, const char *reason)
{
    if (session->state == SESSION_OPEN)
        log_event(session->pc->fqdn, session->kind->closes, closing_fields(session, reason));
    if (session->kind) {
        session->kind->ended(session);
        *place_of(session) = NULL;
    }
    event_del(&session->silence);
    event_del(&session->beat);
    event_del(&session->flood);
    *session->link = session->next;
    if (session->next)
        session->next->link = session->link;
    stream_close(session->stream);
    free(session);
}

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    session_end(arg, "timeout");
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct session *session = arg;

    (void)fd;
    (void)what;
    session->kind->heartbeat(session);
    arm_ms(&session->beat, session->beat_ms);
}

/* ---- start --------------------------------------------------------------------------------------------- */

static const struct session_kind *kind_by_name(const uint8_t *name)
{
    if (!memcmp(name, sol_kind.name, 4))
        return &sol_kind;
    return memcmp(name, ider_kind.name, 4) == 0 ? &ider_kind : NULL;
}

static uint8_t judge_start(const struct pc *pc, const struct session_kind *kind)
{
    if (!kind || !(pc->redirection & kind->enabled))
        return START_UNSUPPORTED;
    if (kind == &ider_kind && !pc_consented(pc))
        return START_UNSUPPORTED;
    if (pc_has(pc, FAULT_SESSION_BUSY) || (kind == &sol_kind ? pc->sol : pc->ider))
        return START_BUSY;
    if (pc_has(pc, FAULT_DRIVE_BUSY) && kind == &ider_kind)
        return START_BUSY;
    return STARTED;
}

static ssize_t start(struct session *session, const uint8_t *data, size_t size)
{
    uint8_t reply[13] = {START_REPLY, 0, 0, 0, 1, 0, 12, 0, 0x57, 1, 0, 0, 0}; /* firmware 12.0, IANA 343 */
    const struct session_kind *kind;

    if (size < 8)
        return 0;
    kind = kind_by_name(data + 4);
    reply[1] = judge_start(session->pc, kind);
    session_send(session, reply, reply[1] == STARTED ? sizeof(reply) : 4);
    if (reply[1] != STARTED)
        return 8;
    session->kind = kind;
    session->state = SESSION_STARTED;
    *place_of(session) = session;
    return 8;
}

/* ---- authentication ------------------------------------------------------------------------------------ */

static void send_reply(struct session *session, uint8_t status, uint8_t type, const void *data, size_t size)
{
    uint8_t head[AUTHENTICATE_HEAD] = {AUTHENTICATE_REPLY, status, 0, 0, type};

    put32(head + 5, (uint32_t)size);
    session_send(session, head, sizeof(head));
    session_send(session, data, size);
}

static size_t add_text(uint8_t *at, const char *text, size_t length)
{
    at[0] = (uint8_t)length;
    memcpy(at + 1, text, length);
    return length + 1;
}

static void send_challenge(struct session *session)
{
    uint8_t data[128], random[NONCE_LENGTH / 4 * 3];
    size_t size = 0;

    RAND_bytes(random, sizeof(random));
    EVP_EncodeBlock((unsigned char *)session->nonce, random, sizeof(random));
    size += add_text(data + size, session->pc->realm, strlen(session->pc->realm));
    size += add_text(data + size, session->nonce, NONCE_LENGTH);
    size += add_text(data + size, "auth", strlen("auth"));
    send_reply(session, AUTH_FAILED, AUTH_DIGEST, data, size);
}

enum field { USER, REALM, NONCE, URI, CNONCE, COUNT, RESPONSE, QOP, FIELDS };

/* Eight texts, each behind its length. */
static bool read_fields(const uint8_t *data, size_t size, char fields[FIELDS][256])
{
    size_t at = 0;

    for (int i = 0; i < FIELDS; i++) {
        if (at >= size || data[at] > size - at - 1)
            return false;
        memcpy(fields[i], data + at + 1, data[at]);
        fields[i][data[at]] = '\0';
        at += (size_t)data[at] + 1;
    }
    return at == size;
}

static bool response_is_right(const struct session *session, char fields[FIELDS][256],
                              const struct account *account)
{
    char a1[33], a2[33], expected[33];

    if (strcmp(fields[REALM], session->pc->realm) != 0 || strcmp(fields[NONCE], session->nonce) != 0 ||
        strcmp(fields[URI], DIGEST_URI) != 0 || strcmp(fields[QOP], "auth") != 0 || !fields[CNONCE][0])
        return false;
    digest_md5(a1, (const char *const[]){fields[USER], fields[REALM], account->password, NULL});
    digest_md5(a2, (const char *const[]){"POST", DIGEST_URI, NULL});
    digest_md5(expected, (const char *const[]){a1, fields[NONCE], fields[COUNT], fields[CNONCE], fields[QOP],
                                               a2, NULL});
    return !strcasecmp(expected, fields[RESPONSE]);
}

static bool may_redirect(const struct session *session, char fields[FIELDS][256])
{
    struct account account;
    bool good;

    if (digest_is_locked(session->pc) || pc_has(session->pc, FAULT_AUTH_FAILS))
        return false;
    good = session->nonce[0] && pc_account(session->pc, fields[USER], &account) &&
           response_is_right(session, fields, &account);
    digest_count(session->pc, good);
    return good && (account.realms & (REALM_REDIRECTION | REALM_ADMINISTRATION)) != 0;
}

static ssize_t check_digest(struct session *session, const uint8_t *data, size_t size)
{
    char fields[FIELDS][256];
    bool good;

    if (!read_fields(data, size, fields))
        return -1;
    if (!fields[RESPONSE][0]) { /* the first round: who it is, and no more */
        send_challenge(session);
        return 1;
    }
    good = may_redirect(session, fields);
    log_event(session->pc->fqdn, "auth",
              json_pack("{s:s, s:s, s:b}", "mech", "digest", "user", fields[USER], "ok", good));
    session->nonce[0] = '\0'; /* good for one try */
    send_reply(session, good ? AUTH_OK : AUTH_FAILED, AUTH_DIGEST, NULL, 0);
    if (good)
        session->state = SESSION_AUTHENTICATED;
    return 1;
}

static void check_ticket(struct session *session, const uint8_t *data, size_t size)
{
    uint8_t *reply = malloc(NEGOTIATE_TOKEN_MAX);
    unsigned port = session->tls ? PORT_REDIRECTION_TLS : PORT_REDIRECTION;
    struct account account;
    size_t reply_size = 0;

    if (reply && session->pc->options->kerberos &&
        negotiate_accept(session->pc, port, data, size, &account, reply, &reply_size))
        session->state = SESSION_AUTHENTICATED;
    send_reply(session, session->state == SESSION_AUTHENTICATED ? AUTH_OK : AUTH_FAILED, AUTH_KERBEROS, reply,
               reply_size);
    free(reply);
}

/* Which kinds of authentication there are. */
static void answer_query(struct session *session)
{
    static const uint8_t offered[] = {AUTH_DIGEST, AUTH_KERBEROS};

    send_reply(session, AUTH_OK, AUTH_QUERY, offered, session->pc->options->kerberos ? 2 : 1);
}

static ssize_t authenticate(struct session *session, const uint8_t *data, size_t size)
{
    uint32_t length;
    ssize_t read = 1;

    if (size < AUTHENTICATE_HEAD)
        return 0;
    length = get32(data + 5);
    if (length > AUTHENTICATE_MAX)
        return -1;
    if (size < AUTHENTICATE_HEAD + length)
        return 0;
    if (data[4] == AUTH_QUERY)
        answer_query(session);
    else if (data[4] == AUTH_DIGEST)
        read = check_digest(session, data + AUTHENTICATE_HEAD, length);
    else if (data[4] == AUTH_KERBEROS)
        check_ticket(session, data + AUTHENTICATE_HEAD, length);
    else
        send_reply(session, AUTH_FAILED, data[4], NULL, 0);
    return read < 0 ? -1 : (ssize_t)(AUTHENTICATE_HEAD + length);
}

/* ---- bytes --------------------------------------------------------------------------------------------- */

/* As session_kind.message. */
static ssize_t take_message(struct session *session, const uint8_t *data, size_t size)
{
    if (data[0] == START)
        return session->state == SESSION_NEW ? start(session, data, size) : -1;
    if (session->state == SESSION_NEW)
        return -1;
    if (data[0] == AUTHENTICATE)
        return session->state == SESSION_STARTED ? authenticate(session, data, size) : -1;
    if (session->state == SESSION_STARTED)
        return -1;
    return session->kind->message(session, data, size);
}

static void on_read(struct bufferevent *stream, void *arg)
{
    struct session *session = arg;
    struct evbuffer *input = bufferevent_get_input(stream);
    size_t size;

    if (session->silence_ms)
        arm_ms(&session->silence, session->silence_ms);
    while ((size = evbuffer_get_length(input)) > 0) {
        const uint8_t *data = evbuffer_pullup(input, -1);
        if (data[0] == END && session->state != SESSION_NEW) {
            if (size >= 4)
                session_end(session, "client");
            return;
        }
        ssize_t length = take_message(session, data, size);
        if (length < 0) {
            session_end(session, "protocol");
            return;
        }
        if (length == 0)
            return;
        evbuffer_drain(input, (size_t)length);
    }
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
    struct session *session = arg;

    if (what & BEV_EVENT_CONNECTED)
        stream_note_tls(session->pc, stream);
    else
        session_end(session, what & BEV_EVENT_EOF ? "closed" : "error");
}

void redirection_accept(struct pc *pc, int fd, bool tls)
{
    struct bufferevent *stream = stream_open(loop, pc, fd, tls);
    struct session *session = stream ? calloc(1, sizeof(*session)) : NULL;

    if (!session) {
        if (stream)
            bufferevent_free(stream);
        return;
    }
    session->pc = pc;
    session->stream = stream;
    session->tls = tls;
    session->next = sessions;
    session->link = &sessions;
    if (session->next)
        session->next->link = &session->next;
    sessions = session;
    event_assign(&session->silence, loop, -1, 0, on_silence, session);
    event_assign(&session->beat, loop, -1, 0, on_beat, session);
    event_assign(&session->flood, loop, -1, 0, on_flood, session);
    arm_ms(&session->silence, HANDSHAKE_MS);
    bufferevent_setcb(stream, on_read, NULL, on_event, session);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
}

/* ---- for the others ------------------------------------------------------------------------------------ */

bool redirection_is_open(const struct pc *pc)
{
    return (pc->sol && pc->sol->state == SESSION_OPEN) || (pc->ider && pc->ider->state == SESSION_OPEN);
}

static void end_if_disabled(struct pc *pc, struct session *session)
{
    if (session && (!pc->listener_enabled || !(pc->redirection & session->kind->enabled)))
        session_end(session, "disabled");
}

void redirection_changed(struct pc *pc)
{
    end_if_disabled(pc, pc->sol);
    end_if_disabled(pc, pc->ider);
    listen_update(pc);
}

void redirection_close_all(void)
{
    struct session *next;

    for (struct session *session = sessions; session; session = next) {
        next = session->next;
        session_end(session, "simulator ends");
    }
}
