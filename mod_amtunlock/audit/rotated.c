/* SPDX-License-Identifier: Apache-2.0 */
/* The files that were moved away from the record's name, in the order of their records. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "audit/record_priv.h"
#include "base/text.h"

/* Reads what a first line can be long; -1 and errno on failure. Anything but a regular file is empty. */
static ssize_t read_beginning(int fd, char *bytes)
{
    struct stat info;
    ssize_t length = 0, count = 1;

    if (fstat(fd, &info) != 0) {
        return -1;
    }
    while (S_ISREG(info.st_mode) && count > 0 && length < AUDIT_LINE_MAX) {
        count = read(fd, bytes + length, (size_t)(AUDIT_LINE_MAX - length));
        length += count > 0 ? count : 0;
    }
    return count < 0 ? -1 : length;
}

/* As read_beginning(). */
static ssize_t read_file(const char *file, char *bytes)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    ssize_t length = fd >= 0 ? read_beginning(fd, bytes) : -1;
    int number = errno;

    if (fd >= 0) {
        close(fd);
    }
    errno = number;
    return length < 0 && number == ELOOP ? 0 : length; /* a symbolic link is no record */
}

/* NULL and the number of the first record, 0 if the file is no record at all; or what is wrong. */
static const char *first_count(const char *file, apr_uint64_t *count, apr_pool_t *pool)
{
    char *bytes = apr_palloc(pool, AUDIT_LINE_MAX);
    ssize_t length = read_file(file, bytes);
    const char *end, *fault = NULL;
    audit_record_t record;

    *count = 0;
    if (length < 0) {
        return text_file_error(file, "may be the record before this one, but cannot be read", errno, pool);
    }
    end = memchr(bytes, '\n', (size_t)length);
    if (end == NULL || !audit_begins_like_record(bytes, (apr_size_t)length)) {
        return NULL;
    }
    fault = audit_record_parse(bytes, (apr_size_t)(end - bytes), &record);
    *count = record.head.count;
    return fault != NULL ? apr_psprintf(pool, "%s: its first record %s%s", file, fault,
                                        fault == audit_no_memory ? "" : "; keep the file, but elsewhere")
                         : NULL;
}

typedef struct {
    const char *file;
    apr_uint64_t count; /* of its first record */
} rotated_t;

/* Adds the file, if it holds a record. */
static const char *add_rotated(apr_array_header_t *found, const char *file, apr_pool_t *file_pool)
{
    apr_uint64_t count;
    const char *error = first_count(file, &count, file_pool);

    if (error == NULL && count > 0) {
        rotated_t *rotated = apr_array_push(found);

        rotated->file = apr_pstrdup(found->pool, file);
        rotated->count = count;
    }
    return error;
}

/* "audit.jsonl.1", "audit.jsonl-20300101": the name, and what a rotation puts behind it. */
static const char *look_through(apr_dir_t *dir, const char *folder, const char *base,
                                apr_array_header_t *found, apr_pool_t *pool)
{
    size_t length = strlen(base);
    apr_pool_t *file_pool;
    apr_finfo_t info;
    const char *error = NULL;
    apr_status_t status = APR_SUCCESS;

    apr_pool_create(&file_pool, pool);
    while (error == NULL && (status = apr_dir_read(&info, APR_FINFO_NAME, dir)) == APR_SUCCESS) {
        if (strncmp(info.name, base, length) == 0 && (info.name[length] == '.' || info.name[length] == '-')) {
            apr_pool_clear(file_pool);
            error = add_rotated(found, apr_pstrcat(file_pool, folder, info.name, NULL), file_pool);
        }
    }
    if (error == NULL && !APR_STATUS_IS_ENOENT(status)) { /* that is its end */
        error = text_file_error(folder, "cannot be read to its end", status, file_pool);
    }
    error = error != NULL ? apr_pstrdup(pool, error) : NULL;
    apr_pool_destroy(file_pool);
    return error;
}

static int by_count(const void *a, const void *b)
{
    apr_uint64_t one = ((const rotated_t *)a)->count, other = ((const rotated_t *)b)->count;

    return (one > other) - (one < other);
}

const char *audit_list_rotated(const char *file, apr_array_header_t **files, apr_pool_t *pool)
{
    const char *slash = strrchr(file, '/');
    const char *folder = slash != NULL ? apr_pstrmemdup(pool, file, (apr_size_t)(slash - file) + 1) : "./";
    apr_array_header_t *found = apr_array_make(pool, 8, sizeof(rotated_t));
    const char *error;
    apr_dir_t *dir;
    apr_status_t status = apr_dir_open(&dir, folder, pool);

    *files = apr_array_make(pool, 8, sizeof(const char *));
    if (status != APR_SUCCESS) {
        return text_file_error(folder, "cannot be read", status, pool);
    }
    error = look_through(dir, folder, slash != NULL ? slash + 1 : file, found, pool);
    apr_dir_close(dir);
    qsort(found->elts, (size_t)found->nelts, sizeof(rotated_t), by_count);
    for (int i = 0; i < found->nelts; i++) {
        APR_ARRAY_PUSH(*files, const char *) = APR_ARRAY_IDX(found, i, rotated_t).file;
    }
    return error;
}

const char *audit_find_rotated(const char *file, const char **newest, apr_pool_t *pool)
{
    apr_array_header_t *files;
    const char *error = audit_list_rotated(file, &files, pool);

    *newest = files->nelts > 0 ? APR_ARRAY_IDX(files, files->nelts - 1, const char *) : NULL;
    return error;
}
