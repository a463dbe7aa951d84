/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_hash.h>
#include <apr_strings.h>

typedef enum { IS_STRING, IS_HASH, IS_LIST, IS_ZSET } kind_e;

typedef struct {
    text_t member;
    double score;
} member_t;

typedef struct {
    kind_e kind;
    text_t key;
    apr_time_t expires; /* 0: never */
    text_t string;
    apr_hash_t *fields;   /* text_t * by field; of a sorted set: member_t * by member */
    text_t *list;         /* first .. first + count */
    member_t **members;   /* by score, then by name */
    int first, count, room;
} value_t;

struct store_t {
    apr_pool_t *pool;
    apr_hash_t *values;
    apr_time_t time;
    store_watch_fn watch;
    void *watch_baton;
};

typedef struct {
    store_t *store;
    int count;
    const text_t *words;
    apr_pool_t *pool; /* of the reply */
} call_t;

/* ---- replies ------------------------------------------------------------------------------------------- */

static const reply_t nothing = {.kind = REPLY_NIL};
static const reply_t fine = {.kind = REPLY_STATUS, .text = {"OK", 2}};
static const reply_t none = {.kind = REPLY_ARRAY};

static reply_t integer(long long value)
{
    return (reply_t){.kind = REPLY_INTEGER, .integer = value};
}

static reply_t bulk(text_t text)
{
    return (reply_t){.kind = REPLY_TEXT, .text = text};
}

static reply_t failure(const char *text)
{
    return (reply_t){.kind = REPLY_ERROR, .text = {text, strlen(text)}};
}

static reply_t array_of(int room, apr_pool_t *pool)
{
    return (reply_t){.kind = REPLY_ARRAY, .items = apr_palloc(pool, sizeof(reply_t) * (size_t)(room + 1))};
}

#define WRONGTYPE failure("WRONGTYPE Operation against a key holding the wrong kind of value")
#define SYNTAX failure("ERR syntax error")
#define NO_INTEGER failure("ERR value is not an integer or out of range")
#define NO_FLOAT failure("ERR value is not a valid float")

static text_t keep(const store_t *store, text_t text)
{
    return (text_t){apr_pstrmemdup(store->pool, text.bytes, text.length), text.length};
}

static text_t number_text(double value, apr_pool_t *pool)
{
    char *text = apr_palloc(pool, 40);
    int length = snprintf(text, 40, "%.17g", value);

    return (text_t){text, (size_t)length};
}

/* As string2ll(): no blank, no plus, no leading zero. */
static int parse_integer(text_t text, long long *value)
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

static int parse_float(text_t text, double *value)
{
    char *end = NULL;

    if (text.length == 0 || isspace((unsigned char)text.bytes[0])) {
        return 0;
    }
    *value = strtod(text.bytes, &end);
    return end == text.bytes + text.length && !isnan(*value);
}

/* ---- keys ---------------------------------------------------------------------------------------------- */

static void drop(store_t *store, const value_t *value)
{
    apr_hash_set(store->values, value->key.bytes, (apr_ssize_t)value->key.length, NULL);
}

static value_t *find(store_t *store, text_t key)
{
    value_t *value = apr_hash_get(store->values, key.bytes, (apr_ssize_t)key.length);

    if (value != NULL && value->expires != 0 && store->time >= value->expires) {
        drop(store, value);
        return NULL;
    }
    return value;
}

static value_t *make(store_t *store, text_t key, kind_e kind)
{
    value_t *value = apr_pcalloc(store->pool, sizeof(*value));

    value->kind = kind;
    value->key = keep(store, key);
    if (kind == IS_HASH || kind == IS_ZSET) {
        value->fields = apr_hash_make(store->pool);
    }
    apr_hash_set(store->values, value->key.bytes, (apr_ssize_t)value->key.length, value);
    return value;
}

/* Its value of this kind. 0: it has another kind. *value NULL: there is none; with `create` there always is one. */
static int look_up(const call_t *call, kind_e kind, int create, value_t **value)
{
    *value = find(call->store, call->words[1]);
    if (*value == NULL && create) {
        *value = make(call->store, call->words[1], kind);
    }
    return *value == NULL || (*value)->kind == kind;
}

