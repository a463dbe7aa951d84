/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/settings/fingerprint.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/digest.h"
#include "base/owned_file.h"

/* Raised when the digest is made in another way: workers of both ways are not of one mind then, and those of the older way
 * claim until the last of them is gone. */
#define FORM "amtunlock fingerprint 1"
#define FILES 2

typedef struct {
    const char *path; /* "" is none */
    struct stat seen;
    char digest[DIGEST_DIGITS + 1]; /* "" before it could be read */
} trust_file_t;

struct fingerprint_t {
    const snapshot_t *snapshot;
    char images[DIGEST_DIGITS + 1];
    apr_time_t read_once; /* when the latest of inventory, settings and images was changed */
    trust_file_t files[FILES];
    char digest[DIGEST_DIGITS + 1];
};

static int digest_file(int fd, char digits[DIGEST_DIGITS + 1])
{
    unsigned char bytes[16384];
    digest_t digest;
    ssize_t count = 0;

    digest_begin(&digest);
    while ((count = read(fd, bytes, sizeof(bytes))) > 0) {
        digest_add(&digest, bytes, (apr_size_t)count);
    }
    return digest_end(&digest, digits) && count == 0;
}

static int is_as_seen(const struct stat *seen, const struct stat *now)
{
    return seen->st_dev == now->st_dev && seen->st_ino == now->st_ino && seen->st_size == now->st_size &&
           seen->st_mtim.tv_sec == now->st_mtim.tv_sec && seen->st_mtim.tv_nsec == now->st_mtim.tv_nsec;
}

/* A file that cannot be read now, or may be half written, counts as it was: devices are refused until it can be, but by nobody else's file. */
static void look_at_file(trust_file_t *file)
{
    char digits[DIGEST_DIGITS + 1];
    struct stat now;
    int fd = file->path[0] != '\0' ? open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;

    if (fd < 0) {
        return;
    }
    if (fstat(fd, &now) == 0 && S_ISREG(now.st_mode) && !is_as_seen(&file->seen, &now) &&
        !(file->digest[0] != '\0' && owned_file_settles(&now)) && digest_file(fd, digits)) {
        file->seen = now;
        memcpy(file->digest, digits, sizeof(digits));
    }
    close(fd);
}

static apr_time_t changed_at(const struct stat *info)
{
    return apr_time_from_sec(info->st_mtim.tv_sec) + info->st_mtim.tv_nsec / 1000;
}

static void note_time(fingerprint_t *fingerprint, apr_time_t time)
{
    fingerprint->read_once = time > fingerprint->read_once ? time : fingerprint->read_once;
}

static void note_image(fingerprint_t *fingerprint, const char *path, const char **last)
{
    struct stat info;

    if (path != *last && stat(path, &info) == 0) {
        note_time(fingerprint, changed_at(&info));
    }
    *last = path;
}

/* Of the systems that boot one, in their order. */
static void digest_images(fingerprint_t *fingerprint)
{
    const snapshot_t *snapshot = fingerprint->snapshot;
    const inventory_t *inventory = snapshot_inventory(snapshot);
    const char *last = NULL;
    digest_t digest;

    digest_begin(&digest);
    for (int i = 0; i < inventory_count(inventory); i++) {
        const inventory_system_t *system = inventory_at(inventory, i);

        if (system->method == INVENTORY_IMAGE) {
            digest_add(&digest, snapshot_image(snapshot, system)->digest, DIGEST_DIGITS);
            note_image(fingerprint, settings_image(snapshot_settings(snapshot), system->group->name), &last);
        }
    }
    digest_end(&digest, fingerprint->images);
}

static void put_together(fingerprint_t *fingerprint)
{
    const char *const parts[] = {FORM,
                                 inventory_digest(snapshot_inventory(fingerprint->snapshot)),
                                 snapshot_settings(fingerprint->snapshot)->digest,
                                 fingerprint->images,
                                 fingerprint->files[0].digest,
                                 fingerprint->files[1].digest};
    digest_t digest;

    digest_begin(&digest);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        digest_add(&digest, parts[i], strlen(parts[i]) + 1);
    }
    digest_end(&digest, fingerprint->digest);
}

fingerprint_t *fingerprint_create(const snapshot_t *snapshot, apr_pool_t *pool)
{
    fingerprint_t *made = apr_pcalloc(pool, sizeof(*made));

    made->snapshot = snapshot;
    made->files[0].path = snapshot_settings(snapshot)->ca_file;
    made->files[1].path = snapshot_settings(snapshot)->crl_file;
    note_time(made, inventory_written(snapshot_inventory(snapshot)));
    note_time(made, snapshot_settings(snapshot)->written);
    digest_images(made);
    fingerprint_look(made);
    return made;
}

int fingerprint_look(fingerprint_t *fingerprint)
{
    char before[DIGEST_DIGITS + 1];

    memcpy(before, fingerprint->digest, sizeof(before));
    for (int i = 0; i < FILES; i++) {
        look_at_file(&fingerprint->files[i]);
    }
    put_together(fingerprint);
    return strcmp(before, fingerprint->digest) != 0;
}

const char *fingerprint_digest(const fingerprint_t *fingerprint)
{
    return fingerprint->digest;
}

apr_time_t fingerprint_written(const fingerprint_t *fingerprint)
{
    apr_time_t latest = fingerprint->read_once;

    for (int i = 0; i < FILES; i++) {
        apr_time_t changed = changed_at(&fingerprint->files[i].seen);

        latest = changed > latest ? changed : latest;
    }
    return latest;
}
