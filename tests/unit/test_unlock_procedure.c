/* SPDX-License-Identifier: Apache-2.0 */
/* The procedure of one unlock: every row of what can happen, then every place where it can be interrupted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "unlock/intent.h"
#include "unlock_rows.h"
#include "worker/pacer.h"

static int setup(void **state)
{
    return apr_pool_create((apr_pool_t **)state, NULL) == APR_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

/* What holds however an unlock went. */
static void check_promises(const unlock_pc_t *pc, const char *where)
{
    int verified = 0;
    if (pc->power_requests > 1 || pc->writes_without_intent || pc->over > 1 ||
        pc->finishes + pc->releases > 1)
        fail_msg("%s: %d power requests, %d writes without intent, over %d times, %d finishes, %d releases",
                 where, pc->power_requests, pc->writes_without_intent, pc->over, pc->finishes, pc->releases);
    if (pc->over && (pc->connected || pc->console_open || pc->drive_open))
        fail_msg("%s: over, and still connected", where);
    verified = pc->system.tls == INVENTORY_TLS_CA || pc->system.tls == INVENTORY_TLS_PIN;
    if (pc->strayed)
        fail_msg("%s: %d calls to an address that is not the PC's", where, pc->strayed);
    if (pc->types > 1 + pc->is.second_volume || (pc->types && !verified))
        fail_msg("%s: a passphrase typed %d times", where, pc->types);
    if ((pc->power_requests && !(pc->marked & JOBS_MARK_POWER)) ||
        (pc->types && !(pc->marked & JOBS_MARK_TYPED)) || (pc->marked & pc->task.marks))
        fail_msg("%s: marks %u after %u, %d power requests, typed %d times", where, pc->marked,
                 pc->task.marks, pc->power_requests, pc->types);
}

