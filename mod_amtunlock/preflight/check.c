/* SPDX-License-Identifier: Apache-2.0 */
/* See check.h. Collects the facts, one after the other in an event loop of its own, then judges them. */
#include "preflight/check.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/wakeup.h"
#include "jobs/name.h"
#include "preflight/dry_run_priv.h"
#include "preflight/findings_priv.h"
#include "worker/probe.h"
#include "worker/settings/target.h"
#include "worker/work_pool.h"

#define PROBE_WAIT apr_time_from_sec(3)
#define ONE_OF_SEVERAL apr_time_from_msec(2500)
/* For all of it but waking its ME. A PC that answers needs a second or two. */
#define CHECK_LIMIT apr_time_from_sec(50)

typedef struct {
    snapshot_t *snapshot;
    apr_pool_t *pool;
    work_pool_t *work_pool;
    struct event_base *base;
    struct event *wake_event, *limit_event, *pause_event;
    wakeup_t wakeup;
    amt_loop_t *loop;
    amt_device_t *device;
    work_t work;
    probe_t probe;
    secrets_login_t login;
    amt_result_t result; /* of the call that was made last */
    int waiting;
    int expired;
    facts_t facts;
} check_t;

/* ---- waiting ------------------------------------------------------------------------------------------- */

/* Until what was begun is done. 0: the time is over. */
static int check_await(check_t *check)
{
    check->waiting = 1;
    while (check->waiting && !check->expired) {
        event_base_loop(check->base, EVLOOP_ONCE);
    }
    return !check->waiting;
}

static void check_on_wake(evutil_socket_t fd, short what, void *data)
{
    check_t *check = data;

    (void)fd;
    (void)what;
    wakeup_clear(&check->wakeup);
    check->waiting = 0;
}

static void check_on_limit(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    ((check_t *)data)->expired = 1;
}

static void check_on_pause(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    ((check_t *)data)->waiting = 0;
}

static void check_set_timer(struct event *event, apr_interval_time_t after)
{
    const struct timeval wait = {.tv_sec = apr_time_sec(after), .tv_usec = apr_time_usec(after)};

    event_add(event, &wait);
}

static void check_pause(check_t *check, apr_interval_time_t pause)
{
    check_set_timer(check->pause_event, pause);
    check_await(check);
}

/* ---- what the worker itself finds out ------------------------------------------------------------------ */

static void check_on_work_done(work_t *work)
{
    wakeup_signal(&((check_t *)work->owner)->wakeup);
}

/* The results are in check->work. */
static facts_work_t check_work_of(check_t *check, work_kind_e kind, int own, jobs_reason_e reason_of_silence)
{
    static const char late[] = "it took longer than a check may";
    work_t *work = &check->work;

    if (check->expired) { /* the thread may still write to the one before */
        return (facts_work_t){reason_of_silence, late};
    }
    *work = (work_t){.kind = kind,
                     .system = check->facts.system,
                     .snapshot = check->snapshot,
                     .own = own,
                     .done = check_on_work_done,
                     .owner = check};
    if (work_pool_push(check->work_pool, work) != APR_SUCCESS || !check_await(check)) {
        return (facts_work_t){reason_of_silence, late};
    }
    return (facts_work_t){work->reason, apr_pstrdup(check->pool, work->text)};
}

static facts_work_t check_work(check_t *check, work_kind_e kind, jobs_reason_e reason_of_silence)
{
    return check_work_of(check, kind, 0, reason_of_silence);
}

static void use_address(facts_t *facts, int at)
{
    apr_cpystrn(facts->address, facts->addresses.text[at], sizeof(facts->address));
    if (facts->system->probe_host == NULL) {
        facts->probe_addresses.count = 1;
        apr_cpystrn(facts->probe_addresses.text[0], facts->address, RESOLVE_ADDRESS_MAX);
    }
}

