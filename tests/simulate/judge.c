/* SPDX-License-Identifier: Apache-2.0 */
#include "judge_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>
#include <jansson.h>

#include "ground.h"
#include "worker/slot_priv.h"

#define INTENDED "IPBLK"
#define LINES 2 /* of three tries one is for the passphrase */
#define BEFORE_INTENT "QCJ"
/* After Redis' clock was set, no worker can know it before its next renewal. */
#define KNOWN_WITHIN (JOBS_LEASE + JOBS_GRACE)
#define COOLDOWN (apr_time_from_sec(60) - apr_time_from_msec(1)) /* times to live are of whole milliseconds */

/* Who told Redis that it may do it now. */
typedef struct {
    const char *fence; /* NULL: nobody */
    const void *by;    /* where that worker runs: its host's owner */
} marked_t;

typedef struct {
    const char *job, *system;
    marked_t marked[JOBS_MARK_AGAIN + 1]; /* by jobs_mark_e */
    int lines;                            /* empty ones, since it may have begun anew */
    int powers;                           /* requests that the PC did not refuse */
    int typed;                            /* passphrases, typed or sealed */
    const void *by; /* where the worker runs that sent the last of either: its host's owner */
} task_t;

typedef struct {
    task_t *task;
    act_e act;
    const char *fence;
    const void *by; /* the worker's name, over all of its runs */
} seen_act_t;

judge_t judge;

/* ---- breaches ------------------------------------------------------------------------------------------ */

const char *judge_breach(void)
{
    return judge.breach[0] != '\0' ? judge.breach : NULL;
}

void judge_breaks(const char *rule, const char *format, ...)
{
    va_list arguments;
    char text[500];

    if (judge.breach[0] != '\0') {
        return;
    }
    va_start(arguments, format);
    apr_vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    apr_snprintf(judge.breach, sizeof(judge.breach), "%s: %s, at %.6f s", rule, text,
                 (double)clockwork_now() / 1e6);
    ground_say("BREACH of %s", judge.breach);
    clockwork_stop();
}

/* ---- what is known ------------------------------------------------------------------------------------- */

static task_t *task_of(const char *job, const char *system)
{
    const char *name = apr_pstrcat(judge.pool, job, " ", system, NULL);
    task_t *task = apr_hash_get(judge.tasks, name, APR_HASH_KEY_STRING);

    if (task == NULL) {
        task = apr_pcalloc(judge.pool, sizeof(*task));
        task->job = apr_pstrdup(judge.pool, job);
        task->system = apr_pstrdup(judge.pool, system);
        apr_hash_set(judge.tasks, name, APR_HASH_KEY_STRING, task);
    }
    return task;
}

static claim_t *claim_of(const char *fence)
{
    claim_t *claim = apr_hash_get(judge.claims, fence, APR_HASH_KEY_STRING);

    if (claim == NULL) {
        claim = apr_pcalloc(judge.pool, sizeof(*claim));
        apr_hash_set(judge.claims, apr_pstrdup(judge.pool, fence), APR_HASH_KEY_STRING, claim);
    }
    return claim;
}

/* Since when Redis may say something else than it did. */
static int was_rolled_back(void)
{
    return server.rolled_back_at >= 0;
}

/* What the README says remains: a worker that was away for lease and grace after Redis came back older has not told it
 * what it did, and another may do it again. */
static int has_not_told(const void *owner)
{
    const apr_time_t *told = apr_hash_get(judge.reconciled, &owner, sizeof(owner));

    return was_rolled_back() && owner != NULL && (told == NULL || *told < server.rolled_back_at);
}

static int did_not_tell(const void *owner, const host_t *host)
{
    return owner != host->owner && has_not_told(owner);
}

static int was_just_set(void)
{
    return server.stepped_at >= 0 && clockwork_now() - server.stepped_at <= KNOWN_WITHIN;
}

/* ---- what Redis was asked ------------------------------------------------------------------------------ */

#define WORDS_BEFORE 5 /* FCALL, name, 1, key, schema */

static const char *argument(const text_t *words, int count, int at)
{
    return WORDS_BEFORE + at < count ? words[WORDS_BEFORE + at].bytes : "";
}

static int says(const reply_t *reply, const char *word)
{
    return reply->kind == REPLY_ARRAY && reply->count > 0 && reply->items[0].kind == REPLY_TEXT &&
           strcmp(reply->items[0].text.bytes, word) == 0;
}

