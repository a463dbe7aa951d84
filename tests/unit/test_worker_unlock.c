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

#include "worker/intent.h"
#include "worker_pc.h"

#define DEVICE "4c4c4544-0044-4a10-8058-b4c04f4a4a32"
#define OTHER "00000000-0000-0000-0000-000000000001"

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
static void check_promises(const worker_pc_t *pc, const char *where)
{
    if (pc->power_requests > 1 || pc->writes_without_intent || pc->over > 1 ||
        pc->finishes + pc->releases > 1)
        fail_msg("%s: %d power requests, %d writes without intent, over %d times, %d finishes, %d releases",
                 where, pc->power_requests, pc->writes_without_intent, pc->over, pc->finishes, pc->releases);
    if (pc->over && (pc->connected || pc->console_open || pc->drive_open))
        fail_msg("%s: over, and still connected", where);
    int verified = pc->system.tls == INVENTORY_TLS_CA || pc->system.tls == INVENTORY_TLS_PIN;
    if (pc->types > 1 || (pc->types && (pc->is.look || !verified)))
        fail_msg("%s: a passphrase typed %d times", where, pc->types);
}

/* Nothing of ours stays on a PC that we leave with a result, if its AMT lets us. */
static void check_taken_back(const worker_pc_t *pc, const char *where)
{
    int lets_us = !pc->is.fails && pc->unlock.identified;
    if (!pc->finishes || !lets_us)
        return;
    if (pc->boot_set)
        fail_msg("%s: boot options stay", where);
    if (!pc->is.look && memcmp(&pc->redirection, &pc->redirection_before, sizeof(pc->redirection)) != 0)
        fail_msg("%s: the redirection service stays as it was set", where);
}

/* ---- rows ------------------------------------------------------------------------------------------------
 */

typedef struct {
    const char *name;
    behaviour_t is;
    const char *ending;
    const char *step; /* it ended at; NULL: not looked at */
    int power_requests;
    int calls; /* 0: not looked at */
} row_t;

#define FAILS(which, how) .fails = 1, .call = UNLOCK_CALL_##which, .status = AMT_##how
#define STORE_FAILS(which, how) .store_fails = 1, .change = JOBS_##which, .outcome = JOBS_##how

