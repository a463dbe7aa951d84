/* SPDX-License-Identifier: Apache-2.0 */
/* A PC whose serial port plays a script (script.h) instead of prompt.c's Debian. */
#ifndef AMTSIM_PLAYER_H
#define AMTSIM_PLAYER_H

#include "pc.h"

#define PLAYER_CUT_MAX 4096

/* Which loop the players' timers live on. */
void player_setup(struct event_base *base);

/* From its next boot on the PC plays this script; what it says comes in messages of `cut` bytes, 0: one for each
 * `send`. Returns the volumes that have a passphrase of their own, as {"NAME":"PASSPHRASE"}; NULL with the reason
 * in `why`. */
json_t *player_give(struct pc *pc, const char *path, unsigned cut, char why[256]);

/* The host starts; its disk is locked and the boot is there; it lost its power; a SOL session was opened. */
void player_boot(struct pc *pc);
void player_ask(struct pc *pc);
void player_stop(struct pc *pc);
void player_session_opened(struct pc *pc);

/* Somebody types. */
void player_input(struct pc *pc, const char *data, size_t size);

void player_free(struct pc *pc);

#endif
