/* SPDX-License-Identifier: Apache-2.0 */
/* See starts_priv.h. The kernel's text counts at the beginning of a line: behind other text it may be a log's, and old. */
#include "unlock/starts_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Lines of several processors come in any order. */
#define OUT_OF_ORDER 2

static int begins_with_one_of(const char *text, const char *const *beginnings)
{
    for (; *beginnings != NULL; beginnings++) {
        if (strncasecmp(text, *beginnings, strlen(*beginnings)) == 0) {
            return 1;
        }
    }
    return 0;
}

/* -1: there are none. */
static long kernel_seconds(const char *kernel)
{
    return kernel[0] == '[' ? strtol(kernel + 1, NULL, 10) : -1;
}

static int kernel_starts(const char *kernel)
{
    static const char *const texts[] = {
        "Linux version ",          "Kernel panic - not syncing", "reboot: Restarting system",
        "reboot: machine restart", "reboot: Power down",         NULL};
    const char *text = strstr(kernel, "] ");

    return text != NULL && begins_with_one_of(text + 2, texts);
}

static int loader_starts(const char *line)
{
    static const char *const texts[] = {"Welcome to GRUB",
                                        "GRUB loading",
                                        "GNU GRUB ",
                                        "SeaBIOS (",
                                        "BdsDxe: ",
                                        "Loading Linux ",
                                        "EFI stub: ",
                                        "Booting `",
                                        "SYSLINUX ",
                                        "ISOLINUX ",
                                        "iPXE ",
                                        "American Megatrends",
                                        "PhoenixBIOS ",
                                        "Phoenix SecureCore",
                                        "systemd-boot ",
                                        "Linux version ",
                                        NULL};

    return begins_with_one_of(line + strspn(line, " "), texts);
}

int starts_with_line(starts_t *starts, const char *line, const char *kernel)
{
    long seconds = kernel == line ? kernel_seconds(kernel) : -1;
    long before = starts->seconds;

    if (seconds < 0) {
        return loader_starts(line);
    }
    starts->seconds = seconds;
    return kernel_starts(kernel) || seconds + OUT_OF_ORDER < before;
}
