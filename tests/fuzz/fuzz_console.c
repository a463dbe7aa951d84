/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a PC may write to its serial console: the first byte says where it is cut in two, the second
 * where what was shown is forgotten. Fed whole or in pieces, the same must be shown.
 */
#include <apr_general.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "amt/redirection/console.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static apr_pool_t *pool;
static amt_patterns_t *patterns;

static void finish(void)
{
    apr_pool_destroy(pool);
}

static void set_up(void)
{
    static const char *const texts[] = {"^please unlock disk .*: $", "(passphrase|password|pin)[^:]*: ?$",
                                        "set up successfully", "^[a-z]+(, [a-z]+)*$"};
    apr_array_header_t *array;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    atexit(finish);
    array = apr_array_make(pool, 4, sizeof(const char *));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        APR_ARRAY_PUSH(array, const char *) = texts[i];
    }
    if (amt_patterns_compile(&patterns, array, pool)) {
        abort();
    }
}

static void check_last(const amt_console_t *console)
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *scratch;
    amt_console_t *whole;
    amt_console_t *pieces;
    size_t cut;

    if (!pool) {
        set_up();
    }
    if (size < 2) {
        return 0;
    }
    apr_pool_create(&scratch, pool);
    whole = amt_console_create(scratch);
    pieces = amt_console_create(scratch);
    cut = 2 + (size_t)data[0] * (size - 2) / 256;
    amt_console_feed(whole, (const char *)data + 2, size - 2);
    amt_console_feed(pieces, (const char *)data + 2, cut - 2);
    check_last(pieces);
    amt_console_feed(pieces, (const char *)data + cut, size - cut);
    check_last(whole);
    if (amt_console_matches(whole, patterns) != amt_console_matches(pieces, patterns)) {
        abort();
    }
    if (data[1] & 1) {
        amt_console_mark(pieces);
        if (amt_console_matches(pieces, patterns)) {
            abort();
        }
        amt_console_feed(pieces, (const char *)data + 2, size - 2);
        check_last(pieces);
    }
    apr_pool_destroy(scratch);
    return 0;
}
