/* SPDX-License-Identifier: Apache-2.0 */
#include "unlock_pc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "proof/keys_priv.h"
#include "unlock/intent.h"

#define DEVICE "4c4c4544-0044-4a10-8058-b4c04f4a4a32"
#define OTHER_DEVICE "4c4c4544-0044-4a10-8058-b4c04f4a4a33"
#define STEPS_AT_MOST 100000
#define PROMPT "Please unlock disk root: "

static unlock_pc_t *pc_of(unlock_t *unlock)
{
    return (unlock_pc_t *)unlock;
}

/* ---- the ops: they only note ------------------------------------------------------------------------- */

static void ask(unlock_t *unlock, asked_e what)
{
    unlock_pc_t *pc = pc_of(unlock);
    if (pc->asked != ASKED_NOTHING) {
        fprintf(stderr, "two requests at once: %d and %d\n", pc->asked, what);
        abort();
    }
    pc->asked = what;
    pc->ignoring = 0;
}

static void op_resolve(unlock_t *unlock)
{
    ask(unlock, ASKED_RESOLVE);
}

static void op_login(unlock_t *unlock)
{
    pc_of(unlock)->logins++;
    ask(unlock, ASKED_LOGIN);
}

static void op_passphrase(unlock_t *unlock)
{
    pc_of(unlock)->passphrases++;
    pc_of(unlock)->passphrases_concealed += pc_of(unlock)->conceals > 0;
    ask(unlock, ASKED_PASSPHRASE);
}

static void op_permit(unlock_t *unlock)
{
    ask(unlock, ASKED_PERMIT);
}

static void op_power_wait(unlock_t *unlock)
{
    unlock_pc_t *pc = pc_of(unlock);
    pc->power_waits++;
    pc->power_waits_after_power += pc->power_requests > 0;
    op_permit(unlock);
}

static void op_probe(unlock_t *unlock, apr_interval_time_t timeout)
{
    (void)timeout;
    pc_of(unlock)->probes++;
    ask(unlock, ASKED_PROBE);
}

/* What a call changes on the PC; a task that is verified only may change only what its intent speaks of. */
static int is_allowed(const unlock_pc_t *pc, unlock_call_e call)
{
    static const struct {
        unlock_call_e call;
        const char *named;
    } writes[] = {
        {UNLOCK_CALL_CLEAR_BOOT, "UseSOL"},
        {UNLOCK_CALL_SET_REDIRECTION, "redirection"},
        {UNLOCK_CALL_SET_BOOT, "-"},
        {UNLOCK_CALL_POWER_ON, "-"},
        {UNLOCK_CALL_TYPE, "-"},
        {UNLOCK_CALL_SEAL, "-"},
        {UNLOCK_CALL_ACKNOWLEDGE, "-"},
    };
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        if (writes[i].call != call)
            continue;
        if (pc->is.taken_over && pc->intents == 0)
            return pc->is.intent != NULL && strstr(pc->is.intent, writes[i].named) != NULL;
        return pc->intents > 0;
    }
    return 1;
}

static void op_call(unlock_t *unlock, unlock_call_e call)
{
    unlock_pc_t *pc = pc_of(unlock);
    ask(unlock, ASKED_CALL);
    pc->call = call;
    pc->calls++;
    pc->connected = 1;
    pc->power_requests += call == UNLOCK_CALL_POWER_ON;
    if (call == UNLOCK_CALL_POWER_ON)
        pc->power_requested = unlock->plan.power;
    pc->clears += call == UNLOCK_CALL_CLEAR_BOOT;
    pc->redirects += call == UNLOCK_CALL_SET_REDIRECTION;
    pc->sets += call == UNLOCK_CALL_SET_BOOT;
    pc->types += call == UNLOCK_CALL_TYPE || call == UNLOCK_CALL_SEAL;
    pc->writes_without_intent += !is_allowed(pc, call);
}

