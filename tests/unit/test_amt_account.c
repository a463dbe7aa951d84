/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's Kerberos account, as far as it goes without a KDC: which keytabs are taken, and what is said
 * where no KDC answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_time.h>
#include <cmocka.h>
#include <krb5.h>

#include "amt/kerberos/account_priv.h"

#define REALM "EXAMPLE.COM"
#define WORKER "amtunlock@" REALM

typedef struct {
    apr_pool_t *pool;
    char folder[48];
    char config[64];
    char keytab[64];
} fixture_t;

/* A realm without a KDC: nothing listens on the port. */
static void write_config(const fixture_t *fixture)
{
    FILE *file = fopen(fixture->config, "w");

    assert_non_null(file);
    fputs("[libdefaults]\n default_realm = " REALM "\n dns_lookup_kdc = false\n"
          " udp_preference_limit = 1\n[realms]\n " REALM " = {\n  kdc = 127.0.0.1:1\n }\n",
          file);
    fclose(file);
}

static int set_up(void **state)
{
    fixture_t *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    apr_pool_create(&fixture->pool, NULL);
    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/amtunlock-krb5-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->config, sizeof(fixture->config), "%s/krb5.conf", fixture->folder);
    snprintf(fixture->keytab, sizeof(fixture->keytab), "%s/keytab", fixture->folder);
    write_config(fixture);
    setenv("KRB5_CONFIG", fixture->config, 1);
    /* Credentials of the environment must not matter; MIT's libraries stumble over such a name. */
    setenv("KRB5CCNAME", "FILE:/nonexistent/cache", 1);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *fixture = *state;

    unlink(fixture->keytab);
    unlink(fixture->config);
    rmdir(fixture->folder);
    apr_pool_destroy(fixture->pool);
    free(fixture);
    return 0;
}

static void add_key(const fixture_t *fixture, const char *principal)
{
    unsigned char key[32] = "a key that opens no door at all";
    char name[80];
    krb5_keytab_entry entry = {
        .vno = 1,
        .key = {.enctype = ENCTYPE_AES256_CTS_HMAC_SHA1_96, .length = sizeof(key), .contents = key}};
    krb5_context context;
    krb5_keytab keytab;

    assert_int_equal(krb5_init_context(&context), 0);
    snprintf(name, sizeof(name), "FILE:%s", fixture->keytab);
    assert_int_equal(krb5_kt_resolve(context, name, &keytab), 0);
    assert_int_equal(krb5_parse_name(context, principal, &entry.principal), 0);
    assert_int_equal(krb5_kt_add_entry(context, keytab, &entry), 0);
    krb5_free_principal(context, entry.principal);
    krb5_kt_close(context, keytab);
    krb5_free_context(context);
    chmod(fixture->keytab, 0600);
}

static void assert_refused(const fixture_t *fixture, const char *principal, const char *why)
{
    amt_tickets_t *tickets = NULL;
    const char *error = amt_tickets_open(&tickets, fixture->keytab, principal, fixture->pool);

    assert_null(tickets);
    assert_non_null(error);
    assert_non_null(strstr(error, why));
    assert_true(strstr(error, fixture->keytab) || strstr(error, principal ? principal : "-"));
}

static void assert_taken(const fixture_t *fixture, const char *principal, const char *expected)
{
    amt_tickets_t *tickets = NULL;
    const char *error = amt_tickets_open(&tickets, fixture->keytab, principal, fixture->pool);

    assert_null(error);
    assert_string_equal(amt_tickets_principal(tickets), expected);
    amt_tickets_drop(tickets);
}

/* ---- keytabs ----------------------------------------------------------------------------------- */

static void test_a_keytab_that_is_not_there(void **state)
{
    assert_refused(*state, NULL, "cannot be opened");
}

static void test_a_keytab_that_others_may_read(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0660, 0606};
    const fixture_t *fixture = *state;

    add_key(fixture, WORKER);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(fixture->keytab, modes[i]), 0);
        assert_refused(fixture, WORKER, "chmod 0600");
    }
}

static void test_a_keytab_of_somebody_else(void **state)
{
    const fixture_t *fixture = *state;

    if (geteuid() != 0) {
        skip();
    }
    add_key(fixture, WORKER);
    assert_int_equal(chown(fixture->keytab, 12345, 12345), 0);
    assert_refused(fixture, WORKER, "chown");
}

