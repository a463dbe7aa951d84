/* SPDX-License-Identifier: Apache-2.0 */
/* A call to Redis: a command with its arguments, each with its length, so that no byte is taken for
 * syntax. */
#ifndef AMTUNLOCK_JOBS_CALL_PRIV_H
#define AMTUNLOCK_JOBS_CALL_PRIV_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#define JOBS_KEY(name) "{amtu}:" name

/* Bytes of a reply, and of one without anything of use in it. A reply with more was not made by the library from what it
 * wrote itself. */
#define JOBS_REPLY_MOST ((size_t)4 << 20)
#define JOBS_REPLY_MOST_BELL ((size_t)64 << 10)

typedef struct jobs_call_t {
    apr_pool_t *pool;
    apr_array_header_t *words;   /* const char * */
    apr_array_header_t *lengths; /* size_t */
    int invalid;                 /* an argument could not be built: jobs_pool_ask() does not send the call */
    int not_after;               /* index of the word that redis_conn_put() fills in; 0: none */
    apr_time_t
        give_up; /* of a verb of several calls, by clock_boottime(); 0: only the call itself is bounded */
    size_t reply_most;          /* bytes of its reply; 0: JOBS_REPLY_MOST */
    int repeatable;             /* a second arrival changes nothing: may be sent again on a new connection */
    int changes;                /* what it does lasts: whether it was done matters where no answer comes */
    struct jobs_call_t *behind; /* sent with this one, and done right behind it; NULL: none */
    int repeated; /* out, of jobs_pool_ask(): it was sent again, and may have been done before */
} jobs_call_t;

/* Any command. */
jobs_call_t *jobs_command(const char *name, apr_pool_t *pool);
/* A function of the library: "finish" for amtunlock_finish; with its key and the schema, as each of them wants. */
jobs_call_t *jobs_verb(const char *name, apr_pool_t *pool);
/* The same as a program of another schema would call it. */
jobs_call_t *jobs_verb_of(int schema, const char *name, apr_pool_t *pool);
/* text NULL: the empty word. Not copied. */
void jobs_call_text(jobs_call_t *call, const char *text);
void jobs_call_bytes(jobs_call_t *call, const char *bytes, size_t length);
/* A digest; NULL makes the call invalid, for an empty one would name somebody else. */
void jobs_call_digest(jobs_call_t *call, const char *digest);
void jobs_call_number(jobs_call_t *call, apr_int64_t number);
/* A limit of what is under way, and one of what is kept with it. */
void jobs_call_limits(jobs_call_t *call, int under_way, int kept);
/* A place for the latest moment, by Redis' clock, at which this may be done: the deadline of the exchange. */
void jobs_call_not_after(jobs_call_t *call);

#endif
