/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "ground.h"
#include "jobs/conn_priv.h"
#include "jobs/library_priv.h"

#define CLOCK_AT_FIRST (apr_time_from_sec(1764500000))
#define BELL "{amtu}:bell"

server_t server;

/* A connection. Lives as long as the simulation, since what it sent may arrive after its end. */
typedef struct link_t link_t;
struct link_t {
    host_t *host;
    int start;                   /* of the Redis that it reaches */
    int is_open;                 /* this end did not close it */
    int is_broken;               /* the other end did, or what is between */
    apr_array_header_t *put;     /* request_t *, not sent yet */
    apr_array_header_t *answers; /* redisReply * */
    int taken;                   /* of the answers */
    fiber_t *waiting;            /* for an answer */
    apr_time_t last_arrival;     /* what is sent later arrives later */
    int blocked;                 /* BLPOP: turn of it; 0: not */
    link_t *next_blocked;
};

typedef struct {
    link_t *link;
    apr_time_t sent;
    int count;
    text_t *words;
    int answer_is_lost;
} request_t;

static link_t *blocked; /* that wait for the bell, the longest first */
static int blocked_turn;
static apr_pool_t *scratch;

/* ---- the server's state -------------------------------------------------------------------------------- */

static const char *run_id(void)
{
    return apr_psprintf(scratch, "%040d", 1000 + server.starts);
}

void server_begin(apr_pool_t *pool)
{
    static functions_t *functions;

    if (functions == NULL) {
        functions = functions_create(jobs_library);
    }
    server = (server_t){.pool = pool,
                        .functions = functions,
                        .clock = CLOCK_AT_FIRST,
                        .verb = "",
                        .stepped_at = -1,
                        .rolled_back_at = -1};
    server.store = store_create(pool);
    blocked = NULL;
    apr_pool_create(&scratch, pool);
}

apr_time_t server_time(void)
{
    return clockwork_now() + server.clock;
}

const char *server_field(const char *key, const char *field)
{
    store_set_time(server.store, server_time());
    return store_field(server.store, key, field);
}

void server_forget(const char *key, const char *field)
{
    const text_t words[] = {{"HDEL", 4}, {key, strlen(key)}, {field, strlen(field)}};

    store_run(server.store, 3, words, server.pool);
}

void server_copy(void)
{
    apr_pool_t *pool = NULL;

    apr_pool_create(&pool, server.pool);
    server.copy = store_copy(server.store, pool);
    server.copied_at = clockwork_now();
}

static void come_back(void *older)
{
    if (older != NULL && server.copy != NULL) {
        apr_pool_t *pool = NULL;

        apr_pool_create(&pool, server.pool);
        server.store = store_copy(server.copy, pool);
        store_watch(server.store, server.on_field, NULL);
        server.rolled_back_at = clockwork_now();
        server.roll_backs[server.roll_back_count].copied = server.copied_at;
        server.roll_backs[server.roll_back_count++].back = clockwork_now();
    }
    server.is_away = 0;
    server.starts++;
    server.started = clockwork_now();
}

void server_restart(apr_interval_time_t away, int older)
{
    server.is_away = 1;
    blocked = NULL;
    clockwork_at(clockwork_now() + away, NULL, come_back, older ? &server : NULL);
}

/* ---- replies as hiredis makes them --------------------------------------------------------------------- */

static redisReply *make_reply(const reply_t *reply)
{
    static const int kinds[] = {[REPLY_NIL] = REDIS_REPLY_NIL,     [REPLY_INTEGER] = REDIS_REPLY_INTEGER,
                                [REPLY_TEXT] = REDIS_REPLY_STRING, [REPLY_STATUS] = REDIS_REPLY_STATUS,
                                [REPLY_ERROR] = REDIS_REPLY_ERROR, [REPLY_ARRAY] = REDIS_REPLY_ARRAY};
    redisReply *made = calloc(1, sizeof(*made));

    made->type = kinds[reply->kind];
    made->integer = reply->integer;
    if (reply->text.bytes != NULL) {
        made->str = malloc(reply->text.length + 1);
        memcpy(made->str, reply->text.bytes, reply->text.length);
        made->str[reply->text.length] = '\0';
        made->len = (int)reply->text.length;
    }
    if (reply->count > 0) {
        made->elements = (size_t)reply->count;
        made->element = calloc((size_t)reply->count, sizeof(redisReply *));
        for (int i = 0; i < reply->count; i++) {
            made->element[i] = make_reply(&reply->items[i]);
        }
    }
    return made;
}

