/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the audit: one record as a line of text, both ways. */
#ifndef AMTUNLOCK_AUDIT_RECORD_PRIV_H
#define AMTUNLOCK_AUDIT_RECORD_PRIV_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

#include "base/digest.h"

#define AUDIT_HASH_DIGITS DIGEST_DIGITS
#define AUDIT_LINE_MAX 65536 /* bytes, with the line end */
#define AUDIT_EVENT_TORN "torn"
#define AUDIT_EVENT_LOST "file-lost"
#define AUDIT_EVENT_SEAL_BROKEN "seal-broken"

/* prev of the first record of all */
extern const char audit_no_hash[];

/* A place in the chain: the record that was last. */
typedef struct {
    apr_uint64_t count;
    char hash[AUDIT_HASH_DIGITS + 1];
} audit_head_t;

/* Time as records have it: 2026-11-21T19:12:52.123456Z. Later is greater as text, too. */
#define AUDIT_TIME_SIZE 32
void audit_format_time(apr_time_t time, char text[AUDIT_TIME_SIZE]);

void audit_head_none(audit_head_t *head);
/* "HASH:COUNT"; 0 if it is none. */
int audit_parse_head(const char *text, audit_head_t *head);

/* The line (with its end, from malloc) of the record that follows *head, and moves *head on to it. NULL if it
 * cannot be made: names taken twice (*length is 0), too long, no memory to hash it; *head is as before. */
char *audit_record_format(audit_head_t *head, const char *event, json_t *fields, apr_size_t *length);

/* True if these bytes are how a record begins, as far as they go. */
int audit_begins_like_record(const char *bytes, apr_size_t length);
/* True if the line ends as a record does; a torn line does not. `length` is without the line end. */
int audit_record_is_whole(const char *line, apr_size_t length);

typedef struct {
    audit_head_t head; /* this record's count and hash */
    char prev[AUDIT_HASH_DIGITS + 1];
    int begun_anew; /* the worker that wrote it found that what was sealed before is not there */
    int torn;       /* it accounts for a torn line: */
    apr_uint64_t torn_bytes;
    char torn_hash[AUDIT_HASH_DIGITS + 1];
} audit_record_t;

/* The message about a line that could not be checked for want of memory; it may be right. */
extern const char audit_no_memory[];

/* Reads a whole line (without its end) and checks its hash. NULL, or what is wrong with it; audit_no_memory
 * is recognised by its address. */
const char *audit_record_parse(const char *line, apr_size_t length, audit_record_t *record);

/* The files that `file` was before its rotations (const char *, oldest first): those beside it that hold a
 * record and are named as it with '.' or '-' and anything behind it, by the number of their first records.
 * NULL, or an error message. */
const char *audit_list_rotated(const char *file, apr_array_header_t **files, apr_pool_t *pool);
/* The last of them; *newest is NULL if there is none. */
const char *audit_find_rotated(const char *file, const char **newest, apr_pool_t *pool);

#endif
