/* SPDX-License-Identifier: Apache-2.0 */
/* systems.csv as administrators and their tools write it: what is read, and what each mistake is answered
 * with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>

#include "inventory/inventory.h"

#define PIN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define PIN_UPPER                                                                                            \
    "01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF"

typedef struct {
    apr_pool_t *pool;
    apr_hash_t *groups;
    apr_array_header_t *problems;
    inventory_t *inventory;
    apr_status_t status;
    char file[64];
} fixture_t;

static int setup(void **state)
{
    static const inventory_group_t standard = {.name = "default",
                                               .method = "wake",
                                               .auth = "digest",
                                               .tls = "ca",
                                               .probe = "22",
                                               .boot_timeout = 1000};
    static const inventory_group_t branch = {.name = "branch",
                                             .method = "sol",
                                             .auth = "kerberos",
                                             .tls = "legacy",
                                             .boot_timeout = 2000,
                                             .tls_max = 2,
                                             .reset_running = 1};
    fixture_t *fixture;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    fixture->groups = apr_hash_make(pool);
    apr_hash_set(fixture->groups, "default", APR_HASH_KEY_STRING, &standard);
    apr_hash_set(fixture->groups, "branch", APR_HASH_KEY_STRING, &branch);
    apr_cpystrn(fixture->file, "/tmp/amtu-inventory-XXXXXX", sizeof(fixture->file));
    close(mkstemp(fixture->file));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    unlink(fixture->file);
    apr_pool_destroy(fixture->pool);
    return 0;
}

static void load_bytes(fixture_t *fixture, const char *bytes, size_t length)
{
    FILE *file = fopen(fixture->file, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    fclose(file);
    fixture->problems = apr_array_make(fixture->pool, 4, sizeof(inventory_problem_t));
    fixture->status =
        inventory_load(&fixture->inventory, fixture->file, fixture->groups, fixture->problems, fixture->pool);
}

static void load(fixture_t *fixture, const char *text)
{
    load_bytes(fixture, text, strlen(text));
}

static const inventory_problem_t *problem(const fixture_t *fixture, int index)
{
    assert_true(index < fixture->problems->nelts);
    return &APR_ARRAY_IDX(fixture->problems, index, const inventory_problem_t);
}

static void assert_loaded(const fixture_t *fixture, int count)
{
    if (fixture->status != APR_SUCCESS) {
        fail_msg("not loaded: line %u: %s", problem(fixture, 0)->line, problem(fixture, 0)->reason);
    }
    assert_int_equal(fixture->problems->nelts, 0);
    assert_int_equal(inventory_count(fixture->inventory), count);
}

/* The file was refused, with exactly this one problem. */
static void assert_refused(const fixture_t *fixture, unsigned int line, const char *words)
{
    assert_int_equal(fixture->status, APR_EGENERAL);
    assert_null(fixture->inventory);
    assert_int_equal(fixture->problems->nelts, 1);
    assert_string_equal(problem(fixture, 0)->file, fixture->file);
    assert_int_equal(problem(fixture, 0)->line, line);
    if (!strstr(problem(fixture, 0)->reason, words)) {
        fail_msg("'%s' does not say '%s'", problem(fixture, 0)->reason, words);
    }
}

/* Each value of inventory_method_e has its part in every table that is indexed by it. */
static void test_every_method(void **state)
{
    fixture_t *fixture = *state;

    fixture->groups = NULL;
    for (int method = 0; method < INVENTORY_METHODS; method++) {
        if (inventory_method_name(method) == NULL) {
            fail_msg("method %d of inventory_method_e has no name", method);
        }
    }
    for (int method = 0; method < INVENTORY_METHODS; method++) {
        const char *name = inventory_method_name(method);

        load(fixture, apr_psprintf(fixture->pool, "fqdn,method,probe\na.example,%s,22\n", name));
        assert_loaded(fixture, 1);
        assert_int_equal(inventory_at(fixture->inventory, 0)->method, method);
        load(fixture, apr_psprintf(fixture->pool, "fqdn,method\na.example,%s\n", name));
        if (method == INVENTORY_SOL) {
            assert_loaded(fixture, 1);
        }
        else {
            assert_refused(fixture, 2, apr_psprintf(fixture->pool, "method %s needs a probe", name));
        }
        load(fixture, "fqdn,method\na.example,reboot\n");
        assert_refused(fixture, 2, name);
    }
}

