/* SPDX-License-Identifier: Apache-2.0 */
/* The two units that storage redirection shows to a PC, as ATAPI drives: a CD with an image in it, read-only,
 * and a floppy drive without a disk (SPC-3, SBC-2, MMC-4, UFI). Pure: no sockets, no state. Not for other
 * rooms.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_DRIVE_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_DRIVE_PRIV_H

#include "amt/redirection/ider.h"

typedef enum { AMT_DRIVE_FLOPPY, AMT_DRIVE_CD } amt_drive_e;

enum { AMT_CDB = 12, AMT_DRIVE_DATA = 128 };

/* Sense of a command that was not carried out; all 0: it was. */
typedef struct {
    unsigned char key, asc, ascq;
} amt_sense_t;

/* What a command gives: sense, or sectors of the image, or bytes, or nothing. */
typedef struct {
    amt_sense_t sense;
    apr_uint32_t lba;
    apr_uint32_t sectors;
    apr_size_t length;
    unsigned char data[AMT_DRIVE_DATA];
} amt_drive_answer_t;

void amt_drive_command(amt_drive_e drive, const amt_image_t *image, const unsigned char cdb[AMT_CDB],
                       amt_drive_answer_t *answer);

/* Copies bytes of the image with the overlay (may be NULL) in its place. Offset and length lie inside. */
void amt_image_read(const amt_image_t *image, const amt_overlay_t *overlay, apr_uint64_t offset,
                    unsigned char *bytes, apr_size_t length);

#endif
