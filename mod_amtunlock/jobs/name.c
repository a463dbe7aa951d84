/* SPDX-License-Identifier: Apache-2.0 */
/* Brings names of systems to the one form that they are looked up by. */
#include "jobs/name.h"

#include <arpa/inet.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define NAME_MAX_LENGTH 253
#define LABEL_MAX_LENGTH 63

/* An IPv4 or IPv6 literal in its canonical text, or NULL. An IPv4-mapped IPv6 address is that IPv4
 * address. */
static const char *address_key(const char *name, apr_pool_t *pool)
{
    struct in_addr v4;
    struct in6_addr v6;
    char text[INET6_ADDRSTRLEN];

    if (inet_pton(AF_INET, name, &v4) == 1) {
        return apr_pstrdup(pool, inet_ntop(AF_INET, &v4, text, sizeof(text)));
    }
    if (inet_pton(AF_INET6, name, &v6) != 1) {
        return NULL;
    }
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
        return apr_pstrdup(pool, inet_ntop(AF_INET, &v6.s6_addr[12], text, sizeof(text)));
    }
    return apr_pstrdup(pool, inet_ntop(AF_INET6, &v6, text, sizeof(text)));
}

static int is_label_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static int is_dns_name(const char *name)
{
    size_t label = 0;

    for (const char *c = name; *c; c++) {
        if (*c == '.' ? label == 0 : !is_label_character(*c)) {
            return 0;
        }
        label = *c == '.' ? 0 : label + 1;
        if (label > LABEL_MAX_LENGTH) {
            return 0;
        }
    }
    return label > 0;
}

const char *jobs_name_key(const char *name, apr_pool_t *pool)
{
    const char *address;
    size_t length;
    char *key;

    if (name == NULL) {
        return NULL;
    }
    while (apr_isspace(*name)) {
        name++;
    }
    length = strlen(name);
    while (length > 0 && apr_isspace(name[length - 1])) {
        length--;
    }
    if (length == 0 || length > NAME_MAX_LENGTH + 1) {
        return NULL;
    }
    key = apr_pstrmemdup(pool, name, length);
    for (char *c = key; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    address = address_key(key, pool);
    if (address != NULL) {
        return address;
    }
    if (key[length - 1] == '.') {
        key[--length] = '\0';
    }
    return length > 0 && length <= NAME_MAX_LENGTH && is_dns_name(key) ? key : NULL;
}
