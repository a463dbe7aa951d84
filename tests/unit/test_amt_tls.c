/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the AMT client believes, and that it shows no credentials to anybody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <apr_time.h>
#include <cmocka.h>

#include "amt/http/trust_priv.h"
#include "amt_certificate.h"
#include "amt_rig.h"

#define DAY (24L * 60 * 60)

static char folder[] = "/tmp/amtunlock-tls-XXXXXX";
static char ca_file[sizeof(folder) + 16];
static char other_ca_file[sizeof(folder) + 16];
static char crl_file[sizeof(folder) + 16];
static char own_file[sizeof(folder) + 16];
static char key_file[sizeof(folder) + 16];
static certificate_t authority;
static certificate_t other_authority;

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", folder);
    snprintf(other_ca_file, sizeof(other_ca_file), "%s/other.pem", folder);
    snprintf(crl_file, sizeof(crl_file), "%s/crl.pem", folder);
    snprintf(own_file, sizeof(own_file), "%s/own.pem", folder);
    snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
    certificate_make(&authority, "Test CA", NULL, -DAY, DAY);
    certificate_make(&other_authority, "Other CA", NULL, -DAY, DAY);
    certificate_save(&authority, ca_file);
    certificate_save(&other_authority, other_ca_file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certificate_free(&authority);
    certificate_free(&other_authority);
    unlink(ca_file);
    unlink(other_ca_file);
    unlink(crl_file);
    unlink(own_file);
    unlink(key_file);
    rmdir(folder);
    return 0;
}

static const peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static certificate_break_e breaks_off; /* 0: it does not */
static int minor_seen;                 /* of the version of TLS */

/* Reads the power state of a device with this certificate; status and text are left in *rig. Returns how many
 * requests the device got to read. */
static int try_device(rig_t *rig, const certificate_t *certificate, int max_version,
                      const amt_target_t *trust)
{
    SSL_CTX *ctx = certificate_server(certificate, max_version);
    amt_facts_t facts;
    int requests;

    if (breaks_off) {
        certificate_break_tls13(ctx, breaks_off);
    }
    rig_up_tls(rig, rows, ROWS, ctx, trust);
    rig_read_power(rig, &facts);
    requests = peer_requests(rig->peer, NULL);
    minor_seen = amt_device_tls_minor(rig->device);
    rig_down(rig);
    SSL_CTX_free(ctx);
    return requests;
}

static const amt_target_t by_ca = {.tls = AMT_TLS_CA, .ca_file = ca_file};

static void test_trusted(void **state)
{
    certificate_t device;
    rig_t rig;

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    assert_int_equal(try_device(&rig, &device, 0, &by_ca), 2);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(try_device(&rig, &device, TLS1_2_VERSION, &by_ca), 2);
    assert_int_equal(rig.status, AMT_OK);
    certificate_free(&device);
}

/* Every certificate that a bundle does not vouch for: nothing is sent to its owner. */
static void test_untrusted(void **state)
{
    static const struct {
        const char *name;
        certificate_t *issuer;
        long from, until;
        const char *said;
    } cases[] = {
        {RIG_FQDN, &other_authority, -DAY, DAY, "issuer"},
        {"pc2.example.com", &authority, -DAY, DAY, RIG_FQDN},
        {RIG_FQDN, &authority, -2 * DAY, -DAY, "expired"},
        {RIG_FQDN, &authority, DAY, 2 * DAY, "not yet valid"},
        {RIG_FQDN, NULL, -DAY, DAY, "self"},
    };
    amt_tls_e kinds[] = {AMT_TLS_CA, AMT_TLS_LEGACY};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        amt_target_t trust = {.tls = kinds[i % 2], .ca_file = ca_file};
        certificate_t device;
        rig_t rig;

        certificate_make(&device, cases[i / 2].name, cases[i / 2].issuer, cases[i / 2].from,
                         cases[i / 2].until);
        assert_int_equal(try_device(&rig, &device, 0, &trust), 0);
        assert_int_equal(rig.status, AMT_TLS_UNTRUSTED);
        assert_int_equal(rig.acted, 0);
        assert_non_null(strstr(rig.text, cases[i / 2].said));
        certificate_free(&device);
    }
}

