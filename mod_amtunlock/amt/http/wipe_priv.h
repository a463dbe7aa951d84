/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator that libcurl gets: what it frees is wiped first. libcurl keeps copies of user names and
 * passwords, and builds digests from them, in memory that would otherwise go back to the heap as it is.
 *
 * Blocks are aligned as malloc()'s are. Any thread.
 */
#ifndef AMTUNLOCK_AMT_HTTP_WIPE_PRIV_H
#define AMTUNLOCK_AMT_HTTP_WIPE_PRIV_H

#include <stddef.h>

/* As malloc(), calloc(), realloc(), strdup() and free(). A block of one belongs to the others, never to
 * libc's own. NULL where memory is out or `count * size` overflows; realloc then leaves the old block as it
 * was. */
void *amt_wipe_malloc(size_t size);
void *amt_wipe_calloc(size_t count, size_t size);
void *amt_wipe_realloc(void *block, size_t size);
char *amt_wipe_strdup(const char *text);
void amt_wipe_free(void *block);

#endif
