/* SPDX-License-Identifier: Apache-2.0 */
/* See phrases_priv.h: text that others write into a line. */
#include "unlock/phrases_priv.h"

#include <string.h>

/* "[   47.067120] ", maybe with "[  T123]" behind it. */
static int is_kernel_time(const char *at, int partial)
{
    const char *text = at + 1;
    size_t digits;

    text += strspn(text, " ");
    digits = strspn(text, "0123456789");
    text += digits;
    if (*text == '\0') {
        return partial;
    }
    if (digits == 0 || *text++ != '.') {
        return 0;
    }
    digits = strspn(text, "0123456789");
    text += digits;
    if (*text == '\0') {
        return partial;
    }
    return digits > 0 && text[0] == ']' && (text[1] == ' ' || text[1] == '[' || text[1] == '\0');
}

/* A hypervisor, and what configures the network in an initramfs, and the login there, speak while the question stands. */
static const char *program_at(const char *line)
{
    static const char *const rows[] = {" address: ", " gateway: ",    " host   : ",   " domain : ",
                                       " nisdom : ", " rootserver: ", " filename  : "};
    const char *found = NULL;

    if (strcmp(line, "Begin: Starting dropbear ... ") == 0) {
        return line;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strncmp(line, rows[i], strlen(rows[i])) == 0) {
            return line;
        }
    }
    found = strstr(line, "(XEN) ");
    return found != NULL ? found : strstr(line, "IP-Config: ");
}

unsigned int phrase_kernel_at(const char *line, int partial)
{
    const char *at = program_at(line);

    if (at != NULL) {
        return (unsigned int)(at - line);
    }
    at = line;

    while ((at = strchr(at, '[')) != NULL) {
        if (is_kernel_time(at, partial)) {
            return (unsigned int)(at - line);
        }
        at++;
    }
    return (unsigned int)strlen(line);
}

/* "[  OK  ] ", "[FAILED] ", "[*** ] ": six characters between brackets. */
static int is_mark(const char *at, int partial)
{
    static const char *const marks[] = {"[  OK  ]", "[FAILED]", "[DEPEND]", "[ TIME ]", "[ INFO ]",
                                        "[ WARN ]", "[ SKIP ]", "[ABORT ]", "[ABORTED]"};
    size_t length = strlen(at), stars = at[0] == '[' ? strspn(at + 1, " *") : 0;

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        size_t most = strlen(marks[i]);

        if (strncmp(at, marks[i], length < most ? length : most) == 0 && (length >= most || partial)) {
            return 1;
        }
    }
    return (stars == 6 && at[7] == ']') || (partial && stars > 0 && stars <= 6 && at[1 + stars] == '\0');
}

/* "         Starting Something...": nine blanks. */
static int is_progress(const char *at)
{
    static const char *const verbs[] = {"Starting ",   "Stopping ",     "Mounting ",  "Unmounting ",
                                        "Activating ", "Deactivating ", "Expecting ", "Reloading "};

    if (strncmp(at, "         ", 9) != 0) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strncmp(at + 9, verbs[i], strlen(verbs[i])) == 0) {
            return 1;
        }
    }
    return 0;
}

unsigned int phrase_status_at(const char *line, int partial)
{
    const char *at = line;

    for (; *at != '\0'; at++) {
        if ((*at == '[' && is_mark(at, partial)) || (*at == ' ' && is_progress(at))) {
            break;
        }
    }
    return (unsigned int)(at - line);
}
