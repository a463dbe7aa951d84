/* SPDX-License-Identifier: Apache-2.0 */
/* Which secrets this process held, so that a text of a PC that repeats one can be told from others. Only digests are
 * kept, under a key that never leaves the process. A table of fixed size, by the system's name: where more were held
 * than it has room for, the oldest are forgotten. */
#include "secrets/secrets.h"

#include <pthread.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/digest.h"

enum {
    BUCKETS = 16384, /* 4 MiB of addresses; memory only where systems are */
    KEPT = 8,
    DIGEST = 28,
    LEAST = 4, /* letters and digits: a shorter one would be found in any text */
    MOST = 240,
    TEXT = 512, /* letters and digits of a text */
    KEY = 32,
    NAME = 256,
};

typedef struct {
    unsigned char digest[DIGEST];
    unsigned char length; /* 0: unused */
} trace_t;

typedef struct {
    trace_t traces[KEPT];
    unsigned int next;
} bucket_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bucket_t buckets[BUCKETS];
static unsigned char key[KEY];
static int keyed;

/* Letters and digits in lower case; `places`, if given, gets where each stood. */
static size_t reduce(const char *text, char reduced[TEXT], unsigned short *places)
{
    size_t length = 0;

    for (const char *at = text; *at != '\0' && length < TEXT; at++) {
        if (apr_isalnum(*at)) {
            if (places != NULL) {
                places[length] = (unsigned short)(at - text);
            }
            reduced[length++] = (char)apr_tolower(*at);
        }
    }
    return length;
}

static int digest_of(const char *name, const char *reduced, size_t length, unsigned char digest[DIGEST_BYTES])
{
    unsigned char message[KEY + NAME + MOST + 1];
    int good;

    memcpy(message, key, KEY);
    memset(message + KEY, 0, NAME);
    apr_cpystrn((char *)message + KEY, name, NAME);
    memcpy(message + KEY + NAME, reduced, length);
    good = digest_sha256(message, KEY + NAME + length, digest);
    OPENSSL_cleanse(message, sizeof(message));
    return good;
}

static bucket_t *bucket_of(const char *name)
{
    unsigned char digest[DIGEST_BYTES];

    if (!keyed) {
        keyed = RAND_bytes(key, KEY) == 1;
    }
    if (!keyed || !digest_of(name, "", 0, digest)) {
        return NULL;
    }
    return &buckets[(digest[0] | digest[1] << 8) % BUCKETS];
}

static void keep_trace(bucket_t *bucket, const unsigned char *digest, size_t length)
{
    for (int i = 0; i < KEPT; i++) {
        if (bucket->traces[i].length == length && memcmp(bucket->traces[i].digest, digest, DIGEST) == 0) {
            return;
        }
    }
    memcpy(bucket->traces[bucket->next].digest, digest, DIGEST);
    bucket->traces[bucket->next].length = (unsigned char)length;
    bucket->next = (bucket->next + 1) % KEPT;
}

void secrets_note(const char *fqdn, const char *secret)
{
    char reduced[TEXT];
    unsigned char digest[DIGEST_BYTES];
    size_t length = reduce(secret, reduced, NULL);
    bucket_t *bucket = NULL;

    if (length >= LEAST && length <= MOST) {
        pthread_mutex_lock(&lock);
        bucket = bucket_of(fqdn);
        if (bucket != NULL && digest_of(fqdn, reduced, length, digest)) {
            keep_trace(bucket, digest, length);
        }
        pthread_mutex_unlock(&lock);
    }
    OPENSSL_cleanse(reduced, sizeof(reduced));
}

static void hide_trace(const trace_t *trace, const char *fqdn, char *text, const char *reduced, size_t length,
                       const unsigned short *places)
{
    unsigned char digest[DIGEST_BYTES];

    for (size_t i = 0; trace->length > 0 && i + trace->length <= length; i++) {
        if (digest_of(fqdn, reduced + i, trace->length, digest) &&
            memcmp(digest, trace->digest, DIGEST) == 0) {
            memset(text + places[i], '*', (size_t)(places[i + trace->length - 1] - places[i]) + 1);
        }
    }
}

void secrets_hide(const char *fqdn, char *text)
{
    char reduced[TEXT];
    unsigned short places[TEXT];
    size_t length = reduce(text, reduced, places);
    bucket_t *bucket = NULL;

    pthread_mutex_lock(&lock);
    bucket = length >= LEAST ? bucket_of(fqdn) : NULL;
    for (int i = 0; bucket != NULL && i < KEPT; i++) {
        hide_trace(&bucket->traces[i], fqdn, text, reduced, length, places);
    }
    pthread_mutex_unlock(&lock);
    OPENSSL_cleanse(reduced, sizeof(reduced));
}
