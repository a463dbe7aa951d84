/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of the image's proof: the dialogue with a booted unlock image over the serial console, as
 * README.md beside this file has it (version 1).
 *
 * Pure: no sockets, no clock. It takes bytes from the console, returns events, and hands what is to be typed
 * to the caller. Time limits are the caller's. One thread a session.
 *
 *   proof_session_create -> proof_sector (into the served CD) -> proof_feed ... PROOF_HELLO
 *   -> proof_seal (type it) -> proof_feed ... PROOF_RESULT_* -> proof_acknowledge (type it)
 *   -> proof_session_end
 */
#ifndef AMTUNLOCK_PROOF_PROOF_H
#define AMTUNLOCK_PROOF_PROOF_H

#include "proof/proof_key.h"

#define PROOF_VERSION 1
#define PROOF_SECTOR 2048        /* bytes */
#define PROOF_PASSPHRASE_MAX 512 /* bytes */

typedef struct proof_session_t proof_session_t;

typedef enum {
    PROOF_NONE,
    PROOF_HELLO,           /* the image proved itself: fetch the passphrase, then proof_seal() */
    PROOF_RESULT_UNLOCKED, /* as the next two: type proof_acknowledge() */
    PROOF_RESULT_WRONG,    /* the disk refused the passphrase */
    PROOF_RESULT_FAILED,   /* proof_text() says what the image gave as its reason */
    PROOF_AGAIN,           /* the image did not hear the acknowledgement: type it again */
    PROOF_BROKEN           /* the session is over, nothing may be typed; proof_text() says why */
} proof_event_e;

/* ---- the image file ------------------------------------------------------------------------------------ */

/* Finds the placeholder in a CD image; reads all of the file, once when the image is opened. NULL and the
 * sector's number, or an error message (in `pool`) that begins with the file's name: unreadable, no placeholder,
 * more than one, of another version. */
const char *proof_find_sector(const char *file, apr_uint32_t *lba, apr_pool_t *pool);

/* ---- a session ----------------------------------------------------------------------------------------- */

/* One boot of one system. Its S is derived from the key and from all three; another boot has another. */
typedef struct {
    const char *job;    /* 1-128 characters */
    const char *system; /* its FQDN, lower case, 1-253 characters: also the system id */
    const char *fence;  /* 1-20 decimal digits: of the intent under which it is booted, not of a later one */
} proof_boot_t;

/* The same key and boot make a session with the same S: a worker that takes over hears the hello to its predecessor and
 * serves the same sector. It must not seal again for a boot for which a seal may have left: the caller knows that (the
 * mark `typed`), the session does not. NULL, or an error message. Secrets lie in OpenSSL's secure heap; they are wiped
 * as soon as they are of no more use, at the latest with `pool`. */
const char *proof_session_create(proof_session_t **session, const proof_key_t *key, const proof_boot_t *boot,
                                 apr_pool_t *pool);

/* The sector to serve in the placeholder's place; before anything is fed. It holds S: wipe it
 * once it is no longer served: at PROOF_HELLO. 0 where OpenSSL has no memory, or after a hello or the end of the
 * session: then it holds zeros, to which no image says hello. */
int proof_sector(const proof_session_t *session, unsigned char sector[PROOF_SECTOR]);

/* Takes bytes as the console gave them, up to and with what makes the next event; *bytes and *length move on.
 * To be called until *length is 0. Each event but PROOF_AGAIN comes at most once. */
proof_event_e proof_feed(proof_session_t *session, const char **bytes, apr_size_t *length);

/* The passphrase, sealed to the image that said hello last: the line to type, once. It holds no secret and
 * belongs to the session's pool. Only after PROOF_HELLO, and once a session; `passphrase` has 1 to
 * PROOF_PASSPHRASE_MAX bytes and stays the caller's. NULL and *line, or an error message: then
 * the session is over. */
const char *proof_seal(proof_session_t *session, const char *passphrase, const char **line);

/* The line to type when a PROOF_RESULT_* or PROOF_AGAIN came, else NULL. */
const char *proof_acknowledge(const proof_session_t *session);

/* What there is to say about PROOF_BROKEN, PROOF_RESULT_FAILED or a refused proof_seal(): printable ASCII, ""
 * where there is nothing to say. Valid as long as the session. */
const char *proof_text(const proof_session_t *session);

/* Wipes its secrets; nothing can be sealed or heard any more. */
void proof_session_end(proof_session_t *session);

#endif