static const row_t rows[] = {
    {"off", {0}, "unlocked", "probe", 1, 0},
    {"hard off", {.power = 6}, "unlocked", NULL, 1, 0},
    {"hibernated", {.power = 7}, "unlocked", NULL, 1, 0},
    {"off, graceful", {.power = 12}, "unlocked", NULL, 1, 0},
    {"off, hard graceful", {.power = 13}, "unlocked", NULL, 1, 0},
    {"asleep", {.power = 4}, "unlocked", NULL, 1, 0},
    {"light sleep", {.power = 3}, "unlocked", NULL, 1, 0},
    {"by name", {.named = 1}, "unlocked", NULL, 1, 0},
    {"uuid as expected", {.uuid = DEVICE}, "unlocked", NULL, 1, 0},
    {"running", {.power = 2}, "unlocked", "power-state", 0, 3},
    {"running without its system", {.power = 2, .never_boots = 1}, "already-on", "power-state", 0, 3},
    {"unclear state that settles", {.power = 9, .power_later = 8}, "unlocked", NULL, 1, 0},
    {"unclear state that stays", {.power = 9}, "amt-fault", "power-state", 0, 4},
    {"probe answers while off", {.probe_open_before = 1}, "not-verified", "power-state", 0, 0},
    {"power on is not offered", {.on_unavailable = 1}, "amt-fault", "power-state", 0, 0},
    {"another device", {.uuid = OTHER}, "not-verified", "identity", 0, 1},
    {"no address", {.named = 1, .resolve = JOBS_REASON_UNREACHABLE}, "unreachable", "resolve", 0, 0},
    {"no login", {.login = JOBS_REASON_NO_SECRET}, "no-secret", "login", 0, 0},

    {"no connection", {FAILS(IDENTITY, UNREACHABLE)}, "unreachable", "identity", 0, 4},
    {"no connection twice", {FAILS(IDENTITY, UNREACHABLE), .times = 2}, "unlocked", NULL, 1, 0},
    {"broken before login", {FAILS(IDENTITY, BROKEN)}, "unreachable", "identity", 0, 4},
    {"silent before login", {FAILS(IDENTITY, TIMEOUT)}, "unreachable", "identity", 0, 4},
    {"wrong certificate", {FAILS(IDENTITY, TLS_UNTRUSTED)}, "tls-untrusted", "identity", 0, 1},
    {"wrong password", {FAILS(IDENTITY, AUTH_FAILED)}, "auth-failed", "identity", 0, 1},
    {"garbage", {FAILS(IDENTITY, GARBAGE)}, "amt-fault", "identity", 0, 1},
    {"refused", {FAILS(IDENTITY, REFUSED)}, "amt-fault", "identity", 0, 1},
    {"silent after login", {FAILS(BOOT, TIMEOUT)}, "timeout", "boot-settings", 0, 5},
    {"gone after login", {FAILS(POWER, UNREACHABLE)}, "timeout", "power-state", 0, 6},
    {"login refused later", {FAILS(POWER, AUTH_FAILED)}, "auth-failed", "power-state", 0, 3},

    {"boot options left by others", {.overridden = 1}, "unlocked", NULL, 1, 0},
    {"boot options stay", {.overridden = 1, FAILS(CLEAR_BOOT, REFUSED)}, "amt-fault", "clear-boot", 0, 4},
    {"clearing is not answered",
     {.overridden = 1, FAILS(CLEAR_BOOT, TIMEOUT), .acted = 1},
     "timeout",
     "clear-boot",
     0,
     4},
    {"fenced before clearing", {.overridden = 1, FAILS(CLEAR_BOOT, FENCED)}, "left", NULL, 0, 4},
    {"fenced before power", {FAILS(POWER_ON, FENCED)}, "left", NULL, 1, 4},

    {"power answer lost", {FAILS(POWER_ON, TIMEOUT), .acted = 1}, "unlocked", "probe", 1, 0},
    {"power answer cut", {FAILS(POWER_ON, BROKEN), .acted = 1}, "unlocked", "probe", 1, 0},
    {"power answer garbage", {FAILS(POWER_ON, GARBAGE), .acted = 1}, "unlocked", "probe", 1, 0},
    {"power answer lost, nothing happens",
     {FAILS(POWER_ON, TIMEOUT), .acted = 1, .does_nothing = 1},
     "indeterminate",
     "watch",
     1,
     0},
    {"power request never left", {FAILS(POWER_ON, UNREACHABLE)}, "timeout", "power-on", 1, 4},
    {"power request unauthorised", {FAILS(POWER_ON, AUTH_FAILED)}, "auth-failed", "power-on", 1, 4},
    {"power refused", {FAILS(POWER_ON, REFUSED), .acted = 1, .does_nothing = 1}, "amt-fault", "watch", 1, 5},
    {"power refused, its user was faster", {FAILS(POWER_ON, REFUSED), .acted = 1}, "unlocked", "probe", 1, 0},
    {"power ignored", {.does_nothing = 1}, "amt-fault", "watch", 1, 0},
    {"never boots", {.never_boots = 1}, "timeout", "probe", 1, 0},
    {"boots too late", {.boot_seconds = 3600}, "timeout", "probe", 1, 0},

    {"intent refused", {STORE_FAILS(INTEND, REFUSED)}, "left", NULL, 0, 3},
    {"intent not understood", {STORE_FAILS(INTEND, BROKEN)}, "left", NULL, 0, 3},
    {"another line unlocks this device", {STORE_FAILS(INTEND, CONFLICT)}, "busy", "intent", 0, 3},
    {"intent without audit", {STORE_FAILS(INTEND, UNAVAILABLE), .not_audited = 1}, "released", NULL, 0, 3},
    {"progress refused", {STORE_FAILS(PROGRESS, REFUSED)}, "left", NULL, 1, 4},
    {"progress lost", {STORE_FAILS(PROGRESS, UNAVAILABLE)}, "unlocked", NULL, 1, 0},
    {"finish refused", {STORE_FAILS(FINISH, REFUSED)}, "left", NULL, 1, 0},

    {"looks: system up", {.look = 1, .power = 2}, "unlocked", "probe-first", 0, 0},
    {"looks: boots", {.look = 1, .power = 8, .power_later = 2}, "unlocked", "probe", 0, 0},
    {"looks: stays off", {.look = 1}, "indeterminate", "watch", 0, 0},
    {"looks: runs, never up", {.look = 1, .power = 2, .never_boots = 1}, "timeout", "probe", 0, 0},
    {"looks: AMT away", {.look = 1, FAILS(IDENTITY, UNREACHABLE)}, "indeterminate", "probe", 0, 4},
    {"looks: no login", {.look = 1, .login = JOBS_REASON_NO_SECRET}, "indeterminate", "probe", 0, 0},
    {"looks: no address",
     {.look = 1, .named = 1, .resolve = JOBS_REASON_UNREACHABLE},
     "indeterminate",
     NULL,
     0,
     0},
#define SOL .redirects = 1, .method = INVENTORY_SOL

    {"sol", {SOL}, "unlocked", "probe", 1, 0},
    {"sol: hibernated", {SOL, .power = 7}, "unlocked", "probe", 1, 0},
    {"sol: pinned", {SOL, .tls = INVENTORY_TLS_PIN}, "unlocked", "probe", 1, 0},
    {"sol without probe", {SOL, .no_probe = 1}, "unlocked", "verdict", 1, 0},
    {"sol: redirection off", {SOL, .redirection_off = 1}, "unlocked", "probe", 1, 0},
    {"sol: asleep", {SOL, .power = 4}, "unlocked", "probe", 1, 0},
    {"sol: asleep without probe", {SOL, .power = 4, .no_probe = 1}, "not-verified", "booting", 1, 0},
    {"sol: comes up by itself", {SOL, .comes_up = 1}, "unlocked", "probe", 1, 0},
    {"sol: comes up by itself without probe",
     {SOL, .comes_up = 1, .no_probe = 1},
     "unlocked",
     "prompt",
     1,
     0},
    {"sol: plain", {SOL, .tls = INVENTORY_TLS_NONE}, "tls-untrusted", "power-state", 0, 0},
    {"sol: old TLS", {SOL, .tls = INVENTORY_TLS_LEGACY}, "tls-untrusted", "power-state", 0, 0},
    {"sol: plain, but running", {SOL, .tls = INVENTORY_TLS_NONE, .power = 2}, "unlocked", NULL, 0, 0},
    {"sol: plain, at its prompt",
     {SOL, .tls = INVENTORY_TLS_NONE, .power = 2, .never_boots = 1, .stands_at_prompt = 1},
     "tls-untrusted",
     "power-state",
     0,
     0},
    {"sol: consent", {SOL, .consent = 1}, "consent-required", "power-state", 0, 0},
    {"sol: no such thing", {SOL, .no_console = 1}, "amt-fault", "power-state", 0, 0},
    {"sol: another's override", {SOL, .overridden = 1}, "busy", "power-state", 0, 0},
    {"sol: another's session", {SOL, FAILS(OPEN_CONSOLE, BUSY)}, "busy", "console-open", 0, 0},
    {"sol: another's session, redirection was off",
     {SOL, FAILS(OPEN_CONSOLE, BUSY), .redirection_off = 1},
     "busy",
     "console-open",
     0,
     0},
    {"sol: console refused", {SOL, FAILS(OPEN_CONSOLE, REFUSED)}, "amt-fault", "console-open", 0, 0},
    {"sol: console not let in", {SOL, FAILS(OPEN_CONSOLE, AUTH_FAILED)}, "auth-failed", "console-open", 0, 0},
    {"sol: console silent", {SOL, FAILS(OPEN_CONSOLE, UNREACHABLE)}, "timeout", "console-open", 0, 0},
    {"sol: consent asked late", {SOL, FAILS(SET_BOOT, CONSENT)}, "consent-required", "set-boot", 0, 0},
    {"sol: boot options refused", {SOL, FAILS(SET_BOOT, REFUSED)}, "amt-fault", "set-boot", 0, 0},
    {"sol: boot options, answer lost",
     {SOL, FAILS(SET_BOOT, TIMEOUT), .acted = 1},
     "timeout",
     "set-boot",
     0,
     0},
    {"sol: redirection refused",
     {SOL, FAILS(SET_REDIRECTION, REFUSED), .redirection_off = 1},
     "amt-fault",
     "redirect",
     0,
     0},
    {"sol: power ignored", {SOL, .does_nothing = 1}, "amt-fault", "watch", 1, 0},
    {"sol: power answer lost", {SOL, FAILS(POWER_ON, TIMEOUT), .acted = 1}, "unlocked", "probe", 1, 0},
    {"sol: no prompt", {SOL, .no_prompt = 1}, "no-prompt", "prompt", 1, 0},
    {"sol: no passphrase", {SOL, .passphrase = JOBS_REASON_NO_SECRET}, "no-secret", "passphrase", 1, 0},
    {"sol: cannot be typed", {SOL, FAILS(TYPE, BROKEN)}, "amt-fault", "type", 1, 0},
    {"sol: fenced before typing", {SOL, FAILS(TYPE, FENCED)}, "left", NULL, 1, 0},
    {"sol: wrong passphrase", {SOL, .refuses = 1}, "wrong-passphrase", "verdict", 1, 0},
    {"sol: asks again", {SOL, .refuses = 2}, "wrong-passphrase", "verdict", 1, 0},
    {"sol: asks again, without probe", {SOL, .refuses = 2, .no_probe = 1}, "wrong-passphrase", NULL, 1, 0},
    {"sol: no word, but its system is up", {SOL, .mute = 1}, "unlocked", "probe", 1, 0},
    {"sol: no word, no probe", {SOL, .mute = 1, .no_probe = 1}, "timeout", "verdict", 1, 0},
    {"sol: system never up", {SOL, .never_boots = 1}, "timeout", "probe", 1, 0},
    {"sol: garbage before the prompt", {SOL, .cut = "prompt"}, "amt-fault", "prompt", 1, 0},
    {"sol: garbage before power", {SOL, .cut = "set-boot"}, "amt-fault", "set-boot", 0, 0},
    {"sol: garbage while it starts", {SOL, .cut = "watch"}, "amt-fault", "prompt", 1, 0},
    {"sol: garbage after the passphrase", {SOL, .cut = "verdict"}, "unlocked", "probe", 1, 0},
    {"sol: garbage after the passphrase, no probe",
     {SOL, .cut = "verdict", .no_probe = 1},
     "amt-fault",
     "verdict",
     1,
     0},
    {"sol: runs, no prompt", {SOL, .power = 2, .never_boots = 1}, "already-on", "prompt-look", 0, 0},
    {"sol: runs, at its prompt",
     {SOL, .power = 2, .no_probe = 1, .stands_at_prompt = 1},
     "unlocked",
     "verdict",
     0,
     0},
    {"sol: runs, at its prompt, redrawn",
     {SOL, .power = 2, .no_probe = 1, .stands_at_prompt = 1, .redraws = 1},
     "unlocked",
     "verdict",
     0,
     0},
    {"sol: runs, at its prompt, wrong passphrase",
     {SOL, .power = 2, .no_probe = 1, .stands_at_prompt = 1, .refuses = 1},
     "wrong-passphrase",
     "verdict",
     0,
     0},
    {"sol: runs, redirection off",
     {SOL, .power = 2, .never_boots = 1, .redirection_off = 1},
     "already-on",
     "power-state",
     0,
     0},
    {"sol: runs, another looks",
     {SOL, .power = 2, .never_boots = 1, FAILS(OPEN_CONSOLE, BUSY)},
     "busy",
     "console-look",
     0,
     0},
    {"sol: runs, redraw not taken",
     {SOL, .power = 2, .never_boots = 1, .redraws = 1, FAILS(REDRAW, BROKEN)},
     "amt-fault",
     "redraw",
     0,
     0},

#define INTENT_SET                                                                                           \
    "{\"method\":\"sol\",\"boot\":\"UseSOL\",\"boot_before\":\"\",\"redirection\":{\"state\":32770,"         \
    "\"listener\":"                                                                                          \
    "true},\"redirection_before\":{\"state\":32768,\"listener\":false}}"

#define IMAGE .redirects = 1, .method = INVENTORY_IMAGE

    {"image", {IMAGE}, "unlocked", "probe", 1, 0},
    {"image: redirection off", {IMAGE, .redirection_off = 1}, "unlocked", "probe", 1, 0},
    {"image: asleep", {IMAGE, .power = 4}, "unlocked", "probe", 1, 0},
    {"image: running", {IMAGE, .power = 2}, "unlocked", "power-state", 0, 0},
    {"image: running without its system", {IMAGE, .power = 2, .never_boots = 1}, "already-on", NULL, 0, 0},
    {"image: old TLS", {IMAGE, .tls = INVENTORY_TLS_LEGACY}, "tls-untrusted", "power-state", 0, 0},
    {"image: consent", {IMAGE, .consent = 1}, "consent-required", "power-state", 0, 0},
    {"image: cannot boot so", {IMAGE, .no_storage = 1}, "no-boot-device", "power-state", 0, 0},
    {"image: has no console", {IMAGE, .no_console = 1}, "amt-fault", "power-state", 0, 0},
    {"image: another's override", {IMAGE, .overridden = 1}, "busy", "power-state", 0, 0},
    {"image: another's console", {IMAGE, FAILS(OPEN_CONSOLE, BUSY)}, "busy", "console-open", 0, 0},
    {"image: another's drive", {IMAGE, FAILS(OPEN_DRIVE, BUSY)}, "busy", "drive-open", 0, 0},
    {"image: drive garbage", {IMAGE, FAILS(OPEN_DRIVE, GARBAGE)}, "amt-fault", "drive-open", 0, 0},
    {"image: no such option", {IMAGE, FAILS(SET_BOOT, REFUSED)}, "no-boot-device", "set-boot", 0, 0},
    {"image: options not answered",
     {IMAGE, FAILS(SET_BOOT, TIMEOUT), .acted = 1},
     "timeout",
     "set-boot",
     0,
     0},
    {"image: power ignored", {IMAGE, .does_nothing = 1}, "amt-fault", "watch", 1, 0},
    {"image: not read", {IMAGE, .not_read = 1}, "no-boot-device", "image", 1, 0},
    {"image: does not speak", {IMAGE, .stuck = 1}, "image-failed", "image", 1, 0},
    {"image: drive fails", {IMAGE, .drive_fails = 1}, "amt-fault", "image", 1, 0},
    {"image: console fails", {IMAGE, .cut = "image"}, "amt-fault", "image", 1, 0},
    {"image: another one speaks", {IMAGE, .forges = 1}, "image-failed", "image", 1, 0},
    {"image: no passphrase", {IMAGE, .passphrase = JOBS_REASON_NO_SECRET}, "no-secret", "passphrase", 1, 0},
    {"image: no disk", {IMAGE, .refuses_at_once = 1}, "image-failed", "acknowledged", 1, 0},
    {"image: wrong passphrase", {IMAGE, .image_says = "wrong-passphrase"}, "wrong-passphrase", NULL, 1, 0},
    {"image: disk error", {IMAGE, .image_says = "failed"}, "image-failed", "acknowledged", 1, 0},
    {"image: another one's result", {IMAGE, .forges = 2}, "image-failed", "result", 1, 0},
    {"image: no result", {IMAGE, .mute = 1}, "timeout", "result", 1, 0},
    {"image: console fails after the seal", {IMAGE, .cut = "result"}, "amt-fault", "result", 1, 0},
    {"image: console fails in the end", {IMAGE, .cut = "acknowledged"}, "unlocked", "probe", 1, 0},
    {"image: hears late", {IMAGE, .deaf = 3}, "unlocked", "probe", 1, 0},
    {"image: never hears", {IMAGE, .deaf = 100}, "timeout", "probe", 1, 0},
    {"image: not heard", {IMAGE, FAILS(ACKNOWLEDGE, BROKEN), .acted = 1}, "unlocked", "probe", 1, 0},
    {"image: cannot be sealed", {IMAGE, FAILS(SEAL, BROKEN)}, "amt-fault", "seal", 1, 0},
    {"image: fenced before the seal", {IMAGE, FAILS(SEAL, FENCED)}, "left", NULL, 1, 0},

    {"looks: sol, boot options left",
     {SOL, .look = 1, .intent = INTENT_SET, .boot_set = AMT_START_SOL},
     "indeterminate",
     "watch",
     0,
     0},
    {"looks: sol, up, boot options left",
     {SOL, .look = 1, .intent = INTENT_SET, .boot_set = AMT_START_SOL, .power = 2},
     "unlocked",
     "probe",
     0,
     0},
    {"looks: sol without probe",
     {SOL, .look = 1, .intent = INTENT_SET, .no_probe = 1, .power = 2},
     "indeterminate",
     "power-state",
     0,
     0},
    {"looks: sol, AMT away",
     {SOL, .look = 1, .intent = INTENT_SET, FAILS(IDENTITY, UNREACHABLE)},
     "indeterminate",
     "probe",
     0,
     4},
    {"looks: sol, options cannot be cleared",
     {SOL, .look = 1, .intent = INTENT_SET, .boot_set = AMT_START_SOL, .power = 2,
      FAILS(CLEAR_BOOT, REFUSED)},
     "unlocked",
     "probe",
     0,
     0},
    {"looks: sol, options cannot be read",
     {SOL, .look = 1, .intent = INTENT_SET, .boot_set = AMT_START_SOL, .power = 2, FAILS(BOOT, TIMEOUT)},
     "unlocked",
     "probe",
     0,
     0},
    {"looks: another device", {.look = 1, .uuid = OTHER}, "not-verified", "identity", 0, 0},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void check_row(const row_t *row, apr_pool_t *pool)
{
    worker_pc_t *pc = worker_pc_create(&row->is, pool);
    worker_pc_run(pc);
    const char *step = unlock_step_name(&pc->unlock);
    if (strcmp(worker_pc_ending(pc), row->ending) != 0 || (row->step && strcmp(step, row->step) != 0))
        fail_msg("%s: %s at %s (%s), expected %s at %s", row->name, worker_pc_ending(pc), step,
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
    for (size_t i = 0; i < ROWS; i++)
        check_row(&rows[i], *state);
}

/* ---- interruptions at every place ------------------------------------------------------------------------
 */

static int count_requests(const behaviour_t *is, apr_pool_t *pool)
{
    worker_pc_t *pc = worker_pc_create(is, pool);
    worker_pc_run(pc);
    return pc->answered;
}

/* A request that is never answered: the step's time-out, or the store's patience, has the word. */
static void test_silence_anywhere_ends(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        int requests = count_requests(&rows[i].is, *state);
        for (int at = 1; at <= requests; at++) {
            worker_pc_t *pc = worker_pc_create(&rows[i].is, *state);
            pc->ignore_at = at;
            worker_pc_run(pc);
            check_promises(pc, rows[i].name);
            if (pc->ignored < UNLOCK_CLOSE || pc->ignored > UNLOCK_UNDO_REDIRECTION)
                check_taken_back(pc, rows[i].name);
            int waits_for_others = pc->asked == ASKED_STORE || pc->asked == ASKED_TURN;
            if (!pc->over && !waits_for_others)
                fail_msg("%s: silence at request %d never ends, at %s", rows[i].name, at,
                         unlock_step_name(&pc->unlock));
        }
    }
}

typedef void (*interrupt_fn)(unlock_t *unlock);

/* Interrupts after the at-th request, lets it run to its end, and looks at the PC. */
static worker_pc_t *interrupt(const behaviour_t *is, int at, interrupt_fn how, apr_pool_t *pool)
{
    worker_pc_t *pc = worker_pc_create(is, pool);
    unlock_begin(&pc->unlock);
    while (pc->answered < at && worker_pc_step(pc)) {
    }
    if (!pc->over)
        how(&pc->unlock);
    return pc;
}

static void lose(unlock_t *unlock)
{
    unlock_lost(unlock);
}

static void drain_all(unlock_t *unlock)
{
    unlock_drain(unlock, 1);
}

static void drain_own(unlock_t *unlock)
{
    unlock_drain(unlock, 0);
}

static void test_a_lost_lease_stops_everything(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        int requests = count_requests(&rows[i].is, *state);
        for (int at = 0; at < requests; at++) {
            worker_pc_t *pc = interrupt(&rows[i].is, at, lose, *state);
            int was_ending = pc->change == JOBS_FINISH || pc->change == JOBS_RELEASE;
            int calls = pc->calls, probes = pc->probes;
            while (worker_pc_step(pc)) {
            }
            check_promises(pc, rows[i].name);
            if (pc->calls != calls || pc->probes != probes || pc->over != 1)
                fail_msg("%s: lost after %d, and it went on", rows[i].name, at);
            if (pc->finishes && !was_ending)
                fail_msg("%s: lost after %d, and it wrote a result", rows[i].name, at);
        }
    }
}