/* Nothing of ours stays on a PC that we leave with a result, if its AMT lets us. */
static void check_taken_back(const unlock_pc_t *pc, const char *where)
{
    int lets_us = !pc->is.fails && pc->unlock.identified;
    if (!pc->finishes || !lets_us)
        return;
    if (pc->boot_set)
        fail_msg("%s: boot options stay", where);
    if (!pc->is.taken_over && memcmp(&pc->redirection, &pc->redirection_before, sizeof(pc->redirection)) != 0)
        fail_msg("%s: the redirection service stays as it was set", where);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static void check_row(const unlock_row_t *row, apr_pool_t *pool)
{
    unlock_pc_t *pc = unlock_pc_create(&row->is, pool);
    const char *step = NULL;
    unlock_pc_run(pc);
    step = unlock_step_name(&pc->unlock);
    if (strcmp(unlock_pc_ending(pc), row->ending) != 0 || (row->step && strcmp(step, row->step) != 0))
        fail_msg("%s: %s at %s (%s), expected %s at %s", row->name, unlock_pc_ending(pc), step,
                 pc->unlock.text, row->ending, row->step ? row->step : "any step");
    if (pc->power_requests != row->power_requests || (row->calls && pc->calls != row->calls))
        fail_msg("%s: %d power requests in %d calls, expected %d in %d", row->name, pc->power_requests,
                 pc->calls, row->power_requests, row->calls);
    if (pc->over != 1)
        fail_msg("%s: over %d times", row->name, pc->over);
    check_promises(pc, row->name);
    check_taken_back(pc, row->name);
}

static void test_rows(void **state)
{
    for (size_t i = 0; i < unlock_row_count; i++)
        check_row(&unlock_rows[i], *state);
}

/* ---- interruptions at every place ---------------------------------------------------------------------- */

static int count_requests(const behaviour_t *is, apr_pool_t *pool)
{
    unlock_pc_t *pc = unlock_pc_create(is, pool);
    unlock_pc_run(pc);
    return pc->answered;
}

/* A request that is never answered: the step's time-out, or the store's patience, has the word. */
static void test_silence_anywhere_ends(void **state)
{
    for (size_t i = 0; i < unlock_row_count; i++) {
        int requests = count_requests(&unlock_rows[i].is, *state);
        for (int at = 1; at <= requests; at++) {
            unlock_pc_t *pc = unlock_pc_create(&unlock_rows[i].is, *state);
            int waits_for_others = 0;
            pc->ignore_at = at;
            unlock_pc_run(pc);
            check_promises(pc, unlock_rows[i].name);
            if (pc->ignored < UNLOCK_CLOSE || pc->ignored > UNLOCK_UNDO_REDIRECTION)
                check_taken_back(pc, unlock_rows[i].name);
            waits_for_others = pc->asked == ASKED_STORE || pc->asked == ASKED_PERMIT;
            if (!pc->over && !waits_for_others)
                fail_msg("%s: silence at request %d never ends, at %s", unlock_rows[i].name, at,
                         unlock_step_name(&pc->unlock));
        }
    }
}

typedef void (*interrupt_fn)(unlock_t *unlock);

/* Interrupts after the at-th request, lets it run to its end, and looks at the PC. */
static unlock_pc_t *interrupt(const behaviour_t *is, int at, interrupt_fn how, apr_pool_t *pool)
{
    unlock_pc_t *pc = unlock_pc_create(is, pool);
    unlock_begin(&pc->unlock);
    while (pc->answered < at && unlock_pc_step(pc)) {
    }
    if (!pc->over)
        how(&pc->unlock);
    return pc;
}

static void lose(unlock_t *unlock)
{
    unlock_lost(unlock);
}

static void test_a_lost_lease_stops_everything(void **state)
{
    for (size_t i = 0; i < unlock_row_count; i++) {
        int requests = count_requests(&unlock_rows[i].is, *state);
        for (int at = 0; at < requests; at++) {
            unlock_pc_t *pc = interrupt(&unlock_rows[i].is, at, lose, *state);
            int was_ending = pc->change == JOBS_FINISH || pc->change == JOBS_RELEASE;
            int calls = pc->calls, probes = pc->probes;
            while (unlock_pc_step(pc)) {
            }
            check_promises(pc, unlock_rows[i].name);
            if (pc->calls != calls || pc->probes != probes || pc->over != 1)
                fail_msg("%s: lost after %d, and it went on", unlock_rows[i].name, at);
            if (pc->finishes && !was_ending)
                fail_msg("%s: lost after %d, and it wrote a result", unlock_rows[i].name, at);
        }
    }
}

/* What is marked is done, so that nobody who takes over waits for it in vain. */
static int is_marking(const unlock_pc_t *pc)
{
    return pc->asked == ASKED_STORE && pc->change == JOBS_MARK;
}

/* Drains after the at-th request, and lets it run to its end. */
static unlock_pc_t *drain(const behaviour_t *is, int at, unlock_drain_e level, apr_pool_t *pool)
{
    unlock_pc_t *pc = unlock_pc_create(is, pool);
    unlock_begin(&pc->unlock);
    while (pc->answered < at && unlock_pc_step(pc)) {
    }
    if (!pc->over)
        unlock_drain(&pc->unlock, level);
    return pc;
}

/* What is handed over is what another worker goes on with. */
static void check_handed_over(const unlock_pc_t *pc, unlock_drain_e level, const char *where)
{
    int image = (pc->unlock.plan.boot & AMT_START_IMAGE) && !pc->unlock.image_greeted;
    if (!pc->releases)
        return;
    if (level < UNLOCK_DRAIN_ALL && (pc->marked & JOBS_MARK_POWER) && !pc->power_requests && !pc->is.fails)
        fail_msg("%s: its power was marked and never asked for", where);
    if (level == UNLOCK_DRAIN_READY && pc->unlock.session_open &&
        ((pc->marked & JOBS_MARK_TYPED) || (pc->power_requests && image)))
        fail_msg("%s: typed %d times, image %d: it was not waited for", where, pc->types, image);
    if (level < UNLOCK_DRAIN_ALL && pc->unlock.power_not_now && !pc->unlock.seen_on)
        fail_msg("%s: its device was not ready, and nobody asks it again", where);
    if (level < UNLOCK_DRAIN_ALL && pc->unlock.ended_at != NULL && pc->unlock.step == UNLOCK_OVER &&
        pc->unlock.state)
        fail_msg("%s: it had a result", where);
}

static void check_draining(const unlock_row_t *row, int at, unlock_drain_e level, apr_pool_t *pool)
{
    unlock_pc_t *pc = drain(&row->is, at, level, pool);
    apr_time_t began = pc->now;
    int power_requests = pc->power_requests + (pc->marks > 0 || is_marking(pc)), at_once = 0;
    while (unlock_pc_step(pc)) {
    }
    check_promises(pc, row->name);
    check_taken_back(pc, row->name);
    check_handed_over(pc, level, row->name);
    at_once = level == UNLOCK_DRAIN_ALL ||
              (level == UNLOCK_DRAIN_MOST && !pc->unlock.power_not_now && pc->unlock.power_tries < 2);
    if (pc->over != 1 || (at_once && pc->now - began > apr_time_from_msec(100)))
        fail_msg("%s: drained after %d at level %d, over %d, took %d ms", row->name, at, level, pc->over,
                 (int)apr_time_as_msec(pc->now - began));
    if (level > UNLOCK_DRAIN_READY)
        assert_true(pc->power_requests <= power_requests);
}

static void test_draining_anywhere(void **state)
{
    for (size_t i = 0; i < unlock_row_count; i++) {
        int requests = count_requests(&unlock_rows[i].is, *state);
        for (int at = 0; at < requests; at++)
            for (unlock_drain_e level = UNLOCK_DRAIN_READY; level <= UNLOCK_DRAIN_ALL; level++)
                check_draining(&unlock_rows[i], at, level, *state);
    }
}

/* What a lost worker had set is not taken for what stood before. */
static void test_a_successor_takes_back_what_was_set_before_it(void **state)
{
    static const char intent[] =
        "{\"method\":\"sol\",\"power\":2,\"boot\":\"UseSOL\",\"passphrase\":true,\"redirection\":{\"state\":32770,"
        "\"listener\":true},\"redirection_before\":{\"state\":32768,\"listener\":false}}";
    static const behaviour_t ways[] = {
        {SOL, .taken_over = 1, .unmarked = 1, .intent = intent},
        {SOL, .taken_over = 1, .marks = JOBS_MARK_POWER, .intent = intent, .power = 2, .stands_at_prompt = 1,
         .asks = 1},
        {SOL, .taken_over = 1, .intent = intent, .power = 2},
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        unlock_pc_t *pc = unlock_pc_create(&ways[i], *state);
        pc->redirection = (amt_redirection_t){.state = 32770, .listener = 1};
        unlock_pc_run(pc);
        assert_string_equal(unlock_pc_ending(pc), "unlocked");
        assert_int_equal(pc->redirection.state, 32768);
        assert_int_equal(pc->redirection.listener, 0);
        assert_int_equal(pc->redirects, 1);
        assert_int_equal(pc->boot_set, 0);
        if (pc->intents > 0)
            assert_non_null(strstr(pc->unlock.intent, i == 0 ? "\"marks\":\"\"" : "\"marks\":\"power\""));
    }
}

/* The redirection service takes two writes, and a worker may be lost between them, also while it takes them back. */
static void test_a_successor_takes_back_half_of_what_was_set(void **state)
{
    static const char intent[] =
        "{\"method\":\"sol\",\"power\":2,\"redirection\":{\"state\":32770,\"listener\":true},"
        "\"redirection_before\":{\"state\":32768,\"listener\":false}}";
    static const behaviour_t ways[] = {{SOL, .taken_over = 1, .unmarked = 1, .intent = intent},
                                       {SOL, .taken_over = 1, .intent = intent, .power = 2}};
    static const amt_redirection_t halves[] = {{.state = 32770}, {.state = 32768, .listener = 1}};

    for (int i = 0; i < 4; i++) {
        unlock_pc_t *pc = unlock_pc_create(&ways[i / 2], *state);
        pc->redirection = halves[i % 2];
        unlock_pc_run(pc);
        assert_string_equal(unlock_pc_ending(pc), "unlocked");
        assert_int_equal(pc->redirection.state, 32768);
        assert_int_equal(pc->redirection.listener, 0);
    }
}

/* Of a plan that was not carried out nothing is handed on but what may stand on the PC. */
static void test_a_successor_makes_its_own_plan(void **state)
{
    static const char intent[] = "{\"method\":\"sol\",\"power\":10,\"boot\":\"UseSOL\",\"passphrase\":true}";
    static const behaviour_t asleep = {SOL, .taken_over = 1, .unmarked = 1, .intent = intent, .power = 4};
    unlock_pc_t *pc = unlock_pc_create(&asleep, *state);

    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "unlocked");
    assert_int_equal(pc->power_requested, AMT_POWER_ON);
    assert_null(strstr(pc->unlock.intent, "passphrase"));
    assert_non_null(strstr(pc->unlock.intent, "UseSOL"));
}

