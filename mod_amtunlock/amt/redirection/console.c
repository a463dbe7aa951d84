/* SPDX-License-Identifier: Apache-2.0 */
/* The current line is an array of characters with a cursor; complete lines are kept as UTF-8 text, the oldest
 * dropped first. */
#include "amt/redirection/console.h"

#include <apr_strings.h>
#include <regex.h>
#include <string.h>

#include "base/text.h"

enum {
    KEPT = 2560, /* bytes of lines that ended and may still be matched */
    LAST = 120,
    REPLACEMENT = 0xfffd,
    TAB = 8,
    MAX_PARAMETER = 999,
};

/* The parser's place in an escape sequence (ECMA-48) after the last byte. */
typedef enum {
    TEXT,
    ESCAPE,       /* after ESC */
    INTERMEDIATE, /* ESC, then 0x20 to 0x2f: one more byte */
    CONTROL,      /* ESC [ : parameters, then a final byte */
    STRING,       /* ESC ] P X ^ _ : up to BEL or ESC \ */
    STRING_ESCAPE /* ESC inside it */
} place_e;

struct amt_console_t {
    place_e place;
    unsigned int parameter; /* the first of a control sequence */
    int first_parameter;    /* it is still being read */

    apr_uint32_t character; /* UTF-8 under way */
    int wanted;             /* bytes that it still needs */
    apr_uint32_t least;     /* smallest character that so many bytes may mean */

    int cursor;
    int length;     /* characters of the line */
    int line_bytes; /* of it in UTF-8 */
    apr_uint32_t line[AMT_CONSOLE_LINE];

    apr_size_t kept_length;
    char kept[KEPT]; /* lines that ended, each with its NUL */
    char partial[AMT_CONSOLE_LINE + 1];
    char last[LAST + 1];
};

struct amt_patterns_t {
    int count;
    regex_t *expressions;
};

/* ---- lines ----------------------------------------------------------------------------------- */

/* The line as text; its bytes. */
static apr_size_t write_line(const amt_console_t *console, char text[AMT_CONSOLE_LINE + 1])
{
    char *at = text;

    for (int i = 0; i < console->length; i++) {
        at = text_put_utf8(at, console->line[i]);
    }
    *at = '\0';
    return (apr_size_t)(at - text);
}

/* The line for an operator, if there is something on it. */
static void remember_last(amt_console_t *console)
{
    int first = 0;
    int length;

    while (first < console->length && console->line[first] == ' ') {
        first++;
    }
    if (first == console->length) {
        return;
    }
    length = console->length - first < LAST ? console->length - first : LAST;
    for (int i = 0; i < length; i++) {
        apr_uint32_t c = console->line[first + i];

        console->last[i] = c >= ' ' && c <= '~' ? (char)c : '?';
    }
    while (length > 0 && console->last[length - 1] == ' ') {
        length--;
    }
    console->last[length] = '\0';
}

static void forget_oldest(amt_console_t *console, apr_size_t needed)
{
    apr_size_t gone = 0;

    while (KEPT - (console->kept_length - gone) < needed) {
        gone += strlen(console->kept + gone) + 1;
    }
    console->kept_length -= gone;
    memmove(console->kept, console->kept + gone, console->kept_length);
}

static void empty_line(amt_console_t *console)
{
    console->cursor = console->length = console->line_bytes = 0;
}

static void end_line(amt_console_t *console)
{
    char text[AMT_CONSOLE_LINE + 1];
    apr_size_t length = write_line(console, text);

    remember_last(console);
    if (length > 0) {
        forget_oldest(console, length + 1);
        memcpy(console->kept + console->kept_length, text, length + 1);
        console->kept_length += length + 1;
    }
    empty_line(console);
}

/* ---- characters ------------------------------------------------------------------------------ */

static void put_character(amt_console_t *console, apr_uint32_t c)
{
    int over = console->cursor < console->length ? text_utf8_length(console->line[console->cursor]) : 0;

    if (console->line_bytes - over + text_utf8_length(c) > AMT_CONSOLE_LINE) {
        end_line(console);
        over = 0;
    }
    console->line_bytes += text_utf8_length(c) - over;
    console->line[console->cursor++] = c;
    if (console->cursor > console->length) {
        console->length = console->cursor;
    }
}

