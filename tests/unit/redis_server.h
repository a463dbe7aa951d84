/* SPDX-License-Identifier: Apache-2.0 */
/* A redis-server of a test's own: the shipped configuration and users, on a unix socket, in a folder of its
 * own. */
#ifndef AMTUNLOCK_TESTS_REDIS_SERVER_H
#define AMTUNLOCK_TESTS_REDIS_SERVER_H

#include <sys/types.h>

#include "jobs/jobs.h"

typedef struct {
    char folder[64];
    char socket[96];
    pid_t pid;           /* 0: not running */
    jobs_redis_t web;    /* as amtunlock-web */
    jobs_redis_t worker; /* as amtunlockd */
    jobs_redis_t tester; /* may do everything */
} redis_server_t;

/* Run from the top of the source tree. 0, or -1 with the reason on standard error. */
int redis_server_start(redis_server_t *server);
/* Starts again what was stopped or killed, on the same data. */
int redis_server_restart(redis_server_t *server);
/* One command as the user who may do everything. 0 if Redis did not answer with an error. */
int redis_server_do(redis_server_t *server, int count, const char **words);
/* Forgets all data and all functions. */
int redis_server_flush(redis_server_t *server);
void redis_server_kill(redis_server_t *server);
/* Kills it and removes its folder. */
void redis_server_remove(redis_server_t *server);

#endif
