/* SPDX-License-Identifier: Apache-2.0 */
/* The words that the rooms of the unlock image share. The image is a program of its own, process 1 on the PC that was
 * booted from it: it has nothing in common with worker and simulator but the page mod_amtunlock/proof/README.md.
 *
 * One thread. Nothing here is freed that lives as long as the program, and a function that fails says so with a
 * reason word of that page. */
#ifndef AMTUNLOCK_IMAGE_IMAGE_PRIV_H
#define AMTUNLOCK_IMAGE_IMAGE_PRIV_H

#include <stddef.h>

#define IMAGE_PASSPHRASE_MAX 512 /* bytes */
#define IMAGE_DEVICE_MAX 64      /* bytes of a device's path with its end character */
#define IMAGE_UUID_MAX 40        /* bytes of a volume's UUID with its end character */
#define IMAGE_VOLUMES_MAX 16     /* volumes of one PC that are looked at */

/* Reason words of the page, and no others. */
#define IMAGE_NO_DISK "no-disk"
#define IMAGE_NO_SYSTEM "no-system"
#define IMAGE_UNSUPPORTED_DISK "unsupported-disk"
#define IMAGE_DISK_ERROR "disk-error"
#define IMAGE_LOCKED_OUT "locked-out"
#define IMAGE_TIME_OUT "time-out"
#define IMAGE_INTERNAL "internal"

typedef enum {
    IMAGE_UNLOCKED,         /* open, and it stays so over the way out */
    IMAGE_WRONG_PASSPHRASE, /* the disk took the try and refused it */
    IMAGE_FAILED            /* nothing can be said of the passphrase: see the reason */
} image_outcome_e;

/* What became of the one try. */
typedef struct {
    image_outcome_e outcome;
    const char *reason; /* a literal; "none" unless IMAGE_FAILED */
} image_result_t;

/* The passphrase, as the seal held it. It lies in locked memory of the caller's, who wipes it; nobody else copies it to
 * where it is not wiped too. */
typedef struct {
    unsigned char bytes[IMAGE_PASSPHRASE_MAX]; /* none is 0; no end character */
    size_t length;                             /* 1 to IMAGE_PASSPHRASE_MAX */
} image_passphrase_t;

/* A LUKS volume. */
typedef struct {
    char device[IMAGE_DEVICE_MAX]; /* "/dev/nvme0n1p3" */
    char uuid[IMAGE_UUID_MAX];     /* as its header has it, lower case */
    int open;                      /* the passphrase opens it */
} image_volume_t;

/* A line on the screen (tty0), never with a secret. */
void image_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The number in a file of sysfs, decimal or hexadecimal with 0x; -1 where there is none. */
long image_number(const char *path);

#endif
