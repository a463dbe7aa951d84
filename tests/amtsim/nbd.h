/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of NBD (fixed newstyle handshake, simple replies, one export without a name, read-only),
 * over one connected socket. It owns no data: each read is asked of its owner, one after the other. */
#ifndef AMTSIM_NBD_H
#define AMTSIM_NBD_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

struct nbd;

#define NBD_READ_MAX 65536U /* bytes; a client that asks is told, and splits what is more */

/* Errors as the protocol has them. */
enum nbd_error { NBD_EPERM = 1, NBD_EIO = 5, NBD_EINVAL = 22 };

/* The client wants `length` bytes, at most NBD_READ_MAX, in whole blocks and inside the export. Answered by
 * nbd_give() or nbd_refuse(), at once or later; until then nothing else is asked. */
typedef void nbd_read(void *owner, uint64_t offset, uint32_t length);

/* Greets the client at the other end of fd, and takes fd over. `block` is the smallest read, a power of two.
 * NULL: no memory, and fd was closed. A client that breaks the protocol, or says goodbye, is hung up on. */
struct nbd *nbd_open(struct event_base *loop, int fd, uint64_t size, uint32_t block, nbd_read *read,
                     void *owner);

/* The bytes of the read under way: as many as it asked for. */
void nbd_give(struct nbd *nbd, const void *data);

/* There are none. */
void nbd_refuse(struct nbd *nbd, enum nbd_error error);

void nbd_close(struct nbd *nbd);

#endif
