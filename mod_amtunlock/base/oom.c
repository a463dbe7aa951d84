/* SPDX-License-Identifier: Apache-2.0 */
#include "base/oom.h"

#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

static char sentence[160]; /* ready, for when nothing can be made any more */
static int exit_status = 1;

int oom_end(int code)
{
    ssize_t written = write(STDERR_FILENO, sentence, strlen(sentence));

    (void)written; /* nobody else could be told */
    (void)code;
    _exit(exit_status);
}

void oom_init(const char *program, int status)
{
    apr_pool_t *pool = NULL;

    apr_snprintf(sentence, sizeof(sentence), "%s: the system has no memory left, so this process ends here\n",
                 program);
    exit_status = status;
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
