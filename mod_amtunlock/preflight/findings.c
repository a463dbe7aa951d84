/* SPDX-License-Identifier: Apache-2.0 */
/* See findings_priv.h. One judge for each subject; what the procedure itself would end with comes last. */
#include "preflight/findings_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "preflight/findings_report_priv.h"
#include "preflight/firmware_priv.h"

const char *finding_level_name(finding_level_e level)
{
    static const char *const names[FINDING_LEVELS] = {
        [FINDING_OK] = "ok", [FINDING_WARNING] = "warning", [FINDING_FAILED] = "failed"};

    return names[level];
}

const char *finding_subject_name(finding_subject_e subject)
{
    static const char *const names[FINDING_SUBJECTS] = {
        [FINDING_ADDRESS] = "address", [FINDING_LOGIN] = "login",       [FINDING_PASSPHRASE] = "passphrase",
        [FINDING_TLS] = "tls",         [FINDING_IDENTITY] = "identity", [FINDING_FIRMWARE] = "firmware",
        [FINDING_ACCOUNT] = "account", [FINDING_CONTROL] = "control",   [FINDING_REDIRECTION] = "redirection",
        [FINDING_BOOT] = "boot",       [FINDING_METHODS] = "methods",   [FINDING_POWER] = "power",
        [FINDING_PROBE] = "probe",
    };

    return names[subject];
}

/* ---- what judges ask ----------------------------------------------------------------------------------- */

static int redirects(const findings_t *findings)
{
    return findings->unlock->method->sessions != 0;
}

static const char *method_of(const findings_t *findings)
{
    return inventory_method_name(findings->facts->system->method);
}

/* ---- how it is reached --------------------------------------------------------------------------------- */

static void judge_address(findings_t *findings)
{
    const facts_t *facts = findings->facts;

    if (facts->address[0] == '\0') {
        return;
    }
    if (facts->system->address != NULL) {
        findings_say(findings, FINDING_ADDRESS, FINDING_OK, "%s, as the inventory says", facts->address);
    }
    else if (facts->addresses.count > 1) {
        findings_say(findings, FINDING_ADDRESS, FINDING_OK, "%s, one of the %d addresses of its name",
                     facts->address, facts->addresses.count);
    }
    else {
        findings_say(findings, FINDING_ADDRESS, FINDING_OK, "%s, as its name resolves now", facts->address);
    }
}

static void judge_login(findings_t *findings)
{
    const facts_t *facts = findings->facts;

    if (facts->login.reason != JOBS_REASON_NONE) {
        findings_fail(findings, FINDING_LOGIN, facts->login.reason, facts->login.text);
    }
    else if (facts->system->auth == INVENTORY_KERBEROS) {
        findings_say(findings, FINDING_LOGIN, FINDING_OK, "the worker's own account of the domain, %s",
                     amt_tickets_principal(snapshot_tickets(facts->snapshot)));
    }
    else {
        findings_say(findings, FINDING_LOGIN, FINDING_OK, "%s knows one", facts->login_source);
    }
}

/* An unlock fetches it only when the PC asks for it. */
static void judge_passphrase(findings_t *findings)
{
    const facts_work_t *passphrase = &findings->facts->passphrase;

    if (!findings->unlock->method->types) {
        return;
    }
    if (passphrase->reason != JOBS_REASON_NONE) {
        findings_fail(findings, FINDING_PASSPHRASE, passphrase->reason, passphrase->text);
    }
    else {
        findings_say(findings, FINDING_PASSPHRASE, FINDING_OK, "%s",
                     findings->facts->volumes_only
                         ? "there is one of a volume's own, and none for a volume that has no line"
                         : "there is one");
    }
}

static void judge_legacy(findings_t *findings, int minor, const char *ca_file)
{
    if (minor < 2) {
        findings_say(findings, FINDING_TLS, FINDING_WARNING,
                     "TLS 1.%d, which is too old to be trusted; certificate and name verified by %s", minor,
                     ca_file);
    }
    else {
        findings_say(findings, FINDING_TLS, FINDING_WARNING,
                     "TLS 1.%d: it does not need tls legacy, give it tls ca", minor);
    }
}

