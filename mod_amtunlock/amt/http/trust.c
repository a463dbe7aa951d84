/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/trust_priv.h"

#include <apr_strings.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/owned_file.h"

#define TRUST_LIFE apr_time_from_sec(60)
#define TRUST_OLDEST apr_time_from_sec(120) /* of what is kept because a file is written again and again */
#define TRUST_AGAIN apr_time_from_sec(1)    /* where a file cannot be used, or is being written */
#ifdef AMTUNLOCK_TEST
#undef TRUST_LIFE
#define TRUST_LIFE clock_test_interval("AMTUNLOCK_TEST_TRUST_MS", apr_time_from_sec(60))
#endif

enum { FILE_CA, FILE_CRL, FILE_CERTIFICATE, FILE_KEY, FILES };

/* What OpenSSL counts references of. */
typedef struct {
    X509_STORE *store; /* NULL: nothing is parsed */
    X509 *certificate;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
} parsed_t;

struct amt_trust_t {
    const char *files[FILES]; /* "": none */
    apr_time_t made, due;     /* by clock_monotonic(): when they were parsed last, and are next */
    parsed_t parsed;
    SSL_CTX *contexts[AMT_TLS_NONE]; /* by kind of trust */
    amt_trust_t *next;
};

/* What could be parsed last, by whichever thread: an editor or a copy leaves a file half written for a moment. One for
 * each set of files that a process ever had; never freed. */
typedef struct good_t {
    const char *files[FILES];
    parsed_t parsed;
    int failing; /* that was logged */
    struct good_t *next;
} good_t;

static good_t *goods;
static pthread_mutex_t goods_lock = PTHREAD_MUTEX_INITIALIZER;

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

/* Contexts and connections hold references to what they use. */
static void free_parsed(parsed_t *parsed)
{
    X509_STORE_free(parsed->store);
    X509_free(parsed->certificate);
    sk_X509_pop_free(parsed->chain, X509_free);
    EVP_PKEY_free(parsed->key);
    memset(parsed, 0, sizeof(*parsed));
}

/* Zero: memory is out, and *to is as it was. */
static int share_parsed(parsed_t *to, const parsed_t *from)
{
    STACK_OF(X509) *chain = from->chain != NULL ? X509_chain_up_ref(from->chain) : NULL;

    if (from->chain != NULL && chain == NULL) {
        return 0;
    }
    X509_STORE_up_ref(from->store);
    if (from->certificate != NULL) {
        X509_up_ref(from->certificate);
    }
    if (from->key != NULL) {
        EVP_PKEY_up_ref(from->key);
    }
    free_parsed(to);
    *to = (parsed_t){from->store, from->certificate, chain, from->key};
    return 1;
}

static void free_contexts(amt_trust_t *trust)
{
    for (int i = 0; i < AMT_TLS_NONE; i++) {
        SSL_CTX_free(trust->contexts[i]);
        trust->contexts[i] = NULL;
    }
}

/* ---- parsing: each returns whether its file could be used -------------------------------------- */

static int load_ca(parsed_t *parsed, const char *file)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(parsed->store, X509_LOOKUP_file());

    /* Whatever is in the bundle is trusted, self-signed or not. */
    return lookup != NULL && X509_load_cert_file(lookup, file, X509_FILETYPE_PEM) > 0 &&
           X509_STORE_set_flags(parsed->store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
}

