/* SPDX-License-Identifier: Apache-2.0 */
/* The device's web server: HTTP/1.1, digest authentication, and /wsman behind it. */
#ifndef AMTSIM_HTTP_H
#define AMTSIM_HTTP_H

#include "pc.h"

#define PORT_PLAIN 16992
#define PORT_TLS 16993

/* Which loop the connections live on. */
void http_setup(struct event_base *base);

/* Takes over an accepted connection. */
void http_accept(struct pc *pc, int fd, bool tls);

/* Closes every connection. */
void http_close_all(void);

#endif
