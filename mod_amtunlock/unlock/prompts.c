/* SPDX-License-Identifier: Apache-2.0 */
/* See prompts.h. What is built in knows cryptsetup in Debian's initramfs, systemd-ask-password (dracut uses
 * it, too), dracut without systemd, and sedutil's pre-boot authorization.
 */
#include "unlock/prompts.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

/* Only at the end of a line: a prompt with stars behind it is being answered. */
static const char *const prompt_texts[] = {
    "unlock disk .+: *$",                                          /* cryptsetup-initramfs */
    "enter (the )?pass-?(phrase|word) (for|to unlock) .+[:!)] *$", /* systemd, cryptsetup, sedutil */
    "enter (the )?pass-?(phrase|word): *$",                        /* cryptsetup */
    "(^|[^a-z])password (for .+|\\(/dev/.+\\)): *$",               /* dracut */
    NULL,
};

static const char *const success_texts[] = {
    "cryptsetup: .+: set up successfully",         /* cryptsetup-initramfs */
    "(started|finished) .*cryptography setup for", /* systemd */
    "reached target .*encrypted volumes",          /* systemd */
    "is opal (unlocked|not locked)",               /* sedutil */
    "(^|[^a-z])login: *$",                         /* the system is up */
    NULL,
};

static const char *const failure_texts[] = {
    "cryptsetup failed, bad password",              /* cryptsetup-initramfs */
    "maximum number of tries exceeded",             /* cryptsetup-initramfs */
    "no key available with this passphrase",        /* cryptsetup */
    "failed to activate with specified passphrase", /* systemd */
    "(incorrect|wrong|invalid) pass-?(phrase|word)",
    "pass-?(phrase|word) (is )?(incorrect|wrong|invalid)",
    "is opal failed", /* sedutil */
    NULL,
};

static apr_array_header_t *texts_array(const char *const *texts, apr_pool_t *pool)
{
    apr_array_header_t *array = apr_array_make(pool, 8, sizeof(const char *));

    for (; *texts != NULL; texts++) {
        APR_ARRAY_PUSH(array, const char *) = *texts;
    }
    return array;
}

static const char *compile_patterns(amt_patterns_t **patterns, const apr_array_header_t *given,
                                    const char *const *built_in, apr_pool_t *pool)
{
    return amt_patterns_compile(patterns, given != NULL ? given : texts_array(built_in, pool), pool);
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
    const char *error = compile_patterns(&prompts->prompt, texts->prompt, prompt_texts, pool);

    if (error == NULL) {
        error = compile_patterns(&prompts->success, texts->success, success_texts, pool);
    }
    if (error == NULL) {
        error = compile_patterns(&prompts->failure, texts->failure, failure_texts, pool);
    }
    if (error == NULL) {
        error = read_redraw(&prompts->redraw, texts->redraw != NULL ? texts->redraw : "", pool);
    }
    return error;
}