/* An address that the inventory gives is used as it is, as in an unlock. */
static void find_address(check_t *check)
{
    facts_t *facts = &check->facts;
    const inventory_system_t *system = facts->system;

    if (system->address != NULL && system->probe_host == NULL) {
        facts->addresses.count = 1;
        apr_cpystrn(facts->addresses.text[0], system->address, sizeof(facts->addresses.text[0]));
        use_address(facts, 0);
        return;
    }
    facts->resolve = check_work(check, WORK_RESOLVE, JOBS_REASON_UNREACHABLE);
    if (facts->resolve.reason == JOBS_REASON_NONE) {
        facts->addresses = check->work.addresses[0];
        facts->probe_addresses = check->work.addresses[1];
        use_address(facts, 0);
    }
    if (!check->expired) {
        work_forget_addresses(&check->work);
    }
}

static void find_login(check_t *check)
{
    facts_t *facts = &check->facts;

    facts->login = check_work(check, WORK_LOGIN, JOBS_REASON_NO_SECRET);
    if (facts->login.reason == JOBS_REASON_NONE) {
        check->login = check->work.login;
        facts->login_source = check->login.source;
    }
}

/* Only whether there is one: `own`, of some volume. */
static int has_passphrase(check_t *check, facts_work_t *found, int own)
{
    *found = check_work_of(check, WORK_PASSPHRASE, own, JOBS_REASON_NO_SECRET);
    if (found->reason == JOBS_REASON_NONE) {
        secrets_free(check->work.passphrase);
        check->work.passphrase = NULL;
    }
    return found->reason == JOBS_REASON_NONE;
}

/* The unlock image has one disk; on a console each volume asks by its name, and may have a passphrase of its own. */
static void find_passphrase(check_t *check)
{
    const method_t *method = method_find(check->facts.system->method);
    facts_t *facts = &check->facts;
    facts_work_t own;

    if (!method->types || has_passphrase(check, &facts->passphrase, 0) || (method->boot & AMT_START_IMAGE)) {
        return;
    }
    if (has_passphrase(check, &own, 1)) {
        facts->passphrase = own;
        facts->volumes_only = 1;
    }
}

/* ---- what the PC says ---------------------------------------------------------------------------------- */

static void check_on_probed(probe_t *probe, int open)
{
    check_t *check = probe->owner;

    check->facts.probe_open = open;
    check->waiting = 0;
}

static void check_try_probe(check_t *check)
{
    const facts_t *facts = &check->facts;

    if (facts->system->probe_port == 0 || facts->probe_addresses.count == 0 || check->expired) {
        return;
    }
    probe_init(&check->probe, check_on_probed, check);
    probe_start(&check->probe, check->base, &facts->probe_addresses, facts->system->probe_port, PROBE_WAIT);
    check_await(check);
    probe_stop(&check->probe);
}

static void check_on_called(void *baton, const amt_result_t *result)
{
    check_t *check = baton;

    check->result = *result;
    check->result.text = apr_pstrdup(check->pool, result->text);
    check->waiting = 0;
}

/* Waits for the call that was just made, and says whether the device still answers. */
static int call_answers(check_t *check)
{
    if (!check_await(check)) {
        check->result = (amt_result_t){.status = AMT_TIMEOUT, .text = "it took longer than a check may"};
    }
    return check->result.status == AMT_OK || check->result.status == AMT_REFUSED;
}

