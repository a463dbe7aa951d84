/* SPDX-License-Identifier: Apache-2.0 */
#include "unlock/template_priv.h"

#include <string.h>

#include <apr_lib.h>

int template_fits(const char *template, const char *text, span_t *name)
{
    for (; *template != '*' && *template != '%'; template ++, text++) {
        if (*template != *text) {
            return 0;
        }
        if (*template == '\0') {
            return 1;
        }
    }
    for (const char *at = text + (*template == '%'); at == text || at[-1] != '\0'; at++) {
        if ((template[1] == '\0' && *at == '\0') ||
            (template[1] != '\0' && (*at == template[1] || strchr("*%", template[1])) &&
             template_fits(template + 1, at, name))) {
            if (*template == '%') {
                *name = (span_t){text, at};
            }
            return 1;
        }
    }
    return 0;
}

int template_ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), more = strlen(end);

    return length >= more && strcmp(text + length - more, end) == 0;
}

int template_is_made_of(const char *text, const char *others)
{
    for (; *text != '\0'; text++) {
        if (!apr_isalnum(*text) && strchr(others, *text) == NULL) {
            return 0;
        }
    }
    return 1;
}

void template_take_blanks(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && text[length - 1] == ' ') {
        text[--length] = '\0';
    }
}
