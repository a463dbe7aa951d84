/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/patterns.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <regex.h>
#include <string.h>

struct amt_patterns_t {
    int count;
    regex_t *expressions;
};

static apr_status_t patterns_cleanup(void *baton)
{
    amt_patterns_t *patterns = baton;

    for (int i = 0; i < patterns->count; i++) {
        regfree(&patterns->expressions[i]);
    }
    return APR_SUCCESS;
}

/* glibc takes \1 to \9 in extended expressions, too. */
static int refers_back(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' && apr_isdigit(*++text)) {
            return 1;
        }
        if (*text == '\0') {
            break;
        }
    }
    return 0;
}

static const char *compile_pattern(regex_t *expression, const char *text, apr_pool_t *pool)
{
    char why[128];
    int error;

    if (refers_back(text)) {
        return apr_psprintf(pool, "the pattern \"%s\" has a back-reference, which takes time without bound",
                            text);
    }
    error = regcomp(expression, text, REG_EXTENDED | REG_ICASE | REG_NOSUB);
    if (error) {
        regerror(error, expression, why, sizeof(why));
        return apr_psprintf(pool, "the pattern \"%s\" is no POSIX extended regular expression: %s", text,
                            why);
    }
    return NULL;
}

const char *amt_patterns_compile(amt_patterns_t **out, const apr_array_header_t *texts, apr_pool_t *pool)
{
    amt_patterns_t *patterns = apr_pcalloc(pool, sizeof(*patterns));

    patterns->expressions = apr_pcalloc(pool, sizeof(regex_t) * (apr_size_t)(texts->nelts + 1));
    apr_pool_cleanup_register(pool, patterns, patterns_cleanup, apr_pool_cleanup_null);
    for (int i = 0; i < texts->nelts; i++) {
        const char *text = APR_ARRAY_IDX(texts, i, const char *);
        const char *error = compile_pattern(&patterns->expressions[i], text, pool);

        if (error != NULL) {
            return error;
        }
        patterns->count++;
    }
    *out = patterns;
    return NULL;
}

int amt_patterns_match(const amt_patterns_t *patterns, const char *line)
{
    for (int i = 0; i < patterns->count; i++) {
        if (regexec(&patterns->expressions[i], line, 0, NULL, 0) == 0) {
            return 1;
        }
    }
    return 0;
}
