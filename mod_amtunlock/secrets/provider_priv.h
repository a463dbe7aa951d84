/* SPDX-License-Identifier: Apache-2.0 */
/* Inside secrets: what a provider is, and how it reads without leaving traces.
 *
 * Nothing that may hold a secret goes through stdio, a pool or the plain heap: lines are read into a block of
 * the secure heap, cut up in place, and wiped.
 */
#ifndef AMTUNLOCK_SECRETS_PROVIDER_PRIV_H
#define AMTUNLOCK_SECRETS_PROVIDER_PRIV_H

#include <apr_time.h>

#include "secrets/secrets.h"

typedef enum { SECRETS_AMT, SECRETS_DISK } secrets_need_e;

/* What was found, in the secure heap, and the provider that had it; all NULL before. */
typedef struct {
    char *user;   /* SECRETS_AMT only */
    char *secret; /* password or passphrase */
    char *volume; /* whose own passphrase it is; NULL: the system's */
    const char *source;
} secrets_found_t;

typedef struct {
    const char *scheme;
    /* NULL, or an error message that begins with the path. */
    const char *(*check)(const char *path, apr_pool_t *pool);
    /* APR_SUCCESS, APR_NOTFOUND, or any other status and *error as from check(). */
    apr_status_t (*find)(const char *path, secrets_need_e need, const secrets_subject_t *subject,
                         secrets_found_t *found, const char **error, apr_pool_t *pool);
} secrets_provider_t;

extern const secrets_provider_t secrets_file_provider;
extern const secrets_provider_t secrets_helper_provider;

/* As the helper provider asks, with a time limit of the caller. */
apr_status_t secrets_helper_ask(const char *path, secrets_need_e need, const secrets_subject_t *subject,
                                apr_interval_time_t limit, secrets_found_t *found, const char **error,
                                apr_pool_t *pool);

/* ---- memory (heap.c) ----------------------------------------------------------------------------------- */

/* A copy in the secure heap; NULL if that is full. */
char *secrets_copy(const char *text, apr_size_t length);
void secrets_found_wipe(secrets_found_t *found);

/* ---- lines (lines.c) ----------------------------------------------------------------------------------- */

#define SECRETS_LINE_MAX 4095 /* bytes, without the line end */

/* Bytes read (0 at the end), or -1 and errno. */
typedef apr_ssize_t(secrets_read_fn)(void *context, char *buffer, apr_size_t size);

typedef struct {
    secrets_read_fn *read;
    void *context;
    char *buffer; /* SECRETS_LINE_MAX + 1 bytes of the secure heap */
    apr_size_t begin, end;
    unsigned int number; /* of the line given last, from 1 */
    int at_end;
    const char *fault; /* what ended reading before the end, or NULL */
} secrets_lines_t;

/* False if the secure heap is full. */
int secrets_lines_open(secrets_lines_t *lines, secrets_read_fn *read, void *context);
/* The next line, terminated, without its line end (LF or CRLF); it may be written to, and is gone with the
 * next call. NULL at the end or at a fault. */
char *secrets_lines_next(secrets_lines_t *lines);
/* Wipes and gives back the buffer. */
void secrets_lines_close(secrets_lines_t *lines);

#endif
