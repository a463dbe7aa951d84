/* SPDX-License-Identifier: Apache-2.0 */
#include "base/system_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static const char *system_log_socket(void)
{
#ifdef AMTUNLOCK_TEST
    const char *other = getenv("AMTUNLOCK_TEST_SYSTEM_LOG");

    if (other != NULL) {
        return other;
    }
#endif
    return _PATH_LOG;
}

/* As syslog(3) writes it: priority, local time, who, text. */
static size_t write_system_line(char *line, size_t size, int priority, const char *text)
{
    time_t now = time(NULL);
    char stamp[32] = "";
    struct tm parts;
    int length = 0;

    if (localtime_r(&now, &parts) != NULL) {
        strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &parts);
    }
    length = snprintf(line, size, "<%d>%s %s[%d]: %s", LOG_USER | priority, stamp,
                      program_invocation_short_name, (int)getpid(), text);
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

system_log_e system_log(int priority, const char *text)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = system_log_socket();
    char line[LINE_MAX_BYTES];
    size_t length = write_system_line(line, sizeof(line), priority, text);
    system_log_e outcome = SYSTEM_LOG_TAKEN;
    int fd = -1;

    if (strlen(path) >= sizeof(to.sun_path)) {
        return SYSTEM_LOG_ABSENT;
    }
    memcpy(to.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return SYSTEM_LOG_REFUSED;
    }
    if (sendto(fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof(to)) < 0) {
        outcome = errno == ENOENT ? SYSTEM_LOG_ABSENT : SYSTEM_LOG_REFUSED;
    }
    close(fd);
    return outcome;
}
