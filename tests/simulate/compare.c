/* SPDX-License-Identifier: Apache-2.0 */
/* compare: a store on standard input and output, for test_store.py. A line is a command, its words in hex, blanks between
 * them. The answer is one line of JSON: as redis-py's raw replies, errors as
 * {"error": ...}. FCALL runs the product's library, or the one in the file that is named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <jansson.h>

#include "functions.h"
#include "jobs/library_priv.h"

#define LINE_MOST (1 << 20)

static json_t *json_of(const reply_t *reply)
{
    json_t *made = NULL;

    switch (reply->kind) {
    case REPLY_NIL:
        return json_null();
    case REPLY_INTEGER:
        return json_integer(reply->integer);
    case REPLY_TEXT:
        return json_stringn(reply->text.bytes, reply->text.length);
    case REPLY_STATUS:
        return json_pack("{s:s}", "status", reply->text.bytes);
    case REPLY_ERROR:
        return json_pack("{s:s}", "error", reply->text.bytes);
    case REPLY_ARRAY:
        made = json_array();
        for (int i = 0; i < reply->count; i++) {
            json_array_append_new(made, json_of(&reply->items[i]));
        }
        return made;
    }
    return NULL;
}

static int read_words(char *line, text_t *words, apr_pool_t *pool)
{
    char *state = NULL;
    int count = 0;

    for (char *hex = apr_strtok(line, " \n", &state); hex != NULL; hex = apr_strtok(NULL, " \n", &state)) {
        size_t length = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
        char *bytes = apr_pcalloc(pool, length + 1);

        for (size_t i = 0; i < length; i++) {
            const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

            bytes[i] = (char)strtol(digits, NULL, 16);
        }
        words[count++] = (text_t){bytes, length};
    }
    return count;
}

/* Of the file that is named, else the product's own. */
static const char *read_library(char **argv)
{
    static char text[1 << 20];
    FILE *file = argv[1] != NULL ? fopen(argv[1], "r") : NULL;

    if (file == NULL) {
        return jobs_library;
    }
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    static char line[LINE_MOST];
    static text_t words[LINE_MOST / 2];
    apr_pool_t *pool = NULL, *scratch = NULL;
    functions_t *functions = functions_create(read_library(argv));
    store_t *store = NULL;

    (void)argc;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    apr_pool_create(&scratch, pool);
    store = store_create(pool);
    store_set_time(store, apr_time_now());
    while (fgets(line, sizeof(line), stdin) != NULL) {
        reply_t reply;
        json_t *json = NULL;
        char *text = NULL;
        int count;

        count = read_words(line, words, scratch);
        reply = strcmp(words[0].bytes, "FCALL") == 0
                    ? functions_run(functions, store, count, words, 1, scratch)
                    : store_run(store, count, words, scratch);
        json = json_of(&reply);
        text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
        puts(text);
        fflush(stdout);
        free(text);
        json_decref(json);
        apr_pool_clear(scratch);
    }
    return 0;
}
