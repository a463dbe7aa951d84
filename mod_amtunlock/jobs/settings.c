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
    const size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

    if (path[0] != '/') {
        return apr_psprintf(pool, "unix:%s is no absolute path", path);
    }
    if (strlen(path) >= room) {
        return apr_psprintf(pool, "the socket's path is longer than the %d characters that the system allows",
                            (int)room - 1);
    }
    redis->socket = apr_pstrdup(pool, path);
    return NULL;
}

const char *jobs_redis_parse(const char *address, jobs_redis_t *redis, apr_pool_t *pool)
{
    char *end = NULL;

    redis->socket = NULL;
    redis->host = NULL;
    redis->port = 0;
    if (!strncmp(address, "unix:", 5)) {
        return parse_socket(address + 5, redis, pool);
    }
    const char *colon = strrchr(address, ':');
    const char *host = address;
    const char *host_end = colon;
    if (!colon || colon == address) {
        return apr_psprintf(pool, "%s is neither unix:PATH nor HOST:PORT", address);
    }
    if (address[0] == '[') {
        host++;
        host_end--;
        if (host_end <= host || *host_end != ']') {
            return apr_psprintf(pool, "%s is not [ADDRESS]:PORT", address);
        }
    }
    else if (memchr(address, ':', (size_t)(colon - address))) {
        return apr_psprintf(pool, "%s: write an IPv6 address as [ADDRESS]:PORT", address);
    }
    errno = 0;
    long port = strtol(colon + 1, &end, 10);
    if (errno || end == colon + 1 || *end || port < 1 || port > 65535) {
        return apr_psprintf(pool, "%s: the port is a number from 1 to 65535", address);
    }
    redis->host = apr_pstrmemdup(pool, host, (apr_size_t)(host_end - host));
    redis->port = (int)port;
    return NULL;
}

/* Up to the first line end, if there is one within the room. Not by apr_file_gets(): where reading fails in
 * the middle, that gives what it has as if it were the line. */
static apr_status_t read_line(apr_file_t *file, char *line, apr_size_t room)
{
    apr_status_t rv = APR_SUCCESS;
    apr_size_t length = 0;

    while (rv == APR_SUCCESS && length < room - 1 && !memchr(line, '\n', length)) {
        apr_size_t count = room - 1 - length;

        rv = apr_file_read(file, line + length, &count);
        length += rv == APR_SUCCESS ? count : 0;
    }
    line[length] = '\0';
    return APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
}

const char *jobs_redis_read_password(const char *file, const char **password, apr_pool_t *pool)
{
    char line[PASSWORD_MAX_LENGTH + 2];
    apr_file_t *handle = NULL;
    apr_status_t rv = apr_file_open(&handle, file, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, pool);

    if (rv != APR_SUCCESS) {
        return apr_psprintf(pool, "%s cannot be read: %s", file, text_strerror(rv, pool));
    }
    rv = read_line(handle, line, sizeof(line));
    apr_file_close(handle);
    if (rv != APR_SUCCESS) {
        OPENSSL_cleanse(line, sizeof(line));
        return apr_psprintf(pool, "%s cannot be read: %s", file, text_strerror(rv, pool));
    }
    size_t length = strcspn(line, "\r\n");
    const char *wrong = NULL;
    if (length == 0) {
        wrong = "the first line, which is the password, is empty";
    }
    else if (length > PASSWORD_MAX_LENGTH) {
        wrong = "the first line is too long for a password";
    }
    else {
        *password = apr_pstrmemdup(pool, line, length);
    }
    OPENSSL_cleanse(line, sizeof(line));
    return wrong ? apr_psprintf(pool, "%s: %s", file, wrong) : NULL;
}
