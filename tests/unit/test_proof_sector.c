/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the placeholder in an image file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/sha.h>

#include "proof/keys_priv.h"
#include "proof/proof.h"

#define SECTORS 200 /* more than are read at once */

typedef struct {
    apr_pool_t *pool;
    char file[64];
    unsigned char image[SECTORS][PROOF_SECTOR];
} fixture_t;

/* As README.md has it. */
static void make_placeholder(unsigned char sector[PROOF_SECTOR], unsigned char version)
{
    static const char marker[] = "amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n";

    memset(sector, 0, PROOF_SECTOR);
    memcpy(sector, marker, sizeof(marker)); /* its end is written over */
    sector[64] = version;
    SHA256(sector, 2016, sector + 2016);
}

static int setup(void **state)
{
    fixture_t *fixture = calloc(1, sizeof(*fixture));
    int fd;

    apr_initialize();
    apr_pool_create(&fixture->pool, NULL);
    apr_cpystrn(fixture->file, "/tmp/amtunlock-proof-XXXXXX", sizeof(fixture->file));
    fd = mkstemp(fixture->file);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < SECTORS; i++) {
        memset(fixture->image[i], (int)i, PROOF_SECTOR);
    }
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    unlink(fixture->file);
    apr_pool_destroy(fixture->pool);
    apr_terminate();
    free(fixture);
    return 0;
}

static void write_image(const fixture_t *fixture, size_t before, size_t length)
{
    FILE *file = fopen(fixture->file, "wb");

    assert_non_null(file);
    for (size_t i = 0; i < before; i++) {
        assert_int_not_equal(fputc('x', file), EOF);
    }
    assert_int_equal(fwrite(fixture->image, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(const fixture_t *fixture, const char *why)
{
    apr_uint32_t lba;
    const char *error = proof_find_sector(fixture->file, &lba, fixture->pool);

    assert_non_null(error);
    assert_ptr_equal(strstr(error, fixture->file), error);
    assert_non_null(strstr(error, why));
}

static void test_it_is_found_wherever_it_is(void **state)
{
    static const apr_uint32_t places[] = {0, 1, 63, 64, 65, 127, 128, SECTORS - 1};
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        unsigned char kept[PROOF_SECTOR];
        apr_uint32_t lba = SECTORS;

        memcpy(kept, fixture->image[places[i]], PROOF_SECTOR);
        make_placeholder(fixture->image[places[i]], PROOF_VERSION);
        write_image(fixture, 0, sizeof(fixture->image));
        assert_null(proof_find_sector(fixture->file, &lba, fixture->pool));
        assert_int_equal(lba, places[i]);
        memcpy(fixture->image[places[i]], kept, PROOF_SECTOR);
    }
}

/* The figure that README.md gives. */
static void test_the_placeholder_is_as_written(void **state)
{
    static const unsigned char hash[] = {0x05, 0x95, 0xb4, 0x8a, 0x9f, 0x58, 0x26, 0xa8, 0xd0, 0xad, 0xc2,
                                         0xf2, 0xd6, 0x62, 0xeb, 0xf6, 0x2a, 0x59, 0x72, 0x68, 0xab, 0xc2,
                                         0x5d, 0xeb, 0x5d, 0xc9, 0x2e, 0x9f, 0x3b, 0xe9, 0x01, 0xd8};
    unsigned char sector[PROOF_SECTOR];

    (void)state;
    make_placeholder(sector, 1);
    assert_memory_equal(sector + 2016, hash, sizeof(hash));
}

static void test_none(void **state)
{
    fixture_t *fixture = *state;

    write_image(fixture, 0, sizeof(fixture->image));
    assert_refused(fixture, "holds no placeholder");
    write_image(fixture, 0, 0);
    assert_refused(fixture, "holds no placeholder");
}

/* A program that knows the marker, a placeholder between two sectors, and one that was damaged. */
static void test_what_only_looks_like_it(void **state)
{
    fixture_t *fixture = *state;
    unsigned char placeholder[PROOF_SECTOR];

    make_placeholder(placeholder, PROOF_VERSION);
    memcpy(fixture->image[5], placeholder, 64);
    write_image(fixture, 0, sizeof(fixture->image));
    assert_refused(fixture, "holds no placeholder");

    memcpy(fixture->image[5], placeholder, PROOF_SECTOR);
    write_image(fixture, 512, sizeof(fixture->image));
    assert_refused(fixture, "holds no placeholder");

    fixture->image[5][1000] = 1;
    write_image(fixture, 0, sizeof(fixture->image));
    assert_refused(fixture, "holds no placeholder");

    memcpy(fixture->image[5], placeholder, PROOF_SECTOR);
    write_image(fixture, 0, 6UL * PROOF_SECTOR - 1); /* its last byte is missing */
    assert_refused(fixture, "holds no placeholder");
}

/* The sector of a session, as a copy of a served CD would have it. */
static void test_a_sessions_sector_is_no_placeholder(void **state)
{
    fixture_t *fixture = *state;
    const proof_key_t key = {.bytes = {7}};
    const proof_boot_t boot = {.job = "job1", .system = "pc1.example.com", .fence = "1"};
    proof_session_t *session;

    assert_null(proof_session_create(&session, &key, &boot, fixture->pool));
    proof_sector(session, fixture->image[7]);
    write_image(fixture, 0, sizeof(fixture->image));
    assert_refused(fixture, "holds no placeholder");
}

static void test_two(void **state)
{
    fixture_t *fixture = *state;

    make_placeholder(fixture->image[40], PROOF_VERSION);
    make_placeholder(fixture->image[157], PROOF_VERSION);
    write_image(fixture, 0, sizeof(fixture->image));
    assert_refused(fixture, "holds 2 placeholders for the proof, among them sectors 40 and 157");
}

static void test_another_version(void **state)
{
    fixture_t *fixture = *state;

    make_placeholder(fixture->image[9], 2);
    write_image(fixture, 0, sizeof(fixture->image));
    assert_refused(fixture, "version 2 of the proof, and this worker speaks version 1");
}

static void test_no_such_file_and_no_file(void **state)
{
    fixture_t *fixture = *state;

    unlink(fixture->file);
    assert_refused(fixture, "cannot be opened");
    assert_int_equal(mkfifo(fixture->file, 0600), 0);
    assert_refused(fixture, "is not a regular file");
    unlink(fixture->file);
    assert_int_equal(mkdir(fixture->file, 0700), 0);
    assert_refused(fixture, "is not a regular file");
    rmdir(fixture->file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_is_found_wherever_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_placeholder_is_as_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_only_looks_like_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sessions_sector_is_no_placeholder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_such_file_and_no_file, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
