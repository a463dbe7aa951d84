/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/digest_priv.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <strings.h>

#include "amt/http/http_priv.h"
#include "base/digest.h"

#define HEX (2 * EVP_MAX_MD_SIZE + 1)

/* Which of several is answered: the first of these. */
static const struct {
    const char *name;
    const EVP_MD *(*hash)(void);
} hashes[] = {{"MD5", EVP_md5}, {"SHA-256", EVP_sha256}};

#define HASHES ((int)(sizeof(hashes) / sizeof(hashes[0])))

/* ---- what the device offers ---------------------------------------------------------------------------- */

/* Bytes of all challenges of an answer. */
#define MOST_OFFERS 4096

void amt_digest_take_header(amt_exchange_t *x, const char *line, apr_size_t length)
{
    static const char name[] = "WWW-Authenticate:";
    const apr_size_t begin = sizeof(name) - 1;
    apr_size_t taken = x->offers != NULL ? strlen(x->offers) : 0;

    if (length <= begin || strncasecmp(line, name, begin) != 0 || taken + length >= MOST_OFFERS) {
        return;
    }
    if (x->offers == NULL) {
        x->offers = apr_palloc(x->pool, MOST_OFFERS);
    }
    x->offers[taken] = ',';
    memcpy(x->offers + taken + 1, line + begin, length - begin);
    x->offers[taken + 1 + length - begin] = '\0';
}

static const char *skip(const char *at, const char *what)
{
    return at + strspn(at, what);
}

/* A token or a quoted string, cut to `size`, in which it may not fit: then it is of no use. Returns what follows. */
static const char *read_value(const char *at, char *value, apr_size_t size, int *fits)
{
    int quoted = *at == '"';
    const char *stop = quoted ? "\"" : " \t\r\n,";
    apr_size_t length = 0;

    for (at += quoted; *at != '\0' && strchr(stop, *at) == NULL; at++) {
        at += quoted && *at == '\\' && at[1] != '\0';
        if (length < size - 1) {
            value[length++] = *at;
        }
        else {
            *fits = 0;
        }
    }
    value[length] = '\0';
    return quoted && *at == '"' ? at + 1 : at;
}

static void note_algorithm(amt_digest_t *offer)
{
    apr_size_t length = strlen(offer->algorithm);

    offer->session = length > 5 && strcasecmp(offer->algorithm + length - 5, "-sess") == 0;
    length -= offer->session ? 5 : 0;
    offer->hash = length == 0 ? 0 : -1;
    for (int i = 0; i < HASHES; i++) {
        if (strlen(hashes[i].name) == length && strncasecmp(hashes[i].name, offer->algorithm, length) == 0) {
            offer->hash = i;
        }
    }
}

static void note_qop(amt_digest_t *offer, const char *text)
{
    offer->qop = 0;
    for (text = skip(text, " \t,"); *text != '\0'; text = skip(text, " \t,")) {
        apr_size_t length = strcspn(text, " \t,");

        offer->qop |= length == 4 && strncasecmp(text, "auth", 4) == 0 ? AMT_DIGEST_AUTH : 0;
        offer->qop |= length == 8 && strncasecmp(text, "auth-int", 8) == 0 ? AMT_DIGEST_AUTH_INT : 0;
        text += length;
    }
}

/* One "name=value", from behind the sign. Returns what follows. */
static const char *read_parameter(amt_digest_t *offer, const char *name, apr_size_t length, const char *at)
{
    char other[256];
    const struct {
        const char *name;
        char *place;
        apr_size_t size;
    } places[] = {{"realm", offer->realm, sizeof(offer->realm)},
                  {"nonce", offer->nonce, sizeof(offer->nonce)},
                  {"opaque", offer->opaque, sizeof(offer->opaque)},
                  {"algorithm", offer->algorithm, sizeof(offer->algorithm)}};
    int fits = 1;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strlen(places[i].name) == length && strncasecmp(places[i].name, name, length) == 0) {
            at = read_value(at, places[i].place, places[i].size, &fits);
            offer->nonce[0] = fits ? offer->nonce[0] : '\0'; /* then it is of no use */
            return at;
        }
    }
    at = read_value(at, other, sizeof(other), &fits);
    if (length == 3 && strncasecmp(name, "qop", 3) == 0) {
        note_qop(offer, other);
    }
    offer->stale |= length == 5 && strncasecmp(name, "stale", 5) == 0 && strcasecmp(other, "true") == 0;
    return at;
}

/* The next challenge from *at on; 0: there is none. *is_digest: it is one of this kind. */
static int read_challenge(const char **at, amt_digest_t *offer, int *is_digest)
{
    static const char gap[] = " \t\r\n,";
    const char *word = skip(*at, gap);
    apr_size_t length = strcspn(word, "= \t\r\n,");

    memset(offer, 0, sizeof(*offer));
    *is_digest = length == 6 && strncasecmp(word, "Digest", 6) == 0;
    *at = word + length + (length == 0 && *word != '\0');
    for (word = skip(*at, gap); *word != '\0'; word = skip(*at, gap)) {
        const char *sign;

        length = strcspn(word, "= \t\r\n,");
        sign = skip(word + length, " \t");
        if (*sign != '=') {
            break; /* the next challenge begins */
        }
        *at = read_parameter(offer, word, length, skip(sign + 1, " \t"));
    }
    note_algorithm(offer);
    return **at != '\0' || *is_digest;
}

