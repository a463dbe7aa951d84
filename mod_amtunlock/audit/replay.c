/* SPDX-License-Identifier: Apache-2.0 */
/* Reading back what was written lately, across rotations. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "audit/audit.h"
#include "audit/record_priv.h"
#include "base/pulse.h"
#include "base/text.h"

typedef struct {
    char since[AUDIT_TIME_SIZE];
    audit_replay_fn each;
    void *baton;
    int only_first; /* reads the first record alone: */
    int reaches_back;
} replay_t;

/* True if it goes on with the next line. */
static int take_line(replay_t *replay, const char *line, apr_size_t length)
{
    const char *time;
    json_t *record;

    record = audit_record_is_whole(line, length) ? json_loadb(line, length, 0, NULL) : NULL;
    if (record == NULL) {
        return 1;
    }
    time = json_string_value(json_object_get(record, "t"));
    if (replay->only_first) {
        replay->reaches_back = time != NULL && strcmp(time, replay->since) < 0;
    }
    else if (time != NULL && strcmp(time, replay->since) >= 0) {
        replay->each(replay->baton, record);
    }
    json_decref(record);
    return !replay->only_first;
}

static FILE *open_stream(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    FILE *stream = fd >= 0 ? fdopen(fd, "r") : NULL;

    if (fd >= 0 && stream == NULL) {
        close(fd);
    }
    return stream;
}

/* 0, or an errno: getline() without memory ends as at the end of a file, but is not there. */
static int stream_error(FILE *stream, int goes_on)
{
    int number = errno ? errno : EIO;

    return !goes_on || (feof(stream) && !ferror(stream)) ? 0 : number;
}

static const char *read_lines(replay_t *replay, const char *file, apr_pool_t *pool)
{
    FILE *stream = open_stream(file);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = 0;
    int goes_on = 1, number;

    while (stream != NULL && goes_on && (length = getline(&line, &capacity, stream)) > 0) {
        apr_size_t text = (apr_size_t)length - (line[length - 1] == '\n');

        goes_on = take_line(replay, line, text);
        pulse_go_on();
    }
    number = stream != NULL ? stream_error(stream, goes_on) : errno;
    if (stream != NULL) {
        fclose(stream);
    }
    free(line);
    return number ? text_file_error(file, "cannot be read back", number, pool) : NULL;
}

/* Index of the oldest file that may hold what is wanted: none before one whose first record is older. */
static const char *find_oldest(replay_t *replay, const apr_array_header_t *files, int *oldest,
                               apr_pool_t *pool)
{
    const char *error = NULL;

    replay->only_first = 1;
    for (*oldest = files->nelts; error == NULL && *oldest > 0 && !replay->reaches_back;) {
        error = read_lines(replay, APR_ARRAY_IDX(files, --*oldest, const char *), pool);
    }
    replay->only_first = 0;
    return error;
}

const char *audit_replay(const char *file, apr_time_t since, audit_replay_fn each, void *baton,
                         apr_pool_t *pool)
{
    replay_t replay = {.each = each, .baton = baton};
    apr_array_header_t *files;
    /* A file that was moved away and has no successor yet is among the others, which are listed after this. */
    int is_there = access(file, F_OK) == 0 || errno != ENOENT;
    const char *error = audit_list_rotated(file, &files, pool);
    int oldest = 0;

    audit_format_time(since, replay.since);
    if (is_there || files->nelts == 0) {
        APR_ARRAY_PUSH(files, const char *) = file;
    }
    if (error == NULL) {
        error = find_oldest(&replay, files, &oldest, pool);
    }
    for (int i = oldest; error == NULL && i < files->nelts; i++) {
        error = read_lines(&replay, APR_ARRAY_IDX(files, i, const char *), pool);
    }
    return error;
}
