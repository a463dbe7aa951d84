/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that wait to leave. A queue has memory only while something is in it: thousands of sessions are idle. What has
 * left is wiped.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_QUEUE_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_QUEUE_PRIV_H

#include "amt/http/loop.h"

/* All zero but for the first two: an empty one. */
typedef struct {
    amt_loop_t *loop;
    apr_size_t room; /* bytes that it can hold */
    apr_memnode_t *block;
    apr_size_t start, end; /* what is queued, in the block */
} amt_queue_t;

static inline apr_size_t amt_queue_length(const amt_queue_t *queue)
{
    return queue->end - queue->start;
}

/* Where to put `length` more bytes, which must fit. */
unsigned char *amt_queue_place(amt_queue_t *queue, apr_size_t length);
/* The first byte; of one that is not empty. */
const unsigned char *amt_queue_first(const amt_queue_t *queue);
/* So many from the front have left. */
void amt_queue_sent(amt_queue_t *queue, apr_size_t length);
/* Forgets what is queued. */
void amt_queue_clear(amt_queue_t *queue);

#endif
