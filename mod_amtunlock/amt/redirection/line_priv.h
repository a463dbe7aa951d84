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
    int more;           /* as amt_line_write() was told */
    int ended;          /* the peer has closed its side */
} amt_line_t;

/* How a read or write went: bytes, or one of these. */
enum { AMT_LINE_LATER = 0, AMT_LINE_ENDED = -1, AMT_LINE_BROKEN = -2 };

/* Begins to connect to a numeric address. 0, or the errno of a connection that could not even begin. */
int amt_line_open(amt_line_t *line, const char *address, int port);
void amt_line_close(amt_line_t *line);

/* Gives the SSL, which was set, its socket. Zero: memory is out. */
int amt_line_begin_tls(amt_line_t *line);

/* The longest record of TLS: what amt_line_write() takes at a time. */
#define AMT_LINE_RECORD SSL3_RT_MAX_PLAIN_LENGTH

int amt_line_read(amt_line_t *line, unsigned char *into, apr_size_t room);
/* `more`: another write follows at once, so that the system may send both as one. After AMT_LINE_LATER it is tried
 * again with the same bytes at the front. */
int amt_line_write(amt_line_t *line, const unsigned char *from, apr_size_t length, int more);
/* Says that nothing more will be sent, as TLS and TCP want it. */
void amt_line_shut(amt_line_t *line);

/* Whether bytes are here that the socket does not show: of a whole record, or the beginning of one. */
int amt_line_holds(const amt_line_t *line);
/* What OpenSSL, or else the system, says of a call that was broken. */
const char *amt_line_error(const amt_line_t *line);
/* OpenSSL's text for its last error. */
const char *amt_line_tls_error(void);

#endif
