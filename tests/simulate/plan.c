/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND ((apr_interval_time_t)APR_USEC_PER_SEC)
#define JOBS_WITHIN (400 * SECOND)
#define FAULTS_WITHIN (500 * SECOND)
#define PLAN_LATE_FAULTS 8 /* of PLAN_FAULTS */

/* Where a worker can be struck: the failpoints of its rooms. */
static const char *const points[] = {
    "claim.before",     "claim.answered",    "intend.decided",   "intend.recorded", "intend.applied",
    "intend.done",      "record.before",     "act.before",       "act.answered",    "act.done",
    "powered.done",     "booting.done",      "finish.decided",   "finish.recorded", "finish.applied",
    "finish.done",      "progress.before",   "progress.applied", "release.before",  "release.applied",
    "renew.before",     "renew.answered",    "reap.before",      "reap.answered",   "verify.read",
    "reconcile.before", "reconcile.results", "reconcile.done"};
#define POINTS ((int)(sizeof(points) / sizeof(points[0])))
/* And those between an intent and its end. */
static const char *const late_points[] = {
    "intend.applied",     "power-mark.recorded", "power-mark.applied", "typed-mark.recorded",
    "typed-mark.applied", "act.before",          "act.answered",       "call.before",
    "call.answered",      "console.opens",       "console.open",       "console.heard",
    "drive.opens",        "drive.open",          "drive.read",         "powered.done",
    "booting.done",       "typed.done",          "hello.heard",        "progress.applied"};
#define LATE_POINTS ((int)(sizeof(late_points) / sizeof(late_points[0])))

/* How each is drawn, of all: first `weight`, then `later` for some more, which strike take-overs. */
static const struct {
    const char *name;
    int weight, of_pc;
    int least, most; /* seconds it lasts */
    int later;
} kinds[FAULTS] = {
    [FAULT_KILL] = {"kill", 10, 0, 1, 60},
    [FAULT_KILL_AT_POINT] = {"kill at a point", 14, 0, 1, 60, 10},
    [FAULT_PAUSE] = {"pause", 8, 0, 1, 120},
    [FAULT_PAUSE_AT_POINT] = {"pause at a point", 10, 0, 20, 120, 4},
    [FAULT_STOP] = {"stop", 4, 0, 1, 20},
    [FAULT_RELOAD] = {"reload", 4, 0, 0, 0},
    [FAULT_STEP_WORKER] = {"step of its wall clock", 3, 0, 0, 0},
    [FAULT_DISK_FULL] = {"disk full", 5, 0, 1, 90},
    [FAULT_LOSES] = {"exchanges lost", 10, 0, 1, 60},
    [FAULT_HTTPD_LOSES] = {"httpd's exchanges lost", 4, 0, 1, 60},
    [FAULT_FREEZE] = {"Redis frozen", 6, 0, 1, 90},
    [FAULT_RESTART] = {"Redis restarted", 4, 0, 1, 30},
    [FAULT_ROLL_BACK] = {"Redis rolled back", 5, 0, 1, 90},
    [FAULT_STEP_REDIS] = {"step of Redis' clock", 4, 0, 0, 0},
    [FAULT_CANNOT_WRITE] = {"Redis' disk full", 4, 0, 1, 60},
    [FAULT_UNREACHABLE] = {"unreachable", 8, 1, 1, 90},
    [FAULT_FORGETS] = {"answers lost", 10, 1, 5, 120},
    [FAULT_SLOW] = {"slow", 6, 1, 5, 120},
    [FAULT_NOT_NOW] = {"not now", 6, 1, 5, 60},
    [FAULT_REFUSES] = {"refuses power", 3, 1, 5, 60},
    [FAULT_NEVER_BOOTS] = {"never boots", 2, 1, 0, 0},
    [FAULT_CUT] = {"sessions cut", 8, 1, 0, 0},
    [FAULT_DEAF] = {"deaf", 4, 1, 5, 60},
    [FAULT_STOP_AT_POINT] = {"stop at a point", 0, 0, 1, 20, 4},
    [FAULT_DISK_FULL_AT_POINT] = {"disk full at a point", 0, 0, 1, 90, 2},
    [FAULT_OTHER_KEY] = {"another proof key", 0, 0, 0, 0, 1},
    [FAULT_OLD_SCHEMA] = {"an older worker lost", 0, 0, 1, 60, 1},
};

static int weight_of(int kind, int is_late)
{
    return is_late ? kinds[kind].later : kinds[kind].weight;
}

