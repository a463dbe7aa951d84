/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_UNLOCK_PROMPTS_PRIV_H
#define AMTUNLOCK_UNLOCK_PROMPTS_PRIV_H

#include "unlock/phrases_priv.h"
#include "unlock/prompts.h"

/* What a line means to the PCs of this group: what phrase_read() says, and their own patterns in its place. */
void prompts_read(const prompts_t *prompts, phrase_t *phrase, const char *line);

/* Whether the service manager itself may write behind this: nothing, a question, or stars. What stands behind other text
 * is what somebody says of it. */
int prompts_may_precede(const prompts_t *prompts, const char *before);

/* A volume's name, if it is printable ASCII without blanks, quotes and wildcards; else "". */
const char *prompts_plain_name(const char *name);

#endif