static void test_draining_supervised(void **state)
{
    for (size_t i = 0; i < ROWS; i++) {
        int requests = count_requests(&rows[i].is, *state);
        for (int at = 0; at < requests; at++) {
            worker_pc_t *pc = interrupt(&rows[i].is, at, drain_all, *state);
            apr_time_t began = pc->now;
            int power_requests = pc->power_requests;
            while (worker_pc_step(pc)) {
            }
            check_promises(pc, rows[i].name);
            if (pc->over != 1 || pc->now - began > apr_time_from_msec(100))
                fail_msg("%s: drained after %d, over %d, took %d ms", rows[i].name, at, pc->over,
                         (int)apr_time_as_msec(pc->now - began));
            assert_int_equal(pc->power_requests, power_requests);
        }
    }
}

/* With an intent it goes to its end; without one it is given back at once. */
static void check_draining_of_own(const behaviour_t *healthy, apr_pool_t *pool)
{
    int requests = count_requests(healthy, pool);
    for (int at = 0; at < requests; at++) {
        worker_pc_t *pc = interrupt(healthy, at, drain_own, pool);
        while (worker_pc_step(pc)) {
        }
        check_promises(pc, "drained");
        check_taken_back(pc, "drained");
        const char *expected = pc->intents ? "unlocked" : "released";
        assert_string_equal(worker_pc_ending(pc), expected);
        assert_int_equal(pc->power_requests, pc->intents ? 1 : 0);
    }
}

