/* SPDX-License-Identifier: Apache-2.0 */
/* Serial over LAN: the host's serial port, carried to the console that opened the session. */
#ifndef AMTSIM_SOL_H
#define AMTSIM_SOL_H

#include "pc.h"

/* The host sends bytes; without a session they are lost, as on a port that nobody reads. */
void sol_write(struct pc *pc, const void *data, size_t size);

/* The same, in messages of `part` bytes, 1 to 4096. */
void sol_write_in(struct pc *pc, const void *data, size_t size, size_t part);

/* Bytes of all kinds, as a line has them that is not set right or that others use too. */
void sol_make_noise(struct pc *pc);

/* The connection of the session breaks. */
void sol_cut(struct pc *pc);

/* The session sends bytes that are no message. */
void sol_babble(struct pc *pc);

/* The host's power changed: the console is told. */
void sol_tell_power(struct pc *pc);

#endif