static void test_every_cell(void **state)
{
    fixture_t *fixture = *state;
    const inventory_system_t *system;

    load(fixture,
         "fqdn,address,uuid,group,method,auth,tls,probe\n"
         "PC-1.Example.COM.,192.0.2.1,4C4C4544-0035-3610-8052-B2C04F4D3732,branch,image,digest,pin:" PIN_UPPER
         ",host.example.com:8080\n");
    assert_loaded(fixture, 1);
    system = inventory_find(fixture->inventory, "pc-1.example.com");
    assert_non_null(system);
    assert_ptr_equal(system, inventory_at(fixture->inventory, 0));
    assert_string_equal(system->fqdn, "pc-1.example.com");
    assert_string_equal(system->address, "192.0.2.1");
    assert_string_equal(system->uuid, "4c4c4544-0035-3610-8052-b2c04f4d3732");
    assert_string_equal(system->group->name, "branch");
    assert_int_equal(system->group->reset_running, 1);
    assert_int_equal(system->group->tls_max, 2);
    assert_int_equal(system->method, INVENTORY_IMAGE);
    assert_int_equal(system->auth, INVENTORY_DIGEST);
    assert_int_equal(system->tls, INVENTORY_TLS_PIN);
    assert_string_equal(system->pin, PIN);
    assert_string_equal(system->probe_host, "host.example.com");
    assert_int_equal(system->probe_port, 8080);
    assert_int_equal(system->line, 2);
}

static void test_defaults_line_group_default(void **state)
{
    fixture_t *fixture = *state;
    const inventory_system_t *system;

    load(fixture, "fqdn,group,tls\na.example,,none\nb.example,branch,\nc.example,unheard-of,\n");
    assert_loaded(fixture, 3);

    system = inventory_find(fixture->inventory, "a.example");
    assert_string_equal(system->group->name, "default");
    assert_int_equal(system->method, INVENTORY_WAKE);
    assert_int_equal(system->tls, INVENTORY_TLS_NONE);
    assert_int_equal(system->probe_port, 22);
    assert_null(system->probe_host);
    assert_null(system->address);
    assert_null(system->uuid);

    /* what the group does not say (its probe), the group "default" does */
    system = inventory_find(fixture->inventory, "b.example");
    assert_int_equal(system->method, INVENTORY_SOL);
    assert_int_equal(system->auth, INVENTORY_KERBEROS);
    assert_int_equal(system->tls, INVENTORY_TLS_LEGACY);
    assert_int_equal(system->probe_port, 22);
    assert_int_equal(system->group->boot_timeout, 2000);

    /* a group without a section behaves like the group "default", under its own name */
    system = inventory_find(fixture->inventory, "c.example");
    assert_string_equal(system->group->name, "unheard-of");
    assert_int_equal(system->group->boot_timeout, 1000);
    assert_int_equal(system->method, INVENTORY_WAKE);
}

/* Without a probe it is not known whether a PC that runs is in use. */
static void test_a_group_that_resets_needs_probes(void **state)
{
    fixture_t *fixture = *state;
    inventory_group_t resets = {.name = "resets", .method = "sol", .reset_running = 1};
    inventory_group_t probed = {.name = "probed", .method = "sol", .probe = "22", .reset_running = 1};
    inventory_group_t careful = {.name = "careful", .method = "sol"};

    fixture->groups = apr_hash_make(fixture->pool);
    apr_hash_set(fixture->groups, "default", APR_HASH_KEY_STRING, &careful);
    apr_hash_set(fixture->groups, "resets", APR_HASH_KEY_STRING, &resets);
    apr_hash_set(fixture->groups, "probed", APR_HASH_KEY_STRING, &probed);
    load(fixture, "fqdn,group,probe\na.example,,\nb.example,resets,22\nc.example,probed,\n");
    assert_loaded(fixture, 3);
    load(fixture, "fqdn,group,probe\na.example,,\nb.example,resets,\n");
    assert_refused(fixture, 3, "group resets has reset-running = yes, so it needs a probe");
    careful.reset_running = 1;
    load(fixture, "fqdn,group\na.example,made-up\n");
    assert_refused(fixture, 2, "group made-up has reset-running = yes");
}