static void test_draining_a_unit_of_its_own(void **state)
{
    const behaviour_t healthy[] = {{0}, {SOL, .redirection_off = 1}, {IMAGE, .redirection_off = 1}};
    for (size_t i = 0; i < sizeof(healthy) / sizeof(healthy[0]); i++)
        check_draining_of_own(&healthy[i], *state);
}

/* ---- time ------------------------------------------------------------------------------------------------
 */

static void test_retries_are_bounded(void **state)
{
    static const behaviour_t gone = {FAILS(IDENTITY, UNREACHABLE)};
    apr_time_t longest = 0;
    for (int i = 0; i < 200; i++) {
        worker_pc_t *pc = worker_pc_create(&gone, *state);
        apr_time_t began = pc->now;
        worker_pc_run(pc);
        assert_int_equal(pc->calls, 4);
        if (pc->now - began > longest)
            longest = pc->now - began;
    }
    assert_true(longest > apr_time_from_sec(2)); /* jitter is there: 200 draws of up to 7 s in all */
    assert_true(longest < apr_time_from_sec(8));
}

/* A black hole: silence until the step's own end. */
static void test_a_black_hole_takes_25_seconds(void **state)
{
    static const behaviour_t healthy = {0};
    worker_pc_t *pc = worker_pc_create(&healthy, *state);
    apr_time_t began = pc->now;
    pc->ignore_at = 4; /* login, first probe, turn, identity */
    worker_pc_run(pc);
    assert_string_equal(worker_pc_ending(pc), "unreachable");
    assert_true(pc->now - began <= apr_time_from_sec(26));
}