/* No unlock of a PC begins within a minute after a lease ended behind an intent: its worker may wake again. */
static void judge_cooldown(const char *system)
{
    const apr_time_t *ended = apr_hash_get(judge.cool, system, APR_HASH_KEY_STRING);

    if (ended != NULL && clockwork_now() - *ended < COOLDOWN && !was_rolled_back() &&
        server.stepped_at < *ended) {
        judge_breaks("cooldown", "%s is begun %.3f s after a lease of it had ended behind an intent", system,
                     (double)(clockwork_now() - *ended) / 1e6);
    }
}

static void note_expired(const char *system)
{
    apr_time_t *ended = apr_palloc(judge.pool, sizeof(*ended));

    *ended = clockwork_now();
    apr_hash_set(judge.cool, apr_pstrdup(judge.pool, system), APR_HASH_KEY_STRING, ended);
}

static unsigned int marks_in_redis(const char *system)
{
    return jobs_marks_parse(server_field(apr_pstrcat(judge.pool, "{amtu}:system:", system, NULL), "marks"));
}

static void on_claim(apr_time_t sent, const reply_t *reply)
{
    const reply_t *tasks = reply->count > 2 ? &reply->items[2] : NULL;

    for (int i = 0; tasks != NULL && i < tasks->count; i++) {
        const reply_t *items = tasks->items[i].items;
        claim_t *claim = claim_of(items[2].text.bytes);
        int taken_over = strcmp(items[3].text.bytes, "1") == 0;

        if (claim->exists && !was_rolled_back()) {
            judge_breaks("fences-grow", "fence %s was given twice", items[2].text.bytes);
        }
        *claim = (claim_t){.exists = 1,
                           .at = clockwork_now(),
                           .lease_until = sent + JOBS_LEASE,
                           .job = apr_pstrdup(judge.pool, items[0].text.bytes),
                           .system = apr_pstrdup(judge.pool, items[1].text.bytes),
                           .taken_over = taken_over,
                           .marks_before = taken_over ? marks_in_redis(items[1].text.bytes) : 0};
        judge.figures.taken_over += taken_over;
        if (!taken_over) {
            judge_cooldown(claim->system);
        }
    }
}

static int is_lost(const reply_t *lost, const char *fence)
{
    for (int i = 0; lost != NULL && i < lost->count; i++) {
        if (strcmp(lost->items[i].items[2].text.bytes, fence) == 0) {
            return 1;
        }
    }
    return 0;
}

static void on_renew(apr_time_t sent, int count, const text_t *words, const reply_t *reply)
{
    const reply_t *lost = reply->count > 1 ? &reply->items[1] : NULL;
    /* the rest is named again by the next call */
    int looked = reply->count > 2 ? (int)strtol(reply->items[2].text.bytes, NULL, 10) : 0;

    for (int i = 6; WORDS_BEFORE + i < count && i < 6 + 3 * looked; i += 3) {
        const char *fence = argument(words, count, i);

        if (!is_lost(lost, fence)) {
            claim_of(fence)->lease_until = sent + JOBS_LEASE;
        }
    }
}

/* The record knows it before Redis does. What the intake turns away has no act to record. */
static void on_finish(int count, const text_t *words)
{
    const char *fence = argument(words, count, 3);

    if (strcmp(argument(words, count, 4), "claim") != 0 && !claim_of(fence)->ended) {
        judge_breaks("record-first", "%s of job %s ended in Redis, and not on a record",
                     argument(words, count, 2), argument(words, count, 1));
    }
}

static void on_intend(int count, const text_t *words)
{
    claim_t *claim = claim_of(argument(words, count, 3));

    if (!claim->recorded) {
        judge_breaks("record-first", "%s of job %s has its intent in Redis, and not on a record",
                     argument(words, count, 2), argument(words, count, 1));
    }
    claim->taken = 1;
}

static void on_mark(const host_t *host, int count, const text_t *words)
{
    task_t *task = task_of(argument(words, count, 1), argument(words, count, 2));
    const char *fence = argument(words, count, 3);
    claim_t *claim = claim_of(fence);
    unsigned int mark = jobs_marks_parse(argument(words, count, 6));
    marked_t *marked = &task->marked[mark];

    if (!(claim->marks_recorded & mark)) {
        judge_breaks("record-first", "%s of job %s has a mark in Redis, and not on a record", task->system,
                     task->job);
    }
    claim->marks_taken |= mark;
    if (marked->fence == NULL || did_not_tell(marked->by, host)) {
        *marked = (marked_t){apr_pstrdup(judge.pool, fence), host->owner};
    }
}

static void on_submit(int count, const text_t *words, const reply_t *reply)
{
    const char *message = apr_pstrdup(judge.pool, argument(words, count, 5));

    apr_hash_set(judge.created, message, APR_HASH_KEY_STRING,
                 apr_pstrdup(judge.pool, reply->items[1].text.bytes));
}

