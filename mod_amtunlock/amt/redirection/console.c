/* SPDX-License-Identifier: Apache-2.0 */
/* A screen as far as lines need one. There is the row with the cursor; rows above it are gone, but for the one that
 * the cursor left upwards or saved: it comes back when the cursor does. A row is given to the caller before it is
 * overwritten, erased or left, so that nothing that was shown is lost. */
#include "amt/redirection/console.h"

#include <openssl/crypto.h>
#include <string.h>

#include "amt/redirection/row_priv.h"
#include "base/text.h"

enum {
    LAST = 120,
    REPLACEMENT = 0xfffd,
    TAB = 8,
    MAX_PARAMETER = 255,
    MAX_ROWS = 1000,
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

/* A row that may come back. */
typedef struct {
    int kept;
    int cursor;
    amt_row_t row;
} kept_t;

struct amt_console_t {
    amt_console_line_fn *line_fn;
    void *baton;
    apr_pool_t *pool;

    place_e place;
    int parameter;       /* the first of a control sequence */
    int first_parameter; /* it is still being read */
    int is_private;      /* a control sequence with < = > or ?: none that moves or erases */

    apr_uint32_t character; /* UTF-8 under way */
    int wanted;             /* bytes that it still needs */
    apr_uint32_t least;     /* smallest character that so many bytes may mean */

    amt_row_t line; /* with the cursor; at most AMT_CONSOLE_LINE bytes */
    int cursor;     /* from 0 to its length */
    int moved;      /* the cursor went back since a character was overwritten or appended */
    int told;       /* the caller was given the row as it is */

    int above;     /* rows between the cursor and the row below that it left */
    kept_t bottom; /* that row */
    kept_t saved;  /* by ESC 7 or CSI s */

