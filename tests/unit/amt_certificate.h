/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for test devices, made on the spot. */
#ifndef TESTS_UNIT_AMT_CERTIFICATE_H
#define TESTS_UNIT_AMT_CERTIFICATE_H

#include <openssl/ssl.h>

typedef struct {
    EVP_PKEY *key;
    X509 *certificate;
} certificate_t;

/* A certificate for this DNS name, valid from `from` to `until` (seconds from now), by `issuer` (NULL:
 * self-signed; it may then issue others). Fails the test where it cannot. */
void certificate_make(certificate_t *out, const char *name, const certificate_t *issuer, long from,
                      long until);
/* The same with this key, which it owns then. */
void certificate_make_for(certificate_t *out, EVP_PKEY *key, const char *name, const certificate_t *issuer,
                          long from, long until);
void certificate_free(certificate_t *certificate);

/* Lower-case hex SHA-256 of the DER form. */
void certificate_pin(char pin[65], const certificate_t *certificate);
/* Writes the certificate, or its key (mode 0600), in PEM to `path`. */
void certificate_save(const certificate_t *certificate, const char *path);
void certificate_save_key(const certificate_t *certificate, const char *path);
/* Writes what `issuer` revoked, `revoked` (NULL: nothing), in PEM to `path`; valid from `from` to `until`. */
void certificate_save_crl(const certificate_t *issuer, const certificate_t *revoked, long from, long until,
                          const char *path);
/* A server's context with this certificate and no newer protocol than `max_version` (0: the library's
 * newest). */
SSL_CTX *certificate_server(const certificate_t *certificate, int max_version);
/* Lets such a server break off where TLS 1.3 is offered: with an alert, without a word, or right behind the
 * handshake. */
typedef enum { BREAKS_WITH_ALERT = 1, BREAKS_SILENTLY, BREAKS_LATE } certificate_break_e;
void certificate_break_tls13(SSL_CTX *ctx, certificate_break_e how);

#endif