static void judge_tls(findings_t *findings)
{
    const facts_t *facts = findings->facts;
    const char *ca_file = snapshot_settings(facts->snapshot)->ca_file;
    int minor = facts->tls_minor;

    if (facts->system->tls == INVENTORY_TLS_NONE) {
        findings_say(findings, FINDING_TLS, FINDING_WARNING,
                     "no TLS: whoever is on the way can read and change everything");
    }
    else if (minor < 0) {
        return;
    }
    else if (facts->system->tls == INVENTORY_TLS_LEGACY) {
        judge_legacy(findings, minor, ca_file);
    }
    else if (facts->system->tls == INVENTORY_TLS_PIN) {
        findings_say(findings, FINDING_TLS, FINDING_OK, "TLS 1.%d, with the pinned certificate", minor);
    }
    else {
        findings_say(findings, FINDING_TLS, FINDING_OK, "TLS 1.%d, certificate and name verified by %s",
                     minor, ca_file);
    }
}

/* ---- the device ---------------------------------------------------------------------------------------- */

static void judge_identity(findings_t *findings)
{
    const char *uuid = findings->facts->amt.identity.uuid;
    const char *expected = findings->facts->system->uuid;

    if (!findings_saw(findings, AMT_READ_IDENTITY)) {
        return;
    }
    if (!inventory_uuid_is_unique(uuid)) {
        findings_say(findings, FINDING_IDENTITY, FINDING_WARNING,
                     "UUID %s, which many boards were sold with: it does not tell this PC from others; set "
                     "one of its own in its firmware",
                     uuid);
    }
    else if (expected == NULL) {
        findings_say(findings, FINDING_IDENTITY, FINDING_OK,
                     "UUID %s; the inventory has none to compare it with", uuid);
    }
    else if (inventory_uuid_is(expected, uuid)) {
        findings_say(findings, FINDING_IDENTITY, FINDING_OK, "UUID %s, as the inventory says", expected);
    }
}

static void judge_firmware(findings_t *findings)
{
    static const struct {
        finding_level_e level;
        const char *text;
    } rows[FIRMWARE_KINDS] = {
        [FIRMWARE_CURRENT] = {FINDING_OK, "not among those that the known advisories name"},
        [FIRMWARE_OPEN] = {FINDING_WARNING, "which wants an update: by its version it is open to "},
        [FIRMWARE_OLD] = {FINDING_WARNING, "which gets no fixes any more"},
        [FIRMWARE_UNREADABLE] = {FINDING_WARNING, "which cannot be compared with advisories"},
    };
    const char *version = findings->facts->amt.identity.version;
    const char *open = "";
    firmware_e is = FIRMWARE_UNREADABLE;

    if (!findings_saw(findings, AMT_READ_IDENTITY)) {
        return;
    }
    if (version[0] == '\0') {
        findings_say(findings, FINDING_FIRMWARE, FINDING_WARNING, "it does not tell its version");
        return;
    }
    is = firmware_judge(version, &open, findings->pool);
    findings_say(findings, FINDING_FIRMWARE, rows[is].level, "AMT %s, %s%s", version, rows[is].text, open);
}

/* ---- control, redirection, boot ------------------------------------------------------------------------ */

static const char *control_mode(int mode)
{
    static const char *const names[] = {"no control mode", "client control mode", "admin control mode"};

    return mode >= 0 && mode < (int)(sizeof(names) / sizeof(names[0])) ? names[mode]
                                                                       : "control mode not told";
}

static void judge_control(findings_t *findings)
{
    const amt_consent_t *consent = &findings->facts->amt.consent;
    const char *mode = control_mode(consent->control_mode);

    if (!findings_saw(findings, AMT_READ_CONSENT)) {
        return;
    }
    if (consent->opt_in_state < 0) {
        findings_say(findings, FINDING_CONTROL, FINDING_OK, "%s; whether the user must consent is not told",
                     mode);
    }
    else if (consent->opt_in_required <= 1) {
        findings_say(findings, FINDING_CONTROL, FINDING_OK, "%s, the user's consent %s", mode,
                     consent->opt_in_required ? "for KVM only" : "for nothing");
    }
    else if (!consent->needed) {
        findings_say(findings, FINDING_CONTROL, FINDING_WARNING,
                     "%s, the user's consent for all, given for now: an unattended unlock will not have it",
                     mode);
    }
    else if (!redirects(findings)) {
        findings_say(findings, FINDING_CONTROL, FINDING_OK, "%s, the user's consent for all but method %s",
                     mode, method_of(findings));
    }
}

