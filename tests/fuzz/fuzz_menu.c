/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what the disk of a PC may say of how its system is started, to the unlock image: the first byte chooses the
 * reader, a zero byte ends grubenv. Whatever comes of it must stay within its limits. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/initramfs_priv.h"
#include "image/menu_priv.h"

static menu_t menu;
static initramfs_t archive;

static void check(const menu_entry_t *entry)
{
    static const image_volume_t volume = {"/dev/sda3", "0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95", 1};
    image_passphrase_t passphrase = {"secret-word", 11};
    char options[MENU_OPTIONS_MAX + 1024];

    if (entry == NULL) {
        return;
    }
    if (entry->broken || entry->kernel[0] == '\0' || entry->initrds > MENU_INITRDS_MAX || entry->submenu) {
        abort();
    }
    memcpy(options, entry->options, sizeof(entry->options));
    (void)initramfs_give(&archive, options, sizeof(options), &volume, 1, &passphrase);
    if (archive.used > sizeof(archive.bytes) || strlen(options) >= sizeof(options)) {
        abort();
    }
}

static void read_grub(const char *bytes, size_t size)
{
    const char *zero = memchr(bytes, '\0', size);
    size_t length = zero != NULL ? (size_t)(zero - bytes) : 0;

    menu_read_environment(&menu, bytes, length);
    menu_read_grub(&menu, bytes + length, size - length);
    check(menu_default(&menu));
}

static void read_entries(const char *bytes, size_t size)
{
    size_t half = size / 2;
    char name[64];

    snprintf(name, sizeof(name), "%.*s.conf", (int)(half < 40 ? half : 40), bytes);
    menu_read_entry(&menu, name, bytes, half);
    menu_read_entry(&menu, "b-2.conf", bytes + half, size - half);
    menu_read_loader(&menu, bytes, size);
    menu_sort(&menu, 0, size % 2 == 0);
    check(menu_loader_default(&menu));
    (void)menu_default(&menu);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    menu_clear(&menu);
    if (data[0] % 2 == 0) {
        read_grub((const char *)data + 1, size - 1);
    }
    else {
        read_entries((const char *)data + 1, size - 1);
    }
    return 0;
}
