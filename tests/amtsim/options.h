/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulator was asked to be: the command line, checked. */
#ifndef AMTSIM_OPTIONS_H
#define AMTSIM_OPTIONS_H

#include "faults.h"

#include <netinet/in.h>
#include <stdbool.h>

/* How a PC's disk gets unlocked; METHOD_MIX is a fleet's word only (wake, sol, image take turns). */
enum method { METHOD_WAKE, METHOD_SOL, METHOD_IMAGE, METHOD_MIX };

/* TLS_LEGACY: TLS 1.0 and 1.1 only, what firmware older than 12.0 spoke. */
enum tls_mode { TLS_CA, TLS_LEGACY, TLS_NONE };

/* A run of IPv4 addresses, host byte order. */
struct address_range {
    in_addr_t first; /* the first PC's */
    in_addr_t last;  /* inclusive */
    in_addr_t lock;  /* listened on by one simulator at a time; 0: none (the range is its owner's) */
};

#define BODIES_MAX 8

/* A PC with a body (body.h), and the folder that its body is in. */
struct body_option {
    char fqdn[128];
    const char *folder;
};

struct options {
    unsigned systems;
    const char *domain;
    bool wide;       /* one socket a port for all of 127/8 */
    bool block_auto; /* try 127.16/16, 127.17/16, ... */
    struct address_range range;
    enum method method;
    enum tls_mode tls;
    bool tls13;
    bool kerberos; /* Negotiate beside digest, with the keytab of KRB5_KTNAME */
    bool rsa;
    bool key_per_pc;
    bool log_bodies;             /* of requests, in the log; they name no password */
    double boot_min, boot_max;   /* seconds of a boot */
    double power_min, power_max; /* seconds from an accepted power request to its effect */
    unsigned probe_port;
    unsigned wake_seconds, lockout_seconds;
    unsigned answer_ms;   /* what a device needs to answer; a second call meanwhile is refused */
    unsigned long realms; /* of the account that fleet.csv names, 1 << number */
    unsigned haste;       /* the unlock image's waits are divided by it */
    unsigned drive_ms;    /* between the answer to a firmware's IDE-R command and the next */
    unsigned long seed;
    double share[FAULT_COUNT]; /* of the fleet, 0 to 1, their sum at most 1 */
    struct body_option body[BODIES_MAX];
    unsigned bodies; /* how many */
    const char *dir;
    const char *log;
    const char *control;
};

/* Reads the command line into *options. Returns 0; else what to exit with, the reason printed on stderr. */
int options_parse(struct options *options, int argc, char **argv);

/* The word for a method as fleet.csv spells it. */
const char *method_name(enum method method);

/* Block number n (0: 127.16.0.0/16), or false behind the last one (127.254.0.0/16). */
bool options_block(unsigned n, struct address_range *range);

#endif
