/* SPDX-License-Identifier: Apache-2.0 */
/* A DNS server for tests, on loopback, UDP and TCP, in a thread of its own. AMTUNLOCK_TEST_DNS names it. */
#ifndef AMTUNLOCK_TESTS_DNS_PEER_H
#define AMTUNLOCK_TESTS_DNS_PEER_H

/* What it says of one name. */
typedef struct {
    const char *name;       /* lower case; ends the table: NULL */
    const char *four, *six; /* addresses, parted by blanks; NULL: none of this family */
    int silent;             /* no answer */
    int drops_six;          /* no answer to questions for IPv6 addresses */
    int truncated;          /* by UDP: whole by TCP only */
} dns_name_t;

typedef struct dns_peer_t dns_peer_t;

/* Names that are not in the table: there is no such name. `names` must live as long. */
dns_peer_t *dns_peer_start(const dns_name_t *names);
int dns_peer_port(const dns_peer_t *peer);
void dns_peer_stop(dns_peer_t *peer);

#endif
