/* SPDX-License-Identifier: Apache-2.0 */
#include "image/menu_priv.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int menu_copy(char *to, size_t size, const char *text)
{
    size_t length = strlen(text);

    to[0] = '\0';
    if (length >= size) {
        return -1;
    }
    memcpy(to, text, length + 1);
    return 0;
}

const char *menu_get(const menu_variables_t *variables, const char *name)
{
    for (size_t i = 0; i < variables->count; i++) {
        if (strcmp(variables->of[i].name, name) == 0) {
            return variables->of[i].value;
        }
    }
    return "";
}

void menu_set(menu_variables_t *variables, const char *name, const char *value)
{
    size_t i = 0;

    while (i < variables->count && strcmp(variables->of[i].name, name) != 0) {
        i++;
    }
    if (i == MENU_VARIABLES_MAX || menu_copy(variables->of[i].name, MENU_NAME_MAX, name) != 0) {
        return;
    }
    (void)menu_copy(variables->of[i].value, MENU_OPTIONS_MAX, value);
    if (i == variables->count) {
        variables->count++;
    }
}

void menu_clear(menu_t *menu)
{
    memset(menu, 0, sizeof(*menu));
    menu_set(&menu->variables, "feature_menuentry_id", "y");
    menu_set(&menu->variables, "grub_platform", "efi");
}

menu_entry_t *menu_add(menu_t *menu)
{
    menu_entry_t *entry = NULL;

    if (menu->count < MENU_ENTRIES_MAX) {
        entry = &menu->entries[menu->count++];
        memset(entry, 0, sizeof(*entry));
        entry->parent = MENU_TOP;
    }
    return entry;
}

/* A word with a blank is quoted, as the kernel's own parser wants it. */
int menu_append_option(char *options, const char *word)
{
    size_t at = strlen(options);
    const char *quote = strpbrk(word, " \t") != NULL ? "\"" : "";

    if (at + strlen(word) + 4 > MENU_OPTIONS_MAX) {
        return -1;
    }
    snprintf(options + at, MENU_OPTIONS_MAX - at, "%s%s%s%s", at > 0 ? " " : "", quote, word, quote);
    return 0;
}

void menu_read_environment(menu_t *menu, const char *bytes, size_t length)
{
    const char *end = bytes + length;

    while (bytes < end) {
        const char *stop = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t size = (size_t)((stop != NULL ? stop : end) - bytes);
        char line[MENU_OPTIONS_MAX] = "";
        char *value = line;

        if (size < sizeof(line) && bytes[0] != '#') {
            memcpy(line, bytes, size);
        }
        (void)strsep(&value, "=");
        if (value != NULL) {
            menu_set(&menu->variables, line, value);
        }
        bytes += size + (stop != NULL ? 1 : 0);
    }
    /* The boot loader uses this up at one start; it would be taken at each here, where nothing is written. */
    menu_set(&menu->variables, "next_entry", "");
}

/* The `index`-th child of a submenu, or the one of that id or title. */
static const menu_entry_t *find_child(const menu_t *menu, int parent, const char *wanted)
{
    char *end = NULL;
    unsigned long index = strtoul(wanted, &end, 10);
    int by_index = isdigit((unsigned char)wanted[0]) && *end == '\0';

    for (size_t i = 0; i < menu->count; i++) {
        const menu_entry_t *entry = &menu->entries[i];

        if (entry->parent != parent) {
            continue;
        }
        if (by_index ? index-- == 0
                     : wanted[0] != '\0' &&
                           (strcmp(entry->id, wanted) == 0 || strcmp(entry->title, wanted) == 0)) {
            return entry;
        }
    }
    return NULL;
}

/* As find_child(); what is not found is the first of its level, as in GRUB. */
static const menu_entry_t *choose_child(const menu_t *menu, int parent, const char *wanted)
{
    const menu_entry_t *entry = find_child(menu, parent, wanted);

    return entry != NULL ? entry : find_child(menu, parent, "0");
}

/* "A>B" is B in the submenu A; but a title may hold ">", too. */
const menu_entry_t *menu_default(const menu_t *menu)
{
    char wanted[MENU_OPTIONS_MAX];
    const menu_entry_t *entry = NULL;
    char *rest = wanted;

    (void)menu_copy(wanted, sizeof(wanted), menu_get(&menu->variables, "default"));
    entry = find_child(menu, MENU_TOP, wanted);
    if (entry != NULL) {
        rest = NULL;
    }
    else {
        entry = choose_child(menu, MENU_TOP, strsep(&rest, ">"));
    }
    while (entry != NULL && entry->submenu) {
        entry = choose_child(menu, (int)(entry - menu->entries), rest != NULL ? strsep(&rest, ">") : "0");
    }
    return entry != NULL && entry->kernel[0] != '\0' && !entry->broken ? entry : NULL;
}

const menu_entry_t *menu_loader_default(const menu_t *menu)
{
    const char *pattern = menu_get(&menu->variables, "default");
    const menu_entry_t *first = NULL;

    for (size_t i = 0; i < menu->count; i++) {
        const menu_entry_t *entry = &menu->entries[i];
        char name[MENU_NAME_MAX + sizeof(".conf")];

        if (entry->broken || entry->kernel[0] == '\0') {
            continue;
        }
        first = first != NULL ? first : entry;
        snprintf(name, sizeof(name), "%s.conf", entry->id);
        if (fnmatch(pattern, name, 0) == 0 || fnmatch(pattern, entry->id, 0) == 0) {
            return entry;
        }
    }
    return first;
}
