/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static FILE *file;
static struct timespec start;

int log_open(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    clock_gettime(CLOCK_MONOTONIC, &start);
    file = fd < 0 ? NULL : fdopen(fd, "a");
    if (!file) {
        fprintf(stderr, "amtsim: log %s: %s\n", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return 0;
}

double log_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
}

void log_event(const char *system, const char *event, json_t *fields)
{
    json_t *line = json_pack("{s:f, s:s, s:s}", "t", log_clock(), "system", system, "event", event);

    if (fields && line)
        json_object_update(line, fields);
    json_decref(fields);
    if (!line || !file)
        return;
    /* one write a line: a reader that follows the file never sees half an event */
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text) {
        fprintf(file, "%s\n", text);
        fflush(file);
    }
    free(text);
    json_decref(line);
}

void log_close(void)
{
    if (file)
        fclose(file);
    file = NULL;
}
