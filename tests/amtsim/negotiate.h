/* SPDX-License-Identifier: Apache-2.0 */
/* SPNEGO with Kerberos, as a device that was joined to a domain accepts it: the keytab that KRB5_KTNAME names
 * holds a key for HTTP/FQDN:PORT of every PC, the port being part of the name. */
#ifndef AMTSIM_NEGOTIATE_H
#define AMTSIM_NEGOTIATE_H

#include "pc.h"

#include <stddef.h>
#include <stdint.h>

#define NEGOTIATE_TOKEN_MAX 16384

/* Can the keytab be read? False: the reason on stderr. */
bool negotiate_setup(void);

/* Accepts the initial token of a client that connected to this port. True: *account is the user, and reply
 * (with room for NEGOTIATE_TOKEN_MAX bytes) the token that proves the device in turn, of *reply_size bytes,
 * perhaps 0. Writes the event `auth`. */
bool negotiate_accept(struct pc *pc, unsigned port, const void *token, size_t size, struct account *account,
                      uint8_t *reply, size_t *reply_size);

/* The same for the value of an Authorization header; `header` (of `room` bytes) becomes the line that belongs
 * into the answer, "" when there is none. */
bool negotiate_check(struct pc *pc, unsigned port, const char *authorization, struct account *account,
                     char *header, size_t room);

#endif
