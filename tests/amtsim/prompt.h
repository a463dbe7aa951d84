/* SPDX-License-Identifier: Apache-2.0 */
/* What a PC with a locked disk shows on its serial port, and what it makes of the answer: the initramfs of
 * Debian's cryptsetup. */
#ifndef AMTSIM_PROMPT_H
#define AMTSIM_PROMPT_H

#include "pc.h"

/* Which loop the consoles' timers live on. */
void prompt_setup(struct event_base *base);

/* The host starts; its disk is locked and it wants a passphrase; its operating system came up; it lost its
 * power: for struct pc_hooks. */
void prompt_boot(struct pc *pc);
void prompt_ask(struct pc *pc);
void prompt_login(struct pc *pc);
void prompt_stop(struct pc *pc);

/* Somebody types. */
void prompt_input(struct pc *pc, const char *data, size_t size);

void prompt_free(struct pc *pc);

#endif
