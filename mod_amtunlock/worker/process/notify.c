/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/process/notify_priv.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/log.h"
#include "jobs/jobs.h"

/* Parts of the watchdog's timeout: how often it is fed, and how old the oldest pulse may be. */
#define FEEDS 4
#define PULSES 2

/* ---- from the environment ------------------------------------------------------------------------------ */

/* The environment may have been inherited from another process that the watchdog is meant for. */
static int is_watchdog_ours(const char *pid)
{
    return pid == NULL || apr_atoi64(pid) == getpid();
}

static apr_interval_time_t read_timeout(void)
{
    const char *text = getenv("WATCHDOG_USEC");
    apr_int64_t timeout = text != NULL && is_watchdog_ours(getenv("WATCHDOG_PID")) ? apr_atoi64(text) : 0;

    return timeout > 0 ? timeout : 0;
}

void notify_init(notify_t *notify)
{
    const char *address = getenv("NOTIFY_SOCKET");

    memset(notify, 0, sizeof(*notify));
    if (address != NULL && (address[0] == '/' || address[0] == '@') &&
        strlen(address) < sizeof(notify->address)) {
        apr_cpystrn(notify->address, address, sizeof(notify->address));
        notify->timeout = read_timeout();
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

/* ---- sending ------------------------------------------------------------------------------------------- */

/* '@' stands for the zero byte that an abstract address begins with. */
static socklen_t make_address(const notify_t *notify, struct sockaddr_un *to)
{
    size_t length = strlen(notify->address);

    memset(to, 0, sizeof(*to));
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, notify->address, length);
    if (to->sun_path[0] == '@') {
        to->sun_path[0] = '\0';
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

int notify_send(const notify_t *notify, const char *text)
{
    struct sockaddr_un to;
    socklen_t length = 0;
    ssize_t sent = 0;
    int fd = -1;

    if (notify->address[0] == '\0') {
        return 0;
    }
    length = make_address(notify, &to);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return 0;
    }
    /* A manager that does not read must not hold up the worker. */
    sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to, length);
    close(fd);
    return sent == (ssize_t)strlen(text);
}

/* ---- the watchdog -------------------------------------------------------------------------------------- */

apr_interval_time_t notify_interval(const notify_t *notify)
{
    return notify->timeout > 0 ? notify->timeout / FEEDS : -1;
}

void notify_watchdog(notify_t *notify, apr_time_t oldest_pulse)
{
    apr_time_t now = clock_boottime();
    int stuck = now - oldest_pulse > notify->timeout / PULSES;

    if (notify->timeout == 0 || now < notify->due) {
        return;
    }
    notify->due = now + notify->timeout / FEEDS;
    if (stuck && !notify->stuck) {
        log_error("AMTU0308", "a thread is stuck, so the watchdog is not told that the worker lives",
                  "seconds", log_number(LOG_NUMBER, apr_time_sec(now - oldest_pulse)));
    }
    if (!stuck && notify->stuck) {
        log_info("AMTU0309", "every thread goes on again");
    }
    notify->stuck = stuck;
    if (!stuck) {
        notify_send(notify, "WATCHDOG=1");
    }
}
