/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP digest access authentication (RFC 7616 with MD5) as AMT firmware does it. */
#ifndef AMTSIM_DIGEST_H
#define AMTSIM_DIGEST_H

#include "pc.h"

enum digest_result { DIGEST_OK, DIGEST_REFUSED, DIGEST_STALE };

/* What the digest covers. */
struct digest_request {
    const char *method, *uri;
    const char *body;
    size_t body_size;
    const char *authorization; /* the header's value, never NULL */
};

/* Checks the header. On DIGEST_OK *account is the user. Counts bad passwords, writes the event `auth`. */
enum digest_result digest_check(struct pc *pc, const struct digest_request *request, struct account *account);

/* The value of WWW-Authenticate, with a fresh nonce. */
void digest_challenge(struct pc *pc, bool stale, char *value, size_t size);

/* From now on every nonce handed out so far is stale. */
void digest_expire(struct pc *pc);

/* The lower-case hexadecimal MD5 of the parts, NULL-terminated list, joined by colons. hex has 33 bytes. */
void digest_md5(char *hex, const char *const *parts);

/* Refuses or admits a user's password for all the doors of the device: after 5 wrong ones in a row it is
 * locked. */
bool digest_is_locked(const struct pc *pc);
void digest_count(struct pc *pc, bool good);

#endif