/* Each issuer in the chain must have a list: a certificate that is on none could be revoked. */
static int load_crl(parsed_t *parsed, const char *file)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(parsed->store, X509_LOOKUP_file());

    return lookup != NULL && X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) > 0 &&
           X509_VERIFY_PARAM_clear_flags(X509_STORE_get0_param(parsed->store), X509_V_FLAG_PARTIAL_CHAIN) &&
           X509_STORE_set_flags(parsed->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
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
static int load_certificate(parsed_t *parsed, const char *file)
{
    BIO *bio = BIO_new_file(file, "re");
    X509 *issuer;
    int well = 1;

    parsed->certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    parsed->chain = sk_X509_new_null();
    if (parsed->certificate == NULL || parsed->chain == NULL) {
        BIO_free(bio);
        return 0;
    }
    while (well && (issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        well = sk_X509_push(parsed->chain, issuer) > 0;
        if (!well) {
            X509_free(issuer);
        }
    }
    BIO_free(bio);
    return well && pem_ended();
}

static int load_key(parsed_t *parsed, const char *file)
{
    BIO *bio = BIO_new_file(file, "re");
    char none[] = ""; /* no passphrase, so that OpenSSL does not ask for one on a terminal */

    parsed->key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, none) : NULL;
    BIO_free(bio);
    return parsed->key != NULL && parsed->certificate != NULL &&
           X509_check_private_key(parsed->certificate, parsed->key) == 1;
}

static int (*const loaders[FILES])(parsed_t *parsed, const char *file) = {
    [FILE_CA] = load_ca, [FILE_CRL] = load_crl, [FILE_CERTIFICATE] = load_certificate, [FILE_KEY] = load_key};

/* The index of the file that cannot be used; FILES where all can; -1 where memory is out. */
static int load_files(parsed_t *parsed, const char *const files[FILES])
{
    ERR_clear_error();
    parsed->store = X509_STORE_new();
    if (parsed->store == NULL) {
        return -1;
    }
    for (int i = 0; i < FILES; i++) {
        if (files[i][0] && !loaders[i](parsed, files[i])) {
            return i;
        }
    }
    return FILES;
}

/* ---- keeping --------------------------------------------------------------------------------- */

static int are_same(const char *const files[FILES], const char *const others[FILES])
{
    int same = 1;

    for (int i = 0; i < FILES; i++) {
        same &= strcmp(files[i], others[i]) == 0;
    }
    return same;
}

static amt_trust_t *find_files(const amt_trusts_t *trusts, const char *files[FILES])
{
    amt_trust_t *trust = trusts->first;

    while (trust != NULL && !are_same(trust->files, files)) {
        trust = trust->next;
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

/* ---- the last good ones (under the lock) ------------------------------------------------------ */

static good_t *find_good(const char *const files[FILES])
{
    good_t *good = goods;

    while (good != NULL && !are_same(good->files, files)) {
        good = good->next;
    }
    return good;
}

/* The names stand behind it. */
static good_t *add_good(const char *const files[FILES])
{
    size_t size = sizeof(good_t);
    good_t *good = NULL;
    char *at = NULL;

    for (int i = 0; i < FILES; i++) {
        size += strlen(files[i]) + 1;
    }
    good = calloc(1, size);
    if (good == NULL) {
        return NULL;
    }
    at = (char *)(good + 1);
    for (int i = 0; i < FILES; i++) {
        size = strlen(files[i]) + 1;
        good->files[i] = memcpy(at, files[i], size);
        at += size;
    }
    good->next = goods;
    goods = good;
    return good;
}

static void keep_good(const char *const files[FILES], const parsed_t *parsed)
{
    good_t *good = NULL;

    pthread_mutex_lock(&goods_lock);
    good = find_good(files);
    if (good == NULL) {
        good = add_good(files);
    }
    if (good != NULL && share_parsed(&good->parsed, parsed) && good->failing) {
        good->failing = 0;
        log_info("AMTU0455", "the files of TLS can be used again", "ca-file", files[FILE_CA], "crl-file",
                 files[FILE_CRL]);
    }
    pthread_mutex_unlock(&goods_lock);
}

/* Where file `wrong` cannot be used now. Zero: there is none. */
static int take_good(parsed_t *parsed, const char *const files[FILES], int wrong)
{
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    good_t *good = NULL;
    int taken = 0;

    pthread_mutex_lock(&goods_lock);
    good = find_good(files);
    taken = good != NULL && good->parsed.store != NULL && share_parsed(parsed, &good->parsed);
    if (taken && !good->failing) {
        good->failing = 1;
        log_warn("AMTU0454", "a file of TLS cannot be used now: it counts as it was before", "file",
                 wrong < 0 ? "" : files[wrong], "text", why != NULL ? why : "it is not what it should be");
    }
    pthread_mutex_unlock(&goods_lock);
    return taken;
}

/* ---- finding ---------------------------------------------------------------------------------- */

/* What is there of one that is being written could be parsed, but would not be all. */
static int are_settling(const char *const files[FILES])
{
    struct stat info;

    for (int i = 0; i < FILES; i++) {
        if (files[i][0] && stat(files[i], &info) == 0 && owned_file_settles(&info)) {
            return 1;
        }
    }
    return 0;
}

/* Parses the files, or goes on with what they held. Zero: they cannot be used, and never could. */
static int renew_trust(amt_trust_t *trust, const char **file)
{
    apr_time_t now = clock_monotonic();
    parsed_t parsed = {.store = NULL};
    int wrong;

    trust->due = now + TRUST_AGAIN;
    if (trust->parsed.store != NULL && now - trust->made < TRUST_OLDEST && are_settling(trust->files)) {
        return 1;
    }
    wrong = load_files(&parsed, trust->files);
    if (wrong == FILES) {
        keep_good(trust->files, &parsed);
        trust->made = now;
        trust->due = now + TRUST_LIFE;
    }
    else if (!take_good(&parsed, trust->files, wrong)) {
        *file = wrong < 0 ? NULL : trust->files[wrong];
        free_parsed(&parsed);
        return 0;
    }
    free_contexts(trust);
    free_parsed(&trust->parsed);
    trust->parsed = parsed;
    return 1;
}

amt_trust_t *amt_trust_find(amt_trusts_t *trusts, const amt_target_t *target, const char **file)
{
    const char *files[FILES];
    amt_trust_t *trust;

    trust_files(files, target);
    trust = find_files(trusts, files);
    if (trust == NULL) {
        trust = add_files(trusts, files);
    }
    if (trust->parsed.store != NULL && clock_monotonic() < trust->due) {
        return trust;
    }
    return renew_trust(trust, file) ? trust : NULL;
}

int amt_trust_use(const amt_trust_t *trust, SSL_CTX *ctx)
{
    SSL_CTX_set1_cert_store(ctx, trust->parsed.store);
    return trust->parsed.key == NULL || (SSL_CTX_use_certificate(ctx, trust->parsed.certificate) == 1 &&
                                         SSL_CTX_use_PrivateKey(ctx, trust->parsed.key) == 1 &&
                                         SSL_CTX_set1_chain(ctx, trust->parsed.chain) == 1);
}

SSL_CTX **amt_trust_context(amt_trust_t *trust, amt_tls_e tls)
{
    return &trust->contexts[tls];
}

static apr_status_t trusts_cleanup(void *baton)
{
    const amt_trusts_t *trusts = baton;

    for (amt_trust_t *trust = trusts->first; trust != NULL; trust = trust->next) {
        free_contexts(trust);
        free_parsed(&trust->parsed);
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
    const char *named[FILES];
    parsed_t parsed = {.store = NULL};
    const char *error = NULL;
    const char *why;
    int wrong;

    trust_files(named, files);
    if (!named[FILE_CERTIFICATE][0] != !named[FILE_KEY][0]) {
        return "tls-certificate and tls-key are set together, or neither is";
    }
    if (named[FILE_KEY][0]) {
        error = owned_file_check(settings[FILE_KEY], named[FILE_KEY], pool);
    }
    if (error != NULL) {
        return error;
    }
    wrong = load_files(&parsed, named);
    why = ERR_reason_error_string(ERR_peek_last_error());
    if (wrong != FILES) {
        error = wrong < 0 ? "no memory for the certificates of TLS"
                          : apr_psprintf(pool, "%s %s cannot be used: %s", settings[wrong], named[wrong],
                                         why != NULL ? why : "it is not what it should be");
    }
    else {
        keep_good(named, &parsed);
    }
    ERR_clear_error();
    free_parsed(&parsed);
    return error;
}
