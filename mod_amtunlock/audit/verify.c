/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a whole file of the record, line by line, in bounded memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "audit/audit.h"
#include "audit/record_priv.h"
#include "base/digest.h"
#include "base/text.h"

/* The longest line. Torn bytes may be longer than a record. */
#define BUFFER_SIZE (4 * (apr_size_t)AUDIT_LINE_MAX)

typedef struct {
    const char *file;
    apr_pool_t *pool;
    apr_uint64_t line;
    audit_head_t last; /* count 0: no record yet */

    int in_torn; /* the line before was no record, and none has accounted for it yet: */
    digest_t torn;
    apr_uint64_t torn_bytes;

    int has_head, head_reached;
    audit_head_t head;
} verify_t;

static const char *line_error(const verify_t *verify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *line_error(const verify_t *verify, const char *format, ...)
{
    va_list arguments;
    const char *text;

    va_start(arguments, format);
    text = apr_pvsprintf(verify->pool, format, arguments);
    va_end(arguments);
    return apr_psprintf(verify->pool, "%s: line %" APR_UINT64_T_FMT ": %s", verify->file, verify->line, text);
}

/* ---- torn lines ---------------------------------------------------------------------------------------- */

static const char *no_digest(const verify_t *verify)
{
    return apr_psprintf(verify->pool, "%s: cannot be verified: no memory for SHA-256", verify->file);
}

static const char *add_torn(verify_t *verify, const char *line, apr_size_t length)
{
    if (!verify->in_torn) {
        digest_begin(&verify->torn);
        verify->in_torn = 1;
        verify->torn_bytes = 0;
    }
    else {
        digest_add(&verify->torn, "\n", 1);
        verify->torn_bytes++;
    }
    verify->torn_bytes += length;
    return digest_add(&verify->torn, line, length) ? NULL : no_digest(verify);
}

/* A record of a torn line must account for exactly the bytes before it, and nothing else may. */
static const char *check_torn(verify_t *verify, const audit_record_t *record)
{
    char digits[DIGEST_DIGITS + 1];

    if (!verify->in_torn) {
        return record->torn ? line_error(verify, "speaks of a torn line, but none stands before it") : NULL;
    }
    verify->in_torn = 0;
    if (!digest_end(&verify->torn, digits)) {
        return no_digest(verify);
    }
    if (!record->torn || record->torn_bytes != verify->torn_bytes || strcmp(digits, record->torn_hash) != 0) {
        return line_error(verify, "the bytes before it are of no record");
    }
    return NULL;
}

/* ---- the chain ----------------------------------------------------------------------------------------- */

static const char *check_first(verify_t *verify, const audit_record_t *record)
{
    if (record->head.count == 1 && strcmp(record->prev, audit_no_hash) != 0) {
        return line_error(verify, "is the first record, but names one before it");
    }
    if (verify->has_head && record->head.count == verify->head.count + 1) {
        verify->head_reached = strcmp(record->prev, verify->head.hash) == 0;
    }
    return NULL;
}

static const char *check_next(verify_t *verify, const audit_record_t *record)
{
    if (record->head.count != verify->last.count + 1) {
        return line_error(verify,
                          "record %" APR_UINT64_T_FMT " follows record %" APR_UINT64_T_FMT
                          ": lines were removed, inserted or moved",
                          record->head.count, verify->last.count);
    }
    if (strcmp(record->prev, verify->last.hash) != 0) {
        return line_error(verify,
                          "does not carry the hash of the line before it: one of the two was replaced");
    }
    return NULL;
}

static const char *check_line(verify_t *verify, const char *line, apr_size_t length)
{
    audit_record_t record;
    const char *error;

    verify->line++;
    if (!audit_record_is_whole(line, length)) {
        return add_torn(verify, line, length);
    }
    error = audit_record_parse(line, length, &record);
    if (error == audit_no_memory) {
        return apr_psprintf(verify->pool, "%s: %s", verify->file, error);
    }
    if (error != NULL) {
        return line_error(verify, "%s", error);
    }
    if (record.begun_anew) {
        return line_error(verify, "a worker found here that the record does not hold what was sealed before");
    }
    error = check_torn(verify, &record);
    if (error == NULL) {
        error = verify->last.count ? check_next(verify, &record) : check_first(verify, &record);
    }
    if (error != NULL) {
        return error;
    }
    if (verify->has_head && record.head.count == verify->head.count) {
        verify->head_reached = strcmp(record.head.hash, verify->head.hash) == 0;
        if (!verify->head_reached) {
            return line_error(verify, "is not the record that the head names: the record was rewritten");
        }
    }
    verify->last = record.head;
    return NULL;
}

/* ---- the file ------------------------------------------------------------------------------------------ */

/* Takes all whole lines out of the buffer; *used gets how many bytes they were. */
static const char *check_lines(verify_t *verify, const char *buffer, apr_size_t length, apr_size_t *used)
{
    const char *error = NULL;
    const char *end;

    *used = 0;
    while (error == NULL && (end = memchr(buffer + *used, '\n', length - *used)) != NULL) {
        const char *line = buffer + *used;

        *used = (apr_size_t)(end - buffer) + 1;
        error = check_line(verify, line, (apr_size_t)(end - line));
    }
    return error;
}

static const char *check_all(verify_t *verify, int fd, char *buffer)
{
    apr_size_t length = 0, used;
    const char *error;
    ssize_t count;

    while ((count = read(fd, buffer + length, BUFFER_SIZE - length)) > 0) {
        length += (apr_size_t)count;
        error = check_lines(verify, buffer, length, &used);
        if (error != NULL) {
            return error;
        }
        memmove(buffer, buffer + used, length - used);
        length -= used;
        if (length == BUFFER_SIZE) {
            verify->line++;
            return line_error(verify, "is longer than any record");
        }
    }
    if (count < 0) {
        return text_file_error(verify->file, "cannot be read", errno, verify->pool);
    }
    if (length > 0) {
        verify->line++;
        return line_error(verify, "is cut off: it has no line end");
    }
    return NULL;
}

/* What only shows when everything was read. */
static const char *check_end(const verify_t *verify)
{
    if (verify->in_torn) {
        return line_error(verify, "is not a whole record, and no record accounts for it");
    }
    if (!verify->has_head || verify->head_reached) {
        return NULL;
    }
    if (verify->last.count < verify->head.count) {
        return apr_psprintf(verify->pool,
                            "%s: ends with record %" APR_UINT64_T_FMT ", but there were %" APR_UINT64_T_FMT
                            ": its tail was cut off",
                            verify->file, verify->last.count, verify->head.count);
    }
    return apr_psprintf(verify->pool, "%s: begins after record %" APR_UINT64_T_FMT ", which the head names",
                        verify->file, verify->head.count);
}

const char *audit_verify(const char *file, const char *head, apr_uint64_t *count, apr_pool_t *pool)
{
    verify_t verify = {.file = file, .pool = pool, .has_head = head != NULL};
    const char *error;
    char *buffer;
    int fd;

    *count = 0;
    if (head != NULL && !audit_parse_head(head, &verify.head)) {
        return apr_psprintf(pool, "'%s' is not a head: 64 hex digits, ':' and the count", head);
    }
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return text_file_error(file, "cannot be opened", errno, pool);
    }
    buffer = malloc(BUFFER_SIZE);
    error = buffer != NULL ? check_all(&verify, fd, buffer) : "no memory";
    error = error != NULL ? error : check_end(&verify);
    digest_discard(&verify.torn);
    free(buffer);
    close(fd);
    *count = verify.line;
    return error;
}
