/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a PC may write to its serial console: the first byte says where it is cut in two, the second when an
 * answer is typed. Fed whole or in pieces, the same lines are told and the same is thought of them.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "amt/redirection/console.h"
#include "unlock/dialogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static apr_pool_t *pool;
static prompts_t built_in, given;

static void finish(void)
{
    apr_pool_destroy(pool);
}

static void make_prompts(void)
{
    static const char *const texts[] = {"^please unlock disk .*: $", "(passphrase|password|pin)[^:]*: ?$",
                                        "^[a-z]+(, [a-z]+)*$"};
    const prompts_texts_t none = {0};
    prompts_texts_t some = {0};
    apr_array_header_t *array = apr_array_make(pool, 3, sizeof(const char *));

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        APR_ARRAY_PUSH(array, const char *) = texts[i];
    }
    some.prompt = array;
    if (prompts_make(&built_in, &none, pool) != NULL || prompts_make(&given, &some, pool) != NULL) {
        abort();
    }
}

static void set_up(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    atexit(finish);
    make_prompts();
}

static void check_last(amt_console_t *console)
{
    const char *last = amt_console_last(console);

    if (strlen(last) > 120) {
        abort();
    }
    for (; *last; last++) {
        if (*last < ' ' || *last > '~') {
            abort();
        }
    }
}

/* A sum of what was told, in its order. */
static void add_line(void *baton, const char *line, amt_line_e how)
{
    uint64_t *sum = baton;

    *sum = *sum * 31 + (uint64_t)how + 1;
    for (; *line != '\0'; line++) {
        *sum = *sum * 31 + (unsigned char)*line;
    }
}

static void check_lines(const char *text, size_t size, size_t cut, apr_pool_t *scratch)
{
    uint64_t whole_sum = 0, pieces_sum = 0;
    amt_console_t *whole = amt_console_create(add_line, &whole_sum, scratch);
    amt_console_t *pieces = amt_console_create(add_line, &pieces_sum, scratch);

    amt_console_feed(whole, text, size);
    amt_console_feed(pieces, text, cut);
    check_last(pieces);
    amt_console_feed(pieces, text + cut, size - cut);
    check_last(whole);
    if (whole_sum != pieces_sum || strcmp(amt_console_partial(whole), amt_console_partial(pieces)) != 0) {
        abort();
    }
}

static void check_volume(const dialogue_t *dialogue)
{
    for (const char *at = dialogue_volume(dialogue); *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~') {
            abort();
        }
    }
}

/* A second later nothing moves any more. */
static dialogue_e judge(const prompts_t *prompts, const char *text, size_t size, size_t cut, int types,
                        apr_pool_t *scratch)
{
    dialogue_t *dialogue = dialogue_create(prompts, scratch);
    apr_time_t now = apr_time_from_sec(100);

    dialogue_starts(dialogue, 1);
    if (types) {
        dialogue_feed(dialogue, "Please unlock disk root: ", 25, now);
        now += apr_time_from_sec(1);
        if (dialogue_look(dialogue, now) != DIALOGUE_ASKS || !dialogue_still_asks(dialogue)) {
            abort();
        }
        dialogue_answered(dialogue);
    }
    dialogue_feed(dialogue, text, cut, now);
    dialogue_feed(dialogue, text + cut, size - cut, now);
    (void)dialogue_look(dialogue, now);
    now += apr_time_from_sec(1);
    (void)dialogue_look(dialogue, now);
    now += apr_time_from_sec(20);
    check_volume(dialogue);
    (void)dialogue_last_line(dialogue, scratch);
    (void)dialogue_hints_at_open(dialogue);
    return dialogue_look(dialogue, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 2;
    apr_pool_t *scratch;
    size_t cut;

    if (!pool) {
        set_up();
    }
    if (size < 2) {
        return 0;
    }
    size -= 2;
    apr_pool_create(&scratch, pool);
    cut = (size_t)data[0] * size / 256;
    check_lines(text, size, cut, scratch);
    for (int types = 0; types < 2; types++) {
        const prompts_t *prompts = data[1] & 1 ? &given : &built_in;

        if (judge(prompts, text, size, size, types, scratch) !=
            judge(prompts, text, size, cut, types, scratch)) {
            abort();
        }
    }
    apr_pool_destroy(scratch);
    return 0;
}
