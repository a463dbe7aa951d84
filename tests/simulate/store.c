/* SPDX-License-Identifier: Apache-2.0 */
#include "store_priv.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>

/* ---- replies ------------------------------------------------------------------------------------------- */

static const reply_t fine = {.kind = REPLY_STATUS, .text = {"OK", 2}};

reply_t store_integer(long long value)
{
    return (reply_t){.kind = REPLY_INTEGER, .integer = value};
}

reply_t store_bulk(text_t text)
{
    return (reply_t){.kind = REPLY_TEXT, .text = text};
}

reply_t store_failure(const char *text)
{
    return (reply_t){.kind = REPLY_ERROR, .text = {text, strlen(text)}};
}

reply_t store_array_of(int room, apr_pool_t *pool)
{
    return (reply_t){.kind = REPLY_ARRAY, .items = apr_palloc(pool, sizeof(reply_t) * (size_t)(room + 1))};
}

text_t store_keep(const store_t *store, text_t text)
{
    return (text_t){apr_pstrmemdup(store->pool, text.bytes, text.length), text.length};
}

text_t store_number_text(double value, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, 40);
    int length = snprintf(text, 40, "%.17g", value);

    return (text_t){text, (size_t)length};
}

/* As string2ll(): no blank, no plus, no leading zero. */
int store_parse_integer(text_t text, long long *value)
{
    char *end = NULL;
    const char *digits = text.bytes + (text.length > 0 && text.bytes[0] == '-');

    errno = 0;
    if (text.length == 0 || !isdigit((unsigned char)digits[0]) || (digits[0] == '0' && text.length > 1)) {
        return 0;
    }
    *value = strtoll(text.bytes, &end, 10);
    return errno == 0 && end == text.bytes + text.length;
}

int store_parse_float(text_t text, double *value)
{
    char *end = NULL;

    if (text.length == 0 || isspace((unsigned char)text.bytes[0])) {
        return 0;
    }
    *value = strtod(text.bytes, &end);
    return end == text.bytes + text.length && !isnan(*value);
}

/* ---- keys ---------------------------------------------------------------------------------------------- */

void store_drop(store_t *store, const value_t *value)
{
    apr_hash_set(store->values, value->key.bytes, (apr_ssize_t)value->key.length, NULL);
}

value_t *store_find(store_t *store, text_t key)
{
    value_t *value = apr_hash_get(store->values, key.bytes, (apr_ssize_t)key.length);

    if (value != NULL && value->expires != 0 && store->time >= value->expires) {
        store_drop(store, value);
        return NULL;
    }
    return value;
}

value_t *store_make(store_t *store, text_t key, kind_e kind)
{
    value_t *value = apr_pcalloc(store->pool, sizeof(*value));

    value->kind = kind;
    value->key = store_keep(store, key);
    if (kind == IS_HASH || kind == IS_ZSET) {
        value->fields = apr_hash_make(store->pool);
    }
    apr_hash_set(store->values, value->key.bytes, (apr_ssize_t)value->key.length, value);
    return value;
}

/* Its value of this kind. 0: it has another kind. *value NULL: there is none; with `create` there always is one. */
int store_look_up(const call_t *call, kind_e kind, int create, value_t **value)
{
    *value = store_find(call->store, call->words[1]);
    if (*value == NULL && create) {
        *value = store_make(call->store, call->words[1], kind);
    }
    return *value == NULL || (*value)->kind == kind;
}

void store_drop_if_empty(store_t *store, const value_t *value)
{
    if (value->kind == IS_HASH ? apr_hash_count(value->fields) == 0 : value->count == 0) {
        store_drop(store, value);
    }
}

static reply_t run_del(const call_t *call)
{
    int removed = 0;

    for (int i = 1; i < call->count; i++) {
        value_t *value = store_find(call->store, call->words[i]);

        if (value != NULL) {
            store_drop(call->store, value);
            removed++;
        }
    }
    return store_integer(removed);
}

static reply_t run_exists(const call_t *call)
{
    int found = 0;

    for (int i = 1; i < call->count; i++) {
        found += store_find(call->store, call->words[i]) != NULL;
    }
    return store_integer(found);
}

