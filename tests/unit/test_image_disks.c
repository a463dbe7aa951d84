/* SPDX-License-Identifier: Apache-2.0 */
/* The unlock image: the sector on its drive, kinds of disks, and AMT's serial port in sysfs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>

#include "image/console_priv.h"
#include "image/disc_priv.h"
#include "image/disks_priv.h"
#include "image/opal_priv.h"
#include "proof_fixture.h"

#define BLOCK 2048UL

/* No drive is looked at here. */
opal_state_e opal_state(const char *device)
{
    (void)device;
    return OPAL_NONE;
}

/* ---- the drive ----------------------------------------------------------------------------------------- */

static unsigned char disc[40 * BLOCK];

/* A record of the root folder; where the next one stands. */
static size_t put_record(size_t at, const char *name, unsigned char block, unsigned size, unsigned char flags)
{
    unsigned char *record = disc + at;
    size_t length = (33 + strlen(name) + 1) & ~1UL;

    record[0] = (unsigned char)length;
    record[2] = block;
    record[10] = (unsigned char)size;
    record[11] = (unsigned char)(size >> 8);
    record[25] = flags;
    record[32] = (unsigned char)strlen(name);
    memcpy(record + 33, name, record[32]);
    return at + length;
}

/* An ISO 9660 disc with its root folder in block 20, of `blocks` blocks. */
static size_t make_disc(unsigned char blocks)
{
    memset(disc, 0, sizeof(disc));
    memcpy(disc + 16 * BLOCK, "\1CD001\1", sizeof("\1CD001\1"));
    put_record(16 * BLOCK + 156, "", 20, (unsigned)(blocks * BLOCK), 2);
    return 20 * BLOCK;
}

static disc_e read_disc(keys_t *keys, size_t length)
{
    char path[] = "/tmp/amtunlock-disc-XXXXXX";
    int file = mkstemp(path);
    disc_e found;

    assert_true(file >= 0);
    assert_int_equal(write(file, disc, length), length);
    close(file);
    found = disc_read(path, keys);
    unlink(path);
    return found;
}

static void test_sector_is_found_by_its_name(void **state)
{
    static const char *const names[] = {"AMTUNLOC.BIN;1", "AMTUNLOCK_PROOF.BIN;1", "amtunlock-proof.bin"};
    proof_fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        keys_t keys;
        size_t at = make_disc(1);

        at = put_record(at, "BOOT", 25, BLOCK, 2);
        at = put_record(at, "AMTUNLOCKED", 26, 4096, 0);
        put_record(at, names[i], 30, BLOCK, 0);
        memcpy(disc + 30 * BLOCK, fixture->sector, BLOCK);
        assert_int_equal(read_disc(&keys, sizeof(disc)), DISC_FOUND);
        assert_string_equal(keys.id, SYSTEM);
    }
}

static void test_sector_in_a_second_block_of_the_folder(void **state)
{
    proof_fixture_t *fixture = *state;
    size_t at = make_disc(2);
    keys_t keys;

    put_record(at, "BOOT", 25, BLOCK, 2);
    at = put_record(at + BLOCK, "AMTUNLOA.BIN;1", 28, BLOCK, 0);
    at = put_record(at, "AMTUNLOC.BIN;1", 29, BLOCK, 0);
    put_record(at, "AMTUNLOC.BIN;2", 30, BLOCK, 0);
    memcpy(disc + 30 * BLOCK, fixture->sector, BLOCK);
    assert_int_equal(read_disc(&keys, sizeof(disc)), DISC_FOUND);
}

static void test_what_is_not_this_boots_disc(void **state)
{
    proof_fixture_t *fixture = *state;
    keys_t keys;

    assert_int_equal(disc_read("/nonexistent", &keys), DISC_NONE);
    make_disc(1);
    assert_int_equal(read_disc(&keys, sizeof(disc)), DISC_NONE);
    put_record(20 * BLOCK, "AMTUNLOC.BIN;1", 30, BLOCK, 0);
    memcpy(disc + 30 * BLOCK, fixture->sector, BLOCK);
    assert_int_equal(read_disc(&keys, 30 * BLOCK), DISC_OTHER); /* cut off */
    disc[30 * BLOCK + 70] ^= 1;
    assert_int_equal(read_disc(&keys, sizeof(disc)), DISC_OTHER);
    disc[16 * BLOCK + 1] = 'X';
    assert_int_equal(read_disc(&keys, sizeof(disc)), DISC_NONE);
}

/* Each length of a record and of a name that a damaged folder may hold: nothing is read beyond it, and the sector is taken
 * only where both lengths fit. */
static void test_damaged_folder(void **state)
{
    proof_fixture_t *fixture = *state;
    keys_t keys;

    for (int length = 0; length < 256; length += 5) {
        for (int name = 0; name < 256; name += 7) {
            make_disc(1);
            put_record(20 * BLOCK, "AMTUNLOC.BIN;1", 30, BLOCK, 0);
            memcpy(disc + 30 * BLOCK, fixture->sector, BLOCK);
            disc[20 * BLOCK] = (unsigned char)length;
            disc[20 * BLOCK + 32] = (unsigned char)name;
            assert_int_equal(read_disc(&keys, sizeof(disc)),
                             name >= 8 && length >= 33 + name ? DISC_FOUND : DISC_NONE);
        }
    }
}

/* ---- disks --------------------------------------------------------------------------------------------- */

