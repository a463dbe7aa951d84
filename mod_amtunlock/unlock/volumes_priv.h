/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes that asked at one start of a PC, and what became of each. */
#ifndef AMTUNLOCK_UNLOCK_VOLUMES_PRIV_H
#define AMTUNLOCK_UNLOCK_VOLUMES_PRIV_H

#include "unlock/dialogue.h"
#include "unlock/phrases_priv.h"

/* One that asked. */
typedef struct {
    phrase_t question;
    int answered;
    int unsure; /* answered, and then the console was cut off: whether the answer arrived is not known */
    int opened;
} volume_t;

typedef struct {
    volume_t all[DIALOGUE_VOLUMES];
    int count;
    int asked; /* the one whose question stood last; -1: none yet */
} volumes_t;

void volumes_forget(volumes_t *volumes);
/* The volume that this question is about; -1: it is new. */
int volumes_find(const volumes_t *volumes, const phrase_t *question);
/* Finds or makes it. -1: too many asked; those that were answered are never forgotten. */
int volumes_note(volumes_t *volumes, const phrase_t *question);

/* Something opened: whether it was one of these. */
int volumes_opened(volumes_t *volumes, const phrase_t *said);
/* Something was refused: whether it was the answer to one of these. */
int volumes_refused(const volumes_t *volumes, const phrase_t *said);
/* Whether all is open that asked and must be: the last, and what was answered in the same program. A program that
 * follows another shows that the other's volumes are open. */
int volumes_all_opened(const volumes_t *volumes);
/* Whether one was answered whose program is gone when the PC starts. */
int volumes_lost_by_start(const volumes_t *volumes);
/* The console was cut off. */
void volumes_cut(volumes_t *volumes);

#endif
