/* SPDX-License-Identifier: Apache-2.0 */
/* What a check says of a PC, for everything that may be seen of one: which subjects, how bad, and the reason
 * that an unlock would end with. */
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

#include "amt_certificate.h"
#include "preflight/findings_priv.h"

#define UUID "4c4c4544-0044-4a10-8058-b4c04f4a4a32"
#define OTHER_UUID "00000000-0044-4a10-8058-b4c04f4a4a32"
#define BIT(realm) ((apr_uint32_t)1 << (realm))

typedef struct {
    apr_pool_t *pool;
    char folder[64];
    snapshot_t *snapshot;
} fixture_t;

static void write_file(const fixture_t *fixture, const char *name, const char *text)
{
    const char *path = apr_pstrcat(fixture->pool, fixture->folder, "/", name, NULL);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
}

static int set_up(void **state)
{
    apr_pool_t *pool = NULL;
    certificate_t authority;
    fixture_t *fixture = NULL;
    apr_array_header_t *problems = NULL;
    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    problems = apr_array_make(pool, 4, sizeof(inventory_problem_t));

    fixture->pool = pool;
    apr_cpystrn(fixture->folder, "/tmp/amtu-findings-XXXXXX", sizeof(fixture->folder));
    assert_non_null(mkdtemp(fixture->folder));
    write_file(fixture, "secrets", "amt * user password\n");
    certificate_make(&authority, "Test CA", NULL, -3600, 3600);
    certificate_save(&authority, apr_pstrcat(pool, fixture->folder, "/ca.pem", NULL));
    certificate_free(&authority);
    write_file(fixture, "systems.csv",
               "fqdn,address,uuid,group,method,auth,tls,probe\n"
               "wake.test,192.0.2.1," UUID ",,wake,digest,ca,22\n"
               "sol.test,192.0.2.2,,typing,sol,digest,ca,22\n"
               "bare.test,192.0.2.3,,,sol,digest,ca,\n"
               "plain.test,192.0.2.4,,,sol,digest,none,22\n"
               "old.test,192.0.2.5,,,wake,digest,legacy,22\n"
               "named.test,,,,wake,digest,ca,22\n");
    write_file(fixture, "conf",
               apr_psprintf(pool,
                            "[redis]\naddress = unix:/nowhere\npassword-file =\n[worker]\n"
                            "inventory = %s/systems.csv\nsecrets = file:%s/secrets\nca-file = %s/ca.pem\n"
                            "audit = %s/audit\nstate-dir = %s\n[group typing]\ntype-running = yes\n",
                            fixture->folder, fixture->folder, fixture->folder, fixture->folder,
                            fixture->folder));
    fixture->snapshot = snapshot_load(apr_pstrcat(pool, fixture->folder, "/conf", NULL), problems, pool);
    for (int i = 0; i < problems->nelts; i++) {
        print_error("%s\n", APR_ARRAY_IDX(problems, i, inventory_problem_t).reason);
    }
    *state = fixture;
    return fixture->snapshot ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"secrets", "ca.pem", "systems.csv", "conf"};
    fixture_t *fixture = *state;

    snapshot_unref(fixture->snapshot);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unlink(apr_pstrcat(fixture->pool, fixture->folder, "/", names[i], NULL));
    }
    rmdir(fixture->folder);
    apr_pool_destroy(fixture->pool);
    return 0;
}

/* A PC that is off, with nothing wrong, seen by an account with just what it needs. */
static facts_t healthy(const fixture_t *fixture, const char *system)
{
    facts_t facts = {.snapshot = fixture->snapshot,
                     .system = inventory_find(snapshot_inventory(fixture->snapshot), system),
                     .login_source = "file:x",
                     .amt.identity = {.version = "16.1.30", .major = 16},
                     .amt.consent = {.control_mode = 2, .opt_in_required = 0, .opt_in_state = 0},
                     .amt.redirection = {.state = AMT_REDIRECTION_BOTH, .listener = 1},
                     .amt.capabilities = {.storage = 1, .sol = 1},
                     .amt.power = {.state = 8, .on_available = 1},
                     .capabilities_known = 1,
                     .account_asked = 1,
                     .tls_minor = 2};

    assert_non_null(facts.system);
    apr_cpystrn(facts.amt.identity.uuid, facts.system->uuid != NULL ? facts.system->uuid : OTHER_UUID,
                sizeof(facts.amt.identity.uuid));
    apr_cpystrn(facts.address, "192.0.2.9", sizeof(facts.address));
    facts.addresses = facts.probe_addresses = (resolve_addresses_t){.count = 1, .text = {"192.0.2.9"}};
    for (int kind = 0; kind < AMT_READS; kind++) {
        facts.asked[kind] = 1;
        facts.results[kind] = (amt_result_t){.status = AMT_OK, .text = ""};
    }
    return facts;
}

