/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include "digest.h"
#include "listen.h"
#include "player.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

struct client {
    struct client *next, **link; /* the list of all, and where it points here */
    struct bufferevent *stream;
};

static struct fleet *fleet;
static struct evconnlistener *listener;
static char socket_path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
static struct client *clients;

static json_t *sorry(const char *why)
{
    return json_pack("{s:b, s:s}", "ok", 0, "error", why);
}

static json_t *done(void)
{
    return json_pack("{s:b}", "ok", 1);
}

/* ---- the verbs ----------------------------------------------------------------------------------------- */

static bool certificate_kind(const char *word, enum wrong_certificate *kind)
{
    static const char *const words[] = {"self-signed", "wrong-name", "expired"};

    for (int i = 0; i < 3; i++) {
        if (!strcmp(words[i], word)) {
            *kind = (enum wrong_certificate)i;
            return true;
        }
    }
    return false;
}

static json_t *set_fault(struct pc *pc, const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "fault"));
    const json_t *kind = json_object_get(line, "kind"), *on = json_object_get(line, "on");
    enum fault fault = name ? fault_by_name(name) : FAULT_COUNT;

    if (fault == FAULT_COUNT)
        return sorry("fault must be the name of a fault");
    if (on && !json_is_boolean(on))
        return sorry("on must be true or false");
    pc->wrong_certificate = CERTIFICATE_SELF_SIGNED;
    if (kind && (fault != FAULT_WRONG_CERTIFICATE || !json_is_string(kind) ||
                 !certificate_kind(json_string_value(kind), &pc->wrong_certificate)))
        return sorry("kind goes with wrong-certificate: self-signed, wrong-name or expired");
    pc_set_fault(pc, fault, !on || json_is_true(on));
    listen_update(pc);
    return done();
}

static json_t *tell_state(struct pc *pc, const json_t *line)
{
    json_t *state = pc_state(pc);

    (void)line;
    json_object_set_new(state, "ok", json_true());
    return state;
}

static json_t *set_power(struct pc *pc, const json_t *line)
{
    const json_t *to = json_object_get(line, "to");

    if (!json_is_integer(to))
        return sorry("to must be a power state: 2, 4, 5, 7, 8, 10 or 12");
    return pc_user_power(pc, (int)json_integer_value(to)) ? done()
                                                          : sorry("not from the PC's present power state");
}

/* Of the form of its own, which its bytes are made of. */
static json_t *set_uuid(struct pc *pc, const json_t *line)
{
    const char *uuid = json_string_value(json_object_get(line, "uuid"));

    if (!uuid || strlen(uuid) != sizeof(pc->uuid) - 1 || strspn(uuid, "0123456789abcdef-") != strlen(uuid))
        return sorry("uuid must be 36 characters: lower-case hex digits and dashes");
    memcpy(pc->uuid, uuid, sizeof(pc->uuid));
    return done();
}

static json_t *set_console(struct pc *pc, const json_t *line)
{
    const char *script = json_string_value(json_object_get(line, "script"));
    const json_t *cut = json_object_get(line, "cut");
    json_int_t bytes = json_integer_value(cut);
    char why[256] = "no memory";
    json_t *volumes;

    if (!script || (cut && !json_is_integer(cut)) || bytes < 0 || bytes > PLAYER_CUT_MAX)
        return sorry("script must be a file, cut a number of bytes up to 4096");
    if (pc->power != POWER_OFF_SOFT || pc->body || pc->method != METHOD_SOL)
        return sorry("a script is for a PC of method sol that is off and has no body");
    volumes = player_give(pc, script, (unsigned)bytes, why);
    return volumes ? json_pack("{s:b, s:o}", "ok", 1, "volumes", volumes) : sorry(why);
}

static json_t *expire_nonces(struct pc *pc, const json_t *line)
{
    (void)line;
    digest_expire(pc);
    return done();
}

