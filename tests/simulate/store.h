/* SPDX-License-Identifier: Apache-2.0 */
/* The data of a Redis, in this process: strings, hashes, lists, sorted sets and expiries, as far as jobs/lua and the
 * worker's client use them. What is not known is an error, never a guess: "ERR unknown command". test_store.py
 * compares it with a real redis-server.
 */
#ifndef AMTUNLOCK_TESTS_SIMULATE_STORE_H
#define AMTUNLOCK_TESTS_SIMULATE_STORE_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct store_t store_t;

typedef struct {
    const char *bytes; /* with a NUL behind them */
    size_t length;
} text_t;

typedef enum { REPLY_NIL, REPLY_INTEGER, REPLY_TEXT, REPLY_STATUS, REPLY_ERROR, REPLY_ARRAY } reply_e;

typedef struct reply_t reply_t;
struct reply_t {
    reply_e kind;
    long long integer;
    text_t text; /* of a text, a status or an error */
    int count;   /* of an array */
    reply_t *items;
};

/* Lives in `pool`, which only grows: what is overwritten goes with the pool. */
store_t *store_create(apr_pool_t *pool);
/* What it holds now, with its expiries, in `pool`. */
store_t *store_copy(const store_t *store, apr_pool_t *pool);

/* The clock of this Redis, in microseconds since 1970. Expired keys are gone at once. */
void store_set_time(store_t *store, apr_time_t time);
apr_time_t store_time(const store_t *store);

/* One command. The reply is in `pool`, and points to what the store holds: valid as long as its pool. */
reply_t store_run(store_t *store, int count, const text_t *words, apr_pool_t *pool);

/* For judges: what HGET and LLEN say. NULL: there is none. */
const char *store_field(store_t *store, const char *key, const char *field);
int store_list_length(store_t *store, const char *key);

/* Called after each HSET of a field, before the field has its new value. */
typedef void (*store_watch_fn)(void *baton, const text_t *key, const text_t *field, const char *before,
                               const text_t *after);
void store_watch(store_t *store, store_watch_fn watch, void *baton);

#endif
