/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/trust_priv.h"

#include <apr_strings.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "base/owned_file.h"

static const apr_interval_time_t trust_life = 60 * APR_USEC_PER_SEC;

enum { FILE_CA, FILE_CRL, FILE_CERTIFICATE, FILE_KEY, FILES };

struct amt_trust_t {
    const char *files[FILES]; /* "": none */
    apr_time_t made;          /* 0: nothing is parsed */
    X509_STORE *store;
    X509 *certificate;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    SSL_CTX *contexts[AMT_TLS_NONE]; /* by kind of trust */
    amt_trust_t *next;
};

struct amt_trusts_t {
    apr_pool_t *pool;
    amt_trust_t *first;
};

static void trust_files(const char *files[FILES], const amt_target_t *target)
{
    const char *given[FILES] = {target->tls == AMT_TLS_PIN ? NULL : target->ca_file,
                                target->tls == AMT_TLS_PIN ? NULL : target->crl_file,
                                target->certificate_file, target->key_file};

    for (int i = 0; i < FILES; i++) {
        files[i] = given[i] != NULL ? given[i] : "";
    }
}

/* Frees what is parsed; contexts and connections hold references to what they use. */
static void unload_trust(amt_trust_t *trust)
{
    for (int i = 0; i < AMT_TLS_NONE; i++) {
        SSL_CTX_free(trust->contexts[i]);
        trust->contexts[i] = NULL;
    }
    X509_STORE_free(trust->store);
    X509_free(trust->certificate);
    sk_X509_pop_free(trust->chain, X509_free);
    EVP_PKEY_free(trust->key);
    trust->store = NULL;
    trust->certificate = NULL;
    trust->chain = NULL;
    trust->key = NULL;
    trust->made = 0;
}

/* ---- parsing: each returns whether its file could be used -------------------------------------- */

static int load_ca(amt_trust_t *trust, const char *file)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(trust->store, X509_LOOKUP_file());

    /* Whatever is in the bundle is trusted, self-signed or not. */
    return lookup != NULL && X509_load_cert_file(lookup, file, X509_FILETYPE_PEM) > 0 &&
           X509_STORE_set_flags(trust->store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
}

