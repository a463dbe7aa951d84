/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/peer_keys.h"

#include <string.h>

#include <apr_strings.h>

#include "base/text.h"

/* In what a worker says of itself. */
#define PEER_HOST "host="
#define PEER_KEY " proof-key="

/* NULL: it has no key, or the same. */
static char *host_of_other_key(const char *about, const proof_key_t *key, apr_pool_t *pool)
{
    const char *theirs = strstr(about, PEER_KEY), *host = strstr(about, PEER_HOST);
    char *name = NULL;

    if (theirs == NULL || host == NULL ||
        (key != NULL && strncmp(theirs + strlen(PEER_KEY), proof_key_id(key), PROOF_KEY_ID_DIGITS) == 0)) {
        return NULL;
    }
    host += strlen(PEER_HOST);
    name = apr_pstrmemdup(pool, host, strcspn(host, " "));
    text_mask_non_ascii(name);
    return name;
}

apr_array_header_t *peer_keys_differ(jobs_client_t *client, const proof_key_t *key, apr_pool_t *pool)
{
    apr_array_header_t *hosts = apr_array_make(pool, 1, sizeof(const char *)), *abouts = NULL;

    if (jobs_workers_heard(client, &abouts, pool).outcome != JOBS_OK) {
        return hosts;
    }
    for (int i = 0; i < abouts->nelts; i++) {
        char *host = host_of_other_key(APR_ARRAY_IDX(abouts, i, const char *), key, pool);

        if (host != NULL) {
            APR_ARRAY_PUSH(hosts, const char *) = host;
        }
    }
    return hosts;
}
