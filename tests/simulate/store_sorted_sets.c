/* SPDX-License-Identifier: Apache-2.0 */
#include "store_priv.h"

#include <math.h>
#include <string.h>
#include <strings.h>

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
int store_set_score(const store_t *store, value_t *value, text_t name, double score)
{
    member_t *member = member_of(value, name);
    int is_new = member == NULL;

    if (is_new) {
        member = apr_palloc(store->pool, sizeof(*member));
        member->member = store_keep(store, name);
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

        if (!store_parse_float(call->words[i], &score)) {
            return NO_FLOAT;
        }
    }
    if (!store_look_up(call, IS_ZSET, 1, &value)) {
        return WRONGTYPE;
    }
    for (int i = 2 + only_new; i < call->count; i += 2) {
        double score = 0;

        store_parse_float(call->words[i], &score);
        if (!only_new || member_of(value, call->words[i + 1]) == NULL) {
            added += store_set_score(call->store, value, call->words[i + 1], score);
        }
    }
    return store_integer(added);
}

static reply_t run_zincrby(const call_t *call)
{
    double by;
    value_t *value;
    const member_t *member;

    if (!store_parse_float(call->words[2], &by)) {
        return NO_FLOAT;
    }
    if (!store_look_up(call, IS_ZSET, 1, &value)) {
        return WRONGTYPE;
    }
    member = member_of(value, call->words[3]);
    by += member != NULL ? member->score : 0;
    if (isnan(by)) {
        return store_failure("ERR resulting score is not a number (NaN)");
    }
    store_set_score(call->store, value, call->words[3], by);
    return store_bulk(store_number_text(by, call->pool));
}

static reply_t run_zrem(const call_t *call)
{
    int removed = 0;
    value_t *value;

    if (!store_look_up(call, IS_ZSET, 0, &value)) {
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
        store_drop_if_empty(call->store, value);
    }
    return store_integer(removed);
}

