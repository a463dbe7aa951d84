/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/message_priv.h"

#include <openssl/crypto.h>
#include <string.h>

#include "amt/redirection/link_priv.h"
#include "amt/redirection/wire_priv.h"

/* Where a message's number stands. */
enum { SEQUENCE_AT = 4 };

const amt_message_t *amt_message_find(const amt_message_t *table, unsigned char id)
{
    while (table->id && table->id != id) {
        table++;
    }
    return table->id ? table : NULL;
}

apr_size_t amt_message_body(const amt_message_t *message, const unsigned char *bytes)
{
    if (message->body_width == 2) {
        return wire_get16(bytes + message->body_at);
    }
    return message->body_width == 1 ? bytes[message->body_at] : 0;
}

/* How many whole ones stand one behind the other, numbered from `sequence` on: `taken` bytes of them, their `filled`
 * bytes of bodies in `joined`, which has room for `length`. */
static apr_uint32_t join_messages(const amt_message_t *message, apr_uint32_t sequence,
                                  const unsigned char *bytes, apr_size_t length, unsigned char *joined,
                                  apr_size_t *filled, apr_size_t *taken)
{
    apr_uint32_t count = 0;

    *filled = *taken = 0;
    while (length >= message->length && bytes[0] == message->id &&
           wire_get32(bytes + SEQUENCE_AT) == sequence + count) {
        apr_size_t body = amt_message_body(message, bytes);
        apr_size_t whole = message->length + body;

        if (whole > length) {
            break;
        }
        memcpy(joined + *filled, bytes + message->length, body);
        *filled += body;
        *taken += whole;
        bytes += whole;
        length -= whole;
        count++;
    }
    return count;
}

apr_size_t amt_messages_take_joined(const amt_message_t *message, apr_uint32_t *sequence, void *channel,
                                    const unsigned char *bytes, apr_size_t length)
{
    unsigned char joined[AMT_LINK_IN];
    apr_size_t filled = 0, taken = 0;
    apr_uint32_t count = join_messages(message, *sequence, bytes, length, joined, &filled, &taken);

    if (count < 2) {
        return 0;
    }
    *sequence += count;
    message->body(channel, joined, filled);
    OPENSSL_cleanse(joined, filled);
    return taken;
}
