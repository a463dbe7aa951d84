/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP connection, with TLS on it or without: bytes there and back. Nothing waits. */
#ifndef AMTUNLOCK_AMT_REDIRECTION_LINE_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_LINE_PRIV_H

#include <apr.h>
#include <openssl/ssl.h>

typedef struct {
    int fd;             /* -1: none */
    SSL *ssl;           /* NULL: without TLS, or not yet */
    int read_wants_out; /* TLS must send before it can read */
} amt_line_t;

/* How a read or write went: bytes, or one of these. */
enum { AMT_LINE_LATER = 0, AMT_LINE_ENDED = -1, AMT_LINE_BROKEN = -2 };

/* Begins to connect to a numeric address. 0, or the errno of a connection that could not even begin. */
int amt_line_open(amt_line_t *line, const char *address, int port);
void amt_line_close(amt_line_t *line);

int amt_line_read(amt_line_t *line, unsigned char *into, apr_size_t room);
int amt_line_write(amt_line_t *line, const unsigned char *from, apr_size_t length);
/* Says that nothing more will be sent, as TLS and TCP want it. */
void amt_line_shut(amt_line_t *line);

/* Whether bytes are here that the socket does not show. */
int amt_line_holds(const amt_line_t *line);
/* What OpenSSL, or else the system, says of a call that was broken. */
const char *amt_line_error(const amt_line_t *line);
/* OpenSSL's text for its last error. */
const char *amt_line_tls_error(void);

#endif