static void test_no_groups_at_all(void **state)
{
    fixture_t *fixture = *state;
    const inventory_system_t *system;

    fixture->groups = NULL;
    load(fixture, "fqdn,method,probe\na.example,wake,22\n");
    assert_loaded(fixture, 1);
    system = inventory_at(fixture->inventory, 0);
    assert_int_equal(system->auth, INVENTORY_DIGEST);
    assert_int_equal(system->tls, INVENTORY_TLS_CA);
    assert_int_equal(system->group->boot_timeout, apr_time_from_sec(600));
    assert_string_equal(system->group->name, "default");
    load(fixture, "fqdn\na.example\n");
    assert_refused(fixture, 2, "method is missing");
}

static void test_forms_of_files(void **state)
{
    static const char *const forms[] = {
        "fqdn,probe\na.example,22\nb.example,23\n",                            /* LF */
        "fqdn,probe\r\na.example,22\r\nb.example,23\r\n",                      /* CRLF */
        "fqdn,probe\na.example,22\nb.example,23",                              /* no last line end */
        "\xef\xbb\xbf\x66qdn,probe\na.example,22\nb.example,23\n",             /* byte order mark */
        "fqdn,probe,,,\n,,,,\na.example,22,,,\nb.example,23,,,\n,,,,\n,,,,\n", /* a spreadsheet's */
        ",,,,,,,,,,,,,,,,,,,,\r\nfqdn,probe\r\na.example,22,,\r\nb.example,23\r\n,\r\n",
        "fqdn,probe,,,,,,,,,,,,,,,,,,,,\na.example,22,,,,,,,,,,,,,,,,,,,,\nb.example,23\n",
        "\xef\xbb\xbf\"fqdn\",probe,\r\na.example,22,\r\nb.example,23,",
        "probe,fqdn\n22,a.example\n23,b.example\n", /* any order */
        "\"fqdn\",\"probe\"\n\"a.example\",\"22\"\n\"b.example\",23\n",
        "\n\nFQDN , Probe\n\n a.example , 22\n   \nb.example,23\n\n", /* blanks */
    };
    fixture_t *fixture = *state;
    const char *digest = NULL;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        load(fixture, forms[i]);
        assert_loaded(fixture, 2);
        assert_int_equal(inventory_find(fixture->inventory, "a.example")->probe_port, 22);
        assert_int_equal(inventory_find(fixture->inventory, "b.example")->probe_port, 23);
        if (digest) {
            assert_string_equal(digest, inventory_digest(fixture->inventory));
        }
        digest = inventory_digest(fixture->inventory);
    }
}

static void test_probe_forms(void **state)
{
    static const struct {
        const char *cell, *host;
        int port;
    } good[] = {
        {"1", NULL, 1},
        {"65535", NULL, 65535},
        {"name:22", "name", 22},
        {"192.0.2.7:22", "192.0.2.7", 22},
        {"[2001:DB8::1]:22", "2001:db8::1", 22},
    };
    static const char *const bad[] = {"0",
                                      "65536",
                                      "22x",
                                      "-1",
                                      "+22",
                                      "name",
                                      ":22",
                                      "name:",
                                      "name:0",
                                      "[]:22",
                                      "[name]:22",
                                      "[192.0.2.1]:22",
                                      "2001::1:22",
                                      "[2001::1]22",
                                      "[2001::1]",
                                      "a b:22",
                                      "999999999999999999999"};
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const inventory_system_t *system;

        load(fixture, apr_psprintf(fixture->pool, "fqdn,probe\na.example,%s\n", good[i].cell));
        assert_loaded(fixture, 1);
        system = inventory_at(fixture->inventory, 0);
        assert_int_equal(system->probe_port, good[i].port);
        if (good[i].host) {
            assert_string_equal(system->probe_host, good[i].host);
        }
        else {
            assert_null(system->probe_host);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        load(fixture, apr_psprintf(fixture->pool, "fqdn,probe\na.example,%s\n", bad[i]));
        assert_refused(fixture, 2, "probe '");
    }
}

