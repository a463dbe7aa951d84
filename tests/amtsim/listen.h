/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's listening sockets: one per PC and port. */
#ifndef AMTSIM_LISTEN_H
#define AMTSIM_LISTEN_H

#include "pc.h"

/* What speaks on a port. */
struct port {
    uint16_t number;
    bool tls;
    bool redirection; /* shut while AMT_RedirectionService.ListenerEnabled is false */
    /* Takes over a connection that the PC's faults left alone. */
    void (*accepted)(struct pc *pc, int fd, bool tls);
};

#define PORTS_MAX 4

/* Claims the range's lock: of two simulators that try, one gets it. False: taken. `range->lock` 0: always
 * true. */
bool listen_claim(const struct address_range *range);

/* Opens every port of every PC. Returns 0; 1 when an address is in use (*which says); -1 on anything else,
 * with the reason on stderr. After a failure listen_close(). */
int listen_open(struct event_base *base, struct pc *pcs, unsigned count, const struct port *ports,
                int port_count);

/* The same for the wide fleet, which takes all of 127/8; the reason on stderr. */
bool listen_claim_wide(void);

/* One socket a port for all PCs, whose addresses are consecutive ones of 127/8: for more PCs than one socket
 * each is good for. Returns 0, or -1 with the reason on stderr. */
int listen_open_wide(struct event_base *base, struct pc *pcs, unsigned count, const struct port *ports,
                     int port_count);

/* Raises the limit of open files; false, with a sentence on stderr, when that many are not to be had;
 * `sockets` listen for each PC. */
bool listen_enough_files(unsigned systems, int sockets);

/* The PC's faults or its ListenerEnabled changed: refuse, hang or accept from now on. */
void listen_update(struct pc *pc);

void listen_close(struct pc *pcs, unsigned count);

#endif
