/* SPDX-License-Identifier: Apache-2.0 */
#include "image/takeover_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image/boot_priv.h"
#include "image/initramfs_priv.h"

#define INITRD_MAX ((off_t)1 << 30) /* bytes of one initramfs */

/* The passphrase's copies, in memory that is never written to a disk. */
static initramfs_t added;

/* What the kernel said to kexec_file_load(), as a sentence on the screen, and as a reason. */
static const char *explain(int error)
{
    switch (error) {
    case ENODATA:
    case EKEYREJECTED:
    case ENOKEY:
    case EBADMSG:
        image_say(
            "Secure Boot: this image does not trust the signature of the PC's own kernel. It takes an image that is made "
            "of the kernel of the PC's own distribution.");
        return IMAGE_NO_SYSTEM;
    case EPERM:
        image_say("Secure Boot: this image's kernel may not start another kernel.");
        return IMAGE_NO_SYSTEM;
    case ENOEXEC:
        image_say("What the boot menu names as kernel is none that can be started.");
        return IMAGE_NO_SYSTEM;
    default:
        image_say("kexec_file_load: %s", strerror(error));
        return IMAGE_INTERNAL;
    }
}

/* Appends a file of /boot, up to a multiple of four bytes, where the kernel looks for the next archive. */
static int append_file(int memory, int file)
{
    struct stat status;
    off_t done = 0;

    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > INITRD_MAX) {
        return -1;
    }
    while (done < status.st_size) {
        ssize_t count = sendfile(memory, file, NULL, (size_t)(status.st_size - done));

        if (count <= 0) {
            return -1;
        }
        done += count;
    }
    return write(memory, "\0\0\0", (size_t)(-done & 3)) == (-done & 3) ? 0 : -1;
}

static int append_initrds(int memory, int root, const menu_entry_t *entry)
{
    for (size_t i = 0; i < entry->initrds; i++) {
        int file = boot_open(root, entry->initrd[i]);
        int failed = file < 0 || append_file(memory, file) != 0;

        if (failed) {
            image_say("%s does not read: %s", entry->initrd[i], strerror(errno));
        }
        if (file >= 0) {
            close(file);
        }
        if (failed) {
            return -1;
        }
    }
    return 0;
}

/* The kernel has its own copy then; the passphrase in ours is wiped. */
static const char *load_with_key(int kernel, int memory, const char *options)
{
    off_t at = lseek(memory, 0, SEEK_END);
    const char *reason = NULL;

    if (at < 0 || write(memory, added.bytes, added.used) != (ssize_t)added.used) {
        reason = IMAGE_INTERNAL;
    }
    else if (syscall(SYS_kexec_file_load, kernel, memory, strlen(options) + 1, options, 0UL) != 0) {
        reason = explain(errno);
    }
    explicit_bzero(added.bytes, sizeof(added.bytes));
    if (at >= 0 && pwrite(memory, added.bytes, added.used, at) != (ssize_t)added.used) {
        image_say("The copy of the passphrase could not be wiped.");
    }
    return reason;
}

static const char *load_initrds(int root, int kernel, const menu_entry_t *entry, const char *options)
{
    int memory = memfd_create("initrd", MFD_CLOEXEC);
    const char *reason = IMAGE_INTERNAL;

    if (memory >= 0) {
        reason = append_initrds(memory, root, entry) != 0 ? IMAGE_DISK_ERROR
                                                          : load_with_key(kernel, memory, options);
        close(memory);
    }
    return reason;
}

typedef struct {
    const image_volume_t *volumes;
    size_t count;
    const image_passphrase_t *passphrase;
} given_t;

/* A boot entry was found: no other one is tried, since the PC would not start another one either. */
static const char *load_entry(int root, const menu_entry_t *entry, void *context)
{
    const given_t *given = context;
    char options[MENU_OPTIONS_MAX + 1024];
    int kernel = boot_open(root, entry->kernel);
    const char *reason = IMAGE_NO_SYSTEM;

    memcpy(options, entry->options, sizeof(entry->options));
    if (kernel < 0 || entry->initrds == 0) {
        image_say("The boot menu names %s, with %zu initramfs: %s", entry->kernel, entry->initrds,
                  kernel < 0 ? "it cannot be opened" : "no passphrase can be given");
    }
    else if (initramfs_give(&added, options, sizeof(options), given->volumes, given->count,
                            given->passphrase) != 0) {
        image_say("The kernel's command line is too long.");
    }
    else {
        reason = load_initrds(root, kernel, entry, options);
    }
    explicit_bzero(added.bytes, sizeof(added.bytes));
    if (kernel >= 0) {
        close(kernel);
    }
    return reason;
}

const char *takeover_prepare(const image_volume_t *volumes, size_t count,
                             const image_passphrase_t *passphrase)
{
    given_t given = {volumes, count, passphrase};

    if (mlock(&added, sizeof(added)) != 0) {
        image_say("mlock: %s", strerror(errno));
    }
    return boot_find(volumes, count, load_entry, &given);
}

void takeover_start(void)
{
    (void)reboot(LINUX_REBOOT_CMD_KEXEC);
    image_say("The system could not be started: %s", strerror(errno));
}
