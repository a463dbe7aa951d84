/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the record. Lines wait in memory, already chained, until one write and one fdatasync have put them
 * on disk; only then does the head move. A write that failed half-way is cut off again before the next try,
 * so that the file never holds a line twice.
 */
#include "audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_file_info.h>
#include <apr_strings.h>

#include "audit/record_priv.h"
#include "base/digest.h"
#include "base/owned_file.h"
#include "base/pulse.h"
#include "base/text.h"

#define PENDING_MAX ((apr_size_t)16 << 20)
/* A torn tail is at most what one batch can leave; the last whole line stands before it. */
#define TAIL_MAX (PENDING_MAX + 2 * (apr_size_t)AUDIT_LINE_MAX)

struct audit_t {
    apr_pool_t *pool;
    const char *file;
    int fd;
    apr_off_t size;    /* of what is known to be on disk */
    int half_written;  /* bytes behind `size` are to be cut off */
    audit_head_t head; /* of what is on disk */
    audit_head_t next; /* of what was added */
    char *pending;     /* from malloc */
    apr_size_t pending_length, pending_capacity;
    char error[512];
};

static const char *audit_errno(const audit_t *audit, const char *what)
{
    return text_file_error(audit->file, what, errno, audit->pool);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

/* A new name is only durable once its folder is. */
static int sync_folder(const char *file, apr_pool_t *pool)
{
    const char *slash = strrchr(file, '/');
    const char *folder = slash != NULL ? apr_pstrmemdup(pool, file, (apr_size_t)(slash - file) + 1) : ".";
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int good = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return good;
}

/* What is wrong with an opened file, or NULL. */
static const char *check_file(const audit_t *audit, int fd, struct stat *info)
{
    owned_file_e verdict;

    if (fstat(fd, info) != 0) {
        return audit_errno(audit, "cannot be examined");
    }
    verdict = owned_file_judge(info, 022);
    if (verdict == OWNED_FILE_NOT_REGULAR) {
        return apr_psprintf(audit->pool, "%s: is not a regular file", audit->file);
    }
    if (verdict != OWNED_FILE_GOOD) {
        return apr_psprintf(audit->pool,
                            "%s: others may change it (owner %d, mode %04o): chown it, chmod 0600",
                            audit->file, (int)info->st_uid, (unsigned int)(info->st_mode & 07777));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? apr_psprintf(audit->pool, "%s: another process writes it; each worker needs its own",
                                  audit->file)
                   : audit_errno(audit, "cannot be locked");
    }
    if (info->st_size == 0 && !sync_folder(audit->file, audit->pool)) {
        return audit_errno(audit, "its folder cannot be synced");
    }
    return NULL;
}

/* `create` is O_CREAT or 0. O_NONBLOCK: open() must not wait for the other end of a pipe. */
static const char *open_file(const audit_t *audit, int create, int *fd, struct stat *info)
{
    const char *error;

    *fd =
        open(audit->file, O_RDWR | create | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (*fd < 0) {
        return audit_errno(audit, "cannot be opened");
    }
    error = check_file(audit, *fd, info);
    if (error != NULL) {
        close(*fd);
        *fd = -1;
    }
    return error;
}

/* Reads the last bytes of the file; from malloc, NULL and errno on failure. */
static char *read_tail(int fd, apr_off_t size, apr_size_t *length)
{
    apr_size_t wanted = size > (apr_off_t)TAIL_MAX ? TAIL_MAX : (apr_size_t)size;
    apr_off_t from = size - (apr_off_t)wanted;
    char *tail = malloc(wanted + 1);

    for (*length = 0; tail != NULL && *length < wanted;) {
        ssize_t count = pread(fd, tail + *length, wanted - *length, from + (apr_off_t)*length);

        if (count <= 0) {
            free(tail);
            errno = count < 0 ? errno : EIO;
            return NULL;
        }
        *length += (apr_size_t)count;
    }
    return tail;
}

/* Start of the last line that is whole, and *end behind its text; NULL if there is none. */
static const char *last_whole_line(const char *tail, apr_size_t length, const char **end)
{
    const char *stop = memrchr(tail, '\n', length);

    while (stop != NULL) {
        const char *before = memrchr(tail, '\n', (size_t)(stop - tail));
        const char *line = before != NULL ? before + 1 : tail;

        if (audit_record_is_whole(line, (apr_size_t)(stop - line))) {
            *end = stop;
            return line;
        }
        stop = before;
    }
    return NULL;
}

/* Records what a power failure left of a batch. The bytes stay; a line end closes them. */
static const char *record_torn(audit_t *audit, const char *bytes, apr_size_t length)
{
    char hash[AUDIT_HASH_DIGITS + 1];
    const char *error = NULL;

    if (!digest_sha256_hex(bytes, length, hash) || (audit->pending = malloc(AUDIT_LINE_MAX + 1)) == NULL) {
        return apr_psprintf(audit->pool, "%s: no memory", audit->file);
    }
    audit->pending_capacity = AUDIT_LINE_MAX + 1;
    audit->pending[0] = '\n';
    audit->pending_length = 1;
    if (audit_add(audit, AUDIT_EVENT_TORN,
                  json_pack("{s:I, s:s}", "bytes", (json_int_t)length, "sha256", hash)) != APR_SUCCESS) {
        return apr_psprintf(audit->pool, "%s: a torn line cannot be recorded", audit->file);
    }
    return audit_commit(audit, &error) == APR_SUCCESS ? NULL : apr_pstrdup(audit->pool, error);
}

static const char *audit_resume(audit_t *audit);
static apr_status_t audit_cleanup(void *data);

/* A file without records goes on where the one ended that was rotated away, also if no worker ran meanwhile.
 * That one is opened and locked as the record itself is, and a torn line gets its record there. */
static const char *continue_rotated(audit_t *audit)
{
    audit_t before = {.pool = audit->pool, .fd = -1};
    struct stat info = {0};
    const char *error = audit_find_rotated(audit->file, &before.file, audit->pool);

    if (error != NULL || before.file == NULL) {
        return error;
    }
    error = open_file(&before, 0, &before.fd, &info);
    if (error == NULL) {
        before.size = info.st_size;
        error = audit_resume(&before);
    }
    audit->head = audit->next = before.head;
    audit_cleanup(&before);
    return error;
}

/* Finds the place in the chain where the file ends. */
static const char *take_tail(audit_t *audit, const char *tail, apr_size_t length)
{
    const char *end = NULL;
    const char *line = last_whole_line(tail, length, &end);
    apr_size_t torn = length;
    audit_record_t record;
    const char *fault;

    if (line == NULL && (audit->size > (apr_off_t)length || !audit_begins_like_record(tail, length))) {
        return apr_psprintf(audit->pool,
                            "%s: holds something else than a record; move it away or name another file",
                            audit->file);
    }
    if (line != NULL) {
        fault = audit_record_parse(line, (apr_size_t)(end - line), &record);
        if (fault != NULL) {
            return apr_psprintf(audit->pool, "%s: the last record %s%s", audit->file, fault,
                                fault == audit_no_memory ? "" : "; move the file away and keep it");
        }
        audit->head = audit->next = record.head;
        torn = (apr_size_t)(tail + length - (end + 1));
    }
    else {
        fault = continue_rotated(audit);
        if (fault != NULL) {
            return fault;
        }
    }
    if (torn == 0) {
        return NULL;
    }
    return record_torn(audit, tail + length - torn, torn);
}

static const char *audit_resume(audit_t *audit)
{
    apr_size_t length;
    const char *error;
    char *tail = read_tail(audit->fd, audit->size, &length);

    if (tail == NULL) {
        return audit_errno(audit, "cannot be read");
    }
    error = take_tail(audit, tail, length);
    free(tail);
    return error;
}

static apr_status_t audit_cleanup(void *data)
{
    audit_t *audit = data;

    if (audit->fd >= 0) {
        close(audit->fd);
    }
    free(audit->pending);
    return APR_SUCCESS;
}

const char *audit_open(audit_t **audit, const char *file, apr_pool_t *pool)
{
    audit_t *made = apr_pcalloc(pool, sizeof(*made));
    struct stat info = {0};
    const char *error;

    *audit = NULL;
    made->pool = pool;
    made->file = apr_pstrdup(pool, file);
    made->fd = -1;
    audit_head_none(&made->head);
    audit_head_none(&made->next);
    apr_pool_cleanup_register(pool, made, audit_cleanup, apr_pool_cleanup_null);

    error = open_file(made, O_CREAT, &made->fd, &info);
    if (error == NULL) {
        made->size = info.st_size;
        error = audit_resume(made);
    }
    if (error != NULL) {
        apr_pool_cleanup_run(pool, made, audit_cleanup);
        return error;
    }
    *audit = made;
    return NULL;
}

/* ---- adding and committing ----------------------------------------------------------------------------- */

static int pending_reserve(audit_t *audit, apr_size_t length)
{
    apr_size_t capacity = audit->pending_capacity ? audit->pending_capacity : AUDIT_LINE_MAX;
    char *grown;

    while (capacity - audit->pending_length < length) {
        capacity *= 2;
    }
    if (capacity == audit->pending_capacity) {
        return 1;
    }
    grown = capacity <= PENDING_MAX ? realloc(audit->pending, capacity) : NULL;
    if (grown == NULL) {
        return 0;
    }
    audit->pending = grown;
    audit->pending_capacity = capacity;
    return 1;
}

apr_status_t audit_add(audit_t *audit, const char *event, json_t *fields)
{
    audit_head_t next = audit->next;
    apr_size_t length = 0;
    char *line = json_is_object(fields) ? audit_record_format(&next, event, fields, &length) : NULL;

    json_decref(fields);
    if (line == NULL) {
        return length > 0 && length <= AUDIT_LINE_MAX ? APR_ENOMEM : APR_EINVAL;
    }
    if (!pending_reserve(audit, length)) {
        free(line);
        return APR_ENOMEM;
    }
    memcpy(audit->pending + audit->pending_length, line, length);
    free(line);
    audit->pending_length += length;
    audit->next = next;
    return APR_SUCCESS;
}

static apr_status_t audit_fail(audit_t *audit, const char *what, int number, const char **error)
{
    char text[160];

    apr_snprintf(audit->error, sizeof(audit->error), "%s: %s: %s", audit->file, what,
                 apr_strerror(APR_FROM_OS_ERROR(number), text, sizeof(text)));
    *error = audit->error;
    return APR_FROM_OS_ERROR(number);
}

/* A line in a file that nobody finds again is no record. */
static const char *judge_place(const audit_t *audit, const struct stat *opened)
{
    struct stat named;

    if (opened->st_nlink == 0) {
        return "was removed while the worker runs: put back what you can of it under another name, and send SIGHUP "
               "for a new file";
    }
    if (lstat(audit->file, &named) != 0) {
        return "is not there under its name any more: after a rotation send SIGHUP; else move it back";
    }
    if (named.st_dev != opened->st_dev || named.st_ino != opened->st_ino) {
        return "is another file than the one that the worker writes, or its folder is: put the right one back";
    }
    if (opened->st_nlink > 1) {
        return "has a second name, by which it may be changed: remove that";
    }
    return owned_file_judge(opened, 022) == OWNED_FILE_GOOD
               ? NULL
               : "may be changed by others: give it back to the worker's user, with mode 0600";
}

/* The file is in its place, this worker's alone, and as long as it should be. */
static apr_status_t audit_examine(audit_t *audit, apr_off_t size, const char **error)
{
    struct stat info;
    const char *fault = NULL;

    if (fstat(audit->fd, &info) != 0) {
        return audit_fail(audit, "cannot be examined", errno, error);
    }
    fault = judge_place(audit, &info);
    if (fault == NULL && info.st_size != size) {
        fault = "someone else wrote it or cut it; move it away, keep it, and reload";
    }
    return fault != NULL ? audit_fail(audit, fault, EBUSY, error) : APR_SUCCESS;
}

/* 0, or an errno. A file that is too short stays so: to make it longer would fill it with zeros, and hide that somebody
 * cut it. */
static int cut_half_written(const audit_t *audit)
{
    struct stat info;

    if (fstat(audit->fd, &info) != 0) {
        return errno;
    }
    return info.st_size <= audit->size || ftruncate(audit->fd, audit->size) == 0 ? 0 : errno;
}

/* Cuts off what a failed write left, and makes sure that the file is as it was then. */
static apr_status_t audit_settle(audit_t *audit, const char **error)
{
    int number = audit->half_written ? cut_half_written(audit) : 0;

    if (number != 0) {
        return audit_fail(audit, "a half-written line cannot be cut off", number, error);
    }
    audit->half_written = 0;
    return audit_examine(audit, audit->size, error);
}

/* 0, or an errno. */
static int write_all(int fd, const char *bytes, apr_size_t length)
{
    while (length > 0) {
        ssize_t count = write(fd, bytes, length);

        if (count < 0 && errno != EINTR) {
            return errno;
        }
        if (count > 0) {
            bytes += count;
            length -= (apr_size_t)count;
        }
    }
    return 0;
}

/* 0, or an errno. */
static int put_on_disk(const audit_t *audit)
{
    int number;

    pulse_pause();
    number = write_all(audit->fd, audit->pending, audit->pending_length);
    if (number == 0 && fdatasync(audit->fd) != 0) {
        number = errno; /* the kernel may have dropped these pages: only writing them again helps */
    }
    pulse_go_on();
    return number;
}

apr_status_t audit_commit(audit_t *audit, const char **error)
{
    apr_status_t status;
    int number;

    *error = NULL;
    status = audit_settle(audit, error);
    if (status != APR_SUCCESS || audit->pending_length == 0) {
        return status;
    }
    number = put_on_disk(audit);
    if (number != 0) {
        audit->half_written = 1;
        return audit_fail(audit, "the record cannot be written, so no system may be touched", number, error);
    }
    status = audit_examine(audit, audit->size + (apr_off_t)audit->pending_length, error);
    if (status != APR_SUCCESS) {
        audit->half_written = 1;
        return status;
    }
    audit->size += (apr_off_t)audit->pending_length;
    audit->pending_length = 0;
    audit->head = audit->next;
    return APR_SUCCESS;
}

void audit_head(const audit_t *audit, const char **hash, apr_uint64_t *count)
{
    *hash = audit->head.hash;
    *count = audit->head.count;
}

/* ---- rotation ------------------------------------------------------------------------------------------ */

static int is_still_there(const audit_t *audit)
{
    struct stat named, opened;

    return lstat(audit->file, &named) == 0 && fstat(audit->fd, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

/* What became of the file before, if it is not there as it was written; NULL: it is, or *error says why that is not
 * known. */
static const char *lost_of(const audit_t *audit, const char **error)
{
    struct stat info;

    if (fstat(audit->fd, &info) != 0) {
        *error = audit_errno(audit, "the file before cannot be examined");
        return NULL;
    }
    if (info.st_nlink == 0) {
        return "the file before this one was removed";
    }
    return info.st_size != audit->size ? "the file before this one was written or cut by someone else" : NULL;
}

/* The first line of the new file says so, behind those that wait. */
static const char *record_lost(audit_t *audit, const char *lost)
{
    json_t *fields = json_pack("{s:I, s:s}", "records", (json_int_t)audit->head.count, "text", lost);

    return audit_add(audit, AUDIT_EVENT_LOST, fields) == APR_SUCCESS
               ? NULL
               : apr_psprintf(audit->pool, "%s: its loss cannot be recorded", audit->file);
}

/* Opens the next file of the record, which must be empty. */
static const char *open_next(audit_t *audit, int *fd)
{
    struct stat info = {0};
    const char *error = open_file(audit, O_CREAT, fd, &info);

    if (error == NULL && info.st_size != 0) {
        close(*fd);
        error = apr_psprintf(audit->pool,
                             "%s: is not empty, so it is not the next file of this record; move it away",
                             audit->file);
    }
    return error;
}

const char *audit_reopen(audit_t *audit)
{
    const char *error, *lost;
    int fd;

    if (is_still_there(audit)) {
        return NULL;
    }
    if ((error = open_next(audit, &fd)) != NULL) {
        return error;
    }
    if (audit->half_written && (errno = cut_half_written(audit)) != 0) {
        error = audit_errno(audit, "the file before ends in a half-written line");
    }
    audit->half_written = 0;
    lost = lost_of(audit, &error);
    close(audit->fd);
    audit->fd = fd;
    audit->size = 0;
    return lost != NULL ? record_lost(audit, lost) : error;
}
