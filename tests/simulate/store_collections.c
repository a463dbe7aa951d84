/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes and lists. */
#include "store_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- hashes -------------------------------------------------------------------------------------------- */

const text_t *store_field_of(const value_t *value, text_t field)
{
    return value != NULL ? apr_hash_get(value->fields, field.bytes, (apr_ssize_t)field.length) : NULL;
}

/* Nonzero: it is a new field. */
int store_set_field(store_t *store, const value_t *value, text_t field, text_t content)
{
    text_t *held = apr_hash_get(value->fields, field.bytes, (apr_ssize_t)field.length);
    int is_new = held == NULL;

    if (store->watch != NULL) {
        store->watch(store->watch_baton, &value->key, &field, is_new ? NULL : held->bytes, &content);
    }
    if (is_new) {
        text_t name = store_keep(store, field);

        held = apr_palloc(store->pool, sizeof(*held));
        apr_hash_set(value->fields, name.bytes, (apr_ssize_t)name.length, held);
    }
    *held = store_keep(store, content);
    return is_new;
}

static reply_t run_hset(const call_t *call)
{
    value_t *value;
    int added = 0;

    if (call->count % 2 != 0) {
        return store_failure("ERR wrong number of arguments for 'hset' command");
    }
    if (!store_look_up(call, IS_HASH, 1, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2; i < call->count; i += 2) {
        added += store_set_field(call->store, value, call->words[i], call->words[i + 1]);
    }
    return store_integer(added);
}

/* One field. */
static reply_t run_hdel(const call_t *call)
{
    const text_t *name = &call->words[2];
    value_t *value;
    int was_there;

    if (!store_look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    was_there = store_field_of(value, *name) != NULL;
    if (was_there) {
        apr_hash_set(value->fields, name->bytes, (apr_ssize_t)name->length, NULL);
        store_drop_if_empty(call->store, value);
    }
    return store_integer(was_there);
}

static reply_t run_hget(const call_t *call)
{
    const text_t *field;
    value_t *value;

    if (!store_look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    field = store_field_of(value, call->words[2]);
    return field != NULL ? store_bulk(*field) : NOTHING;
}

static reply_t run_hmget(const call_t *call)
{
    reply_t reply = store_array_of(call->count, call->pool);
    value_t *value;

    if (!store_look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2; i < call->count; i++) {
        const text_t *field = store_field_of(value, call->words[i]);

        reply.items[reply.count++] = field != NULL ? store_bulk(*field) : NOTHING;
    }
    return reply;
}

static reply_t run_hexists(const call_t *call)
{
    value_t *value;

    if (!store_look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    return store_integer(store_field_of(value, call->words[2]) != NULL);
}

static reply_t run_hlen(const call_t *call)
{
    value_t *value;

    if (!store_look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    return store_integer(value != NULL ? (long long)apr_hash_count(value->fields) : 0);
}

static int compare_pairs(const void *one, const void *other)
{
    return strcmp(((const reply_t *)one)->text.bytes, ((const reply_t *)other)->text.bytes);
}

/* Redis says no order; here it is always the same one. */
static reply_t run_hgetall(const call_t *call)
{
    reply_t reply = NONE;
    value_t *value;

    if (!store_look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    if (value == NULL) {
        return reply;
    }
    reply = store_array_of((int)apr_hash_count(value->fields) * 2, call->pool);
    for (apr_hash_index_t *i = apr_hash_first(call->pool, value->fields); i; i = apr_hash_next(i)) {
        const void *name;
        apr_ssize_t length;
        void *content;

        apr_hash_this(i, &name, &length, &content);
        reply.items[reply.count++] = store_bulk((text_t){name, (size_t)length});
        reply.items[reply.count++] = store_bulk(*(text_t *)content);
    }
    qsort(reply.items, (size_t)reply.count / 2, 2 * sizeof(reply_t), compare_pairs);
    return reply;
}

static reply_t run_hincrby(const call_t *call)
{
    long long by = 0, before = 0;
    const text_t *field;
    value_t *value;
    char text[32];

    if (!store_parse_integer(call->words[3], &by)) {
        return NO_INTEGER;
    }
    if (!store_look_up(call, IS_HASH, 1, &value)) {
        return WRONGTYPE;
    }
    field = store_field_of(value, call->words[2]);
    if (field != NULL && !store_parse_integer(*field, &before)) {
        return store_failure("ERR hash value is not an integer");
    }
    if (__builtin_add_overflow(before, by, &before)) {
        return store_failure("ERR increment or decrement would overflow");
    }
    store_set_field(call->store, value, call->words[2],
                    (text_t){text, (size_t)snprintf(text, sizeof(text), "%lld", before)});
    return store_integer(before);
}

/* ---- lists --------------------------------------------------------------------------------------------- */

/* Room for one more at this end. */
static void make_room(const store_t *store, value_t *value, int at_head)
{
    int room = value->room ? 2 * value->room : 16;
    text_t *list;

    if (at_head ? value->first > 0 : value->first + value->count < value->room) {
        return;
    }
    list = apr_palloc(store->pool, sizeof(text_t) * (size_t)room);
    if (value->count > 0) {
        memcpy(list + room / 4, value->list + value->first, sizeof(text_t) * (size_t)value->count);
    }
    value->list = list;
    value->first = room / 4;
    value->room = room;
}

static reply_t run_push(const call_t *call)
{
    int at_head = toupper((unsigned char)call->words[0].bytes[0]) == 'L';
    value_t *value;

    if (!store_look_up(call, IS_LIST, 1, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2; i < call->count; i++) {
        make_room(call->store, value, at_head);
        value->first -= at_head;
        value->list[at_head ? value->first : value->first + value->count] =
            store_keep(call->store, call->words[i]);
        value->count++;
    }
    return store_integer(value->count);
}

static reply_t run_lpop(const call_t *call)
{
    value_t *value;
    text_t popped;

    if (!store_look_up(call, IS_LIST, 0, &value)) {
        return WRONGTYPE;
    }
    if (value == NULL) {
        return NOTHING;
    }
    popped = value->list[value->first++];
    value->count--;
    store_drop_if_empty(call->store, value);
    return store_bulk(popped);
}

static reply_t run_llen(const call_t *call)
{
    value_t *value;

    if (!store_look_up(call, IS_LIST, 0, &value)) {
        return WRONGTYPE;
    }
    return store_integer(value != NULL ? value->count : 0);
}

int store_are_integers(const call_t *call)
{
    long long value;

    return store_parse_integer(call->words[2], &value) && store_parse_integer(call->words[3], &value);
}

void store_read_range(const call_t *call, int count, int *first, int *last)
{
    long long from = 0, to = 0;

    store_parse_integer(call->words[2], &from);
    store_parse_integer(call->words[3], &to);
    from = from < 0 ? from + count : from;
    to = to < 0 ? to + count : to;
    *first = (int)(from < 0 ? 0 : from > count ? count : from);
    *last = (int)(to >= count ? count - 1 : to < -1 ? -1 : to);
}

static reply_t run_lrange(const call_t *call)
{
    int first, last;
    value_t *value;
    reply_t reply = NONE;

    if (!store_are_integers(call)) {
        return NO_INTEGER;
    }
    if (!store_look_up(call, IS_LIST, 0, &value)) {
        return WRONGTYPE;
    }
    store_read_range(call, value != NULL ? value->count : 0, &first, &last);
    if (value != NULL) {
        reply = store_array_of(value->count, call->pool);
    }
    for (int i = first; i <= last; i++) {
        reply.items[reply.count++] = store_bulk(value->list[value->first + i]);
    }
    return reply;
}

void store_append(const store_t *store, value_t *value, text_t text)
{
    make_room(store, value, 0);
    value->list[value->first + value->count++] = store_keep(store, text);
}

/* ---- the commands -------------------------------------------------------------------------------------- */

static const command_t commands[] = {
    {"HDEL", run_hdel, 3, 3},     {"HGET", run_hget, 3, 3},       {"HSET", run_hset, 4, 0},
    {"HMGET", run_hmget, 3, 0},   {"HINCRBY", run_hincrby, 4, 4}, {"LLEN", run_llen, 2, 2},
    {"LPOP", run_lpop, 2, 2},     {"LPUSH", run_push, 3, 0},      {"RPUSH", run_push, 3, 0},
    {"LRANGE", run_lrange, 4, 4}, {"HEXISTS", run_hexists, 3, 3}, {"HGETALL", run_hgetall, 2, 2},
    {"HLEN", run_hlen, 2, 2},
};

const command_t *store_collections(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcasecmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}
