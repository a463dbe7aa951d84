/* SPDX-License-Identifier: Apache-2.0 */
/* Which TLS peers are trusted: by a CA bundle and the name, or by one pinned certificate. Also why a
 * handshake failed: libcurl has one code for a refused version and for a cable that was pulled; the TLS alert
 * tells them apart. */
#include <apr_strings.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "amt/http/curl_priv.h"
#include "amt/http/tls.h"
#include "amt/http/trust_priv.h"
#include "base/digest.h"

/* Where the peer is found: in the SSL_CTX that libcurl makes for one connection, in the SSL where sessions
 * share a context. */
static int context_index = -1;
static int session_index = -1;

/* OpenSSL's own judgement of what is secure. */
static int (*usual_security)(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other,
                             void *baton);

apr_status_t amt_tls_library_init(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (context_index < 0) {
        context_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    }
    if (session_index < 0) {
        session_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    }
    if (ctx != NULL) {
        usual_security = SSL_CTX_get_security_callback(ctx);
    }
    SSL_CTX_free(ctx);
    return context_index < 0 || session_index < 0 || usual_security == NULL ? APR_ENOMEM : APR_SUCCESS;
}

static amt_tls_peer_t *peer_of(const SSL *ssl)
{
    amt_tls_peer_t *peer = SSL_get_ex_data(ssl, session_index);

    return peer != NULL ? peer : SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index);
}

/* Stands in for chain and name: the leaf certificate is the pinned one, or the handshake fails. */
static int verify_pin(X509_STORE_CTX *store, amt_tls_peer_t *peer)
{
    const X509 *leaf = X509_STORE_CTX_get0_cert(store);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    if (leaf == NULL || !X509_digest(leaf, EVP_sha256(), digest, &length) || length != sizeof(peer->pin)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
        return 0;
    }
    if (CRYPTO_memcmp(digest, peer->pin, length) != 0) {
        digest_write_hex(peer->pin_seen, digest, length);
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* ---- bounds: an event loop waits while a handshake is reckoned ---------------------------------- */

/* Messages that a connection may bring besides data, and in its handshake the records that carry them; a handshake
 * has some twenty. What a session renegotiates, or tells of tickets and of keys, has no use for us. */
#define MOST_MESSAGES 256
/* Bytes and number of a chain's certificates, and links from a device's to an authority. */
#define LONGEST_CHAIN (32L * 1024)
#define MOST_CERTIFICATES 12
#define MOST_LINKS 8
/* Bits. Others than `legacy` devices have a higher least, from OpenSSL's security level. */
enum { LEAST_KEY = 1024, MOST_GROUP = 4096, MOST_RSA = 8192, MOST_EXPONENT = 64 };

static int is_bounded(amt_tls_peer_t *peer, const char *what, int bits, int most)
{
    if (bits >= LEAST_KEY && bits <= most) {
        return 1;
    }
    if (peer != NULL) {
        apr_snprintf(peer->excess, sizeof(peer->excess), "%s of %d bits, of which %d to %d are taken", what,
                     bits, LEAST_KEY, most);
    }
    return 0;
}

/* OpenSSL asks this of each thing that it is about to use; a group comes as a key. */
static int judge_security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other,
                          void *baton)
{
    if (op == SSL_SECOP_TMP_DH && other != NULL &&
        !is_bounded(peer_of(ssl), "a Diffie-Hellman group", EVP_PKEY_get_bits(other), MOST_GROUP)) {
        return 0;
    }
    return usual_security(ssl, ctx, op, bits, nid, other, baton);
}

/* A peer's public exponent may be as long as its modulus. */
static int is_exponent_short(const EVP_PKEY *key)
{
    BIGNUM *exponent = NULL;
    int is_short = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) &&
                   BN_num_bits(exponent) <= MOST_EXPONENT;

    BN_free(exponent);
    return is_short;
}