/* A healthy PC that is drained at any place: handed over, or unlocked where only this worker gets the word. */
static void check_stay(const behaviour_t *healthy, int *stayed, apr_pool_t *pool)
{
    int requests = count_requests(healthy, pool);
    for (int at = 0; at < requests; at++) {
        unlock_pc_t *pc = drain(healthy, at, UNLOCK_DRAIN_READY, pool);
        int over = pc->over, stays = 0;
        apr_time_t began = pc->now;
        while (unlock_pc_step(pc)) {
        }
        stays =
            (pc->marked & JOBS_MARK_TYPED) || (pc->unlock.plan.boot & AMT_START_IMAGE && pc->power_requests);
        if (pc->finishes && !over)
            (*stayed)++;
        else if (pc->now - began > apr_time_from_msec(100) && !stays)
            fail_msg("method %d, after %d: handed over after %d ms", healthy->method, at,
                     (int)apr_time_as_msec(pc->now - began));
        assert_string_equal(unlock_pc_ending(pc), pc->finishes ? "unlocked" : "released");
    }
}

static void test_draining_waits_for_what_others_cannot_see(void **state)
{
    static const struct {
        behaviour_t is;
        int stays; /* has its result before it is over */
    } healthy[] = {
        {{0}, 0},
        {{SOL, .redirection_off = 1}, 0},
        {{SOL, .no_probe = 1}, 1},
        {{IMAGE, .redirection_off = 1}, 0},
        {{.power = 2, .hangs = 1, .resets = 1}, 0},
        {{SOL, .power = 2, .hangs = 1, .resets = 1}, 0},
        {{IMAGE, .power = 2, .hangs = 1, .resets = 1, .redirection_off = 1}, 0},
    };
    for (size_t i = 0; i < sizeof(healthy) / sizeof(healthy[0]); i++) {
        int stayed = 0;
        check_stay(&healthy[i].is, &stayed, *state);
        if (healthy[i].stays)
            assert_true(stayed > 1);
    }
}