static const char *redirection_text(const findings_t *findings, const amt_redirection_t *redirection)
{
    static const char *const states[] = {"off", "storage", "Serial-over-LAN", "Serial-over-LAN and storage"};
    int state = redirection->state - AMT_REDIRECTION_OFF;

    return apr_psprintf(findings->pool, "%s, ports %s",
                        state >= 0 && state < 4 ? states[state] : "an unknown state",
                        redirection->listener ? "open" : "shut");
}

static void judge_redirection(findings_t *findings)
{
    const amt_redirection_t *now = &findings->facts->amt.redirection;
    const amt_redirection_t wanted = {.state = now->state | findings->unlock->method->sessions,
                                      .listener = 1};

    if (!findings_saw(findings, AMT_READ_REDIRECTION)) {
        return;
    }
    if (wanted.state == now->state && now->listener) {
        findings_say(findings, FINDING_REDIRECTION, FINDING_OK, "%s", redirection_text(findings, now));
    }
    else {
        findings_say(findings, FINDING_REDIRECTION, FINDING_OK,
                     "%s; an unlock sets %s, and takes it back in the end", redirection_text(findings, now),
                     redirection_text(findings, &wanted));
    }
}

static void judge_boot(findings_t *findings)
{
    const facts_t *facts = findings->facts;

    if (!findings_saw(findings, AMT_READ_BOOT)) {
        return;
    }
    if (facts->amt.boot.overridden && !redirects(findings)) {
        findings_say(findings, FINDING_BOOT, FINDING_WARNING,
                     "somebody has set %s for its next start; an unlock clears that",
                     facts->amt.boot.summary);
    }
    else if (!facts->amt.boot.overridden && findings_saw(findings, AMT_READ_CAPABILITIES)) {
        findings_say(findings, FINDING_BOOT, FINDING_OK,
                     "nothing special is set for its next start, and its firmware has what method %s needs",
                     method_of(findings));
    }
    else if (!facts->amt.boot.overridden) {
        findings_say(findings, FINDING_BOOT, FINDING_OK, "nothing special is set for its next start");
    }
}

/* The subject of an obstacle or a failure, by reason and step; the first row that fits. */
static const struct {
    const char *step;     /* NULL: any */
    jobs_reason_e reason; /* NONE: any */
    finding_subject_e subject;
} places[] = {
    {NULL, JOBS_REASON_UNREACHABLE, FINDING_ADDRESS},
    {NULL, JOBS_REASON_NO_SECRET, FINDING_LOGIN},
    {NULL, JOBS_REASON_AUTH_FAILED, FINDING_LOGIN},
    {NULL, JOBS_REASON_TLS_UNTRUSTED, FINDING_TLS},
    {NULL, JOBS_REASON_CONSENT_REQUIRED, FINDING_CONTROL},
    {NULL, JOBS_REASON_BUSY, FINDING_BOOT},
    {NULL, JOBS_REASON_NO_BOOT_DEVICE, FINDING_BOOT},
    {"power-state", JOBS_REASON_NOT_VERIFIED, FINDING_PROBE},
    {"consent", JOBS_REASON_NONE, FINDING_CONTROL},
    {"redirection", JOBS_REASON_NONE, FINDING_REDIRECTION},
    {"capabilities", JOBS_REASON_NONE, FINDING_BOOT},
    {"boot-settings", JOBS_REASON_NONE, FINDING_BOOT},
    {"power-state", JOBS_REASON_NONE, FINDING_POWER},
    {"saving-state", JOBS_REASON_NONE, FINDING_POWER},
    {NULL, JOBS_REASON_NONE, FINDING_IDENTITY},
};

static finding_subject_e place_of(jobs_reason_e reason, const char *step)
{
    int i = 0;

    while ((places[i].reason != JOBS_REASON_NONE && places[i].reason != reason) ||
           (places[i].step != NULL && strcmp(places[i].step, step) != 0)) {
        i++;
    }
    return places[i].subject;
}

