/* SPDX-License-Identifier: Apache-2.0 */
/* Which systems are asked for. */
#include <errno.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "base/text.h"
#include "console/console_priv.h"

#define LINE_MAX_BYTES 1024
#define NAMES_MAX 1000000

typedef struct {
    apr_array_header_t *names; /* const char * */
    apr_hash_t *seen;
    apr_pool_t *pool;
} collection_t;

/* Once in whatever letters, with a final dot or without: the first spelling counts. */
static void add_name(collection_t *collection, const char *name)
{
    char *key = apr_pstrdup(collection->pool, name);
    apr_size_t length = strlen(key);

    for (char *c = key; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    if (length > 1 && key[length - 1] == '.') {
        key[length - 1] = '\0';
    }
    if (apr_hash_get(collection->seen, key, APR_HASH_KEY_STRING) == NULL) {
        apr_hash_set(collection->seen, key, APR_HASH_KEY_STRING, key);
        APR_ARRAY_PUSH(collection->names, const char *) = name;
    }
}

/* Without a comment and the blanks around; may be empty. */
static char *strip_line(char *line)
{
    char *end = line + strcspn(line, "#");

    while (end > line && apr_isspace(end[-1])) {
        end--;
    }
    *end = '\0';
    while (apr_isspace(*line)) {
        line++;
    }
    return line;
}

static const console_problem_t *bad_line(const collection_t *collection, const char *file,
                                         unsigned int number, const char *what)
{
    return console_problem(collection->pool, CONSOLE_USAGE,
                           "the file holds one name a line; '#' begins a comment", "%s: line %u %s", file,
                           number, what);
}

/* What is wrong with a line as it was read, or NULL. */
static const char *line_fault(const char *line, unsigned int number)
{
    const char *carriage = strchr(line, '\r');

    if (number == 1 && text_is_utf16(line, strlen(line))) {
        return "is UTF-16; save the file as UTF-8";
    }
    if (carriage != NULL && carriage[strspn(carriage, "\r\n")] != '\0') {
        return "holds a carriage return; lines must end in LF or CRLF";
    }
    return strlen(line) > LINE_MAX_BYTES && strchr(line, '\n') == NULL ? "is longer than 1024 bytes" : NULL;
}

static const console_problem_t *read_names(collection_t *collection, FILE *stream, const char *file)
{
    char line[LINE_MAX_BYTES + 2];

    for (unsigned int number = 1; fgets(line, sizeof(line), stream) != NULL; number++) {
        const char *fault = line_fault(line, number);
        const char *name;

        if (fault != NULL) {
            return bad_line(collection, file, number, fault);
        }
        if (collection->names->nelts >= NAMES_MAX) {
            return bad_line(collection, file, number, "is one name too many (1,000,000)");
        }
        name = strip_line(line + (number == 1 ? text_mark_length(line, strlen(line)) : 0));
        if (*name) {
            add_name(collection, apr_pstrdup(collection->pool, name));
        }
    }
    if (ferror(stream)) {
        return console_problem(collection->pool, CONSOLE_USAGE, NULL, "%s: %s", file,
                               text_strerror(errno, collection->pool));
    }
    return NULL;
}

static const console_problem_t *read_file(collection_t *collection, const char *file)
{
    const console_problem_t *problem;
    FILE *stream;

    if (strcmp(file, "-") == 0) {
        return read_names(collection, stdin, "standard input");
    }
    stream = fopen(file, "re");
    if (stream == NULL) {
        return console_problem(collection->pool, CONSOLE_USAGE, NULL, "%s: %s", file,
                               text_strerror(errno, collection->pool));
    }
    problem = read_names(collection, stream, file);
    fclose(stream);
    return problem;
}

const console_problem_t *console_names(const console_options_t *options, apr_array_header_t **names,
                                       apr_pool_t *pool)
{
    collection_t collection = {
        .names = apr_array_make(pool, 20, sizeof(const char *)), .seen = apr_hash_make(pool), .pool = pool};
    const console_problem_t *problem = NULL;

    for (int i = 0; i < options->operands->nelts; i++) {
        add_name(&collection, APR_ARRAY_IDX(options->operands, i, const char *));
    }
    if (options->file != NULL) {
        problem = read_file(&collection, options->file);
    }
    if (problem == NULL && collection.names->nelts == 0) {
        problem = console_problem(pool, CONSOLE_USAGE, "name them, or give --file FILE", "no system named");
    }
    *names = collection.names;
    return problem;
}