static void op_store(unlock_t *unlock, jobs_change_e change, char state)
{
    unlock_pc_t *pc = pc_of(unlock);
    ask(unlock, ASKED_STORE);
    unlock->storing = 1;
    pc->change = change;
    pc->change_state = state;
}

static void op_alarm(unlock_t *unlock, apr_interval_time_t after)
{
    unlock_pc_t *pc = pc_of(unlock);
    pc->alarm_at = pc->now + (after > pc->early ? after - pc->early : after);
}

/* The store cannot be stopped; everything else can. */
static void op_stop(unlock_t *unlock)
{
    unlock_pc_t *pc = pc_of(unlock);
    pc->alarm_at = 0;
    if (pc->asked != ASKED_STORE)
        pc->asked = ASKED_NOTHING;
}

static void op_conceal(unlock_t *unlock)
{
    pc_of(unlock)->conceals++;
}

/* What the device said is its own, and goes with it. */
static void forget_said(unlock_pc_t *pc)
{
    free(pc->said);
    pc->said = NULL;
}

static void let_device_go(unlock_pc_t *pc)
{
    pc->connected = 0;
    forget_said(pc);
}

static void op_rest(unlock_t *unlock)
{
    let_device_go(pc_of(unlock));
}

static void op_hang_up(unlock_t *unlock)
{
    let_device_go(pc_of(unlock));
    pc_of(unlock)->console_open = 0;
    pc_of(unlock)->drive_open = 0;
}

static void op_over(unlock_t *unlock)
{
    pc_of(unlock)->over++;
}

/* One test, one PC at a time. */
static unlock_pc_t *current;

static apr_time_t op_now(void)
{
    return current->now;
}

static const proof_key_t proof_key = {.bytes = {7}, .id = UNLOCK_PC_KEY};

static const unlock_ops_t ops = {
    .resolve = op_resolve,
    .login = op_login,
    .passphrase = op_passphrase,
    .permit = op_permit,
    .power_wait = op_power_wait,
    .probe = op_probe,
    .call = op_call,
    .store = op_store,
    .alarm = op_alarm,
    .stop = op_stop,
    .conceal = op_conceal,
    .rest = op_rest,
    .hang_up = op_hang_up,
    .over = op_over,
    .now = op_now,
};

/* ---- answers ------------------------------------------------------------------------------------------- */

static void answer_resolve(unlock_pc_t *pc)
{
    pc->unlock.addresses = pc->is.addresses;
    if (pc->is.addresses.count == 0) {
        pc->unlock.addresses = (resolve_addresses_t){.count = 1, .text = {"192.0.2.7"}};
    }
    if (pc->system.probe_host != NULL) {
        pc->unlock.probe_addresses = (resolve_addresses_t){.count = 1, .text = {"192.0.2.8"}};
    }
    unlock_work_answer(&pc->unlock, pc->is.resolve, "no such name");
}

static void answer_login(unlock_pc_t *pc)
{
    unlock_work_answer(&pc->unlock, pc->is.login, "no login");
}

static void answer_passphrase(unlock_pc_t *pc)
{
    int lacks = pc->unlock.own_passphrase && !pc->is.own_passphrases;
    int gone = pc->is.gone != 3 ? pc->is.gone : pc->passphrases == 2;
    if (gone && gone != 4 && pc->console_open) {
        const char *text = gone == 1 ? "\r\nDebian GNU/Linux 12 pc ttyS0\r\n\r\npc login: " : "\r\n";
        unlock_input(&pc->unlock, text, strlen(text));
        pc->up_at = gone == 1 ? pc->now : pc->up_at;
    }
    unlock_work_answer(&pc->unlock, lacks ? JOBS_REASON_NO_SECRET : pc->is.passphrase, "no passphrase");
}

static void answer_permit(unlock_pc_t *pc)
{
    unlock_permit_answer(&pc->unlock);
}