/* What was not read is no obstacle. */
static void judge_obstacles(findings_t *findings)
{
    unlock_t unlock = *findings->unlock;
    const char *text = NULL;
    jobs_reason_e reason = JOBS_REASON_NONE;
    size_t at = 0;

    if (!redirects(findings)) {
        return;
    }
    if (!findings_saw(findings, AMT_READ_CAPABILITIES)) {
        unlock.facts.capabilities = (amt_capabilities_t){.storage = 1, .sol = 1};
    }
    while ((reason = unlock_next_obstacle(&unlock, &at, &text)) != JOBS_REASON_NONE) {
        findings_fail(findings, place_of(reason, "boot-settings"), reason,
                      reason == JOBS_REASON_BUSY
                          ? apr_pstrcat(findings->pool, text, ": ", unlock.facts.boot.summary, NULL)
                          : text);
    }
}

/* ---- other methods ------------------------------------------------------------------------------------- */

/* NULL: the PC can have this method, by what is read of it. What somebody has set for its next start passes. */
static const char *why_not(const findings_t *findings, const method_t *method)
{
    unlock_t unlock = *findings->unlock;
    const char *text = NULL;
    jobs_reason_e reason = JOBS_REASON_NONE;
    size_t at = 0;

    if (method->sessions == 0) { /* they are obstacles to a session */
        return NULL;
    }
    unlock.method = method;
    do {
        reason = unlock_next_obstacle(&unlock, &at, &text);
    } while (reason == JOBS_REASON_BUSY);
    return reason == JOBS_REASON_NONE ? NULL : text;
}

static void judge_methods(findings_t *findings)
{
    const char *can = "", *cannot = "";

    if (!findings->facts->capabilities_known || !findings_saw(findings, AMT_READ_CONSENT)) {
        return;
    }
    for (int i = 0; i < INVENTORY_METHODS; i++) {
        const method_t *method = method_find((inventory_method_e)i);
        const char *name = inventory_method_name((inventory_method_e)i);
        const char *why = method != NULL ? why_not(findings, method) : NULL;

        if (why != NULL) {
            cannot = apr_psprintf(findings->pool, "%s; not %s: %s", cannot, name, why);
        }
        else if (method != NULL) {
            can = apr_pstrcat(findings->pool, can, can[0] != '\0' ? ", " : "", name, NULL);
        }
    }
    findings_say(findings, FINDING_METHODS, FINDING_OK, "this PC can have %s%s", can, cannot);
}

/* ---- power and probe ----------------------------------------------------------------------------------- */

static const char *power_name(int state)
{
    static const struct {
        int state;
        const char *name;
    } names[] = {{2, "running"},    {3, "asleep"}, {4, "asleep"}, {6, "off"},
                 {7, "hibernated"}, {8, "off"},    {12, "off"},   {13, "off"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].state == state) {
            return names[i].name;
        }
    }
    return "in no clear state";
}

/* What an unlock would do with a PC that runs and does not answer its probe. */
static const char *plan_for_running(const dry_run_t *dry_run)
{
    if (dry_run->end == DRY_RUN_LOOKS) {
        return "; an unlock would look whether it stands at its prompt";
    }
    return dry_run->end == DRY_RUN_ACTS && dry_run->unlock.plan.power == AMT_POWER_RESET
               ? "; an unlock would reset it, as its group says"
               : "";
}

static void judge_power(findings_t *findings)
{
    static const char *const offers[] = {", which does not say what may be asked for",
                                         ", and may not be powered on now", ", and may be powered on"};
    const amt_power_t *power = &findings->facts->amt.power;
    int runs = power->state == AMT_POWER_ON;

    if (!findings_saw(findings, AMT_READ_POWER)) {
        return;
    }
    findings_say(findings, FINDING_POWER, FINDING_OK, "%s (power state %d)%s%s", power_name(power->state),
                 power->state, runs ? "" : offers[power->on_available + 1],
                 runs ? plan_for_running(findings->dry_run) : "");
}

static void judge_probe(findings_t *findings)
{
    const facts_t *facts = findings->facts;

    if (facts->system->probe_port == 0) {
        findings_say(findings, FINDING_PROBE, FINDING_WARNING,
                     "it has none, so only its console can tell that it is unlocked");
    }
    else if (facts->probe_addresses.count > 0) {
        findings_say(findings, FINDING_PROBE, FINDING_OK, "%s at %s port %d",
                     facts->probe_open ? "open" : "shut", facts->probe_addresses.text[0],
                     facts->system->probe_port);
    }
}