/* In the order of an unlock. */
static void read_device(check_t *check)
{
    static const struct {
        amt_read_e kind;
        int with_sessions; /* other methods do not need it */
    } reads[] = {
        {AMT_READ_IDENTITY, 0}, {AMT_READ_CONSENT, 0}, {AMT_READ_REDIRECTION, 1}, {AMT_READ_CAPABILITIES, 1},
        {AMT_READ_BOOT, 0},     {AMT_READ_POWER, 0},   {AMT_READ_SAVING, 0},
    };
    facts_t *facts = &check->facts;
    int sessions = method_find(facts->system->method)->sessions != 0;
    int answers = 1;

    for (size_t i = 0; answers && i < sizeof(reads) / sizeof(reads[0]); i++) {
        if (sessions || !reads[i].with_sessions) {
            amt_read(check->device, reads[i].kind, &facts->amt, check_on_called, check);
            answers = call_answers(check);
            facts->asked[reads[i].kind] = 1;
            facts->results[reads[i].kind] = check->result;
        }
    }
    facts->capabilities_known =
        facts->asked[AMT_READ_CAPABILITIES] && facts->results[AMT_READ_CAPABILITIES].status == AMT_OK;
    if (answers && !sessions) {
        amt_read(check->device, AMT_READ_CAPABILITIES, &facts->amt, check_on_called, check);
        answers = call_answers(check);
        facts->capabilities_known = check->result.status == AMT_OK;
    }
    if (answers) {
        amt_read_account(check->device, &facts->account, check_on_called, check);
        facts->account_asked = call_answers(check) && check->result.status == AMT_OK;
    }
}

/* At the address that is used now. Nonzero: it is worth while to try another. */
static int check_device(check_t *check)
{
    facts_t *facts = &check->facts;
    amt_target_t target = target_of(facts->system, check->snapshot, facts->address, &check->login);

    if (facts->addresses.count > 1) {
        target.connect_timeout = ONE_OF_SEVERAL;
    }
    if (amt_device_create(&check->device, check->loop, &target, check->pool) != APR_SUCCESS) {
        return 0;
    }
    read_device(check);
    facts->tls_minor = amt_device_tls_minor(check->device);
    amt_device_destroy(check->device);
    return facts->results[AMT_READ_IDENTITY].status != AMT_OK &&
           facts->results[AMT_READ_IDENTITY].status != AMT_AUTH_FAILED;
}

/* One address after the other, until one serves. Nonzero: none did, and at one nothing was heard. */
static int check_round(check_t *check)
{
    facts_t *facts = &check->facts;
    int again = 1, silent = 0;

    for (int i = 0; again && i < facts->addresses.count && !check->expired; i++) {
        use_address(facts, i);
        again = check_device(check);
        silent |= facts->results[AMT_READ_IDENTITY].silent;
    }
    facts->results[AMT_READ_IDENTITY].silent = again && silent;
    return again && silent;
}

/* As in an unlock: an ME that sleeps has its time to wake. */
static void check_addresses(check_t *check)
{
    facts_t *facts = &check->facts;
    apr_time_t wake_until = clock_boottime() + unlock_wake_within();

    facts->tls_minor = -1;
    if (facts->login.reason != JOBS_REASON_NONE) {
        return;
    }
    while (check_round(check) && clock_boottime() < wake_until && !check->expired) {
        check_pause(check, UNLOCK_WAKE_PAUSE);
    }
}

/* ---- what is printed ----------------------------------------------------------------------------------- */

static const char *what_would_be(const dry_run_t *dry_run, int failed)
{
    const unlock_t *unlock = &dry_run->unlock;

    if (dry_run->end == DRY_RUN_LOOKS) {
        return "would look at its console, since it runs";
    }
    if (dry_run->end != DRY_RUN_ACTS) {
        return unlock->state == 'U' ? "would find it unlocked already" : "would fail";
    }
    if (failed) {
        return "would begin, and then fail";
    }
    return unlock->plan.power == AMT_POWER_RESET ? "would reset it" : "would go ahead";
}

