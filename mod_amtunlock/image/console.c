/* SPDX-License-Identifier: Apache-2.0 */
#include "image/console_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "image/image_priv.h"

#define WRITE_MS 500
#define INTEL 0x8086
#define PCI_SERIAL 0x0700 /* the class without its interface */

static long device_number(const char *device, const char *what)
{
    char path[PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/%s", device, what);
    return image_number(path);
}

/* 2: AMT's. 1: of another PCI serial controller. 0: neither. Between a port and its PCI device stand none to three others,
 * as the kernel's age has it. */
static int port_rank(const char *sys, const char *name)
{
    char link[PATH_MAX], device[PATH_MAX];
    char *end;

    snprintf(link, sizeof(link), "%s/class/tty/%s/device", sys, name);
    if (realpath(link, device) == NULL) {
        return 0;
    }
    for (int level = 0; level < 4 && (end = strrchr(device, '/')) != NULL && end != device;
         level++, *end = '\0') {
        long class = device_number(device, "class");

        if (class >= 0 && device_number(device, "vendor") >= 0) {
            return class >> 8 != PCI_SERIAL ? 0 : device_number(device, "vendor") == INTEL ? 2 : 1;
        }
    }
    return 0;
}

void console_find(const char *sys, char name[CONSOLE_NAME_MAX])
{
    char path[PATH_MAX];
    struct dirent *entry;
    int best = 0;
    DIR *folder;

    snprintf(name, CONSOLE_NAME_MAX, "ttyS0");
    snprintf(path, sizeof(path), "%s/class/tty", sys);
    folder = opendir(path);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        int rank = strlen(entry->d_name) < CONSOLE_NAME_MAX ? port_rank(sys, entry->d_name) : 0;

        if (rank > best) {
            best = rank;
            memcpy(name, entry->d_name, strlen(entry->d_name) + 1);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

int console_open(const char *name)
{
    char path[CONSOLE_NAME_MAX + 8];
    struct termios line;
    int port;

    snprintf(path, sizeof(path), "/dev/%s", name);
    port = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (port >= 0 && tcgetattr(port, &line) == 0) {
        cfmakeraw(&line);
        line.c_cflag |= CLOCAL | CREAD;
        line.c_cflag &= ~(tcflag_t)(CRTSCTS | HUPCL | CSTOPB);
        cfsetspeed(&line, B115200);
        if (tcsetattr(port, TCSANOW, &line) == 0) {
            return port;
        }
    }
    if (port >= 0) {
        close(port);
    }
    return -1;
}

int console_write(int port, const char *line)
{
    size_t length = strlen(line);

    while (length > 0) {
        ssize_t written = write(port, line, length);

        if (written > 0) {
            line += written;
            length -= (size_t)written;
        }
        else if (written == 0 || errno == EAGAIN) {
            if (poll(&(struct pollfd){.fd = port, .events = POLLOUT}, 1, WRITE_MS) <= 0) {
                return 0;
            }
        }
        else if (errno != EINTR) {
            return 0;
        }
    }
    return 1;
}

int console_read(int port, long wait, char *bytes, size_t size)
{
    struct pollfd polled = {.fd = port, .events = POLLIN};
    ssize_t length;

    if (poll(&polled, 1, (int)wait) <= 0) {
        return 0;
    }
    length = read(port, bytes, size);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return length > 0 ? (int)length : -1;
}