static fault_e draw_kind(chance_t *chance, int is_late)
{
    int all = 0, at = 0;

    for (int i = 0; i < FAULTS; i++) {
        all += weight_of(i, is_late);
    }
    at = (int)chance_between(chance, 0, all - 1);
    for (int i = 0; i < FAULTS; i++) {
        at -= weight_of(i, is_late);
        if (at < 0) {
            return (fault_e)i;
        }
    }
    return FAULT_KILL;
}

static void draw_fault(const plan_t *plan, fault_t *fault, chance_t *chance, int is_late)
{
    static const int steps[] = {-3600, -90, -20, 20, 90, 3600};

    fault->kind = draw_kind(chance, is_late);
    fault->at =
        chance_between(chance, 5, FAULTS_WITHIN / SECOND) * SECOND + chance_between(chance, 0, SECOND);
    fault->duration =
        chance_between(chance, kinds[fault->kind].least * SECOND, kinds[fault->kind].most * SECOND);
    fault->target = (int)chance_between(chance, 0, kinds[fault->kind].of_pc ? PCS - 1 : plan->workers - 1);
    fault->point = is_late ? late_points[chance_between(chance, 0, LATE_POINTS - 1)]
                           : points[chance_between(chance, 0, POINTS - 1)];
    fault->nth = (int)chance_between(chance, 1, 8);
    fault->amount = steps[chance_between(chance, 0, 5)] * SECOND;
    fault->kept = 1;
}

/* Half of the jobs are for few systems, so that jobs meet. */
static void draw_job(job_t *job, chance_t *chance)
{
    int first = (int)chance_between(chance, 0, PCS - 1), room = (int)chance_between(chance, 1, PLAN_SYSTEMS);

    job->at = chance_between(chance, 0, JOBS_WITHIN / SECOND) * SECOND + chance_between(chance, 0, SECOND);
    job->cancel_at = chance_once_in(chance, 6) ? job->at + chance_between(chance, 0, 90 * SECOND) : 0;
    for (int i = 0; i < room; i++) {
        job->systems[job->count] = (first + i) % PCS;
        job->kept[job->count++] = 1;
    }
}

void plan_make(plan_t *plan, apr_uint64_t seed, int calm)
{
    chance_t chance = chance_of(seed, 1), late = chance_of(seed, 2);
    int all = 0;

    memset(plan, 0, sizeof(*plan));
    plan->seed = seed;
    plan->workers = (int)chance_between(&chance, 1, PLAN_WORKERS);
    plan->job_count = (int)chance_between(&chance, 3, PLAN_JOBS);
    for (int i = 0; i < plan->job_count; i++) {
        draw_job(&plan->jobs[i], &chance);
    }
    plan->fault_count = calm ? 0 : (int)chance_between(&chance, 1, PLAN_FAULTS - PLAN_LATE_FAULTS);
    all = calm ? 0 : plan->fault_count + (int)chance_between(&late, 0, PLAN_LATE_FAULTS);
    for (int i = 0; i < plan->fault_count; i++) {
        draw_fault(plan, &plan->faults[i], &chance, 0);
    }
    while (plan->fault_count < all) {
        draw_fault(plan, &plan->faults[plan->fault_count++], &late, 1);
    }
}

void plan_only(plan_t *plan, const char *name)
{
    for (int i = 0; i < plan->fault_count; i++) {
        plan->faults[i].kept = strncmp(kinds[plan->faults[i].kind].name, name, strlen(name)) == 0;
    }
}

/* ---- a smaller one ------------------------------------------------------------------------------------- */

/* Whether the element is kept: a fault, or a system of a job. NULL: there is no such element. */
static int *kept_of(plan_t *plan, int element)
{
    if (element < plan->fault_count) {
        return &plan->faults[element].kept;
    }
    element -= plan->fault_count;
    for (int i = 0; i < plan->job_count; i++) {
        if (element < plan->jobs[i].count) {
            return &plan->jobs[i].kept[element];
        }
        element -= plan->jobs[i].count;
    }
    return NULL;
}

int plan_elements(const plan_t *plan)
{
    int count = plan->fault_count;

    for (int i = 0; i < plan->job_count; i++) {
        count += plan->jobs[i].count;
    }
    return count;
}

int plan_is_fault(const plan_t *plan, int element)
{
    return element < plan->fault_count;
}

void plan_keep(plan_t *plan, const int *elements, int count)
{
    int all = plan_elements(plan);

    for (int i = 0; i < all; i++) {
        *kept_of(plan, i) = 0;
    }
    for (int i = 0; i < count; i++) {
        *kept_of(plan, elements[i]) = 1;
    }
}

