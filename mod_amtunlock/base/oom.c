/* SPDX-License-Identifier: Apache-2.0 */
#include "base/oom.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <jansson.h>

static char message[160]; /* ready, for when nothing can be made any more */
static int exit_status = 1;

int oom_end(int code)
{
    ssize_t written = write(STDERR_FILENO, message, strlen(message));

    (void)written; /* there is no other place to say it */
    (void)code;
    _exit(exit_status);
}

/* What the C library gives may be freed by free(): texts that jansson wrote, and what it had before. */
static void *json_malloc_or_end(size_t size)
{
    void *block = malloc(size);

    if (block == NULL) {
        oom_end(APR_ENOMEM);
    }
    return block;
}

void oom_init(const char *program, int status)
{
    apr_pool_t *pool = NULL;

    apr_snprintf(message, sizeof(message), "%s: the system has no memory left, so this process ends here\n",
                 program);
    exit_status = status;
    json_set_alloc_funcs(json_malloc_or_end, free);
    /* The pool above all others: those that are made without a parent take after it. */
    if (apr_pool_create_ex(&pool, NULL, oom_end, NULL) != APR_SUCCESS) {
        oom_end(APR_ENOMEM);
    }
    apr_pool_abort_set(oom_end, apr_pool_parent_get(pool));
    apr_pool_destroy(pool);
}

apr_status_t oom_own_pool(apr_pool_t **pool)
{
    return apr_pool_create_unmanaged_ex(pool, oom_end, NULL);
}