static int is_rsa_bounded(amt_tls_peer_t *peer, const EVP_PKEY *key)
{
    if (!is_exponent_short(key)) {
        apr_cpystrn(peer->excess, "an RSA key with a very long exponent", sizeof(peer->excess));
        return 0;
    }
    return is_bounded(peer, "an RSA key", EVP_PKEY_get_bits(key), MOST_RSA);
}

/* A curve of the peer's own could have any size. */
static int is_curve_known(amt_tls_peer_t *peer, const EVP_PKEY *key)
{
    char name[80];

    (void)peer;
    return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name), NULL) &&
           OBJ_sn2nid(name) != NID_undef;
}

static int is_of_one_size(amt_tls_peer_t *peer, const EVP_PKEY *key)
{
    (void)peer;
    (void)key;
    return 1;
}

/* Others than these (DSA with 10,000 bits) have sizes that cost as much as a peer likes. */
static const struct {
    int type;
    int (*is_bounded)(amt_tls_peer_t *peer, const EVP_PKEY *key);
} key_kinds[] = {
    {EVP_PKEY_RSA, is_rsa_bounded},     {EVP_PKEY_RSA_PSS, is_rsa_bounded}, {EVP_PKEY_EC, is_curve_known},
    {EVP_PKEY_ED25519, is_of_one_size}, {EVP_PKEY_ED448, is_of_one_size},
};

static int is_key_bounded(amt_tls_peer_t *peer, const X509 *certificate)
{
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    int well = key == NULL; /* nothing is reckoned with what OpenSSL cannot read */

    for (size_t i = 0; key != NULL && i < sizeof(key_kinds) / sizeof(key_kinds[0]); i++) {
        if (EVP_PKEY_get_base_id(key) == key_kinds[i].type) {
            well = key_kinds[i].is_bounded(peer, key);
        }
    }
    if (!well && peer->excess[0] == '\0') {
        apr_cpystrn(peer->excess, "a key of a kind or a curve that no device has", sizeof(peer->excess));
    }
    return well;
}

/* Before a signature is checked. */
static int is_chain_bounded(X509_STORE_CTX *store, amt_tls_peer_t *peer)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);
    int count = sk_X509_num(chain);

    if (count > MOST_CERTIFICATES) {
        apr_snprintf(peer->excess, sizeof(peer->excess), "%d certificates, of which %d are taken", count,
                     MOST_CERTIFICATES);
        return 0;
    }
    for (int i = 0; i < count; i++) {
        if (!is_key_bounded(peer, sk_X509_value(chain, i))) {
            return 0;
        }
    }
    return 1;
}

/* In place of X509_verify_cert(). */
static int verify_peer(X509_STORE_CTX *store, void *baton)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    amt_tls_peer_t *peer = peer_of(ssl);

    (void)baton;
    if (!is_chain_bounded(store, peer)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
        return 0;
    }
    return peer->target->tls == AMT_TLS_PIN ? verify_pin(store, peer) : X509_verify_cert(store);
}

/* Counts what TLS itself says: OpenSSL reads on and on while such messages come. It has no way to fail from in here;
 * but it reads nothing from a peer that has said goodbye. */
static void count_message(int sent, int version, int type, const void *bytes, size_t length, SSL *ssl,
                          void *baton)
{
    amt_tls_peer_t *peer = peer_of(ssl);

    (void)version;
    (void)bytes;
    (void)length;
    (void)baton;
    if (sent || peer == NULL || (type == SSL3_RT_HEADER && SSL_is_init_finished(ssl)) ||
        (type != SSL3_RT_HEADER && type != SSL3_RT_HANDSHAKE) || ++peer->messages <= MOST_MESSAGES) {
        return;
    }
    apr_cpystrn(peer->excess, "messages of its own without end", sizeof(peer->excess));
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

static void set_bounds(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_max_cert_list(ctx, LONGEST_CHAIN);
    SSL_CTX_set_verify_depth(ctx, MOST_LINKS);
    SSL_CTX_set_security_callback(ctx, judge_security);
    SSL_CTX_set_msg_callback(ctx, count_message);
    /* a message that is no data ends the read: sockets are asked again, and others come first */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
}

/* ---- contexts -------------------------------------------------------------------------------- */

/* An alert of ours because a message, which can only be the chain, is longer than was allowed. */
static void note_length(amt_tls_peer_t *peer)
{
    if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_EXCESSIVE_MESSAGE_SIZE) {
        apr_cpystrn(peer->excess, "a chain of certificates that is too long", sizeof(peer->excess));
    }
}

