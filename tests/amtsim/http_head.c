/* SPDX-License-Identifier: Apache-2.0 */
#include "http_head.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t at;
} headers[] = {
    {"Host", offsetof(struct http_head, host)},
    {"Authorization", offsetof(struct http_head, authorization)},
    {"Content-Type", offsetof(struct http_head, content_type)},
    {"Connection", offsetof(struct http_head, connection)},
    {"Expect", offsetof(struct http_head, expect)},
    {"Content-Length", offsetof(struct http_head, length)},
    {"Transfer-Encoding", offsetof(struct http_head, encoding)},
};

/* Cuts the text at the next CRLF. Returns what follows, NULL when there is none or a bare CR or LF comes
 * first. */
static char *cut_line(char *text)
{
    size_t length = strcspn(text, "\r\n");

    if (text[length] != '\r' || text[length + 1] != '\n')
        return NULL;
    text[length] = '\0';
    return text + length + 2;
}

static bool is_token(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++) {
        if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text))
            return false;
    }
    return true;
}

static int read_request_line(struct http_head *head, char *line)
{
    char *uri = strchr(line, ' '), *version = uri ? strchr(uri + 1, ' ') : NULL;

    if (!version || strchr(version + 1, ' '))
        return 400;
    *uri++ = '\0';
    *version++ = '\0';
    head->method = line;
    head->uri = uri;
    if (!is_token(head->method) || *uri != '/')
        return 400;
    if (!strcmp(version, "HTTP/1.1"))
        return 0;
    head->close = true;
    return strcmp(version, "HTTP/1.0") == 0 ? 0 : 505;
}

static int read_header(struct http_head *head, char *line)
{
    char *colon = strchr(line, ':');

    if (!colon)
        return 400;
    *colon = '\0';
    if (!is_token(line))
        return 400;
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t end = strlen(value); end > 0 && (value[end - 1] == ' ' || value[end - 1] == '\t'); end--)
        value[end - 1] = '\0';
    for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
        const char **place = (const char **)((char *)head + headers[i].at);
        if (strcasecmp(headers[i].name, line) != 0)
            continue;
        if (*place)
            return 400; /* which of the two? */
        *place = value;
    }
    return 0;
}

static int read_length(struct http_head *head)
{
    char *end;

    if (head->encoding)
        return 501; /* the devices take no chunks */
    if (!head->length)
        return strcmp(head->method, "POST") == 0 ? 411 : 0;
    if (!isdigit((unsigned char)head->length[0]))
        return 400;
    errno = 0;
    unsigned long size = strtoul(head->length, &end, 10);
    if (*end)
        return 400;
    if (errno || size > BODY_MAX)
        return 413;
    head->body_size = size;
    return 0;
}

int http_head_read(struct http_head *head, char *text)
{
    char *next = cut_line(text);
    int status;

    memset(head, 0, sizeof(*head));
    status = next ? read_request_line(head, text) : 400;
    while (!status && *next) {
        char *line = next;
        next = cut_line(line);
        status = next ? read_header(head, line) : 400;
    }
    if (status)
        return status;
    if (!head->host)
        return 400;
    if (head->connection && !strcasecmp(head->connection, "close"))
        head->close = true;
    return read_length(head);
}
