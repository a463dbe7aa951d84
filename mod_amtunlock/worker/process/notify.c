/* SPDX-License-Identifier: Apache-2.0 */
/* See notify.h. */
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

/* Parts of the manager's patience: how often it is told, and how old a pulse may be. */
#define TELLS 4
#define PULSES 2

/* ---- from the environment ------------------------------------------------------------------------------ */

/* The watchdog of another process, whose environment we were given, is not for us. */
static int is_ours(const char *pid)
{
    return pid == NULL || apr_atoi64(pid) == getpid();
}

static apr_interval_time_t read_patience(void)
{
    const char *text = getenv("WATCHDOG_USEC");
    apr_int64_t patience = text && is_ours(getenv("WATCHDOG_PID")) ? apr_atoi64(text) : 0;

    return patience > 0 ? patience : 0;
}

void notify_init(notify_t *notify)
{
    const char *address = getenv("NOTIFY_SOCKET");

    memset(notify, 0, sizeof(*notify));
    if (address && (address[0] == '/' || address[0] == '@') && strlen(address) < sizeof(notify->address)) {
        apr_cpystrn(notify->address, address, sizeof(notify->address));
        notify->patience = read_patience();
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

int notify_send(const notify_t *notify, const char *words)
{
    struct sockaddr_un to;

    if (notify->address[0] == '\0') {
        return 0;
    }
    socklen_t length = make_address(notify, &to);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return 0;
    }
    /* A manager that does not listen must not hold up the worker. */
    ssize_t sent =
        sendto(fd, words, strlen(words), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to, length);
    close(fd);
    return sent == (ssize_t)strlen(words);
}

/* ---- the watchdog -------------------------------------------------------------------------------------- */

apr_interval_time_t notify_interval(const notify_t *notify)
{
    return notify->patience ? notify->patience / TELLS : -1;
}

void notify_watchdog(notify_t *notify, apr_time_t oldest_pulse)
{
    apr_time_t now = clock_boottime();

    if (!notify->patience || now < notify->due) {
        return;
    }
    notify->due = now + notify->patience / TELLS;
    int stuck = now - oldest_pulse > notify->patience / PULSES;
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