static void drop_if_empty(store_t *store, const value_t *value)
{
    if (value->kind == IS_HASH ? apr_hash_count(value->fields) == 0 : value->count == 0) {
        drop(store, value);
    }
}

static reply_t run_del(const call_t *call)
{
    int removed = 0;

    for (int i = 1; i < call->count; i++) {
        value_t *value = find(call->store, call->words[i]);

        if (value != NULL) {
            drop(call->store, value);
            removed++;
        }
    }
    return integer(removed);
}

static reply_t run_exists(const call_t *call)
{
    int found = 0;

    for (int i = 1; i < call->count; i++) {
        found += find(call->store, call->words[i]) != NULL;
    }
    return integer(found);
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
    value_t *value = find(call->store, call->words[1]);
    long long amount = 0;
    apr_time_t until;

    if (!parse_integer(call->words[2], &amount)) {
        return NO_INTEGER;
    }
    if (value == NULL) {
        return integer(0);
    }
    until = millisecond(call->store) + amount * unit_of(call);
    if (call->count > 3) {
        if (strcasecmp(call->words[3].bytes, "GT") != 0) {
            return SYNTAX;
        }
        if (value->expires == 0 || until <= value->expires) {
            return integer(0);
        }
    }
    value->expires = until;
    if (amount <= 0) {
        drop(call->store, value);
    }
    return integer(1);
}

static reply_t run_persist(const call_t *call)
{
    value_t *value = find(call->store, call->words[1]);
    int had = value != NULL && value->expires != 0;

    if (had) {
        value->expires = 0;
    }
    return integer(had);
}

static reply_t run_ttl(const call_t *call)
{
    const value_t *value = find(call->store, call->words[1]);
    apr_interval_time_t unit = unit_of(call), left;

    if (value == NULL || value->expires == 0) {
        return integer(value == NULL ? -2 : -1);
    }
    left = value->expires - millisecond(call->store);
    return integer((left + (unit > 1000 ? unit / 2 : 0)) / unit);
}

static reply_t run_type(const call_t *call)
{
    static const char *const names[] = {"string", "hash", "list", "zset"};
    const value_t *value = find(call->store, call->words[1]);
    const char *name = value != NULL ? names[value->kind] : "none";

    return (reply_t){.kind = REPLY_STATUS, .text = {name, strlen(name)}};
}

/* ---- strings ------------------------------------------------------------------------------------------- */

static reply_t run_get(const call_t *call)
{
    value_t *value;

    if (!look_up(call, IS_STRING, 0, &value)) {
        return WRONGTYPE;
    }
    return value != NULL ? bulk(value->string) : nothing;
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
        if (!parse_integer(call->words[i + 1], &amount)) {
            return NO_INTEGER;
        }
        if (amount <= 0) {
            return failure("ERR invalid expire time in 'set' command");
        }
        expires = millisecond(call->store) + amount * (is_px ? 1000 : APR_USEC_PER_SEC);
    }
    value = make(call->store, call->words[1], IS_STRING);
    value->string = keep(call->store, call->words[2]);
    value->expires = expires;
    return fine;
}

/* ---- hashes -------------------------------------------------------------------------------------------- */

static const text_t *field_of(const value_t *value, text_t field)
{
    return value != NULL ? apr_hash_get(value->fields, field.bytes, (apr_ssize_t)field.length) : NULL;
}

/* Nonzero: it is a new field. */
static int set_field(store_t *store, const value_t *value, text_t field, text_t content)
{
    text_t *held = apr_hash_get(value->fields, field.bytes, (apr_ssize_t)field.length);
    int is_new = held == NULL;

    if (store->watch != NULL) {
        store->watch(store->watch_baton, &value->key, &field, is_new ? NULL : held->bytes, &content);
    }
    if (is_new) {
        text_t name = keep(store, field);

        held = apr_palloc(store->pool, sizeof(*held));
        apr_hash_set(value->fields, name.bytes, (apr_ssize_t)name.length, held);
    }
    *held = keep(store, content);
    return is_new;
}

