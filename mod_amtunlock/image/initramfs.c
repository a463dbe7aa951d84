/* SPDX-License-Identifier: Apache-2.0 */
#include "image/initramfs_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FILE_SECRET 0100400
#define FILE_PROGRAM 0100700
#define FOLDER 0040700
#define KEY "amtunlock.key"
#define NAME_MAX_BYTES 160

/* Of initramfs-tools: called once for each volume, with its device in the environment. It answers once and asks from then
 * on, so that a passphrase that was changed meanwhile is tried one time only. */
static const char askpass[] = "#!/bin/sh\n"
                              "uuid=$(blkid -s UUID -o value \"$CRYPTTAB_SOURCE\" 2>/dev/null)\n"
                              "key=/cryptroot/amtunlock-$uuid.key\n"
                              "if [ -n \"$uuid\" ] && [ -f \"$key\" ]; then\n"
                              "    cat \"$key\"\n"
                              "    rm -f \"$key\"\n"
                              "    exit 0\n"
                              "fi\n"
                              "printf '%s' \"$1\" >/dev/console\n"
                              "IFS= read -r -s answer </dev/console || exit 1\n"
                              "printf '\\n' >/dev/console\n"
                              "printf '%s' \"$answer\"\n";

static void put(initramfs_t *archive, const void *bytes, size_t length)
{
    if (archive->over || length > sizeof(archive->bytes) - archive->used) {
        archive->over = 1;
        return;
    }
    memcpy(archive->bytes + archive->used, bytes, length);
    archive->used += length;
}

static void put_padding(initramfs_t *archive)
{
    put(archive, "\0\0\0", (4 - archive->used % 4) % 4);
}

/* One file in the format "newc" of cpio, owned by root. Folders that exist are not written: in their place there may be
 * a link (lib to usr/lib), which the kernel would put a folder in place of. */
static void put_file(initramfs_t *archive, const char *name, unsigned mode, const void *bytes, size_t length)
{
    char header[128];
    static unsigned inode = 0x616d7400;

    snprintf(header, sizeof(header), "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", inode++,
             mode, 0U, 0U, 1U, 0U, (unsigned)length, 0U, 0U, 0U, 0U, (unsigned)strlen(name) + 1, 0U);
    put(archive, header, strlen(header));
    put(archive, name, strlen(name) + 1);
    put_padding(archive);
    put(archive, bytes, length);
    put_padding(archive);
}

/* `word` stands on the command line as one of its words, or, with `=` at its end, begins one: what follows it. */
static const char *find_word(const char *options, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = strstr(options, word); at != NULL; at = strstr(at + 1, word)) {
        if (at == options || at[-1] == ' ' || at[-1] == '"') {
            return at + length;
        }
    }
    return NULL;
}

static int add_option(char *options, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int add_option(char *options, size_t size, const char *format, ...)
{
    size_t at = strlen(options);
    int length;
    va_list arguments;

    va_start(arguments, format);
    length = vsnprintf(options + at, size - at, format, arguments);
    va_end(arguments);
    return length < 0 || (size_t)length >= size - at ? -1 : 0;
}

/* systemd's way, of dracut and of mkinitcpio's sd-encrypt. */
static int give_by_uuid(initramfs_t *archive, char *options, size_t size, const image_volume_t *volumes,
                        size_t count, const image_passphrase_t *passphrase)
{
    put_file(archive, KEY, FILE_SECRET, passphrase->bytes, passphrase->length);
    for (size_t i = 0; i < count; i++) {
        if (volumes[i].open && add_option(options, size, " rd.luks.key=%s=/" KEY, volumes[i].uuid) != 0) {
            return -1;
        }
    }
    return 0;
}

/* mkinitcpio's hook "encrypt". */
static int give_by_hook(initramfs_t *archive, char *options, size_t size,
                        const image_passphrase_t *passphrase)
{
    put_file(archive, KEY, FILE_SECRET, passphrase->bytes, passphrase->length);
    return add_option(options, size, " cryptkey=rootfs:/" KEY);
}

/* initramfs-tools, by its askpass; and dracut with a crypttab in it, which asks for a key by the volume's name. */
static void give_by_name(initramfs_t *archive, const char *options, const image_volume_t *volumes,
                         size_t count, const image_passphrase_t *passphrase)
{
    static const char mapper[] = "root=/dev/mapper/";
    const char *root = find_word(options, mapper);
    size_t length = root != NULL ? strcspn(root, " \"/") : 0;
    char name[NAME_MAX_BYTES];

    put_file(archive, "cryptroot", FOLDER, "", 0);
    for (size_t i = 0; i < count; i++) {
        if (volumes[i].open) {
            snprintf(name, sizeof(name), "cryptroot/amtunlock-%s.key", volumes[i].uuid);
            put_file(archive, name, FILE_SECRET, passphrase->bytes, passphrase->length);
        }
    }
    put_file(archive, "lib/cryptsetup/askpass", FILE_PROGRAM, askpass, sizeof(askpass) - 1);
    if (length > 0 && length < NAME_MAX_BYTES / 2) {
        put_file(archive, "etc/cryptsetup-keys.d", FOLDER, "", 0);
        snprintf(name, sizeof(name), "etc/cryptsetup-keys.d/%.*s.key", (int)length, root);
        put_file(archive, name, FILE_SECRET, passphrase->bytes, passphrase->length);
    }
}

int initramfs_give(initramfs_t *archive, char *options, size_t size, const image_volume_t *volumes,
                   size_t count, const image_passphrase_t *passphrase)
{
    int failed = 0;

    memset(archive, 0, sizeof(*archive));
    if (find_word(options, "rd.luks.") != NULL) {
        failed = give_by_uuid(archive, options, size, volumes, count, passphrase);
    }
    else if (find_word(options, "cryptdevice=") != NULL) {
        failed = give_by_hook(archive, options, size, passphrase);
    }
    else {
        give_by_name(archive, options, volumes, count, passphrase);
    }
    put_file(archive, "TRAILER!!!", 0, "", 0);
    return failed != 0 || archive->over ? -1 : 0;
}
