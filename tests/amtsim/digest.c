/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include "log.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAD_PASSWORDS_MAX 5
#define VALUE_MAX 256

/* The parts of an Authorization header, "" where missing. */
struct credentials {
    char username[VALUE_MAX], realm[VALUE_MAX], nonce[VALUE_MAX], uri[VALUE_MAX], response[VALUE_MAX];
    char cnonce[VALUE_MAX], nc[VALUE_MAX], qop[VALUE_MAX], algorithm[VALUE_MAX];
};

static const struct {
    const char *name;
    size_t at;
} parts[] = {
    {"username", offsetof(struct credentials, username)},
    {"realm", offsetof(struct credentials, realm)},
    {"nonce", offsetof(struct credentials, nonce)},
    {"uri", offsetof(struct credentials, uri)},
    {"response", offsetof(struct credentials, response)},
    {"cnonce", offsetof(struct credentials, cnonce)},
    {"nc", offsetof(struct credentials, nc)},
    {"qop", offsetof(struct credentials, qop)},
    {"algorithm", offsetof(struct credentials, algorithm)},
};

static const char *skip(const char *text)
{
    return text + strspn(text, " \t,");
}

/* Reads a token or a quoted string. Returns what follows it, or NULL when it is malformed or too long. */
static const char *read_value(const char *text, char *value)
{
    size_t length = 0;
    bool quoted = *text == '"';
    const char *stop = quoted ? "\"" : " \t,";

    text += quoted;
    for (; *text && !strchr(stop, *text); text++) {
        if (quoted && *text == '\\' && text[1])
            text++;
        if (length == VALUE_MAX - 1)
            return NULL;
        value[length++] = *text;
    }
    value[length] = '\0';
    if (!quoted)
        return text;
    return *text == '"' ? text + 1 : NULL;
}

static char *place_of(struct credentials *credentials, const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (strlen(parts[i].name) == length && !strncasecmp(parts[i].name, name, length))
            return (char *)credentials + parts[i].at;
    }
    return NULL;
}

static bool read_credentials(const char *header, struct credentials *credentials)
{
    char unknown[VALUE_MAX] = "";

    memset(credentials, 0, sizeof(*credentials));
    if (strncasecmp(header, "Digest ", 7) != 0)
        return false;
    for (const char *at = skip(header + 7); *at; at = skip(at)) {
        size_t length = strcspn(at, "= \t,");
        const char *value = at + length;
        if (*value != '=')
            return false;
        char *place = place_of(credentials, at, length);
        at = read_value(value + 1, place ? place : unknown);
        if (!at)
            return false;
    }
    return true;
}

static void md5_hex(char *hex, EVP_MD_CTX *context)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    EVP_DigestFinal_ex(context, hash, &size);
    for (unsigned i = 0; i < 16; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", hash[i]);
}

void digest_md5(char *hex, const char *const *list)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    EVP_DigestInit_ex(context, EVP_md5(), NULL);
    for (size_t i = 0; list[i]; i++) {
        if (i > 0)
            EVP_DigestUpdate(context, ":", 1);
        EVP_DigestUpdate(context, list[i], strlen(list[i]));
    }
    md5_hex(hex, context);
    EVP_MD_CTX_free(context);
}

static void body_md5(char *hex, const struct digest_request *request)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    EVP_DigestInit_ex(context, EVP_md5(), NULL);
    EVP_DigestUpdate(context, request->body, request->body_size);
    md5_hex(hex, context);
    EVP_MD_CTX_free(context);
}

static bool response_is_right(const struct credentials *c, const struct digest_request *request,
                              const struct account *account)
{
    char a1[33], a2[33], body[33], expected[33];
    bool with_body = !strcmp(c->qop, "auth-int");

    if (!with_body && strcmp(c->qop, "auth") != 0)
        return false;
    body_md5(body, request);
    digest_md5(a1, (const char *const[]){c->username, c->realm, account->password, NULL});
    digest_md5(a2, (const char *const[]){request->method, c->uri, with_body ? body : NULL, NULL});
    digest_md5(expected, (const char *const[]){a1, c->nonce, c->nc, c->cnonce, c->qop, a2, NULL});
    return !strcasecmp(expected, c->response);
}

static bool is_well_formed(const struct pc *pc, const struct credentials *c,
                           const struct digest_request *request)
{
    return !strcmp(c->realm, pc->realm) && !strcmp(c->uri, request->uri) && c->cnonce[0] &&
           strlen(c->nc) == 8 && strspn(c->nc, "0123456789abcdefABCDEF") == 8 &&
           (!c->algorithm[0] || !strcasecmp(c->algorithm, "MD5"));
}

/* A nonce serves for counts that rise; what the device forgot or expired is stale. */
static bool use_nonce(struct pc *pc, const struct credentials *c)
{
    uint32_t count = (uint32_t)strtoul(c->nc, NULL, 16);

    for (int i = 0; i < NONCES_KEPT; i++) {
        struct nonce *nonce = &pc->nonces[i];
        if (!nonce->text[0] || strcmp(nonce->text, c->nonce) != 0)
            continue;
        if (nonce->expired || count <= nonce->count)
            return false;
        nonce->count = count;
        return true;
    }
    return false;
}

bool digest_is_locked(const struct pc *pc)
{
    return log_clock() < pc->locked_out_until;
}

void digest_count(struct pc *pc, bool good)
{
    pc->bad_passwords = good ? 0 : pc->bad_passwords + 1;
    if (pc->bad_passwords < BAD_PASSWORDS_MAX)
        return;
    pc->bad_passwords = 0;
    pc->locked_out_until = log_clock() + pc->options->lockout_seconds;
}

static enum digest_result check(struct pc *pc, const struct credentials *c,
                                const struct digest_request *request, struct account *account)
{
    if (digest_is_locked(pc) || pc_has(pc, FAULT_AUTH_FAILS))
        return DIGEST_REFUSED;
    if (!is_well_formed(pc, c, request))
        return DIGEST_REFUSED;
    bool good = pc_account(pc, c->username, account) && response_is_right(c, request, account);
    digest_count(pc, good);
    if (!good)
        return DIGEST_REFUSED;
    return use_nonce(pc, c) ? DIGEST_OK : DIGEST_STALE;
}

enum digest_result digest_check(struct pc *pc, const struct digest_request *request, struct account *account)
{
    struct credentials credentials;
    enum digest_result result = DIGEST_REFUSED;

    if (read_credentials(request->authorization, &credentials))
        result = check(pc, &credentials, request, account);
    log_event(pc->fqdn, "auth",
              json_pack("{s:s, s:s*, s:b, s:b, s:b}", "mech", "digest", "user", credentials.username, "ok",
                        result == DIGEST_OK, "stale", result == DIGEST_STALE, "locked",
                        digest_is_locked(pc)));
    return result;
}

void digest_challenge(struct pc *pc, bool stale, char *value, size_t size)
{
    struct nonce *nonce = &pc->nonces[pc->nonce_next++ % NONCES_KEPT];
    unsigned char random[NONCE_LENGTH / 4 * 3];

    RAND_bytes(random, sizeof(random));
    EVP_EncodeBlock((unsigned char *)nonce->text, random, sizeof(random));
    nonce->count = 0;
    nonce->expired = false;
    snprintf(value, size, "Digest realm=\"%s\", nonce=\"%s\",stale=\"%s\",qop=\"auth-int, auth\"", pc->realm,
             nonce->text, stale ? "true" : "false");
}

void digest_expire(struct pc *pc)
{
    for (int i = 0; i < NONCES_KEPT; i++)
        pc->nonces[i].expired = true;
}