static void put_tab(amt_console_t *console)
{
    do {
        if (console->cursor < console->length) {
            console->cursor++;
        }
        else {
            put_character(console, ' ');
        }
    } while (console->cursor % TAB != 0);
}

static void erase_to_end(amt_console_t *console)
{
    while (console->length > console->cursor) {
        console->line_bytes -= text_utf8_length(console->line[--console->length]);
    }
}

static void control_character(amt_console_t *console, unsigned char c)
{
    switch (c) {
    case '\r':
        console->cursor = 0;
        break;
    case '\b':
        console->cursor -= console->cursor > 0;
        break;
    case '\t':
        put_tab(console);
        break;
    case '\n':
    case '\v':
    case '\f':
        end_line(console);
        break;
    default:
        break;
    }
}

/* A character that breaks off half-way, or a byte that begins none. */
static void end_bad_utf8(amt_console_t *console)
{
    console->wanted = 0;
    put_character(console, REPLACEMENT);
}

static void begin_utf8(amt_console_t *console, unsigned char byte)
{
    static const struct {
        unsigned char mask, mark;
        int more;
        apr_uint32_t least;
    } heads[] = {{0xe0, 0xc0, 1, 0x80}, {0xf0, 0xe0, 2, 0x800}, {0xf8, 0xf0, 3, 0x10000}};

    for (apr_size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        if ((byte & heads[i].mask) == heads[i].mark) {
            console->character = byte & (unsigned char)~heads[i].mask;
            console->wanted = heads[i].more;
            console->least = heads[i].least;
            return;
        }
    }
    end_bad_utf8(console);
}

static void continue_utf8(amt_console_t *console, unsigned char byte)
{
    apr_uint32_t c = console->character << 6 | (byte & 0x3f);

    console->character = c;
    if (--console->wanted > 0) {
        return;
    }
    if (c < console->least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        end_bad_utf8(console);
    }
    else if (c >= 0xa0) { /* those below are control characters */
        put_character(console, c);
    }
}

static void take_text(amt_console_t *console, unsigned char byte)
{
    if (console->wanted && (byte & 0xc0) == 0x80) {
        continue_utf8(console, byte);
        return;
    }
    if (console->wanted) {
        end_bad_utf8(console);
    }
    if (byte == 0x1b) {
        console->place = ESCAPE;
    }
    else if (byte < ' ' || byte == 0x7f) {
        control_character(console, byte);
    }
    else if (byte < 0x80) {
        put_character(console, byte);
    }
    else {
        begin_utf8(console, byte);
    }
}

/* ---- escape sequences ------------------------------------------------------------------------ */

static void take_escape(amt_console_t *console, unsigned char byte)
{
    console->place = TEXT;
    if (byte == '[') {
        console->place = CONTROL;
        console->parameter = 0;
        console->first_parameter = 1;
    }
    else if (byte != 0 && strchr("]PX^_", byte)) {
        console->place = STRING;
    }
    else if (byte >= 0x20 && byte <= 0x2f) {
        console->place = INTERMEDIATE;
    }
    else if (byte == 0x1b) {
        console->place = ESCAPE;
    }
    else if (byte == 'D' || byte == 'E' || byte == 'M' || byte == 'c') { /* another line of the screen */
        end_line(console);
    }
}

/* A move to another place of the screen ends the line: what is written there is not part of it. */
static void end_of_control(amt_console_t *console, unsigned char final)
{
    if (strchr("ABEFHLMSTdf", final) || (final == 'J' && console->parameter != 0)) {
        end_line(console);
    }
    else if ((final == 'K' || final == 'J') && console->parameter == 0) {
        erase_to_end(console);
    }
    else if (final == 'K' && console->parameter == 2) {
        empty_line(console);
    }
    else if (final == 'G' && console->parameter <= 1) {
        console->cursor = 0;
    }
}

