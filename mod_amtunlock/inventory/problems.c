/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with an inventory, one record a problem. */
#include <stdarg.h>
#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "inventory/row_priv.h"

#define QUOTE_MAX 80

static void keep_problem(inventory_problems_t *problems, unsigned int line, const char *reason)
{
    inventory_problem_t *problem = apr_array_push(problems->kept);

    problem->file = problems->file;
    problem->line = line;
    problem->reason = reason;
}

void inventory_problem(inventory_problems_t *problems, unsigned int line, const char *format, ...)
{
    va_list arguments;

    problems->count++;
    if (problems->count > INVENTORY_PROBLEMS_KEPT) {
        return;
    }
    va_start(arguments, format);
    keep_problem(problems, line, apr_pvsprintf(problems->pool, format, arguments));
    va_end(arguments);
}

void inventory_problems_close(inventory_problems_t *problems)
{
    if (problems->count > INVENTORY_PROBLEMS_KEPT) {
        keep_problem(problems, 0,
                     apr_psprintf(problems->pool, "and %u more", problems->count - INVENTORY_PROBLEMS_KEPT));
    }
}

const char *inventory_quote(const char *text, apr_pool_t *pool)
{
    if (strlen(text) > QUOTE_MAX) {
        text = apr_pstrcat(pool, apr_pstrndup(pool, text, QUOTE_MAX), "...", NULL);
    }
    return apr_pescape_echo(pool, text, 1);
}
