#include "worker_pc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#define DEVICE "4c4c4544-0044-4a10-8058-b4c04f4a4a32"
#define STEPS_AT_MOST 100000

static worker_pc_t *pc_of(unlock_t *unlock)
{
    return (worker_pc_t *)unlock;
}

/* ---- the ports: they only note ---------------------------------------------------------------------------
 */

static void ask(unlock_t *unlock, asked_e what)
{
    worker_pc_t *pc = pc_of(unlock);
    if (pc->asked != ASKED_NOTHING) {
        fprintf(stderr, "two requests at once: %d and %d\n", pc->asked, what);
        abort();
    }
    pc->asked = what;
}

static void port_resolve(unlock_t *unlock)
{
    ask(unlock, ASKED_RESOLVE);
}

static void port_login(unlock_t *unlock)
{
    pc_of(unlock)->logins++;
    ask(unlock, ASKED_LOGIN);
}

static void port_turn(unlock_t *unlock)
{
    ask(unlock, ASKED_TURN);
}

static void port_probe(unlock_t *unlock, apr_interval_time_t timeout)
{
    (void)timeout;
    pc_of(unlock)->probes++;
    ask(unlock, ASKED_PROBE);
}

static void port_call(unlock_t *unlock, unlock_call_e call)
{
    worker_pc_t *pc = pc_of(unlock);
    int writes = call == UNLOCK_CALL_CLEAR_BOOT || call == UNLOCK_CALL_POWER_ON;
    ask(unlock, ASKED_CALL);
    pc->call = call;
    pc->calls++;
    pc->connected = 1;
    pc->power_requests += call == UNLOCK_CALL_POWER_ON;
    pc->clears += call == UNLOCK_CALL_CLEAR_BOOT;
    pc->writes_without_intent += writes && (!pc->intents || pc->is.look);
}

static void port_store(unlock_t *unlock, jobs_change_e change, char state)
{
    worker_pc_t *pc = pc_of(unlock);
    ask(unlock, ASKED_STORE);
    unlock->storing = 1;
    pc->change = change;
    pc->change_state = state;
}

static void port_alarm(unlock_t *unlock, apr_interval_time_t after)
{
    pc_of(unlock)->alarm_at = pc_of(unlock)->now + after;
}

/* The store cannot be stopped; everything else can. */
static void port_stop(unlock_t *unlock)
{
    worker_pc_t *pc = pc_of(unlock);
    pc->alarm_at = 0;
    if (pc->asked != ASKED_STORE)
        pc->asked = ASKED_NOTHING;
}

static void port_hang_up(unlock_t *unlock)
{
    pc_of(unlock)->connected = 0;
}

static void port_over(unlock_t *unlock)
{
    pc_of(unlock)->over++;
}

/* One test, one PC at a time. */
static worker_pc_t *current;

static apr_time_t port_now(void)
{
    return current->now;
}

static const unlock_ports_t ports = {
    .resolve = port_resolve,
    .login = port_login,
    .turn = port_turn,
    .probe = port_probe,
    .call = port_call,
    .store = port_store,
    .alarm = port_alarm,
    .stop = port_stop,
    .hang_up = port_hang_up,
    .over = port_over,
    .now = port_now,
};

/* ---- answers ---------------------------------------------------------------------------------------------
 */

static void answer_resolve(worker_pc_t *pc)
{
    apr_cpystrn(pc->unlock.address, "192.0.2.7", sizeof(pc->unlock.address));
    apr_cpystrn(pc->unlock.probe_address, "192.0.2.7", sizeof(pc->unlock.probe_address));
    unlock_chore_answer(&pc->unlock, pc->is.resolve, "no such name");
}

static void answer_login(worker_pc_t *pc)
{
    unlock_chore_answer(&pc->unlock, pc->is.login, "no login");
}

static void answer_turn(worker_pc_t *pc)
{
    unlock_turn_answer(&pc->unlock);
}

static void answer_probe(worker_pc_t *pc)
{
    int up = pc->power == 2 && pc->now >= pc->up_at && !pc->is.never_boots;
    unlock_probe_answer(&pc->unlock, up || pc->is.probe_open_before);
}

static void start_pc(worker_pc_t *pc)
{
    if (pc->is.does_nothing || pc->power == 2)
        return;
    pc->power = 2;
    pc->up_at = pc->now + apr_time_from_sec(pc->is.boot_seconds ? pc->is.boot_seconds : 20);
}

