/* SPDX-License-Identifier: Apache-2.0 */
/* Storage redirection (IDE-R to AMT 10, USB-R from 11; one wire protocol): serves a CD image, read-only, and
 * an empty floppy to the PC's firmware. Ports, threads, trust and the single `ended` as in sol.h.
 */
#ifndef AMTUNLOCK_AMT_REDIRECTION_IDER_H
#define AMTUNLOCK_AMT_REDIRECTION_IDER_H

#include "amt/amt.h"

#define AMT_SECTOR 2048

/* A CD image, mapped once and shared by all sessions; read-only, any thread. It is a copy in memory: what
 * happens to the file later does not matter. */
typedef struct amt_image_t amt_image_t;

/* A regular file of a whole, positive number of sectors, at most 4 GiB. Returns NULL, or an error
 * message. Unmapped with `pool`, which outlives the sessions. Reads the file: not for a loop's thread. */
const char *amt_image_open(amt_image_t **image, const char *file, apr_pool_t *pool);
/* For another process: the descriptor of the copy, which stays the image's, and the image of a descriptor that came from
 * there, which stays the caller's. NULL, or an error message: it is no sealed memory of such a size. */
int amt_image_descriptor(const amt_image_t *image);
const char *amt_image_receive(amt_image_t **image, int descriptor, apr_pool_t *pool);
apr_uint32_t amt_image_sectors(const amt_image_t *image);
/* Hex SHA-256 of its bytes, `digits` has room for 65. 0: OpenSSL has no memory. Not for a loop's thread. */
int amt_image_digest(const amt_image_t *image, char *digits);

/* One sector that this session alone sees in place of the image's own. */
typedef struct {
    apr_uint32_t lba;
    unsigned char bytes[AMT_SECTOR];
} amt_overlay_t;

typedef struct amt_ider_t amt_ider_t;

typedef struct {
    /* The drive is there: from the PC's next reset or power-on, or from now on. */
    void (*opened)(void *baton);
    /* The PC has read the first sector of this session. */
    void (*booting)(void *baton);
    void (*ended)(void *baton, const amt_result_t *result);
} amt_ider_events_t;

/* `overlay` (may be NULL) is copied, and wiped at the end. APR_EINVAL if it lies outside the image, or for a
 * target that cannot be. */
apr_status_t amt_ider_open(amt_ider_t **ider, amt_loop_t *loop, const amt_target_t *target,
                           amt_image_t *image, const amt_overlay_t *overlay, const amt_ider_events_t *events,
                           void *baton, apr_pool_t *pool);
/* Right after amt_ider_open(): the PC has started already, and is to find its drive without another reset. */
void amt_ider_enable_now(amt_ider_t *ider);
/* From the loop's thread: wipes the overlay. From now on the image's own sector is served, also to a read that is
 * under way. */
void amt_ider_drop_overlay(amt_ider_t *ider);
/* Bytes of the image served so far. */
apr_uint64_t amt_ider_served(const amt_ider_t *ider);
void amt_ider_close(amt_ider_t *ider);
void amt_ider_destroy(amt_ider_t *ider);

#endif
