/* SPDX-License-Identifier: Apache-2.0 */
#include "judge_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "audit/audit.h"
#include "jobs/jobs.h"

/* ---- what consoles were told --------------------------------------------------------------------------- */

/* `message`: as Redis has it, "UUID/NAMES". */
static const char *created_by(const char *message)
{
    for (apr_hash_index_t *i = apr_hash_first(judge.pool, judge.created); i; i = apr_hash_next(i)) {
        if (strncmp(apr_hash_this_key(i), message, strlen(message)) == 0) {
            return apr_hash_this_val(i);
        }
    }
    return NULL;
}

void judge_submitted(const char *message, int outcome, const char *job, int unknown)
{
    if (outcome == JOBS_OK) {
        APR_ARRAY_PUSH(judge.acknowledged, acknowledged_t) =
            (acknowledged_t){apr_pstrdup(judge.pool, job), clockwork_now()};
    }
    else if (!unknown && outcome != JOBS_UNKNOWN && outcome != JOBS_BROKEN && created_by(message) != NULL) {
        judge_breaks("refused-is-not-done", "a console was told that nothing was done, and job %s is there",
                     created_by(message));
    }
}

const char *judge_job_key(const char *job)
{
    return apr_pstrcat(judge.pool, "{amtu}:job:", job, NULL);
}

int judge_all_ended(void)
{
    for (int i = 0; i < judge.acknowledged->nelts; i++) {
        const char *state =
            server_field(judge_job_key(APR_ARRAY_IDX(judge.acknowledged, i, acknowledged_t).job), "state");

        if (state != NULL && strcmp(state, "7") != 0 && strcmp(state, "8") != 0) {
            return 0;
        }
    }
    return 1;
}

/* ---- the end -------------------------------------------------------------------------------------------- */

static int is_forgotten(const acknowledged_t *one)
{
    for (int i = 0; i < server.roll_back_count; i++) {
        if (server.roll_backs[i].copied <= one->at && one->at < server.roll_backs[i].back) {
            return 1;
        }
    }
    return 0;
}

static void count_task(const char *packed, long *unlocked, long *failed)
{
    judge.figures.tasks++;
    *unlocked += packed[0] == 'U';
    *failed += packed[0] != 'U';
    judge.figures.unlocked += packed[0] == 'U';
    judge.figures.failed += packed[0] == 'F';
    judge.figures.cancelled += packed[0] == 'X';
    judge.figures.indeterminate += strstr(packed, "|indeterminate") != NULL;
}

static long number_of(const char *key, const char *field)
{
    const char *text = server_field(key, field);

    return text != NULL ? strtol(text, NULL, 10) : 0;
}

static void judge_job(const acknowledged_t *one)
{
    const char *key = judge_job_key(one->job), *state = server_field(key, "state");
    const text_t all[] = {{"HGETALL", 7}, {apr_pstrcat(judge.pool, key, ":tasks", NULL), strlen(key) + 6}};
    long unlocked = 0, failed = 0;
    reply_t tasks;

    if (state == NULL) {
        if (!is_forgotten(one)) {
            judge_breaks("never-lost", "job %s was acknowledged, and Redis does not know it", one->job);
        }
        return;
    }
    tasks = store_run(server.store, 2, all, judge.pool);
    for (int i = 0; i + 1 < tasks.count; i += 2) {
        const char *packed = tasks.items[i + 1].text.bytes;

        if (strchr(JUDGE_ENDED, packed[0]) == NULL) {
            judge_breaks("never-lost", "%s of job %s is left in state %s", tasks.items[i].text.bytes,
                         one->job, packed);
        }
        count_task(packed, &unlocked, &failed);
    }
    if (strcmp(state, "7") != 0 && strcmp(state, "8") != 0) {
        judge_breaks("never-lost", "job %s is left in state %s", one->job, state);
    }
    failed += number_of(key, "total") - unlocked - failed; /* names that nobody knew then have no task */
    if (unlocked != number_of(key, "unlocked") || failed != number_of(key, "failed")) {
        judge_breaks("never-lost", "job %s counts %s unlocked and %s failed, its tasks are %ld and %ld",
                     one->job, server_field(key, "unlocked"), server_field(key, "failed"), unlocked, failed);
    }
}

/* If Redis lost a job, the record has the end of each of its intents. */
static void judge_losses(void)
{
    for (apr_hash_index_t *i = apr_hash_first(judge.pool, judge.claims); i; i = apr_hash_next(i)) {
        const claim_t *claim = apr_hash_this_val(i);

        if (claim->recorded && claim->exists && !claim->closed &&
            server_field(judge_job_key(claim->job), "state") == NULL) {
            judge_breaks("losses-said",
                         "%s of job %s: Redis lost it, and its intent has no end on the record",
                         claim->system, claim->job);
        }
    }
}

static reply_t ask(const char *command, const char *key)
{
    const text_t words[] = {{command, strlen(command)}, {key, strlen(key)}};

    return store_run(server.store, 2, words, judge.pool);
}

/* Once all has ended, nothing is held, queued or counted any more. */
static void judge_left_over(void)
{
    static const struct {
        const char *command, *key;
    } empty[] = {{"ZCARD", "{amtu}:jobs"},
                 {"ZCARD", "{amtu}:leases"},
                 {"LLEN", "{amtu}:looks"},
                 {"ZCARD", "{amtu}:ring"},
                 {"ZCARD", "{amtu}:deadlines"}};
    const char *waiting = server_field("{amtu}:totals", "waiting");

    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        if (ask(empty[i].command, empty[i].key).integer != 0) {
            judge_breaks("left-over", "%s is not empty, though all jobs have ended", empty[i].key);
        }
    }
    for (int i = 0; i < PCS; i++) {
        const char *key = apr_pstrcat(judge.pool, "{amtu}:system:", pcs[i].name, NULL);

        if (ask("EXISTS", key).integer != 0) {
            judge_breaks("left-over", "%s is held by job %s, though all jobs have ended", pcs[i].name,
                         server_field(key, "job"));
        }
    }
    if (waiting != NULL && strcmp(waiting, "0") != 0) {
        judge_breaks("left-over", "%s systems are counted as waiting, though all jobs have ended", waiting);
    }
}

void judge_end(void)
{
    for (int i = 0; i < judge.acknowledged->nelts; i++) {
        judge_job(&APR_ARRAY_IDX(judge.acknowledged, i, acknowledged_t));
    }
    judge_losses();
    judge_left_over();
    for (int i = 0; i < judge.file_count; i++) {
        apr_uint64_t count = 0;
        const char *error = audit_verify(judge.files[i], NULL, &count, judge.pool);

        if (error != NULL) {
            judge_breaks("record-whole", "%s", error);
        }
    }
}
