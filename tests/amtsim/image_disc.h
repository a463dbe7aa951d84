/* SPDX-License-Identifier: Apache-2.0 */
/* The unlock image as the firmware read it: the sector that this session has for itself, and whether all of
 * it came through. */
#ifndef AMTSIM_IMAGE_DISC_H
#define AMTSIM_IMAGE_DISC_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR_SIZE 2048U
#define SECRET_SIZE 32
#define SYSTEM_ID_MAX 253

enum proof {
    PROOF_NONE,        /* no sector has the marker: it is no unlock image */
    PROOF_DAMAGED,     /* one has it, and is not what the protocol says */
    PROOF_PLACEHOLDER, /* the image's own: no worker served it */
    PROOF_SESSION,
};

struct proof_sector {
    enum proof kind;
    uint8_t secret[SECRET_SIZE]; /* of PROOF_SESSION only, as is the rest */
    size_t id_length;
    char id[SYSTEM_ID_MAX + 1];
};

/* What the image says of its own content. */
enum checksum { CHECKSUM_NONE, CHECKSUM_RIGHT, CHECKSUM_WRONG };

struct disc {
    struct evp_md_ctx_st *hash; /* with the placeholder where the session's sector was, as in the file */
    struct proof_sector proof;
    enum checksum checksum;
};

/* False: no memory. */
bool disc_begin(struct disc *disc);

/* The next bytes, a whole number of sectors but for the end of the image. `spoil`: the first one came through
 * with an error that nobody noticed on the way. */
void disc_take(struct disc *disc, const uint8_t *data, size_t size, bool spoil);

/* All was taken: SHA-256 of the image as its file has it, in hex. */
void disc_sha256(const struct disc *disc, char hex[65]);
/* The same of the secret in the session's sector, which tells two of them apart and no more; "" where there was none. */
void disc_secret_sha256(const struct disc *disc, char hex[65]);

/* Forgets everything, the secret too. */
void disc_end(struct disc *disc);

#endif
