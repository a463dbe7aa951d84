/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that runs on through a restart of httpd would write to the error log of before: to a file that logrotate
 * moved away, or to a logger that waits for its end. It cannot open the new one, which is root's. So it has a socket
 * from httpd's parent, through which it gets the new descriptor.
 *
 * The parent's end is in retained data: it outlives this module's unloading. Children close it, so that none of
 * them can tell the worker where to log.
 */
#include "httpd/log_channel_priv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <httpd.h>

#include <http_config.h> /* needs httpd.h */

#define RETAINED_KEY "mod_amtunlock-log-channel"

typedef struct {
    int fd; /* the parent's end; valid where `open` */
    int open;
} log_channel_t;

void amtunlock_log_channel_close(void)
{
    log_channel_t *channel = ap_retained_data_get(RETAINED_KEY);

    if (channel != NULL && channel->open) {
        close(channel->fd);
        channel->open = 0;
    }
}

int amtunlock_log_channel_open(void)
{
    log_channel_t *channel = ap_retained_data_get(RETAINED_KEY);
    int fds[2];

    if (channel == NULL) {
        channel = ap_retained_data_create(RETAINED_KEY, sizeof(*channel));
    }
    amtunlock_log_channel_close();
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
        return -1;
    }
    channel->fd = fds[0];
    channel->open = 1;
    return fds[1];
}

int amtunlock_log_channel_send(void)
{
    const log_channel_t *channel = ap_retained_data_get(RETAINED_KEY);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte = 'L';
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    const int log = STDERR_FILENO; /* httpd puts its error log there before post_config */

    if (channel == NULL || !channel->open) {
        return 0;
    }
    memset(&control, 0, sizeof(control));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(log));
    memcpy(CMSG_DATA(&control.header), &log, sizeof(log));
    return sendmsg(channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}
