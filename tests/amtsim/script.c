/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 16384
#define TRIES 3

/* What stands behind a word. */
enum takes {
    TAKES_NOTHING,
    TAKES_TEXT,
    TAKES_SECONDS,
    TAKES_ECHO,
    TAKES_VOLUME,
    TAKES_READ,
    TAKES_OTHER,
    TAKES_DRAW
};

static const struct {
    const char *name;
    enum script_word word;
    enum takes takes;
} words[] = {
    {"send", SCRIPT_SEND, TAKES_TEXT},      {"message", SCRIPT_MESSAGE, TAKES_NOTHING},
    {"pause", SCRIPT_PAUSE, TAKES_SECONDS}, {"echo", SCRIPT_ECHO, TAKES_ECHO},
    {"open", SCRIPT_OPEN, TAKES_VOLUME},    {"read", SCRIPT_READ, TAKES_READ},
    {"good", SCRIPT_GOOD, TAKES_TEXT},      {"bad", SCRIPT_BAD, TAKES_TEXT},
    {"last", SCRIPT_LAST, TAKES_TEXT},      {"gone", SCRIPT_GONE, TAKES_TEXT},
    {"draw", SCRIPT_DRAW, TAKES_DRAW},      {"key", SCRIPT_KEY, TAKES_TEXT},
    {"other", SCRIPT_OTHER, TAKES_OTHER},   {"login", SCRIPT_LOGIN, TAKES_TEXT},
    {"end", SCRIPT_END, TAKES_NOTHING},
};

/* ---- words and texts ----------------------------------------------------------------------------------- */

/* The next word of a line, cut off it; "" at its end. */
static char *take_word(char **at)
{
    char *word = *at + strspn(*at, " \t");
    size_t length = strcspn(word, " \t");

    *at = word + length;
    if (**at)
        *(*at)++ = '\0';
    return word;
}

static bool at_end(const char *at)
{
    return at[strspn(at, " \t")] == '\0';
}

/* The byte of an escape, *text moved behind it; -1: no such escape. */
static int unescape(const char **text)
{
    static const char names[] = "rntbae\\\"", bytes[] = "\r\n\t\b\a\033\\\"";
    char hex[3] = {0};
    const char *name = **text ? strchr(names, **text) : NULL;

    if (name) {
        (*text)++;
        return (unsigned char)bytes[name - names];
    }
    if (**text != 'x' || !isxdigit((unsigned char)(*text)[1]) || !isxdigit((unsigned char)(*text)[2]))
        return -1;
    memcpy(hex, *text + 1, 2);
    *text += 3;
    return (int)strtoul(hex, NULL, 16);
}

/* "..." and nothing behind it. */
static bool take_text(const char *at, struct statement *statement)
{
    at += strspn(at, " \t");
    if (*at++ != '"')
        return false;
    statement->text = malloc(strlen(at) + 1);
    while (statement->text && *at && *at != '"') {
        int byte = (unsigned char)*at++;
        if (byte == '\\' && (byte = unescape(&at)) < 0)
            return false;
        statement->text[statement->size++] = (char)byte;
    }
    return *at == '"' && at_end(at + 1);
}

static bool take_seconds(char **at, double *seconds)
{
    const char *word = take_word(at);
    char *end;

    *seconds = strtod(word, &end);
    return end != word && !*end && *seconds >= 0 && *seconds <= 3600;
}

static bool take_name(const char *word, char name[NAME_MAX_CHARS + 1])
{
    size_t length = strlen(word);

    if (length == 0 || length > NAME_MAX_CHARS)
        return false;
    memcpy(name, word, length + 1);
    return true;
}

/* The volume of that name, made known if it was not; false: there are too many. */
static bool take_volume(struct script *script, const char *word, unsigned *which)
{
    for (unsigned i = 0; i < script->volume_count; i++) {
        if (!strcmp(script->volumes[i].name, word)) {
            *which = i;
            return true;
        }
    }
    *which = script->volume_count;
    return script->volume_count < VOLUMES_MAX &&
           take_name(word, script->volumes[script->volume_count++].name);
}

/* ---- statements ---------------------------------------------------------------------------------------- */

static bool take_echo(char **at, unsigned *which)
{
    static const char *const kinds[] = {
        [ECHO_OFF] = "off", [ECHO_ON] = "on", [ECHO_STARS] = "stars", [ECHO_HINT] = "hint"};
    const char *word = take_word(at);

    for (*which = 0; *which <= ECHO_HINT; ++*which) {
        if (!strcmp(word, kinds[*which]))
            return true;
    }
    return false;
}

