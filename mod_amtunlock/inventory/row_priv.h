/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the inventory: a line of systems.csv as cells, what is done with it, and the collector of problems.
 */
#ifndef AMTUNLOCK_INVENTORY_ROW_PRIV_H
#define AMTUNLOCK_INVENTORY_ROW_PRIV_H

#include "inventory/inventory.h"

/* In the order in which cells are checked: the group before the cells that it has defaults for. */
typedef enum {
    INVENTORY_FQDN,
    INVENTORY_ADDRESS,
    INVENTORY_UUID,
    INVENTORY_GROUP,
    INVENTORY_METHOD,
    INVENTORY_AUTH,
    INVENTORY_TLS,
    INVENTORY_PROBE,
    INVENTORY_COLUMNS
} inventory_column_e;

/* ---- problems: all are counted, the first ones are kept ------------------------------------------------ */

#define INVENTORY_PROBLEMS_KEPT 50

typedef struct {
    const char *file;
    apr_array_header_t *kept; /* inventory_problem_t */
    unsigned int count;
    apr_pool_t *pool;
} inventory_problems_t;

void inventory_problem(inventory_problems_t *problems, unsigned int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Says how many were not kept. */
void inventory_problems_close(inventory_problems_t *problems);
/* Text from the file as it may stand in a log line: escaped, cut after 80 bytes. */
const char *inventory_quote(const char *text, apr_pool_t *pool);

/* ---- reading (read.c) ---------------------------------------------------------------------------------- */

#define INVENTORY_LINE_MAX 4096 /* bytes, without the line end */

typedef struct {
    unsigned int line;
    const char *cells[INVENTORY_COLUMNS]; /* "" where empty or where there is no such column */
} inventory_row_t;

/* Takes one line; what `row` points to is gone afterwards. */
typedef void(inventory_row_fn)(void *context, const inventory_row_t *row);

/* Reads the whole file and hands over each line that is well-formed; what is not becomes a problem. Any
 * status but APR_SUCCESS is the file's own. *written is when it was last changed. */
apr_status_t inventory_read(const char *file, inventory_problems_t *problems, inventory_row_fn *take,
                            void *context, apr_time_t *written, apr_pool_t *pool);

/* ---- checking (check.c) -------------------------------------------------------------------------------- */

typedef struct {
    apr_hash_t *configured; /* inventory_group_t * by name; may be NULL */
    apr_hash_t *made;       /* groups that only the file names */
    const inventory_group_t *fallback;
    apr_pool_t *pool;
} inventory_groups_t;

void inventory_groups_init(inventory_groups_t *groups, apr_hash_t *configured, apr_pool_t *pool);

/* As the header line has it. */
const char *inventory_column_name(inventory_column_e column);

/* The system of a line, in `pool`; NULL if anything is wrong with it (then each thing is a problem). */
inventory_system_t *inventory_check(const inventory_row_t *row, inventory_groups_t *groups,
                                    inventory_problems_t *problems, apr_pool_t *pool);

#endif
