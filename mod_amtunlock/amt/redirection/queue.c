/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/queue_priv.h"

#include <string.h>

#include "base/oom.h"

static unsigned char *bytes_of(const amt_queue_t *queue)
{
    return (unsigned char *)queue->block->first_avail;
}

static apr_size_t size_of(const apr_memnode_t *block)
{
    return (apr_size_t)(block->endp - block->first_avail);
}

/* From where pools have their memory; as they do, it ends the process where there is none. */
static void take_block(amt_queue_t *queue)
{
    amt_loop_t *loop = queue->loop;

    if (loop->spare != NULL && size_of(loop->spare) >= queue->room) {
        queue->block = loop->spare;
        loop->spare = NULL;
        return;
    }
    queue->block = apr_allocator_alloc(apr_pool_allocator_get(loop->pool), queue->room);
    if (queue->block == NULL) {
        oom_end(APR_ENOMEM);
    }
}

/* The larger of two is kept for the next queue. */
static void give_block(amt_queue_t *queue)
{
    amt_loop_t *loop = queue->loop;
    apr_memnode_t *other = queue->block;

    if (loop->spare == NULL || size_of(loop->spare) < size_of(other)) {
        other = loop->spare;
        loop->spare = queue->block;
    }
    if (other != NULL) {
        apr_allocator_free(apr_pool_allocator_get(loop->pool), other);
    }
    queue->block = NULL;
}

unsigned char *amt_queue_place(amt_queue_t *queue, apr_size_t length)
{
    unsigned char *bytes;

    if (queue->block == NULL) {
        take_block(queue);
    }
    bytes = bytes_of(queue);
    if (queue->room - queue->end < length) {
        apr_size_t queued = amt_queue_length(queue);

        memmove(bytes, bytes + queue->start, queued);
        explicit_bzero(bytes + queued, queue->end - queued);
        queue->start = 0;
        queue->end = queued;
    }
    queue->end += length;
    return bytes + queue->end - length;
}

const unsigned char *amt_queue_first(const amt_queue_t *queue)
{
    return bytes_of(queue) + queue->start;
}

void amt_queue_sent(amt_queue_t *queue, apr_size_t length)
{
    explicit_bzero(bytes_of(queue) + queue->start, length);
    queue->start += length;
    if (queue->start == queue->end) {
        queue->start = queue->end = 0;
        give_block(queue);
    }
}

void amt_queue_clear(amt_queue_t *queue)
{
    if (queue->block != NULL) {
        amt_queue_sent(queue, amt_queue_length(queue));
    }
}