/* read [VOLUME] [within SECONDS] [never] */
static bool take_read(struct script *script, char **at, struct statement *statement)
{
    const char *volume = "disk", *word = take_word(at);

    if (*word && strcmp(word, "within") != 0 && strcmp(word, "never") != 0) {
        volume = word;
        word = take_word(at);
    }
    if (!take_volume(script, volume, &statement->which))
        return false;
    if (!strcmp(word, "within")) {
        if (!take_seconds(at, &statement->seconds))
            return false;
        word = take_word(at);
    }
    statement->never = !strcmp(word, "never");
    return !*word || statement->never;
}

static bool take_rest(struct script *script, enum takes takes, char *at, struct statement *statement)
{
    switch (takes) {
    case TAKES_NOTHING:
        break;
    case TAKES_TEXT:
        return take_text(at, statement);
    case TAKES_DRAW: /* draw SECONDS "TEXT" */
        return take_seconds(&at, &statement->seconds) && take_text(at, statement);
    case TAKES_SECONDS:
        return take_seconds(&at, &statement->seconds) && at_end(at);
    case TAKES_ECHO:
        return take_echo(&at, &statement->which) && at_end(at);
    case TAKES_VOLUME:
        return take_volume(script, take_word(&at), &statement->which) && at_end(at);
    case TAKES_READ:
        return take_read(script, &at, statement) && at_end(at);
    case TAKES_OTHER:
        return take_name(take_word(&at), statement->name) && at_end(at);
    }
    return at_end(at);
}

static bool add_statement(struct script *script, const char *word, char *rest)
{
    struct statement *grown = realloc(script->statements, (script->count + 1) * sizeof(*grown));

    if (!grown)
        return false;
    script->statements = grown;
    memset(&grown[script->count], 0, sizeof(*grown));
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (!strcmp(words[i].name, word)) {
            struct statement *statement = &grown[script->count++];
            statement->word = words[i].word;
            return take_rest(script, words[i].takes, rest, statement);
        }
    }
    return false;
}

/* ---- the head ------------------------------------------------------------------------------------------ */

/* running up|locked */
static bool take_running(struct script *script, char *at)
{
    const char *word = take_word(&at);

    script->start = !strcmp(word, "up") ? SCRIPT_RUNNING_UP : SCRIPT_RUNNING_LOCKED;
    return (script->start == SCRIPT_RUNNING_UP || !strcmp(word, "locked")) && at_end(at);
}

/* volume NAME [own] */
static bool declare_volume(struct script *script, char *at)
{
    const char *name = take_word(&at), *own = take_word(&at);
    unsigned which;

    if (!take_volume(script, name, &which) || (*own && strcmp(own, "own") != 0))
        return false;
    script->volumes[which].own = *own != '\0';
    return at_end(at);
}

static bool take_tries(struct script *script, char *at)
{
    double tries;

    if (!take_seconds(&at, &tries) || tries < 1 || !at_end(at))
        return false;
    script->tries = (unsigned)tries;
    return true;
}

static bool take_line(struct script *script, char *line)
{
    char *at = line;
    const char *word = take_word(&at);

    if (!*word || *word == '#' || !strcmp(word, "expect") || !strcmp(word, "late"))
        return true; /* what comes of it is the test's business */
    if (!strcmp(word, "running"))
        return take_running(script, at);
    if (!strcmp(word, "volume"))
        return declare_volume(script, at);
    if (!strcmp(word, "tries"))
        return take_tries(script, at);
    return add_statement(script, word, at);
}

/* ---- the file ------------------------------------------------------------------------------------------ */

static bool read_lines(struct script *script, FILE *file, const char *path, char why[256])
{
    char line[LINE_MAX_BYTES];

    for (unsigned number = 1; fgets(line, sizeof(line), file); number++) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!take_line(script, line)) {
            snprintf(why, 256, "%s, line %u: no word of a script, or not what it takes", path, number);
            return false;
        }
    }
    return true;
}

struct script *script_read(const char *path, char why[256])
{
    FILE *file = fopen(path, "re");
    struct script *script = file ? calloc(1, sizeof(*script)) : NULL;
    bool good;

    if (!script) {
        snprintf(why, 256, "%s: %s", path, strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    script->tries = TRIES;
    good = read_lines(script, file, path, why);
    fclose(file);
    if (good)
        return script;
    script_free(script);
    return NULL;
}

void script_free(struct script *script)
{
    for (unsigned i = 0; script && i < script->count; i++)
        free(script->statements[i].text);
    if (script)
        free(script->statements);
    free(script);
}
