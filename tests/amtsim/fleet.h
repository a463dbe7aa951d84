/* SPDX-License-Identifier: Apache-2.0 */
/* The PCs, and the files that tell everybody else about them. */
#ifndef AMTSIM_FLEET_H
#define AMTSIM_FLEET_H

#include "pc.h"

struct fleet {
    struct pc *pcs;
    unsigned count;
    char administrator_password[24];
};

/* Makes the PCs: names, methods, secrets, faults. Needs pc_setup(). Returns 0, or -1 with the reason on
 * stderr. */
int fleet_make(struct fleet *fleet, const struct options *options);

/* Gives them the addresses of a range. */
void fleet_place(struct fleet *fleet, const struct address_range *range);

/* Writes fleet.csv, admin and systems into the folder, readable for this user only. Returns 0, or -1
 * likewise. */
int fleet_write(const struct fleet *fleet, const struct options *options);

/* The PC of that name, or NULL. */
struct pc *fleet_find(const struct fleet *fleet, const char *fqdn);

void fleet_free(struct fleet *fleet);

#endif