static void answer_probe(unlock_pc_t *pc)
{
    int up = pc->power == 2 && pc->now >= pc->up_at && !pc->is.never_boots;
    int by_itself = pc->is.up_at_probe && pc->probes >= pc->is.up_at_probe;
    if (pc->is.speaks_up && pc->probes == 2 && pc->console_open)
        unlock_input(&pc->unlock, "\r\n" PROMPT, strlen("\r\n" PROMPT));
    unlock_probe_answer(&pc->unlock, up || by_itself || pc->is.probe_open_before);
}

static void say(unlock_pc_t *pc, const char *text, int after_seconds)
{
    pc->says = text;
    pc->says_at = pc->now + apr_time_from_sec(after_seconds);
}

#define LOGIN "\r\nDebian GNU/Linux 12 pc ttyS0\r\n\r\npc login: "

static const char *in_lines(unlock_pc_t *pc, const char *frame)
{
    return apr_pstrcat(pc->pool, "\r\n", frame, "\r\n", NULL);
}

/* A wrong digit in the MAC, and the check made right again. */
static const char *forged(unlock_pc_t *pc, const char *frame)
{
    char *body = apr_pstrdup(pc->pool, frame + 1);
    char *end = strrchr(body, '*');
    *end = '\0';
    end[-1] = end[-1] == '0' ? '1' : '0';
    return peer_frame(strchr(body, ',') + 1, pc->pool);
}

/* The drive leads where the sessions said, or to the disk. */
static void boot_image(unlock_pc_t *pc, int seconds)
{
    static const amt_result_t gone = {.status = AMT_BROKEN, .text = "the drive was taken away"};
    const char *frame = NULL;
    if (pc->is.not_read)
        return;
    unlock_image_read(&pc->unlock);
    if (pc->is.drive_fails) {
        pc->drive_open = 0;
        unlock_disconnected(&pc->unlock, UNLOCK_DRIVE, &gone);
        return;
    }
    if (pc->is.stuck)
        return;
    frame = pc->is.refuses_at_once ? peer_refusal(&pc->image, "no-disk") : peer_hello(&pc->image);
    say(pc, in_lines(pc, pc->is.forges == 1 ? forged(pc, frame) : frame), seconds / 2);
}

/* On does nothing to a PC that is on, and a reset nothing to one that is off. */
static void start_pc(unlock_pc_t *pc)
{
    int resets = pc->power_requested == AMT_POWER_RESET;
    int seconds = pc->is.boot_seconds ? pc->is.boot_seconds : 20;
    int boot = pc->boot_set;
    if (pc->is.does_nothing || (pc->power == 2) != resets)
        return;
    pc->power = 2;
    pc->up_at = pc->now + apr_time_from_sec(seconds);
    if (!pc->is.keeps_boot)
        pc->boot_set = 0; /* they last for one start */
    if (pc->system.method == INVENTORY_WAKE)
        return;
    pc->up_at = APR_INT64_MAX;
    if (boot & AMT_START_IMAGE)
        boot_image(pc, seconds);
    else if (pc->is.comes_up) {
        say(pc, "Debian GNU/Linux\r\npc login: ", seconds);
        pc->up_at = pc->says_at;
    }
    else if (!boot) /* it was asleep */
        pc->up_at = pc->now + apr_time_from_sec(seconds);
    else if (!pc->is.no_prompt)
        say(pc, "Loading Linux ...\r\n" PROMPT, seconds / 2);
}

static void take_passphrase(unlock_pc_t *pc)
{
    static const char *const answers[] = {"\r\ncryptsetup: root: set up successfully\r\n",
                                          "\r\ncryptsetup failed, bad password or options?\r\n" PROMPT,
                                          "\r\n" PROMPT};
    if (pc->is.second_volume && pc->types == 1) {
        say(pc, "\r\ncryptsetup: root: set up successfully\r\nPlease unlock disk data: ", 2);
        return;
    }
    if (pc->is.second_volume && pc->types == 2 && !pc->is.refuses) {
        pc->up_at = pc->now + apr_time_from_sec(5);
        say(pc, "\r\ncryptsetup: data: set up successfully\r\n", 2);
        return;
    }
    if (!pc->is.refuses)
        pc->up_at = pc->now + apr_time_from_sec(5);
    if (!pc->is.mute)
        say(pc, answers[pc->is.refuses], 2);
}

