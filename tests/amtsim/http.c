/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include "digest.h"
#include "http_head.h"
#include "log.h"
#include "negotiate.h"
#include "stream.h"
#include "wsman.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_SECONDS 60
#define MUTUAL_MAX 1024
#define CHUNK_MAX 0x400
#define SLOW_PIECES 20
#define SLOW_PIECE_MS 60
#define ENDLESS_MS 20
#define ENDLESS_QUEUED 65536
#define DRIP_MS 500
#define ELEMENTS 30000

enum state { READING_HEAD, READING_BODY, ANSWERING, SENDING };

struct connection {
    struct connection *next, **link; /* the list of all, and where it points here */
    struct pc *pc;
    struct bufferevent *stream;
    bool tls;
    enum state state;
    char *head_text;
    struct http_head head;
    bool authenticated; /* over TLS the connection stays authenticated [AMT 6.0 and later] */
    struct account account;
    char mutual[MUTUAL_MAX]; /* the header line with which the device proves itself in turn, or "" */
    bool holds_device;       /* this connection's call is the one being answered */
    bool close_after;
    struct evbuffer *answer; /* ready, not sent yet */
    size_t piece;            /* of a slow answer */
    struct event timer;
    const char *endless; /* what is sent again and again */
};

static struct event_base *loop;
static struct connection *connections;

static void on_timer(evutil_socket_t fd, short what, void *arg);
static void on_read(struct bufferevent *stream, void *arg);

void http_setup(struct event_base *base)
{
    loop = base;
}

static void release_device(struct connection *c)
{
    if (c->holds_device)
        c->pc->answering = false;
    c->holds_device = false;
}

/* Forgets the connection; its stream lives on. */
static struct bufferevent *detach(struct connection *c)
{
    struct bufferevent *stream = c->stream;

    release_device(c);
    event_del(&c->timer);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    evbuffer_free(c->answer);
    free(c->head_text);
    free(c);
    return stream;
}

static void free_connection(struct connection *c)
{
    bufferevent_free(detach(c));
}

void http_close_all(void)
{
    struct connection *next;

    for (struct connection *c = connections; c; c = next) {
        next = c->next;
        free_connection(c);
    }
}

static void arm_ms(struct connection *c, unsigned ms)
{
    struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    event_add(&c->timer, &tv);
}

