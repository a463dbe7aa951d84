/* SPDX-License-Identifier: Apache-2.0 */
/* See starts_priv.h. The kernel's text counts at the beginning of a line: behind other text it may be a log's, and old. */
#include "unlock/starts_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "unlock/template_priv.h"

/* Lines of several processors come in any order. */
#define OUT_OF_ORDER 2

/* What they say first. */
static const char *const loaders[] = {"Welcome to GRUB", "GRUB loading", "GNU GRUB ", "Booting `",
                                      "Loading Linux ", "SYSLINUX ", "ISOLINUX ", "iPXE ", "systemd-boot ",
                                      /* firmware */
                                      "SeaBIOS (", "BdsDxe: ", "American Megatrends", "PhoenixBIOS ",
                                      "Phoenix SecureCore",
                                      /* a kernel that does not say its time yet */
                                      "EFI stub: ", "Linux version ", NULL};

static int begins_with_one_of(const char *text, const char *const *beginnings)
{
    for (; *beginnings != NULL; beginnings++) {
        if (strncasecmp(text, *beginnings, strlen(*beginnings)) == 0) {
            return 1;
        }
    }
    return 0;
}

static int kernel_says(const char *kernel, const char *const *texts)
{
    const char *text = strstr(kernel, "] ");

    return text != NULL && begins_with_one_of(text + 2, texts);
}

static int kernel_starts(const char *kernel)
{
    static const char *const texts[] = {"Linux version ", "Kernel panic - not syncing", NULL};

    return kernel_says(kernel, texts);
}

/* Behind it the firmware has the word. */
static int kernel_ends(const char *kernel)
{
    static const char *const texts[] = {"reboot: Restarting system", "reboot: machine restart",
                                        "reboot: Power down", NULL};

    return kernel_says(kernel, texts);
}

static int begins_anew(starts_t *starts, const char *line, const char *kernel)
{
    long seconds = kernel == line && kernel[0] == '[' ? strtol(kernel + 1, NULL, 10) : -1; /* -1: none */
    long before = starts->seconds;

    if (seconds < 0) {
        return begins_with_one_of(line + strspn(line, " "), loaders);
    }
    starts->seconds = seconds;
    return kernel_starts(kernel) || kernel_ends(kernel) || seconds + OUT_OF_ORDER < before;
}

/* Somebody at a shell may read an old log. */
int starts_with_line(starts_t *starts, const char *line, const char *kernel)
{
    int anew = begins_anew(starts, line, kernel);

    if (anew && starts->stage != STAGE_USERS) {
        starts->stage = STAGE_LOADER;
    }
    if (*kernel != '\0' && !(anew && kernel_ends(kernel))) {
        starts_reach(starts, STAGE_KERNEL);
    }
    return anew;
}

void starts_reach(starts_t *starts, stage_e stage)
{
    starts->stage = stage > starts->stage ? stage : starts->stage;
}

/* A login's blank tells it from a heading. */
void starts_go_on(starts_t *starts, const char *line, phrase_e means)
{
    int login = means == PHRASE_LOGIN && template_ends_with(line, ": ");

    starts->shell |= means == PHRASE_SHELL;
    if (login || means == PHRASE_SHELL) {
        starts_reach(starts, STAGE_USERS);
    }
    else if (means == PHRASE_WENT_ON || means == PHRASE_GOES_ON) {
        starts_reach(starts, STAGE_SERVICES);
    }
}
