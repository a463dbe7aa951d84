/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of a redirection session, for tests: a thread that plays a device's part on one connection
 * after the other, over TCP or TLS, as crookedly as the test wants it.
 */
#ifndef TESTS_UNIT_REDIRECTION_PEER_H
#define TESTS_UNIT_REDIRECTION_PEER_H

#include <openssl/ssl.h>
#include <stddef.h>

typedef struct line_t line_t;
typedef struct redirection_peer_t redirection_peer_t;

/* Plays one connection; returns when it should be hung up. Runs in the peer's thread: no assertions. */
typedef void (*play_fn)(line_t *line, void *baton);

/* Listens on a free address of 127/8, port 16995 where `tls` is given, else 16994. Fails the test where it
 * cannot. */
redirection_peer_t *redirection_peer_start(play_fn play, void *baton, SSL_CTX *tls);
/* Hangs up and ends the thread. */
void redirection_peer_stop(redirection_peer_t *peer);
const char *redirection_peer_address(const redirection_peer_t *peer);
/* Connections that came (after TLS, where there is TLS). */
int redirection_peer_connections(const redirection_peer_t *peer);

/* Bytes that line_say() may still say; then the connection is cut. Before the first connection. */
void redirection_peer_cut(redirection_peer_t *peer, size_t after);
/* The byte at this place of all that is said is changed. */
void redirection_peer_spoil(redirection_peer_t *peer, size_t place, unsigned char mask);
/* It takes so long before it says something. Before the first connection. */
void redirection_peer_slow(redirection_peer_t *peer, int milliseconds);
/* Bytes said so far. */
size_t redirection_peer_said(const redirection_peer_t *peer);

/* ---- in the thread --------------------------------------------------------------------------- */

/* 1 if that many bytes came; 0 at the end of the connection. */
int line_hear(line_t *line, void *bytes, size_t length);
int line_say(line_t *line, const void *bytes, size_t length);
/* Hears until the other end hangs up; the bytes kept, at most `size`. */
size_t line_hear_all(line_t *line, void *bytes, size_t size);
/* Plays start and login for the kind "SOL " or "IDER". 1 if user and password were the rig's, by a digest of
 * this peer's own reckoning. */
int line_let_in(line_t *line, const char *kind);

#endif
