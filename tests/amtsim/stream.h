/* SPDX-License-Identifier: Apache-2.0 */
/* A device's side of an accepted connection. */
#ifndef AMTSIM_STREAM_H
#define AMTSIM_STREAM_H

#include "pc.h"

#include <event2/bufferevent.h>

/* Wraps fd, and the PC's TLS around it; the caller sets callbacks and enables it. NULL: fd was closed. */
struct bufferevent *stream_open(struct event_base *base, struct pc *pc, int fd, bool tls);

/* The handshake is done: writes the event `tls`. */
void stream_note_tls(const struct pc *pc, struct bufferevent *stream);

/* Takes the stream over: sends what is still to be sent, says goodbye in TLS and in TCP, and waits a little
 * for the client to do the same, so that no reset overtakes the last answer. */
void stream_close(struct bufferevent *stream);

/* Ends the waiting. */
void stream_close_all(void);

#endif