static void boot_peer(unlock_pc_t *pc)
{
    unsigned char sector[PROOF_SECTOR];
    const char *error = NULL;
    proof_sector(pc->unlock.proof, sector);
    error = peer_boot(&pc->image, sector, pc->pool);
    if (error != NULL) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
}

/* An image that runs says hello for as long as it takes: what counts is the one that is heard. */
static void greet(unlock_pc_t *pc)
{
    if (pc->console_open && pc->is.image_runs && (pc->drive_open || pc->is.served_on))
        say(pc, in_lines(pc, peer_hello(&pc->image)), 1);
}

static void open_console(unlock_pc_t *pc)
{
    pc->console_open = 1;
    if (pc->is.served_on)
        boot_peer(pc);
    greet(pc);
    if (pc->is.stands_at_prompt && !pc->is.redraws && !pc->is.silent_prompt)
        say(pc, PROMPT, 1);
}

static void open_drive(unlock_pc_t *pc)
{
    boot_peer(pc);
    pc->drive_open = 1;
    greet(pc);
}

static void close_drive(unlock_pc_t *pc)
{
    pc->drive_open = 0;
}

static void close_all(unlock_pc_t *pc)
{
    pc->console_open = 0;
    pc->drive_open = 0;
    pc->says_at = 0;
}

static void say_result(unlock_pc_t *pc, int after_seconds)
{
    const char *outcome = pc->is.image_says ? pc->is.image_says : "unlocked";
    const char *frame =
        peer_result(&pc->image, outcome, strcmp(outcome, "failed") == 0 ? "disk-error" : "none");
    say(pc, in_lines(pc, pc->is.forges == 2 ? forged(pc, frame) : frame), after_seconds);
}

/* The op's part: the seal, then the image's. */
static void seal(unlock_pc_t *pc)
{
    const char *line = NULL, *wrong = NULL;
    const char *error = proof_seal(pc->unlock.proof, "correct horse", &line);
    if (error == NULL)
        pc->passphrase_read = peer_open_seal(&pc->image, line, &wrong);
    if (pc->passphrase_read == NULL) {
        fprintf(stderr, "no seal: %s\n", error ? error : wrong);
        abort();
    }
    if (!pc->is.mute)
        say_result(pc, 3);
}

static void acknowledge(unlock_pc_t *pc)
{
    const char *line = proof_acknowledge(pc->unlock.proof);
    if (!peer_is_acknowledged(&pc->image, line)) {
        fprintf(stderr, "a wrong acknowledgement: %s\n", line);
        abort();
    }
    if (++pc->heard <= pc->is.deaf)
        say_result(pc, 1);
    else if (pc->unlock.result == PROOF_RESULT_UNLOCKED)
        pc->up_at = pc->now + apr_time_from_sec(10);
}

static void redraw(unlock_pc_t *pc)
{
    if (pc->is.logged_in)
        say(pc, LOGIN, 1);
    else if (pc->is.stands_at_prompt)
        say(pc, "\r\n" PROMPT, 1);
}

static void clear_boot(unlock_pc_t *pc)
{
    pc->boot_set = 0;
    pc->is.overridden = 0;
}

static void set_boot(unlock_pc_t *pc)
{
    pc->boot_set = pc->unlock.plan.boot;
}

static void set_redirection(unlock_pc_t *pc)
{
    pc->redirection = pc->unlock.redirection_wanted;
}

