/* SPDX-License-Identifier: Apache-2.0 */
#include "image/disc_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BLOCK 2048
#define ALIGNED_TO 4096    /* what direct reads want at most */
#define DESCRIPTOR_AT 16   /* block of the primary volume descriptor */
#define ROOT_AT 156        /* in it: the record of the root folder */
#define ROOT_BLOCKS_MAX 16 /* of ours there is one */
/* Of a folder's record: */
#define RECORD_BLOCK 2
#define RECORD_SIZE 10
#define RECORD_FLAGS 25
#define RECORD_NAME_LENGTH 32
#define RECORD_NAME 33
#define RECORD_LEAST 34
#define FLAG_FOLDER 2

/* What each level of ISO 9660 leaves of amtunlock-proof.bin. */
#define NAME "AMTUNLOC"

static unsigned number_at(const unsigned char *bytes)
{
    return bytes[0] | (unsigned)bytes[1] << 8 | (unsigned)bytes[2] << 16 | (unsigned)bytes[3] << 24;
}

static int block_read(int file, unsigned block, unsigned char *bytes)
{
    return pread(file, bytes, BLOCK, (off_t)block * BLOCK) == BLOCK;
}

static int is_ours(const unsigned char *record)
{
    return record[RECORD_NAME_LENGTH] >= sizeof(NAME) - 1 &&
           record[0] >= RECORD_NAME + record[RECORD_NAME_LENGTH] &&
           (record[RECORD_FLAGS] & FLAG_FOLDER) == 0 && number_at(record + RECORD_SIZE) == BLOCK &&
           strncasecmp((const char *)record + RECORD_NAME, NAME, sizeof(NAME) - 1) == 0;
}

/* One block of the root folder. `sector` is room for another one. */
static disc_e folder_search(int file, const unsigned char *folder, unsigned char *sector, keys_t *keys)
{
    disc_e best = DISC_NONE;

    for (size_t at = 0; at + RECORD_LEAST <= BLOCK && folder[at] >= RECORD_LEAST && at + folder[at] <= BLOCK;
         at += folder[at]) {
        if (is_ours(folder + at)) {
            best = DISC_OTHER;
            if (block_read(file, number_at(folder + at + RECORD_BLOCK), sector) &&
                keys_take_sector(keys, sector)) {
                return DISC_FOUND;
            }
        }
    }
    return best;
}

static disc_e disc_search(int file, unsigned char *folder, unsigned char *sector, keys_t *keys)
{
    disc_e found = DISC_NONE;
    unsigned first, blocks;

    if (!block_read(file, DESCRIPTOR_AT, folder) || memcmp(folder, "\1CD001", 6) != 0) {
        return DISC_NONE;
    }
    first = number_at(folder + ROOT_AT + RECORD_BLOCK);
    blocks = number_at(folder + ROOT_AT + RECORD_SIZE) / BLOCK;
    for (unsigned i = 0; i < blocks && i < ROOT_BLOCKS_MAX && found == DISC_NONE; i++) {
        if (block_read(file, first + i, folder)) {
            found = folder_search(file, folder, sector, keys);
        }
    }
    return found;
}

disc_e disc_read(const char *path, keys_t *keys)
{
    disc_e found = DISC_NONE;
    unsigned char *room = aligned_alloc(ALIGNED_TO, 2UL * ALIGNED_TO);
    int file = open(path, O_RDONLY | O_DIRECT | O_NONBLOCK | O_CLOEXEC);

    if (file < 0 && errno == EINVAL) { /* a file system without direct reads */
        file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    if (file >= 0 && room != NULL) {
        found = disc_search(file, room, room + ALIGNED_TO, keys);
        keys_wipe(room, 2UL * ALIGNED_TO);
    }
    if (file >= 0) {
        close(file);
    }
    free(room);
    return found;
}

/* The drives whose names begin so. */
static disc_e disc_find_named(const char *begin, keys_t *keys)
{
    disc_e best = DISC_NONE;
    DIR *folder = opendir("/sys/block");
    struct dirent *entry;
    char path[IMAGE_DEVICE_MAX];

    while (folder != NULL && best != DISC_FOUND && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, begin, strlen(begin)) == 0 &&
            (size_t)snprintf(path, sizeof(path), "/dev/%s", entry->d_name) < sizeof(path)) {
            disc_e found = disc_read(path, keys);

            best = found > best ? found : best;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return best;
}

disc_e disc_find(keys_t *keys)
{
    static const char *const drives[] = {"sr", "pmem", "sd"};
    disc_e best = DISC_NONE;

    for (size_t i = 0; i < sizeof(drives) / sizeof(drives[0]) && best != DISC_FOUND; i++) {
        disc_e found = disc_find_named(drives[i], keys);

        best = found > best ? found : best;
    }
    return best;
}