static void fill(worker_pc_t *pc)
{
    apr_cpystrn(pc->unlock.identity.uuid, DEVICE, sizeof(pc->unlock.identity.uuid));
    pc->unlock.boot.overridden = pc->is.overridden;
    if (pc->call == UNLOCK_CALL_POWER) {
        pc->unlock.power = (amt_power_t){.state = pc->power, .on_available = !pc->is.on_unavailable};
        if (pc->is.power_later && pc->power != 2)
            pc->power = pc->is.power_later;
    }
}

static void answer_call(worker_pc_t *pc)
{
    amt_result_t result = {.status = AMT_OK, .return_value = 0, .text = ""};
    int fails = pc->is.fails && pc->is.call == pc->call && (!pc->is.times || pc->failed < pc->is.times);
    if (fails) {
        pc->failed++;
        result = (amt_result_t){.status = pc->is.status, .acted = pc->is.acted, .text = "as the test says"};
    }
    if (pc->call == UNLOCK_CALL_POWER_ON && (!fails || pc->is.acted))
        start_pc(pc);
    if (!fails)
        fill(pc);
    unlock_call_answer(&pc->unlock, &result);
}

static void count_change(worker_pc_t *pc)
{
    pc->intents += pc->change == JOBS_INTEND;
    pc->finishes += pc->change == JOBS_FINISH;
    pc->releases += pc->change == JOBS_RELEASE;
    pc->progress += pc->change == JOBS_PROGRESS;
}

static void answer_store(worker_pc_t *pc)
{
    if (pc->is.store_fails && pc->is.change == pc->change) {
        unlock_store_answer(&pc->unlock, pc->is.outcome, !pc->is.not_audited, "as the test says");
        return;
    }
    count_change(pc);
    unlock_store_answer(&pc->unlock, JOBS_OK, 1, "");
}

/* ---- running ---------------------------------------------------------------------------------------------
 */

worker_pc_t *worker_pc_create(const behaviour_t *is, apr_pool_t *pool)
{
    worker_pc_t *pc = apr_pcalloc(pool, sizeof(*pc));
    pc->is = *is;
    pc->pool = pool;
    pc->now = apr_time_from_sec(1000);
    pc->power = is->power ? is->power : 8;
    pc->up_at = pc->now;
    pc->task = (jobs_task_t){.job = "job",
                             .sid = "pc.example.com",
                             .fence = "1",
                             .look = is->look,
                             .intent = is->intent,
                             .caller = "c",
                             .peer = "p",
                             .mechanism = "krb5"};
    pc->group = (inventory_group_t){.name = "default", .boot_timeout = apr_time_from_sec(120)};
    pc->system = (inventory_system_t){.fqdn = "pc.example.com",
                                      .address = is->named ? NULL : "192.0.2.7",
                                      .uuid = is->uuid,
                                      .group = &pc->group,
                                      .method = INVENTORY_WAKE,
                                      .probe_port = 22};
    pc->unlock.ports = &ports;
    pc->unlock.task = &pc->task;
    pc->unlock.system = &pc->system;
    pc->unlock.method = method_find(INVENTORY_WAKE);
    pc->unlock.pool = pool;
    current = pc;
    return pc;
}

static int fire_alarm(worker_pc_t *pc)
{
    if (pc->alarm_at == 0)
        return 0;
    if (pc->alarm_at > pc->now)
        pc->now = pc->alarm_at;
    pc->alarm_at = 0;
    unlock_alarm(&pc->unlock);
    return 1;
}

int worker_pc_step(worker_pc_t *pc)
{
    static void (*const answers[])(worker_pc_t *) = {
        [ASKED_RESOLVE] = answer_resolve, [ASKED_LOGIN] = answer_login, [ASKED_TURN] = answer_turn,
        [ASKED_PROBE] = answer_probe,     [ASKED_CALL] = answer_call,   [ASKED_STORE] = answer_store};
    asked_e asked = pc->asked;
    if (asked == ASKED_NOTHING)
        return fire_alarm(pc);
    if (++pc->answered == pc->ignore_at)
        return fire_alarm(pc);
    pc->asked = ASKED_NOTHING;
    pc->now += apr_time_from_msec(5);
    answers[asked](pc);
    return 1;
}

void worker_pc_run(worker_pc_t *pc)
{
    int steps = 0;
    unlock_begin(&pc->unlock);
    while (worker_pc_step(pc)) {
        if (++steps > STEPS_AT_MOST) {
            fprintf(stderr, "no end in sight at step %s\n", unlock_step_name(&pc->unlock));
            abort();
        }
    }
}

const char *worker_pc_ending(const worker_pc_t *pc)
{
    if (pc->finishes)
        return pc->unlock.state == 'U' ? "unlocked" : jobs_reason(pc->unlock.reason)->code;
    return pc->releases ? "released" : "left";
}