/* What a call does to the PC. */
static void (*const effects[UNLOCK_CALLS])(unlock_pc_t *pc) = {
    [UNLOCK_CALL_OPEN_CONSOLE] = open_console,
    [UNLOCK_CALL_CLOSE] = close_all,
    [UNLOCK_CALL_OPEN_DRIVE] = open_drive,
    [UNLOCK_CALL_CLOSE_DRIVE] = close_drive,
    [UNLOCK_CALL_SEAL] = seal,
    [UNLOCK_CALL_ACKNOWLEDGE] = acknowledge,
    [UNLOCK_CALL_REDRAW] = redraw,
    [UNLOCK_CALL_CLEAR_BOOT] = clear_boot,
    [UNLOCK_CALL_SET_BOOT] = set_boot,
    [UNLOCK_CALL_SET_REDIRECTION] = set_redirection,
    [UNLOCK_CALL_POWER_ON] = start_pc,
    [UNLOCK_CALL_TYPE] = take_passphrase,
};

static void fill_boot(unlock_pc_t *pc)
{
    amt_boot_t *boot = &pc->unlock.facts.boot;
    boot->overridden = pc->is.overridden || pc->boot_set;
    apr_cpystrn(boot->summary, pc->is.overridden ? "BIOSSetup" : intent_boot_name(pc->boot_set),
                sizeof(boot->summary));
}

static void fill(unlock_pc_t *pc)
{
    apr_cpystrn(pc->unlock.facts.identity.uuid, DEVICE, sizeof(pc->unlock.facts.identity.uuid));
    pc->unlock.facts.consent.needed = pc->is.consent;
    pc->unlock.facts.redirection = pc->redirection;
    pc->unlock.facts.capabilities =
        (amt_capabilities_t){.sol = !pc->is.no_console, .storage = !pc->is.no_storage};
    if (pc->call == UNLOCK_CALL_BOOT)
        fill_boot(pc);
    if (pc->call == UNLOCK_CALL_SAVING)
        pc->unlock.facts.saving = pc->is.standby ? AMT_SAVING_STANDBY : AMT_SAVING_FULL_POWER;
    if (pc->call == UNLOCK_CALL_POWER) {
        pc->unlock.facts.power = (amt_power_t){.state = pc->power,
                                               .on_available = !pc->is.on_unavailable,
                                               .reset_available = !pc->is.on_unavailable};
        if (pc->is.power_later && pc->power != 2)
            pc->power = pc->is.power_later;
    }
}

static int at_another_address(const unlock_pc_t *pc)
{
    return pc->is.serves_at != NULL && strcmp(pc->unlock.address, pc->is.serves_at) != 0;
}

static const char *device_says(unlock_pc_t *pc)
{
    pc->said = strdup("as the test says");
    return pc->said;
}

/* Whoever is there is asked who it is, and for nothing else. */
static void answer_elsewhere(unlock_pc_t *pc)
{
    const amt_result_t result = {.status = (amt_status_e)pc->is.others_are, .text = device_says(pc)};
    if (pc->call != UNLOCK_CALL_IDENTITY)
        pc->strayed++;
    if (result.status == AMT_OK)
        apr_cpystrn(pc->unlock.facts.identity.uuid, OTHER_DEVICE, sizeof(pc->unlock.facts.identity.uuid));
    unlock_call_answer(&pc->unlock, &result);
    forget_said(pc);
}

static void answer_call(unlock_pc_t *pc)
{
    amt_result_t result = {.status = AMT_OK, .return_value = 0, .text = ""};
    int fails = pc->is.fails && pc->is.call == pc->call && (!pc->is.times || pc->failed < pc->is.times);
    if (at_another_address(pc)) {
        answer_elsewhere(pc);
        return;
    }
    if (pc->call == UNLOCK_CALL_OPEN_CONSOLE && (pc->cut_done || pc->is.taken_over) &&
        pc->been_away < pc->is.away) {
        pc->been_away++;
        fails = 1;
        pc->is.status = AMT_BUSY;
    }
    if (fails) {
        pc->failed++;
        result = (amt_result_t){
            .status = pc->is.status, .acted = pc->is.acted, .silent = pc->is.silent, .text = device_says(pc)};
        pc->now += pc->is.silent ? apr_time_from_sec(5) : 0;
        /* one that surely did nothing may be repeated, and does not count */
        pc->power_requests -=
            pc->call == UNLOCK_CALL_POWER_ON && pc->is.status == AMT_NOT_NOW && !pc->is.acted;
    }
    if (effects[pc->call] && (!fails || pc->is.acted))
        effects[pc->call](pc);
    if (!fails)
        fill(pc);
    unlock_call_answer(&pc->unlock, &result);
    forget_said(pc);
}

