/* SPDX-License-Identifier: Apache-2.0 */
/* SOL and IDE-R sessions on ports 16994 and 16995. */
#ifndef AMTSIM_REDIRECTION_H
#define AMTSIM_REDIRECTION_H

#include "pc.h"

#define PORT_REDIRECTION 16994
#define PORT_REDIRECTION_TLS 16995

/* Which loop the sessions live on. */
void redirection_setup(struct event_base *base);

/* Takes over an accepted connection. */
void redirection_accept(struct pc *pc, int fd, bool tls);

/* A console changed pc->redirection or pc->listener_enabled. */
void redirection_changed(struct pc *pc);

/* Is a session open? For struct pc_hooks. */
bool redirection_is_open(const struct pc *pc);

/* Ends every session. */
void redirection_close_all(void);

#endif
