/* SPDX-License-Identifier: Apache-2.0 */
/* Every command of the two units, and what each refuses. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "amt/redirection/drive_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { SECTORS = 600 };

static apr_pool_t *pool;
static amt_image_t *image;
static char folder[] = "/tmp/amtunlock-drive-XXXXXX";
static char file[sizeof(folder) + 16];

static unsigned char byte_at(size_t offset)
{
    return (unsigned char)(offset * 7 + offset / AMT_SECTOR);
}

static void write_file(const char *path, size_t size)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    for (size_t i = 0; i < size; i++) {
        putc(byte_at(i), out);
    }
    assert_int_equal(fclose(out), 0);
}

static int set_up(void **state)
{
    (void)state;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/cd.iso", folder);
    write_file(file, (size_t)SECTORS * AMT_SECTOR);
    assert_null(amt_image_open(&image, file, pool));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    unlink(file);
    rmdir(folder);
    return 0;
}

/* ---- commands -------------------------------------------------------------------------------- */

#define CDB(...)                                                                                             \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define GOOD 0
#define NO_MEDIUM 0x023a00
#define UNKNOWN 0x052000
#define RANGE 0x052100
#define FIELD 0x052400
#define NO_SAVED 0x053900
#define PROTECTED 0x072700

typedef struct {
    const char *name;
    amt_drive_e drive;
    unsigned char cdb[AMT_CDB];
    int sense; /* key, ASC, ASCQ */
    apr_uint32_t lba, sectors;
    size_t length;
    unsigned char data[24]; /* the beginning of it */
} case_t;

