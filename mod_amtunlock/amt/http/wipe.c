/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/wipe_priv.h"

#include <openssl/crypto.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* In front of every block: how much there is to wipe. Its size keeps the block behind it aligned. */
typedef union {
    size_t size;
    max_align_t align;
} header_t;

void *amt_wipe_malloc(size_t size)
{
    header_t *header;

    if (size > PTRDIFF_MAX - sizeof(*header)) {
        return NULL;
    }
    header = malloc(sizeof(*header) + size);
    if (header == NULL) {
        return NULL;
    }
    header->size = size;
    return header + 1;
}

void *amt_wipe_calloc(size_t count, size_t size)
{
    void *block;

    if (size && count > PTRDIFF_MAX / size) {
        return NULL;
    }
    block = amt_wipe_malloc(count * size);
    if (block != NULL) {
        memset(block, 0, count * size);
    }
    return block;
}

/* Never libc's realloc(): it may move a block and leave the old bytes behind. */
void *amt_wipe_realloc(void *block, size_t size)
{
    size_t old = block != NULL ? ((header_t *)block - 1)->size : 0;
    void *grown;

    if (block != NULL && size <= old && size >= old / 2) {
        return block; /* the tail stays covered by the size in the header */
    }
    grown = amt_wipe_malloc(size);
    if (grown != NULL && block != NULL) {
        memcpy(grown, block, old < size ? old : size);
        amt_wipe_free(block);
    }
    return grown;
}

char *amt_wipe_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = amt_wipe_malloc(size);

    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void amt_wipe_free(void *block)
{
    header_t *header;

    if (block == NULL) {
        return;
    }
    header = (header_t *)block - 1;
    OPENSSL_cleanse(block, header->size);
    free(header);
}
