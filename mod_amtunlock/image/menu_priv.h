/* SPDX-License-Identifier: Apache-2.0 */
/* What a PC's boot loader would start: the menus of GRUB and of systemd-boot, read as data. Nothing of them is run, and
 * nothing but the bytes that are given is looked at. All texts are cut off, or the entry left out, at these limits. */
#ifndef AMTUNLOCK_IMAGE_MENU_PRIV_H
#define AMTUNLOCK_IMAGE_MENU_PRIV_H

#include <stddef.h>

#define MENU_ENTRIES_MAX 96
#define MENU_INITRDS_MAX 4
#define MENU_VARIABLES_MAX 64
#define MENU_NAME_MAX 128 /* bytes with the end character, as all of these */
#define MENU_PATH_MAX 256
#define MENU_OPTIONS_MAX 2048
#define MENU_TOP (-1)

typedef struct {
    char title[MENU_NAME_MAX];
    char id[MENU_NAME_MAX];       /* "" where it has none */
    char sort_key[MENU_NAME_MAX]; /* this and the next two: of an entry of the boot loader specification */
    char machine[MENU_NAME_MAX];
    char version[MENU_NAME_MAX];
    int parent; /* the submenu's index, or MENU_TOP */
    int submenu;
    int broken; /* something of it was over a limit, or no tries are left: not to be started */
    char kernel[MENU_PATH_MAX]; /* "" where it starts no Linux */
    char initrd[MENU_INITRDS_MAX][MENU_PATH_MAX];
    size_t initrds;
    char options[MENU_OPTIONS_MAX];
} menu_entry_t;

typedef struct {
    char name[MENU_NAME_MAX];
    char value[MENU_OPTIONS_MAX];
} menu_variable_t;

typedef struct {
    menu_variable_t of[MENU_VARIABLES_MAX];
    size_t count;
} menu_variables_t;

typedef struct {
    menu_entry_t entries[MENU_ENTRIES_MAX];
    size_t count;
    menu_variables_t variables;
    int entries_elsewhere; /* GRUB's blscfg was met: the entries of /loader/entries belong here */
} menu_t;

/* An empty menu, with what GRUB knows by itself. A menu is large: it is the caller's, static or on the heap. */
void menu_clear(menu_t *menu);

/* GRUB's environment block (grubenv): before the menu is read. */
void menu_read_environment(menu_t *menu, const char *bytes, size_t length);

/* GRUB's grub.cfg. Conditions are evaluated as far as they ask for variables; others are taken to be false. */
void menu_read_grub(menu_t *menu, const char *bytes, size_t length);

/* One file of /loader/entries; `name` is its name, with ".conf". */
void menu_read_entry(menu_t *menu, const char *name, const char *bytes, size_t length);

/* systemd-boot's loader.conf: sets the variable "default" to what it asks for. */
void menu_read_loader(menu_t *menu, const char *bytes, size_t length);

/* Sorts the entries that menu_read_entry() added behind the first `from`: as the boot loader specification says, or
 * (`by_name`) by name alone, as GRUB does. */
void menu_sort(menu_t *menu, size_t from, int by_name);

/* What GRUB, or systemd-boot, would start of itself; NULL: no Linux. */
const menu_entry_t *menu_default(const menu_t *menu);
const menu_entry_t *menu_loader_default(const menu_t *menu);

/* ---- of the readers alone */
const char *menu_get(const menu_variables_t *variables, const char *name); /* "" when it is not set */
void menu_set(menu_variables_t *variables, const char *name, const char *value);
menu_entry_t *menu_add(menu_t *menu);                           /* NULL: full */
int menu_copy(char *to, size_t size, const char *text);         /* 0; -1 and "" when it does not fit */
int menu_append_option(char *options, const char *word);        /* 0; -1 when it does not fit */
int menu_compare_versions(const char *left, const char *right); /* < 0, 0, > 0 */

#endif
