/* SPDX-License-Identifier: Apache-2.0 */
/* GRUB's grub.cfg: the part of its language in which distributions write menus. */
#include "image/menu_priv.h"

#include <ctype.h>
#include <string.h>

#define WORDS_MAX 96
#define TEXT_MAX 8192
#define DEPTH_MAX 32

/* One command: its words, as they are after quotes and variables. */
typedef struct {
    char text[TEXT_MAX];
    const char *words[WORDS_MAX + 1]; /* the last one is NULL */
    size_t count;
    size_t used; /* bytes of `text` */
    int open;    /* a word is being written */
    int block;   /* "{" follows */
    int over;    /* it does not fit: what it says is not known */
} command_t;

typedef struct {
    int outside; /* the commands around the condition count */
    int taken;   /* one of its branches counted */
    int counts;  /* this branch counts */
} condition_t;

typedef enum { BLOCK_ENTRY, BLOCK_SUBMENU, BLOCK_UNKNOWN } block_e;

typedef struct {
    menu_t *menu;
    const char *at;
    const char *end;
    command_t command;
    condition_t conditions[DEPTH_MAX];
    size_t condition_depth;
    block_e blocks[DEPTH_MAX];
    size_t block_depth;
    int unknown; /* blocks of functions and the like that are open: their commands do not count */
    int submenu;
    menu_entry_t *entry; /* whose commands are read, or NULL */
} grub_t;

/* ---- words */

static void put_char(command_t *command, char c)
{
    if (!command->open) {
        if (command->count == WORDS_MAX) {
            command->over = 1;
            return;
        }
        command->words[command->count++] = command->text + command->used;
        command->open = 1;
    }
    if (command->used + 2 > TEXT_MAX) {
        command->over = 1;
        return;
    }
    command->text[command->used++] = c;
    command->text[command->used] = '\0';
}

static void end_word(command_t *command)
{
    if (command->open) {
        command->open = 0;
        if (command->used + 1 < TEXT_MAX) {
            command->text[++command->used] = '\0';
        }
        else {
            command->over = 1;
        }
    }
}

/* A word that may stay empty, as "" does. */
static void begin_word(command_t *command)
{
    put_char(command, ' ');
    if (command->open && !command->over) {
        command->text[--command->used] = '\0';
    }
}

/* "$name" or "${name}" at the reader; blanks in the value of an unquoted one end words. */
static void expand(grub_t *grub, int quoted)
{
    command_t *command = &grub->command;
    char name[MENU_NAME_MAX];
    size_t length = 0;
    int braces = grub->at < grub->end && *grub->at == '{';

    grub->at += braces;
    while (grub->at < grub->end &&
           (isalnum((unsigned char)*grub->at) || *grub->at == '_' || *grub->at == '?')) {
        if (length + 1 < sizeof(name)) {
            name[length++] = *grub->at;
        }
        grub->at++;
    }
    name[length] = '\0';
    grub->at += braces && grub->at < grub->end && *grub->at == '}';
    for (const char *value = menu_get(&grub->menu->variables, name); *value != '\0'; value++) {
        if (!quoted && (*value == ' ' || *value == '\t')) {
            end_word(command);
        }
        else {
            put_char(command, *value);
        }
    }
}

static void read_single_quotes(grub_t *grub)
{
    begin_word(&grub->command);
    while (grub->at < grub->end && *grub->at != '\'') {
        put_char(&grub->command, *grub->at++);
    }
    grub->at += grub->at < grub->end;
}

static void read_double_quotes(grub_t *grub)
{
    begin_word(&grub->command);
    while (grub->at < grub->end && *grub->at != '"') {
        char c = *grub->at++;

        if (c == '$') {
            expand(grub, 1);
            continue;
        }
        if (c == '\\' && grub->at < grub->end && strchr("\"$\\", *grub->at) != NULL) {
            c = *grub->at++;
        }
        put_char(&grub->command, c);
    }
    grub->at += grub->at < grub->end;
}

static void read_escape(grub_t *grub)
{
    if (grub->at < grub->end) {
        char c = *grub->at++;

        if (c != '\n') {
            put_char(&grub->command, c);
        }
    }
}

static void skip_comment(grub_t *grub)
{
    while (grub->at < grub->end && *grub->at != '\n') {
        grub->at++;
    }
}

/* A character that stands alone as a word: a brace between blanks. */
static int is_alone(const grub_t *grub)
{
    return !grub->command.open &&
           (grub->at == grub->end || isspace((unsigned char)*grub->at) || *grub->at == ';');
}

