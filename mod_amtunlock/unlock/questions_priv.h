/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_UNLOCK_QUESTIONS_PRIV_H
#define AMTUNLOCK_UNLOCK_QUESTIONS_PRIV_H

#include "unlock/phrases_priv.h"

/* Longest line that is read. */
#define LINE_MAX_READ 1024

/* Whether a line is the question of a program that asks for the passphrase of a volume, as that program writes it.
 * `lower`: the line in lower case and without blanks at its end, of LINE_MAX_READ characters at most; it is changed. */
int questions_read(phrase_t *phrase, const char *line, char *lower);
/* Takes "(press TAB for no echo)" off the end of a line, whole or cut off. */
void questions_take_hint(char *lower);

#endif
