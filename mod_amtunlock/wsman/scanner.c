/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/scanner_priv.h"

#include <string.h>

typedef enum {
    IN_TEXT,
    AT_OPEN,          /* after '<' */
    IN_TAG,           /* start or end tag, outside quotes */
    IN_DOUBLE_QUOTES, /* inside a tag; '>' means nothing here */
    IN_SINGLE_QUOTES,
    AT_BANG,       /* after "<!" */
    AT_DASH,       /* after "<!-" */
    AT_CDATA,      /* inside "<![CDATA[" */
    IN_COMMENT,    /* matched: dashes right before */
    IN_CDATA,      /* matched: brackets right before */
    IN_DECLARATION /* "<?xml ... ?>"; matched: of "xml", then 4 for the space after it, 5 for a '?' */
} state_e;

static const char cdata_rest[] = "CDATA[";
static const char declaration_name[] = "xml";
enum { DECLARATION_OPEN = 4, DECLARATION_QUESTION = 5 };

static state_e refuse_markup(wsman_scanner_t *scanner, wsman_scan_e why)
{
    scanner->refused = why;
    return IN_TEXT;
}

static state_e step_text(wsman_scanner_t *scanner, char c)
{
    if (c != '<') {
        return IN_TEXT;
    }
    scanner->opened = scanner->offset;
    scanner->attributes = 0;
    scanner->matched = 0;
    return AT_OPEN;
}

static state_e step_tag(wsman_scanner_t *scanner, char c)
{
    switch (c) {
    case '>':
        return IN_TEXT;
    case '"':
        return IN_DOUBLE_QUOTES;
    case '\'':
        return IN_SINGLE_QUOTES;
    case '=': /* outside quotes there is exactly one to an attribute */
        if (++scanner->attributes > scanner->limits->attributes) {
            return refuse_markup(scanner, WSMAN_SCAN_ATTRIBUTES);
        }
        return IN_TAG;
    default:
        return IN_TAG;
    }
}

static state_e step_open(wsman_scanner_t *scanner, char c)
{
    if (c == '!') {
        return AT_BANG;
    }
    return c == '?' ? IN_DECLARATION : step_tag(scanner, c);
}

static state_e step_double_quotes(wsman_scanner_t *scanner, char c)
{
    (void)scanner;
    return c == '"' ? IN_TAG : IN_DOUBLE_QUOTES;
}

static state_e step_single_quotes(wsman_scanner_t *scanner, char c)
{
    (void)scanner;
    return c == '\'' ? IN_TAG : IN_SINGLE_QUOTES;
}

static state_e step_bang(wsman_scanner_t *scanner, char c)
{
    if (c == '-') {
        return AT_DASH;
    }
    return c == '[' ? AT_CDATA : refuse_markup(scanner, WSMAN_SCAN_DOCTYPE);
}

static state_e step_dash(wsman_scanner_t *scanner, char c)
{
    return c == '-' ? IN_COMMENT : refuse_markup(scanner, WSMAN_SCAN_DOCTYPE);
}

static state_e step_cdata_open(wsman_scanner_t *scanner, char c)
{
    if (c != cdata_rest[scanner->matched]) {
        return refuse_markup(scanner, WSMAN_SCAN_DOCTYPE);
    }
    if (cdata_rest[++scanner->matched] != '\0') {
        return AT_CDATA;
    }
    scanner->matched = 0;
    return IN_CDATA;
}

/* Inside something that ends with `mark` `mark` '>'. */
static state_e step_until(wsman_scanner_t *scanner, char c, char mark, state_e state)
{
    if (c == '>' && scanner->matched >= 2) {
        return IN_TEXT;
    }
    scanner->matched = c == mark ? scanner->matched + 1 : 0;
    return state;
}

static state_e step_comment(wsman_scanner_t *scanner, char c)
{
    return step_until(scanner, c, '-', IN_COMMENT);
}

static state_e step_cdata(wsman_scanner_t *scanner, char c)
{
    return step_until(scanner, c, ']', IN_CDATA);
}

static state_e step_declaration(wsman_scanner_t *scanner, char c)
{
    if (scanner->matched < sizeof(declaration_name) - 1) {
        if (c != declaration_name[scanner->matched++]) {
            return refuse_markup(scanner, WSMAN_SCAN_INSTRUCTION);
        }
        return IN_DECLARATION;
    }
    if (scanner->matched < DECLARATION_OPEN && strchr(" \t\r\n", c) == NULL) {
        return refuse_markup(scanner, WSMAN_SCAN_INSTRUCTION);
    }
    if (scanner->opened > 0) {
        return refuse_markup(scanner, WSMAN_SCAN_DECLARATION);
    }
    if (c == '>' && scanner->matched == DECLARATION_QUESTION) {
        return IN_TEXT;
    }
    scanner->matched = c == '?' ? DECLARATION_QUESTION : DECLARATION_OPEN;
    return IN_DECLARATION;
}

static state_e (*const steps[])(wsman_scanner_t *scanner, char c) = {
    [IN_TEXT] = step_text,
    [AT_OPEN] = step_open,
    [IN_TAG] = step_tag,
    [IN_DOUBLE_QUOTES] = step_double_quotes,
    [IN_SINGLE_QUOTES] = step_single_quotes,
    [AT_BANG] = step_bang,
    [AT_DASH] = step_dash,
    [AT_CDATA] = step_cdata_open,
    [IN_COMMENT] = step_comment,
    [IN_CDATA] = step_cdata,
    [IN_DECLARATION] = step_declaration,
};

/* Text, comments and CDATA need not be complete: libxml2 reads them in linear time. */
static int is_linear(int state)
{
    return state == IN_TEXT || state == IN_COMMENT || state == IN_CDATA;
}

void wsman_scanner_init(wsman_scanner_t *scanner, const wsman_limits_t *limits)
{
    memset(scanner, 0, sizeof(*scanner));
    scanner->limits = limits;
    scanner->state = IN_TEXT;
}

wsman_scan_e wsman_scan(wsman_scanner_t *scanner, const char *bytes, apr_size_t length)
{
    for (apr_size_t i = 0; i < length && scanner->refused == WSMAN_SCAN_OK; i++) {
        unsigned char c = (unsigned char)bytes[i];
        int markup = !is_linear(scanner->state);

        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            scanner->refused = c == '\0' ? WSMAN_SCAN_NUL : WSMAN_SCAN_CHARACTER;
        }
        else if (markup && scanner->offset - scanner->opened >= scanner->limits->tag) {
            scanner->refused = WSMAN_SCAN_TAG;
        }
        else if (scanner->state == IN_COMMENT &&
                 scanner->offset - scanner->opened >= WSMAN_LONGEST_TEXT(scanner->limits)) {
            scanner->refused = WSMAN_SCAN_COMMENT;
        }
        else {
            scanner->state = steps[scanner->state](scanner, (char)c);
        }
        scanner->offset++;
    }
    return scanner->refused;
}

apr_size_t wsman_scanner_safe(const wsman_scanner_t *scanner)
{
    return is_linear(scanner->state) ? scanner->offset : scanner->opened;
}