/* libevent's clock is coarser than ours. */
static void test_an_alarm_that_comes_early_is_set_again(void **state)
{
    static const behaviour_t healthy = {0};
    worker_pc_t *pc = worker_pc_create(&healthy, *state);
    pc->ignore_at = 4;
    pc->early = apr_time_from_msec(3);
    worker_pc_run(pc);
    assert_string_equal(worker_pc_ending(pc), "unreachable");
}

static const char *intent_written(apr_pool_t *pool, int seconds_ago, int look_seconds)
{
    return apr_psprintf(pool, "{\"method\":\"wake\",\"written\":%ld,\"look_seconds\":%d}",
                        (long)(apr_time_sec(apr_time_now()) - seconds_ago), look_seconds);
}

static apr_interval_time_t look_lasts(const char *intent, apr_pool_t *pool)
{
    const behaviour_t is = {.look = 1, .power = 2, .never_boots = 1, .intent = intent};
    worker_pc_t *pc = worker_pc_create(&is, pool);
    apr_time_t began = pc->now;
    worker_pc_run(pc);
    assert_string_equal(worker_pc_ending(pc), "timeout");
    return pc->now - began;
}

static void test_looking_ends_by_the_deadline_of_the_intent(void **state)
{
    const apr_interval_time_t most = apr_time_from_sec(120 + 60 + 5);
    assert_in_range(look_lasts(intent_written(*state, 60, 100), *state), apr_time_from_sec(38),
                    apr_time_from_sec(45));
    assert_in_range(look_lasts(intent_written(*state, 9999, 100), *state), apr_time_from_sec(4),
                    apr_time_from_sec(10));
    /* What nobody here would have written is bounded by what this group's PCs are given. */
    assert_true(look_lasts(intent_written(*state, -100000, 100), *state) <= most);
    assert_true(look_lasts(intent_written(*state, 0, 2000000000), *state) <= most);
    assert_true(look_lasts("{\"written\":\"yesterday\"}", *state) <= most);
    assert_true(look_lasts("no json", *state) <= most);
    assert_true(look_lasts(NULL, *state) <= most);
}

