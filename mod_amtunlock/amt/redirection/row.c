/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/row_priv.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/text.h"

enum { USUAL_SIZE = 64 };

/* A PC may have shown a passphrase. */
void amt_row_wipe(amt_row_t *row)
{
    if (row->size > 0) {
        OPENSSL_cleanse(row->characters, (apr_size_t)row->size * sizeof(*row->characters));
    }
}

/* In steps of two times as much: what is left behind in the pool is no more than what is in use. */
static void make_room(amt_row_t *row, int length, apr_pool_t *pool)
{
    amt_row_t before = *row;
    int size = row->size > 0 ? row->size : USUAL_SIZE;

    while (size < length) {
        size *= 2;
    }
    if (size == row->size) {
        return;
    }
    row->size = size;
    row->characters = apr_palloc(pool, (apr_size_t)size * sizeof(*row->characters));
    if (row->length > 0) {
        memcpy(row->characters, before.characters, (apr_size_t)row->length * sizeof(*row->characters));
    }
    amt_row_wipe(&before);
}

void amt_row_put(amt_row_t *row, int at, apr_uint32_t character, apr_pool_t *pool)
{
    if (at == row->length) {
        make_room(row, at + 1, pool);
        row->length++;
    }
    else {
        row->bytes -= text_utf8_length(row->characters[at]);
    }
    row->bytes += text_utf8_length(character);
    row->characters[at] = character;
}

void amt_row_cut(amt_row_t *row, int at)
{
    while (row->length > at) {
        row->bytes -= text_utf8_length(row->characters[--row->length]);
    }
}

void amt_row_copy(amt_row_t *to, const amt_row_t *from, apr_pool_t *pool)
{
    to->length = 0;
    make_room(to, from->length, pool);
    if (from->length > 0) {
        memcpy(to->characters, from->characters, (apr_size_t)from->length * sizeof(*to->characters));
    }
    to->length = from->length;
    to->bytes = from->bytes;
}

void amt_row_write(const amt_row_t *row, char *text)
{
    for (int i = 0; i < row->length; i++) {
        text = text_put_utf8(text, row->characters[i]);
    }
    *text = '\0';
}
