/* SPDX-License-Identifier: Apache-2.0 */
#include "image/disks_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "image/opal_priv.h"

disks_kind_e disks_kind(const unsigned char head[DISKS_HEAD])
{
    static const char loader[] = "VeraCrypt Boot Loader";

    if (memcmp(head, "LUKS\xba\xbe", 6) == 0) {
        return DISKS_LUKS;
    }
    if (memcmp(head + 3, "-FVE-FS-", 8) == 0 || memmem(head, 512, loader, sizeof(loader) - 1) != NULL) {
        return DISKS_UNSUPPORTED;
    }
    return DISKS_PLAIN;
}

static long device_number(const char *name, const char *what)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "/sys/class/block/%s/%s", name, what);
    return image_number(path);
}

/* Built in, and something that can hold a system. */
static int is_looked_at(const char *name)
{
    static const char *const others[] = {"loop", "ram", "zram", "sr", "fd", "dm-", "md", "pmem", "nbd"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strncmp(name, others[i], strlen(others[i])) == 0) {
            return 0;
        }
    }
    return device_number(name, "size") > 0 && device_number(name, "removable") <= 0 &&
           device_number(name, "../removable") <= 0;
}

int disks_read(const char *path, unsigned char head[DISKS_HEAD])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    int good;

    memset(head, 0, DISKS_HEAD);
    good = file >= 0 && pread(file, head, DISKS_HEAD, 0) > 0;
    if (file >= 0) {
        close(file);
    }
    return good;
}

/* A locked drive shows zeros, errors or its shadow MBR: what stands on it then is not the PC's. */
static int take_opal(disks_t *disks, const char *path)
{
    if (opal_state(path) != OPAL_LOCKED) {
        return 0;
    }
    if (disks->drive_count < IMAGE_VOLUMES_MAX) {
        memcpy(disks->drives[disks->drive_count++], path, strlen(path) + 1);
    }
    return 1;
}

static void disks_add(disks_t *disks, const char *path)
{
    unsigned char head[DISKS_HEAD];

    if (!disks_read(path, head)) {
        disks->errors++;
        return;
    }
    switch (disks_kind(head)) {
    case DISKS_LUKS:
        if (disks->volume_count < IMAGE_VOLUMES_MAX) {
            memcpy(disks->volumes[disks->volume_count++].device, path, strlen(path) + 1);
        }
        break;
    case DISKS_UNSUPPORTED:
        disks->unsupported = 1;
        break;
    case DISKS_PLAIN:
        break;
    }
}

void disks_look(disks_t *disks)
{
    DIR *folder = opendir("/sys/class/block");
    struct dirent *entry;
    char path[IMAGE_DEVICE_MAX];

    memset(disks, 0, sizeof(*disks));
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' && is_looked_at(entry->d_name) &&
            (size_t)snprintf(path, sizeof(path), "/dev/%s", entry->d_name) < sizeof(path) &&
            (device_number(entry->d_name, "partition") > 0 || !take_opal(disks, path))) {
            disks_add(disks, path);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}