/* Whose key was shown: only its owner completes a handshake with it. */
static void note_completed(const SSL *ssl, amt_tls_peer_t *peer)
{
    const X509 *leaf = SSL_get0_peer_certificate(ssl);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;

    peer->version = SSL_version(ssl);
    peer->certificate[0] = '\0';
    if (leaf != NULL && X509_digest(leaf, EVP_sha256(), digest, &length) && length == DIGEST_BYTES) {
        digest_write_hex(peer->certificate, digest, length);
    }
}

/* Remembers a fatal alert, sent or received, and the version that was agreed on. What OpenSSL (since 3.2) sends while no
 * ServerHello came answers bytes that are no TLS: the peers disagree about nothing. */
static void note_handshake(const SSL *ssl, int where, int value)
{
    amt_tls_peer_t *peer = peer_of(ssl);
    int speaks = (where & SSL_CB_READ) || SSL_get_state(ssl) != TLS_ST_CW_CLNT_HELLO;

    if (peer != NULL && (where & SSL_CB_HANDSHAKE_DONE)) {
        note_completed(ssl, peer);
    }
    if (peer != NULL && speaks && (where & SSL_CB_ALERT) && (value >> 8) == SSL3_AL_FATAL) {
        peer->alert = value & 0xff;
        note_length(peer);
    }
}

/* The device has mutual TLS, and no certificate was set. */
static int note_asked(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
    amt_tls_peer_t *peer = peer_of(ssl);

    (void)certificate;
    (void)key;
    if (peer != NULL) {
        peer->asked = 1;
    }
    return 0; /* continue without: the device may not insist */
}

void amt_tls_begin(amt_tls_peer_t *peer)
{
    peer->alert = -1;
    peer->messages = 0;
    peer->excess[0] = '\0';
    peer->pin_seen[0] = '\0';
    peer->asked = 0;
    peer->bad_file = NULL;
}

/* NULL as amt_tls_session() says. */
static amt_trust_t *find_trust(amt_tls_peer_t *peer)
{
    amt_trust_t *trust = amt_trust_find(peer->trusts, peer->target, &peer->bad_file);

    if (trust == NULL) {
        peer->bad_why = ERR_reason_error_string(ERR_peek_last_error());
        peer->bad_why = peer->bad_why != NULL ? peer->bad_why : "it is not what it should be";
        ERR_clear_error();
    }
    return trust;
}

/* What every context has, libcurl's and ours. */
static void set_up_context(SSL_CTX *ctx, amt_tls_e tls)
{
    SSL_CTX_set_info_callback(ctx, note_handshake);
    SSL_CTX_set_client_cert_cb(ctx, note_asked);
    /* saves 34 KiB for each idle connection, of which there may be thousands; and memory where all begin
     * at once */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    set_bounds(ctx);
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, NULL);
    if (tls == AMT_TLS_PIN) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    if (tls == AMT_TLS_LEGACY) {
        /* TLS 1.0 and 1.1 sign with SHA-1 and MD5, below OpenSSL's default level; old firmware also knows no
         * secure renegotiation (we never renegotiate). */
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
    }
}

static int is_capped(const amt_target_t *target)
{
    return target->tls_max == 2;
}

/* ---- libcurl's connections ------------------------------------------------------------------- */

/* CURLOPT_SSL_CTX_FUNCTION: called before each handshake. */
static CURLcode on_curl_context(CURL *easy, void *context, void *baton)
{
    amt_tls_peer_t *peer = baton;
    amt_trust_t *trust;

    (void)easy;
    amt_tls_begin(peer);
    trust = find_trust(peer);
    if (trust == NULL) {
        return peer->bad_file != NULL ? CURLE_SSL_CACERT_BADFILE : CURLE_OUT_OF_MEMORY;
    }
    if (!SSL_CTX_set_ex_data(context, context_index, peer) || !amt_trust_use(trust, context)) {
        return CURLE_OUT_OF_MEMORY;
    }
    set_up_context(context, peer->target->tls);
    return CURLE_OK;
}

