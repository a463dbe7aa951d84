/* SPDX-License-Identifier: Apache-2.0 */
#include "pc.h"

#include "log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define OPT_IN_SECONDS 120
#define RESUME_SECONDS 0.3
#define STALE_SECONDS 2.0 /* that what may be requested lags behind the power state */

static struct event_base *loop;
static struct pc_hooks hook;
static struct account administrator;

static void boot_step(evutil_socket_t fd, short what, void *arg);
static void power_completes(evutil_socket_t fd, short what, void *arg);
static void opt_in_lapses(evutil_socket_t fd, short what, void *arg);

void pc_setup(struct event_base *base, const struct pc_hooks *hooks)
{
    loop = base;
    hook = *hooks;
}

void pc_set_administrator(const char *password)
{
    administrator.name = PC_ADMINISTRATOR;
    administrator.password = password;
    administrator.realms = REALM_ADMINISTRATION;
}

const struct account *pc_account(const struct pc *pc, const char *name, struct account *account)
{
    if (!strcmp(name, administrator.name)) {
        *account = administrator;
        return account;
    }
    if (strcmp(name, PC_USER) != 0)
        return NULL;
    pc_domain_account(pc, account);
    account->name = PC_USER;
    account->password = pc->password;
    return account;
}

void pc_domain_account(const struct pc *pc, struct account *account)
{
    account->name = "";
    account->password = NULL;
    account->realms = pc->options->realms;
}

static void clear_boot_options(struct pc *pc)
{
    memset(&pc->boot, 0, sizeof(pc->boot));
    pc->boot_source = -1;
    pc->role = ROLE_NOT_NEXT;
    pc->options_cleared = true;
}

void pc_init(struct pc *pc, const struct options *options)
{
    pc->options = options;
    pc->power = POWER_OFF_SOFT;
    pc->stage = STAGE_OFF;
    pc->booted_source = -1;
    clear_boot_options(pc);
    pc->redirection = REDIRECTION_NONE | REDIRECTION_IDER | REDIRECTION_SOL;
    pc->listener_enabled = true;
    event_assign(&pc->timer, loop, -1, 0, boot_step, pc);
    event_assign(&pc->power_timer, loop, -1, 0, power_completes, pc);
    event_assign(&pc->opt_in_timer, loop, -1, 0, opt_in_lapses, pc);
}

void pc_stop(struct pc *pc)
{
    event_del(&pc->timer);
    event_del(&pc->power_timer);
    event_del(&pc->opt_in_timer);
}

double pc_random(struct pc *pc)
{
    /* splitmix64: small, and its stream depends on nothing but the seed */
    uint64_t x = pc->random += 0x9e3779b97f4a7c15U;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    x ^= x >> 31;
    return (double)(x >> 11) / 9007199254740992.0; /* 2^53 */
}

static double between(struct pc *pc, double min, double max)
{
    return min + pc_random(pc) * (max - min);
}

