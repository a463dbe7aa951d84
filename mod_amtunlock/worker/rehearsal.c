/* See rehearsal.h. */
#include "worker/rehearsal.h"

#include <apr_strings.h>

static rehearsal_t *rehearsal_of(unlock_t *unlock)
{
    return (rehearsal_t *)unlock;
}

/* An answer may not come from inside a port: it is given once the procedure has come to rest. */
static void due(unlock_t *unlock, void (*answer)(rehearsal_t *rehearsal))
{
    rehearsal_of(unlock)->answer = answer;
}

static void end(unlock_t *unlock, rehearsal_end_e how)
{
    rehearsal_of(unlock)->end = how;
    rehearsal_of(unlock)->over = 1;
}

/* ---- what was found -------------------------------------------------------------------------------------
 */

static void answer_chore(rehearsal_t *rehearsal, const seen_chore_t *chore)
{
    unlock_chore_answer(&rehearsal->unlock, chore->reason, chore->text);
}

static void answer_resolve(rehearsal_t *rehearsal)
{
    answer_chore(rehearsal, &rehearsal->seen->resolve);
}

static void answer_login(rehearsal_t *rehearsal)
{
    answer_chore(rehearsal, &rehearsal->seen->login);
}

static void answer_passphrase(rehearsal_t *rehearsal)
{
    answer_chore(rehearsal, &rehearsal->seen->passphrase);
}

static void answer_turn(rehearsal_t *rehearsal)
{
    unlock_turn_answer(&rehearsal->unlock);
}

static void answer_probe(rehearsal_t *rehearsal)
{
    unlock_probe_answer(&rehearsal->unlock, rehearsal->seen->probe_open);
}

static void answer_call(rehearsal_t *rehearsal)
{
    static const amt_result_t unasked = {.status = AMT_TIMEOUT, .text = "AMT was not asked for it"};
    const seen_t *seen = rehearsal->seen;
    unlock_call_answer(&rehearsal->unlock,
                       seen->asked[rehearsal->call] ? &seen->results[rehearsal->call] : &unasked);
}

static void answer_alarm(rehearsal_t *rehearsal)
{
    unlock_alarm(&rehearsal->unlock);
}

/* ---- the ports ----------------------------------------------------------------------------------------- */

static void port_resolve(unlock_t *unlock)
{
    due(unlock, answer_resolve);
}

static void port_login(unlock_t *unlock)
{
    due(unlock, answer_login);
}

static void port_passphrase(unlock_t *unlock)
{
    due(unlock, answer_passphrase);
}

static void port_turn(unlock_t *unlock)
{
    due(unlock, answer_turn);
}

static void port_probe(unlock_t *unlock, apr_interval_time_t timeout)
{
    (void)timeout;
    due(unlock, answer_probe);
}

static void port_call(unlock_t *unlock, unlock_call_e call)
{
    if ((int)call >= SEEN_LOOKS) {
        end(unlock, REHEARSAL_LOOKS);
        return;
    }
    rehearsal_of(unlock)->call = call;
    due(unlock, answer_call);
}

static void port_store(unlock_t *unlock, jobs_change_e change, char state)
{
    (void)state;
    end(unlock, change == JOBS_INTEND ? REHEARSAL_ACTS : REHEARSAL_ENDS);
}

/* Only what waits to ask again needs it: an answer is always there before. */
static void port_alarm(unlock_t *unlock, apr_interval_time_t after)
{
    (void)after;
    if (unlock->pausing) {
        due(unlock, answer_alarm);
    }
}

static void port_nothing(unlock_t *unlock)
{
    (void)unlock;
}

static const unlock_ports_t ports = {
    .resolve = port_resolve,
    .login = port_login,
    .passphrase = port_passphrase,
    .turn = port_turn,
    .pace = port_turn,
    .probe = port_probe,
    .call = port_call,
    .store = port_store,
    .alarm = port_alarm,
    .stop = port_nothing,
    .rest = port_nothing,
    .hang_up = port_nothing,
    .over = port_nothing,
    .now = jobs_boottime,
};

/* ---- the whole ----------------------------------------------------------------------------------------- */

static void tell_seen(rehearsal_t *rehearsal, apr_pool_t *pool)
{
    const seen_t *seen = rehearsal->seen;
    unlock_t *unlock = &rehearsal->unlock;
    rehearsal->task = (jobs_task_t){.job = "", .sid = seen->system->fqdn, .fence = ""};
    unlock->ports = &ports;
    unlock->task = &rehearsal->task;
    unlock->system = seen->system;
    unlock->method = method_find(seen->system->method);
    unlock->prompts = settings_prompts(setup_settings(seen->setup), seen->system->group->name);
    unlock->pool = pool;
    apr_cpystrn(unlock->address, seen->address, sizeof(unlock->address));
    apr_cpystrn(unlock->probe_address, seen->probe_address, sizeof(unlock->probe_address));
    unlock->identity = seen->identity;
    unlock->consent = seen->consent;
    unlock->redirection = seen->redirection;
    unlock->capabilities = seen->capabilities;
    unlock->boot = seen->boot;
    unlock->power = seen->power;
    unlock->saving = seen->saving;
}

rehearsal_t *rehearse(const seen_t *seen, apr_pool_t *pool)
{
    rehearsal_t *rehearsal = apr_pcalloc(pool, sizeof(*rehearsal));
    rehearsal->seen = seen;
    rehearsal->end = REHEARSAL_ENDS;
    tell_seen(rehearsal, pool);
    unlock_begin(&rehearsal->unlock);
    while (!rehearsal->over && rehearsal->answer != NULL) {
        void (*answer)(rehearsal_t *) = rehearsal->answer;
        rehearsal->answer = NULL;
        answer(rehearsal);
    }
    return rehearsal;
}
