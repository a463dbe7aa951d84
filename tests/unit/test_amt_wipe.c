/* SPDX-License-Identifier: Apache-2.0 */
/* That no password stays in the heap: the allocator by itself, then a whole call with a search through
 * everything that this process may write to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_strings.h>
#include <cmocka.h>

#include "amt/http/wipe_priv.h"
#include "amt_rig.h"

static void test_blocks(void **state)
{
    char *text = amt_wipe_strdup("abc");
    unsigned char *zeros = amt_wipe_calloc(7, 11);

    (void)state;
    assert_string_equal(text, "abc");
    assert_int_equal((uintptr_t)text % _Alignof(max_align_t), 0);
    for (int i = 0; i < 77; i++) {
        assert_int_equal(zeros[i], 0);
    }
    text = amt_wipe_realloc(text, 5000);
    assert_string_equal(text, "abc");
    text[4999] = 'x';
    text = amt_wipe_realloc(text, 3);
    assert_memory_equal(text, "abc", 3);
    amt_wipe_free(text);
    amt_wipe_free(zeros);
    amt_wipe_free(NULL);
    text = amt_wipe_realloc(NULL, 1);
    assert_non_null(text);
    amt_wipe_free(text);
}

/* KiB of memory that is this process's own. */
static long own_memory(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    long kib = 0;

    assert_non_null(status);
    while (fgets(line, sizeof(line), status)) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            kib = strtol(line + 8, NULL, 10);
        }
    }
    fclose(status);
    assert_true(kib > 0);
    return kib;
}

static void take_blocks(char **blocks, int count, size_t size)
{
    for (int i = 0; i < count; i++) {
        blocks[i] = amt_wipe_malloc(size);
        assert_non_null(blocks[i]);
        for (size_t at = 0; at < size; at++) {
            assert_int_equal(blocks[i][at], 0); /* never used, or wiped */
        }
        memset(blocks[i], 'x', 2000);
    }
}

/* As libcurl's buffers of requests: a block has memory for the part that is written, and is wiped as a whole. */
static void test_large_blocks(void **state)
{
    enum { LARGE = 16384 + 1, MANY = 400 };
    static char *blocks[MANY];
    long before = own_memory();

    (void)state;
    for (int round = 0; round < 3; round++) {
        take_blocks(blocks, MANY, LARGE);
#ifndef __SANITIZE_THREAD__ /* it keeps books of each byte */
        assert_true(round > 0 || own_memory() - before < (long)MANY * 8);
#endif
        blocks[round][LARGE - 1] = 'y';
        blocks[round][9000] = 'z';
        for (int i = 0; i < MANY; i++) {
            amt_wipe_free(blocks[i]);
        }
    }
    blocks[0] = amt_wipe_realloc(amt_wipe_strdup("abc"), LARGE);
    assert_string_equal(blocks[0], "abc");
    blocks[0] = amt_wipe_realloc(blocks[0], (size_t)3 * LARGE);
    assert_string_equal(blocks[0], "abc");
    amt_wipe_free(blocks[0]);
}

static void test_sizes_that_overflow(void **state)
{
    volatile size_t huge = SIZE_MAX;
    char *block = amt_wipe_malloc(4);

    (void)state;
    memcpy(block, "abc", 4);
    assert_null(amt_wipe_malloc(huge));
    assert_null(amt_wipe_malloc(huge - 8));
    assert_null(amt_wipe_calloc(huge / 2, 3));
    assert_null(amt_wipe_calloc(3, huge / 2));
    assert_null(amt_wipe_realloc(block, huge));
    assert_string_equal(block, "abc");
    amt_wipe_free(block);
}

/* ---- a search through the process
 * --------------------------------------------------------------------------- */

static int count_in(FILE *memory, unsigned long from, unsigned long to, const char *needle, size_t length)
{
    static char window[1 << 16];
    int found = 0;

    /* windows overlap by the needle's length; the window itself is skipped by its caller */
    for (unsigned long at = from; at + length <= to; at += sizeof(window) - length + 1) {
        size_t wanted = to - at < sizeof(window) ? to - at : sizeof(window);
        size_t got;

        if (at <= (unsigned long)window && (unsigned long)window < at + wanted + sizeof(window)) {
            continue;
        }
        if (fseeko(memory, (off_t)at, SEEK_SET) != 0) {
            break;
        }
        got = fread(window, 1, wanted, memory);
        for (char *hit = window;
             got >= length && (hit = memmem(hit, got - (size_t)(hit - window), needle, length)); hit++) {
            found++;
        }
        memset(window, 0, sizeof(window));
        if (got < wanted) {
            break;
        }
    }
    return found;
}

/* How often `needle` stands in the heap: every private writable mapping without a file, but for stacks. */
static int count_in_heap(const char *needle)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    FILE *memory = fopen("/proc/self/mem", "re");
    char line[512];
    int found = 0;

    assert_true(maps && memory);
    setvbuf(memory, NULL, _IONBF, 0);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from;
        unsigned long to;
        char rights[8];
        char *end;

        from = strtoul(line, &end, 16);
        to = strtoul(end + 1, &end, 16);
        apr_cpystrn(rights, end + 1, 5);
        if (strcmp(rights, "rw-p") == 0 && !strstr(line, "[stack]") && !strchr(line, '/') &&
            to - from < 1UL << 28) {
            found += count_in(memory, from, to, needle, strlen(needle));
        }
    }
    fclose(maps);
    fclose(memory);
    return found;
}

/* The password as the search knows it never stands in memory as a whole but here: on the stack, for a moment.
 */
static void spell_password(char *out)
{
    static const unsigned char veiled[] = {0x2d, 0x28, 0x35, 0x28, 0x6b, 0x33, 0x6b,
                                           0x2a, 0x3b, 0x29, 0x29, 0x2d, 0x35};

    for (size_t i = 0; i < sizeof(veiled); i++) {
        out[i] = (char)(veiled[i] ^ 0x5a);
    }
    out[sizeof(veiled)] = '\0';
}

static void test_no_password_stays(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
    char password[32];
    amt_target_t target;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    spell_password(password);
    rig_up(&rig, rows, 2);
    amt_device_destroy(rig.device);
    assert_int_equal(count_in_heap(password), 0);
    target = rig.target;
    target.password = password;
    assert_int_equal(amt_device_create(&rig.device, rig.loop, &target, rig.pool), APR_SUCCESS);
    assert_true(count_in_heap(password) > 0); /* libcurl's copy: the search finds what is there */
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_OK);
    amt_device_destroy(rig.device);
    rig.device = NULL;
    assert_int_equal(count_in_heap(password), 0);
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_large_blocks),
        cmocka_unit_test(test_sizes_that_overflow),
        cmocka_unit_test(test_no_password_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