int plan_tasks(const plan_t *plan)
{
    int count = 0;

    for (int i = 0; i < plan->job_count; i++) {
        for (int j = 0; j < plan->jobs[i].count; j++) {
            count += plan->jobs[i].kept[j];
        }
    }
    return count;
}

void plan_write_kept(const plan_t *plan, char *text, size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (int i = 0; i < plan->fault_count && at < size; i++) {
        if (plan->faults[i].kept) {
            at += (size_t)snprintf(text + at, size - at, "%sf%d", at ? " " : "", i);
        }
    }
    for (int i = 0; i < plan->job_count; i++) {
        for (int j = 0; j < plan->jobs[i].count && at < size; j++) {
            if (plan->jobs[i].kept[j]) {
                at += (size_t)snprintf(text + at, size - at, "%st%d.%d", at ? " " : "", i, j);
            }
        }
    }
}

/* A number at *text, which moves behind it; -1: there is none. */
static long take_number(const char **text)
{
    char *end = NULL;
    long number = isdigit((unsigned char)**text) ? strtol(*text, &end, 10) : -1;

    *text = end != NULL ? end : *text;
    return number;
}

/* "f3" or "t1.4". NULL: the plan has no such part. */
static int *take_part(plan_t *plan, const char **text)
{
    char kind = *(*text)++;
    long one = take_number(text), other;

    if (kind == 'f') {
        return one >= 0 && one < plan->fault_count ? &plan->faults[one].kept : NULL;
    }
    if (kind != 't' || one < 0 || one >= plan->job_count || *(*text)++ != '.') {
        return NULL;
    }
    other = take_number(text);
    return other >= 0 && other < plan->jobs[one].count ? &plan->jobs[one].kept[other] : NULL;
}

int plan_read_kept(plan_t *plan, const char *text)
{
    plan_keep(plan, NULL, 0);
    while (*text != '\0') {
        int *kept = take_part(plan, &text);

        if (kept == NULL || (*text != '\0' && *text != ' ')) {
            return 0;
        }
        *kept = 1;
        text += strspn(text, " ");
    }
    return 1;
}

int plan_is_at_point(const fault_t *fault)
{
    return fault->kind == FAULT_KILL_AT_POINT || fault->kind == FAULT_PAUSE_AT_POINT ||
           fault->kind == FAULT_STOP_AT_POINT || fault->kind == FAULT_DISK_FULL_AT_POINT;
}

static int plan_is_of_worker(const fault_t *fault)
{
    return fault->kind <= FAULT_LOSES || plan_is_at_point(fault) || fault->kind == FAULT_OTHER_KEY ||
           fault->kind == FAULT_OLD_SCHEMA;
}

/* ---- telling ------------------------------------------------------------------------------------------- */

static void tell_fault(int number, const fault_t *fault)
{
    printf("  f%-3d at %8.3f s: %s", number, (double)fault->at / 1e6, kinds[fault->kind].name);
    if (kinds[fault->kind].of_pc) {
        printf(" of pc%02d", fault->target);
    }
    else if (plan_is_of_worker(fault)) {
        printf(" of worker %d", fault->target);
    }
    if (plan_is_at_point(fault)) {
        printf(", %s, the %d.", fault->point, fault->nth);
    }
    if (fault->kind == FAULT_STEP_REDIS || fault->kind == FAULT_STEP_WORKER) {
        printf(" by %lld s", (long long)(fault->amount / SECOND));
    }
    if (fault->duration > 0) {
        printf(", %.3f s", (double)fault->duration / 1e6);
    }
    putchar('\n');
}

static void tell_job(int number, const job_t *job)
{
    int any = 0;

    for (int i = 0; i < job->count; i++) {
        any |= job->kept[i];
    }
    if (!any) {
        return;
    }
    printf("  t%-3d at %8.3f s: a job of", number, (double)job->at / 1e6);
    for (int i = 0; i < job->count; i++) {
        if (job->kept[i]) {
            printf(" pc%02d", job->systems[i]);
        }
    }
    if (job->cancel_at != 0) {
        printf(", cancelled at %.3f s", (double)job->cancel_at / 1e6);
    }
    putchar('\n');
}

void plan_tell(const plan_t *plan)
{
    printf("seed %llu, %d workers:\n", (unsigned long long)plan->seed, plan->workers);
    for (int i = 0; i < plan->fault_count; i++) {
        if (plan->faults[i].kept) {
            tell_fault(i, &plan->faults[i]);
        }
    }
    for (int i = 0; i < plan->job_count; i++) {
        tell_job(i, &plan->jobs[i]);
    }
}