static void test_bundle_that_cannot_be_read(void **state)
{
    amt_target_t trust = {.tls = AMT_TLS_CA, .ca_file = "/nonexistent/ca.pem"};
    certificate_t device;
    rig_t rig;

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    assert_int_equal(try_device(&rig, &device, 0, &trust), 0);
    assert_int_equal(rig.status, AMT_TLS_UNTRUSTED);
    assert_non_null(strstr(rig.text, "/nonexistent/ca.pem"));
    certificate_free(&device);
}

/* Cut within a certificate. */
static void cut_in_half(const char *file)
{
    struct stat info;

    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(truncate(file, info.st_size / 2), 0);
}

/* An editor or a copy is at it: what it held before counts, for a loop that never read it, too. */
static void test_bundle_that_is_half_written(void **state)
{
    char bundle[sizeof(ca_file) + 8], list[sizeof(ca_file) + 8];
    const amt_target_t trust = {.tls = AMT_TLS_CA, .ca_file = bundle, .crl_file = list};
    certificate_t device;
    rig_t rig;

    (void)state;
    snprintf(bundle, sizeof(bundle), "%s.half", ca_file);
    snprintf(list, sizeof(list), "%s.half", crl_file);
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    certificate_save(&authority, bundle);
    certificate_save_crl(&authority, NULL, -DAY, DAY, list);
    assert_int_equal(try_device(&rig, &device, 0, &trust), 2);
    cut_in_half(bundle);
    assert_int_equal(try_device(&rig, &device, 0, &trust), 2);
    cut_in_half(list);
    assert_int_equal(try_device(&rig, &device, 0, &trust), 2);
    assert_int_equal(unlink(list), 0);
    assert_int_equal(try_device(&rig, &device, 0, &trust), 2);
    certificate_save(&other_authority, bundle);
    certificate_save_crl(&other_authority, NULL, -DAY, DAY, list);
    assert_int_equal(try_device(&rig, &device, 0, &trust), 0);
    assert_int_equal(rig.status, AMT_TLS_UNTRUSTED);
    unlink(bundle);
    unlink(list);
    certificate_free(&device);
}

static X509_STORE *store_of(amt_trusts_t *trusts, const amt_target_t *target)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const char *bad = NULL;
    amt_trust_t *trust = amt_trust_find(trusts, target, &bad);
    X509_STORE *store = NULL;

    assert_non_null(trust);
    assert_true(amt_trust_use(trust, ctx));
    store = SSL_CTX_get_cert_store(ctx);
    SSL_CTX_free(ctx);
    return store; /* the trust has it, too */
}

/* One that could be parsed may still be the beginning of a longer one: it is read two seconds later. */
static void test_bundle_that_settles(void **state)
{
    char bundle[sizeof(ca_file) + 8];
    const amt_target_t target = {.tls = AMT_TLS_CA, .ca_file = bundle};
    apr_pool_t *pool = NULL;
    amt_trusts_t *trusts = NULL;
    X509_STORE *first = NULL;
    apr_time_t saved = 0;
    const X509_STORE *seen = NULL;
    int rounds = 0;

    (void)state;
    snprintf(bundle, sizeof(bundle), "%s.young", ca_file);
    setenv("AMTUNLOCK_TEST_TRUST_MS", "20", 1);
    apr_pool_create(&pool, NULL);
    trusts = amt_trusts_create(pool);
    certificate_save(&authority, bundle);
    first = store_of(trusts, &target);
    assert_true(X509_STORE_up_ref(first)); /* no later one has its address */
    apr_sleep(apr_time_from_msec(30));
    saved = apr_time_now();
    certificate_save(&other_authority, bundle);
    seen = store_of(trusts, &target);
    assert_true(seen == first ||
                apr_time_now() - saved > apr_time_from_sec(1)); /* a machine may be that busy */
    while (store_of(trusts, &target) == first && rounds++ < 500) {
        apr_sleep(apr_time_from_msec(20));
    }
    assert_ptr_not_equal(store_of(trusts, &target), first);
    X509_STORE_free(first);
    unsetenv("AMTUNLOCK_TEST_TRUST_MS");
    unlink(bundle);
    apr_pool_destroy(pool);
}