    char *text; /* the line as callers get it; NULL: none has got one yet */
    char last[LAST + 1];
};

/* ---- rows ------------------------------------------------------------------------------------ */

/* Valid until the next call. */
static const char *line_text(amt_console_t *console)
{
    if (console->text == NULL) {
        console->text = apr_palloc(console->pool, AMT_CONSOLE_LINE + 1);
    }
    amt_row_write(&console->line, console->text);
    return console->text;
}

/* The line for an operator, if there is something on it. */
static void remember_last(amt_console_t *console)
{
    const amt_row_t *line = &console->line;
    int first = 0;
    int length;

    while (first < line->length && line->characters[first] == ' ') {
        first++;
    }
    if (first == line->length) {
        return;
    }
    length = line->length - first < LAST ? line->length - first : LAST;
    for (int i = 0; i < length; i++) {
        apr_uint32_t c = line->characters[first + i];

        console->last[i] = c >= ' ' && c <= '~' ? (char)c : '?';
    }
    while (length > 0 && console->last[length - 1] == ' ') {
        length--;
    }
    console->last[length] = '\0';
}

static void empty_line(amt_console_t *console)
{
    amt_row_cut(&console->line, 0);
    console->cursor = console->moved = console->told = 0;
}

/* Gives the row to the caller. One that was told before is told again only where it ends. */
static void tell_line(amt_console_t *console, amt_line_e how)
{
    int wanted = how == AMT_LINE_ENDED || (console->line.length > 0 && !console->told);

    remember_last(console);
    if (console->line_fn != NULL && wanted) {
        console->line_fn(console->baton, line_text(console), how);
    }
    console->told = 1;
}

static void leave_line(amt_console_t *console, amt_line_e how)
{
    tell_line(console, how);
    empty_line(console);
}

static void keep_row(amt_console_t *console, kept_t *kept)
{
    amt_row_copy(&kept->row, &console->line, console->pool);
    kept->cursor = console->cursor;
    kept->kept = 1;
}

/* The row is as it was, and the caller knows it. */
static void bring_back(amt_console_t *console, const kept_t *kept, int cursor)
{
    empty_line(console);
    amt_row_copy(&console->line, &kept->row, console->pool);
    console->told = 1;
    console->cursor = cursor < console->line.length ? cursor : console->line.length;
}

/* ---- moves ----------------------------------------------------------------------------------- */

static void go_up(amt_console_t *console, int rows)
{
    if (console->above == 0) {
        keep_row(console, &console->bottom);
    }
    console->above = console->above < MAX_ROWS ? console->above + rows : MAX_ROWS;
    leave_line(console, AMT_LINE_MOVED);
}

static void go_down(amt_console_t *console, int rows, amt_line_e how)
{
    int below = rows >= console->above;
    int cursor = how == AMT_LINE_ENDED ? 0 : console->cursor;

    if (console->above == 0) {
        leave_line(console, how);
        console->saved.kept &= how != AMT_LINE_ENDED; /* the screen moves: it would come back elsewhere */
        return;
    }
    leave_line(console, AMT_LINE_MOVED);
    console->above = below ? 0 : console->above - rows;
    if (below) {
        bring_back(console, &console->bottom, cursor);
    }
}

/* Somewhere on the screen. */
static void go_elsewhere(amt_console_t *console, int unused)
{
    (void)unused;
    leave_line(console, AMT_LINE_MOVED);
    console->above = 0;
}

static void save_cursor(amt_console_t *console, int unused)
{
    (void)unused;
    keep_row(console, &console->saved);
}

static void restore_cursor(amt_console_t *console, int unused)
{
    (void)unused;
    if (!console->saved.kept) {
        return;
    }
    go_elsewhere(console, 0);
    bring_back(console, &console->saved, console->saved.cursor);
}

/* ---- characters ------------------------------------------------------------------------------ */

/* A row that is long goes on in the next. */
static void put_character(amt_console_t *console, apr_uint32_t c)
{
    amt_row_t *line = &console->line;
    int overwrites = console->cursor < line->length;
    apr_uint32_t before = overwrites ? line->characters[console->cursor] : 0;
    int over = overwrites ? text_utf8_length(before) : 0;

    if (line->bytes - over + text_utf8_length(c) > AMT_CONSOLE_LINE) {
        leave_line(console, AMT_LINE_MOVED);
        overwrites = 0;
    }
    if (overwrites && console->moved && before != c) {
        tell_line(console, AMT_LINE_ERASED);
        console->moved = 0;
    }
    console->told = console->told && overwrites && before == c;
    amt_row_put(line, console->cursor++, c, console->pool);
}

static void put_tab(amt_console_t *console)
{
    do {
        if (console->cursor < console->line.length) {
            console->cursor++;
        }
        else {
            put_character(console, ' ');
        }
    } while (console->cursor % TAB != 0);
}

static void erase_to_end(amt_console_t *console)
{
    if (console->cursor < console->line.length) {
        tell_line(console, AMT_LINE_ERASED);
        console->told = 0;
    }
    amt_row_cut(&console->line, console->cursor);
}

/* Up to and with the cursor. */
static void erase_to_cursor(amt_console_t *console)
{
    if (console->line.length > 0) {
        tell_line(console, AMT_LINE_ERASED);
        console->told = 0;
    }
    for (int i = 0; i <= console->cursor && i < console->line.length; i++) {
        amt_row_put(&console->line, i, ' ', console->pool);
    }
}

static void erase_line(amt_console_t *console)
{
    int cursor = console->cursor;

    leave_line(console, AMT_LINE_ERASED);
    while (console->cursor < cursor) {
        put_character(console, ' ');
    }
}

static void control_character(amt_console_t *console, unsigned char c)
{
    switch (c) {
    case '\r':
        console->cursor = 0;
        console->moved = 1;
        break;
    case '\b':
        console->cursor -= console->cursor > 0;
        console->moved = 1;
        break;
    case '\t':
        put_tab(console);
        break;
    case '\n':
    case '\v':
    case '\f':
        go_down(console, 1, AMT_LINE_ENDED);
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

static void end_of_escape(amt_console_t *console, unsigned char byte)
{
    switch (byte) {
    case 'D':
    case 'E':
        go_down(console, 1, AMT_LINE_ENDED);
        break;
    case 'M':
        go_up(console, 1);
        break;
    case '7':
        save_cursor(console, 0);
        break;
    case '8':
        restore_cursor(console, 0);
        break;
    case 'c': /* the terminal begins anew */
        go_elsewhere(console, 0);
        console->saved.kept = 0;
        break;
    }
}

static void take_escape(amt_console_t *console, unsigned char byte)
{
    console->place = TEXT;
    if (byte == '[') {
        console->place = CONTROL;
        console->parameter = 0;
        console->first_parameter = 1;
        console->is_private = 0;
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
    else {
        end_of_escape(console, byte);
    }
}

/* ---- control sequences ----------------------------------------------------------------------- */

static void move_sideways(amt_console_t *console, int column)
{
    column = column < 0 ? 0 : column;
    while (console->line.length < column && console->line.length < AMT_CONSOLE_LINE - 1) {
        console->cursor = console->line.length;
        put_character(console, ' ');
    }
    console->cursor = column < console->line.length ? column : console->line.length;
    console->moved = 1;
}

/* Erases on the screen: all of it, or what stands behind the cursor or before it. */
static void erase_display(amt_console_t *console, int which)
{
    if (which == 0) {
        erase_to_end(console);
    }
    else {
        leave_line(console, AMT_LINE_ERASED);
    }
}

static void erase_in_line(amt_console_t *console, int which)
{
    static void (*const erase[])(amt_console_t *) = {erase_to_end, erase_to_cursor, erase_line};

    if (which < (int)(sizeof(erase) / sizeof(erase[0]))) {
        erase[which](console);
    }
}

static void obey_up(amt_console_t *console, int count)
{
    go_up(console, count > 0 ? count : 1);
}

static void obey_down(amt_console_t *console, int count)
{
    go_down(console, count > 0 ? count : 1, AMT_LINE_MOVED);
}

static void obey_right(amt_console_t *console, int count)
{
    move_sideways(console, console->cursor + (count > 0 ? count : 1));
}

static void obey_left(amt_console_t *console, int count)
{
    move_sideways(console, console->cursor - (count > 0 ? count : 1));
}

static void obey_column(amt_console_t *console, int count)
{
    move_sideways(console, count - 1);
}

/* By the byte that ends a control sequence, with its first parameter. Others change nothing that matters here. */
static const struct {
    unsigned char final;
    void (*obey)(amt_console_t *console, int parameter);
} controls[] = {
    {'A', obey_up},       {'F', obey_up},       {'B', obey_down},    {'E', obey_down},
    {'C', obey_right},    {'D', obey_left},     {'G', obey_column},  {'`', obey_column},
    {'J', erase_display}, {'K', erase_in_line}, {'s', save_cursor},  {'u', restore_cursor},
    {'H', go_elsewhere},  {'L', go_elsewhere},  {'M', go_elsewhere}, {'S', go_elsewhere},
    {'T', go_elsewhere},  {'d', go_elsewhere},  {'f', go_elsewhere},
};

static void end_of_control(amt_console_t *console, unsigned char final)
{
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        if (controls[i].final == final) {
            controls[i].obey(console, console->parameter);
        }
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
    else if (byte >= '<' && byte <= '?') {
        console->is_private = 1;
    }
    else if (byte >= 0x40 && byte <= 0x7e) {
        console->place = TEXT;
        if (!console->is_private) {
            end_of_control(console, byte);
        }
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

static apr_status_t wipe_console(void *baton)
{
    amt_console_t *console = baton;

    amt_row_wipe(&console->line);
    amt_row_wipe(&console->bottom.row);
    amt_row_wipe(&console->saved.row);
    if (console->text != NULL) {
        OPENSSL_cleanse(console->text, AMT_CONSOLE_LINE + 1);
    }
    OPENSSL_cleanse(console->last, sizeof(console->last));
    return APR_SUCCESS;
}

amt_console_t *amt_console_create(amt_console_line_fn *line_fn, void *baton, apr_pool_t *pool)
{
    amt_console_t *console = apr_pcalloc(pool, sizeof(*console));

    console->line_fn = line_fn;
    console->baton = baton;
    console->pool = pool;
    apr_pool_cleanup_register(pool, console, wipe_console, apr_pool_cleanup_null);
    return console;
}

void amt_console_feed(amt_console_t *console, const char *bytes, apr_size_t length)
{
    for (apr_size_t i = 0; i < length; i++) {
        take_byte(console, (unsigned char)bytes[i]);
    }
}

const char *amt_console_partial(amt_console_t *console)
{
    return line_text(console);
}

void amt_console_forget(amt_console_t *console)
{
    remember_last(console);
    empty_line(console);
    console->above = 0;
    console->bottom.kept = console->saved.kept = 0;
}

const char *amt_console_last(amt_console_t *console)
{
    remember_last(console);
    return console->last;
}
