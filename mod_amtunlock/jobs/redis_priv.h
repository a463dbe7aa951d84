/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to Redis, and one call of a verb of jobs/lua: for the files of this room only.
 *
 * A call is built word by word with lengths, so no byte of it is ever taken for syntax. A link is used by one
 * thread at a time; every step that may wait is given what remains until a deadline (by clock_boottime()).
 */
#ifndef AMTUNLOCK_JOBS_REDIS_PRIV_H
#define AMTUNLOCK_JOBS_REDIS_PRIV_H

#include <hiredis/hiredis.h>

#include "jobs/jobs.h"

#define JOBS_SCHEMA 3 /* SCHEMA of jobs/lua */
#define JOBS_KEY(name) "{amtu}:" name

/* ---- a call -------------------------------------------------------------------------------------------- */

typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *words;   /* const char * */
    apr_array_header_t *lengths; /* size_t */
    int invalid;                 /* a word could not be made: jobs_pool_ask() asks nothing */
    int not_after;               /* index of the word that redis_conn_put() fills in; 0: none */
    int repeatable; /* done twice it does no more than once: may be sent again on a new connection */
} jobs_call_t;

/* Any command. */
jobs_call_t *jobs_command(const char *name, apr_pool_t *pool);
/* A verb, with the schema that every verb wants first. */
jobs_call_t *jobs_verb(const char *name, apr_pool_t *pool);
/* text NULL: the empty word. Not copied. */
void jobs_call_text(jobs_call_t *call, const char *text);
void jobs_call_bytes(jobs_call_t *call, const char *bytes, size_t length);
/* A digest; NULL makes the call unsayable, for it would name somebody else. */
void jobs_call_digest(jobs_call_t *call, const char *digest);
void jobs_call_number(jobs_call_t *call, apr_int64_t number);
/* A place for the latest moment, by Redis' clock, at which this may be done: the deadline of the exchange. */
void jobs_call_not_after(jobs_call_t *call);

/* ---- a link -------------------------------------------------------------------------------------------- */

typedef struct {
    const jobs_redis_t *redis;
    redisContext *context; /* NULL: not connected; reads for us, but does not write */
    char *out;             /* from malloc: calls, of which the first `sent` bytes have left */
    size_t out_length, out_room, sent;
    apr_time_t offset; /* Redis' clock less clock_boottime() */
    apr_time_t learnt; /* when, by clock_boottime() */
} redis_conn_t;

/* What went wrong between here and Redis, for who must decide whether to try again. */
typedef enum {
    REDIS_CONN_FINE,    /* Redis answered, be it with an error */
    REDIS_CONN_BROKEN,  /* the connection ended: closed */
    REDIS_CONN_TIMEOUT, /* the deadline passed: closed */
    REDIS_CONN_AWAY     /* no connection could be made, or Redis did not let us in: closed */
} redis_conn_e;

/* Connects, authenticates and learns Redis' clock. *why (in pool) says what is wrong. */
redis_conn_e redis_conn_open(redis_conn_t *link, apr_time_t deadline, const char **why, apr_pool_t *pool);
void redis_conn_close(redis_conn_t *link);
/* Open, and not closed by Redis while it lay idle. */
int redis_conn_alive(const redis_conn_t *link);
/* Adds a call to what the next take sends. 0: no memory, the link is closed. */
int redis_conn_put(redis_conn_t *link, jobs_call_t *call, apr_time_t deadline);
/* The next reply, freed with `pool`; NULL if none came, and *outcome and *why say why. */
redisReply *redis_conn_take(redis_conn_t *link, apr_time_t deadline, redis_conn_e *outcome, const char **why,
                            apr_pool_t *pool);
/* One call, one reply. */
redis_conn_e redis_conn_ask(redis_conn_t *link, jobs_call_t *call, apr_time_t deadline, redisReply **reply,
                            const char **why, apr_pool_t *pool);

/* ---- answers ------------------------------------------------------------------------------------------- */

/* What a verb's answer says. *late is set where not_after had passed; may be NULL. */
jobs_result_t jobs_answer(const redisReply *reply, int *late, apr_pool_t *pool);
jobs_result_t jobs_result(jobs_outcome_e outcome, const char *text);
#define JOBS_FINE jobs_result(JOBS_OK, "")

/* Element `at` of an array, or NULL; its text ("" if it is none); its number (0 if it is none). */
const redisReply *jobs_element(const redisReply *reply, size_t at);
const char *jobs_text_at(const redisReply *reply, size_t at);
apr_int64_t jobs_number_at(const redisReply *reply, size_t at);
/* const char * of the texts from `first` on. */
apr_array_header_t *jobs_texts(const redisReply *reply, size_t first, apr_pool_t *pool);

/* ---- names of things ----------------------------------------------------------------------------------- */

#define JOBS_ID_LENGTH 26

/* 128 random bits as lower-case base32. NULL: the system has no randomness. */
const char *jobs_new_id(apr_pool_t *pool);
/* Lower-case hex SHA-256. NULL: OpenSSL has no memory. */
const char *jobs_sha256(const char *text, apr_pool_t *pool);
/* SHA-256 over the texts (const char *), each with its end; NULL as above. */
const char *jobs_sha256_all(const apr_array_header_t *texts, apr_pool_t *pool);

#endif