/* Each issuer in the chain must have a list: a certificate that is on none could be revoked. */
static int load_crl(amt_trust_t *trust, const char *file)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(trust->store, X509_LOOKUP_file());

    return lookup != NULL && X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) > 0 &&
           X509_VERIFY_PARAM_clear_flags(X509_STORE_get0_param(trust->store), X509_V_FLAG_PARTIAL_CHAIN) &&
           X509_STORE_set_flags(trust->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

/* Whether reading ended at the end of the file. */
static int pem_ended(void)
{
    unsigned long error = ERR_peek_last_error();
    int at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

    if (at_end) {
        ERR_clear_error();
    }
    return at_end;
}

/* Our certificate first, then those that lead from it to an authority that devices know. */
static int load_certificate(amt_trust_t *trust, const char *file)
{
    BIO *bio = BIO_new_file(file, "re");
    X509 *issuer;
    int well = 1;

    trust->certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    trust->chain = sk_X509_new_null();
    if (trust->certificate == NULL || trust->chain == NULL) {
        BIO_free(bio);
        return 0;
    }
    while (well && (issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        well = sk_X509_push(trust->chain, issuer) > 0;
        if (!well) {
            X509_free(issuer);
        }
    }
    BIO_free(bio);
    return well && pem_ended();
}

static int load_key(amt_trust_t *trust, const char *file)
{
    BIO *bio = BIO_new_file(file, "re");
    char none[] = ""; /* no passphrase, so that OpenSSL does not ask for one on a terminal */

    trust->key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, none) : NULL;
    BIO_free(bio);
    return trust->key != NULL && trust->certificate != NULL &&
           X509_check_private_key(trust->certificate, trust->key) == 1;
}

static int (*const loaders[FILES])(amt_trust_t *trust, const char *file) = {
    [FILE_CA] = load_ca, [FILE_CRL] = load_crl, [FILE_CERTIFICATE] = load_certificate, [FILE_KEY] = load_key};

/* The index of the file that cannot be used; FILES where all can; -1 where memory is out. */
static int load_trust(amt_trust_t *trust)
{
    ERR_clear_error();
    trust->store = X509_STORE_new();
    if (trust->store == NULL) {
        return -1;
    }
    for (int i = 0; i < FILES; i++) {
        if (trust->files[i][0] && !loaders[i](trust, trust->files[i])) {
            return i;
        }
    }
    return FILES;
}

/* ---- keeping --------------------------------------------------------------------------------- */

static amt_trust_t *find_files(const amt_trusts_t *trusts, const char *files[FILES])
{
    amt_trust_t *trust = trusts->first;
    int same = 0;

    while (trust != NULL && !same) {
        same = 1;
        for (int i = 0; i < FILES; i++) {
            same &= strcmp(trust->files[i], files[i]) == 0;
        }
        trust = same ? trust : trust->next;
    }
    return trust;
}

static amt_trust_t *add_files(amt_trusts_t *trusts, const char *files[FILES])
{
    amt_trust_t *trust = apr_pcalloc(trusts->pool, sizeof(*trust));

    for (int i = 0; i < FILES; i++) {
        trust->files[i] = apr_pstrdup(trusts->pool, files[i]);
    }
    trust->next = trusts->first;
    trusts->first = trust;
    return trust;
}

amt_trust_t *amt_trust_find(amt_trusts_t *trusts, const amt_target_t *target, const char **file)
{
    const char *files[FILES];
    apr_time_t now = apr_time_now();
    amt_trust_t *trust;
    int wrong;

    trust_files(files, target);
    trust = find_files(trusts, files);
    if (trust == NULL) {
        trust = add_files(trusts, files);
    }
    if (trust->made && now >= trust->made && now - trust->made < trust_life) {
        return trust;
    }
    unload_trust(trust);
    wrong = load_trust(trust);
    if (wrong != FILES) {
        *file = wrong < 0 ? NULL : trust->files[wrong];
        unload_trust(trust);
        return NULL;
    }
    trust->made = now;
    return trust;
}

int amt_trust_use(const amt_trust_t *trust, SSL_CTX *ctx)
{
    SSL_CTX_set1_cert_store(ctx, trust->store);
    return trust->key == NULL ||
           (SSL_CTX_use_certificate(ctx, trust->certificate) == 1 &&
            SSL_CTX_use_PrivateKey(ctx, trust->key) == 1 && SSL_CTX_set1_chain(ctx, trust->chain) == 1);
}

SSL_CTX **amt_trust_context(amt_trust_t *trust, amt_tls_e tls)
{
    return &trust->contexts[tls];
}

static apr_status_t trusts_cleanup(void *baton)
{
    const amt_trusts_t *trusts = baton;

    for (amt_trust_t *trust = trusts->first; trust != NULL; trust = trust->next) {
        unload_trust(trust);
    }
    return APR_SUCCESS;
}

amt_trusts_t *amt_trusts_create(apr_pool_t *pool)
{
    amt_trusts_t *trusts = apr_pcalloc(pool, sizeof(*trusts));

    trusts->pool = pool;
    apr_pool_cleanup_register(pool, trusts, trusts_cleanup, apr_pool_cleanup_null);
    return trusts;
}

/* ---- the settings, before they are used -------------------------------------------------------- */

const char *amt_trust_check(const amt_target_t *files, apr_pool_t *pool)
{
    static const char *const settings[FILES] = {"ca-file", "crl-file", "tls-certificate", "tls-key"};
    amt_trust_t trust = {.made = 0};
    const char *error = NULL;
    const char *why;
    int wrong;

    trust_files(trust.files, files);
    if (!trust.files[FILE_CERTIFICATE][0] != !trust.files[FILE_KEY][0]) {
        return "tls-certificate and tls-key are set together, or neither is";
    }
    if (trust.files[FILE_KEY][0]) {
        error = owned_file_check(settings[FILE_KEY], trust.files[FILE_KEY], pool);
    }
    if (error != NULL) {
        return error;
    }
    wrong = load_trust(&trust);
    why = ERR_reason_error_string(ERR_peek_last_error());
    if (wrong != FILES) {
        error = wrong < 0
                    ? "no memory for the certificates of TLS"
                    : apr_psprintf(pool, "%s %s cannot be used: %s", settings[wrong], trust.files[wrong],
                                   why != NULL ? why : "it is not what it should be");
    }
    ERR_clear_error();
    unload_trust(&trust);
    return error;
}