/* The last level does not wait for the answer to an act that has a mark, and for every other. */
static void test_draining_at_the_end_of_the_time(void **state)
{
    static const behaviour_t ways[] = {{0}, {SOL, .asks = 1}, {IMAGE}};
    int left = 0, waited = 0;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        int requests = count_requests(&ways[i], *state);
        for (int at = 0; at < requests; at++) {
            unlock_pc_t *pc = drain(&ways[i], at, UNLOCK_DRAIN_MOST, *state);
            int waits = pc->asked == ASKED_CALL && pc->call >= UNLOCK_CALL_CLEAR_BOOT && !pc->over;
            int marked = pc->call == UNLOCK_CALL_POWER_ON || pc->call == UNLOCK_CALL_TYPE ||
                         pc->call == UNLOCK_CALL_SEAL;
            if (pc->over || !waits || pc->unlock.ended_at != NULL)
                continue;
            unlock_drain(&pc->unlock, UNLOCK_DRAIN_ALL);
            assert_int_equal(pc->unlock.step == UNLOCK_RELEASE, marked);
            left += marked;
            waited += !marked;
        }
    }
    assert_true(left >= 3 && waited >= 2);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static void test_retries_are_bounded(void **state)
{
    static const behaviour_t gone = {FAILS(IDENTITY, UNREACHABLE)};
    apr_time_t longest = 0;
    for (int i = 0; i < 200; i++) {
        unlock_pc_t *pc = unlock_pc_create(&gone, *state);
        apr_time_t began = pc->now;
        unlock_pc_run(pc);
        assert_int_equal(pc->calls, 4);
        if (pc->now - began > longest)
            longest = pc->now - began;
    }
    assert_true(longest > apr_time_from_sec(2)); /* jitter is there: 200 draws of up to 7 s in all */
    assert_true(longest < apr_time_from_sec(8));
}

