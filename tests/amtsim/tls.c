/* SPDX-License-Identifier: Apache-2.0 */
#include "tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DAY 86400L
#define HEAVY_CHAIN 150 /* certificates */
#define PESTERED 500    /* messages of TLS that say nothing */

static struct {
    SSL_CTX *context;
    EVP_PKEY *ca_key, *shared_key, *heavy_key;
    X509 *ca;
    bool rsa, key_per_pc;
} tls;

static EVP_PKEY *new_key(void)
{
    return tls.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
}

static bool set_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}

static bool set_serial(X509 *certificate)
{
    unsigned char random[16];

    RAND_bytes(random, sizeof(random));
    random[0] &= 0x7f; /* positive */
    random[0] |= 0x40;
    BIGNUM *number = BN_bin2bn(random, sizeof(random), NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return ok;
}

static X509 *new_certificate(const char *name, EVP_PKEY *key, long not_before, long not_after)
{
    X509 *certificate = X509_new();

    if (!certificate)
        return NULL;
    X509_NAME *subject = X509_get_subject_name(certificate);
    bool ok =
        X509_set_version(certificate, X509_VERSION_3) && set_serial(certificate) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), not_before) &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), not_after) &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) &&
        X509_set_pubkey(certificate, key);
    if (ok)
        return certificate;
    X509_free(certificate);
    return NULL;
}

/* Named after its domain, so that a client of two simulators tells them apart. */
static X509 *new_ca(EVP_PKEY *key, const char *domain)
{
    char name[64];
    X509 *ca;

    snprintf(name, sizeof(name), "Simulated AMT fleet CA of %.30s", domain);
    ca = new_certificate(name, key, -DAY, 365 * DAY);
    if (ca && X509_set_issuer_name(ca, X509_get_subject_name(ca)) &&
        set_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE") &&
        set_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        set_extension(ca, ca, NID_subject_key_identifier, "hash") && X509_sign(ca, key, EVP_sha256()))
        return ca;
    X509_free(ca);
    return NULL;
}

static bool finish_leaf(X509 *leaf, X509 *issuer, EVP_PKEY *issuer_key, const char *name)
{
    char san[160];

    snprintf(san, sizeof(san), "DNS:%s", name);
    return X509_set_issuer_name(leaf, X509_get_subject_name(issuer)) &&
           set_extension(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           set_extension(leaf, issuer, NID_key_usage, "critical,digitalSignature,keyEncipherment") &&
           set_extension(leaf, issuer, NID_ext_key_usage, "serverAuth") &&
           set_extension(leaf, issuer, NID_subject_alt_name, san) &&
           X509_sign(leaf, issuer_key, EVP_sha256());
}

static X509 *new_leaf(const char *name, EVP_PKEY *key, bool self_signed, long not_before, long not_after)
{
    X509 *leaf = new_certificate(name, key, not_before, not_after);

    if (leaf && finish_leaf(leaf, self_signed ? leaf : tls.ca, self_signed ? key : tls.ca_key, name))
        return leaf;
    X509_free(leaf);
    return NULL;
}

static X509 *leaf_for(struct pc *pc)
{
    if (!pc_has(pc, FAULT_WRONG_CERTIFICATE))
        return new_leaf(pc->fqdn, pc->key, false, -DAY, 300 * DAY);
    switch (pc->wrong_certificate) {
    case CERTIFICATE_WRONG_NAME:
        return new_leaf("somebody-else.invalid", pc->key, false, -DAY, 300 * DAY);
    case CERTIFICATE_EXPIRED:
        return new_leaf(pc->fqdn, pc->key, false, -30 * DAY, -DAY);
    default:
        return new_leaf(pc->fqdn, pc->key, true, -DAY, 300 * DAY);
    }
}

/* Keys and certificates are made when a PC is first spoken to: a large fleet starts at once. */
static bool make_certificate(struct pc *pc)
{
    if (!pc->key && tls.key_per_pc)
        pc->key = new_key();
    else if (!pc->key && EVP_PKEY_up_ref(tls.shared_key))
        pc->key = tls.shared_key;
    if (!pc->key)
        return false;
    if (pc->certificate && pc->certificate_wrong == pc_has(pc, FAULT_WRONG_CERTIFICATE) &&
        pc->certificate_kind == pc->wrong_certificate)
        return true;
    X509_free(pc->certificate);
    pc->certificate = leaf_for(pc);
    pc->certificate_wrong = pc_has(pc, FAULT_WRONG_CERTIFICATE);
    pc->certificate_kind = pc->wrong_certificate;
    return pc->certificate != NULL;
}

/* Only RSA signs for such a group. */
static bool use_rsa(const struct pc *pc, SSL *ssl)
{
    X509 *leaf;
    bool ok;

    if (!tls.heavy_key)
        tls.heavy_key = EVP_RSA_gen(2048);
    leaf = tls.heavy_key ? new_leaf(pc->fqdn, tls.heavy_key, false, -DAY, 300 * DAY) : NULL;
    ok = leaf && SSL_use_certificate(ssl, leaf) == 1 && SSL_use_PrivateKey(ssl, tls.heavy_key) == 1;
    X509_free(leaf);
    return ok;
}

/* A group that costs its client much: 8,192 bits. */
static bool use_heavy_key(const struct pc *pc, SSL *ssl)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    EVP_PKEY *group = NULL;
    OSSL_PARAM which[] = {OSSL_PARAM_construct_utf8_string("group", (char *)"ffdhe8192", 0),
                          OSSL_PARAM_construct_end()};
    bool ok = context && EVP_PKEY_paramgen_init(context) > 0 && EVP_PKEY_CTX_set_params(context, which) > 0 &&
              EVP_PKEY_paramgen(context, &group) > 0 && SSL_set0_tmp_dh_pkey(ssl, group) == 1;

    EVP_PKEY_CTX_free(context);
    return ok && use_rsa(pc, ssl) && SSL_set_max_proto_version(ssl, TLS1_2_VERSION) &&
           SSL_set_cipher_list(ssl, "DHE");
}