/* ---- tables ----------------------------------------------------------------------------------------------
 */

static void test_reasons_of_amt(void **state)
{
    (void)state;
    assert_int_equal(unlock_reason_of_amt(AMT_TIMEOUT, 0), JOBS_REASON_UNREACHABLE);
    assert_int_equal(unlock_reason_of_amt(AMT_TIMEOUT, 1), JOBS_REASON_TIMEOUT);
    assert_int_equal(unlock_reason_of_amt(AMT_AUTH_FAILED, 1), JOBS_REASON_AUTH_FAILED);
    assert_int_equal(unlock_reason_of_amt(AMT_BUSY, 1), JOBS_REASON_BUSY);
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
}

static void test_the_intent_of_sol_can_be_taken_back(void **state)
{
    static const behaviour_t is = {SOL, .redirection_off = 1};
    worker_pc_t *pc = worker_pc_create(&is, *state);
    unlock_plan_t plan = {0};
    worker_pc_run(pc);
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
    worker_pc_t *pc = worker_pc_create(&is, *state);
    worker_pc_run(pc);
    assert_string_equal(pc->passphrase_read, "correct horse");
    assert_int_equal(pc->types, 1);
    assert_int_equal(pc->passphrases, 1);
    assert_int_equal(pc->heard, 3);
    assert_non_null(strstr(pc->unlock.intent, "\"boot\":\"UseIDER,UseSOL\""));
}

