/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of programs, as templates. */
#ifndef AMTUNLOCK_UNLOCK_TEMPLATE_PRIV_H
#define AMTUNLOCK_UNLOCK_TEMPLATE_PRIV_H

#define ELLIPSIS "\xe2\x80\xa6"

typedef struct {
    const char *begin, *end; /* NULL: no name */
} span_t;

/* True if `text`, in lower case, is what `template` describes from its first character to its last: '*' is any text, '%'
 * any that is not empty, the name. */
int template_fits(const char *template, const char *text, span_t *name);

int template_ends_with(const char *text, const char *end);
/* Letters and digits, and these others. */
int template_is_made_of(const char *text, const char *others);
/* Takes blanks off its end. */
void template_take_blanks(char *text);

#endif
