/* SPDX-License-Identifier: Apache-2.0 */
/* See dry_run_priv.h. */
#include "preflight/dry_run_priv.h"

#include <apr_strings.h>

static dry_run_t *dry_run_of(unlock_t *unlock)
{
    return (dry_run_t *)unlock;
}

/* An answer may not come from inside an op: it is given once the procedure has come to rest. */
static void answer_later(unlock_t *unlock, void (*answer)(dry_run_t *dry_run))
{
    dry_run_of(unlock)->answer = answer;
}

static void end_dry_run(unlock_t *unlock, dry_run_end_e how)
{
    dry_run_of(unlock)->end = how;
    dry_run_of(unlock)->over = 1;
}

/* ---- answers ------------------------------------------------------------------------------------------- */

static void answer_work(dry_run_t *dry_run, const facts_work_t *work)
{
    unlock_work_answer(&dry_run->unlock, work->reason, work->text);
}

static void answer_resolve(dry_run_t *dry_run)
{
    answer_work(dry_run, &dry_run->facts->resolve);
}

static void answer_login(dry_run_t *dry_run)
{
    answer_work(dry_run, &dry_run->facts->login);
}

static void answer_passphrase(dry_run_t *dry_run)
{
    answer_work(dry_run, &dry_run->facts->passphrase);
}

static void answer_permit(dry_run_t *dry_run)
{
    unlock_permit_answer(&dry_run->unlock);
}

static void answer_probe(dry_run_t *dry_run)
{
    unlock_probe_answer(&dry_run->unlock, dry_run->facts->probe_open);
}

static void answer_call(dry_run_t *dry_run)
{
    static const amt_result_t unasked = {.status = AMT_TIMEOUT, .text = "AMT was not asked for it"};
    const facts_t *facts = dry_run->facts;

    unlock_call_answer(&dry_run->unlock,
                       facts->asked[dry_run->call] ? &facts->results[dry_run->call] : &unasked);
}

static void answer_alarm(dry_run_t *dry_run)
{
    unlock_alarm(&dry_run->unlock);
}

/* ---- the ops ------------------------------------------------------------------------------------------- */

static void dry_run_resolve(unlock_t *unlock)
{
    answer_later(unlock, answer_resolve);
}

static void dry_run_login(unlock_t *unlock)
{
    answer_later(unlock, answer_login);
}

static void dry_run_passphrase(unlock_t *unlock)
{
    answer_later(unlock, answer_passphrase);
}

static void dry_run_permit(unlock_t *unlock)
{
    answer_later(unlock, answer_permit);
}

static void dry_run_probe(unlock_t *unlock, apr_interval_time_t timeout)
{
    (void)timeout;
    answer_later(unlock, answer_probe);
}

static void dry_run_call(unlock_t *unlock, unlock_call_e call)
{
    if ((int)call >= AMT_READS) {
        end_dry_run(unlock, DRY_RUN_LOOKS);
        return;
    }
    dry_run_of(unlock)->call = call;
    answer_later(unlock, answer_call);
}

static void dry_run_store(unlock_t *unlock, jobs_change_e change, char state)
{
    (void)state;
    end_dry_run(unlock, change == JOBS_INTEND ? DRY_RUN_ACTS : DRY_RUN_ENDS);
}

/* Answers are always there before their time-out; only a step that waits to send again needs its alarm. */
static void dry_run_alarm(unlock_t *unlock, apr_interval_time_t after)
{
    (void)after;
    if (unlock->pausing) {
        answer_later(unlock, answer_alarm);
    }
}

static void dry_run_nothing(unlock_t *unlock)
{
    (void)unlock;
}

static const unlock_ops_t ops = {
    .resolve = dry_run_resolve,
    .login = dry_run_login,
    .passphrase = dry_run_passphrase,
    .permit = dry_run_permit,
    .power_wait = dry_run_permit,
    .probe = dry_run_probe,
    .call = dry_run_call,
    .store = dry_run_store,
    .alarm = dry_run_alarm,
    .stop = dry_run_nothing,
    .conceal = dry_run_nothing,
    .rest = dry_run_nothing,
    .hang_up = dry_run_nothing,
    .over = dry_run_nothing,
    .now = clock_boottime,
};

/* ---- the run ------------------------------------------------------------------------------------------- */

static void fill_in_facts(dry_run_t *dry_run, apr_pool_t *pool)
{
    const facts_t *facts = dry_run->facts;
    unlock_t *unlock = &dry_run->unlock;

    dry_run->task = (jobs_task_t){.ref.job = "", .ref.system = facts->system->fqdn, .ref.fence = ""};
    unlock->ops = &ops;
    unlock->task = &dry_run->task;
    unlock->inventory = snapshot_inventory(facts->snapshot);
    unlock->system = facts->system;
    unlock->method = method_find(facts->system->method);
    unlock->prompts = settings_prompts(snapshot_settings(facts->snapshot), facts->system->group->name);
    unlock->pool = pool;
    unlock->addresses.count = facts->address[0] != '\0';
    apr_cpystrn(unlock->addresses.text[0], facts->address, sizeof(unlock->addresses.text[0]));
    unlock->probe_addresses = facts->probe_addresses;
    unlock->facts = facts->amt;
}

dry_run_t *dry_run_make(const facts_t *facts, apr_pool_t *pool)
{
    dry_run_t *dry_run = apr_pcalloc(pool, sizeof(*dry_run));

    dry_run->facts = facts;
    dry_run->end = DRY_RUN_ENDS;
    fill_in_facts(dry_run, pool);
    unlock_begin(&dry_run->unlock);
    while (!dry_run->over && dry_run->answer != NULL) {
        void (*answer)(dry_run_t *) = dry_run->answer;

        dry_run->answer = NULL;
        answer(dry_run);
    }
    return dry_run;
}