/* A black hole: silence until the step's own end. */
static void test_a_black_hole_takes_40_seconds(void **state)
{
    static const behaviour_t healthy = {0};
    unlock_pc_t *pc = unlock_pc_create(&healthy, *state);
    apr_time_t began = pc->now;
    pc->ignore_at = 4; /* login, first probe, permit, identity */
    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "unreachable");
    assert_true(pc->now - began <= apr_time_from_sec(41));
}

/* How long a PC of which nothing is heard is tried. */
static apr_interval_time_t silence_lasts(const behaviour_t *is, apr_pool_t *pool)
{
    unlock_pc_t *pc = unlock_pc_create(is, pool);
    apr_time_t began = pc->now;
    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "unreachable");
    return pc->now - began;
}

static void test_a_silent_device_has_40_seconds_to_wake(void **state)
{
    static const behaviour_t silent = {FAILS(IDENTITY, UNREACHABLE), .silent = 1};
    static const behaviour_t refused = {FAILS(IDENTITY, UNREACHABLE)};
    for (int i = 0; i < 20; i++) {
        unlock_pc_t *pc = unlock_pc_create(&silent, *state);
        unlock_pc_run(pc);
        assert_non_null(strstr(pc->unlock.text, "silent for 40 s"));
        assert_in_range(pc->calls, 5, 10);
        assert_in_range(silence_lasts(&silent, *state), apr_time_from_sec(40), apr_time_from_sec(49));
        assert_true(silence_lasts(&refused, *state) < apr_time_from_sec(26));
    }
}

/* The look-up of its name may have used up the retries, and what is read once it is awake has its own. */
static void test_waking_has_a_time_of_its_own(void **state)
{
    static const behaviour_t wakes = {FAILS(IDENTITY, UNREACHABLE), .silent = 1, .times = 4};
    static const behaviour_t dull = {FAILS(BOOT, TIMEOUT), .times = 3};
    unlock_pc_t *pc = unlock_pc_create(&wakes, *state);
    pc->unlock.retry_until = 1;
    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "unlocked");
    pc = unlock_pc_create(&dull, *state);
    pc->unlock.wake_until = 1;
    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "unlocked");
}

/* libevent's clock is coarser than ours. */
static void test_an_alarm_that_comes_early_is_set_again(void **state)
{
    static const behaviour_t healthy = {0};
    unlock_pc_t *pc = unlock_pc_create(&healthy, *state);
    pc->ignore_at = 4;
    pc->early = apr_time_from_msec(3);
    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "unreachable");
}

static const char *intent_written(apr_pool_t *pool, int seconds_ago, int seconds)
{
    return apr_psprintf(pool, "{\"method\":\"wake\",\"written\":%ld,\"look_seconds\":%d}",
                        (long)(apr_time_sec(apr_time_now()) - seconds_ago), seconds);
}

static apr_interval_time_t verifying_lasts(const char *intent, apr_pool_t *pool)
{
    const behaviour_t is = {.taken_over = 1, .power = 2, .never_boots = 1, .intent = intent};
    unlock_pc_t *pc = unlock_pc_create(&is, pool);
    apr_time_t began = pc->now;
    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "timeout");
    return pc->now - began;
}

static void test_verifying_ends_by_the_deadline_of_the_intent(void **state)
{
    const apr_interval_time_t most = apr_time_from_sec(120 + 60 + 5);
    assert_in_range(verifying_lasts(intent_written(*state, 60, 100), *state), apr_time_from_sec(38),
                    apr_time_from_sec(45));
    assert_in_range(verifying_lasts(intent_written(*state, 9999, 100), *state), apr_time_from_sec(4),
                    apr_time_from_sec(10));
    /* What nobody here would have written is bounded by what this group's PCs are given. */
    assert_true(verifying_lasts(intent_written(*state, -100000, 100), *state) <= most);
    assert_true(verifying_lasts(intent_written(*state, 0, 2000000000), *state) <= most);
    assert_true(verifying_lasts("{\"written\":\"yesterday\"}", *state) <= most);
    assert_true(verifying_lasts("{\"written\":9223372036854775807,\"look_seconds\":100}", *state) <= most);
    assert_true(verifying_lasts("{\"written\":9300000000000,\"look_seconds\":100}", *state) <= most);
    assert_true(verifying_lasts("no json", *state) <= most);
    assert_true(verifying_lasts(NULL, *state) <= most);
}