/* Nothing is written where it stands as it should. */
static void test_redirection_that_is_on_is_not_written(void **state)
{
    static const behaviour_t is = {SOL};
    worker_pc_t *pc = worker_pc_create(&is, *state);
    worker_pc_run(pc);
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
    worker_pc_t *pc = worker_pc_create(&is, *state);
    worker_pc_run(pc);
    assert_non_null(strstr(pc->unlock.intent, "\"power\":2"));
    assert_non_null(strstr(pc->unlock.intent, "\"power_before\":7"));
    assert_non_null(strstr(pc->unlock.intent, "\"clear_boot\":true"));
    assert_non_null(strstr(pc->unlock.intent, "\"device\":\"" DEVICE "\""));
    assert_int_equal(pc->clears, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence_anywhere_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_lease_stops_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_draining_supervised, setup, teardown),
        cmocka_unit_test_setup_teardown(test_draining_a_unit_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retries_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_black_hole_takes_25_seconds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_alarm_that_comes_early_is_set_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_looking_ends_by_the_deadline_of_the_intent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reasons_of_amt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_intent_says_what_and_what_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_intent_of_sol_can_be_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_image_gets_the_passphrase_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redirection_that_is_on_is_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_intent_that_would_open_doors, setup, teardown),
    };
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