static void count_change(unlock_pc_t *pc)
{
    pc->intents += pc->change == JOBS_INTEND;
    pc->finishes += pc->change == JOBS_FINISH;
    pc->releases += pc->change == JOBS_RELEASE;
    pc->progress += pc->change == JOBS_PROGRESS;
    pc->marks += pc->change == JOBS_MARK;
    pc->marked |= pc->change == JOBS_MARK ? (unsigned int)pc->unlock.mark : 0;
}

static void answer_store(unlock_pc_t *pc)
{
    if (pc->is.store_fails && pc->is.change == pc->change) {
        unlock_store_answer(&pc->unlock, pc->is.outcome, !pc->is.not_audited, "as the test says");
        return;
    }
    count_change(pc);
    if (pc->is.gone == 4 && pc->change == JOBS_MARK && pc->console_open && pc->types == 0) {
        pc->now++;
        unlock_input(&pc->unlock, "\r\n", 2);
    }
    unlock_store_answer(&pc->unlock, JOBS_OK, 1, "");
}

/* ---- running ------------------------------------------------------------------------------------------- */

static const prompts_t *make_prompts(int redraws)
{
    apr_pool_t *pool;
    prompts_t *prompts;
    const prompts_texts_t texts = {.redraw = redraws ? "\\x15\\r" : NULL};
    const char *error;

    apr_pool_create(&pool, NULL);
    prompts = apr_pcalloc(pool, sizeof(*prompts));
    error = prompts_make(prompts, &texts, pool);
    if (error != NULL) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    return prompts;
}

/* Compiling the patterns takes longer than a whole unlock here, and there are thousands: each kind is made
 * once. */
static const prompts_t *shared_prompts(int redraws)
{
    static const prompts_t *made[2];
    const prompts_t **prompts = &made[redraws != 0];

    if (*prompts == NULL) {
        *prompts = make_prompts(redraws);
    }
    return *prompts;
}

unlock_pc_t *unlock_pc_create(const behaviour_t *is, apr_pool_t *pool)
{
    unlock_pc_t *pc = apr_pcalloc(pool, sizeof(*pc));
    pc->is = *is;
    pc->pool = pool;
    pc->now = apr_time_from_sec(1000);
    pc->power = is->power ? is->power : 8;
    pc->up_at = is->hangs || is->asks ? APR_INT64_MAX : pc->now;
    pc->task = (jobs_task_t){.ref.job = "job",
                             .ref.system = "pc.example.com",
                             .ref.fence = "1",
                             .taken_over = is->taken_over,
                             .marks = !is->taken_over || is->unmarked ? 0
                                      : is->marks                     ? is->marks
                                                                      : JOBS_MARKS_UNKNOWN,
                             .intent = is->intent,
                             .caller = "c",
                             .peer = "p",
                             .mechanism = "krb5"};
    pc->group =
        (inventory_group_t){.name = "default",
                            .boot_timeout = apr_time_from_sec(is->boot_timeout ? is->boot_timeout : 120),
                            .reset_running = is->resets,
                            .type_running = is->types_running,
                            .same_passphrase = is->same_passphrase,
                            .power_interval = is->power_rate ? apr_time_from_sec(1) : 0};
    pc->redirection = is->redirection_off ? (amt_redirection_t){.state = AMT_REDIRECTION_OFF, .listener = 0}
                                          : (amt_redirection_t){.state = AMT_REDIRECTION_BOTH, .listener = 1};
    pc->redirection_before = pc->redirection;
    pc->boot_set = is->boot_set;
    pc->system = (inventory_system_t){.fqdn = "pc.example.com",
                                      .address = is->named ? NULL : "192.0.2.7",
                                      .uuid = is->uuid,
                                      .group = &pc->group,
                                      .method = is->has_method ? is->method : INVENTORY_WAKE,
                                      .tls = is->tls,
                                      .probe_port = is->no_probe ? 0 : 22,
                                      .probe_host = is->probe_elsewhere ? "probe.example.com" : NULL};
    pc->unlock.ops = &ops;
    pc->unlock.task = &pc->task;
    pc->unlock.system = &pc->system;
    pc->unlock.method = method_find(pc->system.method);
    pc->unlock.prompts = shared_prompts(is->redraws);
    pc->unlock.proof_key = &proof_key;
    pc->unlock.pool = pool;
    current = pc;
    return pc;
}

