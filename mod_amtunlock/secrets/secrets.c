/* SPDX-License-Identifier: Apache-2.0 */
/* The providers, asked in the order of the settings. */
#include "secrets/secrets.h"

#include <string.h>

#include <apr_strings.h>

#include "secrets/provider_priv.h"

typedef struct {
    const secrets_provider_t *provider;
    const char *path;
    const char *text; /* as the settings name it */
} source_t;

struct secrets_t {
    apr_array_header_t *sources; /* source_t, in the order asked */
};

static const secrets_provider_t *const providers_known[] = {&secrets_file_provider, &secrets_helper_provider};

/* ---- opening ------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong with a provider's text. */
static const char *open_source(const char *text, source_t *source, apr_pool_t *pool)
{
    const char *colon = strchr(text, ':');
    const char *error;

    for (size_t i = 0; colon != NULL && i < sizeof(providers_known) / sizeof(providers_known[0]); i++) {
        const char *scheme = providers_known[i]->scheme;

        if (strlen(scheme) == (size_t)(colon - text) && strncmp(text, scheme, strlen(scheme)) == 0) {
            source->provider = providers_known[i];
            source->path = apr_pstrdup(pool, colon + 1);
            source->text = apr_pstrdup(pool, text);
            error = source->provider->check(source->path, pool);
            return error != NULL ? apr_pstrcat(pool, scheme, ":", error, NULL) : NULL;
        }
    }
    return apr_psprintf(pool, "'%s' is not a source of secrets: file:PATH or exec:PATH", text);
}

const char *secrets_open(secrets_t **secrets, const apr_array_header_t *providers, apr_pool_t *pool)
{
    secrets_t *made = apr_palloc(pool, sizeof(*made));

    *secrets = NULL;
    made->sources = apr_array_make(pool, providers->nelts, sizeof(source_t));
    for (int i = 0; i < providers->nelts; i++) {
        const char *error =
            open_source(APR_ARRAY_IDX(providers, i, const char *), apr_array_push(made->sources), pool);

        if (error != NULL) {
            return error;
        }
    }
    *secrets = made;
    return NULL;
}

/* ---- asking -------------------------------------------------------------------------------------------- */

/* The first provider that knows decides. One that fails ends the search: what stands further down may be what
 * the administrator replaced, and a wrong login locks the account in the firmware. */
static apr_status_t ask_sources(const secrets_t *secrets, secrets_need_e need,
                                const secrets_subject_t *subject, secrets_found_t *found, const char **error,
                                apr_pool_t *pool)
{
    memset(found, 0, sizeof(*found));
    *error = NULL;
    for (int i = 0; i < secrets->sources->nelts; i++) {
        const source_t *source = &APR_ARRAY_IDX(secrets->sources, i, const source_t);
        apr_status_t status = source->provider->find(source->path, need, subject, found, error, pool);

        if (status == APR_SUCCESS) {
            found->source = source->text;
            return status;
        }
        if (*error != NULL) {
            *error = apr_pstrcat(pool, source->provider->scheme, ":", *error, NULL);
            return status;
        }
    }
    return APR_NOTFOUND;
}

apr_status_t secrets_amt_login(secrets_t *secrets, const secrets_subject_t *subject, secrets_login_t *login,
                               const char **error, apr_pool_t *pool)
{
    secrets_found_t found;
    apr_status_t status = ask_sources(secrets, SECRETS_AMT, subject, &found, error, pool);

    login->user = found.user;
    login->password = found.secret;
    login->source = found.source;
    return status;
}

apr_status_t secrets_disk_passphrase(secrets_t *secrets, const secrets_subject_t *subject, char **passphrase,
                                     const char **error, apr_pool_t *pool)
{
    secrets_found_t found;
    apr_status_t status = ask_sources(secrets, SECRETS_DISK, subject, &found, error, pool);

    secrets_free(found.volume);
    *passphrase = found.secret;
    return status;
}

void secrets_login_free(secrets_login_t *login)
{
    secrets_free(login->user);
    secrets_free(login->password);
    login->user = NULL;
    login->password = NULL;
    login->source = NULL;
}