static void clear_one(struct pc *pc)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (pc_has(pc, (enum fault)i))
            pc_set_fault(pc, (enum fault)i, false);
    }
    pc->wrong_certificate = CERTIFICATE_SELF_SIGNED;
    listen_update(pc);
}

static json_t *clear(struct pc *pc, const json_t *line)
{
    (void)line;
    if (pc)
        clear_one(pc);
    for (unsigned i = 0; !pc && i < fleet->count; i++)
        clear_one(&fleet->pcs[i]);
    return done();
}

static const struct {
    const char *name;
    json_t *(*run)(struct pc *pc, const json_t *line);
    bool for_all; /* without a system it means every PC */
} verbs[] = {
    {"fault", set_fault, false}, {"state", tell_state, false},
    {"power", set_power, false}, {"expire-nonces", expire_nonces, false},
    {"uuid", set_uuid, false},   {"console", set_console, false},
    {"clear", clear, true},
};

static json_t *obey(const json_t *line)
{
    const char *verb = json_string_value(json_object_get(line, "do"));
    const json_t *system = json_object_get(line, "system");
    struct pc *pc = json_is_string(system) ? fleet_find(fleet, json_string_value(system)) : NULL;

    for (size_t i = 0; verb && i < sizeof(verbs) / sizeof(*verbs); i++) {
        if (strcmp(verbs[i].name, verb) != 0)
            continue;
        if (!pc && (system || !verbs[i].for_all))
            return sorry("system must be the name of a simulated PC");
        return verbs[i].run(pc, line);
    }
    return sorry("do must be fault, state, power, uuid, console, expire-nonces or clear");
}

/* ---- the socket ---------------------------------------------------------------------------------------- */

static void reply(struct bufferevent *stream, json_t *answer)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

    if (text)
        evbuffer_add_printf(bufferevent_get_output(stream), "%s\n", text);
    free(text);
    json_decref(answer);
}

static void hang_up(struct client *client)
{
    *client->link = client->next;
    if (client->next)
        client->next->link = client->link;
    bufferevent_free(client->stream);
    free(client);
}

static void on_line(struct bufferevent *stream, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(stream);
    size_t length;
    char *text;

    while ((text = evbuffer_readln(input, &length, EVBUFFER_EOL_LF))) {
        json_t *line = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
        reply(stream, json_is_object(line) ? obey(line) : sorry("not a JSON object"));
        json_decref(line);
        free(text);
    }
    if (evbuffer_get_length(input) > LINE_MAX_BYTES)
        hang_up(arg);
}

static void on_end(struct bufferevent *stream, short what, void *arg)
{
    (void)stream;
    (void)what;
    hang_up(arg);
}

static void on_client(struct evconnlistener *from, evutil_socket_t fd, struct sockaddr *address, int size,
                      void *base)
{
    struct client *client = calloc(1, sizeof(*client));

    (void)from;
    (void)address;
    (void)size;
    if (client)
        client->stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!client || !client->stream) {
        free(client);
        close(fd);
        return;
    }
    client->next = clients;
    client->link = &clients;
    if (client->next)
        client->next->link = &client->next;
    clients = client;
    bufferevent_setcb(client->stream, on_line, NULL, on_end, client);
    bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

int control_open(struct event_base *base, struct fleet *the_fleet, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t mask;

    fleet = the_fleet;
    if (strlen(path) >= sizeof(address.sun_path)) {
        fprintf(stderr, "amtsim: --control %s: longer than a unix socket's path may be\n", path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    memcpy(socket_path, path, strlen(path) + 1);
    unlink(path);
    mask = umask(0177);
    listener = evconnlistener_new_bind(base, on_client, base, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                                       16, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (listener)
        return 0;
    fprintf(stderr, "amtsim: --control %s: %s\n", path, strerror(errno));
    return -1;
}

void control_close(void)
{
    struct client *next;

    for (struct client *client = clients; client; client = next) {
        next = client->next;
        hang_up(client);
    }
    if (!listener)
        return;
    evconnlistener_free(listener);
    listener = NULL;
    unlink(socket_path);
}
