/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's certificate authority and the PCs' certificates. */
#ifndef AMTSIM_TLS_H
#define AMTSIM_TLS_H

#include "pc.h"

#include <openssl/ssl.h>

/* Makes the CA and writes its certificate to FILE. Returns 0, or -1 with the reason on stderr. */
int tls_setup(const struct options *options, const char *file);

/* The server side of a new connection to this PC, with the certificate that the PC shows now; NULL: no
 * memory. */
SSL *tls_accept(struct pc *pc);

/* The handshake is done: sends what the PC's faults have it send at once. */
void tls_pester(const struct pc *pc, SSL *ssl);

void tls_free(struct pc *pcs, unsigned count);

#endif
