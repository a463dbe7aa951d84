/* SPDX-License-Identifier: Apache-2.0 */
/* The boot loader specification: /loader/entries/NAME.conf, loader.conf, and the order of entries. */
#include "image/menu_priv.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The next line of `*bytes` without blanks at both ends, and its value; 0 at the end. */
static int next_line(const char **bytes, const char *end, char *line, char **value)
{
    while (*bytes < end) {
        const char *stop = memchr(*bytes, '\n', (size_t)(end - *bytes));
        size_t size = (size_t)((stop != NULL ? stop : end) - *bytes);
        const char *start = *bytes;

        *bytes += size + (stop != NULL ? 1 : 0);
        while (size > 0 && isspace((unsigned char)start[0])) {
            start++;
            size--;
        }
        while (size > 0 && isspace((unsigned char)start[size - 1])) {
            size--;
        }
        if (size == 0 || start[0] == '#' || size >= MENU_OPTIONS_MAX || memchr(start, '\0', size) != NULL) {
            continue;
        }
        memcpy(line, start, size);
        line[size] = '\0';
        *value = line + strcspn(line, " \t");
        *value += strspn(*value, " \t");
        line[strcspn(line, " \t")] = '\0';
        return 1;
    }
    return 0;
}

/* The words of a line's value; "$name" is replaced by its own words, as GRUB's blscfg does. */
static int add_words(const menu_variables_t *variables, menu_entry_t *entry, char *value,
                     int (*add)(menu_entry_t *, const char *))
{
    int bad = 0;

    for (char *word = strsep(&value, " \t"); word != NULL; word = strsep(&value, " \t")) {
        if (word[0] == '$' && variables != NULL) {
            char held[MENU_OPTIONS_MAX];

            (void)menu_copy(held, sizeof(held), menu_get(variables, word + 1));
            bad |= add_words(NULL, entry, held, add);
        }
        else if (word[0] != '\0') {
            bad |= add(entry, word) != 0;
        }
    }
    return bad;
}

static int add_initrd(menu_entry_t *entry, const char *word)
{
    if (entry->initrds == MENU_INITRDS_MAX) {
        return -1;
    }
    return menu_copy(entry->initrd[entry->initrds++], MENU_PATH_MAX, word);
}

static int add_option(menu_entry_t *entry, const char *word)
{
    size_t at = strlen(entry->options);

    if (at + strlen(word) + 2 > sizeof(entry->options)) {
        return -1;
    }
    if (at > 0) {
        entry->options[at++] = ' ';
    }
    memcpy(entry->options + at, word, strlen(word) + 1);
    return 0;
}

/* One line of an entry; what does not fit makes it one that is not to be started. */
static void take_line(menu_t *menu, menu_entry_t *entry, const char *key, char *value)
{
    const struct {
        const char *key;
        char *to;
        size_t size;
        int needed;
    } texts[] = {
        {"title", entry->title, sizeof(entry->title), 0},
        {"sort-key", entry->sort_key, sizeof(entry->sort_key), 0},
        {"machine-id", entry->machine, sizeof(entry->machine), 0},
        {"version", entry->version, sizeof(entry->version), 0},
        {"linux", entry->kernel, sizeof(entry->kernel), 1},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(key, texts[i].key) == 0 && menu_copy(texts[i].to, texts[i].size, value) != 0) {
            entry->broken |= texts[i].needed;
        }
    }
    if (strcmp(key, "initrd") == 0) {
        entry->broken |= add_words(&menu->variables, entry, value, add_initrd);
    }
    else if (strcmp(key, "options") == 0) {
        entry->broken |= add_words(&menu->variables, entry, value, add_option);
    }
}