/* What the list says, and that there must be a current one of the issuer. */
static void test_revocation(void **state)
{
    const amt_target_t trust = {.tls = AMT_TLS_CA, .ca_file = ca_file, .crl_file = crl_file};
    certificate_t device, other;
    const struct {
        const certificate_t *issuer, *revoked;
        long until;
        const char *said; /* NULL: trusted */
    } cases[] = {
        {&authority, NULL, DAY, NULL},
        {&authority, &other, DAY, NULL},
        {&authority, &device, DAY, "revoked"},
        {&authority, NULL, -DAY / 2, "expired"},
        {&other_authority, NULL, DAY, "unable to get certificate CRL"},
    };

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    certificate_make(&other, RIG_FQDN, &authority, -DAY, DAY);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_t rig;

        certificate_save_crl(cases[i].issuer, cases[i].revoked, -DAY, cases[i].until, crl_file);
        assert_int_equal(try_device(&rig, &device, 0, &trust), cases[i].said ? 0 : 2);
        assert_int_equal(rig.status, cases[i].said ? AMT_TLS_UNTRUSTED : AMT_OK);
        assert_non_null(strstr(rig.text, cases[i].said ? cases[i].said : ""));
    }
    certificate_free(&device);
    certificate_free(&other);
}

/* ---- mutual TLS ------------------------------------------------------------------------------ */

/* As try_device(), with a device that wants a certificate of `authority`. */
static int try_mutual(rig_t *rig, const certificate_t *device, int version, const amt_target_t *trust)
{
    SSL_CTX *ctx = certificate_server(device, version);
    amt_facts_t facts;
    int requests;

    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"device", 6);
    assert_int_equal(SSL_CTX_load_verify_file(ctx, ca_file), 1);
    rig_up_tls(rig, rows, ROWS, ctx, trust);
    rig_read_power(rig, &facts);
    requests = peer_requests(rig->peer, NULL);
    rig_down(rig);
    SSL_CTX_free(ctx);
    return requests;
}

static void test_mutual(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    char pin[65];
    amt_target_t trusts[] = {by_ca, {.tls = AMT_TLS_PIN, .pin = pin}};
    certificate_t device, good, bad;

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    certificate_make(&good, "worker", &authority, -DAY, DAY);
    certificate_make(&bad, "worker", &other_authority, -DAY, DAY);
    certificate_pin(pin, &device);
    for (size_t i = 0; i < 4; i++) {
        amt_target_t trust = trusts[i / 2];
        int version = versions[i % 2];
        rig_t rig;

        assert_int_equal(try_mutual(&rig, &device, version, &trust), 0);
        assert_int_equal(rig.status, AMT_TLS_UNTRUSTED);
        assert_non_null(strstr(rig.text, "none is set (tls-certificate"));

        trust.certificate_file = own_file;
        trust.key_file = key_file;
        certificate_save(&bad, own_file);
        certificate_save_key(&bad, key_file);
        assert_int_equal(try_mutual(&rig, &device, version, &trust), 0);
        /* TLS 1.3 says it after the handshake, when the line may be cut already. */
        assert_true(rig.status == AMT_TLS_UNTRUSTED ||
                    (version == TLS1_3_VERSION && rig.status == AMT_BROKEN));
        assert_true(rig.status == AMT_BROKEN || strstr(rig.text, "it must trust tls-certificate"));

        certificate_save(&good, own_file);
        certificate_save_key(&good, key_file);
        assert_int_equal(try_mutual(&rig, &device, version, &trust), 2);
        assert_string_equal(rig.text, "");
    }
    certificate_free(&device);
    certificate_free(&good);
    certificate_free(&bad);
}

/* ---- files of ours --------------------------------------------------------------------------- */

static void say_check(const amt_target_t *files, const char *said)
{
    apr_pool_t *pool;
    const char *error;

    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    error = amt_trust_check(files, pool);
    if (said) {
        assert_non_null(error);
        assert_non_null(strstr(error, said));
    }
    else {
        assert_null(error);
    }
    apr_pool_destroy(pool);
}