static apr_status_t free_reply(void *reply)
{
    freeReplyObject(reply);
    return APR_SUCCESS;
}

/* Nothing comes behind an answer that was lost. */
static void answer(link_t *link, const reply_t *reply)
{
    if (link->is_broken) {
        return;
    }
    APR_ARRAY_PUSH(link->answers, redisReply *) = make_reply(reply);
    if (link->waiting != NULL) {
        fiber_wake(link->waiting);
    }
}

/* ---- commands that are the server's -------------------------------------------------------------------- */

static reply_t text_reply(const char *text)
{
    return (reply_t){.kind = REPLY_TEXT, .text = {text, strlen(text)}};
}

static reply_t run_info(void)
{
    return text_reply(apr_psprintf(scratch,
                                   "# Server\r\nrun_id:%s\r\nuptime_in_seconds:%" APR_INT64_T_FMT "\r\n"
                                   "# Replication\r\nmaster_replid:%s\r\n",
                                   run_id(), apr_time_sec(clockwork_now() - server.started), run_id()));
}

static reply_t run_config(void)
{
    static const char *const settings[] = {"appendonly",       "yes",       "appendfsync", "always",
                                           "maxmemory-policy", "noeviction"};
    reply_t reply = {.kind = REPLY_ARRAY, .items = apr_palloc(scratch, sizeof(reply_t) * 6)};

    for (int i = 0; i < 6; i++) {
        reply.items[reply.count++] = text_reply(settings[i]);
    }
    return reply;
}

static reply_t run_function_call(const request_t *request)
{
    reply_t reply;

    server.verb = request->words[1].bytes;
    reply = functions_run(server.functions, server.store, request->count, request->words,
                          !server.cannot_write, scratch);

    server.verb = "";
    if (server.on_verb != NULL) {
        server.on_verb(request->link->host, request->sent, request->count, request->words, &reply);
    }
    return reply;
}

static reply_t run_request(const request_t *request)
{
    const char *name = request->words[0].bytes;

    if (strcasecmp(name, "FCALL") == 0) {
        return run_function_call(request);
    }
    if (strcasecmp(name, "INFO") == 0) {
        return run_info();
    }
    if (strcasecmp(name, "CONFIG") == 0) {
        return run_config();
    }
    if (strcasecmp(name, "FUNCTION") == 0) {
        return text_reply("amtunlock");
    }
    return store_run(server.store, request->count, request->words, scratch);
}

/* ---- the bell ------------------------------------------------------------------------------------------ */

static void unblock(link_t *link)
{
    for (link_t **at = &blocked; *at != NULL; at = &(*at)->next_blocked) {
        if (*at == link) {
            *at = link->next_blocked;
            break;
        }
    }
    link->blocked = 0;
}

typedef struct {
    link_t *link;
    int turn;
} block_t;

static void end_block(void *baton)
{
    static const reply_t nothing = {.kind = REPLY_NIL};
    const block_t *block = baton;

    if (block->link->blocked == block->turn) {
        unblock(block->link);
        answer(block->link, &nothing);
    }
}

static void block_link(link_t *link, double seconds)
{
    link_t **at = &blocked;
    block_t *block = apr_palloc(server.pool, sizeof(*block));

    while (*at != NULL) {
        at = &(*at)->next_blocked;
    }
    *at = link;
    link->next_blocked = NULL;
    link->blocked = ++blocked_turn;
    *block = (block_t){link, link->blocked};
    clockwork_at(clockwork_now() + (apr_time_t)(seconds * 1e6), NULL, end_block, block);
}

