/* A device's side of an accepted connection. */
#ifndef AMTSIM_STREAM_H
#define AMTSIM_STREAM_H

#include "pc.h"

#include <event2/bufferevent.h>

/* Wraps fd, and the PC's TLS around it; the caller sets callbacks and enables it. NULL: fd was closed. */
struct bufferevent *stream_open(struct event_base *base, struct pc *pc, int fd, bool tls);

/* The handshake is done: writes the event `tls`. */
void stream_note_tls(const struct pc *pc, struct bufferevent *stream);

/* Says that nothing more will come, in TLS and in TCP. */
void stream_finish(struct bufferevent *stream);

#endif
