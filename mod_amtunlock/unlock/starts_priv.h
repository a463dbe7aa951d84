/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_UNLOCK_STARTS_PRIV_H
#define AMTUNLOCK_UNLOCK_STARTS_PRIV_H

#include "unlock/phrases_priv.h"

/* What the lines of a console say of starts of the PC, and how far it has come since. All 0 at first. */
typedef struct {
    long seconds; /* on the kernel's clock, of its last line */
    stage_e stage;
    int shell; /* one stands there, or stood */
} starts_t;

/* Takes a whole line, and where the kernel's text begins in it (its end: nowhere). True if the PC starts with it, or goes
 * down to start again: the kernel, the firmware or a boot loader says so, or the kernel's clock goes back. */
int starts_with_line(starts_t *starts, const char *line, const char *kernel);
/* It has come so far, at the least. */
void starts_reach(starts_t *starts, stage_e stage);
/* Takes what a line means that will not change. */
void starts_go_on(starts_t *starts, const char *line, phrase_e means);

#endif