/* ---- tables -------------------------------------------------------------------------------------------- */

static void test_reasons_of_amt(void **state)
{
    (void)state;
    assert_int_equal(unlock_reason_of_amt(AMT_TIMEOUT, 0), JOBS_REASON_UNREACHABLE);
    assert_int_equal(unlock_reason_of_amt(AMT_TIMEOUT, 1), JOBS_REASON_TIMEOUT);
    assert_int_equal(unlock_reason_of_amt(AMT_AUTH_FAILED, 1), JOBS_REASON_AUTH_FAILED);
    assert_int_equal(unlock_reason_of_amt(AMT_BUSY, 1), JOBS_REASON_BUSY);
    for (int status = 0; status < AMT_STATUSES; status++) {
        assert_int_equal(unlock_reason_of_amt(status, 0) == JOBS_REASON_NONE, status == AMT_OK);
        assert_int_equal(unlock_reason_of_amt(status, 1) == JOBS_REASON_NONE, status == AMT_OK);
    }
    assert_int_equal(unlock_reason_of_amt(AMT_STATUSES, 1), JOBS_REASON_INTERNAL);
    assert_int_equal(unlock_reason_of_amt((amt_status_e)99, 1), JOBS_REASON_INTERNAL);
    assert_int_equal(unlock_reason_of_amt((amt_status_e)-1, 0), JOBS_REASON_INTERNAL);
}

static void test_methods(void **state)
{
    assert_non_null(method_find(INVENTORY_WAKE));
    assert_non_null(method_find(INVENTORY_SOL));
    assert_non_null(method_find(INVENTORY_IMAGE));
    assert_null(method_find(INVENTORY_HTTPS_BOOT));
    assert_string_equal(methods_list(*state), "wake,sol,image");
    for (int i = 0; i < INVENTORY_METHODS; i++) {
        const method_t *method = method_find(i);
        if (method == NULL)
            continue;
        assert_int_equal(method->method, i);
        assert_int_equal(method->sessions != 0, method->on_input != NULL);
        assert_true(method->sessions != 0 || !method->types);
    }
}

/* It needs its console to start, not a passphrase: none is fetched, spoken of in its intent, or a reason
 * for verified TLS. */
static void test_a_method_that_types_nothing(void **state)
{
    static const behaviour_t is = {SOL, .comes_up = 1, .tls = INVENTORY_TLS_NONE};
    unlock_pc_t *pc = unlock_pc_create(&is, *state);
    method_t method = *pc->unlock.method;
    method.types = 0;
    method.evidence = UNLOCK_PROBE;
    pc->unlock.method = &method;
    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "unlocked");
    assert_int_equal(pc->sets, 1);
    assert_int_equal(pc->passphrases, 0);
    assert_int_equal(pc->types, 0);
    assert_int_equal(pc->unlock.plan.types, 0);
    assert_null(strstr(pc->unlock.intent, "passphrase"));
}

static void test_the_intent_of_sol_can_be_taken_back(void **state)
{
    static const behaviour_t is = {SOL, .redirection_off = 1};
    unlock_pc_t *pc = unlock_pc_create(&is, *state);
    unlock_plan_t plan = {0};
    unlock_pc_run(pc);
    assert_int_equal(pc->redirects, 2);
    assert_int_equal(pc->sets, 1);
    assert_int_equal(pc->types, 1);
    intent_read(pc->unlock.intent, &plan, apr_time_from_sec(100));
    assert_int_equal(plan.boot, AMT_START_SOL);
    assert_int_equal(plan.redirection_before.state, AMT_REDIRECTION_OFF);
    assert_int_equal(plan.redirection_before.listener, 0);
    assert_int_equal(plan.redirection.state, AMT_REDIRECTION_SOL);
    assert_int_equal(plan.redirection.listener, 1);
    assert_non_null(strstr(pc->unlock.intent, "\"passphrase\":true"));
}