static void serve_blocked(void)
{
    const text_t pop[] = {{"LPOP", 4}, {BELL, sizeof(BELL) - 1}};

    while (blocked != NULL && store_list_length(server.store, BELL) > 0) {
        link_t *link = blocked;
        reply_t items[2] = {text_reply(BELL), store_run(server.store, 2, pop, scratch)};
        const reply_t reply = {.kind = REPLY_ARRAY, .count = 2, .items = items};

        unblock(link);
        answer(link, &reply);
    }
}

/* ---- a request arrives --------------------------------------------------------------------------------- */

static void break_link(link_t *link)
{
    link->is_broken = 1;
    if (link->waiting != NULL) {
        fiber_wake(link->waiting);
    }
}

static void arrive(void *baton)
{
    request_t *request = baton;
    link_t *link = request->link;
    reply_t reply;

    if (server.is_away || link->start != server.starts) {
        break_link(link);
        return;
    }
    if (server.frozen_until > clockwork_now()) {
        clockwork_at(server.frozen_until, NULL, arrive, request);
        return;
    }
    store_set_time(server.store, server_time());
    if (strcasecmp(request->words[0].bytes, "BLPOP") == 0) {
        if (link->is_open) {
            block_link(link, strtod(request->words[2].bytes, NULL));
        }
    }
    else {
        reply = run_request(request);
        if (request->answer_is_lost) {
            break_link(link);
        }
        else {
            answer(link, &reply);
        }
    }
    serve_blocked();
    apr_pool_clear(scratch);
}

/* ---- jobs/conn_priv.h ---------------------------------------------------------------------------------- */

static link_t *link_of(const redis_conn_t *conn)
{
    return (link_t *)conn->context;
}

static apr_interval_time_t latency(void)
{
    chance_t *chance = &host_current()->chance;

    return chance_between(chance, 50, chance_once_in(chance, 400) ? 1500000 : 800);
}

jobs_redis_t jobs_redis_copy(const jobs_redis_t *redis, apr_pool_t *pool)
{
    (void)pool;
    return *redis;
}

void redis_conn_close(redis_conn_t *conn)
{
    link_t *link = link_of(conn);

    if (link != NULL) {
        link->is_open = 0;
        for (int i = link->taken; i < link->answers->nelts; i++) {
            freeReplyObject(APR_ARRAY_IDX(link->answers, i, redisReply *));
        }
        link->taken = link->answers->nelts;
        unblock(link);
    }
    conn->context = NULL;
}

int redis_conn_alive(const redis_conn_t *conn)
{
    const link_t *link = link_of(conn);

    return link != NULL && !link->is_broken && link->start == server.starts && !server.is_away;
}

static redis_conn_e conn_fail(redis_conn_t *conn, redis_conn_e outcome, const char **why)
{
    *why = outcome == REDIS_CONN_TIMEOUT ? "Redis did not answer in time" : "the connection to Redis broke";
    redis_conn_close(conn);
    return outcome;
}

int redis_conn_put(redis_conn_t *conn, jobs_call_t *call, apr_time_t deadline)
{
    link_t *link = link_of(conn);
    request_t *request = apr_pcalloc(server.pool, sizeof(*request));

    if (link == NULL) {
        return 0;
    }
    if (call->not_after) {
        const char *text = apr_psprintf(call->pool, "%" APR_INT64_T_FMT, deadline + conn->offset);

        APR_ARRAY_IDX(call->words, call->not_after, const char *) = text;
        APR_ARRAY_IDX(call->lengths, call->not_after, size_t) = strlen(text);
    }
    request->link = link;
    request->count = call->words->nelts;
    request->words = apr_palloc(server.pool, sizeof(text_t) * (size_t)request->count);
    for (int i = 0; i < request->count; i++) {
        size_t length = APR_ARRAY_IDX(call->lengths, i, size_t);

        request->words[i] = (text_t){
            apr_pstrmemdup(server.pool, APR_ARRAY_IDX(call->words, i, const char *), length), length};
    }
    APR_ARRAY_PUSH(link->put, request_t *) = request;
    return 1;
}

/* Where a host's network loses things: a request on its way there, or its answer. */
static int is_lost(const host_t *host, request_t *request)
{
    chance_t *chance = &host_current()->chance;

    if (server.loses_until[host->number] <= clockwork_now() || chance_once_in(chance, 2)) {
        return 0;
    }
    request->answer_is_lost = chance_once_in(chance, 2);
    return !request->answer_is_lost;
}

