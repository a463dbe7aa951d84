/* SPDX-License-Identifier: Apache-2.0 */
/* One try, always: a drive counts tries, often five until its power was off, and does not tell how many are left to who
 * has not proved himself. So the form of the key is not found by trying. A drive with a shadow MBR was set up for a
 * program that asks there, as sedutil does, which makes the key of passphrase and serial number; a drive without one was
 * set up with the passphrase itself. What was refused is not tried in the other form. */
#include "image/opal_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/hdreg.h>
#include <linux/sed-opal.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SERIAL_BYTES 20
#define SEDUTIL_ROUNDS 75000
#define SEDUTIL_BYTES 32
/* What a drive answers to a session (TCG Storage Core, "method status codes"). */
#define STATUS_NOT_AUTHORIZED 0x01
#define STATUS_LOCKED_OUT 0x12

static const image_result_t unlocked = {IMAGE_UNLOCKED, "none"};
static const image_result_t wrong = {IMAGE_WRONG_PASSPHRASE, "none"};

static image_result_t failed(const char *reason)
{
    return (image_result_t){IMAGE_FAILED, reason};
}

/* 0 and the flags; -1: no Opal; -2: it does not answer. */
static int read_status(int disk, unsigned *flags)
{
    struct opal_status status = {0};

    if (ioctl(disk, IOC_OPAL_GET_STATUS, &status) != 0) {
        return errno == ENOTTY || errno == EOPNOTSUPP || errno == EINVAL ? -1 : -2;
    }
    *flags = status.flags;
    return status.flags & OPAL_FL_SUPPORTED ? 0 : -1;
}

opal_state_e opal_state(const char *device)
{
    int disk = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    unsigned flags = 0;
    int error = 0;

    if (disk < 0) {
        return errno == ENOENT || errno == ENXIO || errno == ENOMEDIUM ? OPAL_NONE : OPAL_ERROR;
    }
    error = read_status(disk, &flags);
    close(disk);
    if (error != 0) {
        return error == -1 ? OPAL_NONE : OPAL_ERROR;
    }
    return flags & OPAL_FL_LOCKING_ENABLED && flags & OPAL_FL_LOCKED ? OPAL_LOCKED : OPAL_NONE;
}

/* ---- the key */

/* A file of sysfs from its byte `skip` on, filled up with blanks as the drive itself does; -1. */
static int read_serial_file(const char *device, const char *file, off_t skip, unsigned char *serial)
{
    char path[128];
    int opened;
    ssize_t length = -1;

    snprintf(path, sizeof(path), "/sys/class/block/%s/device/%s", strrchr(device, '/') + 1, file);
    opened = open(path, O_RDONLY | O_CLOEXEC);
    if (opened >= 0) {
        memset(serial, ' ', SERIAL_BYTES);
        length = pread(opened, serial, SERIAL_BYTES, skip);
        close(opened);
    }
    for (ssize_t i = 0; i < length; i++) {
        serial[i] = serial[i] == '\n' || serial[i] == '\0' ? ' ' : serial[i];
    }
    return length > 0 ? 0 : -1;
}

static int read_serial(int disk, const char *device, unsigned char *serial)
{
    struct hd_driveid identity;

    if (read_serial_file(device, "serial", 0, serial) == 0) { /* NVMe */
        return 0;
    }
    if (ioctl(disk, HDIO_GET_IDENTITY, &identity) == 0) { /* SATA */
        memcpy(serial, identity.serial_no, SERIAL_BYTES);
        return 0;
    }
    return read_serial_file(device, "vpd_pg80", 4, serial); /* SCSI */
}

/* NULL, or why there is no key. */
static const char *make_key(int disk, const char *device, unsigned flags,
                            const image_passphrase_t *passphrase, struct opal_key *key)
{
    unsigned char serial[SERIAL_BYTES];

    memset(key, 0, sizeof(*key));
    if (!(flags & OPAL_FL_MBR_ENABLED)) {
        if (passphrase->length >= OPAL_KEY_MAX) {
            return IMAGE_UNSUPPORTED_DISK;
        }
        key->key_len = (unsigned char)passphrase->length;
        memcpy(key->key, passphrase->bytes, passphrase->length);
        return NULL;
    }
    if (read_serial(disk, device, serial) != 0) {
        image_say("%s does not tell its serial number, of which its key is made.", device);
        return IMAGE_DISK_ERROR;
    }
    key->key_len = SEDUTIL_BYTES;
    return PKCS5_PBKDF2_HMAC_SHA1((const char *)passphrase->bytes, (int)passphrase->length, serial,
                                  sizeof(serial), SEDUTIL_ROUNDS, SEDUTIL_BYTES, key->key) == 1
               ? NULL
               : IMAGE_INTERNAL;
}

/* ---- the try */

static int unlock_range(int disk, const struct opal_key *key, unsigned char range)
{
    struct opal_lock_unlock request = {.session = {.who = OPAL_ADMIN1, .opal_key = *key}, .l_state = OPAL_RW};
    int status;

    request.session.opal_key.lr = range;
    status = ioctl(disk, IOC_OPAL_LOCK_UNLOCK, &request);
    explicit_bzero(&request, sizeof(request));
    return status;
}

/* The key was right, so what follows takes no more tries. Ranges beside the global one need not exist. */
static image_result_t open_rest(int disk, const char *device, const struct opal_key *key, unsigned flags)
{
    struct opal_mbr_done done = {.key = *key, .done_flag = OPAL_MBR_DONE};
    int status = flags & OPAL_FL_MBR_ENABLED ? ioctl(disk, IOC_OPAL_MBR_DONE, &done) : 0;

    explicit_bzero(&done, sizeof(done));
    if (status != 0) {
        image_say("%s is unlocked, but shows its shadow MBR still (%d).", device, status);
        return failed(IMAGE_DISK_ERROR);
    }
    for (unsigned char range = 1; range < OPAL_MAX_LRS; range++) {
        if (read_status(disk, &flags) != 0) {
            return failed(IMAGE_DISK_ERROR);
        }
        if (!(flags & OPAL_FL_LOCKED)) {
            return unlocked;
        }
        (void)unlock_range(disk, key, range);
    }
    if (read_status(disk, &flags) == 0 && !(flags & OPAL_FL_LOCKED)) {
        return unlocked;
    }
    image_say("%s has a range that its administrator's passphrase does not unlock.", device);
    return failed(IMAGE_UNSUPPORTED_DISK);
}

static image_result_t try_key(int disk, const char *device, const struct opal_key *key, unsigned flags)
{
    int status = unlock_range(disk, key, 0);

    switch (status) {
    case 0:
        return open_rest(disk, device, key, flags);
    case STATUS_NOT_AUTHORIZED:
        return wrong;
    case STATUS_LOCKED_OUT:
        return failed(IMAGE_LOCKED_OUT);
    default:
        image_say("%s: unlocking failed (%d, %s).", device, status,
                  status < 0 ? strerror(errno) : "the drive's answer");
        return failed(IMAGE_DISK_ERROR);
    }
}

image_result_t opal_unlock(const char *device, const image_passphrase_t *passphrase)
{
    int disk = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct opal_key key;
    unsigned flags = 0;
    const char *reason = IMAGE_DISK_ERROR;
    image_result_t result;

    if (disk >= 0 && read_status(disk, &flags) == 0) {
        reason = make_key(disk, device, flags, passphrase, &key);
    }
    result = reason != NULL ? failed(reason) : try_key(disk, device, &key, flags);
    explicit_bzero(&key, sizeof(key));
    if (disk >= 0) {
        close(disk);
    }
    return result;
}