static void test_files_are_checked(void **state)
{
    certificate_t own, other;
    const amt_target_t all = {
        .ca_file = ca_file, .crl_file = crl_file, .certificate_file = own_file, .key_file = key_file};
    const amt_target_t no_key = {.ca_file = ca_file, .certificate_file = own_file};
    const amt_target_t no_list = {.ca_file = ca_file, .crl_file = ca_file};
    const amt_target_t no_bundle = {.ca_file = crl_file};
    const amt_target_t no_certificate = {.certificate_file = key_file, .key_file = key_file};
    const amt_target_t nowhere = {.ca_file = "/nonexistent/ca.pem"};

    (void)state;
    certificate_make(&own, "worker", &authority, -DAY, DAY);
    certificate_make(&other, "worker", &authority, -DAY, DAY);
    certificate_save(&own, own_file);
    certificate_save_key(&own, key_file);
    certificate_save_crl(&authority, NULL, -DAY, DAY, crl_file);

    say_check(&all, NULL);
    say_check(&(amt_target_t){.ca_file = ca_file}, NULL);
    say_check(&(amt_target_t){.ca_file = NULL}, NULL);
    say_check(&no_key, "together");
    say_check(&no_list, "crl-file");
    say_check(&no_bundle, "ca-file");
    say_check(&no_certificate, "tls-certificate");
    say_check(&nowhere, "ca-file /nonexistent/ca.pem");
    assert_int_equal(chmod(key_file, 0640), 0);
    say_check(&all, "chmod 0600");
    certificate_save_key(&other, key_file);
    say_check(&all, "tls-key");
    certificate_free(&own);
    certificate_free(&other);
}

/* Name, dates and issuer do not matter to a pin. */
static void test_pinned(void **state)
{
    char pin[65];
    amt_target_t trust = {.tls = AMT_TLS_PIN, .pin = pin};
    certificate_t device;
    rig_t rig;

    (void)state;
    certificate_make(&device, "unset", NULL, -2 * DAY, -DAY);
    certificate_pin(pin, &device);
    assert_int_equal(try_device(&rig, &device, 0, &trust), 2);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    certificate_free(&device);
}

/* Right name, trusted issuer, but not the pinned one. */
static void test_not_the_pinned_one(void **state)
{
    char pin[65];
    char shown[65];
    amt_target_t trust = {.tls = AMT_TLS_PIN, .pin = pin, .ca_file = ca_file};
    certificate_t pinned;
    certificate_t device;
    rig_t rig;

    (void)state;
    certificate_make(&pinned, RIG_FQDN, &authority, -DAY, DAY);
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    certificate_pin(pin, &pinned);
    certificate_pin(shown, &device);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_int_equal(try_device(&rig, &device, version, &trust), 0);
        assert_int_equal(rig.status, AMT_TLS_UNTRUSTED);
        assert_non_null(strstr(rig.text, shown));
    }
    certificate_free(&pinned);
    certificate_free(&device);
}

static void test_old_versions_only_where_allowed(void **state)
{
    amt_target_t legacy = {.tls = AMT_TLS_LEGACY, .ca_file = ca_file};
    certificate_t device;
    rig_t rig;

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    for (int version = TLS1_VERSION; version <= TLS1_1_VERSION; version++) {
        assert_int_equal(try_device(&rig, &device, version, &by_ca), 0);
        assert_int_equal(rig.status, AMT_TLS_UNTRUSTED);
        assert_non_null(strstr(rig.text, "legacy"));
        assert_int_equal(minor_seen, -1);
        assert_int_equal(try_device(&rig, &device, version, &legacy), 2);
        assert_string_equal(rig.text, "");
        assert_int_equal(rig.status, AMT_OK);
        assert_int_equal(minor_seen, version - TLS1_VERSION);
    }
    certificate_free(&device);
}

/* Firmware that speaks TLS 1.2, and breaks off where 1.3 is offered. */
static void test_firmware_that_breaks_off_tls13(void **state)
{
    static const amt_target_t capped = {.tls = AMT_TLS_CA, .ca_file = ca_file, .tls_max = 2};
    static const char hint[] = "firmware that breaks off TLS 1.3 needs tls-max = 1.2";
    certificate_t device;
    rig_t rig;

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    for (certificate_break_e how = BREAKS_WITH_ALERT; how <= BREAKS_LATE; how++) {
        breaks_off = how;
        assert_int_equal(try_device(&rig, &device, 0, &by_ca), 0);
        assert_int_not_equal(rig.status, AMT_OK);
        assert_non_null(strstr(rig.text, hint));
        assert_int_equal(rig.silent, 0);
        assert_int_equal(try_device(&rig, &device, 0, &capped), 2);
        assert_string_equal(rig.text, "");
        assert_int_equal(rig.status, AMT_OK);
        assert_int_equal(minor_seen, 2);
    }
    breaks_off = 0;
    assert_int_equal(try_device(&rig, &device, TLS1_1_VERSION, &capped), 0);
    assert_null(strstr(rig.text, hint));
    certificate_free(&device);
}

