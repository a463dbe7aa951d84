/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_UNLOCK_SHELLS_PRIV_H
#define AMTUNLOCK_UNLOCK_SHELLS_PRIV_H

/* Whether a line begins with a shell's prompt, whatever was typed behind it; or says that a shell is given to whoever sits
 * there. What then stands on the console is what somebody has a program print. */
int shells_line(const char *line);
/* Whether a line that is not finished and stands still looks like a prompt that waits for a command. */
int shells_prompt(const char *line);

#endif