CURLcode amt_tls_set_options(CURL *easy, amt_tls_peer_t *peer)
{
    amt_tls_e tls = peer->target->tls;
    long version = tls == AMT_TLS_LEGACY ? CURL_SSLVERSION_TLSv1_0 : CURL_SSLVERSION_TLSv1_2;
    long chain = tls != AMT_TLS_PIN; /* a pin is checked in libcurl's place, by verify_pin() */
    CURLcode rc = CURLE_OK;

    version |= is_capped(peer->target) ? CURL_SSLVERSION_MAX_TLSv1_2 : CURL_SSLVERSION_MAX_DEFAULT;
    if (tls == AMT_TLS_NONE) {
        return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    }
    AMT_SET(rc, easy, CURLOPT_PROTOCOLS_STR, "https");
    AMT_SET(rc, easy, CURLOPT_SSLVERSION, version);
    AMT_SET(rc, easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
    AMT_SET(rc, easy, CURLOPT_SSL_VERIFYPEER, chain);
    AMT_SET(rc, easy, CURLOPT_SSL_VERIFYHOST, chain ? 2L : 0L);
    /* on_curl_context() sets what is trusted */
    AMT_SET(rc, easy, CURLOPT_CAINFO, NULL);
    AMT_SET(rc, easy, CURLOPT_CAPATH, NULL);
    AMT_SET(rc, easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    AMT_SET(rc, easy, CURLOPT_SSL_CTX_DATA, peer);
    AMT_SET(rc, easy, CURLOPT_SSL_CTX_FUNCTION, on_curl_context);
    return rc;
}

/* ---- other sessions -------------------------------------------------------------------------- */

static SSL_CTX *make_context(const amt_trust_t *trust, amt_tls_e tls)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int oldest = tls == AMT_TLS_LEGACY ? TLS1_VERSION : TLS1_2_VERSION;

    if (ctx == NULL) {
        return NULL;
    }
    set_up_context(ctx, tls);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (!SSL_CTX_set_min_proto_version(ctx, oldest) || !amt_trust_use(trust, ctx)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static SSL_CTX *find_context(amt_tls_peer_t *peer)
{
    amt_trust_t *trust = find_trust(peer);
    SSL_CTX **place = trust != NULL ? amt_trust_context(trust, peer->target->tls) : NULL;

    if (place != NULL && !*place) {
        *place = make_context(trust, peer->target->tls);
    }
    return place != NULL ? *place : NULL;
}

/* The certificate's name, as libcurl checks it: no partial wildcards. */
static int expect_name(SSL *ssl, const char *fqdn)
{
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, fqdn);
}

SSL *amt_tls_session(amt_tls_peer_t *peer)
{
    const amt_target_t *target = peer->target;
    SSL_CTX *ctx;
    SSL *ssl;

    amt_tls_begin(peer);
    ctx = find_context(peer);
    ssl = ctx != NULL ? SSL_new(ctx) : NULL;
    if (ssl == NULL) {
        return NULL;
    }
    if (!SSL_set_ex_data(ssl, session_index, peer) || !SSL_set_tlsext_host_name(ssl, target->fqdn) ||
        (is_capped(target) && !SSL_set_max_proto_version(ssl, TLS1_2_VERSION)) ||
        (target->tls != AMT_TLS_PIN && !expect_name(ssl, target->fqdn))) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

const char *amt_tls_hint(const amt_tls_peer_t *peer)
{
    return is_capped(peer->target) ? "" : "; firmware that breaks off TLS 1.3 needs tls-max = 1.2";
}

const char *amt_tls_name_of(const char *file)
{
    return file != NULL && file[0] ? file : "(none)";
}