/* No certificate was wrong where none was seen. */
static void test_line_that_breaks_in_the_handshake(void **state)
{
    static const char *const greetings[] = {"", "HTTP/1.1 400 Bad Request\r\n\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
        amt_facts_t facts;
        amt_target_t target;
        peer_t *greeter;
        rig_t rig;

        rig_up(&rig, NULL, 0);
        greeter = peer_start_greeter(greetings[i]);
        amt_device_destroy(rig.device);
        target = rig.target;
        target.tls = AMT_TLS_CA;
        target.ca_file = ca_file;
        target.address = peer_address(greeter);
        assert_int_equal(amt_device_create(&rig.device, rig.loop, &target, rig.pool), APR_SUCCESS);
        rig_read_power(&rig, &facts);
        assert_int_equal(rig.status, AMT_UNREACHABLE);
        assert_non_null(strstr(rig.text, "did not complete a TLS handshake"));
        peer_stop(greeter);
        rig_down(&rig);
    }
}

/* The 401 closes the connection; the next one resumes the session, however the peer was trusted. */
static void test_session_is_taken_up(void **state)
{
    char pin[65];
    amt_target_t trusts[] = {by_ca, {.tls = AMT_TLS_PIN, .pin = pin}};
    certificate_t device;

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    certificate_pin(pin, &device);
    for (size_t i = 0; i < sizeof(trusts) / sizeof(trusts[0]); i++) {
        SSL_CTX *ctx = certificate_server(&device, TLS1_2_VERSION);
        amt_facts_t facts;
        rig_t rig;

        rig_up_tls(&rig, rows, ROWS, ctx, &trusts[i]);
        rig_read_power(&rig, &facts);
        assert_int_equal(rig.status, AMT_OK);
        assert_int_equal(peer_connections(rig.peer), 2);
        assert_int_equal(SSL_CTX_sess_hits(ctx), 1);
        rig_down(&rig);
        SSL_CTX_free(ctx);
    }
    certificate_free(&device);
}

/* ---- what is said in the hello
 * ------------------------------------------------------------------------------ */

typedef struct {
    char name[256];
    int alpn;
} hello_t;

static int note_hello(SSL *ssl, int *alert, void *baton)
{
    hello_t *hello = baton;
    const unsigned char *bytes;
    size_t length;

    *alert = SSL_AD_INTERNAL_ERROR;
    hello->alpn =
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &bytes, &length);
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &length) && length > 5) {
        snprintf(hello->name, sizeof(hello->name), "%.*s", (int)(length - 5), (const char *)bytes + 5);
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

static void test_hello_names_the_fqdn(void **state)
{
    hello_t hello = {"", 1};
    certificate_t device;
    amt_facts_t facts;
    SSL_CTX *ctx;
    rig_t rig;

    (void)state;
    certificate_make(&device, RIG_FQDN, &authority, -DAY, DAY);
    ctx = certificate_server(&device, 0);
    SSL_CTX_set_client_hello_cb(ctx, note_hello, &hello);
    rig_up_tls(&rig, rows, ROWS, ctx, &by_ca);
    rig_read_power(&rig, &facts);
    assert_int_equal(rig.status, AMT_OK);
    rig_down(&rig);
    assert_string_equal(hello.name, RIG_FQDN);
    assert_int_equal(hello.alpn, 0);
    SSL_CTX_free(ctx);
    certificate_free(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trusted),
        cmocka_unit_test(test_bundle_that_is_half_written),
        cmocka_unit_test(test_bundle_that_settles),
        cmocka_unit_test(test_untrusted),
        cmocka_unit_test(test_bundle_that_cannot_be_read),
        cmocka_unit_test(test_revocation),
        cmocka_unit_test(test_mutual),
        cmocka_unit_test(test_files_are_checked),
        cmocka_unit_test(test_pinned),
        cmocka_unit_test(test_not_the_pinned_one),
        cmocka_unit_test(test_old_versions_only_where_allowed),
        cmocka_unit_test(test_firmware_that_breaks_off_tls13),
        cmocka_unit_test(test_line_that_breaks_in_the_handshake),
        cmocka_unit_test(test_session_is_taken_up),
        cmocka_unit_test(test_hello_names_the_fqdn),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
