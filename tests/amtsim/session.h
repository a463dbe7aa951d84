/* SPDX-License-Identifier: Apache-2.0 */
/* A redirection session: one connection to port 16994 or 16995, from its first byte to its end. redirection.c
 * opens and authenticates it, then sol.c or ider.c speaks. */
#ifndef AMTSIM_SESSION_H
#define AMTSIM_SESSION_H

#include "pc.h"
#include "stream.h"

#include <sys/types.h>

struct session;

/* What a kind of session does with its own messages. */
struct session_kind {
    const char *name;  /* as StartRedirectionSession spells it: 4 bytes */
    const char *opens; /* the names of its events */
    const char *closes;
    unsigned enabled; /* its bit in AMT_RedirectionService.EnabledState */
    /* One message at `data`. Returns its length, 0 when more bytes are needed, -1 when it breaks the
     * protocol. */
    ssize_t (*message)(struct session *session, const uint8_t *data, size_t size);
    /* A message as small as there are, without being asked: text of one byte, or a ping. */
    void (*pester)(struct session *session);
    /* The heartbeat is due. */
    void (*heartbeat)(struct session *session);
    /* It ends: forget it. */
    void (*ended)(struct session *session);
};

enum session_state { SESSION_NEW, SESSION_STARTED, SESSION_AUTHENTICATED, SESSION_OPEN };

struct session {
    struct session *next, **link; /* the list of all, and where it points here */
    struct pc *pc;
    struct bufferevent *stream;
    const struct session_kind *kind; /* NULL before StartRedirectionSession */
    struct ider *ider;               /* what ider.c keeps of an IDE-R session */
    struct event silence, beat;      /* nothing came for too long; time for a heartbeat */
    struct event flood;              /* time for the next messages of a flood */
    double flood_began;
    unsigned long flooded;        /* messages */
    unsigned silence_ms, beat_ms; /* 0: never */
    uint32_t in_sequence, out_sequence;
    unsigned long read_bytes; /* by the host, of an IDE-R session */
    enum session_state state;
    char nonce[NONCE_LENGTH + 1];
    bool tls;
};

extern const struct session_kind sol_kind, ider_kind;

void session_send(struct session *session, const void *data, size_t size);

/* Sends bytes that are no message. */
void session_babble(struct session *session);

/* The client opened the session with these limits: writes the event, starts the clocks. */
void session_opened(struct session *session, unsigned silence_ms, unsigned beat_ms);

/* Ends it; `reason` goes into the event. The session is gone when this returns. */
void session_end(struct session *session, const char *reason);

#endif
