/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis of a simulation, and the network to it. Its other half is jobs/conn_priv.h, which it takes the place of: all
 * else of jobs/ is the product's. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_SERVER_H
#define AMTUNLOCK_TESTS_SIMULATE_SERVER_H

#include "clockwork.h"
#include "functions.h"

#define SERVER_ROLL_BACKS 64

typedef struct {
    apr_pool_t *pool; /* of the simulation */
    functions_t *functions;
    store_t *store;
    store_t *copy;             /* that a roll-back brings back; NULL: none was taken */
    apr_time_t copied_at;      /* by clockwork_now() */
    apr_time_t clock;          /* its wall clock less clockwork_now() */
    apr_time_t stepped_at;     /* when its clock was set, last; -1: never */
    apr_time_t rolled_back_at; /* likewise */
    struct {
        apr_time_t copied, back;
    } roll_backs[SERVER_ROLL_BACKS]; /* all of them: what came between is forgotten */
    int roll_back_count;
    apr_time_t started;
    apr_time_t frozen_until;    /* it takes requests and does nothing */
    int is_away;                /* nobody listens */
    int cannot_write;           /* its disk is full */
    int starts;                 /* times it was started: connections do not outlive one */
    apr_time_t loses_until[64]; /* by host: half of its exchanges are lost */

    const char *verb; /* that runs; "": none */
    /* A verb was run, by a request of this host (NULL: an httpd's), that left at `sent`. */
    void (*on_verb)(const host_t *host, apr_time_t sent, int count, const text_t *words,
                    const reply_t *reply);
    /* A field is about to be written. */
    store_watch_fn on_field;
} server_t;

extern server_t server;

void server_begin(apr_pool_t *pool);
/* Takes a copy of all its data. */
void server_copy(void);
/* It ends, and is there again after `away`; with `older` the data are those of the copy. */
void server_restart(apr_interval_time_t away, int older);
/* Its clock now. */
apr_time_t server_time(void);
/* It has this field of a hash no more. */
void server_forget(const char *key, const char *field);
/* A field of a hash, as the judges see it. */
const char *server_field(const char *key, const char *field);

#endif
