/* SPDX-License-Identifier: Apache-2.0 */
/* A record as text. The hash is over bytes, not over values: no canonical form has to be agreed upon, and a
 * changed blank shows as well as a changed word.
 */
#include "audit/record_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "base/digest.h"

#define HASH_HEAD ",\"hash\":\""
#define HASH_TAIL "\"}"
#define SUFFIX_LENGTH (sizeof(HASH_HEAD) - 1 + AUDIT_HASH_DIGITS + sizeof(HASH_TAIL) - 1)

const char audit_no_memory[] = "cannot be read: no memory";
const char audit_no_hash[] = "0000000000000000000000000000000000000000000000000000000000000000";

void audit_head_none(audit_head_t *head)
{
    head->count = 0;
    apr_cpystrn(head->hash, audit_no_hash, sizeof(head->hash));
}

/* ---- writing ------------------------------------------------------------------------------------------- */

void audit_format_time(apr_time_t time, char text[AUDIT_TIME_SIZE])
{
    apr_time_exp_t parts;

    apr_time_exp_gmt(&parts, time);
    apr_snprintf(text, AUDIT_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900,
                 parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, parts.tm_usec);
}

/* The record without its hash, from malloc; NULL if there is no such record. */
static char *format_body(const audit_head_t *head, const char *event, json_t *fields)
{
    char now[AUDIT_TIME_SIZE];
    char *text = NULL;
    json_t *record;

    audit_format_time(apr_time_now(), now);
    record = json_pack("{s:I, s:s, s:s, s:s}", "n", (json_int_t)head->count + 1, "t", now, "prev", head->hash,
                       "event", event);
    if (record != NULL && json_object_get(fields, "hash") == NULL) {
        size_t own = json_object_size(record);

        if (json_object_update(record, fields) == 0 &&
            json_object_size(record) == own + json_object_size(fields)) {
            text = json_dumps(record, JSON_COMPACT);
        }
    }
    json_decref(record);
    return text;
}

char *audit_record_format(audit_head_t *head, const char *event, json_t *fields, apr_size_t *length)
{
    char *body = format_body(head, event, fields);
    apr_size_t body_length = body != NULL ? strlen(body) : 0;
    char hash[AUDIT_HASH_DIGITS + 1];
    char *line;

    *length = body != NULL ? body_length - 1 + SUFFIX_LENGTH + 1 : 0;
    if (body == NULL || *length > AUDIT_LINE_MAX || !digest_sha256_hex(body, body_length, hash) ||
        (line = malloc(*length + 1)) == NULL) {
        free(body);
        return NULL;
    }
    memcpy(line, body, body_length - 1);
    apr_snprintf(line + body_length - 1, *length + 1 - (body_length - 1), HASH_HEAD "%s" HASH_TAIL "\n",
                 hash);
    free(body);
    head->count++;
    memcpy(head->hash, hash, sizeof(hash));
    return line;
}

int audit_parse_head(const char *text, audit_head_t *head)
{
    char *end;

    if (strlen(text) < AUDIT_HASH_DIGITS + 2 || strspn(text, "0123456789abcdef") != AUDIT_HASH_DIGITS ||
        text[AUDIT_HASH_DIGITS] != ':' || strchr("123456789", text[AUDIT_HASH_DIGITS + 1]) == NULL) {
        return 0;
    }
    apr_cpystrn(head->hash, text, sizeof(head->hash));
    errno = 0;
    head->count = (apr_uint64_t)apr_strtoi64(text + AUDIT_HASH_DIGITS + 1, &end, 10);
    return errno == 0 && *end == '\0';
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static int is_hash(const char *text)
{
    return strspn(text, "0123456789abcdef") >= AUDIT_HASH_DIGITS;
}

int audit_begins_like_record(const char *bytes, apr_size_t length)
{
    static const char begin[] = "{\"n\":";

    return memcmp(bytes, begin, length < sizeof(begin) - 1 ? length : sizeof(begin) - 1) == 0;
}

int audit_record_is_whole(const char *line, apr_size_t length)
{
    const char *suffix = line + length - SUFFIX_LENGTH;

    return length > SUFFIX_LENGTH && memcmp(suffix, HASH_HEAD, sizeof(HASH_HEAD) - 1) == 0 &&
           is_hash(suffix + sizeof(HASH_HEAD) - 1) &&
           memcmp(line + length - (sizeof(HASH_TAIL) - 1), HASH_TAIL, sizeof(HASH_TAIL) - 1) == 0;
}

/* Hash over the line with its hash member taken out. */
static int hash_of(const char *line, apr_size_t length, char digits[AUDIT_HASH_DIGITS + 1])
{
    apr_size_t body_length = length - SUFFIX_LENGTH;
    char *body = malloc(body_length + 1);
    int good;

    if (body == NULL) {
        return 0;
    }
    memcpy(body, line, body_length);
    body[body_length] = '}';
    good = digest_sha256_hex(body, body_length + 1, digits);
    free(body);
    return good;
}

static int take_hash(const json_t *object, const char *name, char digits[AUDIT_HASH_DIGITS + 1])
{
    const char *text = json_string_value(json_object_get(object, name));

    if (text == NULL || strlen(text) != AUDIT_HASH_DIGITS || !is_hash(text)) {
        return 0;
    }
    memcpy(digits, text, AUDIT_HASH_DIGITS + 1);
    return 1;
}

static int take_members(const json_t *object, audit_record_t *record)
{
    json_int_t count = json_integer_value(json_object_get(object, "n"));
    const char *event = json_string_value(json_object_get(object, "event"));

    if (count < 1 || event == NULL || !take_hash(object, "prev", record->prev) ||
        !take_hash(object, "hash", record->head.hash)) {
        return 0;
    }
    record->head.count = (apr_uint64_t)count;
    record->begun_anew = strcmp(event, AUDIT_EVENT_SEAL_BROKEN) == 0;
    record->torn = strcmp(event, AUDIT_EVENT_TORN) == 0;
    if (!record->torn) {
        return 1;
    }
    record->torn_bytes = (apr_uint64_t)json_integer_value(json_object_get(object, "bytes"));
    return take_hash(object, "sha256", record->torn_hash);
}

const char *audit_record_parse(const char *line, apr_size_t length, audit_record_t *record)
{
    char hash[AUDIT_HASH_DIGITS + 1];
    json_t *object;
    int good;

    memset(record, 0, sizeof(*record));
    if (!audit_record_is_whole(line, length)) {
        return "is not a whole record";
    }
    object = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    good = object != NULL && take_members(object, record);
    json_decref(object);
    if (!good) {
        return "is not a record of this kind";
    }
    if (!hash_of(line, length, hash)) {
        return audit_no_memory;
    }
    return strcmp(hash, record->head.hash) == 0 ? NULL : "was changed: its hash does not match";
}
