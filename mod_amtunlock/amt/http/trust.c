/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/trust_priv.h"

#include <apr_strings.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "amt/http/device.h"
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

static void name_files(const char *files[FILES], const amt_target_t *target)
{
    const char *given[FILES] = {target->tls == AMT_TLS_PIN ? NULL : target->ca_file,
                                target->tls == AMT_TLS_PIN ? NULL : target->crl_file,
                                target->certificate_file, target->key_file};

    for (int i = 0; i < FILES; i++) {
        files[i] = given[i] ? given[i] : "";
    }
}

/* What is parsed goes; contexts and connections under way hold what they use. */
static void drop(amt_trust_t *trust)
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

    /* The bundle says who is believed, whether it signed itself or not. */
    return lookup && X509_load_cert_file(lookup, file, X509_FILETYPE_PEM) > 0 &&
           X509_STORE_set_flags(trust->store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
}

/* A list of everybody in the chain must be there: what cannot be looked up may be revoked. */
static int load_crl(amt_trust_t *trust, const char *file)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(trust->store, X509_LOOKUP_file());

    return lookup && X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) > 0 &&
           X509_VERIFY_PARAM_clear_flags(X509_STORE_get0_param(trust->store), X509_V_FLAG_PARTIAL_CHAIN) &&
           X509_STORE_set_flags(trust->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
}

static int ends_well(void)
{
    unsigned long error = ERR_peek_last_error();
    int at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

    if (at_end) {
        ERR_clear_error();
    }
    return at_end;
}

/* Ours first, then those that lead from it to an authority that devices know. */
static int load_certificate(amt_trust_t *trust, const char *file)
{
    BIO *bio = BIO_new_file(file, "re");
    X509 *issuer;
    int well = 1;

    trust->certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    trust->chain = sk_X509_new_null();
    if (!trust->certificate || !trust->chain) {
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
    return well && ends_well();
}

static int load_key(amt_trust_t *trust, const char *file)
{
    BIO *bio = BIO_new_file(file, "re");
    char none[] = ""; /* for a passphrase: a worker has no terminal to ask for one at */

    trust->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, none) : NULL;
    BIO_free(bio);
    return trust->key && trust->certificate && X509_check_private_key(trust->certificate, trust->key) == 1;
}

static int (*const loaders[FILES])(amt_trust_t *trust, const char *file) = {
    [FILE_CA] = load_ca, [FILE_CRL] = load_crl, [FILE_CERTIFICATE] = load_certificate, [FILE_KEY] = load_key};

/* The index of the file that cannot be used; FILES where all can; -1 where memory is out. */
static int parse(amt_trust_t *trust)
{
    ERR_clear_error();
    trust->store = X509_STORE_new();
    if (!trust->store) {
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

static amt_trust_t *find(amt_loop_t *loop, const char *files[FILES])
{
    amt_trust_t *trust = loop->trust;
    int same = 0;

    while (trust && !same) {
        same = 1;
        for (int i = 0; i < FILES; i++) {
            same &= strcmp(trust->files[i], files[i]) == 0;
        }
        trust = same ? trust : trust->next;
    }
    return trust;
}

static amt_trust_t *add(amt_loop_t *loop, const char *files[FILES])
{
    amt_trust_t *trust = apr_pcalloc(loop->pool, sizeof(*trust));

    for (int i = 0; i < FILES; i++) {
        trust->files[i] = apr_pstrdup(loop->pool, files[i]);
    }
    trust->next = loop->trust;
    loop->trust = trust;
    return trust;
}

amt_trust_t *amt_trust_of(amt_loop_t *loop, const amt_target_t *target, const char **file)
{
    const char *files[FILES];
    apr_time_t now = apr_time_now();
    amt_trust_t *trust;
    int wrong;

    name_files(files, target);
    trust = find(loop, files);
    if (!trust) {
        trust = add(loop, files);
    }
    if (trust->made && now >= trust->made && now - trust->made < trust_life) {
        return trust;
    }
    drop(trust);
    wrong = parse(trust);
    if (wrong != FILES) {
        *file = wrong < 0 ? NULL : trust->files[wrong];
        drop(trust);
        return NULL;
    }
    trust->made = now;
    return trust;
}

int amt_trust_use(const amt_trust_t *trust, SSL_CTX *ctx)
{
    SSL_CTX_set1_cert_store(ctx, trust->store);
    return !trust->key ||
           (SSL_CTX_use_certificate(ctx, trust->certificate) == 1 &&
            SSL_CTX_use_PrivateKey(ctx, trust->key) == 1 && SSL_CTX_set1_chain(ctx, trust->chain) == 1);
}

SSL_CTX **amt_trust_context(amt_trust_t *trust, amt_tls_e tls)
{
    return &trust->contexts[tls];
}

void amt_trust_forget(amt_loop_t *loop)
{
    for (amt_trust_t *trust = loop->trust; trust; trust = trust->next) {
        drop(trust);
    }
}

/* ---- before anything is built on it ------------------------------------------------------------ */

const char *amt_trust_check(const amt_target_t *files, apr_pool_t *pool)
{
    static const char *const settings[FILES] = {"ca-file", "crl-file", "tls-certificate", "tls-key"};
    amt_trust_t trust = {.made = 0};
    const char *error = NULL;
    const char *why;
    int wrong;

    name_files(trust.files, files);
    if (!trust.files[FILE_CERTIFICATE][0] != !trust.files[FILE_KEY][0]) {
        return "tls-certificate and tls-key are set together, or neither is";
    }
    if (trust.files[FILE_KEY][0]) {
        error = owned_file_check(settings[FILE_KEY], trust.files[FILE_KEY], pool);
    }
    if (error) {
        return error;
    }
    wrong = parse(&trust);
    why = ERR_reason_error_string(ERR_peek_last_error());
    if (wrong != FILES) {
        error = wrong < 0 ? "no memory for the certificates of TLS"
                          : apr_psprintf(pool, "%s %s cannot be used: %s", settings[wrong],
                                         trust.files[wrong], why ? why : "it is not what it should be");
    }
    ERR_clear_error();
    drop(&trust);
    return error;
}
