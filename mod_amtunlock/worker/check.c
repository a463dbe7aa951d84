/* See check.h. Looks first, in an event loop of its own, and one thing after the other; then has it judged.
 */
#include "worker/check.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "jobs/name.h"
#include "worker/chores.h"
#include "worker/findings.h"
#include "worker/probe.h"
#include "worker/rehearsal.h"
#include "worker/steps.h"
#include "worker/target.h"
#include "worker/waker.h"

#define CHORE_THREADS 2
#define PROBE_WAIT apr_time_from_sec(3)
/* For all of it. A PC that answers needs a second or two. */
static const struct timeval limit = {.tv_sec = 50};

typedef struct {
    setup_t *setup;
    apr_pool_t *pool;
    chores_t *chores;
    struct event_base *base;
    struct event *wake_event, *limit_event;
    waker_t waker;
    amt_loop_t *loop;
    amt_device_t *device;
    chore_t chore;
    probe_t probe;
    secrets_login_t login;
    amt_result_t result; /* of the call that was made last */
    int waiting;
    int expired;
    seen_t seen;
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
    waker_clear(&check->waker);
    check->waiting = 0;
}

static void on_limit(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    ((check_t *)data)->expired = 1;
}

/* ---- what the worker itself finds out ------------------------------------------------------------------ */

static void on_chore_done(chore_t *chore)
{
    waker_wake(&((check_t *)chore->owner)->waker);
}

/* Its results are in check->chore. */
static seen_chore_t do_chore(check_t *check, chore_kind_e kind, jobs_reason_e reason_of_silence)
{
    static const char late[] = "it took longer than a check may";
    chore_t *chore = &check->chore;
    if (check->expired) { /* the thread may still write to the one before */
        return (seen_chore_t){reason_of_silence, late};
    }
    *chore = (chore_t){.kind = kind,
                       .system = check->seen.system,
                       .setup = check->setup,
                       .done = on_chore_done,
                       .owner = check};
    if (chores_push(check->chores, chore) != APR_SUCCESS || !await(check)) {
        return (seen_chore_t){reason_of_silence, late};
    }
    return (seen_chore_t){chore->reason, apr_pstrdup(check->pool, chore->text)};
}

/* An address that the inventory gives is used as it is, as in an unlock. */
static void find_address(check_t *check)
{
    seen_t *seen = &check->seen;
    const inventory_system_t *system = seen->system;
    if (system->address != NULL && system->probe_host == NULL) {
        apr_cpystrn(seen->address, system->address, sizeof(seen->address));
        apr_cpystrn(seen->probe_address, system->address, sizeof(seen->probe_address));
        return;
    }
    seen->resolve = do_chore(check, CHORE_RESOLVE, JOBS_REASON_UNREACHABLE);
    if (seen->resolve.reason == JOBS_REASON_NONE) {
        apr_cpystrn(seen->address, check->chore.address, sizeof(seen->address));
        apr_cpystrn(seen->probe_address, check->chore.probe_address, sizeof(seen->probe_address));
    }
}

static void find_login(check_t *check)
{
    seen_t *seen = &check->seen;
    seen->login = do_chore(check, CHORE_LOGIN, JOBS_REASON_NO_SECRET);
    if (seen->login.reason == JOBS_REASON_NONE) {
        check->login = check->chore.login;
        seen->login_source = check->login.source;
    }
}

/* Only whether there is one. */
static void find_passphrase(check_t *check)
{
    if (method_find(check->seen.system->method)->sessions == 0) {
        return;
    }
    check->seen.passphrase = do_chore(check, CHORE_PASSPHRASE, JOBS_REASON_NO_SECRET);
    if (check->seen.passphrase.reason == JOBS_REASON_NONE) {
        secrets_free(check->chore.passphrase);
        check->chore.passphrase = NULL;
    }
}

/* ---- what the PC says ---------------------------------------------------------------------------------- */

static void on_probed(probe_t *probe, int open)
{
    check_t *check = probe->owner;
    check->seen.probe_open = open;
    check->waiting = 0;
}

static void try_probe(check_t *check)
{
    const seen_t *seen = &check->seen;
    if (seen->system->probe_port == 0 || seen->probe_address[0] == '\0' || check->expired) {
        return;
    }
    probe_init(&check->probe, on_probed, check);
    probe_start(&check->probe, check->base, seen->probe_address, seen->system->probe_port, PROBE_WAIT);
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
    amt_read_identity(check->device, &check->seen.identity, on_called, check);
}

static void call_consent(check_t *check)
{
    amt_read_consent(check->device, &check->seen.consent, on_called, check);
}

static void call_redirection(check_t *check)
{
    amt_read_redirection(check->device, &check->seen.redirection, on_called, check);
}

static void call_capabilities(check_t *check)
{
    amt_read_capabilities(check->device, &check->seen.capabilities, on_called, check);
}

static void call_boot(check_t *check)
{
    amt_read_boot(check->device, &check->seen.boot, on_called, check);
}

