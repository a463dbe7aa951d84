/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_UNLOCK_PROMPTS_PRIV_H
#define AMTUNLOCK_UNLOCK_PROMPTS_PRIV_H

#include "unlock/phrases_priv.h"
#include "unlock/prompts.h"

/* What a line means to the PCs of this group: what phrase_read() says, and their own patterns in its place. */
void prompts_read(const prompts_t *prompts, phrase_t *phrase, const char *line);

#endif
