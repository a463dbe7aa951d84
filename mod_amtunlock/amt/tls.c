/* Which TLS peer is believed: a CA bundle and the name, or one pinned certificate. Also why a handshake
 * failed: libcurl has one code for a refused version and for a cable that was pulled; the TLS alert tells
 * them apart. */
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "amt/device.h"

/* Where the peer is found: in the SSL_CTX that libcurl makes for one connection, in the SSL where sessions
 * share a context. */
static int context_index = -1;
static int session_index = -1;

apr_status_t amt_tls_library_init(void)
{
    if (context_index < 0) {
        context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    }
    if (session_index < 0) {
        session_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    }
    return context_index < 0 || session_index < 0 ? APR_ENOMEM : APR_SUCCESS;
}

static amt_tls_peer_t *peer_of(const SSL *ssl)
{
    amt_tls_peer_t *peer = SSL_get_ex_data(ssl, session_index);

    return peer ? peer : SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index);
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

/* Stands in for chain and name: the leaf certificate is the pinned one, or the handshake fails. */
static int verify_pin(X509_STORE_CTX *store, void *baton)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    amt_tls_peer_t *peer = peer_of(ssl);
    const X509 *leaf = X509_STORE_CTX_get0_cert(store);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    (void)baton;
    if (!leaf || !X509_digest(leaf, EVP_sha256(), digest, &length) || length != sizeof(peer->pin)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
        return 0;
    }
    if (CRYPTO_memcmp(digest, peer->pin, length) != 0) {
        amt_write_hex(peer->pin_seen, digest, length);
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* Of ours, bytes: holds what a redirection session sends at a time, and any call. */
#define LONGEST_RECORD 8704

/* Remembers a fatal alert, sent or received, and what was agreed on. */
static void note_handshake(const SSL *ssl, int where, int value)
{
    amt_tls_peer_t *peer = peer_of(ssl);

    if (peer && (where & SSL_CB_HANDSHAKE_DONE)) {
        peer->version = SSL_version(ssl);
    }
    if (peer && (where & SSL_CB_ALERT) && (value >> 8) == SSL3_AL_FATAL) {
        peer->alert = value & 0xff;
    }
}

/* What every context has, whoever made it. */
static void adjust(SSL_CTX *ctx, amt_tls_e tls)
{
    SSL_CTX_set_info_callback(ctx, note_handshake);
    /* 34 KiB a connection that thousands of idle ones need not hold; and less where all begin at once */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_max_send_fragment(ctx, LONGEST_RECORD);
    if (tls == AMT_TLS_PIN) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(ctx, verify_pin, NULL);
    }
    if (tls == AMT_TLS_LEGACY) {
        /* TLS 1.0 and 1.1 sign with SHA-1 and MD5, below OpenSSL's default level; old firmware also knows no
         * secure renegotiation (we never renegotiate). */
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
    }
}

/* ---- libcurl's connections ------------------------------------------------------------------- */

/* CURLOPT_SSL_CTX_FUNCTION: the last word before the handshake. */
static CURLcode adjust_context(CURL *easy, void *context, void *baton)
{
    amt_device_t *device = baton;

    (void)easy;
    device->tls.alert = -1;
    device->tls.pin_seen[0] = '\0';
    if (!SSL_CTX_set_ex_data(context, context_index, &device->tls)) {
        return CURLE_OUT_OF_MEMORY;
    }
    adjust(context, device->target.tls);
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

/* ---- other sessions -------------------------------------------------------------------------- */

/* A bundle that was replaced is read again after as long. */
static const apr_interval_time_t context_life = 60 * APR_USEC_PER_SEC;

/* One for each kind of trust and bundle that the settings name: a handful. */
struct amt_tls_context_t {
    amt_tls_e tls;
    const char *ca_file; /* "" for AMT_TLS_PIN */
    apr_time_t made;
    SSL_CTX *ctx; /* sessions under way hold it too */
    amt_tls_context_t *next;
};

static SSL_CTX *make_context(const amt_target_t *target, apr_status_t *rv)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    *rv = APR_ENOMEM;
    if (!ctx) {
        return NULL;
    }
    adjust(ctx, target->tls);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (!SSL_CTX_set_min_proto_version(ctx, target->tls == AMT_TLS_LEGACY ? TLS1_VERSION : TLS1_2_VERSION)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    if (target->tls != AMT_TLS_PIN) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        if (!SSL_CTX_load_verify_file(ctx, target->ca_file)) {
            *rv = APR_ENOENT;
            SSL_CTX_free(ctx);
            return NULL;
        }
    }
    return ctx;
}

/* The place for a target's context, which may be empty or too old. */
static amt_tls_context_t *find_context(amt_loop_t *loop, const amt_target_t *target)
{
    const char *ca_file = target->tls == AMT_TLS_PIN ? "" : target->ca_file;
    amt_tls_context_t *context = loop->tls;

    while (context && (context->tls != target->tls || strcmp(context->ca_file, ca_file) != 0)) {
        context = context->next;
    }
    if (!context) {
        context = apr_pcalloc(loop->pool, sizeof(*context));
        context->tls = target->tls;
        context->ca_file = apr_pstrdup(loop->pool, ca_file);
        context->next = loop->tls;
        loop->tls = context;
    }
    return context;
}

static SSL_CTX *current_context(amt_loop_t *loop, const amt_target_t *target, apr_status_t *rv)
{
    amt_tls_context_t *context = find_context(loop, target);
    apr_time_t now = apr_time_now();
    SSL_CTX *fresh;

    if (context->ctx && now >= context->made && now - context->made < context_life) {
        return context->ctx;
    }
    fresh = make_context(target, rv);
    if (fresh) {
        SSL_CTX_free(context->ctx);
        context->ctx = fresh;
        context->made = now;
    }
    return fresh;
}

/* The certificate's name, as libcurl checks it: no partial wildcards. */
static int expect_name(SSL *ssl, const char *fqdn)
{
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, fqdn);
}

SSL *amt_tls_session(amt_loop_t *loop, const amt_target_t *target, amt_tls_peer_t *peer, apr_status_t *rv)
{
    SSL_CTX *ctx = current_context(loop, target, rv);
    SSL *ssl;

    if (!ctx) {
        return NULL;
    }
    *rv = APR_ENOMEM;
    ssl = SSL_new(ctx);
    if (!ssl) {
        return NULL;
    }
    peer->alert = -1;
    peer->pin_seen[0] = '\0';
    if (!SSL_set_ex_data(ssl, session_index, peer) || !SSL_set_tlsext_host_name(ssl, target->fqdn) ||
        (target->tls != AMT_TLS_PIN && !expect_name(ssl, target->fqdn))) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    *rv = APR_SUCCESS;
    return ssl;
}

void amt_tls_forget(amt_loop_t *loop)
{
    for (amt_tls_context_t *context = loop->tls; context; context = context->next) {
        SSL_CTX_free(context->ctx);
        context->ctx = NULL;
    }
}
