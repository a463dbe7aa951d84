/* The fleet's listening sockets: one per PC and port. */
#ifndef AMTSIM_LISTEN_H
#define AMTSIM_LISTEN_H

#include "pc.h"

/* What speaks on a port. */
struct port {
    uint16_t number;
    bool tls;
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

/* Raises the limit of open files; false, with a sentence on stderr, when that many are not to be had. */
bool listen_enough_files(unsigned systems, int ports);

/* The PC's faults changed: refuse, hang or accept from now on. */
void listen_apply_faults(struct pc *pc);

/* Closes a port of a PC, or opens it again. */
void listen_set_port(struct pc *pc, uint16_t number, bool open);

void listen_close(struct pc *pcs, unsigned count);

#endif
