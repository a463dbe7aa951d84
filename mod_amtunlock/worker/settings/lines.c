/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/settings/lines_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "base/digest.h"
#include "base/text.h"

#define SECTION_MAX 48 /* libinih cuts longer names silently */

/* What a host has of its own: where its files are (what they hold counts in the snapshot's digest), as whom the
 * worker comes to Redis and to AMT, how much it does at a time. */
static const struct {
    const char *section, *key;
} own[] = {
    {"redis", "address"},          {"redis", "user"},
    {"redis", "password-file"},    {"worker", "inventory"},
    {"worker", "ca-file"},         {"worker", "crl-file"},
    {"worker", "tls-certificate"}, {"worker", "tls-key"},
    {"worker", "kerberos-keytab"}, {"worker", "kerberos-principal"},
    {"worker", "audit"},           {"worker", "log"},
    {"worker", "log-level"},       {"worker", "state-dir"},
    {"worker", "threads"},         {"worker", "slots"},
    {"worker", "connects"},        {"worker", "proof-key"},
};

typedef struct {
    const char *section, *key, *value;
    int order; /* in the file */
} line_t;

static int is_own(const char *section, const char *key)
{
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(section, own[i].section) == 0 && strcmp(key, own[i].key) == 0) {
            return 1;
        }
    }
    return 0;
}

apr_array_header_t *settings_lines_create(apr_pool_t *pool)
{
    return apr_array_make(pool, 16, sizeof(line_t));
}

void settings_lines_keep(apr_array_header_t *lines, const char *section, const char *key, const char *value)
{
    line_t *line = NULL;
    int order = lines->nelts;

    if (is_own(section, key)) {
        return;
    }
    /* A file of secrets may lie anywhere and is read at use; a program that is asked for them is trusted by its path. */
    if (strcmp(key, "secrets") == 0 && strncmp(value, "file:", 5) == 0) {
        value = "file:";
    }
    else if (strcmp(key, "image") == 0) {
        value = ""; /* its bytes count */
    }
    line = apr_array_push(lines);
    line->section = apr_pstrdup(lines->pool, section);
    line->key = apr_pstrdup(lines->pool, key);
    line->value = apr_pstrdup(lines->pool, value);
    line->order = order;
}

static int by_key(const void *left, const void *right)
{
    const line_t *one = left, *other = right;
    int order = strcmp(one->section, other->section);

    if (order == 0) {
        order = strcmp(one->key, other->key);
    }
    return order != 0 ? order : one->order - other->order;
}

const char *settings_lines_digest(apr_array_header_t *lines)
{
    char digits[DIGEST_DIGITS + 1];
    digest_t digest;

    qsort(lines->elts, (size_t)lines->nelts, (size_t)lines->elt_size, by_key);
    digest_begin(&digest);
    for (int i = 0; i < lines->nelts; i++) {
        const line_t *line = &APR_ARRAY_IDX(lines, i, line_t);

        digest_add(&digest, line->section, strlen(line->section) + 1);
        digest_add(&digest, line->key, strlen(line->key) + 1);
        digest_add(&digest, line->value, strlen(line->value) + 1);
    }
    return digest_end(&digest, digits) ? apr_pstrdup(lines->pool, digits) : NULL;
}

const char *settings_line_fault(const char *line, int size, int first, apr_pool_t *pool)
{
    size_t length = strlen(line);
    const char *start = line + (first ? text_mark_length(line, length) : 0);
    const char *carriage = strchr(line, '\r');

    start += strspn(start, " \t");
    if (first && text_is_utf16(line, length)) {
        return "the file is UTF-16; save it as UTF-8";
    }
    if (carriage != NULL && carriage[1] != '\0' && carriage[1] != '\n') {
        return "the line holds a carriage return; lines must end in LF or CRLF";
    }
    if (length == (size_t)size - 1 && line[length - 1] != '\n') {
        return apr_psprintf(pool, "the line is longer than %d bytes", size - 2);
    }
    if (start[0] == '[' && strcspn(start, "]") > SECTION_MAX) {
        return apr_psprintf(pool, "the section's name is longer than %d bytes", SECTION_MAX - 1);
    }
    return NULL;
}
