/* SPDX-License-Identifier: Apache-2.0 */
/* One end of the connection between a worker and its drive process. The loop's thread only. What passes through it may
 * be secret: it lies in the secure heap, and is wiped. */
#ifndef AMTUNLOCK_DRIVES_CHANNEL_PRIV_H
#define AMTUNLOCK_DRIVES_CHANNEL_PRIV_H

#include "drives/message_priv.h"

typedef struct channel_t channel_t;

/* That come with OPEN. */
typedef enum { CHANNEL_LOG, CHANNEL_IMAGE, CHANNEL_FILES } channel_file_e;

typedef struct {
    /* `files` are closed behind it; -1: none came. May destroy the channel. */
    void (*received)(void *baton, const message_t *message, const int files[CHANNEL_FILES]);
    /* The other end is gone, or is none of ours: `why`. Once; nothing comes any more. */
    void (*ended)(void *baton, const char *why);
} channel_events_t;

/* Takes the descriptor, whether it succeeds or not; closed with `pool`. APR_EACCES: another user's process is there. */
apr_status_t channel_create(channel_t **channel, struct event_base *base, int fd,
                            const channel_events_t *events, void *baton, apr_pool_t *pool);
/* `files`: NULL, or all of them, which stay the caller's. What the socket does not take now is kept. An error: memory is
 * out, or it is too long. To an end that is gone it is as good as sent: `ended` follows. */
apr_status_t channel_send(channel_t *channel, const message_t *message, const int *files);
/* The process at the other end; of a worker's channel: that which listens. -1: it cannot be told. */
pid_t channel_process(const channel_t *channel);

#endif
