/* SPDX-License-Identifier: Apache-2.0 */
/* The identity of a device: the PC's UUID and the firmware's version. */
#include <apr_strings.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "amt/calls/read_priv.h"

#define SETUP_SERVICE WSMAN_URI_AMT_CLASS "AMT_SetupAndConfigurationService"
#define SOFTWARE_IDENTITY WSMAN_URI_CIM_CLASS "CIM_SoftwareIdentity"

enum { UUID_BYTES = 16, UUID_BASE64 = 24 };

/* Base64 of exactly 16 bytes. */
static int decode_uuid(unsigned char bytes[UUID_BYTES], const char *text)
{
    unsigned char decoded[UUID_BYTES + 2]; /* two bytes for the padding, which OpenSSL writes as zeros */

    if (strlen(text) != UUID_BASE64 || strchr(text, '=') != text + UUID_BASE64 - 2 ||
        EVP_DecodeBlock(decoded, (const unsigned char *)text, UUID_BASE64) != (int)sizeof(decoded)) {
        return 0;
    }
    memcpy(bytes, decoded, UUID_BYTES);
    return 1;
}

/* SMBIOS keeps the first three groups little endian (SMBIOS 7.2.1). */
static void format_uuid(char uuid[37], const unsigned char bytes[UUID_BYTES])
{
    static const unsigned char order[UUID_BYTES] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    static const char digits[] = "0123456789abcdef";
    char *out = uuid;

    for (int i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *out++ = '-';
        }
        *out++ = digits[bytes[order[i]] >> 4];
        *out++ = digits[bytes[order[i]] & 15];
    }
    *out = '\0';
}

static amt_status_e read_uuid(amt_call_t *call, const wsman_element_t *payload)
{
    amt_facts_t *facts = call->out;
    amt_identity_t *identity = &facts->identity;
    const char *text = wsman_child_text(payload, NULL, "UUID", call->pool);
    unsigned char bytes[UUID_BYTES];

    if (text == NULL || !decode_uuid(bytes, text)) {
        return amt_answer_garbage(call, "its UUID is not 16 bytes in base64");
    }
    format_uuid(identity->uuid, bytes);
    apr_cpystrn(identity->certificate, call->device->http.tls.certificate, sizeof(identity->certificate));
    return AMT_OK;
}

/* Digits and dots, a digit first and last: so it can be compared, and printed in messages. Words around them ("-hotfix")
 * are left out. NULL: there are none. */
static const char *version_in(const char *text, apr_pool_t *pool)
{
    const char *first = text != NULL ? strpbrk(text, "0123456789") : NULL;
    apr_size_t length = first != NULL ? strspn(first, "0123456789.") : 0;

    while (length > 0 && first[length - 1] == '.') {
        length--;
    }
    return length > 0 ? apr_pstrmemdup(pool, first, length) : NULL;
}

static amt_status_e read_version(amt_call_t *call, const wsman_element_t *payload)
{
    amt_facts_t *facts = call->out;
    amt_identity_t *identity = &facts->identity;
    const char *instance = wsman_child_text(payload, NULL, "InstanceID", call->pool);
    const char *version =
        version_in(wsman_child_text(payload, NULL, "VersionString", call->pool), call->pool);

    if (instance == NULL || strcmp(instance, "AMT") != 0 || version == NULL ||
        strlen(version) >= sizeof(identity->version)) {
        return amt_answer_garbage(call, "it does not name the version of AMT");
    }
    apr_cpystrn(identity->version, version, sizeof(identity->version));
    identity->major = (int)strtol(version, NULL, 10);
    return AMT_OK;
}

static const wsman_selector_t amt_itself = {.name = "InstanceID", .value = "AMT"};

static const amt_code_t uuid_codes[] = {
    {1, 0, "internal error"},
    {2, 0, "not ready: AMT is still starting"},
    {16, 0, "not permitted"},
    {2066, 0, "not supported"},
    {0, 0, NULL},
};

static const amt_step_t identity_steps[] = {
    {.uri = SETUP_SERVICE,
     .verb = AMT_VERB_METHOD,
     .method = "GetUuid",
     .codes = uuid_codes,
     .read = read_uuid},
    /* an account without the realm is denied it: then the version stays "" */
    {.uri = SOFTWARE_IDENTITY,
     .verb = AMT_VERB_GET,
     .selectors = &amt_itself,
     .optional = 1,
     .read = read_version},
    {.uri = NULL},
};

static void clear_identity(amt_device_t *device, amt_facts_t *facts)
{
    (void)device;
    memset(&facts->identity, 0, sizeof(facts->identity));
}

const amt_reading_t amt_reading_identity = {.steps = identity_steps, .clear = clear_identity};