static void arm(struct event *timer, double seconds)
{
    struct timeval tv = {(time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};

    event_add(timer, &tv);
}

static double seconds_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- faults -------------------------------------------------------------------------------------------- */

bool pc_has(const struct pc *pc, enum fault fault)
{
    return (pc->faults & (1UL << fault)) != 0;
}

void pc_set_fault(struct pc *pc, enum fault fault, bool on)
{
    if (on)
        pc->faults |= 1UL << fault;
    else
        pc->faults &= ~(1UL << fault);
    if (fault == FAULT_SWITCHED_ON)
        pc->user_acted = false;
    if (fault == FAULT_CONSENT) {
        pc->opt_in_required = on ? 0xffffffffU : 0;
        pc_opt_in_cancel(pc);
    }
}

/* ---- boot and power ------------------------------------------------------------------------------------ */

static const char *const boot_sources[] = {
    "Intel(r) AMT: Force Hard-drive Boot",
    "Intel(r) AMT: Force PXE Boot",
    "Intel(r) AMT: Force CD/DVD Boot",
};

const char *pc_boot_source(int n)
{
    return n >= 0 && n < (int)(sizeof(boot_sources) / sizeof(*boot_sources)) ? boot_sources[n] : NULL;
}

static void host_down(struct pc *pc)
{
    bool was_up = pc->stage == STAGE_UP;

    event_del(&pc->timer);
    pc->stage = STAGE_OFF;
    if (was_up && hook.os_down)
        hook.os_down(pc);
}

static void lock_disk(struct pc *pc)
{
    if (!pc->disk_unlocked)
        return;
    pc->disk_unlocked = false;
    log_event(pc->fqdn, "locked", NULL);
}

static void go_down(struct pc *pc, enum power power)
{
    host_down(pc);
    pc->power = power;
    if (power == POWER_SLEEP_DEEP)
        pc->stage = STAGE_ASLEEP;
    log_event(pc->fqdn, "off", json_pack("{s:i}", "power", power));
    if (power != POWER_SLEEP_DEEP)
        lock_disk(pc);
    if (hook.power_gone)
        hook.power_gone(pc);
}

/* Boot options last one boot, and only if the role said that this is the one. */
static void take_boot_options(struct pc *pc)
{
    memset(&pc->booted, 0, sizeof(pc->booted));
    pc->booted_source = -1;
    if (pc->role != ROLE_NEXT_SINGLE_USE)
        return;
    pc->booted = pc->boot;
    pc->booted_source = pc->boot_source;
    clear_boot_options(pc);
}

static void boot(struct pc *pc, const char *by)
{
    unsigned role = pc->role;

    take_boot_options(pc);
    if (pc->body || pc->player)
        lock_disk(pc); /* its key was in the memory of a system that is no more */
    bool stops = pc->booted.use_ider || (pc->method != METHOD_WAKE && !pc->disk_unlocked);
    pc->power = POWER_ON;
    pc->stage = STAGE_FIRMWARE;
    pc->boots++;
    pc->boot_seconds = between(pc, pc->options->boot_min, pc->options->boot_max);
    log_event(pc->fqdn, "boot",
              json_pack("{s:b, s:b, s:s?, s:i, s:s}", "use_sol", pc->booted.use_sol, "use_ider",
                        pc->booted.use_ider, "source", pc_boot_source(pc->booted_source), "role", (int)role,
                        "by", by));
    if (!pc->body)
        arm(&pc->timer, stops ? pc->boot_seconds / 2 : pc->boot_seconds);
    if (hook.booting)
        hook.booting(pc);
}

static void unlock_disk(struct pc *pc)
{
    pc->disk_unlocked = true;
    log_event(pc->fqdn, "unlocked", NULL);
}

static void os_up(struct pc *pc)
{
    if (pc_has(pc, FAULT_NO_SYSTEM))
        return; /* it starts, for ever */
    pc->stage = STAGE_UP;
    if (hook.os_up && !pc_has(pc, FAULT_STANDBY))
        hook.os_up(pc);
    log_event(pc->fqdn, "os-up", NULL);
}

static void ask_or_finish(struct pc *pc)
{
    if (pc->method != METHOD_WAKE && !pc->disk_unlocked) {
        pc->stage = STAGE_PROMPT;
        if (hook.prompt)
            hook.prompt(pc);
        return;
    }
    if (!pc->disk_unlocked)
        unlock_disk(pc); /* network-bound encryption: the key came by itself */
    os_up(pc);
}

static void boot_step(evutil_socket_t fd, short what, void *arg)
{
    struct pc *pc = arg;

    (void)fd;
    (void)what;
    if (pc->stage == STAGE_FIRMWARE && pc->booted.use_ider) {
        pc->stage = STAGE_IMAGE;
        if (hook.boot_image && hook.boot_image(pc))
            return;
        pc_boot_from_disk(pc);
        return;
    }
    if (pc->stage == STAGE_FIRMWARE)
        ask_or_finish(pc);
    else
        os_up(pc); /* STAGE_STARTING: the disk is open, or its user was only asleep */
}

void pc_boot_from_disk(struct pc *pc)
{
    bool prompts = pc->method != METHOD_WAKE && !pc->disk_unlocked;

    if (pc->stage != (pc->body ? STAGE_FIRMWARE : STAGE_IMAGE))
        return;
    log_event(pc->fqdn, "drive-left", NULL);
    pc->stage = STAGE_FIRMWARE;
    pc->booted.use_ider = false;
    if (!pc->body)
        arm(&pc->timer, prompts ? 0 : pc->boot_seconds / 2);
}

void pc_open_disk(struct pc *pc)
{
    if (pc->power == POWER_ON && !pc->disk_unlocked)
        unlock_disk(pc);
}

void pc_unlock(struct pc *pc)
{
    if (pc->power != POWER_ON || pc->disk_unlocked)
        return;
    unlock_disk(pc);
    pc->stage = STAGE_STARTING;
    if (!pc->body && !pc->player)
        arm(&pc->timer, pc->boot_seconds / 2);
}

void pc_reach(struct pc *pc, enum stage stage)
{
    bool before = pc->stage == STAGE_FIRMWARE || pc->stage == STAGE_IMAGE;

    if ((stage == STAGE_IMAGE || stage == STAGE_PROMPT) && before)
        pc->stage = stage;
    if (stage == STAGE_STARTING)
        pc_unlock(pc);
    if (stage == STAGE_UP && pc->stage == STAGE_STARTING)
        os_up(pc);
}

void pc_switch_itself_off(struct pc *pc)
{
    if (pc->power == POWER_ON)
        go_down(pc, POWER_OFF_SOFT);
}

void pc_restart_warm(struct pc *pc)
{
    if (pc->power != POWER_ON)
        return;
    host_down(pc);
    log_event(pc->fqdn, "restart", json_pack("{s:s}", "kind", "warm"));
    boot(pc, "guest");
}

static void wake_from_sleep(struct pc *pc)
{
    pc->power = POWER_ON;
    pc->stage = STAGE_STARTING;
    arm(&pc->timer, RESUME_SECONDS);
}

static void switch_on(struct pc *pc, const char *by)
{
    if (pc->power == POWER_SLEEP_DEEP)
        wake_from_sleep(pc);
    else
        boot(pc, by);
}

static void change_power(struct pc *pc, enum power to, const char *by)
{
    pc->available_before = pc_power_available(pc);
    pc->power_changed = seconds_now();
    switch (to) {
    case POWER_ON:
        switch_on(pc, by);
        break;
    case POWER_RESET:
    case POWER_RESET_GRACEFUL:
        host_down(pc);
        boot(pc, by);
        break;
    case POWER_CYCLE_SOFT:
        go_down(pc, POWER_OFF_SOFT);
        boot(pc, by);
        break;
    case POWER_OFF_SOFT:
    case POWER_OFF_GRACEFUL:
        go_down(pc, POWER_OFF_SOFT);
        break;
    case POWER_SLEEP_DEEP:
    case POWER_HIBERNATE:
        go_down(pc, to);
        break;
    case POWER_NMI:
        break; /* the guests here live through it */
    }
}

/* The rest of the power states that CIM knows are not offered by any PC here. */
static bool is_known(int requested)
{
    static const int known[] = {2, 4, 5, 7, 8, 10, 11, 12, 14, 0};

    for (const int *state = known; *state; state++) {
        if (*state == requested)
            return true;
    }
    return false;
}

const int *pc_power_available(const struct pc *pc)
{
    static const int up[] = {10, 8, 5, 11, 4, 7, 14, 12, 0}; /* 4, 7, 14, 12 ask the operating system */
    static const int on[] = {10, 8, 5, 11, 0};
    static const int asleep[] = {8, 2, 5, 0};
    static const int off[] = {2, 0};

    if (pc->power == POWER_ON) /* a body's system is not asked for anything */
        return pc->stage == STAGE_UP && !pc->body ? up : on;
    return pc->power == POWER_SLEEP_DEEP ? asleep : off;
}

const int *pc_power_offered(const struct pc *pc)
{
    bool stale = pc_has(pc, FAULT_STALE_POWER_LIST) && pc->available_before &&
                 seconds_now() - pc->power_changed < STALE_SECONDS;

    return stale ? pc->available_before : pc_power_available(pc);
}

static bool is_available(const struct pc *pc, int requested)
{
    for (const int *state = pc_power_available(pc); *state; state++) {
        if (*state == requested)
            return true;
    }
    return false;
}

static enum power_result judge(const struct pc *pc, int requested)
{
    if (requested < 2 || requested > 16)
        return RESULT_INVALID_PARAMETER;
    if (!is_known(requested))
        return RESULT_NOT_SUPPORTED;
    if (pc->changing)
        return RESULT_BUSY;
    if (!is_available(pc, requested))
        return RESULT_NOT_READY;
    if ((requested == POWER_CYCLE_SOFT || requested == POWER_OFF_SOFT) && hook.redirected &&
        hook.redirected(pc))
        return RESULT_INVALID_TRANSITION;
    return RESULT_OK;
}

/* The state that a request leads to in the end. */
static int destination(const struct pc *pc, int requested)
{
    switch (requested) {
    case POWER_OFF_GRACEFUL:
        return POWER_OFF_SOFT;
    case POWER_SLEEP_DEEP:
    case POWER_HIBERNATE:
    case POWER_OFF_SOFT:
        return requested;
    case POWER_NMI:
        return pc->power;
    default:
        return POWER_ON;
    }
}

enum power_result pc_request_power(struct pc *pc, int requested, bool valid)
{
    enum power_result result = valid ? judge(pc, requested) : RESULT_INVALID_PARAMETER;
    int to = result == RESULT_OK ? destination(pc, requested) : (int)pc->power;

    pc->power_requests++;
    log_event(pc->fqdn, "power",
              json_pack("{s:i, s:i, s:i, s:i}", "request", requested, "from", pc->power, "to", to, "result",
                        result));
    if (result != RESULT_OK || pc_has(pc, FAULT_POWER_IGNORED))
        return result;
    pc->changing = true;
    pc->changing_to = (enum power)requested;
    arm(&pc->power_timer, between(pc, pc->options->power_min, pc->options->power_max));
    return result;
}

void pc_log_refused_power(struct pc *pc, int requested, int result)
{
    pc->power_requests++;
    log_event(pc->fqdn, "power",
              json_pack("{s:i, s:i, s:i, s:o}", "request", requested, "from", pc->power, "to", pc->power,
                        "result", result < 0 ? json_null() : json_integer(result)));
}

static void power_completes(evutil_socket_t fd, short what, void *arg)
{
    struct pc *pc = arg;

    (void)fd;
    (void)what;
    pc->changing = false;
    /* its user may have been quicker: then the request finds nothing to do, and never reboots a running PC */
    if (is_available(pc, pc->changing_to))
        change_power(pc, pc->changing_to, "amt");
}

bool pc_user_power(struct pc *pc, int to)
{
    if (!is_known(to) || !is_available(pc, to))
        return false;
    change_power(pc, (enum power)to, "user");
    return true;
}

void pc_power_was_read(struct pc *pc)
{
    pc->power_reads++;
    if (!pc_has(pc, FAULT_SWITCHED_ON) || pc->user_acted || pc->changing)
        return;
    pc->user_acted = pc_user_power(pc, POWER_ON);
}

/* ---- the user's consent -------------------------------------------------------------------------------- */

enum { OPT_IN_NOT_STARTED, OPT_IN_REQUESTED, OPT_IN_DISPLAYED, OPT_IN_RECEIVED, OPT_IN_IN_SESSION };
enum { OPT_IN_OK, OPT_IN_INTERNAL_ERROR, OPT_IN_INVALID_STATE, OPT_IN_BLOCKED };

bool pc_consented(const struct pc *pc)
{
    return pc->opt_in_required != 0xffffffffU || pc->opt_in_state >= OPT_IN_RECEIVED;
}

static void opt_in_lapses(evutil_socket_t fd, short what, void *arg)
{
    struct pc *pc = arg;

    (void)fd;
    (void)what;
    if (hook.redirected && hook.redirected(pc)) {
        arm(&pc->opt_in_timer, OPT_IN_SECONDS);
        return;
    }
    pc_opt_in_cancel(pc);
    clear_boot_options(pc);
}

unsigned pc_opt_in_start(struct pc *pc)
{
    if (pc->opt_in_required == 0 || pc->opt_in_state != OPT_IN_NOT_STARTED)
        return OPT_IN_INVALID_STATE;
    snprintf(pc->opt_in_code, sizeof(pc->opt_in_code), "%06d", (int)(pc_random(pc) * 1000000));
    pc->opt_in_state = OPT_IN_DISPLAYED;
    arm(&pc->opt_in_timer, OPT_IN_SECONDS);
    return OPT_IN_OK;
}

unsigned pc_opt_in_code(struct pc *pc, const char *code)
{
    if (pc->opt_in_state != OPT_IN_DISPLAYED)
        return OPT_IN_INVALID_STATE;
    if (strcmp(code, pc->opt_in_code) != 0) {
        pc_opt_in_cancel(pc);
        return OPT_IN_BLOCKED;
    }
    pc->opt_in_state = OPT_IN_RECEIVED;
    arm(&pc->opt_in_timer, OPT_IN_SECONDS);
    return OPT_IN_OK;
}

unsigned pc_opt_in_cancel(struct pc *pc)
{
    unsigned result = pc->opt_in_state == OPT_IN_NOT_STARTED ? OPT_IN_INVALID_STATE : OPT_IN_OK;

    pc->opt_in_state = OPT_IN_NOT_STARTED;
    pc->opt_in_code[0] = '\0';
    event_del(&pc->opt_in_timer);
    return result;
}

/* ---- for the control socket ---------------------------------------------------------------------------- */

static json_t *fault_list(const struct pc *pc)
{
    json_t *list = json_array();

    for (int i = 0; i < FAULT_COUNT; i++) {
        if (pc_has(pc, (enum fault)i))
            json_array_append_new(list, json_string(fault_name((enum fault)i)));
    }
    return list;
}

static const char *stage_name(enum stage stage)
{
    static const char *const names[] = {
        [STAGE_OFF] = "down",      [STAGE_FIRMWARE] = "firmware", [STAGE_IMAGE] = "image",
        [STAGE_PROMPT] = "prompt", [STAGE_STARTING] = "starting", [STAGE_UP] = "up",
        [STAGE_ASLEEP] = "asleep",
    };

    return names[stage];
}

json_t *pc_state(const struct pc *pc)
{
    json_t *boot_options =
        json_pack("{s:b, s:b, s:s?, s:i}", "use_sol", pc->boot.use_sol, "use_ider", pc->boot.use_ider,
                  "source", pc_boot_source(pc->boot_source), "role", (int)pc->role);
    json_t *redirection =
        json_pack("{s:i, s:b}", "enabled_state", (int)pc->redirection, "listener", pc->listener_enabled);

    return json_pack("{s:s, s:s, s:i, s:s, s:s, s:b, s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I}", "system",
                     pc->fqdn, "method", method_name(pc->method), "power", pc->power, "disk",
                     pc->disk_unlocked ? "unlocked" : "locked", "os", stage_name(pc->stage), "changing",
                     pc->changing, "boot", boot_options, "redirection", redirection, "faults", fault_list(pc),
                     "opt_in_code", pc->opt_in_code, "power_requests", (json_int_t)pc->power_requests,
                     "power_reads", (json_int_t)pc->power_reads, "connections", (json_int_t)pc->connections,
                     "requests", (json_int_t)pc->requests, "boots", (json_int_t)pc->boots);
}
