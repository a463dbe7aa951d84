/* SPDX-License-Identifier: Apache-2.0 */
/* The provider file:PATH. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "base/clock.h"
#include "base/owned_file.h"
#include "base/text.h"
#include "secrets/provider_priv.h"

#define BLANKS " \t"
#define WRITTEN_WITHIN apr_time_from_sec(4)
#define LOOK_AGAIN apr_time_from_msec(50)
#define SECRETS_VOLUME_MAX 255

/* A line cut up in place. */
typedef struct {
    secrets_need_e need;
    const char *pattern; /* NULL: a comment or an empty line */
    const char *user;
    const char *secret;
} entry_t;

/* True if `text` is what `pattern` with * and ? describes. A star remembers where it stood: when the rest
 * does not fit, it takes one character more. */
static int matches_pattern(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        }
        else if (*pattern == '?' || apr_tolower(*pattern) == apr_tolower(*text)) {
            pattern++;
            text++;
        }
        else if (star != NULL) {
            pattern = star + 1;
            text = ++resume;
        }
        else {
            return 0;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

/* Ends the field that begins at *at and moves *at behind the blanks after it. */
static const char *next_field(char **at)
{
    char *field = *at;

    *at += strcspn(*at, BLANKS);
    if (**at) {
        *(*at)++ = '\0';
        *at += strspn(*at, BLANKS);
    }
    return field;
}

/* NULL, or what is wrong with the line. */
static const char *parse_entry(char *line, entry_t *entry)
{
    const char *kind;

    memset(entry, 0, sizeof(*entry));
    line += strspn(line, BLANKS);
    if (*line == '\0' || *line == '#') {
        return NULL;
    }
    kind = next_field(&line);
    if (strcmp(kind, "amt") == 0) {
        entry->need = SECRETS_AMT;
        entry->pattern = next_field(&line);
        entry->user = next_field(&line);
        entry->secret = line;
        return *line ? NULL : "is not: amt PATTERN USER PASSWORD";
    }
    if (strcmp(kind, "disk") == 0) {
        entry->need = SECRETS_DISK;
        entry->pattern = next_field(&line);
        entry->secret = line;
        return *line ? NULL : "is not: disk PATTERN PASSPHRASE";
    }
    return "begins with neither amt nor disk";
}

/* What is wrong with an opened file, or NULL. */
static const char *not_private(const char *path, int fd, apr_pool_t *pool)
{
    struct stat info;

    if (fstat(fd, &info) != 0) {
        return text_file_error(path, "cannot be examined", errno, pool);
    }
    switch (owned_file_judge(&info, 077)) {
    case OWNED_FILE_NOT_REGULAR:
        return apr_psprintf(pool, "%s: is not a regular file", path);
    case OWNED_FILE_OTHER_OWNER:
        return apr_psprintf(
            pool, "%s: belongs to user %d, but must belong to the user that reads it (%d): chown it", path,
            (int)info.st_uid, (int)geteuid());
    case OWNED_FILE_OPEN_TO_OTHERS:
        return apr_psprintf(pool, "%s: others than its owner may use it (mode %04o): chmod 0600", path,
                            (unsigned int)(info.st_mode & 07777));
    case OWNED_FILE_GOOD:
        break;
    }
    return NULL;
}

/* O_NONBLOCK: open() must not wait for the other end of a pipe. */
static const char *open_private(const char *path, int *fd, apr_pool_t *pool)
{
    const char *error;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0) {
        return text_file_error(path, errno == ELOOP ? "is a symbolic link" : "cannot be opened", errno, pool);
    }
    error = not_private(path, *fd, pool);
    if (error != NULL) {
        close(*fd);
    }
    return error;
}

static apr_ssize_t read_fd(void *context, char *buffer, apr_size_t size)
{
    const int *fd = context;

    return read(*fd, buffer, size);
}

/* A volume's own lines and those of the system are two lists: no * of one may stand for the other. */
static int is_about(const entry_t *entry, secrets_need_e need, const secrets_subject_t *subject)
{
    const char *pattern = entry->pattern, *system = pattern;
    size_t length = 0;
    char volume[SECRETS_VOLUME_MAX + 1];

    if (pattern == NULL || entry->need != need) {
        return 0;
    }
    if (need == SECRETS_DISK && strchr(pattern, '@') != NULL) {
        system = strrchr(pattern, '@') + 1;
        length = (size_t)(system - pattern) - 1;
    }
    if ((system != pattern) != subject->own || length > SECRETS_VOLUME_MAX) {
        return 0;
    }
    apr_cpystrn(volume, pattern, length + 1);
    return (!subject->own || subject->volume == NULL || matches_pattern(volume, subject->volume)) &&
           (matches_pattern(system, subject->fqdn) ||
            (subject->uuid != NULL && matches_pattern(system, subject->uuid)));
}