static void on_verb(const host_t *host, apr_time_t sent, int count, const text_t *words, const reply_t *reply)
{
    const char *verb = words[1].bytes;

    if (reply->kind == REPLY_ERROR && strncmp(reply->text.bytes, "MISCONF", 7) != 0) {
        judge_breaks("verbs", "%s fails: %s", verb, reply->text.bytes);
    }
    if (strcmp(verb, "amtunlock_mark") == 0 && (says(reply, "ok") || says(reply, "already"))) {
        on_mark(host, count, words);
    }
    if (!says(reply, "ok")) {
        return;
    }
    if (strcmp(verb, "amtunlock_claim") == 0) {
        on_claim(sent, reply);
    }
    else if (strcmp(verb, "amtunlock_renew") == 0) {
        on_renew(sent, count, words, reply);
    }
    else if (strcmp(verb, "amtunlock_finish") == 0) {
        on_finish(count, words);
    }
    else if (strcmp(verb, "amtunlock_intend") == 0) {
        on_intend(count, words);
    }
    else if (strcmp(verb, "amtunlock_submit") == 0) {
        on_submit(count, words, reply);
    }
}

/* ---- what becomes of tasks in Redis -------------------------------------------------------------------- */

static const char *part_of(const char *packed, int number, apr_pool_t *pool)
{
    while (number-- > 0) {
        packed = strchr(packed, '|') + 1;
    }
    return apr_pstrmemdup(pool, packed, strcspn(packed, "|"));
}

/* Now, or until its user switched it off since the claim. */
static int was_open(const pc_t *pc, const char *packed)
{
    return pc->is_open ||
           (pc->open_until > 0 && pc->open_until >= claim_of(part_of(packed, 1, judge.pool))->at);
}

static void judge_move(const char *job, const char *system, const char *before, const char *after)
{
    const pc_t *pc = pc_find(system);
    int is_new = before == NULL || before[0] != after[0];

    if (is_new) {
        ground_say("%s of job %.6s: %c -> %s", system, job, before != NULL ? before[0] : '-', after);
    }
    if (after[0] == 'U' && is_new && !was_open(pc, after) && !was_rolled_back()) {
        judge_breaks("true-result", "%s of job %s is said to be unlocked, and its disk is locked", system,
                     job);
    }
    if (before == NULL) {
        return;
    }
    if (strchr(JUDGE_ENDED, before[0]) != NULL && strcmp(before, after) != 0) {
        judge_breaks("ends-once", "%s of job %s had ended %s, and becomes %s", system, job, before, after);
    }
    if (strchr(INTENDED, before[0]) != NULL && strchr(BEFORE_INTENT, after[0]) != NULL) {
        judge_breaks("no-way-back", "%s of job %s goes from %c to %c", system, job, before[0], after[0]);
    }
    /* A Redis that was restarted may have lost an intent that is older than a claim, and its record restores it. */
    if (!was_rolled_back() && (after[0] != 'L' || server.starts == 0) &&
        apr_atoi64(part_of(after, 1, judge.pool)) < apr_atoi64(part_of(before, 1, judge.pool))) {
        judge_breaks("fences-grow", "%s of job %s: %s after %s", system, job, after, before);
    }
    if (strchr(INTENDED, before[0]) != NULL && before[0] != 'L' && after[0] == 'L' &&
        strcmp(server.verb, "amtunlock_reap") == 0) {
        note_expired(system);
    }
    judge.figures.joined += is_new && after[0] == 'J';
}

static void on_field(void *baton, const text_t *key, const text_t *field, const char *before,
                     const text_t *after)
{
    static const char prefix[] = "{amtu}:job:", suffix[] = ":tasks";
    size_t ends = key->length - (sizeof(suffix) - 1);

    (void)baton;
    if (key->length < sizeof(prefix) + sizeof(suffix) ||
        strncmp(key->bytes, prefix, sizeof(prefix) - 1) != 0 || strcmp(key->bytes + ends, suffix) != 0) {
        return;
    }
    judge_move(apr_pstrmemdup(judge.pool, key->bytes + sizeof(prefix) - 1, ends - (sizeof(prefix) - 1)),
               apr_pstrmemdup(judge.pool, field->bytes, field->length), before, after->bytes);
}

/* ---- what is sent to PCs ------------------------------------------------------------------------------- */

/* Whether Redis names this claim as the holder of the system. */
static int is_holder(const slot_t *slot)
{
    const char *fence =
        server_field(apr_pstrcat(judge.pool, "{amtu}:system:", slot->task.ref.system, NULL), "fence");

    return fence != NULL && strcmp(fence, slot->task.ref.fence) == 0;
}

