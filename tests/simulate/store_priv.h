/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share: values, and what commands are made of. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_STORE_PRIV_H
#define AMTUNLOCK_TESTS_SIMULATE_STORE_PRIV_H

#include <apr_hash.h>

#include "store.h"

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
    apr_hash_t *fields; /* text_t * by field; of a sorted set: member_t * by member */
    text_t *list;       /* first .. first + count */
    member_t **members; /* by score, then by name */
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

#define WRONGTYPE store_failure("WRONGTYPE Operation against a key holding the wrong kind of value")
#define SYNTAX store_failure("ERR syntax error")
#define NO_INTEGER store_failure("ERR value is not an integer or out of range")
#define NO_FLOAT store_failure("ERR value is not a valid float")
#define NOTHING ((reply_t){.kind = REPLY_NIL})
#define NONE ((reply_t){.kind = REPLY_ARRAY})

reply_t store_integer(long long value);
reply_t store_bulk(text_t text);
reply_t store_failure(const char *text);
/* With room for so many, and none yet. */
reply_t store_array_of(int room, apr_pool_t *pool);
/* A copy that lives as long as the store. */
text_t store_keep(const store_t *store, text_t text);
text_t store_number_text(double value, apr_pool_t *pool);
/* 0: it is none. */
int store_parse_integer(text_t text, long long *value);
int store_parse_float(text_t text, double *value);

/* NULL: there is none, or it has expired. */
value_t *store_find(store_t *store, text_t key);
void store_drop(store_t *store, const value_t *value);
/* In place of what was there. */
value_t *store_make(store_t *store, text_t key, kind_e kind);
/* The value of words[1]. 0: it has another kind. *value NULL: there is none; with `create` there always is one. */
int store_look_up(const call_t *call, kind_e kind, int create, value_t **value);
void store_drop_if_empty(store_t *store, const value_t *value);

/* NULL: it has no such field; or `value` is NULL. */
const text_t *store_field_of(const value_t *value, text_t field);
/* Whether words[2] and words[3] are; they are positions from the front, negative ones from the end, of which the next
 * makes such as there are. */
int store_are_integers(const call_t *call);
void store_read_range(const call_t *call, int count, int *first, int *last);

/* A command, by its name in capitals; NULL: these files do not have it. */
typedef struct {
    const char *name;
    reply_t (*run)(const call_t *call);
    int least, most; /* words; most 0: any number */
} command_t;
const command_t *store_collections(const char *name);
const command_t *store_sorted_sets(const char *name);

/* For copies. */
int store_set_field(store_t *store, const value_t *value, text_t field, text_t content);
void store_append(const store_t *store, value_t *value, text_t text);
int store_set_score(const store_t *store, value_t *value, text_t name, double score);

#endif
