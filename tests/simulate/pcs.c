/* SPDX-License-Identifier: Apache-2.0 */
#include "pcs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "amt/amt.h"
#include "amt/redirection/ider.h"
#include "amt/redirection/sol.h"
#include "ground.h"
#include "inventory/inventory.h"
#include "judge.h"
#include "pcs_priv.h"
#include "unlock/intent.h"

#define QUESTION "\r\nPlease unlock disk root: "
#define MS ((apr_interval_time_t)1000)
#define TRIES 3                  /* of a passphrase */
#define GREETS_FOR (120000 * MS) /* these of the page of the proof */
#define ANSWERS_FOR (30000 * MS)
#define LOOKS_FOR (100000 * MS)
#define SILENT_FOR (30000 * MS) /* a session from which nothing comes is ended */

pc_t pcs[PCS];
apr_pool_t *pcs_pool;

static const int methods[] = {INVENTORY_WAKE, INVENTORY_SOL, INVENTORY_IMAGE};

const char *pc_method_name(int number)
{
    return inventory_method_name((inventory_method_e)methods[number % 3]);
}

void pcs_begin(apr_uint64_t seed, apr_pool_t *pool)
{
    memset(pcs, 0, sizeof(pcs));
    pcs_pool = pool;
    for (int i = 0; i < PCS; i++) {
        pc_t *pc = &pcs[i];

        apr_snprintf(pc->name, sizeof(pc->name), "pc%02d.example", i);
        pc->number = i;
        pc->method = methods[i % 3];
        pc->chance = chance_of(seed, 100 + (apr_uint64_t)i);
        pc->power = 8;
        pc->redirection = chance_once_in(&pc->chance, 4) ? AMT_REDIRECTION_OFF : AMT_REDIRECTION_BOTH;
        pc->listener = pc->redirection != AMT_REDIRECTION_OFF;
    }
}

pc_t *pc_find(const char *name)
{
    int number = strncmp(name, "pc", 2) == 0 ? (int)apr_atoi64(name + 2) : PCS;

    return number < PCS ? &pcs[number] : NULL;
}

/* Now, or a later start of the PC makes it void. */
typedef struct {
    pc_t *pc;
    int start;
    void (*happen)(pc_t *pc);
} pc_event_t;

static void on_pc_event(void *baton)
{
    const pc_event_t *event = baton;

    if (event->start == event->pc->starts) {
        event->happen(event->pc);
    }
}

static void pc_after(pc_t *pc, apr_interval_time_t least, apr_interval_time_t most, void (*happen)(pc_t *pc))
{
    pc_event_t *event = apr_palloc(pcs_pool, sizeof(*event));

    *event = (pc_event_t){pc, pc->starts, happen};
    clockwork_at(clockwork_now() + chance_between(&pc->chance, least, most), NULL, on_pc_event, event);
}

/* ---- the console --------------------------------------------------------------------------------------- */

static void say(pc_t *pc, const char *text)
{
    if (pc->sol != NULL) {
        sol_received(pc->sol, text);
    }
}

static void say_frame(pc_t *pc, const char *frame)
{
    say(pc, apr_psprintf(pcs_pool, "\r\n%s\r\n", frame));
}

static void ask(pc_t *pc)
{
    pc->is_asking = 1;
    say(pc, QUESTION);
}

static void begin_to_ask(pc_t *pc)
{
    say(pc, "Loading Linux ...");
    ask(pc);
}

static void come_up(pc_t *pc)
{
    pc->is_up = 1;
    say(pc, "\r\nDebian GNU/Linux 12 pc ttyS0\r\n\r\npc login: ");
}

static void open_disk(pc_t *pc)
{
    pc->is_open = 1;
    ground_say("%s: its disk is open", pc->name);
    if (pc->method == INVENTORY_SOL) {
        say(pc, "\r\ncryptsetup: root: set up successfully\r\n");
    }
    pc_after(pc, 3000 * MS, 20000 * MS, come_up);
}

static void open_by_itself(pc_t *pc)
{
    pc->is_open = 1;
    come_up(pc);
}

static void take_line(pc_t *pc, const char *line, void *act)
{
    int is_passphrase = strcmp(line, PC_PASSPHRASE) == 0;

    if (act != NULL && is_passphrase) {
        judge_typed(act, pc);
    }
    if (!pc->is_asking) {
        return;
    }
    pc->is_asking = 0;
    if (is_passphrase) {
        pc_after(pc, 500 * MS, 4000 * MS, open_disk);
    }
    else if (++pc->tries < TRIES) { /* an empty line is one, too */
        say(pc, "\r\ncryptsetup failed, bad password or options?");
        ask(pc);
    }
    else {
        say(pc, "\r\ncryptsetup: maximum number of tries exceeded\r\n");
    }
}

/* ---- the unlock image ---------------------------------------------------------------------------------- */

