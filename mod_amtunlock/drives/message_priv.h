/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker and its drive process say to each other: one message a packet. Numbers are of 8 bytes, in this host's
 * order; texts have their length before them and a zero behind. What is not exactly so is no message.
 *
 *   OPEN      drive, order     with two descriptors: the worker's log, and the image in sealed memory
 *   KEEP      drive            see drive_keep()
 *   HAND_OVER drive            see drive_hand_over()
 *   CONCEAL   drive            its sector is served no more
 *   CLOSE     drive            is answered by ENDED
 *   DROP      drive            nothing is said of it any more
 *   LEAVE                      see drives_leave()
 *   ASK                        is answered by HERE: its loop turns
 *   OPENED    drive
 *   READ      drive            its first sector of the image was read
 *   ENDED     drive, result
 *   HERE
 */
#ifndef AMTUNLOCK_DRIVES_MESSAGE_PRIV_H
#define AMTUNLOCK_DRIVES_MESSAGE_PRIV_H

#include "base/log.h"
#include "drives/drives.h"

/* A change of what is said here needs another one. */
#define DRIVES_VERSION "1"
#define MESSAGE_MAX 16384

typedef enum {
    MESSAGE_OPEN,
    MESSAGE_KEEP,
    MESSAGE_HAND_OVER,
    MESSAGE_CONCEAL,
    MESSAGE_CLOSE,
    MESSAGE_DROP,
    MESSAGE_LEAVE,
    MESSAGE_ASK,
    MESSAGE_OPENED,
    MESSAGE_READ,
    MESSAGE_ENDED,
    MESSAGE_HERE,
    MESSAGES
} message_e;

typedef struct {
    message_e kind;
    apr_uint32_t drive; /* the worker's number for it, on this connection; LEAVE, ASK, HERE: 0 */
    drive_order_t order;
    amt_overlay_t overlay; /* of an order that was read */
    log_level_e level;     /* OPEN: of the log */
    amt_result_t result;
} message_t;

/* Bytes written; 0: it has no room. */
apr_size_t message_write(const message_t *message, unsigned char *bytes, apr_size_t size);
/* Nonzero: it was a message. Its texts lie in `bytes`. */
int message_read(message_t *message, const unsigned char *bytes, apr_size_t size);

#endif
