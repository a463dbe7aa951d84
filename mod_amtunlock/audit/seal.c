/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the record still holds what was sealed elsewhere. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "audit/audit.h"
#include "audit/record_priv.h"

typedef struct {
    audit_head_t sealed;
    apr_uint64_t last; /* number of the last record */
    int met;           /* a record of the sealed one's number: */
    int same;
} search_t;

static void take_sealed_record(void *baton, const json_t *record)
{
    search_t *search = baton;
    const char *hash = json_string_value(json_object_get(record, "hash"));

    search->last = (apr_uint64_t)json_integer_value(json_object_get(record, "n"));
    if (search->last == search->sealed.count) {
        search->met = 1;
        search->same |= hash != NULL && strcmp(hash, search->sealed.hash) == 0;
    }
}

const char *audit_judge_seal(const char *file, const char *seal, apr_pool_t *pool)
{
    search_t search = {.last = 0};
    const char *error = NULL;

    if (!audit_parse_head(seal, &search.sealed)) {
        return NULL; /* nobody's seal */
    }
    error = audit_replay(file, 0, take_sealed_record, &search, pool);
    if (error != NULL || search.same) {
        return error;
    }
    return search.met ? apr_psprintf(pool,
                                     "record %" APR_UINT64_T_FMT
                                     " is another than the one that was sealed: the record was begun anew or "
                                     "rewritten",
                                     search.sealed.count)
                      : apr_psprintf(pool,
                                     "ends with record %" APR_UINT64_T_FMT ", but record %" APR_UINT64_T_FMT
                                     " was sealed: its tail was cut off, or it was begun anew",
                                     search.last, search.sealed.count);
}
