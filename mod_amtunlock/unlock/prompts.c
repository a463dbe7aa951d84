/* SPDX-License-Identifier: Apache-2.0 */
/* See prompts.h. What is built in stands in phrases.c. */
#include "unlock/prompts_priv.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

/* ---- patterns ------------------------------------------------------------------------------------------ */

static const char *compile_patterns(amt_patterns_t **patterns, const apr_array_header_t *given,
                                    apr_pool_t *pool)
{
    *patterns = NULL;
    return given != NULL ? amt_patterns_compile(patterns, given, pool) : NULL;
}

static int matches(const amt_patterns_t *patterns, const char *line)
{
    return patterns != NULL && amt_patterns_match(patterns, line);
}

/* What is built in counts no more where there are patterns; a question that is not this group's is another's. */
static void withdraw(const prompts_t *prompts, phrase_t *phrase)
{
    if (prompts->prompt != NULL && phrase->means == PHRASE_QUESTION) {
        phrase->means = PHRASE_FOREIGN;
    }
    else if (prompts->failure != NULL && phrase->means == PHRASE_REFUSED) {
        phrase->means = PHRASE_TEXT;
    }
    else if (prompts->success != NULL &&
             (phrase->means == PHRASE_OPENED || phrase->means == PHRASE_LOGIN ||
              phrase->means == PHRASE_WENT_ON || phrase->means == PHRASE_GOES_ON)) {
        phrase->means = PHRASE_TEXT;
    }
}

void prompts_read(const prompts_t *prompts, phrase_t *phrase, const char *line)
{
    phrase_e built_in = PHRASE_TEXT;

    phrase_read(phrase, line);
    built_in = phrase->means;
    withdraw(prompts, phrase);
    if (built_in != PHRASE_QUESTION && matches(prompts->prompt, line)) {
        memset(phrase, 0, sizeof(*phrase));
    }
    if (matches(prompts->failure, line)) {
        phrase->means = PHRASE_REFUSED;
        phrase->until = STAGE_SERVICES;
        phrase->name[0] = '\0';
    }
    else if (matches(prompts->success, line)) {
        phrase->means = built_in == PHRASE_LOGIN ? PHRASE_LOGIN : PHRASE_WENT_ON;
    }
    else if (matches(prompts->prompt, line)) {
        phrase->means = PHRASE_QUESTION;
        phrase->until = STAGE_SERVICES;
        phrase->ends_line = 1;
    }
}

int prompts_may_precede(const prompts_t *prompts, const char *before)
{
    phrase_t phrase;

    prompts_read(prompts, &phrase, before);
    return strspn(before, "* ") == strlen(before) || phrase.means == PHRASE_BLANK ||
           phrase.means == PHRASE_QUESTION || phrase.means == PHRASE_LOGIN ||
           strstr(before, ": (press ") != NULL;
}

const char *prompts_plain_name(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~' || strchr("'\"\\@*?", *at) != NULL) {
            return "";
        }
    }
    return name;
}

/* ---- redraw -------------------------------------------------------------------------------------------- */

static int hex_value(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = digit != '\0' ? strchr(digits, apr_tolower(digit)) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* The byte of an escape, *text moved behind it; -1: no such escape. A NUL cannot be typed. */
static int unescape(const char **text)
{
    static const char names[] = "rnte\\", bytes[] = "\r\n\t\033\\";
    const char *at = *text;
    const char *name = *at != '\0' ? strchr(names, *at) : NULL;
    int byte = 0;

    if (name != NULL) {
        *text = at + 1;
        return (unsigned char)bytes[name - names];
    }
    if (*at != 'x' || hex_value(at[1]) < 0 || hex_value(at[2]) < 0) {
        return -1;
    }
    *text = at + 3;
    byte = hex_value(at[1]) * 16 + hex_value(at[2]);
    return byte != 0 ? byte : -1;
}

static const char *read_redraw(const char **redraw, const char *text, apr_pool_t *pool)
{
    char *bytes = apr_palloc(pool, strlen(text) + 1), *out = bytes;
    const char *at = text;

    while (*at != '\0') {
        int byte = (unsigned char)*at++;

        if (byte == '\\' && (byte = unescape(&at)) < 0) {
            return apr_psprintf(pool, "redraw \"%s\": after \\ stands r, n, t, e, \\ or xHH (not x00)", text);
        }
        *out++ = (char)byte;
    }
    *out = '\0';
    *redraw = bytes;
    return NULL;
}

const char *prompts_check_redraw(const char *text, apr_pool_t *pool)
{
    const char *redraw = NULL;

    return read_redraw(&redraw, text, pool);
}

const char *prompts_check_pattern(const char *text, apr_pool_t *pool)
{
    amt_patterns_t *patterns = NULL;
    apr_array_header_t *one = apr_array_make(pool, 1, sizeof(const char *));

    APR_ARRAY_PUSH(one, const char *) = text;
    return amt_patterns_compile(&patterns, one, pool);
}

const char *prompts_make(prompts_t *prompts, const prompts_texts_t *texts, apr_pool_t *pool)
{
    const char *error = compile_patterns(&prompts->prompt, texts->prompt, pool);

    if (error == NULL) {
        error = compile_patterns(&prompts->success, texts->success, pool);
    }
    if (error == NULL) {
        error = compile_patterns(&prompts->failure, texts->failure, pool);
    }
    if (error == NULL) {
        error = read_redraw(&prompts->redraw, texts->redraw != NULL ? texts->redraw : "", pool);
    }
    return error;
}