/* "NAME+LEFT-DONE.conf" counts tries: the id is NAME, and with none left the entry is a bad one. */
static int name_entry(menu_entry_t *entry, const char *name)
{
    char *plus = NULL;

    if (menu_copy(entry->id, sizeof(entry->id), name) != 0 || strlen(name) < sizeof(".conf")) {
        return -1;
    }
    entry->id[strlen(name) - (sizeof(".conf") - 1)] = '\0';
    plus = strrchr(entry->id, '+');
    if (plus != NULL && isdigit((unsigned char)plus[1]) &&
        plus[1 + strspn(plus + 1, "0123456789-")] == '\0') {
        entry->broken = strtoul(plus + 1, NULL, 10) == 0;
        *plus = '\0';
    }
    return 0;
}

void menu_read_entry(menu_t *menu, const char *name, const char *bytes, size_t length)
{
    menu_entry_t *entry = menu_add(menu);
    const char *end = bytes + length;
    char line[MENU_OPTIONS_MAX];
    char *value = NULL;

    if (entry == NULL) {
        return;
    }
    if (name_entry(entry, name) != 0) {
        menu->count--;
        return;
    }
    while (next_line(&bytes, end, line, &value)) {
        take_line(menu, entry, line, value);
    }
}

void menu_read_loader(menu_t *menu, const char *bytes, size_t length)
{
    const char *end = bytes + length;
    char line[MENU_OPTIONS_MAX];
    char *value = NULL;

    while (next_line(&bytes, end, line, &value)) {
        if (strcmp(line, "default") == 0) {
            menu_set(&menu->variables, "default", value);
        }
    }
}

/* What a version's separators weigh against each other and against its end: "~" is before all, letters come behind, digits are last. */
static int weigh(char c)
{
    static const char before[] = "~";
    static const char after[] = "-^.";
    const char *found = NULL;

    if (c == '\0') {
        return 0;
    }
    if (c == before[0]) {
        return -1;
    }
    if (isdigit((unsigned char)c)) {
        return 16 + 256;
    }
    found = strchr(after, c);
    return found != NULL ? 1 + (int)(found - after) : 16 + (unsigned char)c;
}

static int compare_numbers(const char **left, const char **right)
{
    size_t a = 0;
    size_t b = 0;
    int order = 0;

    *left += strspn(*left, "0");
    *right += strspn(*right, "0");
    a = strspn(*left, "0123456789");
    b = strspn(*right, "0123456789");
    order = a != b ? (a < b ? -1 : 1) : strncmp(*left, *right, a);
    *left += a;
    *right += b;
    return order;
}

int menu_compare_versions(const char *left, const char *right)
{
    int order = 0;

    while (order == 0 && (*left != '\0' || *right != '\0')) {
        if (isdigit((unsigned char)*left) && isdigit((unsigned char)*right)) {
            order = compare_numbers(&left, &right);
        }
        else {
            order = weigh(*left) - weigh(*right);
            left += *left != '\0';
            right += *right != '\0';
        }
    }
    return order;
}

static int compare_by_name(const void *left, const void *right)
{
    return menu_compare_versions(((const menu_entry_t *)right)->id, ((const menu_entry_t *)left)->id);
}

static int compare_by_key(const void *left, const void *right)
{
    const menu_entry_t *a = left;
    const menu_entry_t *b = right;
    int order = a->broken - b->broken;

    if (order == 0) {
        order = (a->sort_key[0] == '\0') - (b->sort_key[0] == '\0');
    }
    if (order == 0 && a->sort_key[0] != '\0') {
        order = strcmp(a->sort_key, b->sort_key);
        order = order != 0 ? order : strcmp(a->machine, b->machine);
        order = order != 0 ? order : menu_compare_versions(b->version, a->version);
    }
    return order != 0 ? order : compare_by_name(left, right);
}

void menu_sort(menu_t *menu, size_t from, int by_name)
{
    if (from < menu->count) {
        qsort(menu->entries + from, menu->count - from, sizeof(menu->entries[0]),
              by_name ? compare_by_name : compare_by_key);
    }
}
