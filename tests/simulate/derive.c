/* SPDX-License-Identifier: Apache-2.0 */
/* The secret of a boot, from the page of the proof alone: no code is shared with proof/. */
#include "judge_priv.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

typedef struct {
    unsigned char bytes[1024];
    size_t length;
} info_t;

static void add_name(info_t *info, const char *name)
{
    size_t length = strlen(name);

    info->bytes[info->length++] = (unsigned char)length;
    memcpy(info->bytes + info->length, name, length);
    info->length += length;
}

/* HKDF (RFC 5869) of one block. */
void judge_derive(int key, const char *job, const char *system, const char *fence, unsigned char s[32])
{
    static const unsigned char salt[32];
    unsigned char bytes[32], extracted[32];
    info_t info = {.length = 0};

    memset(bytes, key, sizeof(bytes));
    HMAC(EVP_sha256(), salt, sizeof(salt), bytes, sizeof(bytes), extracted, NULL);
    add_name(&info, "amtunlock-proof-1 secret");
    add_name(&info, job);
    add_name(&info, system);
    add_name(&info, fence);
    info.bytes[info.length++] = 1;
    HMAC(EVP_sha256(), extracted, sizeof(extracted), info.bytes, info.length, s, NULL);
}