/* What is not "ok", as "account! amt-fault, boot?", and the end as its last letter: a(cts), l(ooks), e(nds).
 */
static const char *judge_run(const dry_run_t *dry_run, apr_pool_t *pool)
{
    static const char ends[] = {[DRY_RUN_ACTS] = 'a', [DRY_RUN_LOOKS] = 'l', [DRY_RUN_ENDS] = 'e'};
    const apr_array_header_t *findings = findings_of(dry_run->facts, dry_run, pool);
    const char *text = "";
    int last = 0;

    for (int i = 0; i < findings->nelts; i++) {
        const finding_t *finding = &APR_ARRAY_IDX(findings, i, finding_t);

        assert_true((int)finding->subject >= last);
        assert_true((finding->level == FINDING_FAILED) == (finding->reason != JOBS_REASON_NONE));
        assert_true(finding->text[0] != '\0');
        last = finding->subject;
        if (finding->level == FINDING_WARNING) {
            text = apr_pstrcat(pool, text, finding_subject_name(finding->subject), "? ", NULL);
        }
        if (finding->level == FINDING_FAILED) {
            text = apr_pstrcat(pool, text, finding_subject_name(finding->subject), "! ",
                               jobs_reason(finding->reason)->code, " ", NULL);
        }
    }
    return apr_psprintf(pool, "%s%c", text, ends[dry_run->end]);
}

static const char *judge(const facts_t *facts, apr_pool_t *pool)
{
    return judge_run(dry_run_make(facts, pool), pool);
}

static void read_ends(facts_t *facts, amt_read_e kind, amt_status_e status, int denied)
{
    facts->results[kind] = (amt_result_t){.status = status, .text = "as the test says", .denied = denied};
}

/* The first read got no answer, so there was no other. */
static void nothing_after(facts_t *facts, amt_status_e status)
{
    memset(facts->asked, 0, sizeof(facts->asked));
    facts->asked[AMT_READ_IDENTITY] = 1;
    read_ends(facts, AMT_READ_IDENTITY, status, 0);
    facts->account_asked = 0;
    facts->tls_minor = -1;
}

typedef void (*change_fn)(facts_t *facts);

static void nothing(facts_t *facts)
{
    (void)facts;
}

static void unreachable(facts_t *facts)
{
    nothing_after(facts, AMT_UNREACHABLE);
}

static void untrusted(facts_t *facts)
{
    nothing_after(facts, AMT_TLS_UNTRUSTED);
}

static void refused_login(facts_t *facts)
{
    nothing_after(facts, AMT_AUTH_FAILED);
}

static void no_ticket(facts_t *facts)
{
    nothing_after(facts, AMT_NO_TICKET);
}

static void garbage(facts_t *facts)
{
    nothing_after(facts, AMT_GARBAGE);
}

static void no_address(facts_t *facts)
{
    facts->resolve = (facts_work_t){JOBS_REASON_UNREACHABLE, "no such name"};
    facts->address[0] = '\0';
    facts->addresses.count = facts->probe_addresses.count = 0;
    memset(facts->asked, 0, sizeof(facts->asked));
    facts->account_asked = 0;
    facts->tls_minor = -1;
}

static void no_login(facts_t *facts)
{
    facts->login = (facts_work_t){JOBS_REASON_NO_SECRET, "none"};
    memset(facts->asked, 0, sizeof(facts->asked));
    facts->account_asked = 0;
    facts->tls_minor = -1;
}

static void no_passphrase(facts_t *facts)
{
    facts->passphrase = (facts_work_t){JOBS_REASON_NO_SECRET, "none"};
}

static void other_pc(facts_t *facts)
{
    apr_cpystrn(facts->amt.identity.uuid, OTHER_UUID, sizeof(facts->amt.identity.uuid));
}

static void pc_of_another_line(facts_t *facts)
{
    apr_cpystrn(facts->amt.identity.uuid, UUID, sizeof(facts->amt.identity.uuid));
}

static void pc_of_another_line_swapped(facts_t *facts)
{
    inventory_uuid_swap(UUID, facts->amt.identity.uuid);
}