/* Takes one step in a command; 0 when it ends here. */
static int read_step(grub_t *grub)
{
    command_t *command = &grub->command;
    char c = *grub->at++;

    if (c == '\n' || c == ';') {
        return 0;
    }
    if (c == '{' && is_alone(grub)) {
        command->block = 1;
        return 0;
    }
    if (c == '}' && is_alone(grub) && command->count > 0) {
        grub->at--; /* a command of its own */
        return 0;
    }
    if (c == '#' && !command->open) {
        skip_comment(grub);
    }
    else if (c == '\'') {
        read_single_quotes(grub);
    }
    else if (c == '"') {
        read_double_quotes(grub);
    }
    else if (c == '\\') {
        read_escape(grub);
    }
    else if (c == '$') {
        expand(grub, 0);
    }
    else if (isspace((unsigned char)c)) {
        end_word(command);
    }
    else {
        put_char(command, c);
        return !(c == '}' && command->count == 1 && command->words[0][1] == '\0');
    }
    return 1;
}

/* The next command with at least one word or a block; 0 at the end. */
static int read_command(grub_t *grub)
{
    command_t *command = &grub->command;

    while (grub->at < grub->end) {
        memset(command, 0, sizeof(*command));
        while (grub->at < grub->end && read_step(grub)) {
        }
        end_word(command);
        command->words[command->count] = NULL;
        if (command->count > 0 || command->block) {
            return 1;
        }
    }
    return 0;
}

/* ---- conditions */

/* One test without -o; `words` up to the closing bracket. */
static int holds_test(const char *const *words, size_t count)
{
    if (count > 0 && strcmp(words[0], "!") == 0) {
        return !holds_test(words + 1, count - 1);
    }
    if (count == 1) {
        return words[0][0] != '\0';
    }
    if (count == 2) {
        return (strcmp(words[0], "-n") == 0 && words[1][0] != '\0') ||
               (strcmp(words[0], "-z") == 0 && words[1][0] == '\0');
    }
    if (count == 3 && (strcmp(words[1], "=") == 0 || strcmp(words[1], "==") == 0)) {
        return strcmp(words[0], words[2]) == 0;
    }
    return count == 3 && strcmp(words[1], "!=") == 0 && strcmp(words[0], words[2]) != 0;
}

/* What cannot be answered from variables, as whether a file is there, does not hold. */
static int holds(const char *const *words, size_t count)
{
    size_t from = 1;

    if (count == 0) {
        return 0;
    }
    if (strcmp(words[0], "!") == 0) {
        return !holds(words + 1, count - 1);
    }
    if (strcmp(words[0], "[") != 0 || strcmp(words[count - 1], "]") != 0) {
        return strcmp(words[0], "true") == 0;
    }
    for (size_t i = from; i < count; i++) {
        if (i == count - 1 || strcmp(words[i], "-o") == 0) {
            if (holds_test(words + from, i - from)) {
                return 1;
            }
            from = i + 1;
        }
    }
    return 0;
}

static int counts(const grub_t *grub)
{
    return grub->unknown == 0 &&
           (grub->condition_depth == 0 || grub->conditions[grub->condition_depth - 1].counts);
}

static void begin_condition(grub_t *grub)
{
    condition_t *condition = NULL;
    int outside = counts(grub);

    if (grub->condition_depth == DEPTH_MAX) {
        grub->at = grub->end; /* nothing behind it is understood */
        return;
    }
    condition = &grub->conditions[grub->condition_depth++];
    condition->outside = outside;
    condition->counts = outside && holds(grub->command.words + 1, grub->command.count - 1);
    condition->taken = condition->counts;
}

/* "if", "elif", "else" and "fi"; 0 when the command is none of them. */
static int take_condition(grub_t *grub, const char *word)
{
    condition_t *condition = grub->condition_depth > 0 ? &grub->conditions[grub->condition_depth - 1] : NULL;

    if (strcmp(word, "if") == 0) {
        begin_condition(grub);
    }
    else if (strcmp(word, "fi") == 0) {
        grub->condition_depth -= condition != NULL;
    }
    else if (strcmp(word, "else") == 0 || strcmp(word, "elif") == 0) {
        if (condition != NULL) {
            condition->counts = condition->outside && !condition->taken &&
                                (word[2] == 's' || holds(grub->command.words + 1, grub->command.count - 1));
            condition->taken |= condition->counts;
        }
    }
    else {
        return 0;
    }
    return 1;
}

/* ---- entries */

/* "(hd0,gpt2)/vmlinuz" is /vmlinuz: the device is where the menu was found. */
static int take_path(char *to, const char *word)
{
    const char *close = word[0] == '(' ? strchr(word, ')') : NULL;

    return menu_copy(to, MENU_PATH_MAX, close != NULL ? close + 1 : word);
}

static void take_kernel(menu_entry_t *entry, const command_t *command)
{
    entry->options[0] = '\0';
    entry->initrds = 0;
    entry->broken |= command->over || command->count < 2;
    entry->broken |= command->count >= 2 && take_path(entry->kernel, command->words[1]) != 0;
    for (size_t i = 2; i < command->count; i++) {
        entry->broken |= menu_append_option(entry->options, command->words[i]) != 0;
    }
}

