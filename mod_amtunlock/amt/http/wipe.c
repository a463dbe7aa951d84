/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/wipe_priv.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* In front of every block: how much there is to wipe. Its size keeps the block behind it aligned. */
typedef union {
    size_t size;
    max_align_t align;
} header_t;

/* ---- sheets: blocks of which little is used ---------------------------------------------------- */

/* For each request libcurl takes a buffer of 16 KiB or more and writes two into it. So such blocks are pages of their
 * own, and those that nobody has written to stay without memory: they are not wiped either. What is free is all zero. */
enum { PAGE = 4096, SHEET = 5 * PAGE, LEAST = 4 * PAGE, MOST_KEPT = 256 };

typedef struct sheet_t {
    struct sheet_t *next;
} sheet_t;

static pthread_mutex_t sheets_lock = PTHREAD_MUTEX_INITIALIZER;
static sheet_t *sheets; /* free ones */
static int kept;

static int is_sheet(size_t size)
{
    return size >= LEAST && size <= SHEET - sizeof(header_t);
}

static void *take_sheet(void)
{
    sheet_t *sheet;
    void *made;

    pthread_mutex_lock(&sheets_lock);
    sheet = sheets;
    if (sheet != NULL) {
        sheets = sheet->next;
        kept--;
    }
    pthread_mutex_unlock(&sheets_lock);
    if (sheet != NULL) {
        sheet->next = NULL;
        return sheet;
    }
    made = mmap(NULL, SHEET, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return made != MAP_FAILED ? made : NULL;
}

/* To read a page that was never written gives it no memory. */
static void wipe_sheet(unsigned char *bytes)
{
    static const unsigned char zeros[PAGE];

    for (int at = 0; at < SHEET; at += PAGE) {
        if (memcmp(bytes + at, zeros, PAGE) != 0) {
            OPENSSL_cleanse(bytes + at, PAGE);
        }
    }
}

static void give_sheet(void *block)
{
    sheet_t *sheet = block;
    int keeps;

    wipe_sheet(block);
    pthread_mutex_lock(&sheets_lock);
    keeps = kept < MOST_KEPT;
    if (keeps) {
        sheet->next = sheets;
        sheets = sheet;
        kept++;
    }
    pthread_mutex_unlock(&sheets_lock);
    if (!keeps) {
        munmap(block, SHEET);
    }
}

/* ---- the allocator ----------------------------------------------------------------------------- */

void *amt_wipe_malloc(size_t size)
{
    header_t *header;

    if (size > PTRDIFF_MAX - sizeof(*header)) {
        return NULL;
    }
    header = is_sheet(size) ? take_sheet() : malloc(sizeof(*header) + size);
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
    if (is_sheet(header->size)) {
        give_sheet(header);
        return;
    }
    OPENSSL_cleanse(block, header->size);
    free(header);
}