static void take_control(amt_console_t *console, unsigned char byte)
{
    if (byte >= '0' && byte <= '9' && console->first_parameter) {
        console->parameter = console->parameter * 10 + (byte - '0');
        console->parameter = console->parameter > MAX_PARAMETER ? MAX_PARAMETER : console->parameter;
    }
    else if (byte == ';' || byte == ':') {
        console->first_parameter = 0;
    }
    else if (byte >= 0x40 && byte <= 0x7e) {
        console->place = TEXT;
        end_of_control(console, byte);
    }
    else if (byte == 0x1b) {
        console->place = ESCAPE;
    }
    else if (byte < ' ') {
        control_character(console, byte); /* terminals obey them here too */
    }
    else if (byte >= 0x80) { /* no escape sequence at all */
        console->place = TEXT;
        take_text(console, byte);
    }
}

static void take_string(amt_console_t *console, unsigned char byte)
{
    if (byte == 0x1b) {
        console->place = STRING_ESCAPE;
    }
    else if (byte == 0x07) {
        console->place = TEXT;
    }
    else if (byte == '\r' || byte == '\n') { /* none of the strings that we know goes over a line */
        console->place = TEXT;
        control_character(console, byte);
    }
}

static void take_byte(amt_console_t *console, unsigned char byte)
{
    switch (console->place) {
    case TEXT:
        take_text(console, byte);
        break;
    case ESCAPE:
        take_escape(console, byte);
        break;
    case INTERMEDIATE:
        if (byte >= 0x30) {
            console->place = TEXT;
        }
        break;
    case CONTROL:
        take_control(console, byte);
        break;
    case STRING:
        take_string(console, byte);
        break;
    case STRING_ESCAPE:
        console->place = TEXT;
        if (byte != '\\') {
            take_escape(console, byte);
        }
        break;
    }
}

/* ---- for callers ----------------------------------------------------------------------------- */

amt_console_t *amt_console_create(apr_pool_t *pool)
{
    return apr_pcalloc(pool, sizeof(amt_console_t));
}

void amt_console_feed(amt_console_t *console, const char *bytes, apr_size_t length)
{
    for (apr_size_t i = 0; i < length; i++) {
        take_byte(console, (unsigned char)bytes[i]);
    }
    write_line(console, console->partial);
    remember_last(console);
}

void amt_console_mark(amt_console_t *console)
{
    console->kept_length = 0;
    empty_line(console);
    console->partial[0] = '\0';
}

void amt_console_seen(amt_console_t *console)
{
    console->kept_length = 0;
}

const char *amt_console_last(const amt_console_t *console)
{
    return console->last;
}

/* ---- patterns -------------------------------------------------------------------------------- */

static apr_status_t patterns_cleanup(void *baton)
{
    amt_patterns_t *patterns = baton;

    for (int i = 0; i < patterns->count; i++) {
        regfree(&patterns->expressions[i]);
    }
    return APR_SUCCESS;
}

const char *amt_patterns_compile(amt_patterns_t **out, const apr_array_header_t *texts, apr_pool_t *pool)
{
    amt_patterns_t *patterns = apr_pcalloc(pool, sizeof(*patterns));

    patterns->expressions = apr_pcalloc(pool, sizeof(regex_t) * (apr_size_t)(texts->nelts + 1));
    apr_pool_cleanup_register(pool, patterns, patterns_cleanup, apr_pool_cleanup_null);
    for (int i = 0; i < texts->nelts; i++) {
        const char *text = APR_ARRAY_IDX(texts, i, const char *);
        regex_t *expression = &patterns->expressions[i];
        int error = regcomp(expression, text, REG_EXTENDED | REG_ICASE | REG_NOSUB);
        char why[128];

        if (error) {
            regerror(error, expression, why, sizeof(why));
            return apr_psprintf(pool, "the pattern \"%s\" is no POSIX extended regular expression: %s", text,
                                why);
        }
        patterns->count++;
    }
    *out = patterns;
    return NULL;
}

static int line_matches(const amt_patterns_t *patterns, const char *line)
{
    for (int i = 0; i < patterns->count; i++) {
        if (regexec(&patterns->expressions[i], line, 0, NULL, 0) == 0) {
            return 1;
        }
    }
    return 0;
}

int amt_console_matches(const amt_console_t *console, const amt_patterns_t *patterns)
{
    apr_size_t at = 0;

    while (at < console->kept_length) {
        if (line_matches(patterns, console->kept + at)) {
            return 1;
        }
        at += strlen(console->kept + at) + 1;
    }
    return console->partial[0] != '\0' && line_matches(patterns, console->partial);
}