static void test_refused_cells(void **state)
{
    static const struct {
        const char *column, *cell, *words;
    } bad[] = {
        {"address", "host.example", "is not an IPv4 or IPv6 address"},
        {"address", "192.0.2.999", "is not an IPv4 or IPv6 address"},
        {"address", "fe80::1%eth0", "is not an IPv4 or IPv6 address"},
        {"address", "0.0.0.0", "no single machine"},
        {"address", "239.1.1.1", "no single machine"},
        {"address", "ff02::1", "no single machine"},
        {"address", "::", "no single machine"},
        {"uuid", "4c4c4544-0035-3610-8052-b2c04f4d373", "is not a UUID"},
        {"uuid", "4c4c4544-0035-3610-8052-b2c04f4d37322", "more than the 36"},
        {"uuid", "4c4c454400353610-8052-b2c04f4d373200", "is not a UUID"},
        {"uuid", "00000000-0000-0000-0000-000000000000", "knows no UUID"},
        {"uuid", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "knows no UUID"},
        {"group", "no blanks", "is not a group name"},
        {"group", "a234567890123456789012345678901234567890123456789012345678901234x", "longer"},
        {"method", "reboot", "is not one of sol, image, https-boot, wake"},
        {"auth", "basic", "is not one of digest, kerberos"},
        {"tls", "yes", "is not one of ca, pin:<sha256>, legacy, none"},
        {"tls", "pin", "is not one of ca, pin:<sha256>, legacy, none"},
        {"tls", "pin:", "64 hex digits"},
        {"tls", "pin:" PIN "0", "64 hex digits"},
        {"tls", "pin:0:" PIN, "64 hex digits"},
        {"tls", "pin:g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "64 hex digits"},
    };
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        load(fixture, apr_psprintf(fixture->pool, "fqdn,%s\na.example,%s\n", bad[i].column, bad[i].cell));
        assert_refused(fixture, 2, bad[i].words);
        assert_non_null(strstr(problem(fixture, 0)->reason, bad[i].column));
    }
}

static void test_names(void **state)
{
    fixture_t *fixture = *state;

    load(fixture, "fqdn,uuid\n,4c4c4544-0035-3610-8052-b2c04f4d3732\n");
    assert_refused(fixture, 2, "fqdn is missing");
    load(fixture, "fqdn\n192.0.2.1\n");
    assert_refused(fixture, 2, "is an address");
    load(fixture, "fqdn\n2001:db8::1\n");
    assert_refused(fixture, 2, "is an address");
    load(fixture, "fqdn\na..b\n");
    assert_refused(fixture, 2, "is not a host name");
    load(fixture, "fqdn\nm\xc3\xbcller.example\n");
    assert_refused(fixture, 2, "is not a host name");
}

static void test_once_only(void **state)
{
    fixture_t *fixture = *state;

    load(fixture, "fqdn\na.example\nb.example\nA.EXAMPLE.\n");
    assert_refused(fixture, 4, "fqdn a.example stands on line 2 already");
    load(fixture, "fqdn,address\na.example,2001:db8::1\nb.example,2001:0DB8:0::1\n");
    assert_refused(fixture, 3, "address 2001:db8::1 stands on line 2 already");
    load(fixture, "fqdn,uuid\na.example,4c4c4544-0035-3610-8052-b2c04f4d3732\n"
                  "b.example,\nc.example,4C4C4544-0035-3610-8052-B2C04F4D3732\n");
    assert_refused(fixture, 4, "uuid 4c4c4544-0035-3610-8052-b2c04f4d3732 stands on line 2 already");
}