static void test_the_image_gets_the_passphrase_once(void **state)
{
    static const behaviour_t is = {IMAGE, .deaf = 2};
    unlock_pc_t *pc = unlock_pc_create(&is, *state);
    unlock_pc_run(pc);
    assert_string_equal(pc->passphrase_read, "correct horse");
    assert_int_equal(pc->types, 1);
    assert_int_equal(pc->passphrases, 1);
    assert_int_equal(pc->passphrases_concealed, 1); /* nothing shows what it proved itself with any more */
    assert_int_equal(pc->conceals, 1);
    assert_int_equal(pc->heard, 3);
    assert_non_null(strstr(pc->unlock.intent, "\"boot\":\"UseIDER,UseSOL\""));
}

/* Its connections are few, and a boot is long. */
static void test_amt_is_hung_up_on_while_the_pc_boots(void **state)
{
    static const behaviour_t sol = {SOL}, image = {IMAGE};
    static const struct {
        const behaviour_t *is;
        unlock_step_e listens;
    } cases[] = {{&sol, UNLOCK_PROMPT}, {&image, UNLOCK_HELLO}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unlock_pc_t *pc = unlock_pc_create(cases[i].is, *state);
        unlock_begin(&pc->unlock);
        while (pc->unlock.step != cases[i].listens)
            assert_true(unlock_pc_step(pc));
        assert_int_equal(pc->connected, 0);
        assert_int_equal(pc->console_open, 1);
        assert_int_equal(pc->drive_open, cases[i].listens == UNLOCK_HELLO);
        while (unlock_pc_step(pc))
            ;
        assert_string_equal(unlock_pc_ending(pc), "unlocked");
    }
}

/* Nothing is written where it stands as it should. */
static void test_redirection_that_is_on_is_not_written(void **state)
{
    static const behaviour_t is = {SOL};
    unlock_pc_t *pc = unlock_pc_create(&is, *state);
    unlock_pc_run(pc);
    assert_null(strstr(pc->unlock.intent, "redirection"));
    assert_int_equal(pc->redirects, 0);
    assert_int_equal(pc->clears, 0);
}

/* An intent comes from outside: what it says is bounded. */
static void test_an_intent_that_would_open_doors(void **state)
{
    static const char *const odd[] = {
        "{\"boot\":\"SecureErase\"}",
        "{\"boot\":7}",
        "{\"redirection\":{\"state\":32768,\"listener\":false},"
        "\"redirection_before\":{\"state\":32771,\"listener\":true}}",
        "{\"redirection\":{\"state\":32770,\"listener\":false},"
        "\"redirection_before\":{\"state\":32768,\"listener\":true}}",
        "{\"redirection\":{\"state\":99,\"listener\":true},\"redirection_before\":{\"state\":1}}",
        "{\"redirection\":7,\"redirection_before\":\"x\"}",
        "[1]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        unlock_plan_t plan = {0};
        intent_read(odd[i], &plan, apr_time_from_sec(100));
        if (plan.boot || plan.redirection.state || plan.redirection_before.state)
            fail_msg("%s was taken over", odd[i]);
    }
}

static void test_the_intent_says_what_and_what_before(void **state)
{
    static const behaviour_t is = {.overridden = 1, .power = 7};
    unlock_pc_t *pc = unlock_pc_create(&is, *state);
    unlock_pc_run(pc);
    assert_non_null(strstr(pc->unlock.intent, "\"power\":2"));
    assert_non_null(strstr(pc->unlock.intent, "\"power_before\":7"));
    assert_non_null(strstr(pc->unlock.intent, "\"clear_boot\":true"));
    assert_non_null(strstr(pc->unlock.intent, "\"device\":\"" DEVICE "\""));
    assert_int_equal(pc->clears, 1);
}

/* A master bus reset for a PC that runs, power on for all others, and the intent says which. */
static void test_the_intent_says_reset(void **state)
{
    static const behaviour_t ways[] = {
        {.power = 2, .hangs = 1, .resets = 1},
        {SOL, .power = 2, .hangs = 1, .resets = 1},
        {IMAGE, .power = 2, .hangs = 1, .resets = 1},
        {.resets = 1},
        {.resets = 1, .power = 4},
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        int runs = ways[i].power == 2;
        unlock_pc_t *pc = unlock_pc_create(&ways[i], *state);
        unlock_plan_t plan = {0};
        unlock_pc_run(pc);
        assert_int_equal(pc->power_requests, 1);
        assert_int_equal(pc->power_requested, runs ? AMT_POWER_RESET : AMT_POWER_ON);
        assert_int_equal(strstr(pc->unlock.intent, "\"power\":10,\"power_before\":2") != NULL, runs);
        assert_int_equal(strstr(pc->unlock.intent, "\"reset\":true") != NULL, runs);
        intent_read(pc->unlock.intent, &plan, apr_time_from_sec(100));
        assert_int_equal(plan.power, runs ? AMT_POWER_RESET : AMT_POWER_ON);
    }
}