static reply_t run_hset(const call_t *call)
{
    value_t *value;
    int added = 0;

    if (call->count % 2 != 0) {
        return failure("ERR wrong number of arguments for 'hset' command");
    }
    if (!look_up(call, IS_HASH, 1, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2; i < call->count; i += 2) {
        added += set_field(call->store, value, call->words[i], call->words[i + 1]);
    }
    return integer(added);
}

static reply_t run_hget(const call_t *call)
{
    const text_t *field;
    value_t *value;

    if (!look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    field = field_of(value, call->words[2]);
    return field != NULL ? bulk(*field) : nothing;
}

static reply_t run_hmget(const call_t *call)
{
    reply_t reply = array_of(call->count, call->pool);
    value_t *value;

    if (!look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2; i < call->count; i++) {
        const text_t *field = field_of(value, call->words[i]);

        reply.items[reply.count++] = field != NULL ? bulk(*field) : nothing;
    }
    return reply;
}

static reply_t run_hexists(const call_t *call)
{
    value_t *value;

    if (!look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    return integer(field_of(value, call->words[2]) != NULL);
}

static reply_t run_hlen(const call_t *call)
{
    value_t *value;

    if (!look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    return integer(value != NULL ? (long long)apr_hash_count(value->fields) : 0);
}

static int compare_pairs(const void *one, const void *other)
{
    return strcmp(((const reply_t *)one)->text.bytes, ((const reply_t *)other)->text.bytes);
}

/* Redis says no order; here it is always the same one. */
static reply_t run_hgetall(const call_t *call)
{
    reply_t reply = none;
    value_t *value;

    if (!look_up(call, IS_HASH, 0, &value)) {
        return WRONGTYPE;
    }
    if (value == NULL) {
        return reply;
    }
    reply = array_of((int)apr_hash_count(value->fields) * 2, call->pool);
    for (apr_hash_index_t *i = apr_hash_first(call->pool, value->fields); i; i = apr_hash_next(i)) {
        const void *name;
        apr_ssize_t length;
        void *content;

        apr_hash_this(i, &name, &length, &content);
        reply.items[reply.count++] = bulk((text_t){name, (size_t)length});
        reply.items[reply.count++] = bulk(*(text_t *)content);
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

    if (!parse_integer(call->words[3], &by)) {
        return NO_INTEGER;
    }
    if (!look_up(call, IS_HASH, 1, &value)) {
        return WRONGTYPE;
    }
    field = field_of(value, call->words[2]);
    if (field != NULL && !parse_integer(*field, &before)) {
        return failure("ERR hash value is not an integer");
    }
    if (__builtin_add_overflow(before, by, &before)) {
        return failure("ERR increment or decrement would overflow");
    }
    set_field(call->store, value, call->words[2],
              (text_t){text, (size_t)snprintf(text, sizeof(text), "%lld", before)});
    return integer(before);
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

    if (!look_up(call, IS_LIST, 1, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2; i < call->count; i++) {
        make_room(call->store, value, at_head);
        value->first -= at_head;
        value->list[at_head ? value->first : value->first + value->count] = keep(call->store, call->words[i]);
        value->count++;
    }
    return integer(value->count);
}

static reply_t run_lpop(const call_t *call)
{
    value_t *value;
    text_t popped;

    if (!look_up(call, IS_LIST, 0, &value)) {
        return WRONGTYPE;
    }
    if (value == NULL) {
        return nothing;
    }
    popped = value->list[value->first++];
    value->count--;
    drop_if_empty(call->store, value);
    return bulk(popped);
}

static reply_t run_llen(const call_t *call)
{
    value_t *value;

    if (!look_up(call, IS_LIST, 0, &value)) {
        return WRONGTYPE;
    }
    return integer(value != NULL ? value->count : 0);
}

/* Positions from the front, negative ones from the end, into those that there are. */
static int read_range(const call_t *call, int count, int *first, int *last)
{
    long long from = 0, to = 0;

    if (!parse_integer(call->words[2], &from) || !parse_integer(call->words[3], &to)) {
        return 0;
    }
    from = from < 0 ? from + count : from;
    to = to < 0 ? to + count : to;
    *first = (int)(from < 0 ? 0 : from > count ? count : from);
    *last = (int)(to >= count ? count - 1 : to < -1 ? -1 : to);
    return 1;
}

static reply_t run_lrange(const call_t *call)
{
    int first, last;
    value_t *value;
    reply_t reply = none;

    if (!look_up(call, IS_LIST, 0, &value)) {
        return WRONGTYPE;
    }
    if (!read_range(call, value != NULL ? value->count : 0, &first, &last)) {
        return NO_INTEGER;
    }
    if (value != NULL) {
        reply = array_of(value->count, call->pool);
    }
    for (int i = first; i <= last; i++) {
        reply.items[reply.count++] = bulk(value->list[value->first + i]);
    }
    return reply;
}

/* ---- sorted sets --------------------------------------------------------------------------------------- */

static int compare_text(text_t one, text_t other)
{
    size_t least = one.length < other.length ? one.length : other.length;
    int difference = memcmp(one.bytes, other.bytes, least);

    return difference != 0 ? difference : (one.length > other.length) - (one.length < other.length);
}

static int is_before(const member_t *one, double score, text_t member)
{
    return one->score != score ? one->score < score : compare_text(one->member, member) < 0;
}

static int place_of(const value_t *value, double score, text_t member)
{
    int low = 0, high = value->count;

    while (low < high) {
        int middle = (low + high) / 2;

        if (is_before(value->members[middle], score, member)) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

static member_t *member_of(const value_t *value, text_t name)
{
    return value != NULL ? apr_hash_get(value->fields, name.bytes, (apr_ssize_t)name.length) : NULL;
}

static void take_out(value_t *value, const member_t *member)
{
    int at = place_of(value, member->score, member->member);

    value->count--;
    memmove(value->members + at, value->members + at + 1, sizeof(member_t *) * (size_t)(value->count - at));
}

static void put_in(const store_t *store, value_t *value, member_t *member)
{
    int at = place_of(value, member->score, member->member);

    if (value->count == value->room) {
        member_t **more;

        value->room = value->room ? 2 * value->room : 16;
        more = apr_palloc(store->pool, sizeof(member_t *) * (size_t)value->room);
        if (value->count > 0) {
            memcpy(more, value->members, sizeof(member_t *) * (size_t)value->count);
        }
        value->members = more;
    }
    memmove(value->members + at + 1, value->members + at, sizeof(member_t *) * (size_t)(value->count - at));
    value->members[at] = member;
    value->count++;
}

/* Nonzero: it is a new member. */
static int set_score(const store_t *store, value_t *value, text_t name, double score)
{
    member_t *member = member_of(value, name);
    int is_new = member == NULL;

    if (is_new) {
        member = apr_palloc(store->pool, sizeof(*member));
        member->member = keep(store, name);
        apr_hash_set(value->fields, member->member.bytes, (apr_ssize_t)member->member.length, member);
    }
    else {
        take_out(value, member);
    }
    member->score = score;
    put_in(store, value, member);
    return is_new;
}

static void remove_member(value_t *value, const member_t *member)
{
    take_out(value, member);
    apr_hash_set(value->fields, member->member.bytes, (apr_ssize_t)member->member.length, NULL);
}

static reply_t run_zadd(const call_t *call)
{
    int only_new = call->count > 2 && strcasecmp(call->words[2].bytes, "NX") == 0;
    int added = 0;
    value_t *value;

    if ((call->count - 2 - only_new) % 2 != 0 || call->count < 4 + only_new) {
        return SYNTAX;
    }
    for (int i = 2 + only_new; i < call->count; i += 2) {
        double score;

        if (!parse_float(call->words[i], &score)) {
            return NO_FLOAT;
        }
    }
    if (!look_up(call, IS_ZSET, 1, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2 + only_new; i < call->count; i += 2) {
        double score = 0;

        parse_float(call->words[i], &score);
        if (!only_new || member_of(value, call->words[i + 1]) == NULL) {
            added += set_score(call->store, value, call->words[i + 1], score);
        }
    }
    return integer(added);
}

static reply_t run_zincrby(const call_t *call)
{
    double by;
    value_t *value;
    const member_t *member;

    if (!parse_float(call->words[2], &by)) {
        return NO_FLOAT;
    }
    if (!look_up(call, IS_ZSET, 1, &value)) {
        return WRONGTYPE;
    }
    member = member_of(value, call->words[3]);
    by += member != NULL ? member->score : 0;
    set_score(call->store, value, call->words[3], by);
    return bulk(number_text(by, call->pool));
}

static reply_t run_zrem(const call_t *call)
{
    int removed = 0;
    value_t *value;

    if (!look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2; value != NULL && i < call->count; i++) {
        const member_t *member = member_of(value, call->words[i]);

        if (member != NULL) {
            remove_member(value, member);
            removed++;
        }
    }
    if (removed > 0) {
        drop_if_empty(call->store, value);
    }
    return integer(removed);
}

static reply_t run_zcard(const call_t *call)
{
    value_t *value;

    if (!look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    return integer(value != NULL ? value->count : 0);
}

static reply_t run_zscore(const call_t *call)
{
    const member_t *member;
    value_t *value;

    if (!look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    member = member_of(value, call->words[2]);
    return member != NULL ? bulk(number_text(member->score, call->pool)) : nothing;
}

static void list_member(reply_t *reply, const member_t *member, int with_score, apr_pool_t *pool)
{
    reply->items[reply->count++] = bulk(member->member);
    if (with_score) {
        reply->items[reply->count++] = bulk(number_text(member->score, pool));
    }
}

static reply_t run_zrange(const call_t *call)
{
    int backwards = strcasecmp(call->words[0].bytes, "ZREVRANGE") == 0;
    int with_scores = call->count > 4 && strcasecmp(call->words[4].bytes, "WITHSCORES") == 0;
    int first, last;
    value_t *value;
    reply_t reply = none;

    if (call->count > 4 + with_scores) {
        return SYNTAX;
    }
    if (!look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    if (!read_range(call, value != NULL ? value->count : 0, &first, &last)) {
        return NO_INTEGER;
    }
    if (value != NULL) {
        reply = array_of(2 * value->count, call->pool);
    }
    for (int i = first; i <= last; i++) {
        list_member(&reply, value->members[backwards ? value->count - 1 - i : i], with_scores, call->pool);
    }
    return reply;
}

/* "5", "(5", "-inf". */
static int parse_bound(text_t text, double *bound, int *is_open)
{
    *is_open = text.length > 0 && text.bytes[0] == '(';
    return parse_float((text_t){text.bytes + *is_open, text.length - (size_t)*is_open}, bound);
}

/* Positions of the members between the bounds: *first to before *after. */
static int find_between(const call_t *call, const value_t *value, int *first, int *after)
{
    double least, most;
    int least_open, most_open;

    if (!parse_bound(call->words[2], &least, &least_open) || !parse_bound(call->words[3], &most, &most_open)) {
        return 0;
    }
    *first = 0;
    *after = value != NULL ? value->count : 0;
    while (*first < *after && (value->members[*first]->score < least ||
                               (least_open && value->members[*first]->score == least))) {
        (*first)++;
    }
    while (*after > *first && (value->members[*after - 1]->score > most ||
                               (most_open && value->members[*after - 1]->score == most))) {
        (*after)--;
    }
    return 1;
}

static reply_t run_zrangebyscore(const call_t *call)
{
    int first, after, with_limit = call->count == 7 && strcasecmp(call->words[4].bytes, "LIMIT") == 0;
    long long offset = 0, most = -1;
    value_t *value;
    reply_t reply = none;

    if (call->count != 4 && !with_limit) {
        return SYNTAX;
    }
    if (with_limit && (!parse_integer(call->words[5], &offset) || !parse_integer(call->words[6], &most))) {
        return NO_INTEGER;
    }
    if (!look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    if (!find_between(call, value, &first, &after)) {
        return failure("ERR min or max is not a float");
    }
    if (value != NULL) {
        reply = array_of(value->count, call->pool);
    }
    for (long long i = first + offset; i < after && most != 0; i++, most--) {
        list_member(&reply, value->members[i], 0, call->pool);
    }
    return reply;
}

static reply_t run_zremrangebyscore(const call_t *call)
{
    int first, after;
    value_t *value;

    if (!look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    if (!find_between(call, value, &first, &after)) {
        return failure("ERR min or max is not a float");
    }
    for (int i = first; i < after; i++) {
        remove_member(value, value->members[first]);
    }
    if (after > first) {
        drop_if_empty(call->store, value);
    }
    return integer(after - first);
}

/* ---- the server ---------------------------------------------------------------------------------------- */

static reply_t run_time(const call_t *call)
{
    reply_t reply = array_of(2, call->pool);
    const char *seconds = apr_psprintf(call->pool, "%" APR_INT64_T_FMT, apr_time_sec(call->store->time));
    const char *micros = apr_psprintf(call->pool, "%" APR_INT64_T_FMT, apr_time_usec(call->store->time));

    reply.items[reply.count++] = bulk((text_t){seconds, strlen(seconds)});
    reply.items[reply.count++] = bulk((text_t){micros, strlen(micros)});
    return reply;
}

static const struct {
    const char *name;
    reply_t (*run)(const call_t *call);
    int least, most; /* words; most 0: any number */
} commands[] = {
    {"HGET", run_hget, 3, 3},
    {"HSET", run_hset, 4, 0},
    {"HMGET", run_hmget, 3, 0},
    {"EXISTS", run_exists, 2, 0},
    {"TIME", run_time, 1, 1},
    {"ZRANGEBYSCORE", run_zrangebyscore, 4, 0},
    {"ZRANGE", run_zrange, 4, 0},
    {"ZADD", run_zadd, 4, 0},
    {"GET", run_get, 2, 2},
    {"SET", run_set, 3, 0},
    {"HINCRBY", run_hincrby, 4, 4},
    {"ZREM", run_zrem, 3, 0},
    {"LLEN", run_llen, 2, 2},
    {"LPOP", run_lpop, 2, 2},
    {"LPUSH", run_push, 3, 0},
    {"RPUSH", run_push, 3, 0},
    {"LRANGE", run_lrange, 4, 4},
    {"HEXISTS", run_hexists, 3, 3},
    {"HGETALL", run_hgetall, 2, 2},
    {"HLEN", run_hlen, 2, 2},
    {"DEL", run_del, 2, 0},
    {"UNLINK", run_del, 2, 0},
    {"EXPIRE", run_expire, 3, 4},
    {"PEXPIRE", run_expire, 3, 4},
    {"PERSIST", run_persist, 2, 2},
    {"TTL", run_ttl, 2, 2},
    {"PTTL", run_ttl, 2, 2},
    {"TYPE", run_type, 2, 2},
    {"ZCARD", run_zcard, 2, 2},
    {"ZINCRBY", run_zincrby, 4, 4},
    {"ZREVRANGE", run_zrange, 4, 0},
    {"ZREMRANGEBYSCORE", run_zremrangebyscore, 4, 4},
    {"ZSCORE", run_zscore, 3, 3},
};

reply_t store_run(store_t *store, int count, const text_t *words, apr_pool_t *pool)
{
    const call_t call = {store, count, words, pool};

    for (size_t i = 0; count > 0 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcasecmp(commands[i].name, words[0].bytes) != 0) {
            continue;
        }
        if (count < commands[i].least || (commands[i].most != 0 && count > commands[i].most)) {
            return failure("ERR wrong number of arguments");
        }
        return commands[i].run(&call);
    }
    return failure(apr_psprintf(pool, "ERR unknown command '%s'", count > 0 ? words[0].bytes : ""));
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
        set_field(copy, to, (text_t){name, (size_t)length}, *(text_t *)content);
    }
}

static void copy_value(store_t *copy, const value_t *from)
{
    value_t *to = make(copy, from->key, from->kind);

    to->expires = from->expires;
    to->string = from->kind == IS_STRING ? keep(copy, from->string) : to->string;
    if (from->kind == IS_HASH) {
        copy_fields(copy, to, from);
    }
    for (int i = 0; from->kind == IS_LIST && i < from->count; i++) {
        make_room(copy, to, 0);
        to->list[to->first + to->count++] = keep(copy, from->list[from->first + i]);
    }
    for (int i = 0; from->kind == IS_ZSET && i < from->count; i++) {
        set_score(copy, to, from->members[i]->member, from->members[i]->score);
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
    const value_t *value = find(store, (text_t){key, strlen(key)});
    const text_t *found = value != NULL && value->kind == IS_HASH
                              ? field_of(value, (text_t){field, strlen(field)})
                              : NULL;

    return found != NULL ? found->bytes : NULL;
}

int store_list_length(store_t *store, const char *key)
{
    const value_t *value = find(store, (text_t){key, strlen(key)});

    return value != NULL && value->kind == IS_LIST ? value->count : 0;
}

void store_watch(store_t *store, store_watch_fn watch, void *baton)
{
    store->watch = watch;
    store->watch_baton = baton;
}
