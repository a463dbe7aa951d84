/* SPDX-License-Identifier: Apache-2.0 */
/* The sector that is overlaid for each session, and where it belongs in an image file. */
#include "proof/sector_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_errno.h>
#include <apr_strings.h>

#include "base/digest.h"
#include "base/text.h"
#include "proof/keys_priv.h"
#include "proof/proof.h"

#define MARKER "amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n"
#define READ_SECTORS 64

enum {
    AT_VERSION = sizeof(MARKER) - 1,
    AT_SESSION,
    AT_ID_LENGTH,
    AT_S = AT_ID_LENGTH + 2,
    AT_ID = AT_S + PROOF_BYTES,
    AT_HASH = PROOF_SECTOR - PROOF_BYTES
};
_Static_assert(AT_VERSION == 64 && AT_ID == 100 && AT_HASH == 2016, "places as README.md gives them");

int sector_write(unsigned char sector[], const unsigned char s[], const char *system_id)
{
    apr_size_t length = strlen(system_id);

    memset(sector, 0, PROOF_SECTOR);
    memcpy(sector, MARKER, AT_VERSION);
    sector[AT_VERSION] = PROOF_VERSION;
    sector[AT_SESSION] = 1;
    sector[AT_ID_LENGTH] = (unsigned char)length;
    memcpy(sector + AT_S, s, PROOF_BYTES);
    memcpy(sector + AT_ID, system_id, length + 1); /* its end is one of the zeros that follow */
    return digest_sha256(sector, AT_HASH, sector + AT_HASH);
}

/* ---- finding it ---------------------------------------------------------------------------------------- */

typedef struct {
    const char *file;
    int count; /* of placeholders */
    apr_uint32_t lba, second;
    int version; /* of the last */
    apr_pool_t *pool;
} search_t;

/* Counts the sector if it is a placeholder, of any version, and not a session's. */
static void count_placeholder(search_t *search, const unsigned char *sector, apr_uint32_t lba)
{
    unsigned char hash[PROOF_BYTES];

    if (memcmp(sector, MARKER, AT_VERSION) != 0 || sector[AT_SESSION] != 0 ||
        !digest_sha256(sector, AT_HASH, hash) || memcmp(hash, sector + AT_HASH, PROOF_BYTES) != 0) {
        return;
    }
    if (search->count++ == 0) {
        search->lba = lba;
        search->version = sector[AT_VERSION];
    }
    else {
        search->second = lba;
    }
}

/* NULL, or what is wrong; a file that is no whole number of sectors ends with its last whole one. */
static const char *search_file(search_t *search, int fd)
{
    unsigned char *bytes = malloc((size_t)READ_SECTORS * PROOF_SECTOR);
    apr_uint32_t lba = 0;
    size_t have = 0;
    ssize_t count;

    while (bytes != NULL &&
           ((count = read(fd, bytes + have, (size_t)READ_SECTORS * PROOF_SECTOR - have)) > 0 ||
            (count < 0 && errno == EINTR))) {
        size_t whole;

        have += count > 0 ? (size_t)count : 0;
        whole = have / PROOF_SECTOR;
        for (size_t i = 0; i < whole; i++) {
            count_placeholder(search, bytes + i * PROOF_SECTOR, lba++);
        }
        have -= whole * PROOF_SECTOR;
        memmove(bytes, bytes + whole * PROOF_SECTOR, have);
    }
    if (bytes == NULL || count < 0) {
        int number = errno;

        free(bytes);
        return text_file_error(search->file, "cannot be read", number, search->pool);
    }
    free(bytes);
    return NULL;
}

static const char *judge_search(const search_t *search)
{
    if (search->count == 0) {
        return apr_psprintf(search->pool,
                            "%s: holds no placeholder for the proof, so no PC booted from it could be "
                            "trusted with a passphrase: build the image with one",
                            search->file);
    }
    if (search->count > 1) {
        return apr_psprintf(search->pool,
                            "%s: holds %d placeholders for the proof, among them sectors %u and %u: build it "
                            "with one",
                            search->file, search->count, search->lba, search->second);
    }
    if (search->version != PROOF_VERSION) {
        return apr_psprintf(search->pool,
                            "%s: is an image for version %d of the proof, and this worker speaks version %d",
                            search->file, search->version, PROOF_VERSION);
    }
    return NULL;
}

/* O_NONBLOCK: open() must not wait for the other end of a pipe. */
const char *proof_find_sector(const char *file, apr_uint32_t *lba, apr_pool_t *pool)
{
    search_t search = {.file = file, .pool = pool};
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    const char *error;

    if (fd < 0) {
        return text_file_error(file, "cannot be opened", errno, pool);
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return apr_psprintf(pool, "%s: is not a regular file", file);
    }
    error = search_file(&search, fd);
    close(fd);
    *lba = search.lba;
    return error != NULL ? error : judge_search(&search);
}