static void judge_right(const slot_t *slot, act_e act, const char *what)
{
    const jobs_task_ref_t *task = &slot->task.ref;
    const claim_t *claim = claim_of(task->fence);

    int takes_back = claim->taken_over && act == ACT_TAKE_BACK;

    if (!takes_back && act != ACT_REDRAW && act != ACT_LINE && (!claim->recorded || !claim->taken)) {
        judge_breaks("intent-first", "%s of job %s: %s, and its intent is not %s", task->system, task->job,
                     what, claim->recorded ? "in Redis" : "on a record");
    }
    if (clockwork_now() >= claim->lease_until) {
        judge_breaks("no-act-after-lease", "%s of job %s: %s %.3f s after its lease", task->system, task->job,
                     what, (double)(clockwork_now() - claim->lease_until) / 1e6);
    }
    if (!is_holder(slot) && !was_rolled_back() && !was_just_set()) {
        judge_breaks("no-act-after-lease", "%s of job %s: %s, and another holds it", task->system, task->job,
                     what);
    }
}

/* A second time that is excused counts as the first. */
static void forget_untold(task_t *task)
{
    if ((task->powers > 0 || task->typed > 0 || task->lines > 0) && did_not_tell(task->by, host_current())) {
        judge.figures.excused++;
        task->powers = task->typed = task->lines = 0;
    }
    task->by = host_current()->owner;
}

static int is_mine(const marked_t *marked, const slot_t *slot)
{
    return marked->fence == NULL || strcmp(marked->fence, slot->task.ref.fence) == 0;
}

static unsigned int mark_of_act(const claim_t *claim, act_e act)
{
    if (act == ACT_LINE) {
        return claim->marks_taken & JOBS_MARK_AGAIN ? JOBS_MARK_AGAIN : JOBS_MARK_LINE;
    }
    return act == ACT_POWER ? JOBS_MARK_POWER : JOBS_MARK_TYPED;
}

/* What must happen once: by a mark of its own, and no worker before had that. */
static void judge_marks(const slot_t *slot, const task_t *task, act_e act, const char *what)
{
    const claim_t *claim = claim_of(slot->task.ref.fence);
    unsigned int mark = mark_of_act(claim, act);
    const marked_t *marked = &task->marked[mark];
    unsigned int never = act == ACT_LINE ? mark : mark | JOBS_MARK_TYPED | JOBS_MARKS_UNKNOWN;

    if (!(claim->marks_recorded & claim->marks_taken & mark)) {
        judge_breaks("mark-first", "%s of job %s: %s, and its mark is not %s", task->system, task->job, what,
                     claim->marks_recorded & mark ? "in Redis" : "on a record");
    }
    if (claim->marks_before & never) {
        judge_breaks("marked-once", "%s of job %s: %s, and it was claimed with the marks \"%s\"",
                     task->system, task->job, what, jobs_marks_words(claim->marks_before, judge.pool));
    }
    if (!is_mine(marked, slot) && !did_not_tell(marked->by, host_current())) {
        judge_breaks("marked-once", "%s of job %s: %s, and fence %s had marked it", task->system, task->job,
                     what, marked->fence);
    }
}

static int is_once(act_e act)
{
    return act == ACT_POWER || act == ACT_TYPE || act == ACT_SEAL || act == ACT_LINE;
}

void *judge_act(act_e act, const void *baton, const pc_t *pc)
{
    static const char *const names[] = {"power",     "type",   "seal",      "write",
                                        "take back", "redraw", "empty line"};
    const slot_t *slot = baton;
    seen_act_t *seen = apr_palloc(judge.pool, sizeof(*seen));
    task_t *task = task_of(slot->task.ref.job, slot->task.ref.system);

    ground_say("%s of job %.6s, fence %s: %s", pc->name, task->job, slot->task.ref.fence, names[act]);
    *seen = (seen_act_t){task, act, apr_pstrdup(judge.pool, slot->task.ref.fence), host_current()->owner};
    judge_right(slot, act, names[act]);
    if (is_once(act)) {
        judge_marks(slot, task, act, names[act]);
        forget_untold(task);
    }
    if ((act == ACT_TYPE || act == ACT_SEAL) && ++task->typed > 1) {
        judge_breaks("typed-once", "%s of job %s: its passphrase leaves for the %d. time", task->system,
                     task->job, task->typed);
    }
    if (act == ACT_LINE && ++task->lines > LINES) {
        judge_breaks("tries-kept", "%s of job %s: %d empty lines", task->system, task->job, task->lines);
    }
    if (strcmp(pc->name, task->system) != 0) {
        judge_breaks("right-pc", "%s is sent what is for %s", pc->name, task->system);
    }
    return seen;
}

