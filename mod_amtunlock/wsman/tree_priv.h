/* SPDX-License-Identifier: Apache-2.0 */
/* From libxml2's events to a tree of wsman_element_t in the caller's pool. */
#ifndef AMTUNLOCK_WSMAN_TREE_PRIV_H
#define AMTUNLOCK_WSMAN_TREE_PRIV_H

#include <apr_hash.h>
#include <apr_tables.h>

#include "wsman/envelope.h"

/* Bytes that grow by doubling, in a pool. All zero is empty. */
typedef struct {
    char *data;
    apr_size_t length;
    apr_size_t capacity;
} wsman_bytes_t;

/* Makes room for `more` bytes behind the end. */
void wsman_bytes_reserve(wsman_bytes_t *bytes, apr_size_t more, apr_pool_t *pool);

typedef struct {
    apr_pool_t *pool;
    const wsman_limits_t *limits;
    apr_hash_t *names;         /* libxml2's interned string (the pointer) -> our copy */
    apr_array_header_t *texts; /* wsman_bytes_t: text of each open element so far */
    wsman_element_t **tail;    /* where the next sibling is linked */
    wsman_element_t *open;     /* innermost open element */
    wsman_element_t *root;
    unsigned int depth;
    apr_size_t nodes; /* elements and attributes */
    const char *message_id;
    const wsman_fault_t *fault; /* the first; nothing is built after it */
    void *parser;
} wsman_tree_t;

void wsman_tree_init(wsman_tree_t *tree, const wsman_limits_t *limits, apr_pool_t *pool);

/* The envelope has more of something than is read: 413. */
const wsman_fault_t *wsman_size_fault(const char *what, apr_size_t limit, apr_pool_t *pool);

/* A libxml2 push parser (xmlParserCtxtPtr) that feeds `tree`, destroyed with the tree's pool or by
 * wsman_tree_close(). APR_ENOMEM if libxml2 cannot allocate it. */
apr_status_t wsman_tree_open(wsman_tree_t *tree);
void wsman_tree_close(wsman_tree_t *tree);

/* Takes the next bytes of UTF-8 (which the scanner has let through). See tree->fault. */
void wsman_tree_feed(wsman_tree_t *tree, const char *bytes, apr_size_t length);

/* No more bytes. On success tree->root is whole. */
void wsman_tree_finish(wsman_tree_t *tree);

#endif