static const case_t cases[] = {
    {"test unit ready", AMT_DRIVE_CD, CDB(0x00), GOOD, 0, 0, 0, {0}},
    {"test unit ready", AMT_DRIVE_FLOPPY, CDB(0x00), NO_MEDIUM, 0, 0, 0, {0}},
    {"read(6)", AMT_DRIVE_CD, CDB(0x08, 0, 1, 2, 3), GOOD, 0x102, 3, 0, {0}},
    {"read(6), 0 means 256", AMT_DRIVE_CD, CDB(0x08, 0xe0, 0, 5, 0), GOOD, 5, 256, 0, {0}},
    {"read(6) too far", AMT_DRIVE_CD, CDB(0x08, 0x1f, 0xff, 0xff, 1), RANGE, 0, 0, 0, {0}},
    {"read(6)", AMT_DRIVE_FLOPPY, CDB(0x08, 0, 0, 0, 1), NO_MEDIUM, 0, 0, 0, {0}},
    {"read(10) first", AMT_DRIVE_CD, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), GOOD, 0, 1, 0, {0}},
    {"read(10) all", AMT_DRIVE_CD, CDB(0x28, 0, 0, 0, 0, 0, 0, 0x02, 0x58), GOOD, 0, 600, 0, {0}},
    {"read(10) last", AMT_DRIVE_CD, CDB(0x28, 0, 0, 0, 0x02, 0x57, 0, 0, 1), GOOD, 599, 1, 0, {0}},
    {"read(10) nothing", AMT_DRIVE_CD, CDB(0x28, 0, 0, 0, 0, 9, 0, 0, 0), GOOD, 9, 0, 0, {0}},
    {"read(10) nothing at the end",
     AMT_DRIVE_CD,
     CDB(0x28, 0, 0, 0, 0x02, 0x58, 0, 0, 0),
     GOOD,
     600,
     0,
     0,
     {0}},
    {"read(10) one too many", AMT_DRIVE_CD, CDB(0x28, 0, 0, 0, 0, 0, 0, 0x02, 0x59), RANGE, 0, 0, 0, {0}},
    {"read(10) past", AMT_DRIVE_CD, CDB(0x28, 0, 0, 0, 0x02, 0x58, 0, 0, 1), RANGE, 0, 0, 0, {0}},
    {"read(10) wraps", AMT_DRIVE_CD, CDB(0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 2), RANGE, 0, 0, 0, {0}},
    {"read(10) relative", AMT_DRIVE_CD, CDB(0x28, 1, 0, 0, 0, 0, 0, 0, 1), FIELD, 0, 0, 0, {0}},
    {"read(10)", AMT_DRIVE_FLOPPY, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), NO_MEDIUM, 0, 0, 0, {0}},
    {"mode sense(6) all", AMT_DRIVE_CD, CDB(0x1a, 0, 0x3f, 0, 0xff), GOOD, 0, 0, 54, {53, 1, 0, 0, 0x01, 6}},
    {"mode sense(6) all",
     AMT_DRIVE_FLOPPY,
     CDB(0x1a, 0, 0x3f, 0, 0xff),
     GOOD,
     0,
     0,
     48,
     {47, 0, 0x80, 0, 0x01, 10}},
    {"mode sense(6) short", AMT_DRIVE_CD, CDB(0x1a, 0, 0x3f, 0, 4), GOOD, 0, 0, 4, {53, 1, 0, 0}},
    {"mode sense(6) nothing", AMT_DRIVE_CD, CDB(0x1a, 0, 0x3f, 0, 0), GOOD, 0, 0, 0, {0}},
    {"mode sense(6) unknown page", AMT_DRIVE_CD, CDB(0x1a, 0, 0x07, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"start", AMT_DRIVE_CD, CDB(0x1b, 0, 0, 0, 1), GOOD, 0, 0, 0, {0}},
    {"stop", AMT_DRIVE_CD, CDB(0x1b, 0, 0, 0, 0), GOOD, 0, 0, 0, {0}},
    {"eject", AMT_DRIVE_CD, CDB(0x1b, 0, 0, 0, 2), FIELD, 0, 0, 0, {0}},
    {"load", AMT_DRIVE_CD, CDB(0x1b, 0, 0, 0, 3), GOOD, 0, 0, 0, {0}},
    {"start", AMT_DRIVE_FLOPPY, CDB(0x1b, 0, 0, 0, 1), NO_MEDIUM, 0, 0, 0, {0}},
    {"stop", AMT_DRIVE_FLOPPY, CDB(0x1b, 0, 0, 0, 0), GOOD, 0, 0, 0, {0}},
    {"prevent removal", AMT_DRIVE_CD, CDB(0x1e, 0, 0, 0, 1), GOOD, 0, 0, 0, {0}},
    {"prevent removal", AMT_DRIVE_FLOPPY, CDB(0x1e, 0, 0, 0, 1), GOOD, 0, 0, 0, {0}},
    {"read format capacities",
     AMT_DRIVE_FLOPPY,
     CDB(0x23, 0, 0, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     12,
     {0, 0, 0, 8, 0, 0, 0x0b, 0x40, 3, 0, 2, 0}},
    {"read format capacities", AMT_DRIVE_CD, CDB(0x23, 0, 0, 0, 0, 0, 0, 0, 0xff), UNKNOWN, 0, 0, 0, {0}},
    {"read capacity", AMT_DRIVE_CD, CDB(0x25), GOOD, 0, 0, 8, {0, 0, 0x02, 0x57, 0, 0, 8, 0}},
    {"read capacity of a part", AMT_DRIVE_CD, CDB(0x25, 0, 0, 0, 0, 1), FIELD, 0, 0, 0, {0}},
    {"read capacity", AMT_DRIVE_FLOPPY, CDB(0x25), NO_MEDIUM, 0, 0, 0, {0}},
    {"toc", AMT_DRIVE_CD, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 0xff), GOOD, 0, 0, 20, {0,    18, 1, 1,    0,
                                                                                 0x14, 1,  0, 0,    0,
                                                                                 0,    0,  0, 0x14, 0xaa,
                                                                                 0,    0,  0, 0x02, 0x58}},
    {"toc in minutes",
     AMT_DRIVE_CD,
     CDB(0x43, 2, 0, 0, 0, 0, 1, 0, 0xff),
     GOOD,
     0,
     0,
     20,
     {0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x14, 0xaa, 0, 0, 0, 10, 0}},
    {"toc from the lead-out",
     AMT_DRIVE_CD,
     CDB(0x43, 0, 0, 0, 0, 0, 0xaa, 0, 0xff),
     GOOD,
     0,
     0,
     12,
     {0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 0x02, 0x58}},
    {"toc from track 2", AMT_DRIVE_CD, CDB(0x43, 0, 0, 0, 0, 0, 2, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"toc of sessions",
     AMT_DRIVE_CD,
     CDB(0x43, 0, 1, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     12,
     {0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}},
    {"toc of sessions, asked the old way",
     AMT_DRIVE_CD,
     CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x40),
     GOOD,
     0,
     0,
     12,
     {0, 10, 1, 1, 0, 0x14, 1}},
    {"toc, full", AMT_DRIVE_CD, CDB(0x43, 0, 2, 0, 0, 0, 0, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"toc, head only", AMT_DRIVE_CD, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 4), GOOD, 0, 0, 4, {0, 18, 1, 1}},
    {"toc", AMT_DRIVE_FLOPPY, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 0xff), UNKNOWN, 0, 0, 0, {0}},
    {"configuration", AMT_DRIVE_CD, CDB(0x46, 0, 0, 0, 0, 0, 0, 0, 0xff), GOOD, 0, 0, 68, {0, 0, 0, 64, 0,
                                                                                           0, 0, 8, 0,  0,
                                                                                           3, 4, 0, 8,  1,
                                                                                           0, 0, 1, 3,  4}},
    {"configuration from 0010",
     AMT_DRIVE_CD,
     CDB(0x46, 1, 0, 0x10, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     36,
     {0, 0, 0, 32, 0, 0, 0, 8, 0, 0x10, 1, 8, 0, 0, 8, 0}},
    {"configuration, only 001e",
     AMT_DRIVE_CD,
     CDB(0x46, 2, 0, 0x1e, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     16,
     {0, 0, 0, 12, 0, 0, 0, 8, 0, 0x1e, 9, 4}},
    {"configuration, only one that is not there",
     AMT_DRIVE_CD,
     CDB(0x46, 2, 0, 0x21, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     8,
     {0, 0, 0, 4, 0, 0, 0, 8}},
    {"configuration, reserved", AMT_DRIVE_CD, CDB(0x46, 3, 0, 0, 0, 0, 0, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"event status",
     AMT_DRIVE_CD,
     CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8),
     GOOD,
     0,
     0,
     8,
     {0, 6, 4, 0x10, 0, 2, 0, 0}},
    {"event status of nothing",
     AMT_DRIVE_CD,
     CDB(0x4a, 1, 0, 0, 0x40, 0, 0, 0, 8),
     GOOD,
     0,
     0,
     4,
     {0, 2, 0x80, 0x10}},
    {"event status, later", AMT_DRIVE_CD, CDB(0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), FIELD, 0, 0, 0, {0}},
    {"disc information",
     AMT_DRIVE_CD,
     CDB(0x51, 0, 0, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     34,
     {0, 32, 0x0e, 1, 1, 1, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}},
    {"track information",
     AMT_DRIVE_CD,
     CDB(0x52, 1, 0, 0, 0, 1, 0, 0, 0xff),
     GOOD,
     0,
     0,
     36,
     {0, 34, 1, 1, 0, 4, 1}},
    {"track information by address",
     AMT_DRIVE_CD,
     CDB(0x52, 0, 0, 0, 0x02, 0x57, 0, 0, 0xff),
     GOOD,
     0,
     0,
     36,
     {0, 34}},
    {"track information past", AMT_DRIVE_CD, CDB(0x52, 0, 0, 0, 0x02, 0x58, 0, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"track information of track 2", AMT_DRIVE_CD, CDB(0x52, 1, 0, 0, 0, 2, 0, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"mode sense(10) 01",
     AMT_DRIVE_CD,
     CDB(0x5a, 0, 0x01, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     16,
     {0, 14, 1, 0, 0, 0, 0, 0, 0x01, 6, 0, 3}},
    {"mode sense(10) 1a",
     AMT_DRIVE_CD,
     CDB(0x5a, 0, 0x1a, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     20,
     {0, 18, 1, 0, 0, 0, 0, 0, 0x1a, 10}},
    {"mode sense(10) 1d",
     AMT_DRIVE_CD,
     CDB(0x5a, 0, 0x1d, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     18,
     {0, 16, 1, 0, 0, 0, 0, 0, 0x1d, 8}},
    {"mode sense(10) 2a",
     AMT_DRIVE_CD,
     CDB(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     28,
     {0, 26, 1, 0, 0, 0, 0, 0, 0x2a, 18, 3, 0}},
    {"mode sense(10) all", AMT_DRIVE_CD, CDB(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 0xff), GOOD, 0, 0, 58, {0, 56, 1}},
    {"mode sense(10) changeable",
     AMT_DRIVE_CD,
     CDB(0x5a, 0, 0x41, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     16,
     {0, 14, 1, 0, 0, 0, 0, 0, 0x01, 6, 0, 0}},
    {"mode sense(10) saved", AMT_DRIVE_CD, CDB(0x5a, 0, 0xc1, 0, 0, 0, 0, 0, 0xff), NO_SAVED, 0, 0, 0, {0}},
    {"mode sense(10) 05", AMT_DRIVE_CD, CDB(0x5a, 0, 0x05, 0, 0, 0, 0, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"mode sense(10) subpage", AMT_DRIVE_CD, CDB(0x5a, 0, 0x01, 7, 0, 0, 0, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"mode sense(10) 05",
     AMT_DRIVE_FLOPPY,
     CDB(0x5a, 0, 0x05, 0, 0, 0, 0, 0, 0xff),
     GOOD,
     0,
     0,
     40,
     {0, 38, 0, 0x80, 0, 0, 0, 0, 0x05, 30, 0x01, 0xf4, 2, 18, 2, 0, 0, 80}},
    {"mode sense(10) 2a", AMT_DRIVE_FLOPPY, CDB(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 0xff), FIELD, 0, 0, 0, {0}},
    {"performance",
     AMT_DRIVE_CD,
     CDB(0xac, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 0),
     GOOD,
     0,
     0,
     24,
     {0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x05, 0x69, 0, 0, 0x02, 0x57, 0, 0, 0x05, 0x69}},
    {"performance, head only",
     AMT_DRIVE_CD,
     CDB(0xac, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0),
     GOOD,
     0,
     0,
     8,
     {0, 0, 0, 4}},
    {"performance of writing", AMT_DRIVE_CD, CDB(0xac, 0x14, 0, 0, 0, 0, 0, 0, 0, 1, 0), FIELD, 0, 0, 0, {0}},
    {"performance, another type",
     AMT_DRIVE_CD,
     CDB(0xac, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 3),
     FIELD,
     0,
     0,
     0,
     {0}},
    {"write(6)", AMT_DRIVE_CD, CDB(0x0a), PROTECTED, 0, 0, 0, {0}},
    {"write(10)", AMT_DRIVE_CD, CDB(0x2a), PROTECTED, 0, 0, 0, {0}},
    {"write and verify", AMT_DRIVE_CD, CDB(0x2e), PROTECTED, 0, 0, 0, {0}},
    {"write(12)", AMT_DRIVE_CD, CDB(0xaa), PROTECTED, 0, 0, 0, {0}},
    {"format", AMT_DRIVE_CD, CDB(0x04), PROTECTED, 0, 0, 0, {0}},
    {"write(10)", AMT_DRIVE_FLOPPY, CDB(0x2a), NO_MEDIUM, 0, 0, 0, {0}},
};

static void test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const case_t *c = &cases[i];
        amt_drive_answer_t answer;
        size_t named;
        int sense;

        memset(&answer, 0x55, sizeof(answer));
        amt_drive_command(c->drive, image, c->cdb, &answer);
        sense = answer.sense.key << 16 | answer.sense.asc << 8 | answer.sense.ascq;
        if (sense != c->sense || answer.sectors != c->sectors || answer.length != c->length ||
            (c->sectors && answer.lba != c->lba)) {
            fail_msg("%s (%zu): sense %06x, %u sectors at %u, %zu bytes", c->name, i, (unsigned int)sense,
                     answer.sectors, answer.lba, answer.length);
        }
        named = sizeof(c->data); /* up to the last byte that the row names */
        while (named > 0 && c->data[named - 1] == 0) {
            named--;
        }
        assert_memory_equal(answer.data, c->data, named < c->length ? named : c->length);
    }
}

/* No command that is not in the table does anything, and none gives more than it may. */
static void test_all_codes(void **state)
{
    static const unsigned char known[] = {0x00, 0x04, 0x08, 0x0a, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x28,
                                          0x2a, 0x2e, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x5a, 0xaa, 0xac};
    amt_drive_answer_t answer = {.length = 0};

    (void)state;
    for (int code = 0; code < 256; code++) {
        for (int drive = AMT_DRIVE_FLOPPY; drive <= AMT_DRIVE_CD; drive++) {
            for (int fill = 0; fill < 256; fill += 5) {
                unsigned char cdb[AMT_CDB];

                memset(cdb, fill, sizeof(cdb));
                cdb[0] = (unsigned char)code;
                amt_drive_command(drive, image, cdb, &answer);
                assert_true(answer.length <= sizeof(answer.data));
                assert_true(answer.lba + answer.sectors <= SECTORS);
                assert_true(!answer.length || !answer.sectors);
                if (!memchr(known, code, sizeof(known))) {
                    assert_int_equal(answer.sense.key << 16 | answer.sense.asc << 8, UNKNOWN);
                }
            }
        }
    }
}

/* ---- the image ------------------------------------------------------------------------------- */

static void check_bytes(apr_uint64_t offset, size_t length, const amt_overlay_t *overlay)
{
    unsigned char bytes[3 * AMT_SECTOR];
    apr_uint64_t start = overlay ? (apr_uint64_t)overlay->lba * AMT_SECTOR : 0;

    amt_image_read(image, overlay, offset, bytes, length);
    for (size_t i = 0; i < length; i++) {
        apr_uint64_t at = offset + i;
        unsigned char expected =
            overlay && at >= start && at < start + AMT_SECTOR ? overlay->bytes[at - start] : byte_at(at);

        assert_int_equal(bytes[i], expected);
    }
}

static void test_overlay(void **state)
{
    amt_overlay_t overlay = {.lba = 7};

    (void)state;
    for (size_t i = 0; i < AMT_SECTOR; i++) {
        overlay.bytes[i] = (unsigned char)(i * 13 + 5);
    }
    check_bytes(0, (size_t)3 * AMT_SECTOR, NULL);
    for (apr_uint64_t offset = (apr_uint64_t)5 * AMT_SECTOR; offset < (apr_uint64_t)9 * AMT_SECTOR;
         offset += 97) {
        check_bytes(offset, (size_t)3 * AMT_SECTOR, &overlay);
        check_bytes(offset, 100, &overlay);
        check_bytes(offset, 1, &overlay);
    }
    overlay.lba = SECTORS - 1;
    check_bytes((apr_uint64_t)(SECTORS - 1) * AMT_SECTOR, AMT_SECTOR, &overlay);
}

static void test_bad_images(void **state)
{
    static const struct {
        size_t size;
        const char *text;
    } sizes[] = {{0, "sectors"}, {1, "sectors"}, {2047, "sectors"}, {2049, "sectors"}};
    char path[sizeof(folder) + 16];
    amt_image_t *other = NULL;
    const char *problem;

    (void)state;
    snprintf(path, sizeof(path), "%s/other.iso", folder);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        write_file(path, sizes[i].size);
        problem = amt_image_open(&other, path, pool);
        assert_non_null(problem);
        assert_non_null(strstr(problem, sizes[i].text));
        assert_non_null(strstr(problem, path));
    }
    assert_int_equal(truncate(path, ((off_t)4 << 30) + AMT_SECTOR), 0);
    assert_non_null(strstr(amt_image_open(&other, path, pool), "4 GiB"));
    unlink(path);
    assert_non_null(strstr(amt_image_open(&other, path, pool), "No such file"));
    assert_non_null(strstr(amt_image_open(&other, folder, pool), "regular"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_non_null(strstr(amt_image_open(&other, path, pool), "regular"));
    unlink(path);
    assert_null(other);
}

/* What happens to the file later does not reach the image. */
static void test_file_changes(void **state)
{
    char path[sizeof(folder) + 16];
    unsigned char bytes[AMT_SECTOR];
    amt_image_t *other = NULL;

    (void)state;
    snprintf(path, sizeof(path), "%s/other.iso", folder);
    write_file(path, (size_t)4 * AMT_SECTOR);
    assert_null(amt_image_open(&other, path, pool));
    assert_int_equal(truncate(path, 0), 0);
    amt_image_read(other, NULL, (apr_uint64_t)3 * AMT_SECTOR, bytes, sizeof(bytes));
    assert_int_equal(amt_image_sectors(other), 4);
    assert_int_equal(bytes[1], byte_at((size_t)3 * AMT_SECTOR + 1));
    unlink(path);
}

/* What another process is given is the same image; what could change is refused. */
static void test_an_image_for_another_process(void **state)
{
    amt_image_t *received = NULL;
    unsigned char bytes[AMT_SECTOR];
    int memory = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int plain = open(file, O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_null(amt_image_receive(&received, amt_image_descriptor(image), pool));
    assert_int_equal(amt_image_sectors(received), SECTORS);
    amt_image_read(received, NULL, AMT_SECTOR, bytes, sizeof(bytes));
    assert_int_equal(bytes[5], byte_at(AMT_SECTOR + 5));
    assert_int_equal(ftruncate(memory, AMT_SECTOR), 0);
    assert_non_null(amt_image_receive(&received, memory, pool));
    assert_non_null(amt_image_receive(&received, plain, pool));
    assert_int_equal(ftruncate(memory, 100), 0);
    assert_int_equal(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
    assert_non_null(amt_image_receive(&received, memory, pool));
    close(memory);
    close(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_image_for_another_process),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_all_codes),
        cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_bad_images),
        cmocka_unit_test(test_file_changes),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
