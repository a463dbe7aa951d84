/* SPDX-License-Identifier: Apache-2.0 */
/* Where Redis is, as an administrator writes it. */
#include "jobs/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <apr_file_io.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "base/text.h"

#define PASSWORD_MAX_LENGTH 512

static const char *parse_socket(const char *path, jobs_redis_t *redis, apr_pool_t *pool)
{
    const size_t size = sizeof(((struct sockaddr_un *)NULL)->sun_path);

    if (path[0] != '/') {
        return apr_psprintf(pool, "unix:%s is no absolute path", path);
    }
    if (strlen(path) >= size) {
        return apr_psprintf(pool, "the socket's path is longer than the %d characters that the system allows",
                            (int)size - 1);
    }
    redis->socket = apr_pstrdup(pool, path);
    return NULL;
}

const char *jobs_redis_parse(const char *address, jobs_redis_t *redis, apr_pool_t *pool)
{
    const char *colon = strrchr(address, ':');
    const char *host = address;
    const char *host_end = colon;
    char *end = NULL;
    long port;

    redis->socket = NULL;
    redis->host = NULL;
    redis->port = 0;
    if (!strncmp(address, "unix:", 5)) {
        return parse_socket(address + 5, redis, pool);
    }
    if (colon == NULL || colon == address) {
        return apr_psprintf(pool, "%s is neither unix:PATH nor HOST:PORT", address);
    }
    if (address[0] == '[') {
        host++;
        host_end--;
        if (host_end <= host || *host_end != ']') {
            return apr_psprintf(pool, "%s is not [ADDRESS]:PORT", address);
        }
    }
    else if (memchr(address, ':', (size_t)(colon - address)) != NULL) {
        return apr_psprintf(pool, "%s: write an IPv6 address as [ADDRESS]:PORT", address);
    }
    errno = 0;
    port = strtol(colon + 1, &end, 10);
    if (errno || end == colon + 1 || *end || port < 1 || port > 65535) {
        return apr_psprintf(pool, "%s: the port is a number from 1 to 65535", address);
    }
    redis->host = apr_pstrmemdup(pool, host, (apr_size_t)(host_end - host));
    redis->port = (int)port;
    return NULL;
}

/* Reads at least up to the first line end, if there is one within `size`. Not by apr_file_gets(): if reading
 * fails in the middle of a line, that gives the part it has read as if it were the line. */
static apr_status_t read_line(apr_file_t *file, char *line, apr_size_t size)
{
    apr_status_t status = APR_SUCCESS;
    apr_size_t length = 0;

    while (status == APR_SUCCESS && length < size - 1 && memchr(line, '\n', length) == NULL) {
        apr_size_t count = size - 1 - length;

        status = apr_file_read(file, line + length, &count);
        length += status == APR_SUCCESS ? count : 0;
    }
    line[length] = '\0';
    return APR_STATUS_IS_EOF(status) ? APR_SUCCESS : status;
}

const char *jobs_redis_read_password(const char *file, const char **password, apr_pool_t *pool)
{
    char line[PASSWORD_MAX_LENGTH + 2];
    apr_file_t *handle = NULL;
    const char *wrong = NULL;
    size_t length, mark;
    apr_status_t status = apr_file_open(&handle, file, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, pool);

    if (status != APR_SUCCESS) {
        return apr_psprintf(pool, "%s cannot be read: %s", file, text_strerror(status, pool));
    }
    status = read_line(handle, line, sizeof(line));
    apr_file_close(handle);
    if (status != APR_SUCCESS) {
        OPENSSL_cleanse(line, sizeof(line));
        return apr_psprintf(pool, "%s cannot be read: %s", file, text_strerror(status, pool));
    }
    mark = text_mark_length(line, strlen(line));
    length = strcspn(line + mark, "\r\n");
    if (text_is_utf16(line, strlen(line))) {
        wrong = "is UTF-16; save it as UTF-8";
    }
    else if (length == 0) {
        wrong = "the first line, which is the password, is empty";
    }
    else if (length > PASSWORD_MAX_LENGTH) {
        wrong = "the first line is too long for a password";
    }
    else {
        *password = apr_pstrmemdup(pool, line + mark, length);
    }
    OPENSSL_cleanse(line, sizeof(line));
    return wrong != NULL ? apr_psprintf(pool, "%s: %s", file, wrong) : NULL;
}
