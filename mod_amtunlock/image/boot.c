/* SPDX-License-Identifier: Apache-2.0 */
#include "image/boot_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLACE "/boot"
#define PATH_BYTES 512
#define MENU_BYTES ((size_t)1 << 20)  /* of a grub.cfg */
#define SMALL_BYTES ((size_t)1 << 14) /* of the other files */
#define DEVICES_MAX 256
#define ENTRIES "/loader/entries"

static menu_t menu;
static char text[MENU_BYTES];

static int open_in(int root, const char *path, unsigned long long flags)
{
    struct open_how how = {.flags = flags | O_RDONLY | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* A menu names files as its file system's root has them, or as the system's root would. */
int boot_open(int root, const char *path)
{
    char below[PATH_BYTES];
    struct stat status;
    int file = open_in(root, path, O_NONBLOCK);

    if (file < 0 && (size_t)snprintf(below, sizeof(below), "/boot%s", path) < sizeof(below)) {
        file = open_in(root, below, O_NONBLOCK);
    }
    if (file >= 0 && (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(file);
        file = -1;
    }
    return file;
}

/* Reads a file into `text`; its length, or -1: there is none, or it is longer than it may be. */
static ssize_t read_text(int root, const char *path, size_t limit)
{
    int file = open_in(root, path, O_NONBLOCK);
    size_t length = 0;
    ssize_t count = -1;

    if (file < 0) {
        return -1;
    }
    while (length < limit && (count = read(file, text + length, limit - length)) > 0) {
        length += (size_t)count;
    }
    close(file);
    return count != 0 ? -1 : (ssize_t)length;
}

static int read_entry(int root, const char *folder, const char *name)
{
    char path[PATH_BYTES];
    size_t length = strlen(name);
    ssize_t size;

    if (length <= 5 || strcmp(name + length - 5, ".conf") != 0 ||
        (size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path)) {
        return 0;
    }
    size = read_text(root, path, SMALL_BYTES);
    if (size >= 0) {
        menu_read_entry(&menu, name, text, (size_t)size);
    }
    return size >= 0;
}

static int read_entries(int root, const char *folder, int by_name)
{
    int file = open_in(root, folder, O_DIRECTORY);
    DIR *listing = file >= 0 ? fdopendir(file) : NULL;
    int found = 0;

    if (listing == NULL) {
        if (file >= 0) {
            close(file);
        }
        return 0;
    }
    for (struct dirent *one = readdir(listing); one != NULL; one = readdir(listing)) {
        found += read_entry(root, folder, one->d_name);
    }
    closedir(listing);
    menu_sort(&menu, 0, by_name);
    return found;
}

/* The whole menu is read twice where a part of it stands in other files: those come first, as in what Fedora writes. */
static int read_grub(int root, const char *folder)
{
    char path[PATH_BYTES];
    ssize_t size;

    menu_clear(&menu);
    snprintf(path, sizeof(path), "%s/grubenv", folder);
    size = read_text(root, path, SMALL_BYTES);
    menu_read_environment(&menu, text, size > 0 ? (size_t)size : 0);
    snprintf(path, sizeof(path), "%s/grub.cfg", folder);
    size = read_text(root, path, MENU_BYTES);
    if (size < 0) {
        return 0;
    }
    menu_read_grub(&menu, text, (size_t)size);
    if (menu.entries_elsewhere) {
        menu.count = 0;
        if (!read_entries(root, ENTRIES, 1)) {
            (void)read_entries(root, PLACE ENTRIES, 1);
        }
        size = read_text(root, path, MENU_BYTES);
        menu_read_grub(&menu, text, size > 0 ? (size_t)size : 0);
    }
    return 1;
}

/* What this file system's menu starts; `*found` says whether there is a menu. */
static const menu_entry_t *read_menu(int root, int *found)
{
    static const char *const folders[] = {"/grub", "/grub2", "/boot/grub", "/boot/grub2"};
    ssize_t size;

    *found = 1;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (read_grub(root, folders[i])) {
            return menu_default(&menu);
        }
    }
    menu_clear(&menu);
    size = read_text(root, "/loader/loader.conf", SMALL_BYTES);
    menu_read_loader(&menu, text, size > 0 ? (size_t)size : 0);
    *found = read_entries(root, ENTRIES, 0) > 0;
    return menu_loader_default(&menu);
}

/* ---- file systems */

typedef struct {
    const char *type;
    off_t at;
    const char *magic;
    size_t length;
    const char *options; /* such that nothing is written, not even a journal's end */
} file_system_t;

static const file_system_t file_systems[] = {
    {"ext4", 1080, "\x53\xef", 2, "noload"},
    {"xfs", 0, "XFSB", 4, "norecovery"},
    {"btrfs", 0x10040, "_BHRfS_M", 8, "rescue=nologreplay,subvolid=5"},
    {"vfat", 82, "FAT32", 5, ""},
    {"vfat", 54, "FAT", 3, ""},
};

static const file_system_t *probe(const char *device)
{
    int file = open(device, O_RDONLY | O_CLOEXEC);
    char bytes[8];

    for (size_t i = 0; file >= 0 && i < sizeof(file_systems) / sizeof(file_systems[0]); i++) {
        const file_system_t *one = &file_systems[i];

        if (pread(file, bytes, one->length, one->at) == (ssize_t)one->length &&
            memcmp(bytes, one->magic, one->length) == 0) {
            close(file);
            return one;
        }
    }
    if (file >= 0) {
        close(file);
    }
    return NULL;
}

static int mount_boot(const char *device)
{
    const file_system_t *kind = probe(device);

    if (kind == NULL) {
        return -1;
    }
    (void)mkdir(PLACE, 0700);
    if (mount(device, PLACE, kind->type, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, kind->options) != 0) {
        image_say("%s (%s) cannot be mounted: %s", device, kind->type, strerror(errno));
        return -1;
    }
    return open(PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- which */

/* The disk of a device below /dev, by its folder in sysfs: "" when there is none. */
static void find_disk(const char *device, char *disk)
{
    char path[PATH_BYTES];
    char place[PATH_MAX];

    disk[0] = '\0';
    snprintf(path, sizeof(path), "/sys/class/block/%s", strrchr(device, '/') + 1);
    if (realpath(path, place) == NULL || strlen(place) >= PATH_BYTES) {
        return;
    }
    memcpy(disk, place, strlen(place) + 1);
    snprintf(path, sizeof(path), "/sys/class/block/%s/partition", strrchr(device, '/') + 1);
    if (access(path, F_OK) == 0) {
        *strrchr(disk, '/') = '\0';
    }
}

/* Whether it may hold /boot: the disk of an open volume in the first round, another one that is built in, in the second.
 * A stick that somebody put in must not get the passphrase. */
static int is_candidate(const char *device, int round, const image_volume_t *volumes, size_t count)
{
    char disk[PATH_BYTES];
    char other[PATH_BYTES];
    char path[PATH_BYTES + sizeof("/removable")];
    char removable = '1';
    int same = 0;
    int file;

    find_disk(device, disk);
    for (size_t i = 0; i < count; i++) {
        find_disk(volumes[i].device, other);
        same |= volumes[i].open && strcmp(disk, other) == 0;
    }
    snprintf(path, sizeof(path), "%s/removable", disk);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        (void)!read(file, &removable, 1);
        close(file);
    }
    return round == 0 ? same
                      : !same && removable == '0' && strstr(disk, "/usb") == NULL &&
                            strstr(disk, "/virtual/") == NULL;
}

/* NULL and `*found`: `use` is content. */
static const char *try_device(const char *device, int *found, boot_use_fn *use, void *context)
{
    int root = mount_boot(device);
    const char *reason = IMAGE_NO_SYSTEM;
    const menu_entry_t *entry = NULL;

    *found = 0;
    if (root < 0) {
        return reason;
    }
    entry = read_menu(root, found);
    if (entry != NULL) {
        image_say("%s starts %s", device, entry->kernel);
        reason = use(root, entry, context);
    }
    else if (*found) {
        image_say("%s: what the boot menu starts is no Linux, or is not understood.", device);
    }
    close(root);
    (void)umount2(PLACE, MNT_DETACH);
    return reason;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(left, right);
}

static size_t list_devices(char names[][IMAGE_DEVICE_MAX])
{
    DIR *listing = opendir("/sys/class/block");
    size_t count = 0;

    if (listing == NULL) {
        return 0;
    }
    for (struct dirent *one = readdir(listing); one != NULL && count < DEVICES_MAX; one = readdir(listing)) {
        if (one->d_name[0] != '.' &&
            (size_t)snprintf(names[count], IMAGE_DEVICE_MAX, "/dev/%s", one->d_name) < IMAGE_DEVICE_MAX) {
            count++;
        }
    }
    closedir(listing);
    qsort(names, count, IMAGE_DEVICE_MAX, compare_names);
    return count;
}

const char *boot_find(const image_volume_t *volumes, size_t count, boot_use_fn *use, void *context)
{
    static char names[DEVICES_MAX][IMAGE_DEVICE_MAX];
    size_t devices = list_devices(names);
    int found = 0;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < devices; i++) {
            if (is_candidate(names[i], round, volumes, count)) {
                const char *reason = try_device(names[i], &found, use, context);

                if (found) {
                    return reason;
                }
            }
        }
    }
    image_say("No boot menu was found on an unencrypted file system.");
    return IMAGE_NO_SYSTEM;
}
