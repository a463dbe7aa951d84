/* SPDX-License-Identifier: Apache-2.0 */
/* Lines out of a descriptor by way of the secure heap. */
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/text.h"
#include "secrets/provider_priv.h"

#define BUFFER_SIZE (SECRETS_LINE_MAX + 1)

int secrets_lines_open(secrets_lines_t *lines, secrets_read_fn *read, void *context)
{
    memset(lines, 0, sizeof(*lines));
    lines->read = read;
    lines->context = context;
    lines->buffer = OPENSSL_secure_malloc(BUFFER_SIZE);
    return lines->buffer != NULL;
}

/* Only an editor or a copy from elsewhere leaves one within a line, and behind it there may be another line: no secret
 * may be read from such a line. */
static const char *bytes_fault(const char *line, apr_size_t length)
{
    if (text_is_utf16(line, length)) {
        return "the text is UTF-16; save it as UTF-8";
    }
    if (memchr(line, '\0', length) != NULL) {
        return "the line holds a NUL byte";
    }
    return memchr(line, '\r', length) != NULL
               ? "the line holds a carriage return; lines must end in LF or CRLF"
               : NULL;
}

/* Moves what is left to the front and reads more behind it. */
static void lines_fill(secrets_lines_t *lines)
{
    apr_ssize_t count;

    memmove(lines->buffer, lines->buffer + lines->begin, lines->end - lines->begin);
    lines->end -= lines->begin;
    lines->begin = 0;
    if (lines->end == BUFFER_SIZE) {
        lines->fault = bytes_fault(lines->buffer, lines->end);
        lines->fault = lines->fault != NULL ? lines->fault : "the line is longer than 4095 bytes";
        lines->number++;
        return;
    }
    do {
        count = lines->read(lines->context, lines->buffer + lines->end, BUFFER_SIZE - lines->end);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        lines->fault = "reading failed";
    }
    else if (count == 0) {
        lines->at_end = 1;
    }
    else {
        lines->end += (apr_size_t)count;
    }
}

/* The line from begin to `stop`, where its line end (or the end of everything) is. */
static char *lines_cut(secrets_lines_t *lines, char *stop)
{
    char *line = lines->buffer + lines->begin;

    lines->number++;
    lines->begin = (apr_size_t)(stop - lines->buffer) + 1;
    if (lines->begin > lines->end) {
        lines->begin = lines->end;
    }
    if (stop > line && stop[-1] == '\r') {
        stop--;
    }
    lines->fault = bytes_fault(line, (apr_size_t)(stop - line));
    if (lines->fault != NULL) {
        return NULL;
    }
    *stop = '\0';
    return lines->number == 1 ? line + text_mark_length(line, (apr_size_t)(stop - line)) : line;
}

char *secrets_lines_next(secrets_lines_t *lines)
{
    while (lines->fault == NULL) {
        char *begin = lines->buffer + lines->begin;
        char *stop = memchr(begin, '\n', lines->end - lines->begin);

        if (stop != NULL) {
            return lines_cut(lines, stop);
        }
        if (lines->at_end && lines->begin == lines->end) {
            return NULL;
        }
        if (lines->at_end && lines->end < BUFFER_SIZE) {
            return lines_cut(lines, lines->buffer + lines->end); /* a last line without line end */
        }
        lines_fill(lines);
    }
    return NULL;
}

void secrets_lines_close(secrets_lines_t *lines)
{
    OPENSSL_secure_clear_free(lines->buffer, BUFFER_SIZE);
    lines->buffer = NULL;
}