/* One device in the two spellings that tools give it. */
static void test_two_spellings_of_a_uuid(void **state)
{
    fixture_t *fixture = *state;

    load(fixture, "fqdn,uuid\na.example,4c4c4544-0035-3610-8052-b2c04f4d3732\n"
                  "b.example,44454c4c-3500-1036-8052-b2c04f4d3732\n");
    assert_refused(fixture, 3, "uuid 44454c4c-3500-1036-8052-b2c04f4d3732 stands on line 2 already");
    load(fixture, "fqdn,uuid\na.example,44454C4C-3500-1036-8052-B2C04F4D3732\n");
    assert_loaded(fixture, 1);
    assert_ptr_equal(inventory_find_device(fixture->inventory, "4c4c4544-0035-3610-8052-b2c04f4d3732"),
                     inventory_at(fixture->inventory, 0));
    assert_null(inventory_find_device(fixture->inventory, "4c4c4544-0035-3610-8052-b2c04f4d3733"));
    assert_null(inventory_find_device(fixture->inventory, ""));
}

static void test_uuids_that_name_no_pc(void **state)
{
    static const char *const none[] = {
        "",
        "4c4c4544-0035-3610-8052-b2c04f4d373",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "fefefefe-fefe-fefe-fefe-fefefefefefe",
        "00020003-0004-0005-0006-000700080009",
        "03000200-0400-0500-0006-000700080009",
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "78563412-3412-7856-90ab-cddeefaabbcc",
        "01234567-89ab-cdef-0123-456789abcdef",
        "00112233-4455-6677-8899-aabbccddeeff",
        "33221100-5544-7766-8899-aabbccddeeff",
        "4c4c4544-0000-2010-8020-80c04f202020",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        if (inventory_uuid_is_unique(none[i])) {
            fail_msg("%s names no PC", none[i]);
        }
    }
    assert_true(inventory_uuid_is_unique("4c4c4544-0035-3610-8052-b2c04f4d3732"));
    assert_true(inventory_uuid_is_unique("55e3ae13-bfd2-61bb-17a0-88aedd7037ea"));
    assert_true(inventory_uuid_is_unique("00000000-0000-0000-0000-00d861aabbcc")); /* its network address */
}

/* Whoever copied them from the firmware is told; the fleet goes on. */
static void test_board_uuids_are_none(void **state)
{
    fixture_t *fixture = *state;
    const inventory_problem_t *warning = NULL;

    load(fixture, "fqdn,uuid\na.example,03000200-0400-0500-0006-000700080009\n"
                  "b.example,00020003-0004-0005-0006-000700080009\n"
                  "c.example,4c4c4544-0035-3610-8052-b2c04f4d3732\n");
    assert_loaded(fixture, 3);
    assert_null(inventory_find(fixture->inventory, "a.example")->uuid);
    assert_null(inventory_find(fixture->inventory, "b.example")->uuid);
    assert_non_null(inventory_find(fixture->inventory, "c.example")->uuid);
    assert_int_equal(inventory_warnings(fixture->inventory)->nelts, 2);
    warning = &APR_ARRAY_IDX(inventory_warnings(fixture->inventory), 0, inventory_problem_t);
    assert_int_equal(warning->line, 2);
    assert_non_null(strstr(warning->reason, "many boards were sold with"));
}

static void test_no_systems_is_a_warning(void **state)
{
    fixture_t *fixture = *state;

    load(fixture, "fqdn,uuid\n,\n");
    assert_loaded(fixture, 0);
    assert_int_equal(inventory_warnings(fixture->inventory)->nelts, 1);
    assert_non_null(
        strstr(APR_ARRAY_IDX(inventory_warnings(fixture->inventory), 0, inventory_problem_t).reason,
               "no system follows the header"));
}

