/* SPDX-License-Identifier: Apache-2.0 */
/* A device for tests, as crooked as a test wants it: a TCP (or TLS) server that treats each HTTP request by
 * the next row of a script, and remembers every request that it read, also those that it refused.
 */
#ifndef TESTS_UNIT_AMT_PEER_H
#define TESTS_UNIT_AMT_PEER_H

#include <openssl/ssl.h>
#include <stddef.h>

typedef enum {
    PEER_ANSWER,    /* `status`, `body`; keeps the connection */
    PEER_CHALLENGE, /* 401 in firmware's spelling, stale="false", closes */
    PEER_STALE,     /* the same, stale="true" */
    PEER_NEGOTIATE, /* 401 that offers Negotiate and Digest, closes */
    PEER_BASIC,     /* 401 that offers Basic only */
    PEER_CLOSE,     /* closes without an answer */
    PEER_RESET,     /* resets without an answer */
    PEER_HANG,      /* says nothing */
    PEER_RAW,       /* `body` as it is, then closes */
    PEER_ENDLESS    /* 200 and a body without end */
} peer_act_e;

typedef struct {
    peer_act_e act;
    int status;        /* PEER_ANSWER; 0 means 200 */
    const char *body;  /* "@ID@" becomes the request's MessageID */
    const char *proof; /* PEER_ANSWER: what follows "WWW-Authenticate: Negotiate "; NULL: no such header */
    int closes;        /* PEER_ANSWER: then closes, unannounced */
    int after_ms;      /* it takes its time */
} peer_row_t;

typedef struct {
    int connection; /* 1, 2, ... */
    int authorized; /* it carried an Authorization header */
    char head[2048];
    char body[8192];
    size_t length;
} peer_request_t;

enum { PEER_MAX_REQUESTS = 32 };

typedef struct peer_t peer_t;

/* Listens on a free address of 127/8, port 16993 where `tls` is given, else 16992. A request that
 * the script has no row for meets PEER_CLOSE. Fails the test where it cannot. */
peer_t *peer_start(const peer_row_t *rows, size_t count, SSL_CTX *tls);
/* One that says `greeting` on port 16993 to each connection, and closes it. */
peer_t *peer_start_greeter(const char *greeting);
void peer_stop(peer_t *peer);
const char *peer_address(const peer_t *peer);

/* After the client is done: what came. */
int peer_requests(peer_t *peer, const peer_request_t **requests);
int peer_connections(peer_t *peer);
/* Waits until it has closed so many connections after a request. */
void peer_await_hang_up(peer_t *peer, int count);
/* How many requests brought a body that holds `needle`. */
int peer_bodies(peer_t *peer, const char *needle);

#endif
