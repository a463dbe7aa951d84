/* SPDX-License-Identifier: Apache-2.0 */
/* Providers in order, and the process-wide switches that keep secrets in memory only. */
#include "secrets/secrets.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "secrets/provider_priv.h"

/* Enough for some thousand secrets at a time and the buffers of every thread that reads; a power of two. */
#define SECURE_HEAP ((size_t)1 << 20)
#define SECURE_HEAP_UNIT 32
#define HEAP_UNPROTECTED 2 /* from CRYPTO_secure_malloc_init() */

typedef struct {
    const secrets_provider_t *provider;
    const char *path;
    const char *text; /* as the settings name it */
} source_t;

struct secrets_t {
    apr_array_header_t *sources; /* source_t, in the order asked */
};

static const secrets_provider_t *const providers_known[] = {&secrets_file_provider, &secrets_helper_provider};

static const char *process_warning;

apr_status_t secrets_process_init(void)
{
    const struct rlimit none = {0, 0};
    int heap;

    /* not even root may attach, and no core file is written */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    if (CRYPTO_secure_malloc_initialized()) {
        return APR_SUCCESS;
    }
    heap = CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_HEAP_UNIT);
    if (heap == HEAP_UNPROTECTED) {
        process_warning =
            "secrets are kept in memory that may be swapped out: 1 MiB could not be locked; raise "
            "RLIMIT_MEMLOCK (LimitMEMLOCK= in the unit)";
    }
    return heap ? APR_SUCCESS : APR_ENOMEM;
}

const char *secrets_process_warning(void)
{
    return process_warning;
}

/* ---- what providers share ------------------------------------------------------------------------------ */

char *secrets_copy(const char *text, apr_size_t length)
{
    char *copy = OPENSSL_secure_malloc(length + 1);

    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

void secrets_found_wipe(secrets_found_t *found)
{
    secrets_free(found->user);
    secrets_free(found->secret);
    found->user = NULL;
    found->secret = NULL;
}

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
static apr_status_t ask(const secrets_t *secrets, secrets_need_e need, const secrets_subject_t *subject,
                        secrets_found_t *found, const char **error, apr_pool_t *pool)
{
    memset(found, 0, sizeof(*found));
    *error = NULL;
    for (int i = 0; i < secrets->sources->nelts; i++) {
        const source_t *source = &APR_ARRAY_IDX(secrets->sources, i, const source_t);
        apr_status_t rv = source->provider->find(source->path, need, subject, found, error, pool);

        if (rv == APR_SUCCESS) {
            found->source = source->text;
            return rv;
        }
        if (*error != NULL) {
            *error = apr_pstrcat(pool, source->provider->scheme, ":", *error, NULL);
            return rv;
        }
    }
    return APR_NOTFOUND;
}

apr_status_t secrets_amt_login(secrets_t *secrets, const secrets_subject_t *subject, secrets_login_t *login,
                               const char **error, apr_pool_t *pool)
{
    secrets_found_t found;
    apr_status_t rv = ask(secrets, SECRETS_AMT, subject, &found, error, pool);

    login->user = found.user;
    login->password = found.secret;
    login->source = found.source;
    return rv;
}

apr_status_t secrets_disk_passphrase(secrets_t *secrets, const secrets_subject_t *subject, char **passphrase,
                                     const char **error, apr_pool_t *pool)
{
    secrets_found_t found;
    apr_status_t rv = ask(secrets, SECRETS_DISK, subject, &found, error, pool);

    *passphrase = found.secret;
    return rv;
}

void secrets_free(char *secret)
{
    if (secret != NULL) {
        OPENSSL_secure_clear_free(secret, strlen(secret));
    }
}

void secrets_login_free(secrets_login_t *login)
{
    secrets_free(login->user);
    secrets_free(login->password);
    login->user = NULL;
    login->password = NULL;
    login->source = NULL;
}