static int is_better(const amt_digest_t *offer, const amt_digest_t *than)
{
    return offer->hash >= 0 && offer->nonce[0] != '\0' && (than == NULL || offer->hash < than->hash);
}

amt_digest_t *amt_digest_choose(const amt_exchange_t *x, int *plain)
{
    const char *at = x->offers != NULL ? x->offers : "";
    amt_digest_t offer, *best = NULL;
    int is_digest = 0, count = 0;

    while (*at != '\0' && read_challenge(&at, &offer, &is_digest)) {
        count += is_digest;
        if (is_digest && is_better(&offer, best)) {
            best = apr_pmemdup(x->pool, &offer, sizeof(offer));
        }
    }
    *plain = best == NULL || (count == 1 && best->qop != AMT_DIGEST_AUTH_INT);
    return best;
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

static const char request_uri[] = "/wsman";

typedef struct {
    const char *qop; /* NULL: as before there was one */
    char cnonce[33], count[9];
} once_t;

static int hash_login(const amt_http_t *http, const once_t *once, char login[HEX])
{
    const amt_digest_t *offer = http->digest;
    const digest_part_t parts[] = {digest_part(http->target.user), digest_part(offer->realm),
                                   digest_part(http->target.password)};
    int good = digest_parts_hex(hashes[offer->hash].hash(), login, parts, 3);

    if (good && offer->session) {
        const digest_part_t more[] = {digest_part(login), digest_part(offer->nonce),
                                      digest_part(once->cnonce)};

        good = digest_parts_hex(hashes[offer->hash].hash(), login, more, 3);
    }
    return good;
}

static int hash_request(const amt_http_t *http, const once_t *once, char request[HEX])
{
    const digest_part_t body[] = {{(const unsigned char *)http->exchange.body, http->exchange.length}};
    int with_body = once->qop != NULL && strcmp(once->qop, "auth-int") == 0;
    char content[HEX] = "";
    digest_part_t parts[] = {digest_part("POST"), digest_part(request_uri), {NULL, 0}};

    if (with_body && !digest_parts_hex(hashes[http->digest->hash].hash(), content, body, 1)) {
        return 0;
    }
    parts[2] = digest_part(content);
    return digest_parts_hex(hashes[http->digest->hash].hash(), request, parts, with_body ? 3 : 2);
}

static int hash_answer(const amt_http_t *http, const once_t *once, char answer[HEX])
{
    const amt_digest_t *offer = http->digest;
    char login[HEX] = "", request[HEX] = "";
    int good = hash_login(http, once, login) && hash_request(http, once, request);
    const digest_part_t old[] = {digest_part(login), digest_part(offer->nonce), digest_part(request)};
    const digest_part_t all[] = {digest_part(login),
                                 digest_part(offer->nonce),
                                 digest_part(once->count),
                                 digest_part(once->cnonce),
                                 digest_part(once->qop != NULL ? once->qop : ""),
                                 digest_part(request)};

    good = good && (once->qop != NULL ? digest_parts_hex(hashes[offer->hash].hash(), answer, all, 6)
                                      : digest_parts_hex(hashes[offer->hash].hash(), answer, old, 3));
    OPENSSL_cleanse(login, sizeof(login));
    return good;
}

/* With quotes around it. */
static const char *quote(const char *text, apr_pool_t *pool)
{
    char *quoted = apr_palloc(pool, 2 * strlen(text) + 3), *at = quoted;

    *at++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            *at++ = '\\';
        }
        *at++ = *text;
    }
    *at++ = '"';
    *at = '\0';
    return quoted;
}

static int begin_once(amt_digest_t *offer, once_t *once)
{
    unsigned char bytes[16];

    once->qop = offer->qop & AMT_DIGEST_AUTH ? "auth" : offer->qop != 0 ? "auth-int" : NULL;
    apr_snprintf(once->count, sizeof(once->count), "%08x", ++offer->count);
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return 0;
    }
    digest_write_hex(once->cnonce, bytes, sizeof(bytes));
    return 1;
}

int amt_digest_authorize(amt_http_t *http)
{
    amt_digest_t *offer = http->digest;
    apr_pool_t *pool = http->exchange.pool;
    char answer[HEX] = "";
    const char *line;
    once_t once;

    if (!begin_once(offer, &once) || !hash_answer(http, &once, answer)) {
        return 0;
    }
    line = apr_pstrcat(pool, "Authorization: Digest username=", quote(http->target.user, pool),
                       ", realm=", quote(offer->realm, pool), ", nonce=", quote(offer->nonce, pool),
                       ", uri=\"", request_uri, "\", response=\"", answer, "\"", NULL);
    if (once.qop != NULL || offer->session) {
        line = apr_pstrcat(pool, line, ", cnonce=\"", once.cnonce, "\", nc=", once.count, NULL);
    }
    line = once.qop != NULL ? apr_pstrcat(pool, line, ", qop=", once.qop, NULL) : line;
    line = offer->algorithm[0] ? apr_pstrcat(pool, line, ", algorithm=", offer->algorithm, NULL) : line;
    line = offer->opaque[0] ? apr_pstrcat(pool, line, ", opaque=", quote(offer->opaque, pool), NULL) : line;
    return amt_http_authorize(http, line);
}