static void test_header_mistakes(void **state)
{
    fixture_t *fixture = *state;

    load(fixture, "");
    assert_refused(fixture, 0, "the file is empty");
    load(fixture, "\n \r\n");
    assert_refused(fixture, 0, "the file is empty");
    load(fixture, "fqdn,colour\na.example,red\nnot even a row\n");
    assert_refused(fixture, 1, "unknown column 'colour'");
    load(fixture, "fqdn,probe,FQDN\na.example,22,b\n");
    assert_refused(fixture, 1, "names 'fqdn' twice");
    load(fixture, "address,probe\n192.0.2.1,22\n");
    assert_refused(fixture, 1, "no column 'fqdn'");
    load(fixture, "\"fqdn,probe\na.example,22\n");
    assert_refused(fixture, 1, "a quote is not closed");
    load(fixture, "\xef\xbb\xbf\x66qdn;probe;\r\na.example;22;\r\n");
    assert_refused(fixture, 1,
                   "the cells are separated by semicolons; save the file with commas between them");
    load(fixture, "sep=;\nfqdn;probe\na.example;22\n");
    assert_refused(fixture, 1, "separated by semicolons");
    load(fixture, "fqdn\tprobe\na.example\t22\n");
    assert_refused(fixture, 1, "separated by tabs");
    load(fixture, "fqdn,,probe\na.example,,22\n");
    assert_refused(fixture, 1, "unknown column ''");
    load(fixture, "PK\x03\x04\x14");
    assert_refused(fixture, 0, "the file is a workbook, such as .xlsx or .ods; save it as CSV");
    load(fixture, "\xd0\xcf\x11\xe0\xa1");
    assert_refused(fixture, 0, "workbook of an old form (.xls)");
    load(fixture, "\x1f\x8b\x08");
    assert_refused(fixture, 0, "compressed; unpack it");
    load_bytes(fixture,
               "\xff\xfe"
               "f\0q\0d\0n\0\n\0",
               12);
    assert_refused(fixture, 0, "UTF-16");
}

static void test_line_mistakes(void **state)
{
    fixture_t *fixture = *state;

    load(fixture, "fqdn,probe\na.example\n");
    assert_refused(fixture, 2, "1 cells where the header line has 2");
    load(fixture, "fqdn,probe\na.example,22,,,,,,,,,,,,,,,,,,,,,,,\n");
    assert_refused(fixture, 2, "25 cells where the header line has 2");
    load(fixture, "fqdn,probe,,,\na.example,22,x,,\n");
    assert_refused(fixture, 2, "5 cells where the header line has 2");
    load(fixture, "fqdn,address,probe\n,,22\n");
    assert_int_equal(fixture->status, APR_EGENERAL);
    /* a quote left open costs its own line only */
    load(fixture, "fqdn,probe\n\"a.example,22\nb.example,22\n");
    assert_refused(fixture, 2, "a quote is not closed");
    load(fixture, "fqdn,probe\na\"b.example,22\nb.example,22\n");
    assert_refused(fixture, 2, "a quote");
    load(fixture, "fqdn,probe\ra.example,22\rb.example,22\r");
    assert_refused(fixture, 1, "a carriage return inside the line");
    load_bytes(fixture, "fqdn,probe\na\0b.example,22\n", 26);
    assert_refused(fixture, 2, "NUL byte");
}

/* The length of a line is bounded, exactly, and an endless line costs no memory. */
static void test_line_length(void **state)
{
    fixture_t *fixture = *state;
    size_t big = (size_t)3 * 1024 * 1024;
    char *text = apr_palloc(fixture->pool, big);
    const char head[] = "fqdn\na.example";

    memset(text, ' ', big);
    memcpy(text, head, sizeof(head) - 1);
    text[5 + 4096] = '\r';
    text[5 + 4096 + 1] = '\n';
    load_bytes(fixture, text, 5 + 4096 + 2);
    assert_loaded(fixture, 1);

    text[5 + 4096] = ' ';
    text[5 + 4096 + 1] = '\n';
    load_bytes(fixture, text, 5 + 4096 + 2);
    assert_refused(fixture, 2, "longer than 4096 bytes");

    text[5 + 4096 + 1] = ' ';
    text[big - 11] = '\n';
    text[big - 1] = '\n';
    load_bytes(fixture, text, big);
    assert_refused(fixture, 2, "longer than 4096 bytes");
    load_bytes(fixture, text, big - 11);
    assert_refused(fixture, 2, "longer than 4096 bytes");
}

