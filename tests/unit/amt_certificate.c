/* SPDX-License-Identifier: Apache-2.0 */
#include "amt_certificate.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

void certificate_make(certificate_t *out, const char *name, const certificate_t *issuer, long from,
                      long until)
{
    certificate_make_for(out, EVP_EC_gen("P-256"), name, issuer, from, until);
}

void certificate_make_for(certificate_t *out, EVP_PKEY *key, const char *name, const certificate_t *issuer,
                          long from, long until)
{
    static long serial = 1;
    X509_NAME *subject;
    char names[300];

    out->key = key;
    out->certificate = X509_new();
    assert_true(out->key && out->certificate);
    if (!issuer) {
        issuer = out;
    }
    X509_set_version(out->certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(out->certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(out->certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(out->certificate), until);
    X509_set_pubkey(out->certificate, out->key);
    subject = X509_get_subject_name(out->certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(out->certificate, X509_get_subject_name(issuer->certificate));
    snprintf(names, sizeof(names), "DNS:%s", name);
    add_extension(out->certificate, issuer->certificate, NID_subject_alt_name, names);
    add_extension(out->certificate, issuer->certificate, NID_basic_constraints,
                  issuer == out ? "critical,CA:TRUE" : "CA:FALSE");
    assert_true(X509_sign(out->certificate, issuer->key, EVP_sha256()) > 0);
}

void certificate_free(certificate_t *certificate)
{
    EVP_PKEY_free(certificate->key);
    X509_free(certificate->certificate);
}

void certificate_pin(char pin[65], const certificate_t *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    assert_int_equal(X509_digest(certificate->certificate, EVP_sha256(), digest, &length), 1);
    for (unsigned int i = 0; i < length; i++) {
        snprintf(pin + 2 * (size_t)i, 3, "%02x", digest[i]);
    }
}

void certificate_save(const certificate_t *certificate, const char *path)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate->certificate), 1);
    assert_int_equal(fclose(file), 0);
}

void certificate_save_key(const certificate_t *certificate, const char *path)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    assert_int_equal(PEM_write_PrivateKey(file, certificate->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
}

static void revoke(X509_CRL *crl, const certificate_t *revoked, const ASN1_TIME *at)
{
    X509_REVOKED *entry = X509_REVOKED_new();

    assert_non_null(entry);
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->certificate));
    X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)at);
    assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
}

void certificate_save_crl(const certificate_t *issuer, const certificate_t *revoked, long from, long until,
                          const char *path)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *last = X509_gmtime_adj(NULL, from);
    ASN1_TIME *next = X509_gmtime_adj(NULL, until);
    FILE *file = fopen(path, "we");

    assert_true(crl && last && next && file);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->certificate));
    X509_CRL_set1_lastUpdate(crl, last);
    X509_CRL_set1_nextUpdate(crl, next);
    if (revoked) {
        revoke(crl, revoked, last);
    }
    assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509_CRL(file, crl), 1);
    assert_int_equal(fclose(file), 0);
    ASN1_TIME_free(last);
    ASN1_TIME_free(next);
    X509_CRL_free(crl);
}

SSL_CTX *certificate_server(const certificate_t *certificate, int max_version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0); /* this server may be as old as a test wants */
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, max_version);
    assert_int_equal(SSL_CTX_use_certificate(ctx, certificate->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, certificate->key), 1);
    return ctx;
}

static int offers_tls13(SSL *ssl)
{
    const unsigned char *versions = NULL;
    size_t length = 0;

    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &versions, &length)) {
        return 0;
    }
    for (size_t i = 1; i + 1 < length; i += 2) {
        if (versions[i] == 3 && versions[i + 1] == 4) {
            return 1;
        }
    }
    return 0;
}

static int break_at_hello(SSL *ssl, int *alert, void *how)
{
    if (!offers_tls13(ssl)) {
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    if (*(const certificate_break_e *)how == BREAKS_SILENTLY) {
        shutdown(SSL_get_fd(ssl), SHUT_RDWR);
    }
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

static void break_when_done(const SSL *ssl, int where, int value)
{
    (void)value;
    if ((where & SSL_CB_HANDSHAKE_DONE) && SSL_version(ssl) == TLS1_3_VERSION) {
        shutdown(SSL_get_fd(ssl), SHUT_RDWR);
        /* or a request that has come already would be read */
        SSL_set_shutdown((SSL *)ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
}

void certificate_break_tls13(SSL_CTX *ctx, certificate_break_e how)
{
    static certificate_break_e kinds[] = {BREAKS_WITH_ALERT, BREAKS_SILENTLY};

    if (how == BREAKS_LATE) {
        SSL_CTX_set_info_callback(ctx, break_when_done);
    }
    else {
        SSL_CTX_set_client_hello_cb(ctx, break_at_hello, &kinds[how == BREAKS_SILENTLY]);
    }
}