static void no_uuid(facts_t *facts)
{
    apr_cpystrn(facts->amt.identity.uuid, "00000000-0000-0000-0000-000000000000",
                sizeof(facts->amt.identity.uuid));
}

static void uuid_of_a_board(facts_t *facts)
{
    apr_cpystrn(facts->amt.identity.uuid, "03000200-0400-0500-0006-000700080009",
                sizeof(facts->amt.identity.uuid));
}

static void old_tls(facts_t *facts)
{
    facts->tls_minor = 1;
}

static void open_firmware(facts_t *facts)
{
    apr_cpystrn(facts->amt.identity.version, "11.8.50", sizeof(facts->amt.identity.version));
}

static void old_firmware(facts_t *facts)
{
    apr_cpystrn(facts->amt.identity.version, "9.5.62", sizeof(facts->amt.identity.version));
}

static void odd_firmware(facts_t *facts)
{
    apr_cpystrn(facts->amt.identity.version, "12", sizeof(facts->amt.identity.version));
}

/* Without General Info, where firmware lets the UUID be read all the same. */
static void hidden_version(facts_t *facts)
{
    facts->amt.identity.version[0] = '\0';
}

static void denied_identity(facts_t *facts)
{
    memset(&facts->amt.identity, 0, sizeof(facts->amt.identity));
    read_ends(facts, AMT_READ_IDENTITY, AMT_REFUSED, 1);
}

static void denied_boot(facts_t *facts)
{
    read_ends(facts, AMT_READ_BOOT, AMT_REFUSED, 1);
}

static void denied_capabilities_too(facts_t *facts)
{
    denied_boot(facts);
    facts->amt.capabilities = (amt_capabilities_t){0, 0};
    read_ends(facts, AMT_READ_CAPABILITIES, AMT_REFUSED, 1);
}

static void denied_redirection(facts_t *facts)
{
    read_ends(facts, AMT_READ_REDIRECTION, AMT_REFUSED, 1);
}

static void broken_redirection(facts_t *facts)
{
    read_ends(facts, AMT_READ_REDIRECTION, AMT_REFUSED, 0);
}

static void silent_later(facts_t *facts)
{
    read_ends(facts, AMT_READ_BOOT, AMT_TIMEOUT, 0);
    facts->asked[AMT_READ_POWER] = 0;
    facts->account_asked = 0;
}

static void administrator(facts_t *facts)
{
    facts->account = (amt_account_t){.lists = 1, .administrator = 1};
}

static void lists_only(facts_t *facts)
{
    facts->account = (amt_account_t){.lists = 1};
}

static void listed(facts_t *facts, apr_uint32_t realms)
{
    facts->account = (amt_account_t){.lists = 1, .found = 1, .realms = realms};
}

static void just_right(facts_t *facts)
{
    listed(facts, BIT(2) | BIT(5) | BIT(13));
}

static void too_many(facts_t *facts)
{
    listed(facts, BIT(2) | BIT(5) | BIT(13) | BIT(19));
}

static void listed_without_redirection(facts_t *facts)
{
    listed(facts, BIT(5) | BIT(13));
}

static void listed_without_control(facts_t *facts)
{
    listed(facts, BIT(2) | BIT(13));
    denied_boot(facts);
}

static void listed_without_info(facts_t *facts)
{
    listed(facts, BIT(2) | BIT(5));
}

/* Who may do everything lacks nothing, unless it was denied. */
static void administration_only(facts_t *facts)
{
    listed(facts, BIT(3));
}

static void administration_denied(facts_t *facts)
{
    listed(facts, BIT(3));
    denied_redirection(facts);
}

static void consent(facts_t *facts)
{
    facts->amt.consent = (amt_consent_t){1, 0xffffffffU, 0, 1};
}

static void consent_given(facts_t *facts)
{
    facts->amt.consent = (amt_consent_t){1, 0xffffffffU, 3, 0};
}

static void consent_unknown(facts_t *facts)
{
    facts->amt.consent = (amt_consent_t){.control_mode = -1, .opt_in_state = -1};
}

static void no_console(facts_t *facts)
{
    facts->amt.capabilities.sol = 0;
}

static void overridden(facts_t *facts)
{
    facts->amt.boot = (amt_boot_t){1, "UseIDER"};
}

static void all_obstacles(facts_t *facts)
{
    consent(facts);
    no_console(facts);
    overridden(facts);
}

static void no_offer(facts_t *facts)
{
    facts->amt.power.on_available = 0;
}

static void unknown_offer(facts_t *facts)
{
    facts->amt.power.on_available = -1;
}