static apr_status_t copy_entry(const entry_t *entry, secrets_found_t *found)
{
    found->user = entry->user != NULL ? secrets_copy(entry->user, strlen(entry->user)) : NULL;
    found->secret = secrets_copy(entry->secret, strlen(entry->secret));
    if (found->secret == NULL || (entry->user != NULL && found->user == NULL)) {
        secrets_found_wipe(found);
        return APR_ENOMEM;
    }
    return APR_SUCCESS;
}

/* Goes through the lines until one is about the subject (NULL: through all of them). */
static apr_status_t scan_lines(secrets_lines_t *lines, secrets_need_e need, const secrets_subject_t *subject,
                               secrets_found_t *found, const char **fault)
{
    entry_t entry;
    char *line;

    while ((line = secrets_lines_next(lines)) != NULL) {
        *fault = parse_entry(line, &entry);
        if (*fault != NULL) {
            return APR_EINVAL;
        }
        if (subject != NULL && is_about(&entry, need, subject)) {
            apr_status_t status = copy_entry(&entry, found);

            *fault = status == APR_SUCCESS ? NULL : "does not fit into the secure heap";
            return status;
        }
    }
    *fault = lines->fault;
    return *fault != NULL ? APR_EGENERAL : APR_NOTFOUND;
}

/* *cut: what was found may be the beginning of a line only. */
static apr_status_t scan_once(const char *path, secrets_need_e need, const secrets_subject_t *subject,
                              secrets_found_t *found, int *cut, const char **error, apr_pool_t *pool)
{
    secrets_lines_t lines;
    const char *fault;
    apr_status_t status;
    int fd;

    *error = open_private(path, &fd, pool);
    if (*error != NULL) {
        return APR_EACCES;
    }
    if (!secrets_lines_open(&lines, read_fd, &fd)) {
        close(fd);
        *error = apr_psprintf(pool, "%s: the secure heap is full", path);
        return APR_ENOMEM;
    }
    status = scan_lines(&lines, need, subject, found, &fault);
    if (fault != NULL) {
        *error = apr_psprintf(pool, "%s: line %u: %s", path, lines.number, fault);
    }
    *cut = lines.at_end;
    secrets_lines_close(&lines);
    close(fd);
    return status;
}

/* Somebody may be writing the file: what is read of it now may be the beginning of a password, which a PC would count
 * against the account. Then it is read again. */
static apr_status_t scan_file(const char *path, secrets_need_e need, const secrets_subject_t *subject,
                              secrets_found_t *found, const char **error, apr_pool_t *pool)
{
    apr_time_t deadline = clock_monotonic() + WRITTEN_WITHIN;
    struct stat info;
    int cut = 0;
    apr_status_t status = scan_once(path, need, subject, found, &cut, error, pool);

    while (subject != NULL && (status != APR_SUCCESS || cut) && stat(path, &info) == 0 &&
           owned_file_settles(&info) && clock_monotonic() < deadline) {
        if (found != NULL) {
            secrets_found_wipe(found);
        }
        apr_sleep(LOOK_AGAIN);
        status = scan_once(path, need, subject, found, &cut, error, pool);
    }
    return status;
}

/* The volume's own lines first, wherever they stand. */
static apr_status_t file_find(const char *path, secrets_need_e need, const secrets_subject_t *subject,
                              secrets_found_t *found, const char **error, apr_pool_t *pool)
{
    secrets_subject_t own;
    apr_status_t status = APR_NOTFOUND;

    if (subject != NULL && need == SECRETS_DISK && subject->volume != NULL && subject->volume[0] != '\0') {
        own = *subject;
        own.own = 1;
        status = scan_file(path, need, &own, found, error, pool);
    }
    if (status != APR_NOTFOUND || (subject != NULL && subject->own && subject->volume != NULL)) {
        return status;
    }
    return scan_file(path, need, subject, found, error, pool);
}

static const char *file_check(const char *path, apr_pool_t *pool)
{
    const char *error = NULL;

    file_find(path, SECRETS_AMT, NULL, NULL, &error, pool);
    return error;
}

const secrets_provider_t secrets_file_provider = {"file", file_check, file_find};