static int print_findings(const check_t *check, const dry_run_t *dry_run)
{
    const apr_array_header_t *findings = findings_of(&check->facts, dry_run, check->pool);
    int counts[FINDING_LEVELS] = {0};

    for (int i = 0; i < findings->nelts; i++) {
        const finding_t *finding = &APR_ARRAY_IDX(findings, i, finding_t);

        counts[finding->level]++;
        printf("%-8s%-12s%s%s%s\n", finding_level_name(finding->level),
               finding_subject_name(finding->subject), jobs_reason(finding->reason)->code,
               finding->reason ? ": " : "", finding->text);
    }
    printf("%s: method %s: %d failed, %d warnings; an unlock now %s\n", check->facts.system->fqdn,
           inventory_method_name(check->facts.system->method), counts[FINDING_FAILED],
           counts[FINDING_WARNING], what_would_be(dry_run, counts[FINDING_FAILED]));
    return counts[FINDING_FAILED];
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static apr_status_t check_open(check_t *check)
{
    apr_status_t status = APR_SUCCESS;

    signal(SIGPIPE, SIG_IGN);
    status = amt_library_init();
    if (status == APR_SUCCESS) {
        status = wakeup_open(&check->wakeup, check->pool);
    }
    if (status == APR_SUCCESS) {
        status = work_pool_start(&check->work_pool, check->pool);
    }
    if (status != APR_SUCCESS) {
        return status;
    }
    check->base = amt_loop_base_create();
    if (check->base == NULL) {
        return APR_ENOMEM;
    }
    check->wake_event = event_new(check->base, check->wakeup.fd, EV_READ | EV_PERSIST, check_on_wake, check);
    check->limit_event = event_new(check->base, -1, 0, check_on_limit, check);
    check->pause_event = event_new(check->base, -1, 0, check_on_pause, check);
    if (check->wake_event == NULL || check->limit_event == NULL || check->pause_event == NULL) {
        return APR_ENOMEM;
    }
    event_add(check->wake_event, NULL);
    check_set_timer(check->limit_event, CHECK_LIMIT + unlock_wake_within());
    status = amt_loop_create(&check->loop, check->base, check->pool);
    return status == APR_SUCCESS ? amt_loop_use_threads(check->loop, work_pool_run, check->work_pool)
                                 : status;
}

/* A KDC that hangs cannot be stopped, and its thread uses what is here: then the process
 * exits. */
static void check_close(check_t *check, int failed)
{
    secrets_login_free(&check->login);
    if (!work_pool_idle(check->work_pool)) {
        fflush(stdout);
        _exit(failed ? 1 : 0);
    }
    work_pool_stop(check->work_pool);
}

/* After the loop, which is its pool's. */
static void check_free_base(check_t *check)
{
    if (check->wake_event != NULL) {
        event_free(check->wake_event);
    }
    if (check->limit_event != NULL) {
        event_free(check->limit_event);
    }
    if (check->pause_event != NULL) {
        event_free(check->pause_event);
    }
    if (check->base != NULL) {
        event_base_free(check->base);
    }
}

static int check_run(check_t *check)
{
    char text[120];
    int failed = 0, several = 0;
    apr_status_t status = check_open(check);

    if (status != APR_SUCCESS) {
        fprintf(stderr, "amtunlockd: %s\n", apr_strerror(status, text, sizeof(text)));
        return 1;
    }
    find_address(check);
    find_login(check);
    find_passphrase(check);
    several = check->facts.addresses.count > 1; /* then the probe is at the one that serves */
    if (!several) {
        check_try_probe(check);
    }
    check_addresses(check);
    if (several) {
        check_try_probe(check);
    }
    failed = print_findings(check, dry_run_make(&check->facts, check->pool));
    check_close(check, failed);
    return failed;
}

int check_system(snapshot_t *snapshot, const char *fqdn, apr_pool_t *pool)
{
    const char *system = jobs_name_key(fqdn, pool);
    check_t check = {.snapshot = snapshot, .facts = {.snapshot = snapshot}};
    int failed = 1;

    check.facts.system = system != NULL ? inventory_find(snapshot_inventory(snapshot), system) : NULL;
    if (check.facts.system == NULL) {
        fprintf(stderr, "amtunlockd: no system %s in %s\n", fqdn, snapshot_settings(snapshot)->inventory);
        return 1;
    }
    if (apr_pool_create(&check.pool, pool) != APR_SUCCESS) {
        return 1;
    }
    failed = check_run(&check);
    apr_pool_destroy(check.pool);
    check_free_base(&check);
    return failed;
}