static apr_interval_time_t unit_of(const call_t *call)
{
    return toupper((unsigned char)call->words[0].bytes[0]) == 'P' ? 1000 : APR_USEC_PER_SEC;
}

/* Redis' times to live are whole milliseconds, counted from the millisecond that it is. */
static apr_time_t millisecond(const store_t *store)
{
    return store->time - store->time % 1000;
}

static reply_t run_expire(const call_t *call)
{
    value_t *value = store_find(call->store, call->words[1]);
    long long amount = 0;
    apr_time_t until;

    if (!store_parse_integer(call->words[2], &amount)) {
        return NO_INTEGER;
    }
    if (value == NULL) {
        return store_integer(0);
    }
    until = millisecond(call->store) + amount * unit_of(call);
    if (call->count > 3) {
        if (strcasecmp(call->words[3].bytes, "GT") != 0) {
            return SYNTAX;
        }
        if (value->expires == 0 || until <= value->expires) {
            return store_integer(0);
        }
    }
    value->expires = until;
    if (amount <= 0) {
        store_drop(call->store, value);
    }
    return store_integer(1);
}

static reply_t run_persist(const call_t *call)
{
    value_t *value = store_find(call->store, call->words[1]);
    int had = value != NULL && value->expires != 0;

    if (had) {
        value->expires = 0;
    }
    return store_integer(had);
}

static reply_t run_ttl(const call_t *call)
{
    const value_t *value = store_find(call->store, call->words[1]);
    apr_interval_time_t unit = unit_of(call), left;

    if (value == NULL || value->expires == 0) {
        return store_integer(value == NULL ? -2 : -1);
    }
    left = value->expires - millisecond(call->store);
    return store_integer((left + (unit > 1000 ? unit / 2 : 0)) / unit);
}

static reply_t run_type(const call_t *call)
{
    static const char *const names[] = {"string", "hash", "list", "zset"};
    const value_t *value = store_find(call->store, call->words[1]);
    const char *name = value != NULL ? names[value->kind] : "none";

    return (reply_t){.kind = REPLY_STATUS, .text = {name, strlen(name)}};
}

/* ---- strings ------------------------------------------------------------------------------------------- */

static reply_t run_get(const call_t *call)
{
    value_t *value;

    if (!store_look_up(call, IS_STRING, 0, &value)) {
        return WRONGTYPE;
    }
    return value != NULL ? store_bulk(value->string) : NOTHING;
}

static reply_t run_set(const call_t *call)
{
    apr_time_t expires = 0;
    value_t *value;

    for (int i = 3; i < call->count; i += 2) {
        int is_px = strcasecmp(call->words[i].bytes, "PX") == 0;
        long long amount = 0;

        if ((!is_px && strcasecmp(call->words[i].bytes, "EX") != 0) || i + 1 >= call->count) {
            return SYNTAX;
        }
        if (!store_parse_integer(call->words[i + 1], &amount)) {
            return NO_INTEGER;
        }
        if (amount <= 0) {
            return store_failure("ERR invalid expire time in 'set' command");
        }
        expires = millisecond(call->store) + amount * (is_px ? 1000 : APR_USEC_PER_SEC);
    }
    value = store_make(call->store, call->words[1], IS_STRING);
    value->string = store_keep(call->store, call->words[2]);
    value->expires = expires;
    return fine;
}

/* ---- the server ---------------------------------------------------------------------------------------- */

static reply_t run_time(const call_t *call)
{
    reply_t reply = store_array_of(2, call->pool);
    const char *seconds = apr_psprintf(call->pool, "%" APR_INT64_T_FMT, apr_time_sec(call->store->time));
    const char *micros = apr_psprintf(call->pool, "%" APR_INT64_T_FMT, apr_time_usec(call->store->time));

    reply.items[reply.count++] = store_bulk((text_t){seconds, strlen(seconds)});
    reply.items[reply.count++] = store_bulk((text_t){micros, strlen(micros)});
    return reply;
}