static int fire_alarm(unlock_pc_t *pc)
{
    if (pc->alarm_at == 0)
        return 0;
    if (pc->alarm_at > pc->now)
        pc->now = pc->alarm_at;
    pc->alarm_at = 0;
    unlock_alarm(&pc->unlock);
    return 1;
}

/* What the PC has to say is heard when its time has come and its console is open. */
static int speaks(unlock_pc_t *pc, apr_time_t by)
{
    if (pc->over || !pc->says_at || pc->says_at > by)
        return 0;
    if (pc->says_at > pc->now)
        pc->now = pc->says_at;
    pc->says_at = 0;
    if (pc->console_open)
        unlock_input(&pc->unlock, pc->says, strlen(pc->says));
    return 1;
}

static int cuts(unlock_pc_t *pc)
{
    const amt_result_t gone = {.status = pc->is.cut_by ? pc->is.cut_by : AMT_GARBAGE,
                               .text = "as the test says"};
    int times = pc->is.cuts ? pc->is.cuts : 1;
    if (!pc->is.cut || pc->cut_done >= times || !pc->console_open ||
        strcmp(pc->is.cut, unlock_step_name(&pc->unlock)) != 0)
        return 0;
    pc->cut_done++;
    pc->console_open = 0;
    unlock_disconnected(&pc->unlock, UNLOCK_CONSOLE, &gone);
    return 1;
}

/* Time goes on: what comes first? */
static int wait_for(unlock_pc_t *pc)
{
    return cuts(pc) || speaks(pc, pc->alarm_at ? pc->alarm_at : APR_INT64_MAX) || fire_alarm(pc);
}

int unlock_pc_step(unlock_pc_t *pc)
{
    static void (*const answers[])(unlock_pc_t *) = {[ASKED_RESOLVE] = answer_resolve,
                                                     [ASKED_LOGIN] = answer_login,
                                                     [ASKED_PASSPHRASE] = answer_passphrase,
                                                     [ASKED_PERMIT] = answer_permit,
                                                     [ASKED_PROBE] = answer_probe,
                                                     [ASKED_CALL] = answer_call,
                                                     [ASKED_STORE] = answer_store};
    asked_e asked = pc->asked;
    if (asked == ASKED_NOTHING)
        return wait_for(pc);
    if (!pc->ignoring && ++pc->answered == pc->ignore_at) {
        pc->ignored = pc->unlock.step;
        pc->ignoring = 1;
    }
    if (pc->ignoring)
        return fire_alarm(pc);
    pc->asked = ASKED_NOTHING;
    pc->now += apr_time_from_msec(5);
    speaks(pc, pc->now);
    cuts(pc);
    answers[asked](pc);
    return 1;
}

void unlock_pc_run(unlock_pc_t *pc)
{
    int steps = 0;
    unlock_begin(&pc->unlock);
    while (unlock_pc_step(pc)) {
        if (++steps > STEPS_AT_MOST) {
            fprintf(stderr, "no end in sight at step %s\n", unlock_step_name(&pc->unlock));
            abort();
        }
    }
}

const char *unlock_pc_ending(const unlock_pc_t *pc)
{
    if (pc->finishes)
        return pc->unlock.state == 'U' ? "unlocked" : jobs_reason(pc->unlock.reason)->code;
    return pc->releases ? "released" : "left";
}
