/* SPDX-License-Identifier: Apache-2.0 */
/* See check.h. Looks first, in an event loop of its own, and one thing after the other; then has it judged.
 */
#include "preflight/check.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/wakeup.h"
#include "jobs/name.h"
#include "preflight/dry_run_priv.h"
#include "preflight/findings_priv.h"
#include "worker/probe.h"
#include "worker/settings/target.h"
#include "worker/work_pool.h"

#define WORK_THREADS 2
#define PROBE_WAIT apr_time_from_sec(3)
/* For all of it. A PC that answers needs a second or two. */
static const struct timeval limit = {.tv_sec = 50};

typedef struct {
    snapshot_t *snapshot;
    apr_pool_t *pool;
    work_pool_t *work_pool;
    struct event_base *base;
    struct event *wake_event, *limit_event;
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

/* 0: the time is over. */
static int await(check_t *check)
{
    check->waiting = 1;
    while (check->waiting && !check->expired) {
        event_base_loop(check->base, EVLOOP_ONCE);
    }
    return !check->waiting;
}

static void on_wake(evutil_socket_t fd, short what, void *data)
{
    check_t *check = data;

    (void)fd;
    (void)what;
    wakeup_clear(&check->wakeup);
    check->waiting = 0;
}

static void on_limit(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    ((check_t *)data)->expired = 1;
}

/* ---- what the worker itself finds out ------------------------------------------------------------------ */

static void on_work_done(work_t *work)
{
    wakeup_signal(&((check_t *)work->owner)->wakeup);
}

/* Its results are in check->chore. */
static facts_work_t do_chore(check_t *check, work_kind_e kind, jobs_reason_e reason_of_silence)
{
    static const char late[] = "it took longer than a check may";
    work_t *work = &check->work;

    if (check->expired) { /* the thread may still write to the one before */
        return (facts_work_t){reason_of_silence, late};
    }
    *work = (work_t){.kind = kind,
                     .system = check->facts.system,
                     .snapshot = check->snapshot,
                     .done = on_work_done,
                     .owner = check};
    if (work_pool_push(check->work_pool, work) != APR_SUCCESS || !await(check)) {
        return (facts_work_t){reason_of_silence, late};
    }
    return (facts_work_t){work->reason, apr_pstrdup(check->pool, work->text)};
}

/* An address that the inventory gives is used as it is, as in an unlock. */
static void find_address(check_t *check)
{
    facts_t *facts = &check->facts;
    const inventory_system_t *system = facts->system;

    if (system->address != NULL && system->probe_host == NULL) {
        apr_cpystrn(facts->address, system->address, sizeof(facts->address));
        apr_cpystrn(facts->probe_address, system->address, sizeof(facts->probe_address));
        return;
    }
    facts->resolve = do_chore(check, WORK_RESOLVE, JOBS_REASON_UNREACHABLE);
    if (facts->resolve.reason == JOBS_REASON_NONE) {
        apr_cpystrn(facts->address, check->work.address, sizeof(facts->address));
        apr_cpystrn(facts->probe_address, check->work.probe_address, sizeof(facts->probe_address));
    }
}

static void find_login(check_t *check)
{
    facts_t *facts = &check->facts;

    facts->login = do_chore(check, WORK_LOGIN, JOBS_REASON_NO_SECRET);
    if (facts->login.reason == JOBS_REASON_NONE) {
        check->login = check->work.login;
        facts->login_source = check->login.source;
    }
}

/* Only whether there is one. */
static void find_passphrase(check_t *check)
{
    if (method_find(check->facts.system->method)->sessions == 0) {
        return;
    }
    check->facts.passphrase = do_chore(check, WORK_PASSPHRASE, JOBS_REASON_NO_SECRET);
    if (check->facts.passphrase.reason == JOBS_REASON_NONE) {
        secrets_free(check->work.passphrase);
        check->work.passphrase = NULL;
    }
}

/* ---- what the PC says ---------------------------------------------------------------------------------- */

static void on_probed(probe_t *probe, int open)
{
    check_t *check = probe->owner;

    check->facts.probe_open = open;
    check->waiting = 0;
}

static void try_probe(check_t *check)
{
    const facts_t *facts = &check->facts;

    if (facts->system->probe_port == 0 || facts->probe_address[0] == '\0' || check->expired) {
        return;
    }
    probe_init(&check->probe, on_probed, check);
    probe_start(&check->probe, check->base, facts->probe_address, facts->system->probe_port, PROBE_WAIT);
    await(check);
    probe_stop(&check->probe);
}

static void on_called(void *baton, const amt_result_t *result)
{
    check_t *check = baton;

    check->result = *result;
    check->result.text = apr_pstrdup(check->pool, result->text);
    check->waiting = 0;
}

static void call_identity(check_t *check)
{
    amt_read_identity(check->device, &check->facts.amt.identity, on_called, check);
}

static void call_consent(check_t *check)
{
    amt_read_consent(check->device, &check->facts.amt.consent, on_called, check);
}

static void call_redirection(check_t *check)
{
    amt_read_redirection(check->device, &check->facts.amt.redirection, on_called, check);
}

static void call_capabilities(check_t *check)
{
    amt_read_capabilities(check->device, &check->facts.amt.capabilities, on_called, check);
}

static void call_boot(check_t *check)
{
    amt_read_boot(check->device, &check->facts.amt.boot, on_called, check);
}

static void call_power(check_t *check)
{
    amt_read_power(check->device, &check->facts.amt.power, on_called, check);
}

static void call_saving(check_t *check)
{
    amt_read_saving(check->device, &check->facts.amt.saving, on_called, check);
}

static void call_account(check_t *check)
{
    amt_read_account(check->device, &check->facts.account, on_called, check);
}

/* Makes the call, and says whether the device still answers. */
static int ask(check_t *check, void (*call)(check_t *check))
{
    call(check);
    if (!await(check)) {
        check->result = (amt_result_t){.status = AMT_TIMEOUT, .text = "it took longer than a check may"};
    }
    return check->result.status == AMT_OK || check->result.status == AMT_REFUSED;
}

/* In the order of an unlock. */
static void ask_all(check_t *check)
{
    static const struct {
        void (*call)(check_t *check);
        unlock_call_e look;
        int with_sessions; /* other methods do not need it */
    } calls[] = {
        {call_identity, UNLOCK_CALL_IDENTITY, 0},
        {call_consent, UNLOCK_CALL_CONSENT, 0},
        {call_redirection, UNLOCK_CALL_REDIRECTION, 1},
        {call_capabilities, UNLOCK_CALL_CAPABILITIES, 1},
        {call_boot, UNLOCK_CALL_BOOT, 0},
        {call_power, UNLOCK_CALL_POWER, 0},
        {call_saving, UNLOCK_CALL_SAVING, 0},
    };
    int sessions = method_find(check->facts.system->method)->sessions != 0;
    int answers = 1;
    for (size_t i = 0; answers && i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (sessions || !calls[i].with_sessions) {
            answers = ask(check, calls[i].call);
            check->facts.asked[calls[i].look] = 1;
            check->facts.results[calls[i].look] = check->result;
        }
    }
    check->facts.account_asked = answers && ask(check, call_account) && check->result.status == AMT_OK;
}

static void ask_device(check_t *check)
{
    facts_t *facts = &check->facts;

    facts->tls_minor = -1;
    if (facts->address[0] == '\0' || facts->login.reason != JOBS_REASON_NONE || check->expired) {
        return;
    }
    const amt_target_t target = target_of(facts->system, check->snapshot, facts->address, &check->login);
    if (amt_device_create(&check->device, check->loop, &target, check->pool) != APR_SUCCESS) {
        return;
    }
    ask_all(check);
    facts->tls_minor = amt_device_tls_minor(check->device);
    amt_device_destroy(check->device);
}

/* ---- what is told -------------------------------------------------------------------------------------- */

static const char *what_would_be(const dry_run_t *dry_run, int failed)
{
    const unlock_t *unlock = &dry_run->unlock;

    if (dry_run->end == DRY_RUN_LOOKS) {
        return "would look at its console, since it runs";
    }
    if (dry_run->end == DRY_RUN_ACTS) {
        return failed                                  ? "would begin, and then fail"
               : unlock->plan.power == AMT_POWER_RESET ? "would reset it"
                                                       : "would go ahead";
    }
    return unlock->state == 'U' ? "would find it unlocked already" : "would fail";
}

static int tell(const check_t *check, const dry_run_t *dry_run)
{
    const apr_array_header_t *findings = findings_of(&check->facts, dry_run, check->pool);
    int counts[] = {[FINDING_OK] = 0, [FINDING_WARNING] = 0, [FINDING_FAILED] = 0};

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

static apr_status_t begin(check_t *check)
{
    signal(SIGPIPE, SIG_IGN);
    apr_status_t rv = amt_library_init();
    if (rv == APR_SUCCESS) {
        rv = wakeup_open(&check->wakeup, check->pool);
    }
    if (rv == APR_SUCCESS) {
        rv = work_pool_start(&check->work_pool, WORK_THREADS, check->pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    check->base = event_base_new();
    if (check->base == NULL) {
        return APR_ENOMEM;
    }
    check->wake_event = event_new(check->base, check->wakeup.fd, EV_READ | EV_PERSIST, on_wake, check);
    check->limit_event = event_new(check->base, -1, 0, on_limit, check);
    if (check->wake_event == NULL || check->limit_event == NULL) {
        return APR_ENOMEM;
    }
    event_add(check->wake_event, NULL);
    event_add(check->limit_event, &limit);
    rv = amt_loop_create(&check->loop, check->base, check->pool);
    return rv == APR_SUCCESS ? amt_loop_use_threads(check->loop, work_pool_run, check->work_pool) : rv;
}

/* A look-up or a KDC that hangs cannot be ended, and everything here is in its hands. */
static void end(check_t *check, int failed)
{
    secrets_login_free(&check->login);
    if (!work_pool_idle(check->work_pool)) {
        fflush(stdout);
        _exit(failed ? 1 : 0);
    }
    work_pool_stop(check->work_pool);
}

/* After the loop, which is its pool's. */
static void free_base(check_t *check)
{
    if (check->wake_event != NULL) {
        event_free(check->wake_event);
    }
    if (check->limit_event != NULL) {
        event_free(check->limit_event);
    }
    if (check->base != NULL) {
        event_base_free(check->base);
    }
}

static int run(check_t *check)
{
    char text[120];
    apr_status_t rv = begin(check);

    if (rv != APR_SUCCESS) {
        fprintf(stderr, "amtunlockd: %s\n", apr_strerror(rv, text, sizeof(text)));
        return 1;
    }
    find_address(check);
    find_login(check);
    find_passphrase(check);
    try_probe(check);
    ask_device(check);
    int failed = tell(check, dry_run_make(&check->facts, check->pool));
    end(check, failed);
    return failed;
}

int check_system(snapshot_t *snapshot, const char *fqdn, apr_pool_t *pool)
{
    const char *system = jobs_name_key(fqdn, pool);
    check_t check = {.snapshot = snapshot, .facts = {.snapshot = snapshot}};

    check.facts.system = system ? inventory_find(snapshot_inventory(snapshot), system) : NULL;
    if (check.facts.system == NULL) {
        fprintf(stderr, "amtunlockd: no system %s in %s\n", fqdn, snapshot_settings(snapshot)->inventory);
        return 1;
    }
    if (apr_pool_create(&check.pool, pool) != APR_SUCCESS) {
        return 1;
    }
    int failed = run(&check);
    apr_pool_destroy(check.pool);
    free_base(&check);
    return failed;
}