/* ---- what ends badly ----------------------------------------------------------------------------------- */

/* What could not be read; denials for want of a realm are in findings_account.c. */
static void judge_reads(findings_t *findings)
{
    static const finding_subject_e subjects[AMT_READS] = {[AMT_READ_IDENTITY] = FINDING_IDENTITY,
                                                          [AMT_READ_CONSENT] = FINDING_CONTROL,
                                                          [AMT_READ_REDIRECTION] = FINDING_REDIRECTION,
                                                          [AMT_READ_CAPABILITIES] = FINDING_BOOT,
                                                          [AMT_READ_BOOT] = FINDING_BOOT,
                                                          [AMT_READ_POWER] = FINDING_POWER,
                                                          [AMT_READ_SAVING] = FINDING_POWER};

    for (int kind = AMT_READ_IDENTITY + 1; kind < AMT_READS; kind++) {
        const amt_result_t *result = &findings->facts->results[kind];

        if (findings->facts->asked[kind] && result->status != AMT_OK && !result->denied) {
            findings_fail(findings, subjects[kind], unlock_reason_of_amt(result->status, 1), result->text);
        }
    }
}

static int has_failed_so(const findings_t *findings, jobs_reason_e reason)
{
    for (int i = 0; i < findings->list->nelts; i++) {
        const finding_t *finding = &APR_ARRAY_IDX(findings->list, i, finding_t);

        if (finding->level == FINDING_FAILED && finding->reason == reason) {
            return 1;
        }
    }
    return 0;
}

/* The procedure's own failure, where no judge has found it. */
static void judge_end(findings_t *findings)
{
    const unlock_t *unlock = findings->unlock;

    if (findings->dry_run->end == DRY_RUN_ENDS && unlock->state == 'F' &&
        !has_failed_so(findings, unlock->reason)) {
        findings_fail(findings, place_of(unlock->reason, unlock->ended_at), unlock->reason, unlock->text);
    }
}

static void (*const judges[])(findings_t *) = {judge_address,
                                               judge_login,
                                               judge_passphrase,
                                               judge_tls,
                                               judge_identity,
                                               judge_firmware,
                                               findings_judge_account,
                                               judge_control,
                                               judge_redirection,
                                               judge_boot,
                                               judge_obstacles,
                                               judge_methods,
                                               judge_power,
                                               judge_probe,
                                               judge_reads,
                                               judge_end};

/* ---- all of them --------------------------------------------------------------------------------------- */

static int has_failed(const findings_t *findings, finding_subject_e subject)
{
    for (int i = 0; i < findings->list->nelts; i++) {
        const finding_t *finding = &APR_ARRAY_IDX(findings->list, i, finding_t);

        if (finding->subject == subject && finding->level == FINDING_FAILED) {
            return 1;
        }
    }
    return 0;
}

/* By subject; where one failed, what is well of it is left out. */
static apr_array_header_t *sort_findings(const findings_t *findings)
{
    apr_array_header_t *sorted = apr_array_make(findings->pool, findings->list->nelts, sizeof(finding_t));

    for (int subject = 0; subject < FINDING_SUBJECTS; subject++) {
        int failed = has_failed(findings, (finding_subject_e)subject);

        for (int i = 0; i < findings->list->nelts; i++) {
            const finding_t *finding = &APR_ARRAY_IDX(findings->list, i, finding_t);

            if ((int)finding->subject == subject && !(failed && finding->level == FINDING_OK)) {
                APR_ARRAY_PUSH(sorted, finding_t) = *finding;
            }
        }
    }
    return sorted;
}

apr_array_header_t *findings_of(const facts_t *facts, const dry_run_t *dry_run, apr_pool_t *pool)
{
    findings_t findings = {.facts = facts,
                           .dry_run = dry_run,
                           .unlock = &dry_run->unlock,
                           .list = apr_array_make(pool, FINDING_SUBJECTS, sizeof(finding_t)),
                           .pool = pool};

    for (size_t i = 0; i < sizeof(judges) / sizeof(judges[0]); i++) {
        judges[i](&findings);
    }
    return sort_findings(&findings);
}
