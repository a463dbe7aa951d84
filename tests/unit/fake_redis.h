/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis that says what a test tells it to, on a unix socket: connection by connection, command by command.
 */
#ifndef AMTUNLOCK_TESTS_FAKE_REDIS_H
#define AMTUNLOCK_TESTS_FAKE_REDIS_H

#include <pthread.h>

#define FAKE_CONNECTIONS 4
#define FAKE_REPLIES 8
#define FAKE_COMMANDS 16

/* What every connection is greeted with: AUTH's answer and TIME's. */
#define FAKE_AUTH "+OK\r\n"
#define FAKE_TIME "*2\r\n$10\r\n2000000000\r\n$1\r\n0\r\n"

typedef struct {
    /* In: the answers of each connection, in turn; after its last one the connection is closed. */
    const char *replies[FAKE_CONNECTIONS][FAKE_REPLIES];
    int slow_command, slow_ms; /* In: this command, counted from 1, is answered so late; 0: none is */
    int deaf_after;            /* In: after so many commands nothing more is read; 0: all is */
    /* Out, after fake_redis_stop(): the commands that came, words joined by blanks. */
    char commands[FAKE_COMMANDS][512];
    int command_count, connection_count;

    char folder[64], socket[96];
    int listener;
    pthread_t thread;
} fake_redis_t;

/* 0, or -1 with the reason on standard error. */
int fake_redis_start(fake_redis_t *fake);
void fake_redis_stop(fake_redis_t *fake);

#endif
