/* SPDX-License-Identifier: Apache-2.0 */
/* What jansson loses where it has no memory. It says so of most of it, but a member's name that does not fit
 * is left out of a text, a letter out of a string that is read, and whoever sets many members would have to
 * look after each. So its memory goes through here, and is counted where it was not had.
 */
#ifndef AMTUNLOCK_BASE_OOM_JSON_H
#define AMTUNLOCK_BASE_OOM_JSON_H

/* How often jansson has had no memory on this thread so far. Take it before something is built, written or
 * read, and compare: another number, and nothing of that may be believed. */
unsigned int oom_json_losses(void);

#endif