static void test_every_problem_is_named(void **state)
{
    fixture_t *fixture = *state;

    load(fixture, "fqdn,address,method,probe\na..b,1.2.3,fly,0\nok.example,,wake,22\nc.example,,,x\n");
    assert_int_equal(fixture->status, APR_EGENERAL);
    assert_int_equal(fixture->problems->nelts, 5);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(problem(fixture, i)->line, 2);
    }
    assert_int_equal(problem(fixture, 4)->line, 4);
}

static void test_problems_are_bounded(void **state)
{
    fixture_t *fixture = *state;
    char *text = apr_pstrdup(fixture->pool, "fqdn\n");

    for (int i = 0; i < 53; i++) {
        text = apr_pstrcat(fixture->pool, text, "a..b\n", NULL);
    }
    load(fixture, text);
    assert_int_equal(fixture->problems->nelts, 51);
    assert_int_equal(problem(fixture, 49)->line, 51);
    assert_int_equal(problem(fixture, 50)->line, 0);
    assert_string_equal(problem(fixture, 50)->reason, "and 3 more");
}

/* What a file holds goes into logs: no control character may. */
static void test_reasons_are_printable(void **state)
{
    fixture_t *fixture = *state;

    load(fixture, "fqdn,method\na.example,\x1b[31mred\x07\n");
    assert_refused(fixture, 2, "is not one of");
    for (const char *at = problem(fixture, 0)->reason; *at; at++) {
        assert_true(*at >= ' ' && *at < 127);
    }
}

static void test_wrong_group_default_says_whose(void **state)
{
    static const inventory_group_t broken = {.name = "broken", .probe = "ssh"};
    fixture_t *fixture = *state;

    apr_hash_set(fixture->groups, "broken", APR_HASH_KEY_STRING, &broken);
    load(fixture, "fqdn,group\na.example,broken\n");
    assert_refused(fixture, 2, "probe 'ssh' of group broken is not a port");
}

static void test_files_that_are_none(void **state)
{
    fixture_t *fixture = *state;
    inventory_t *inventory = NULL;
    apr_array_header_t *problems = apr_array_make(fixture->pool, 1, sizeof(inventory_problem_t));

    assert_int_equal(inventory_load(&inventory, "/nonexistent/systems.csv", NULL, problems, fixture->pool),
                     APR_ENOENT);
    assert_int_equal(problems->nelts, 1);
    assert_non_null(strstr(APR_ARRAY_IDX(problems, 0, inventory_problem_t).reason, "No such file"));
    apr_array_clear(problems);
    assert_int_equal(inventory_load(&inventory, "/tmp", NULL, problems, fixture->pool), APR_EGENERAL);
    assert_string_equal(APR_ARRAY_IDX(problems, 0, inventory_problem_t).reason, "is not a regular file");
    assert_null(inventory);
}