static void take_initrds(menu_entry_t *entry, const command_t *command)
{
    entry->broken |= command->over || command->count - 1 > MENU_INITRDS_MAX;
    entry->initrds = 0;
    for (size_t i = 1; i < command->count && entry->initrds < MENU_INITRDS_MAX; i++) {
        entry->broken |= take_path(entry->initrd[entry->initrds++], command->words[i]) != 0;
    }
}

static void begin_entry(grub_t *grub, int submenu)
{
    const command_t *command = &grub->command;
    menu_entry_t *entry = menu_add(grub->menu);

    if (entry == NULL) {
        grub->at = grub->end;
        return;
    }
    entry->parent = grub->submenu;
    entry->submenu = submenu;
    (void)menu_copy(entry->title, sizeof(entry->title), command->count > 1 ? command->words[1] : "");
    for (size_t i = 2; i + 1 < command->count; i++) {
        if (strcmp(command->words[i], "--id") == 0) {
            (void)menu_copy(entry->id, sizeof(entry->id), command->words[i + 1]);
        }
    }
    if (submenu) {
        grub->submenu = (int)(entry - grub->menu->entries);
    }
    else {
        grub->entry = entry;
    }
}

static void begin_block(grub_t *grub)
{
    const char *word = grub->command.count > 0 ? grub->command.words[0] : "";
    block_e block = BLOCK_UNKNOWN;

    if (grub->block_depth == DEPTH_MAX) {
        grub->at = grub->end;
        return;
    }
    if (counts(grub) && grub->entry == NULL &&
        (strcmp(word, "menuentry") == 0 || strcmp(word, "submenu") == 0)) {
        block = word[0] == 's' ? BLOCK_SUBMENU : BLOCK_ENTRY;
        begin_entry(grub, block == BLOCK_SUBMENU);
    }
    else {
        grub->unknown++;
    }
    grub->blocks[grub->block_depth++] = block;
}

static void end_block(grub_t *grub)
{
    if (grub->block_depth == 0) {
        return;
    }
    switch (grub->blocks[--grub->block_depth]) {
    case BLOCK_ENTRY:
        grub->entry = NULL;
        break;
    case BLOCK_SUBMENU:
        grub->submenu = grub->menu->entries[grub->submenu].parent;
        break;
    default:
        grub->unknown--;
        break;
    }
}

/* ---- commands */

static void take_assignment(grub_t *grub, const char *word)
{
    const char *equals = strchr(word, '=');
    char name[MENU_NAME_MAX];

    if (equals != NULL && (size_t)(equals - word) < sizeof(name)) {
        memcpy(name, word, (size_t)(equals - word));
        name[equals - word] = '\0';
        menu_set(&grub->menu->variables, name, equals + 1);
    }
}

static int is_one_of(const char *word, const char *name)
{
    size_t length = strlen(name);

    return strncmp(word, name, length) == 0 &&
           (word[length] == '\0' || strcmp(word + length, "16") == 0 || strcmp(word + length, "efi") == 0);
}

static void take_command(grub_t *grub)
{
    const command_t *command = &grub->command;
    const char *word = command->words[0];

    if (strcmp(word, "set") == 0 && command->count > 1) {
        take_assignment(grub, command->words[1]);
    }
    else if (command->count == 1 && strchr(word, '=') != NULL) {
        take_assignment(grub, word);
    }
    else if (strcmp(word, "blscfg") == 0) {
        grub->menu->entries_elsewhere = 1;
    }
    else if (grub->entry != NULL && is_one_of(word, "linux")) {
        take_kernel(grub->entry, command);
    }
    else if (grub->entry != NULL && is_one_of(word, "initrd")) {
        take_initrds(grub->entry, command);
    }
}

/* "then" and "else" may stand before a command on its line. */
static void drop_word(command_t *command)
{
    memmove(command->words, command->words + 1, command->count * sizeof(command->words[0]));
    command->count--;
}

static void take(grub_t *grub)
{
    command_t *command = &grub->command;

    while (command->count > 0 && strcmp(command->words[0], "then") == 0) {
        drop_word(command);
    }
    if (command->count > 1 && strcmp(command->words[0], "else") == 0) {
        (void)take_condition(grub, "else");
        drop_word(command);
    }
    if (command->block) {
        begin_block(grub);
    }
    else if (command->count > 0 && strcmp(command->words[0], "}") == 0) {
        end_block(grub);
    }
    else if (command->count > 0 && !take_condition(grub, command->words[0]) && counts(grub)) {
        take_command(grub);
    }
}

void menu_read_grub(menu_t *menu, const char *bytes, size_t length)
{
    static grub_t grub; /* of one thread, and too large for a stack */

    memset(&grub, 0, sizeof(grub));
    grub.menu = menu;
    grub.at = bytes;
    grub.end = bytes + length;
    grub.submenu = MENU_TOP;
    while (read_command(&grub)) {
        take(&grub);
    }
}