/* Its own certificate, and the issuer's as often as nobody needs it. */
static bool use_heavy_chain(SSL *ssl)
{
    bool ok = true;

    for (int i = 0; ok && i < HEAVY_CHAIN; i++)
        ok = SSL_add1_chain_cert(ssl, tls.ca) == 1;
    return ok;
}

static bool offers_tls13(SSL *ssl)
{
    const unsigned char *versions = NULL;
    size_t length = 0;

    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &versions, &length))
        return false;
    for (size_t i = 1; i + 1 < length; i += 2) {
        if (versions[i] == 0x03 && versions[i + 1] == 0x04)
            return true;
    }
    return false;
}

static int on_hello(SSL *ssl, int *alert, void *unused)
{
    const struct pc *pc = SSL_get_app_data(ssl);

    (void)unused;
    *alert = SSL_AD_INTERNAL_ERROR;
    if (!pc_has(pc, FAULT_BREAKS_TLS13) || !offers_tls13(ssl))
        return SSL_CLIENT_HELLO_SUCCESS;
    shutdown(SSL_get_fd(ssl), SHUT_RDWR); /* the alert goes nowhere */
    return SSL_CLIENT_HELLO_ERROR;
}

static bool set_faults(const struct pc *pc, SSL *ssl)
{
    if (pc_has(pc, FAULT_HELLO_REQUESTS)) {
        SSL_clear_options(ssl, SSL_OP_NO_RENEGOTIATION);
        SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    }
    if (pc_has(pc, FAULT_HEAVY_CHAIN) && !use_heavy_chain(ssl))
        return false;
    return !pc_has(pc, FAULT_HEAVY_KEY) || use_heavy_key(pc, ssl);
}

/* The stream encrypts with the newest key, whatever the client makes of that. */
void tls_pester(const struct pc *pc, SSL *ssl)
{
    bool ok = pc_has(pc, FAULT_HELLO_REQUESTS) || pc_has(pc, FAULT_KEY_UPDATES);

    for (int i = 0; ok && i < PESTERED; i++) {
        ok = pc_has(pc, FAULT_HELLO_REQUESTS) ? SSL_renegotiate(ssl)
                                              : SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
        ok = ok && SSL_do_handshake(ssl) == 1;
    }
    ERR_clear_error();
}

SSL *tls_accept(struct pc *pc)
{
    SSL *ssl = make_certificate(pc) ? SSL_new(tls.context) : NULL;

    if (ssl && SSL_use_certificate(ssl, pc->certificate) == 1 && SSL_use_PrivateKey(ssl, pc->key) == 1 &&
        SSL_set_app_data(ssl, pc) && set_faults(pc, ssl))
        return ssl;
    SSL_free(ssl);
    return NULL;
}

static bool set_versions(const struct options *options)
{
    if (options->tls == TLS_LEGACY)
        return SSL_CTX_set_min_proto_version(tls.context, TLS1_VERSION) &&
               SSL_CTX_set_max_proto_version(tls.context, TLS1_1_VERSION) &&
               SSL_CTX_set_cipher_list(tls.context, "DEFAULT:@SECLEVEL=0");
    return SSL_CTX_set_min_proto_version(tls.context, TLS1_2_VERSION) &&
           SSL_CTX_set_max_proto_version(tls.context, options->tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
}

static bool write_ca(const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

    if (!out) {
        perror(file);
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool ok = PEM_write_X509(out, tls.ca) == 1;
    return fclose(out) == 0 && ok;
}

int tls_setup(const struct options *options, const char *file)
{
    tls.rsa = options->rsa;
    tls.key_per_pc = options->key_per_pc;
    tls.context = SSL_CTX_new(TLS_server_method());
    tls.ca_key = new_key();
    tls.shared_key = tls.key_per_pc ? NULL : new_key();
    tls.ca = tls.ca_key ? new_ca(tls.ca_key, options->domain) : NULL;
    if (!tls.context || !tls.ca || (!tls.key_per_pc && !tls.shared_key) || !set_versions(options)) {
        ERR_print_errors_fp(stderr);
        return -1;
    }
    SSL_CTX_set_client_hello_cb(tls.context, on_hello, NULL);
    /* no resumption is known of firmware: every connection pays for its handshake */
    SSL_CTX_set_session_cache_mode(tls.context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(tls.context,
                        SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls.context, SSL_MODE_RELEASE_BUFFERS);
    return write_ca(file) ? 0 : -1;
}

void tls_free(struct pc *pcs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        X509_free(pcs[i].certificate);
        EVP_PKEY_free(pcs[i].key);
    }
    X509_free(tls.ca);
    EVP_PKEY_free(tls.ca_key);
    EVP_PKEY_free(tls.shared_key);
    EVP_PKEY_free(tls.heavy_key);
    SSL_CTX_free(tls.context);
    memset(&tls, 0, sizeof(tls));
}
