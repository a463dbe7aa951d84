/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a channel (SOL or IDE-R) as tables have them. Pure. */
#ifndef AMTUNLOCK_AMT_REDIRECTION_MESSAGE_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_MESSAGE_PRIV_H

#include <apr.h>

/* A message that a device may send: 8 bytes (id, three bytes, sequence number), more up to `length`, then a
 * body whose length stands in it. */
typedef struct {
    unsigned char id;
    unsigned char length;
    unsigned char body_at;    /* where the body's length stands */
    unsigned char body_width; /* its bytes: 1, 2, or 0 for no body */
    unsigned char waits;      /* not handled while the channel is busy */
    unsigned char joins;      /* bodies that came together are given to `body` together */
    /* The last that happens with it: may destroy the session. NULL: read and forgotten. */
    void (*handle)(void *channel, const unsigned char *message);
    /* Pieces of the body, as they come. The same. */
    void (*body)(void *channel, const unsigned char *bytes, apr_size_t length);
} amt_message_t;

/* Its row in a table that ends with id 0, or NULL. */
const amt_message_t *amt_message_find(const amt_message_t *table, unsigned char id);
/* The length of its body, as its first `length` bytes say. */
apr_size_t amt_message_body(const amt_message_t *message, const unsigned char *bytes);
/* Text that comes byte by byte is not looked at byte by byte: gives the bodies of whole messages of this kind that stand
 * one behind the other to its `body`, as one, which may destroy the session, and `*sequence` with it. `length` is at most
 * AMT_LINK_IN. The bytes taken; 0 where there are not two to be joined. */
apr_size_t amt_messages_take_joined(const amt_message_t *message, apr_uint32_t *sequence, void *channel,
                                    const unsigned char *bytes, apr_size_t length);

#endif