redis_conn_e redis_conn_send(redis_conn_t *conn, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    link_t *link = link_of(conn);
    apr_time_t at = clockwork_now() + latency();

    (void)deadline;
    (void)pool;
    if (!redis_conn_alive(conn)) {
        return conn_fail(conn, REDIS_CONN_BROKEN, why);
    }
    at = at > link->last_arrival ? at : link->last_arrival + 1;
    for (int i = 0; i < link->put->nelts; i++) {
        request_t *request = APR_ARRAY_IDX(link->put, i, request_t *);

        request->sent = clockwork_now();
        if (is_lost(link->host, request)) {
            link->is_broken = 1; /* and all behind it */
            break;
        }
        clockwork_at(at++, NULL, arrive, request);
    }
    link->last_arrival = at;
    apr_array_clear(link->put);
    return REDIS_CONN_FINE;
}

redisReply *redis_conn_take(redis_conn_t *conn, apr_time_t deadline, redis_conn_e *outcome, const char **why,
                            apr_pool_t *pool)
{
    link_t *link = link_of(conn);
    apr_time_t until = deadline - (clock_boottime() - clockwork_now());
    redisReply *reply = NULL;

    if (link == NULL) {
        *outcome = REDIS_CONN_BROKEN;
        *why = "the connection to Redis broke";
        return NULL;
    }
    *outcome = link->put->nelts > 0 ? redis_conn_send(conn, deadline, why, pool) : REDIS_CONN_FINE;
    if (*outcome != REDIS_CONN_FINE) {
        return NULL;
    }
    while (link->taken == link->answers->nelts && !link->is_broken && clockwork_now() < until) {
        link->waiting = fiber_current();
        fiber_wait(until);
        link->waiting = NULL;
    }
    if (link->taken == link->answers->nelts) {
        *outcome = conn_fail(conn, link->is_broken ? REDIS_CONN_BROKEN : REDIS_CONN_TIMEOUT, why);
        return NULL;
    }
    fiber_wait(clockwork_now() + latency()); /* back */
    reply = APR_ARRAY_IDX(link->answers, link->taken, redisReply *);
    link->taken++;
    apr_pool_cleanup_register(pool, reply, free_reply, apr_pool_cleanup_null);
    return reply;
}

redis_conn_e redis_conn_ask(redis_conn_t *conn, jobs_call_t *call, apr_time_t deadline, redisReply **reply,
                            const char **why, apr_pool_t *pool)
{
    redis_conn_e outcome = REDIS_CONN_FINE;

    if (!redis_conn_put(conn, call, deadline)) {
        return conn_fail(conn, REDIS_CONN_BROKEN, why);
    }
    *reply = redis_conn_take(conn, deadline, &outcome, why, pool);
    return outcome;
}

static link_t *make_link(void)
{
    link_t *link = apr_pcalloc(server.pool, sizeof(*link));

    link->host = host_current();
    link->start = server.starts;
    link->is_open = 1;
    link->put = apr_array_make(server.pool, 4, sizeof(request_t *));
    link->answers = apr_array_make(server.pool, 4, sizeof(redisReply *));
    return link;
}

redis_conn_e redis_conn_open(redis_conn_t *conn, apr_time_t deadline, const char **why, apr_pool_t *pool)
{
    redis_conn_e outcome = REDIS_CONN_FINE;
    redisReply *reply = NULL;

    redis_conn_close(conn);
    fiber_wait(clockwork_now() + latency());
    if (server.is_away) {
        *why = "no connection to Redis: refused";
        return REDIS_CONN_AWAY;
    }
    conn->context = (redisContext *)make_link();
    outcome = redis_conn_ask(conn, jobs_command("TIME", pool), deadline, &reply, why, pool);
    if (outcome != REDIS_CONN_FINE) {
        return outcome;
    }
    conn->learnt = clock_boottime();
    conn->offset = apr_time_from_sec(apr_atoi64(reply->element[0]->str)) +
                   apr_atoi64(reply->element[1]->str) - conn->learnt;
    return REDIS_CONN_FINE;
}
