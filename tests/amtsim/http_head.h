/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an HTTP/1.1 request, read strictly. */
#ifndef AMTSIM_HTTP_HEAD_H
#define AMTSIM_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#define HEAD_MAX 8192
#define BODY_MAX 65536

struct http_head {
    const char *method, *uri;
    const char *host, *authorization, *content_type, *connection, *expect; /* NULL where missing */
    const char *length, *encoding;
    size_t body_size;
    bool close; /* the client wants the connection closed behind the answer */
};

/* Reads `text`, which ends behind the last header line's CRLF, in place: the pointers go into it. Returns 0,
 * or the status that says what is wrong with it. */
int http_head_read(struct http_head *head, char *text);

#endif
