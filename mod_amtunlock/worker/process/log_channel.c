/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/process/log_channel_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptor of the channel; -1: none. */
static int log_channel = -1;

/* One descriptor of those that wait; -1: none waits. */
static int receive_descriptor(void)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    const struct cmsghdr *header;
    int fd = -1;

    if (recvmsg(log_channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0) {
        return -1;
    }
    header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(fd))) {
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    }
    return fd;
}

void log_channel_follow(void)
{
    int fd;

    while (log_channel >= 0 && (fd = receive_descriptor()) >= 0) {
        dup2(fd, STDERR_FILENO);
        close(fd);
    }
}

void log_channel_init(void)
{
    const char *number = getenv("AMTUNLOCK_LOG_CHANNEL");
    int fd = number != NULL && strcmp(number, "3") == 0 ? 3 : -1;
    int type = 0;
    socklen_t length = sizeof(type);

    unsetenv("AMTUNLOCK_LOG_CHANNEL");
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0) {
        return;
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETOWN, getpid()) == 0 &&
        fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) == 0) {
        log_channel = fd;
        log_channel_follow(); /* what came before SIGIO was asked for */
    }
}