static void unclear(facts_t *facts)
{
    facts->amt.power.state = 10;
}

static void off_and_open(facts_t *facts)
{
    facts->probe_open = 1;
}

static void runs(facts_t *facts)
{
    facts->amt.power.state = 2;
}

static void runs_and_open(facts_t *facts)
{
    runs(facts);
    facts->probe_open = 1;
}

static void runs_switched_off(facts_t *facts)
{
    runs(facts);
    facts->amt.redirection.listener = 0;
}

static void asleep(facts_t *facts)
{
    facts->amt.power.state = 4;
}

static void switched_off(facts_t *facts)
{
    facts->amt.redirection = (amt_redirection_t){AMT_REDIRECTION_OFF, 0};
}

static const struct {
    const char *system;
    change_fn change;
    const char *expected;
} rows[] = {
    {"wake.test", nothing, "a"},
    {"sol.test", nothing, "a"},
    {"bare.test", nothing, "probe? a"},
    {"wake.test", unreachable, "address! unreachable e"},
    {"wake.test", untrusted, "tls! tls-untrusted e"},
    {"wake.test", refused_login, "login! auth-failed e"},
    {"wake.test", no_ticket, "login! auth-failed e"},
    {"wake.test", garbage, "identity! amt-fault e"},
    {"named.test", nothing, "a"},
    {"named.test", no_address, "address! unreachable e"},
    {"wake.test", no_login, "login! no-secret e"},
    {"wake.test", no_passphrase, "a"},
    {"sol.test", no_passphrase, "passphrase! no-secret a"},
    {"wake.test", other_pc, "identity! not-verified e"},
    {"sol.test", other_pc, "a"}, /* the inventory has none */
    {"sol.test", pc_of_another_line, "identity! not-verified e"},
    {"sol.test", pc_of_another_line_swapped, "identity! not-verified e"},
    {"wake.test", pc_of_another_line_swapped, "a"}, /* its own, as another tool writes it */
    {"wake.test", no_uuid, "identity? identity! not-verified e"},
    {"sol.test", no_uuid, "identity? a"},
    {"sol.test", uuid_of_a_board, "identity? a"},
    {"plain.test", nothing, "tls? tls! tls-untrusted e"},
    {"old.test", nothing, "tls? a"},
    {"old.test", old_tls, "tls? a"},
    {"wake.test", open_firmware, "firmware? a"},
    {"wake.test", old_firmware, "firmware? a"},
    {"wake.test", odd_firmware, "firmware? a"},
    {"wake.test", hidden_version, "firmware? account? a"},
    {"wake.test", denied_identity, "identity! amt-fault account? e"},
    {"wake.test", denied_boot, "account! amt-fault e"},
    {"sol.test", denied_boot, "account! amt-fault e"},
    {"sol.test", denied_capabilities_too, "account! amt-fault e"},
    {"sol.test", denied_redirection, "account! amt-fault e"},
    {"wake.test", denied_redirection, "a"},
    {"sol.test", broken_redirection, "redirection! amt-fault e"},
    {"sol.test", silent_later, "boot! timeout e"},
    {"sol.test", administrator, "account? a"},
    {"sol.test", lists_only, "account? a"},
    {"sol.test", just_right, "a"},
    {"wake.test", just_right, "account? a"}, /* no sessions, no Redirection */
    {"sol.test", too_many, "account? a"},
    {"sol.test", listed_without_redirection, "account! amt-fault a"},
    {"wake.test", listed_without_redirection, "a"},
    {"sol.test", listed_without_control, "account! amt-fault e"},
    {"sol.test", listed_without_info, "account? a"},
    {"sol.test", administration_only, "account? a"},
    {"sol.test", administration_denied, "account! amt-fault account? e"},
    {"sol.test", consent, "control! consent-required e"},
    {"wake.test", consent, "a"},
    {"sol.test", consent_given, "control? a"},
    {"sol.test", consent_unknown, "a"},
    {"sol.test", no_console, "boot! amt-fault e"},
    {"sol.test", overridden, "boot! busy e"},
    {"wake.test", overridden, "boot? a"},
    {"sol.test", all_obstacles, "control! consent-required boot! amt-fault boot! busy e"},
    {"wake.test", no_offer, "power! amt-fault e"},
    {"wake.test", unknown_offer, "a"},
    {"wake.test", unclear, "power! amt-fault e"},
    {"wake.test", off_and_open, "probe! not-verified e"},
    {"wake.test", runs, "power! already-on e"},
    {"wake.test", runs_and_open, "e"},
    {"sol.test", runs, "l"},
    {"bare.test", runs, "power! already-on probe? e"},
    {"sol.test", runs_switched_off, "power! already-on e"},
    {"wake.test", asleep, "a"},
    {"sol.test", switched_off, "a"},
};

