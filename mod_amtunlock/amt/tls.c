/* Which TLS peer is believed: a CA bundle and the name, or one pinned certificate. Also why a handshake
 * failed: libcurl has one code for a refused version and for a cable that was pulled; the TLS alert tells
 * them apart. */
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "amt/device.h"

/* Where SSL_CTX keeps our device. */
static int device_index = -1;

apr_status_t amt_tls_library_init(void)
{
    if (device_index < 0) {
        device_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    }
    return device_index < 0 ? APR_ENOMEM : APR_SUCCESS;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

apr_status_t amt_tls_parse_pin(unsigned char pin[32], const char *text)
{
    if (!text || strlen(text) != 64) {
        return APR_EINVAL;
    }
    for (size_t i = 0; i < 32; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return APR_EINVAL;
        }
        pin[i] = (unsigned char)(high << 4 | low);
    }
    return APR_SUCCESS;
}

static void write_hex(char *out, const unsigned char *bytes, unsigned int length)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned int i = 0; i < length; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

/* Stands in for chain and name: the leaf certificate is the pinned one, or the handshake fails. */
static int verify_pin(X509_STORE_CTX *store, void *baton)
{
    amt_device_t *device = baton;
    const X509 *leaf = X509_STORE_CTX_get0_cert(store);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    if (!leaf || !X509_digest(leaf, EVP_sha256(), digest, &length) || length != sizeof(device->pin)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
        return 0;
    }
    if (CRYPTO_memcmp(digest, device->pin, length) != 0) {
        write_hex(device->pin_seen, digest, length);
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* Remembers a fatal alert, sent or received. */
static void note_alert(const SSL *ssl, int where, int value)
{
    amt_device_t *device = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), device_index);

    if (device && (where & SSL_CB_ALERT) && (value >> 8) == SSL3_AL_FATAL) {
        device->alert = value & 0xff;
    }
}

/* CURLOPT_SSL_CTX_FUNCTION: the last word before the handshake. */
static CURLcode adjust_context(CURL *easy, void *context, void *baton)
{
    SSL_CTX *ctx = context;
    amt_device_t *device = baton;

    (void)easy;
    device->alert = -1;
    device->pin_seen[0] = '\0';
    if (!SSL_CTX_set_ex_data(ctx, device_index, device)) {
        return CURLE_OUT_OF_MEMORY;
    }
    SSL_CTX_set_info_callback(ctx, note_alert);
    /* 34 KiB a connection that thousands of idle ones need not hold */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (device->target.tls == AMT_TLS_PIN) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, verify_pin, device);
    }
    if (device->target.tls == AMT_TLS_LEGACY) {
        /* TLS 1.0 and 1.1 sign with SHA-1 and MD5, below OpenSSL's default level; old firmware also knows no
         * secure renegotiation (we never renegotiate). */
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
    }
    return CURLE_OK;
}

CURLcode amt_tls_set_options(amt_device_t *device)
{
    amt_tls_e tls = device->target.tls;
    long version = tls == AMT_TLS_LEGACY ? CURL_SSLVERSION_TLSv1_0 : CURL_SSLVERSION_TLSv1_2;
    long chain = tls != AMT_TLS_PIN; /* a pin is checked in libcurl's place, by verify_pin() */
    CURL *easy = device->easy;
    CURLcode rc = CURLE_OK;

    if (tls == AMT_TLS_NONE) {
        return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    }
    AMT_SET(rc, easy, CURLOPT_PROTOCOLS_STR, "https");
    AMT_SET(rc, easy, CURLOPT_SSLVERSION, version);
    AMT_SET(rc, easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    AMT_SET(rc, easy, CURLOPT_SSL_VERIFYPEER, chain);
    AMT_SET(rc, easy, CURLOPT_SSL_VERIFYHOST, chain ? 2L : 0L);
    AMT_SET(rc, easy, CURLOPT_CAINFO, chain ? device->target.ca_file : NULL);
    /* also because libcurl shares one parsed bundle between all devices only where there is no folder */
    AMT_SET(rc, easy, CURLOPT_CAPATH, NULL);
    /* a bundle that was replaced is read again after a minute */
    AMT_SET(rc, easy, CURLOPT_CA_CACHE_TIMEOUT, 60L);
    AMT_SET(rc, easy, CURLOPT_SSL_CTX_DATA, device);
    AMT_SET(rc, easy, CURLOPT_SSL_CTX_FUNCTION, adjust_context);
    return rc;
}
