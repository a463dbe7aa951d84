/* SPDX-License-Identifier: Apache-2.0 */
#include "image/image_priv.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCREEN "/dev/tty0"

void image_say(const char *format, ...)
{
    int screen = open(SCREEN, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    va_list list;

    if (screen >= 0) {
        dprintf(screen, "amtunlock: ");
        va_start(list, format);
        vdprintf(screen, format, list);
        va_end(list);
        dprintf(screen, "\r\n");
        close(screen);
    }
}

long image_number(const char *path)
{
    char text[32] = "";
    char *end = text;
    long number = -1;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file >= 0) {
        if (read(file, text, sizeof(text) - 1) > 0) {
            number = strtol(text, &end, 0);
        }
        close(file);
    }
    return end != text ? number : -1;
}
