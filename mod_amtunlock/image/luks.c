/* SPDX-License-Identifier: Apache-2.0 */
#include "image/luks_priv.h"

#include <errno.h>
#include <stdio.h>

#include <libcryptsetup.h>

/* What it says may be of the passphrase's device, and there is nobody to read it. */
static void luks_log(int level, const char *message, void *unused)
{
    (void)level;
    (void)message;
    (void)unused;
}

/* 0: it opens. -EPERM: it does not. Else: nothing can be said. */
static int volume_test(image_volume_t *volume, const image_passphrase_t *passphrase)
{
    struct crypt_device *device = NULL;
    int slot = crypt_init(&device, volume->device);
    const char *uuid;

    if (slot >= 0) {
        slot = crypt_load(device, CRYPT_LUKS, NULL);
    }
    if (slot >= 0) {
        uuid = crypt_get_uuid(device);
        snprintf(volume->uuid, sizeof(volume->uuid), "%s", uuid != NULL ? uuid : "");
        slot = crypt_activate_by_passphrase(device, NULL, CRYPT_ANY_SLOT, (const char *)passphrase->bytes,
                                            passphrase->length, 0);
        volume->open = slot >= 0;
    }
    crypt_free(device);
    return slot < 0 ? slot : 0;
}

image_result_t luks_test(image_volume_t *volumes, size_t count, const image_passphrase_t *passphrase)
{
    size_t opened = 0, refused = 0;

    crypt_set_log_callback(NULL, luks_log, NULL);
    crypt_metadata_locking(NULL, 0); /* nobody else is here, nor a /run for lock files */
    for (size_t i = 0; i < count; i++) {
        int status = volume_test(&volumes[i], passphrase);

        opened += status == 0;
        refused += status == -EPERM;
        image_say("%s: %s", volumes[i].device,
                  status == 0        ? "the passphrase opens it"
                  : status == -EPERM ? "not its passphrase"
                                     : "it does not answer");
    }
    if (opened > 0) {
        return (image_result_t){IMAGE_UNLOCKED, "none"};
    }
    return refused > 0 ? (image_result_t){IMAGE_WRONG_PASSPHRASE, "none"}
                       : (image_result_t){IMAGE_FAILED, IMAGE_DISK_ERROR};
}