/* What the console showed before the reset is no answer of the start that follows. */
static void test_what_stood_on_the_console_before_a_reset(void **state)
{
    static const behaviour_t is = {SOL, .power = 2, .hangs = 1, .resets = 1};
    static const char stale[] = "\r\nPlease unlock disk root: ";
    unlock_pc_t *pc = unlock_pc_create(&is, *state);
    unlock_begin(&pc->unlock);
    while (pc->unlock.step != UNLOCK_SET_BOOT)
        assert_true(unlock_pc_step(pc));
    unlock_input(&pc->unlock, stale, sizeof(stale) - 1);
    while (pc->power_requests == 0)
        assert_true(unlock_pc_step(pc));
    while (pc->types == 0)
        assert_true(unlock_pc_step(pc));
    assert_true(pc->now - pc->unlock.boot_until + pc->group.boot_timeout >= apr_time_from_sec(10));
    while (unlock_pc_step(pc))
        ;
    assert_string_equal(unlock_pc_ending(pc), "unlocked");
    assert_int_equal(pc->power_requests, 1);
}

/* A group with a power rate limit: every method waits right before its one power request, and a PC that is
 * not powered does not wait. */
static void test_the_power_rate_limit_comes_right_before_the_power_request(void **state)
{
    static const behaviour_t ways[] = {
        {.power_rate = 1},
        {.power_rate = 1, .overridden = 1},
        {.power_rate = 1, SOL},
        {.power_rate = 1, IMAGE},
        {.power_rate = 1, .power = 2},
        {.power_rate = 1, .power = 4},
        {.power_rate = 1, .power = 2, .hangs = 1, .resets = 1},
        {.power_rate = 1, .taken_over = 1, .intent = "{\"power\":2}"},
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        unlock_pc_t *pc = unlock_pc_create(&ways[i], *state);
        unlock_pc_run(pc);
        check_promises(pc, "power rate");
        assert_int_equal(pc->power_waits, pc->power_requests);
        assert_int_equal(pc->power_waits_after_power, 0);
    }
}

/* Whoever asks at the same time gets times that lie apart; groups do not wait for each other. */
static void test_the_pacer_gives_times_that_lie_apart(void **state)
{
    pacer_t *pacer = NULL;
    const apr_interval_time_t second = apr_time_from_sec(1);
    apr_time_t first = 0;
    assert_int_equal(pacer_create(&pacer, *state), APR_SUCCESS);
    first = pacer_take(pacer, "a", second);
    assert_true(first <= clock_boottime());
    assert_int_equal(pacer_take(pacer, "a", second), first + second);
    assert_true(pacer_take(pacer, "b", second) < first + second);
    assert_int_equal(pacer_take(pacer, "a", second), first + 2 * second);
}

int main(void)
{
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence_anywhere_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_lease_stops_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_draining_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_successor_takes_back_what_was_set_before_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_draining_at_the_end_of_the_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_draining_waits_for_what_others_cannot_see, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retries_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_silent_device_has_40_seconds_to_wake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waking_has_a_time_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_successor_takes_back_half_of_what_was_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_successor_makes_its_own_plan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_black_hole_takes_40_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_alarm_that_comes_early_is_set_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verifying_ends_by_the_deadline_of_the_intent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reasons_of_amt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_method_that_types_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_intent_says_what_and_what_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_intent_of_sol_can_be_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_image_gets_the_passphrase_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_amt_is_hung_up_on_while_the_pc_boots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redirection_that_is_on_is_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_intent_that_would_open_doors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_intent_says_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_stood_on_the_console_before_a_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_power_rate_limit_comes_right_before_the_power_request, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_pacer_gives_times_that_lie_apart, setup, teardown),
    };
    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