static const command_t commands[] = {
    {"EXISTS", run_exists, 2, 0}, {"TIME", run_time, 1, 1},      {"GET", run_get, 2, 2},
    {"SET", run_set, 3, 0},       {"DEL", run_del, 2, 0},        {"UNLINK", run_del, 2, 0},
    {"EXPIRE", run_expire, 3, 4}, {"PEXPIRE", run_expire, 3, 4}, {"PERSIST", run_persist, 2, 2},
    {"TTL", run_ttl, 2, 2},       {"PTTL", run_ttl, 2, 2},       {"TYPE", run_type, 2, 2},
};

static const command_t *find_command(const char *name)
{
    const command_t *found = store_collections(name);

    found = found != NULL ? found : store_sorted_sets(name);
    for (size_t i = 0; found == NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
        found = strcasecmp(commands[i].name, name) == 0 ? &commands[i] : NULL;
    }
    return found;
}

reply_t store_run(store_t *store, int count, const text_t *words, apr_pool_t *pool)
{
    const call_t call = {store, count, words, pool};
    const command_t *command = count > 0 ? find_command(words[0].bytes) : NULL;

    if (command == NULL) {
        return store_failure(apr_psprintf(pool, "ERR unknown command '%s'", count > 0 ? words[0].bytes : ""));
    }
    if (count < command->least || (command->most != 0 && count > command->most)) {
        return store_failure("ERR wrong number of arguments");
    }
    /* cppcheck-suppress returnDanglingLifetime ; a reply points into the store and its own pool */
    return command->run(&call);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

store_t *store_create(apr_pool_t *pool)
{
    store_t *made = apr_pcalloc(pool, sizeof(*made));

    made->pool = pool;
    made->values = apr_hash_make(pool);
    return made;
}

static void copy_fields(store_t *copy, value_t *to, const value_t *from)
{
    for (apr_hash_index_t *i = apr_hash_first(copy->pool, from->fields); i; i = apr_hash_next(i)) {
        const void *name;
        apr_ssize_t length;
        void *content;

        apr_hash_this(i, &name, &length, &content);
        store_set_field(copy, to, (text_t){name, (size_t)length}, *(text_t *)content);
    }
}

static void copy_value(store_t *copy, const value_t *from)
{
    value_t *to = store_make(copy, from->key, from->kind);

    to->expires = from->expires;
    to->string = from->kind == IS_STRING ? store_keep(copy, from->string) : to->string;
    if (from->kind == IS_HASH) {
        copy_fields(copy, to, from);
    }
    for (int i = 0; from->kind == IS_LIST && i < from->count; i++) {
        store_append(copy, to, from->list[from->first + i]);
    }
    for (int i = 0; from->kind == IS_ZSET && i < from->count; i++) {
        store_set_score(copy, to, from->members[i]->member, from->members[i]->score);
    }
}

store_t *store_copy(const store_t *store, apr_pool_t *pool)
{
    store_t *copy = store_create(pool);

    copy->time = store->time;
    for (apr_hash_index_t *i = apr_hash_first(pool, store->values); i; i = apr_hash_next(i)) {
        copy_value(copy, apr_hash_this_val(i));
    }
    copy->watch = store->watch;
    copy->watch_baton = store->watch_baton;
    return copy;
}

void store_set_time(store_t *store, apr_time_t time)
{
    store->time = time;
}

apr_time_t store_time(const store_t *store)
{
    return store->time;
}

const char *store_field(store_t *store, const char *key, const char *field)
{
    const value_t *value = store_find(store, (text_t){key, strlen(key)});
    const text_t *found = value != NULL && value->kind == IS_HASH
                              ? store_field_of(value, (text_t){field, strlen(field)})
                              : NULL;

    return found != NULL ? found->bytes : NULL;
}

int store_list_length(store_t *store, const char *key)
{
    const value_t *value = store_find(store, (text_t){key, strlen(key)});

    return value != NULL && value->kind == IS_LIST ? value->count : 0;
}

void store_watch(store_t *store, store_watch_fn watch, void *baton)
{
    store->watch = watch;
    store->watch_baton = baton;
}