/* ---- sending ------------------------------------------------------------------------------------------- */

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {302, "Found"},
        {401, "Unauthorized"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {411, "Length Required"},
        {413, "Request Entity Too Large"},
        {415, "Unsupported Media Type"},
        {431, "Request Header Fields Too Large"},
        {503, "Service Unavailable"},
        {501, "Not Implemented"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "Error";
}

static void write_status(struct evbuffer *out, int status)
{
    char date[64];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    evbuffer_add_printf(out,
                        "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: Intel(R) Active Management Technology %s\r\n"
                        "X-Frame-Options: DENY\r\n",
                        status, phrase(status), date, FIRMWARE_VERSION);
}

static void cut_in_half(struct connection *c)
{
    struct evbuffer *half = evbuffer_new();

    c->close_after = true;
    if (!half)
        return;
    evbuffer_remove_buffer(c->answer, half, evbuffer_get_length(c->answer) / 2);
    evbuffer_drain(c->answer, evbuffer_get_length(c->answer));
    evbuffer_add_buffer(c->answer, half);
    evbuffer_free(half);
}

static void begin_sending(struct connection *c)
{
    c->state = SENDING;
    if (pc_has(c->pc, FAULT_HALF_ANSWERS))
        cut_in_half(c);
    if (pc_has(c->pc, FAULT_SLOW) || pc_has(c->pc, FAULT_DRIP)) {
        c->piece = pc_has(c->pc, FAULT_DRIP) ? 1 : evbuffer_get_length(c->answer) / SLOW_PIECES + 1;
        arm_ms(c, SLOW_PIECE_MS);
        return;
    }
    bufferevent_write_buffer(c->stream, c->answer);
}

/* A page of the device's web server; always the last thing on a connection, as firmware has it. */
static void send_page(struct connection *c, int status, const char *header, const char *text)
{
    char page[512];
    int length = snprintf(page, sizeof(page),
                          "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\" >\n<html><head>"
                          "<title>Intel&reg; Active Management Technology</title></head>\n<body>\n"
                          "<h2 class=warn>%s</h2>\n</body>\n</html>\n",
                          text);

    write_status(c->answer, status);
    evbuffer_add_printf(c->answer,
                        "%sContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
                        header, length, page);
    c->close_after = true;
    begin_sending(c);
}

static void send_error(struct connection *c, int status)
{
    send_page(c, status, status == 405 ? "Allow: POST\r\n" : "", phrase(status));
}

static void send_challenge(struct connection *c, bool stale)
{
    char value[256], other[320] = "", header[640];

    digest_challenge(c->pc, stale, value, sizeof(value));
    if (pc_has(c->pc, FAULT_TWO_DIGESTS))
        snprintf(other, sizeof(other), "WWW-Authenticate: %s, algorithm=SHA-256\r\n", value);
    snprintf(header, sizeof(header), "%s%sWWW-Authenticate: %s\r\n",
             c->pc->options->kerberos ? "WWW-Authenticate: Negotiate\r\n" : "", other, value);
    send_page(c, 401, header,
              "Log on failed. Incorrect user name or password, or user account temporarily locked.");
}

/* To where it was asked. */
static void send_elsewhere(struct connection *c)
{
    char header[256];

    snprintf(header, sizeof(header), "Location: http%s://%s:%d/wsman\r\n", c->tls ? "s" : "", c->pc->fqdn,
             c->tls ? PORT_TLS : PORT_PLAIN);
    send_page(c, 302, header, phrase(302));
}

/* Firmware answers in chunks, their sizes in four digits. */
static void write_chunks(struct evbuffer *out, const char *text, size_t size)
{
    while (size > 0) {
        size_t part = size < CHUNK_MAX ? size : CHUNK_MAX;
        evbuffer_add_printf(out, "%04X\r\n", (unsigned)part);
        evbuffer_add(out, text, part);
        evbuffer_add(out, "\r\n", 2);
        text += part;
        size -= part;
    }
}

static void write_soap(struct connection *c, int status, const char *text, size_t size, bool whole)
{
    write_status(c->answer, status);
    evbuffer_add_printf(c->answer,
                        "Content-Type: application/soap+xml; charset=UTF-8\r\n"
                        "Transfer-Encoding: chunked\r\n%s%s\r\n",
                        c->mutual, c->close_after ? "Connection: close\r\n" : "");
    c->mutual[0] = '\0';
    write_chunks(c->answer, text, size);
    if (whole)
        evbuffer_add_printf(c->answer, "0\r\n\r\n");
}

/* ---- what comes later ---------------------------------------------------------------------------------- */

static void send_slow_piece(struct connection *c)
{
    evbuffer_remove_buffer(c->answer, bufferevent_get_output(c->stream), c->piece);
    if (evbuffer_get_length(c->answer) > 0)
        arm_ms(c, c->piece > 1 ? SLOW_PIECE_MS : DRIP_MS);
}

static void send_endless_piece(struct connection *c)
{
    struct evbuffer *out = bufferevent_get_output(c->stream);

    while (evbuffer_get_length(out) < ENDLESS_QUEUED)
        evbuffer_add(out, c->endless, strlen(c->endless));
    arm_ms(c, ENDLESS_MS);
}

/* What is ready goes out, then this text until the client has had enough. */
static void send_endlessly(struct connection *c, const char *text)
{
    c->close_after = true;
    c->endless = text;
    c->state = SENDING;
    bufferevent_write_buffer(c->stream, c->answer);
    arm_ms(c, ENDLESS_MS);
}

static void send_answer(struct connection *c)
{
    release_device(c);
    if (evbuffer_get_length(c->answer) == 0) { /* it got lost on the way */
        free_connection(c);
        return;
    }
    begin_sending(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    (void)what;
    if (c->state == ANSWERING)
        send_answer(c);
    else if (evbuffer_get_length(c->answer) > 0)
        send_slow_piece(c);
    else if (c->endless)
        send_endless_piece(c);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static bool is_soap(const char *type)
{
    static const char soap[] = "application/soap+xml";
    const char *charset;

    if (!type) /* old consoles send none */
        return true;
    if (strncasecmp(type, soap, sizeof(soap) - 1) != 0)
        return false;
    type += sizeof(soap) - 1;
    if (*type && *type != ';' && *type != ' ')
        return false;
    charset = strcasestr(type, "charset=");
    if (!charset)
        return true;
    charset += strlen("charset=");
    return strncasecmp(charset + (*charset == '"'), "utf-8", 5) == 0;
}

/* What is wrong with a request before anybody asks who sent it. */
static int refuse(const struct http_head *head)
{
    if (strcmp(head->uri, "/wsman") != 0)
        return 404;
    if (strcmp(head->method, "POST") != 0)
        return 405;
    return is_soap(head->content_type) ? 0 : 415;
}

static void start_endless(struct connection *c)
{
    static const char start[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a:Envelope xmlns:a=\"" NS_SOAP
                                "\" xmlns:g=\"" NS_ENUMERATION "\"><a:Body>";

    c->close_after = true;
    write_soap(c, 200, start, sizeof(start) - 1, false);
    send_endlessly(c, "0024\r\n<g:Item>0</g:Item><g:Item>0</g:Item>\r\n");
}

static void start_endless_head(struct connection *c)
{
    write_status(c->answer, 200);
    send_endlessly(c, "X-Intel: and another\r\n");
}

/* As send_challenge(), but its page has no end. */
static void start_endless_challenge(struct connection *c)
{
    char value[256];

    digest_challenge(c->pc, false, value, sizeof(value));
    write_status(c->answer, 401);
    evbuffer_add_printf(c->answer, "WWW-Authenticate: %s\r\nTransfer-Encoding: chunked\r\n\r\n", value);
    send_endlessly(c, "0010\r\nLog on failed...\r\n");
}

/* More elements than any answer has, in few bytes. */
static void write_elements(struct connection *c)
{
    static const char start[] = "<a:Envelope xmlns:a=\"" NS_SOAP "\"><a:Body>",
                      end[] = "</a:Body></a:Envelope>";
    struct evbuffer *text = evbuffer_new();

    if (!text)
        return;
    evbuffer_add(text, start, sizeof(start) - 1);
    for (int i = 0; i < ELEMENTS; i++)
        evbuffer_add(text, "<b/>", 4);
    evbuffer_add(text, end, sizeof(end) - 1);
    write_soap(c, 200, (const char *)evbuffer_pullup(text, -1), evbuffer_get_length(text), true);
    evbuffer_free(text);
}

static void answer_call(struct connection *c, const char *body, size_t size)
{
    static const char garbage[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a:Envelope xmlns:a=\"" NS_SOAP
                                  "\"><a:Header></b:Body>\x01&nothing;<<";
    struct answer answer;
    bool busy = c->pc->answering;

    if (!answer_begin(&answer)) {
        free_connection(c);
        return;
    }
    wsman_answer(c->pc, &c->account, body, size, busy, &answer);
    if (pc_has(c->pc, FAULT_GARBAGE))
        write_soap(c, 200, garbage, sizeof(garbage) - 1, true);
    else if (pc_has(c->pc, FAULT_ELEMENTS))
        write_elements(c);
    else if (answer.wordless)
        write_soap(c, answer.status, "", 0, true);
    else if (!answer.drop)
        write_soap(c, answer.status, (const char *)xmlBufferContent(answer.text),
                   (size_t)xmlBufferLength(answer.text), true);
    answer_free(&answer);
    c->state = ANSWERING;
    c->holds_device = !busy;
    c->pc->answering = true;
    arm_ms(c, c->pc->options->answer_ms);
}

static bool is_negotiate(const struct connection *c)
{
    return c->pc->options->kerberos && strncasecmp(c->head.authorization, "Negotiate ", 10) == 0;
}

static enum digest_result check(struct connection *c, const char *body, size_t size)
{
    const struct digest_request request = {c->head.method, c->head.uri, body, size, c->head.authorization};
    unsigned port = c->tls ? PORT_TLS : PORT_PLAIN;

    if (!is_negotiate(c))
        return digest_check(c->pc, &request, &c->account);
    return negotiate_check(c->pc, port, c->head.authorization, &c->account, c->mutual, sizeof(c->mutual))
               ? DIGEST_OK
               : DIGEST_REFUSED;
}

static bool authenticate(struct connection *c, const char *body, size_t size)
{
    enum digest_result result;

    if (!c->head.authorization) {
        if (c->authenticated)
            return true;
        send_challenge(c, false);
        return false;
    }
    result = check(c, body, size);
    c->authenticated = c->tls && result == DIGEST_OK;
    if (result != DIGEST_OK)
        send_challenge(c, result == DIGEST_STALE);
    return result == DIGEST_OK;
}

static void handle_request(struct connection *c, const char *body, size_t size)
{
    int status = refuse(&c->head);

    log_event(c->pc->fqdn, "request-seen",
              json_pack("{s:I, s:I, s:o*}", "n", (json_int_t)++c->pc->requests, "bytes", (json_int_t)size,
                        "body", c->pc->options->log_bodies ? json_stringn(body, size) : NULL));
    c->close_after = c->head.close;
    if (pc_has(c->pc, FAULT_REDIRECTS))
        send_elsewhere(c);
    else if (status)
        send_error(c, status);
    else if (pc_has(c->pc, FAULT_ENDLESS_CHALLENGE))
        start_endless_challenge(c);
    else if (pc_has(c->pc, FAULT_CHALLENGES))
        send_challenge(c, true);
    else if (!authenticate(c, body, size))
        return;
    else if (pc_has(c->pc, FAULT_ENDLESS))
        start_endless(c);
    else if (pc_has(c->pc, FAULT_ENDLESS_HEAD))
        start_endless_head(c);
    else
        answer_call(c, body, size);
}

static bool take_head(struct connection *c, struct evbuffer *input)
{
    struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
    int status;

    if (end.pos < 0 || end.pos > HEAD_MAX) {
        if (evbuffer_get_length(input) > HEAD_MAX)
            send_error(c, 431);
        return false;
    }
    size_t length = (size_t)end.pos + 2; /* with the last line's CRLF */
    free(c->head_text);
    c->head_text = calloc(1, length + 1);
    if (!c->head_text)
        return false;
    evbuffer_remove(input, c->head_text, length);
    evbuffer_drain(input, 2);
    status = strlen(c->head_text) == length ? http_head_read(&c->head, c->head_text) : 400;
    if (status) {
        send_error(c, status);
        return false;
    }
    c->state = READING_BODY;
    if (c->head.expect)
        bufferevent_write(c->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    return true;
}

static void take_body(struct connection *c, struct evbuffer *input)
{
    size_t size = c->head.body_size;
    char *body;

    if (evbuffer_get_length(input) < size)
        return;
    body = malloc(size + 1);
    if (!body)
        return;
    evbuffer_remove(input, body, size);
    body[size] = '\0';
    handle_request(c, body, size); /* may free c */
    free(body);
}

static void on_read(struct bufferevent *stream, void *arg)
{
    struct connection *c = arg;
    struct evbuffer *input = bufferevent_get_input(stream);

    if (c->state == READING_HEAD && !take_head(c, input))
        return;
    if (c->state == READING_BODY)
        take_body(c, input);
}

static void on_written(struct bufferevent *stream, void *arg)
{
    struct connection *c = arg;

    if (c->state != SENDING || evbuffer_get_length(c->answer) > 0 ||
        event_pending(&c->timer, EV_TIMEOUT, NULL))
        return;
    if (c->close_after) {
        stream_close(detach(c));
        return;
    }
    c->state = READING_HEAD;
    on_read(stream, c);
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
    struct connection *c = arg;

    if (!(what & BEV_EVENT_CONNECTED)) {
        free_connection(c);
        return;
    }
    stream_note_tls(c->pc, stream);
}

void http_accept(struct pc *pc, int fd, bool tls)
{
    const struct timeval idle = {IDLE_SECONDS, 0};
    struct bufferevent *stream = stream_open(loop, pc, fd, tls);
    struct connection *c = stream ? calloc(1, sizeof(*c)) : NULL;

    if (c)
        c->answer = evbuffer_new();
    if (!c || !c->answer) {
        free(c);
        if (stream)
            bufferevent_free(stream);
        return;
    }
    c->stream = stream;
    c->pc = pc;
    c->tls = tls;
    event_assign(&c->timer, loop, -1, 0, on_timer, c);
    c->next = connections;
    c->link = &connections;
    if (c->next)
        c->next->link = &c->next;
    connections = c;
    bufferevent_setcb(c->stream, on_read, on_written, on_event, c);
    bufferevent_set_timeouts(c->stream, &idle, &idle);
    bufferevent_enable(c->stream, EV_READ | EV_WRITE);
}
