/* SPDX-License-Identifier: Apache-2.0 */
/* See shells_priv.h. A prompt in a finished line must be a sure one, for banners and boot messages have the same signs. */
#include "unlock/shells_priv.h"

#include <string.h>
#include <strings.h>

#include <apr_lib.h>

#include "unlock/template_priv.h"

/* '#' or '$', and a blank or the end behind it. */
static int is_mark(const char *at)
{
    return (*at == '#' || *at == '$') && (at[1] == ' ' || at[1] == '\0');
}

/* "[root@pc ~]# " */
static int is_in_brackets(const char *line)
{
    const char *close = line[0] == '[' ? strchr(line, ']') : NULL;

    return close != NULL && is_mark(close + 1);
}

/* "root@pc:~", "dracut:/", "sh-5.2", "/ ", "~ ": a user, a folder or a shell's version. */
static int is_place(const char *text, size_t length)
{
    static const char *const parts[] = {"@", ":/", ":~", "sh-"};
    int place = text[0] == '/' || text[0] == '~';

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *found = strstr(text, parts[i]);

        place |= found != NULL && found < text + length;
    }
    return place;
}

/* In the first word, or for itself behind the first or second. */
static int is_behind_place(const char *line)
{
    const char *at = line;

    for (int words = 1; words <= 3 && *at != '\0'; words++) {
        const char *end = at + strcspn(at, " ");
        int alone = end == at + 1;

        if (end > at && is_mark(end - 1) && (words == 1 ? !alone : alone)) {
            return is_place(line, (size_t)(end - 1 - line));
        }
        at = end + (*end == ' ');
    }
    return 0;
}

/* Bars that grow, percentages and names of keys end with the same signs. */
static int is_mark_behind(const char *line, size_t length)
{
    char last = line[length - 1], before = length > 1 ? line[length - 2] : ' ';

    return ((last == '#' || last == '$') && before != last) || (last == '%' && !apr_isdigit(before)) ||
           (last == '>' && strchr("=-", before) == NULL && memchr(line, '<', length) == NULL);
}

static int is_command(const char *text)
{
    static const char *const commands[] = {"cat",   "less", "more", "dmesg",     "journalctl", "tail",
                                           "head",  "grep", "zcat", "sed",       "ls",         "cd",
                                           "mount", "sudo", "exit", "cryptsetup"};
    size_t length = strcspn(text, " ");

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strlen(commands[i]) == length && strncmp(text, commands[i], length) == 0) {
            return 1;
        }
    }
    return 0;
}

/* A command that shows something, behind what may be a prompt. */
static int has_command(const char *line)
{
    for (const char *at = strchr(line, ' '); at != NULL; at = strchr(at + 1, ' ')) {
        if (at > line && is_command(at + 1) && is_mark_behind(line, (size_t)(at - line))) {
            return 1;
        }
    }
    return 0;
}

int shells_line(const char *line)
{
    static const char *const beginnings[] = {
        "(initramfs)", "grub> ", "grub rescue> ", "mountroot> ", "db> ", "kdb> ", "BusyBox v",
        "Enter 'help' for a list of built-in commands", "You are in emergency mode", "You are in rescue mode",
        "You are now being dropped into an emergency shell", "Welcome to emergency mode",
        "Welcome to rescue mode", "Entering emergency mode", "Give root password for maintenance",
        "Press Enter for maintenance", "initramfs emergency recovery shell launched", "sulogin: ",
        /* of systems that run without the disk's */
        "archiso login: ", "finnix login: ", "grml login: ", "livecd login: ", "localhost-live login: ",
        "sysrescue login: "};

    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        if (strncasecmp(line, beginnings[i], strlen(beginnings[i])) == 0) {
            return 1;
        }
    }
    return is_in_brackets(line) || is_behind_place(line) || has_command(line);
}

int shells_prompt(const char *line)
{
    static const char *const signs[] = {"\xe2\x9d\xaf", "\xe2\x9e\x9c", "\xce\xbb", "\xc2\xbb"};
    size_t length = strlen(line);

    while (length > 0 && line[length - 1] == ' ') {
        length--;
    }
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        size_t sign = strlen(signs[i]);

        if (length >= sign && strncmp(line + length - sign, signs[i], sign) == 0) {
            return 1;
        }
    }
    return length > 0 && is_mark_behind(line, length);
}