/* It restarts warm: a disk that is open stays so, a locked one asks on its screen. */
static void restart_warm(pc_t *pc)
{
    pc->image_state = IMAGE_NONE;
    if (pc->is_open) {
        pc_after(pc, 3000 * MS, 20000 * MS, come_up);
    }
}

static void begin_to_say(pc_t *pc, image_e state, const char *frame, apr_interval_time_t duration);

/* What it says, it says once a second. */
static void say_again(pc_t *pc)
{
    if (clockwork_now() != pc->says_at) {
        return; /* it says something else by now */
    }
    if (clockwork_now() < pc->says_until) {
        say_frame(pc, pc->saying);
        pc->says_at = clockwork_now() + 1000 * MS;
        pc_after(pc, 1000 * MS, 1000 * MS, say_again);
    }
    else if (pc->image_state == IMAGE_GREETS) {
        begin_to_say(pc, IMAGE_ANSWERS, peer_refusal(&pc->image, "no-seal"), ANSWERS_FOR);
    }
    else {
        restart_warm(pc);
    }
}

static void begin_to_say(pc_t *pc, image_e state, const char *frame, apr_interval_time_t duration)
{
    pc->image_state = state;
    pc->saying = frame;
    pc->says_at = clockwork_now();
    pc->says_until = clockwork_now() + duration;
    say_again(pc);
}

/* It looks for its sector, for as long as it likes to where the drive does not answer. */
static void look_for_sector(pc_t *pc)
{
    unsigned char sector[AMT_SECTOR];

    if (pc->served != NULL && served_read(pc->served, sector) &&
        peer_boot(&pc->image, sector, pcs_pool) == NULL) {
        judge_secret(pc, pc->served->job);
        begin_to_say(pc, IMAGE_GREETS, peer_hello(&pc->image), GREETS_FOR);
    }
    else if (clockwork_now() < pc->looks_until) {
        pc_after(pc, 1000 * MS, 1000 * MS, look_for_sector);
    }
    else {
        restart_warm(pc);
    }
}

static void on_loaded(pc_t *pc)
{
    if (pc->image_state == IMAGE_LOADS) {
        pc->image_state = IMAGE_LOOKS;
        pc->looks_until = clockwork_now() + (chance_once_in(&pc->chance, 2) ? 0 : LOOKS_FOR);
        pc_after(pc, 1000 * MS, 7000 * MS, look_for_sector);
    }
}

static void read_image(pc_t *pc)
{
    unsigned char sector[AMT_SECTOR];

    if (pc->served == NULL || !served_read(pc->served, sector)) {
        return; /* the firmware goes on to its own disk, whose question is on its screen only */
    }
    pc->image_state = IMAGE_LOADS;
    pc_after(pc, 1000 * MS, 8000 * MS, on_loaded);
}

/* What the boot loader had not read by then is missing. */
void pc_lost_drive(pc_t *pc)
{
    pc->served = NULL;
    if (pc->image_state == IMAGE_LOADS && !chance_once_in(&pc->chance, 3)) {
        ground_say("%s: lost its drive while it read the image", pc->name);
        pc->image_state = IMAGE_NONE;
    }
}

static void say_result(pc_t *pc)
{
    pc->is_open = 1;
    begin_to_say(pc, IMAGE_ANSWERS, peer_result(&pc->image, "unlocked", "none"), ANSWERS_FOR);
}

static void hear(pc_t *pc, const char *line, void *act)
{
    const char *wrong = NULL, *passphrase = NULL;

    if (pc->image_state == IMAGE_ANSWERS && peer_is_acknowledged(&pc->image, line)) {
        restart_warm(pc);
        return;
    }
    if (pc->image_state != IMAGE_GREETS) {
        return;
    }
    passphrase = peer_open_seal(&pc->image, line, &wrong);
    if (passphrase != NULL) {
        judge_typed(act, pc);
        pc->image_state = IMAGE_TRIES;
        pc->says_at = -1;
        pc_after(pc, 500 * MS, 4000 * MS, say_result);
    }
    else if (strcmp(wrong, "the frame") != 0) {
        judge_unsealed(pc, wrong);
        begin_to_say(pc, IMAGE_ANSWERS, peer_refusal(&pc->image, "seal-invalid"), ANSWERS_FOR);
    }
}

/* What is typed there arrives. */
void pc_typed(pc_t *pc, const char *bytes, void *act)
{
    char line[4096];
    size_t length = strcspn(bytes, "\r");

    if (pc->power != 2 || clockwork_now() < pc->deaf_until) {
        return;
    }
    if (strcmp(bytes, PC_REDRAW) == 0) {
        if (pc->is_asking) {
            say(pc, QUESTION);
        }
        return;
    }
    if (pc->image_state != IMAGE_NONE) {
        hear(pc, bytes, act);
        return;
    }
    length = length < sizeof(line) ? length : sizeof(line) - 1;
    memcpy(line, bytes, length);
    line[length] = '\0';
    take_line(pc, line, act);
}

/* ---- power --------------------------------------------------------------------------------------------- */

