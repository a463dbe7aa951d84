/* SPDX-License-Identifier: Apache-2.0 */
/* Builds calls. */
#include "jobs/call_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "jobs/library_priv.h"

void jobs_call_bytes(jobs_call_t *call, const char *bytes, size_t length)
{
    APR_ARRAY_PUSH(call->words, const char *) = bytes;
    APR_ARRAY_PUSH(call->lengths, size_t) = length;
}

void jobs_call_text(jobs_call_t *call, const char *text)
{
    if (text == NULL) {
        text = "";
    }
    jobs_call_bytes(call, text, strlen(text));
}

void jobs_call_digest(jobs_call_t *call, const char *digest)
{
    call->invalid |= digest == NULL;
    jobs_call_text(call, digest);
}

void jobs_call_number(jobs_call_t *call, apr_int64_t number)
{
    jobs_call_text(call, apr_psprintf(call->pool, "%" APR_INT64_T_FMT, number));
}

void jobs_call_limits(jobs_call_t *call, int under_way, int kept)
{
    jobs_call_text(call, apr_psprintf(call->pool, "%d/%d", under_way, kept));
}

void jobs_call_not_after(jobs_call_t *call)
{
    call->not_after = call->words->nelts;
    jobs_call_text(call, "0");
}

jobs_call_t *jobs_command(const char *name, apr_pool_t *pool)
{
    jobs_call_t *call = apr_pcalloc(pool, sizeof(*call));

    call->pool = pool;
    call->words = apr_array_make(pool, 32, sizeof(const char *));
    call->lengths = apr_array_make(pool, 32, sizeof(size_t));
    jobs_call_text(call, name);
    return call;
}

jobs_call_t *jobs_verb_of(int schema, const char *name, apr_pool_t *pool)
{
    jobs_call_t *call = jobs_command("FCALL", pool);

    jobs_call_text(call, apr_pstrcat(pool, "amtunlock_", name, NULL));
    jobs_call_text(call, "1"); /* its own: the library derives all others, in the one slot of {amtu} */
    jobs_call_text(call, apr_pstrcat(pool, JOBS_KEY("verb:"), name, NULL));
    jobs_call_number(call, schema);
    return call;
}

jobs_call_t *jobs_verb(const char *name, apr_pool_t *pool)
{
    return jobs_verb_of(JOBS_SCHEMA, name, pool);
}