static void call_power(check_t *check)
{
    amt_read_power(check->device, &check->seen.power, on_called, check);
}

static void call_saving(check_t *check)
{
    amt_read_saving(check->device, &check->seen.saving, on_called, check);
}

static void call_account(check_t *check)
{
    amt_read_account(check->device, &check->seen.account, on_called, check);
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
    int sessions = method_find(check->seen.system->method)->sessions != 0;
    int answers = 1;
    for (size_t i = 0; answers && i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (sessions || !calls[i].with_sessions) {
            answers = ask(check, calls[i].call);
            check->seen.asked[calls[i].look] = 1;
            check->seen.results[calls[i].look] = check->result;
        }
    }
    check->seen.account_asked = answers && ask(check, call_account) && check->result.status == AMT_OK;
}

static void ask_device(check_t *check)
{
    seen_t *seen = &check->seen;
    seen->tls_minor = -1;
    if (seen->address[0] == '\0' || seen->login.reason != JOBS_REASON_NONE || check->expired) {
        return;
    }
    const amt_target_t target = target_of(seen->system, check->setup, seen->address, &check->login);
    if (amt_device_create(&check->device, check->loop, &target, check->pool) != APR_SUCCESS) {
        return;
    }
    ask_all(check);
    seen->tls_minor = amt_device_tls_minor(check->device);
    amt_device_destroy(check->device);
}

/* ---- what is told -------------------------------------------------------------------------------------- */

static const char *what_would_be(const rehearsal_t *rehearsal, int failed)
{
    const unlock_t *unlock = &rehearsal->unlock;
    if (rehearsal->end == REHEARSAL_LOOKS) {
        return "would look at its console, since it runs";
    }
    if (rehearsal->end == REHEARSAL_ACTS) {
        return failed                    ? "would begin, and then fail"
               : unlock_is_reset(unlock) ? "would reset it"
                                         : "would go ahead";
    }
    return unlock->state == 'U' ? "would find it unlocked already" : "would fail";
}

static int tell(const check_t *check, const rehearsal_t *rehearsal)
{
    const apr_array_header_t *findings = findings_of(&check->seen, rehearsal, check->pool);
    int counts[] = {[FINDING_OK] = 0, [FINDING_WARNING] = 0, [FINDING_FAILED] = 0};
    for (int i = 0; i < findings->nelts; i++) {
        const finding_t *finding = &APR_ARRAY_IDX(findings, i, finding_t);
        counts[finding->level]++;
        printf("%-8s%-12s%s%s%s\n", finding_level_name(finding->level),
               finding_subject_name(finding->subject), jobs_reason(finding->reason)->code,
               finding->reason ? ": " : "", finding->text);
    }
    printf("%s: method %s: %d failed, %d warnings; an unlock now %s\n", check->seen.system->fqdn,
           inventory_method_name(check->seen.system->method), counts[FINDING_FAILED], counts[FINDING_WARNING],
           what_would_be(rehearsal, counts[FINDING_FAILED]));
    return counts[FINDING_FAILED];
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static apr_status_t begin(check_t *check)
{
    signal(SIGPIPE, SIG_IGN);
    apr_status_t rv = amt_library_init();
    if (rv == APR_SUCCESS) {
        rv = waker_open(&check->waker, check->pool);
    }
    if (rv == APR_SUCCESS) {
        rv = chores_start(&check->chores, CHORE_THREADS, check->pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    check->base = event_base_new();
    if (check->base == NULL) {
        return APR_ENOMEM;
    }
    check->wake_event = event_new(check->base, check->waker.fd, EV_READ | EV_PERSIST, on_wake, check);
    check->limit_event = event_new(check->base, -1, 0, on_limit, check);
    if (check->wake_event == NULL || check->limit_event == NULL) {
        return APR_ENOMEM;
    }
    event_add(check->wake_event, NULL);
    event_add(check->limit_event, &limit);
    rv = amt_loop_create(&check->loop, check->base, check->pool);
    return rv == APR_SUCCESS ? amt_loop_use_threads(check->loop, chores_run, check->chores) : rv;
}

/* A look-up or a KDC that hangs cannot be ended, and everything here is in its hands. */
static void end(check_t *check, int failed)
{
    secrets_login_free(&check->login);
    if (!chores_idle(check->chores)) {
        fflush(stdout);
        _exit(failed ? 1 : 0);
    }
    chores_stop(check->chores);
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
    int failed = tell(check, rehearse(&check->seen, check->pool));
    end(check, failed);
    return failed;
}

int check_system(setup_t *setup, const char *fqdn, apr_pool_t *pool)
{
    const char *sid = jobs_name_key(fqdn, pool);
    check_t check = {.setup = setup, .seen = {.setup = setup}};
    check.seen.system = sid ? inventory_find(setup_inventory(setup), sid) : NULL;
    if (check.seen.system == NULL) {
        fprintf(stderr, "amtunlockd: no system %s in %s\n", fqdn, setup_settings(setup)->inventory);
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