static void test_kinds_of_disks(void **state)
{
    static const struct {
        size_t at;
        const char *bytes;
        disks_kind_e kind;
    } cases[] = {
        {0, "LUKS\xba\xbe", DISKS_LUKS},
        {0, "LUKS", DISKS_PLAIN},
        {1, "LUKS\xba\xbe", DISKS_PLAIN},
        {3, "-FVE-FS-", DISKS_UNSUPPORTED},
        {4, "-FVE-FS-", DISKS_PLAIN},
        {0x50, " VeraCrypt Boot Loader", DISKS_UNSUPPORTED},
        {600, " VeraCrypt Boot Loader", DISKS_PLAIN},
        {0, "", DISKS_PLAIN},
    };
    unsigned char head[DISKS_HEAD];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(head, 0, sizeof(head));
        memcpy(head + cases[i].at, cases[i].bytes, strlen(cases[i].bytes));
        assert_int_equal(disks_kind(head), cases[i].kind);
    }
}

/* An extended partition is shorter than what is looked at; that is no error of the disk. */
static void test_device_shorter_than_its_head(void **state)
{
    char path[] = "/tmp/amtunlock-disk-XXXXXX";
    int file = mkstemp(path);
    unsigned char head[DISKS_HEAD];

    (void)state;
    memset(head, 'x', sizeof(head));
    assert_int_equal(write(file, "LUKS\xba\xbe", 6), 6);
    assert_true(disks_read(path, head));
    assert_int_equal(disks_kind(head), DISKS_LUKS);
    assert_int_equal(head[6], 0);
    assert_int_equal(head[DISKS_HEAD - 1], 0);
    assert_int_equal(ftruncate(file, 0), 0);
    assert_false(disks_read(path, head));
    close(file);
    unlink(path);
    assert_false(disks_read(path, head));
}

/* ---- the serial port ----------------------------------------------------------------------------------- */

static const char *sys;

static int make_sys(void **state)
{
    apr_pool_t *pool;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    *state = pool;
    sys = mkdtemp(apr_pstrdup(pool, "/tmp/amtunlock-sys-XXXXXX"));
    return sys == NULL;
}

static int remove_one(const char *path, const struct stat *what, int kind, struct FTW *where)
{
    (void)what;
    (void)kind;
    (void)where;
    return remove(path);
}

static int remove_sys(void **state)
{
    int status = nftw(sys, remove_one, 16, FTW_DEPTH | FTW_PHYS);

    apr_pool_destroy(*state);
    apr_terminate();
    return status;
}

static void write_word(const char *path, const char *word)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fprintf(file, "%s\n", word);
    fclose(file);
}

/* A port, below a PCI device if that has a class; `between` are the folders that newer kernels put between. */
static void add_port(apr_pool_t *pool, const char *name, const char *device, const char *vendor,
                     const char *class, const char *between)
{
    const char *port = apr_psprintf(pool, "%s/class/tty/%s", sys, name);
    const char *pci = apr_psprintf(pool, "%s/devices/%s", sys, device);
    const char *below = apr_psprintf(pool, "../../../devices/%s%s", device, between);

    assert_int_equal(apr_dir_make_recursive(port, APR_FPROT_OS_DEFAULT, pool), 0);
    assert_int_equal(
        apr_dir_make_recursive(apr_pstrcat(pool, pci, between, NULL), APR_FPROT_OS_DEFAULT, pool), 0);
    assert_int_equal(symlink(below, apr_pstrcat(pool, port, "/device", NULL)), 0);
    if (class != NULL) {
        write_word(apr_pstrcat(pool, pci, "/class", NULL), class);
        write_word(apr_pstrcat(pool, pci, "/vendor", NULL), vendor);
    }
}

static void test_port_of_amt(void **state)
{
    char name[CONSOLE_NAME_MAX];
    apr_pool_t *pool = *state;

    console_find("/nonexistent", name);
    assert_string_equal(name, "ttyS0");
    add_port(pool, "ttyS0", "platform/serial8250", NULL, NULL, "");
    console_find(sys, name);
    assert_string_equal(name, "ttyS0");
    add_port(pool, "ttyS5", "pci0000:00/0000:00:16.0", "0x8086", "0x078000", "");
    console_find(sys, name);
    assert_string_equal(name, "ttyS0");
    add_port(pool, "ttyS3", "pci0000:00/0000:00:05.0", "0x1b36", "0x070002", "");
    console_find(sys, name);
    assert_string_equal(name, "ttyS3");
    add_port(pool, "ttyS4", "pci0000:00/0000:00:16.3", "0x8086", "0x070002",
             "/0000:00:16.3:0/0000:00:16.3:0.0");
    console_find(sys, name);
    assert_string_equal(name, "ttyS4");
}

int main(void)
{
#define IN_A_SESSION(test) cmocka_unit_test_setup_teardown(test, proof_fixture_setup, proof_fixture_teardown)
    const struct CMUnitTest tests[] = {
        IN_A_SESSION(test_sector_is_found_by_its_name),
        IN_A_SESSION(test_sector_in_a_second_block_of_the_folder),
        IN_A_SESSION(test_what_is_not_this_boots_disc),
        IN_A_SESSION(test_damaged_folder),
        cmocka_unit_test(test_kinds_of_disks),
        cmocka_unit_test(test_device_shorter_than_its_head),
        cmocka_unit_test_setup_teardown(test_port_of_amt, make_sys, remove_sys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