static void lock(pc_t *pc)
{
    pc->open_until = pc->is_open ? clockwork_now() : pc->open_until;
    pc->is_asking = pc->is_open = pc->is_up = pc->tries = 0;
    pc->image_state = IMAGE_NONE;
}

static void start(pc_t *pc)
{
    int boot = pc->boot_set;

    pc->starts++;
    pc->power = 2;
    lock(pc);
    pc->boot_set = 0; /* for one start */
    ground_say("%s: starts", pc->name);
    if (pc->never_boots) {
        return;
    }
    if (pc->method == INVENTORY_WAKE) {
        pc_after(pc, 15000 * MS, 70000 * MS, open_by_itself);
    }
    else if (boot & AMT_START_IMAGE) {
        pc_after(pc, 2000 * MS, 8000 * MS, read_image);
    }
    else if (boot & AMT_START_SOL) {
        pc_after(pc, 5000 * MS, 30000 * MS, begin_to_ask);
    }
}

void pc_switch_off(pc_t *pc)
{
    ground_say("%s: is switched off", pc->name);
    pc->starts++;
    pc->power = 8;
    lock(pc);
}

void pc_cut(pc_t *pc)
{
    if (pc->sol != NULL) {
        sol_cut(pc->sol);
    }
    if (pc->served != NULL) {
        served_cut(pc->served);
    }
}

static int has_console(const pc_t *pc, const host_t *host)
{
    return pc->sol != NULL && sol_host(pc->sol) == host;
}

/* Whether the worker's end ended it. */
static int loses_drive(const pc_t *pc, const host_t *host)
{
    return pc->served != NULL && pc->served->by == host->owner && !served_left_alone(pc->served);
}

/* The firmware holds its sessions until it is sure that nobody is there. What the drive process serves lives on. */
void pcs_host_died(const host_t *host)
{
    for (int i = 0; i < PCS; i++) {
        pc_t *pc = &pcs[i];

        int drive = loses_drive(pc, host), console = has_console(pc, host);

        if (drive) {
            pc_lost_drive(pc);
        }
        if (console) {
            pc->sol = NULL;
        }
        if (drive || console) {
            pc->busy_until = clockwork_now() + chance_between(&pc->chance, 5000 * MS, 85000 * MS);
        }
    }
}

/* Nothing comes from it any more, not even a heartbeat. */
static void on_silence(void *baton)
{
    const host_t *host = baton;

    for (int i = 0; host->paused_until > clockwork_now() && i < PCS; i++) {
        if (has_console(&pcs[i], host)) {
            sol_cut(pcs[i].sol);
        }
    }
}

void pcs_host_paused(host_t *host)
{
    clockwork_at(clockwork_now() + SILENT_FOR, NULL, on_silence, host);
}

/* ---- calls that arrived -------------------------------------------------------------------------------- */

static void read_facts(const pc_t *pc, amt_facts_t *facts)
{
    memset(facts, 0, sizeof(*facts));
    apr_snprintf(facts->identity.uuid, sizeof(facts->identity.uuid), "4c4c4544-0044-4a10-8058-b4c04f4a%04x",
                 0x4a00 + pc->number);
    apr_cpystrn(facts->identity.version, "12.0.67", sizeof(facts->identity.version));
    facts->identity.major = 12;
    facts->consent.control_mode = 2;
    facts->consent.opt_in_state = -1;
    facts->redirection = (amt_redirection_t){pc->redirection, pc->listener};
    facts->capabilities = (amt_capabilities_t){.storage = 1, .sol = 1};
    facts->boot.overridden = pc->boot_set != 0;
    apr_cpystrn(facts->boot.summary, intent_boot_name(pc->boot_set), sizeof(facts->boot.summary));
    facts->power = (amt_power_t){.state = pc->power, .on_available = 1, .reset_available = 1};
    facts->saving = AMT_SAVING_FULL_POWER;
}

static amt_status_e request_power(pc_t *pc, int state, void *act)
{
    int is_off = pc->power != AMT_POWER_ON;

    if (clockwork_now() < pc->not_now_until || clockwork_now() < pc->refuses_until) {
        judge_power_done(act, 1);
        return clockwork_now() < pc->not_now_until ? AMT_NOT_NOW : AMT_REFUSED;
    }
    judge_power_done(act, 0);
    if ((state == AMT_POWER_ON) == is_off) {
        pc->started_by = act;
        start(pc);
    }
    return AMT_OK;
}

amt_status_e pc_do(pc_t *pc, const pc_call_t *call, amt_facts_t *facts)
{
    switch (call->kind) {
    case CALL_READ:
        read_facts(pc, facts);
        return AMT_OK;
    case CALL_SET_BOOT:
        pc->boot_set = call->number;
        return AMT_OK;
    case CALL_SET_REDIRECTION:
        pc->redirection = call->redirection.state;
        pc->listener = call->redirection.listener;
        return AMT_OK;
    case CALL_POWER:
        return request_power(pc, call->number, call->act);
    }
    return AMT_GARBAGE;
}