static void test_a_keytab_that_is_none(void **state)
{
    const fixture_t *fixture = *state;
    FILE *file = fopen(fixture->keytab, "w");

    assert_non_null(file);
    fputs("this is no keytab", file);
    fclose(file);
    chmod(fixture->keytab, 0600);
    assert_refused(fixture, WORKER, "cannot be read");
    assert_int_equal(unlink(fixture->keytab), 0);
    assert_int_equal(mkdir(fixture->keytab, 0700), 0);
    assert_refused(fixture, WORKER, "regular file");
    assert_int_equal(rmdir(fixture->keytab), 0);
}

static void test_the_principal_is_looked_for(void **state)
{
    const fixture_t *fixture = *state;

    add_key(fixture, WORKER);
    assert_taken(fixture, NULL, WORKER);
    assert_taken(fixture, WORKER, WORKER);
    assert_taken(fixture, "amtunlock", WORKER);
    assert_refused(fixture, "somebody", "no key of somebody");
    assert_refused(fixture, "a@b@c", "kerberos-principal");
    add_key(fixture, "HTTP/host.example.com@" REALM);
    assert_refused(fixture, NULL, "several");
    assert_taken(fixture, WORKER, WORKER);
}

/* ---- no KDC ------------------------------------------------------------------------------------ */

static void test_a_kdc_that_nobody_is(void **state)
{
    const fixture_t *fixture = *state;
    amt_tickets_t *tickets = NULL;
    apr_size_t length = 1;

    add_key(fixture, WORKER);
    assert_null(amt_tickets_open(&tickets, fixture->keytab, NULL, fixture->pool));
    for (int i = 0; i < 2; i++) { /* the second time from memory */
        amt_ticket_t *ticket = amt_ticket_make(tickets, "pc1.example.com", 16993);

        assert_int_equal(amt_ticket_status(ticket), AMT_NO_TICKET);
        assert_non_null(strstr(amt_ticket_text(ticket), WORKER));
        assert_non_null(strstr(amt_ticket_text(ticket), "check the KDC"));
        amt_ticket_token(ticket, &length);
        assert_int_equal(length, 0);
        amt_ticket_free(ticket);
    }
    amt_tickets_drop(tickets);
}

static void assert_told(amt_tickets_t *tickets, const char *fqdn, const char *words)
{
    amt_ticket_t *ticket = amt_ticket_make(tickets, fqdn, 16993);

    assert_int_equal(amt_ticket_status(ticket), AMT_NO_TICKET);
    assert_non_null(strstr(amt_ticket_text(ticket), words));
    amt_ticket_free(ticket);
}

/* That the KDC of one domain's devices is silent says nothing of another's. */
static void test_an_outage_is_of_its_domain(void **state)
{
    const fixture_t *fixture = *state;
    amt_tickets_t *tickets = NULL;
    char domain[40];

    add_key(fixture, WORKER);
    assert_null(amt_tickets_open(&tickets, fixture->keytab, NULL, fixture->pool));
    amt_account_failed(tickets, "pc1.south.example", AMT_NO_TICKET, 0, "silence of the south");
    for (int i = 0; i < 10; i++) { /* fewer than are remembered */
        snprintf(domain, sizeof(domain), "pc1.east-%d.example", i);
        amt_account_failed(tickets, domain, AMT_NO_TICKET, 0, "silence of the east");
    }
    assert_told(tickets, "pc2.south.example", "silence of the south");
    assert_told(tickets, "pc2.east-9.example", "silence of the east");
    assert_told(tickets, "pc1.north.example", "check the KDC"); /* it was asked, and nobody is there */
    amt_tickets_drop(tickets);
}

/* Its opener drops it first; a ticket that is being made holds it. */
static void test_holders(void **state)
{
    const fixture_t *fixture = *state;
    amt_tickets_t *tickets = NULL;

    add_key(fixture, WORKER);
    assert_null(amt_tickets_open(&tickets, fixture->keytab, NULL, fixture->pool));
    assert_ptr_equal(amt_tickets_hold(tickets), tickets);
    amt_tickets_drop(tickets);
    assert_string_equal(amt_tickets_principal(tickets), WORKER);
    amt_tickets_drop(tickets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_keytab_that_is_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_keytab_that_others_may_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_keytab_of_somebody_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_keytab_that_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_principal_is_looked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_kdc_that_nobody_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_outage_is_of_its_domain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_holders, set_up, tear_down),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