static reply_t run_zcard(const call_t *call)
{
    value_t *value;

    if (!store_look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    return store_integer(value != NULL ? value->count : 0);
}

static reply_t run_zscore(const call_t *call)
{
    const member_t *member;
    value_t *value;

    if (!store_look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    member = member_of(value, call->words[2]);
    return member != NULL ? store_bulk(store_number_text(member->score, call->pool)) : NOTHING;
}

static void list_member(reply_t *reply, const member_t *member, int with_score, apr_pool_t *pool)
{
    reply->items[reply->count++] = store_bulk(member->member);
    if (with_score) {
        reply->items[reply->count++] = store_bulk(store_number_text(member->score, pool));
    }
}

/* "5", "(5", "-inf". */
static int parse_bound(text_t text, double *bound, int *is_open)
{
    *is_open = text.length > 0 && text.bytes[0] == '(';
    return store_parse_float((text_t){text.bytes + *is_open, text.length - (size_t)*is_open}, bound);
}

static int are_bounds(const call_t *call)
{
    double bound;
    int is_open;

    return parse_bound(call->words[2], &bound, &is_open) && parse_bound(call->words[3], &bound, &is_open);
}

/* Positions of the members between the bounds: *first to before *after. */
static void find_between(const value_t *value, text_t from, text_t to, int *first, int *after)
{
    double least = 0, most = 0;
    int least_open, most_open;

    parse_bound(from, &least, &least_open);
    parse_bound(to, &most, &most_open);
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
}

/* ZRANGE KEY MOST LEAST BYSCORE REV LIMIT OFFSET COUNT [WITHSCORES]: no other form by score is known here. */
static reply_t run_zrange_by_score(const call_t *call)
{
    int first, after, with_scores = call->count == 10 && strcasecmp(call->words[9].bytes, "WITHSCORES") == 0;
    long long offset = 0, most = -1;
    value_t *value;
    reply_t reply = NONE;

    if (call->count != 9 + with_scores || strcasecmp(call->words[5].bytes, "REV") != 0 ||
        strcasecmp(call->words[6].bytes, "LIMIT") != 0) {
        return SYNTAX;
    }
    if (!store_parse_integer(call->words[7], &offset) || !store_parse_integer(call->words[8], &most)) {
        return NO_INTEGER;
    }
    if (!are_bounds(call)) {
        return store_failure("ERR min or max is not a float");
    }
    if (!store_look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    find_between(value, call->words[3], call->words[2], &first, &after);
    if (value != NULL) {
        reply = store_array_of(2 * value->count, call->pool);
    }
    for (long long i = after - 1 - offset; value != NULL && i >= first && most != 0; i--, most--) {
        list_member(&reply, value->members[i], with_scores, call->pool);
    }
    return reply;
}

static reply_t run_zrange(const call_t *call)
{
    int backwards = strcasecmp(call->words[0].bytes, "ZREVRANGE") == 0;
    int with_scores = call->count > 4 && strcasecmp(call->words[4].bytes, "WITHSCORES") == 0;
    int first, last;
    value_t *value;
    reply_t reply = NONE;

    if (call->count > 4 && strcasecmp(call->words[4].bytes, "BYSCORE") == 0) {
        return run_zrange_by_score(call);
    }
    if (call->count > 4 + with_scores) {
        return SYNTAX;
    }
    if (!store_are_integers(call)) {
        return NO_INTEGER;
    }
    if (!store_look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    store_read_range(call, value != NULL ? value->count : 0, &first, &last);
    if (value != NULL) {
        reply = store_array_of(2 * value->count, call->pool);
    }
    for (int i = first; value != NULL && i <= last; i++) {
        list_member(&reply, value->members[backwards ? value->count - 1 - i : i], with_scores, call->pool);
    }
    return reply;
}

static reply_t run_zrangebyscore(const call_t *call)
{
    int first, after, with_limit = call->count == 7 && strcasecmp(call->words[4].bytes, "LIMIT") == 0;
    long long offset = 0, most = -1;
    value_t *value;
    reply_t reply = NONE;

    if (call->count != 4 && !with_limit) {
        return SYNTAX;
    }
    if (with_limit &&
        (!store_parse_integer(call->words[5], &offset) || !store_parse_integer(call->words[6], &most))) {
        return NO_INTEGER;
    }
    if (!are_bounds(call)) {
        return store_failure("ERR min or max is not a float");
    }
    if (!store_look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    find_between(value, call->words[2], call->words[3], &first, &after);
    if (value != NULL) {
        reply = store_array_of(value->count, call->pool);
    }
    for (long long i = first + offset; value != NULL && i < after && most != 0; i++, most--) {
        list_member(&reply, value->members[i], 0, call->pool);
    }
    return reply;
}

static reply_t run_zremrangebyscore(const call_t *call)
{
    int first, after;
    value_t *value;

    if (!are_bounds(call)) {
        return store_failure("ERR min or max is not a float");
    }
    if (!store_look_up(call, IS_ZSET, 0, &value)) {
        return WRONGTYPE;
    }
    find_between(value, call->words[2], call->words[3], &first, &after);
    for (int i = first; i < after; i++) {
        remove_member(value, value->members[first]);
    }
    if (after > first) {
        store_drop_if_empty(call->store, value);
    }
    return store_integer(after - first);
}

/* ---- the commands -------------------------------------------------------------------------------------- */

static const command_t commands[] = {
    {"ZRANGEBYSCORE", run_zrangebyscore, 4, 0},
    {"ZRANGE", run_zrange, 4, 0},
    {"ZADD", run_zadd, 4, 0},
    {"ZREM", run_zrem, 3, 0},
    {"ZREMRANGEBYSCORE", run_zremrangebyscore, 4, 4},
    {"ZCARD", run_zcard, 2, 2},
    {"ZINCRBY", run_zincrby, 4, 4},
    {"ZREVRANGE", run_zrange, 4, 0},
    {"ZSCORE", run_zscore, 3, 3},
};

const command_t *store_sorted_sets(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcasecmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}