void judge_power_done(void *act, int refused)
{
    const seen_act_t *seen = act;

    judge.figures.powers++;
    if (!refused && ++seen->task->powers > 1) {
        judge_breaks("never-twice", "%s of job %s: %d power requests", seen->task->system, seen->task->job,
                     seen->task->powers);
    }
}

void judge_typed(void *act, const pc_t *pc)
{
    const seen_act_t *seen = act;

    judge.figures.typed++;
    if (seen->act == ACT_TYPE && !pc->is_asking) {
        judge_breaks("typed-at-question", "%s: a passphrase is typed where none is asked for", pc->name);
    }
}

/* Each boot has its own, whoever serves it. An image that still runs when another job opens its drive, or a worker that
 * was not told of that boot, will not run for long. */
void judge_secret(const pc_t *pc, const char *job)
{
    const seen_act_t *start = pc->started_by;
    unsigned char s[2][32];

    if (start != NULL && strcmp(job, start->task->job) != 0) {
        return;
    }
    if (start != NULL && has_not_told(start->by)) {
        judge.figures.excused++;
        return;
    }
    for (int i = 0; start != NULL && i < 2; i++) {
        judge_derive(i == 0 ? PC_PROOF_KEY : PC_OTHER_PROOF_KEY, start->task->job, start->task->system,
                     start->fence, s[i]);
    }
    if (start == NULL || (memcmp(pc->image.s, s[0], 32) != 0 && memcmp(pc->image.s, s[1], 32) != 0)) {
        judge_breaks("own-secret", "%s reads a secret that is not that of its boot", pc->name);
    }
}

void judge_unsealed(const pc_t *pc, const char *wrong)
{
    judge_breaks("own-secret", "%s is given a passphrase that is sealed to another boot: %s", pc->name,
                 wrong);
}

/* ---- the records --------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));

    return text != NULL ? text : "";
}

static void note_reconciled(const host_t *host)
{
    const void *const *owner = apr_pmemdup(judge.pool, &host->owner, sizeof(host->owner));
    apr_time_t *at = apr_palloc(judge.pool, sizeof(*at));

    *at = clockwork_now();
    apr_hash_set(judge.reconciled, owner, sizeof(*owner), at);
}

static void take_line(const host_t *host, const char *bytes, size_t length)
{
    json_t *line = json_loadb(bytes, length, 0, NULL);
    const char *event = text_of(line, "event");
    claim_t *claim =
        line != NULL && text_of(line, "fence")[0] != '\0' ? claim_of(text_of(line, "fence")) : NULL;

    if (claim != NULL) {
        claim->recorded |= strcmp(event, AUDIT_INTENT) == 0;
        claim->marks_recorded |= strcmp(event, AUDIT_MARK) == 0 ? jobs_marks_parse(text_of(line, "mark")) : 0;
        claim->ended |= strcmp(event, AUDIT_OUTCOME) == 0;
        claim->closed |= strcmp(event, AUDIT_OUTCOME) == 0 || strcmp(event, AUDIT_WITHDRAWN) == 0 ||
                         strcmp(event, AUDIT_HANDED_OVER) == 0;
    }
    if (strcmp(event, AUDIT_REDIS) == 0) {
        note_reconciled(host);
    }
    json_decref(line);
}

void judge_record(const host_t *host, const char *bytes, size_t length)
{
    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t line = end != NULL ? (size_t)(end - bytes) + 1 : length;

        take_line(host, bytes, line);
        bytes += line;
        length -= line;
    }
}

void judge_file(const char *file)
{
    for (int i = 0; i < judge.file_count; i++) {
        if (strcmp(judge.files[i], file) == 0) {
            return;
        }
    }
    judge.files[judge.file_count++] = apr_pstrdup(judge.pool, file);
}

/* ---- the beginning -------------------------------------------------------------------------------------- */

void judge_begin(apr_pool_t *pool)
{
    memset(&judge, 0, sizeof(judge));
    judge.pool = pool;
    judge.tasks = apr_hash_make(pool);
    judge.claims = apr_hash_make(pool);
    judge.cool = apr_hash_make(pool);
    judge.reconciled = apr_hash_make(pool);
    judge.created = apr_hash_make(pool);
    judge.acknowledged = apr_array_make(pool, 8, sizeof(acknowledged_t));
    server.on_verb = on_verb;
    server.on_field = on_field;
    store_watch(server.store, on_field, NULL);
}

judge_figures_t judge_figures(void)
{
    return judge.figures;
}