static void test_rows(void **state)
{
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        facts_t facts = healthy(fixture, rows[i].system);
        const char *judged = NULL;

        rows[i].change(&facts);
        judged = judge(&facts, fixture->pool);
        if (strcmp(judged, rows[i].expected) != 0) {
            fail_msg("row %d, %s: \"%s\", expected \"%s\"", (int)i, rows[i].system, judged, rows[i].expected);
        }
    }
}

/* A plan is made, and nothing is done: what an unlock would set is known from the dry run. */
static void test_a_dry_run_plans(void **state)
{
    fixture_t *fixture = *state;
    facts_t facts = healthy(fixture, "sol.test");
    const dry_run_t *dry_run = NULL;

    switched_off(&facts);
    dry_run = dry_run_make(&facts, fixture->pool);
    assert_int_equal(dry_run->end, DRY_RUN_ACTS);
    assert_int_equal(dry_run->unlock.plan.power, 2);
    assert_int_equal(dry_run->unlock.plan.boot, AMT_START_SOL);
    assert_int_equal(dry_run->unlock.plan.redirection.state, AMT_REDIRECTION_SOL);
    assert_int_equal(dry_run->unlock.plan.redirection_before.state, AMT_REDIRECTION_OFF);
    assert_int_equal(dry_run->unlock.intended, 0);
}

/* Neither a missing passphrase nor plain TLS stands in the way of sessions alone. */
static void test_a_method_that_types_nothing(void **state)
{
    fixture_t *fixture = *state;
    facts_t facts = healthy(fixture, "sol.test");
    dry_run_t *dry_run = dry_run_make(&facts, fixture->pool);
    inventory_system_t system = *facts.system;
    method_t method = *dry_run->unlock.method;

    no_passphrase(&facts);
    system.tls = INVENTORY_TLS_NONE;
    dry_run->unlock.system = &system;
    assert_string_equal(judge_run(dry_run, fixture->pool), "passphrase! no-secret tls! tls-untrusted a");
    method.types = 0;
    dry_run->unlock.method = &method;
    assert_string_equal(judge_run(dry_run, fixture->pool), "a");
}

static void no_drive(facts_t *facts)
{
    facts->amt.capabilities.storage = 0;
}

static void not_asked_for_capabilities(facts_t *facts)
{
    facts->capabilities_known = 0;
}

static void test_the_methods_it_can_have(void **state)
{
#define CONSENT                                                                                              \
    "redirection needs the consent of the user at the PC (client control mode, or consent for all)"
#define UNVERIFIED "a passphrase goes only over verified TLS: give the system tls ca or pin:<sha256>"
    static const struct {
        const char *system;
        change_fn change;
        const char *expected;
    } methods[] = {
        {"sol.test", nothing, "this PC can have sol, image, wake"},
        {"wake.test", nothing, "this PC can have sol, image, wake"},
        {"wake.test", no_drive,
         "this PC can have sol, wake; not image: its firmware says that it cannot boot by storage redirection"},
        {"sol.test", no_console,
         "this PC can have wake; not sol: its firmware says that it has no Serial-over-LAN; not image: its firmware "
         "says that it has no Serial-over-LAN"},
        {"wake.test", consent, "this PC can have wake; not sol: " CONSENT "; not image: " CONSENT},
        {"plain.test", nothing, "this PC can have wake; not sol: " UNVERIFIED "; not image: " UNVERIFIED},
        {"sol.test", overridden, "this PC can have sol, image, wake"},
        {"wake.test", not_asked_for_capabilities, ""},
    };
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        facts_t facts = healthy(fixture, methods[i].system);
        const apr_array_header_t *findings;
        const char *said = "";

        methods[i].change(&facts);
        findings = findings_of(&facts, dry_run_make(&facts, fixture->pool), fixture->pool);
        for (int k = 0; k < findings->nelts; k++) {
            const finding_t *finding = &APR_ARRAY_IDX(findings, k, finding_t);

            said = finding->subject == FINDING_METHODS ? finding->text : said;
        }
        assert_string_equal(said, methods[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_a_dry_run_plans),
        cmocka_unit_test(test_a_method_that_types_nothing),
        cmocka_unit_test(test_the_methods_it_can_have),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