static void test_digest_is_of_what_is_published(void **state)
{
    static const char *const different[] = {
        "fqdn,address,group\na.example,192.0.2.1,\n",
        "fqdn,address,group\na.example,192.0.2.2,\nb.example,,\n",
        "fqdn,address,group\na.example,192.0.2.1,other\nb.example,,\n",
        "fqdn,address,group,method\na.example,192.0.2.1,,sol\nb.example,,,\n",
        "fqdn,address,group\na.example,,\nb.example,192.0.2.1,\n",
        "fqdn,address,uuid\na.example,192.0.2.1,4c4c4544-0035-3610-8052-b2c04f4d3732\nb.example,,\n",
        "fqdn,address,auth\na.example,192.0.2.1,kerberos\nb.example,,\n",
        "fqdn,address,tls\na.example,192.0.2.1,legacy\nb.example,,\n",
        "fqdn,address,tls\na.example,192.0.2.1,none\nb.example,,\n",
        ("fqdn,address,tls\na.example,192.0.2.1,pin:" PIN "\nb.example,,\n"),
        "fqdn,address,probe\na.example,192.0.2.1,23\nb.example,,\n",
        "fqdn,address,probe\na.example,192.0.2.1,other.example:22\nb.example,,\n",
        "fqdn,address,probe\na.example,192.0.2.1,192.0.2.1:22\nb.example,,\n",
    };
    fixture_t *fixture = *state;
    const char *digest;

    load(fixture, "fqdn,address,group\na.example,192.0.2.1,\nb.example,,\n");
    assert_loaded(fixture, 2);
    digest = inventory_digest(fixture->inventory);
    assert_int_equal(strlen(digest), 64);
    assert_int_equal(strspn(digest, "0123456789abcdef"), 64);
    /* order and spelling do not count, nor whether a cell or its group says it */
    load(fixture, "fqdn,address,group,tls,probe\nb.example,,,CA,22\nA.example.,192.0.2.1,default,,\n");
    assert_loaded(fixture, 2);
    assert_string_equal(inventory_digest(fixture->inventory), digest);
    for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
        load(fixture, different[i]);
        assert_int_equal(fixture->status, APR_SUCCESS);
        assert_string_not_equal(inventory_digest(fixture->inventory), digest);
    }
}

static void test_written(void **state)
{
    fixture_t *fixture = *state;
    apr_time_t then = apr_time_from_sec(1700000000);

    load(fixture, "fqdn\na.example\n");
    assert_int_equal(apr_file_mtime_set(fixture->file, then, fixture->pool), APR_SUCCESS);
    assert_int_equal(
        inventory_load(&fixture->inventory, fixture->file, fixture->groups, fixture->problems, fixture->pool),
        APR_SUCCESS);
    assert_int_equal(inventory_written(fixture->inventory), then);
}

/* 200,000 systems: found, in order, and soon (a check that compared each with each would take minutes). */
static void test_large(void **state)
{
    enum { COUNT = 200000 };
    fixture_t *fixture = *state;
    FILE *file = fopen(fixture->file, "wb");
    clock_t start;

    assert_non_null(file);
    fputs("fqdn,address,uuid\n", file);
    for (int i = 0; i < COUNT; i++) {
        fprintf(file, "pc-%06d.example.com,10.%d.%d.%d,4c4c4544-0035-3610-8052-%012d\n", COUNT - i, i >> 16,
                (i >> 8) & 255, i & 255, i);
    }
    fclose(file);
    fixture->problems = apr_array_make(fixture->pool, 4, sizeof(inventory_problem_t));
    start = clock(); /* of this process: others have their share of the processor, too */
    fixture->status =
        inventory_load(&fixture->inventory, fixture->file, fixture->groups, fixture->problems, fixture->pool);
    print_message("%d systems in %d ms\n", COUNT, (int)((clock() - start) / (CLOCKS_PER_SEC / 1000)));
    assert_true(clock() - start < 20 * CLOCKS_PER_SEC);
    assert_loaded(fixture, COUNT);
    assert_string_equal(inventory_at(fixture->inventory, 0)->fqdn, "pc-000001.example.com");
    assert_string_equal(inventory_find(fixture->inventory, "pc-200000.example.com")->address, "10.0.0.0");
    assert_null(inventory_find(fixture->inventory, "pc-200001.example.com"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_method, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_cell, setup, teardown),
        cmocka_unit_test_setup_teardown(test_defaults_line_group_default, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_group_that_resets_needs_probes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_groups_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forms_of_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_probe_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_cells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_once_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_spellings_of_a_uuid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_uuids_that_name_no_pc, setup, teardown),
        cmocka_unit_test_setup_teardown(test_board_uuids_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_systems_is_a_warning, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_problem_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_problems_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reasons_are_printable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_group_default_says_whose, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_digest_is_of_what_is_published, setup, teardown),
        cmocka_unit_test_setup_teardown(test_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large, setup, teardown),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
