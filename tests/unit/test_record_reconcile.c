/* SPDX-License-Identifier: Apache-2.0 */
/* What is replayed to a Redis that was restarted: open intents, ends, and nothing twice. */
#include "outbox_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "worker/record/marks_priv.h"

/* Takes back in Redis what the intent wrote there, as if the disk had not kept it. */
static void forget_intent(const jobs_task_t *task)
{
    const char *free_system[] = {
        "DEL", apr_pstrcat(outbox_test.pool, "{amtu}:system:", task->ref.system, NULL), "{amtu}:leases"};
    const char *requeue[] = {"HSET",
                             apr_pstrcat(outbox_test.pool, "{amtu}:job:", task->ref.job, ":tasks", NULL),
                             task->ref.system, "Q|||||||"};

    assert_int_equal(redis_server_do(&outbox_test.server, 3, free_system), 0);
    assert_int_equal(redis_server_do(&outbox_test.server, 4, requeue), 0);
}

static void a_redis_that_kept_its_data_learns_nothing_new(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    restart_redis();
    await_reconciled(outbox);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'U'), 3000), JOBS_OK);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 0);
    assert_int_equal(audit_lines("\"event\":\"redis\""), 2);
    assert_int_equal(state_of(task), 'U');
}

static void an_intent_that_redis_lost_is_verified(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();
    jobs_task_t verification;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    forget_intent(task);
    restart_redis();
    await_reconciled(outbox);
    verification = claim_verification();
    assert_int_equal(verification.taken_over, 1);
    assert_string_equal(verification.intent, "{\"power\":2}");
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'U'), 3000), JOBS_REFUSED);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
}

static void a_job_that_redis_forgot_is_indeterminate_on_record(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(redis_server_flush(&outbox_test.server), 0);
    restart_redis();
    assert_int_equal(jobs_library_load(outbox_test.connection).outcome, JOBS_OK);
    await_reconciled(outbox);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"indeterminate\""), 1);
    assert_int_equal(audit_lines("\"forgotten\":1"), 1);
}

/* A run that ended between intent and outcome: the next one hands the task over for verification, at once and
 * only once. */
static void the_next_run_hands_over_what_the_last_left(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = begin_run(WORKER);

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    end_run(outbox);
    for (int run = 0; run < 2; run++) {
        outbox = begin_run("worker-1b");
        await_reconciled(outbox);
        end_run(outbox);
        assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
    }
    assert_int_equal(claim_verification().taken_over, 1);
}

static void set_task(const jobs_task_t *task, const char *packed)
{
    const char *set[] = {"HSET", apr_pstrcat(outbox_test.pool, "{amtu}:job:", task->ref.job, ":tasks", NULL),
                         task->ref.system, packed};
    const char *running[] = {"HINCRBY", apr_pstrcat(outbox_test.pool, "{amtu}:job:", task->ref.job, NULL),
                             "running", "1"};
    const char *unlocked[] = {"HINCRBY", running[1], "unlocked", "-1"};

    assert_int_equal(redis_server_do(&outbox_test.server, 4, set), 0);
    assert_int_equal(redis_server_do(&outbox_test.server, 4, running), 0);
    assert_int_equal(redis_server_do(&outbox_test.server, 4, unlocked), 0);
}

/* Unlocks the first of two, so that the job goes on. */
static void unlock_first(outbox_t *outbox, const jobs_task_t *tasks)
{
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_FINISH, 'U'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, &tasks[1], JOBS_RELEASE, '\0'), 3000), JOBS_OK);
}

/* Redis is restarted without the end of a task. The run that recorded it replays it, or the next one. */
static void lose_an_end(int runs)
{
    const jobs_task_t *tasks = claim(2);
    outbox_t *outbox = begin_run(WORKER);

    unlock_first(outbox, tasks);
    if (runs > 1) {
        end_run(outbox);
        outbox = begin_run("worker-1b");
        await_reconciled(outbox);
    }
    set_task(&tasks[0], "J|||||||");
    restart_redis();
    await_reconciled(outbox);
    end_run(outbox);
    assert_int_equal(audit_lines("\"restored\":1"), 1);
    assert_int_equal(audit_lines("\"outcome-refused\""), 0);
    assert_int_equal(state_of(&tasks[1]), 'w');
    assert_int_equal(outcome_of_task(&tasks[0]), 'U');
}

static void an_end_that_redis_lost_is_replayed(void **state)
{
    (void)state;
    lose_an_end(1);
}

static void an_end_that_redis_lost_is_replayed_by_the_next_run(void **state)
{
    (void)state;
    lose_an_end(2);
}

/* The data of a running Redis was changed: a task that has ended is claimed again, and an intent comes for it. */
static void claim_ended_again(outbox_t *outbox, const jobs_task_t *task, int taken_over)
{
    jobs_task_t again = *task;
    const char *own[] = {"HSET",   apr_pstrcat(outbox_test.pool, "{amtu}:system:", again.ref.system, NULL),
                         "job",    again.ref.job,
                         "fence",  "7",
                         "worker", WORKER};

    set_task(&again, "C|7||" WORKER "||||");
    assert_int_equal(redis_server_do(&outbox_test.server, 8, own), 0);
    again.ref.fence = "7";
    again.taken_over = taken_over;
    assert_int_equal(outcome_of(push(outbox, &again, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
    assert_int_equal(outcome_of_task(&again), 'U');
}

static void repeat_an_ended_task(int taken_over)
{
    const jobs_task_t *tasks = claim(2);
    outbox_t *outbox = start_outbox();

    unlock_first(outbox, tasks);
    claim_ended_again(outbox, &tasks[0], taken_over);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(audit_lines("\"intent-repeated\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 0);
    assert_int_equal(audit_lines("\"restored\":1"), 1);
}

static void a_task_with_an_intent_gets_no_second_one(void **state)
{
    (void)state;
    repeat_an_ended_task(0);
}

static void nor_does_one_that_is_taken_over_and_has_ended(void **state)
{
    (void)state;
    repeat_an_ended_task(1);
}

/* Redis did not take the first intent, so nothing was done, and the task may have another. */
static void a_withdrawn_intent_may_be_followed_by_another(void **state)
{
    const jobs_task_t *task = claim(1);
    jobs_task_t stale = *task;
    outbox_t *outbox = NULL;

    (void)state;
    stale.ref.fence = "1";
    for (int run = 0; run < 2; run++) {
        outbox = begin_run(WORKER);
        assert_int_equal(outcome_of(push(outbox, &stale, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
        end_run(outbox);
    }
    outbox = start_outbox();
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"intent-repeated\""), 0);
}

/* Another worker ended the task: the record says that this end does not count, and it is not replayed. */
static void an_end_that_redis_refused_is_not_replayed(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = start_outbox();
    jobs_task_t verification;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_RELEASE, '\0'), 3000), JOBS_OK);
    verification = claim_verification();
    assert_int_equal(outcome_of(push(outbox, task, JOBS_FINISH, 'F'), 3000), JOBS_REFUSED);
    restart_redis();
    await_reconciled(outbox);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"outcome-refused\""), 1);
    assert_int_equal(audit_lines("\"ends\":0"), 2);
    assert_int_equal(state_of(&verification), 'r');
}

static _Atomic apr_time_t ahead; /* of the clock */

/* In place of APR's. */
apr_time_t apr_time_now(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return apr_time_make(now.tv_sec, now.tv_usec) + ahead;
}

/* ---- records of earlier runs --------------------------------------------------------------------------- */

#define ANOTHER_REDIS "0123456789012345678901234567890123456789"

/* Adds a line to the record, with more fields as JSON. */
static void write_line(const char *event, const jobs_task_ref_t *task, const char *more)
{
    apr_pool_t *pool = NULL;
    audit_t *record = NULL;
    const char *error = NULL;
    json_t *fields = json_loads(more, 0, NULL);

    apr_pool_create(&pool, outbox_test.pool);
    assert_null(audit_open(&record, outbox_test.audit_file, pool));
    if (task != NULL) {
        json_object_set_new(fields, "system", json_string(task->system));
        json_object_set_new(fields, "job", json_string(task->job));
        json_object_set_new(fields, "fence", json_string(task->fence));
    }
    assert_int_equal(audit_add(record, event, fields), APR_SUCCESS);
    assert_int_equal(audit_commit(record, &error), APR_SUCCESS);
    apr_pool_destroy(pool);
}

/* The record of a worker that had reconciled the Redis of this run_id; NULL: the one that is there. */
static void write_redis(const char *run_id)
{
    assert_int_equal(jobs_connect(outbox_test.connection, outbox_test.pool).outcome, JOBS_OK);
    write_line(AUDIT_REDIS, NULL,
               apr_psprintf(outbox_test.pool, "{\"run_id\":\"%s\",\"history\":\"%s\"}",
                            run_id != NULL ? run_id : jobs_client_run_id(outbox_test.connection),
                            jobs_client_history(outbox_test.connection)));
}

static void write_intent(const jobs_task_ref_t *task, const char *marks)
{
    write_line(AUDIT_INTENT, task,
               apr_psprintf(outbox_test.pool, "{\"step\":\"intent\",%s\"act\":{\"power\":2}}", marks));
}

static const jobs_task_ref_t *with_fence(const jobs_task_t *task, const char *fence)
{
    jobs_task_ref_t *ref = apr_pmemdup(outbox_test.pool, &task->ref, sizeof(*ref));

    ref->fence = fence;
    return ref;
}

/* A worker starts with the record, reconciles, and ends. */
static void reconcile_once(const char *worker)
{
    outbox_t *outbox = begin_run(worker);

    await_reconciled(outbox);
    end_run(outbox);
}

/* The fault: its intent never reached Redis, which gave the task to the next worker meanwhile. That one goes on. */
static void an_intent_that_this_redis_never_took_is_withdrawn(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = NULL;

    (void)state;
    write_redis(NULL);
    write_intent(with_fence(task, "7"), "\"marks\":\"\",");
    reconcile_once("worker-2");
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
    assert_int_equal(audit_lines("\"outcome\""), 0);
    assert_int_equal(audit_lines("\"withdrawn\":1"), 1);
    outbox = begin_run(WORKER);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    end_run(outbox);
}

/* Nobody has it since: it waits again at once, and the lease of the dead run is not waited for. */
static void what_was_never_taken_is_claimed_again_at_once(void **state)
{
    const jobs_task_t *task = claim(1);

    (void)state;
    write_redis(NULL);
    write_intent(&task->ref, "\"marks\":\"\",");
    reconcile_once("worker-2");
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
    assert_int_equal(state_of(task), 'w');
}

static void claim_marked(unsigned int marks)
{
    jobs_task_t task = claim_verification();

    assert_int_equal(task.taken_over, 1);
    assert_int_equal(task.marks, marks);
}

/* It is another run of Redis, which may have lost the intent. */
static void an_intent_is_restored_with_its_marks(void **state)
{
    const jobs_task_t *task = claim(1);

    (void)state;
    write_redis(ANOTHER_REDIS);
    write_intent(&task->ref, "\"marks\":\"\",");
    write_line(AUDIT_MARK, &task->ref, "{\"mark\":\"power\"}");
    reconcile_once("worker-1b");
    assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
    claim_marked(JOBS_MARK_POWER);
}

static void the_marks_of_an_older_version_are_not_known(void **state)
{
    const jobs_task_t *task = claim(1);

    (void)state;
    write_redis(ANOTHER_REDIS);
    write_intent(&task->ref, "");
    reconcile_once("worker-1b");
    claim_marked(JOBS_MARKS_UNKNOWN);
}

/* The same process with other data: it was a replica for a while, and may have taken older ones. */
static void an_intent_is_restored_where_redis_followed_another(void **state)
{
    const jobs_task_t *task = claim(1);
    const char *follow[] = {"REPLICAOF", "127.0.0.1", "1"}, *lead[] = {"REPLICAOF", "NO", "ONE"};

    (void)state;
    write_redis(NULL);
    write_intent(&task->ref, "\"marks\":\"power\",");
    assert_int_equal(redis_server_do(&outbox_test.server, 3, follow), 0);
    assert_int_equal(redis_server_do(&outbox_test.server, 3, lead), 0);
    reconcile_once("worker-1b");
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 0);
    claim_marked(JOBS_MARK_POWER);
}

static int is_named_twice(void *unused)
{
    (void)unused;
    return audit_lines("\"event\":\"redis\"") == 2;
}

/* A worker may run for longer than its record is read back, and is to know its Redis again. */
static void the_record_names_its_redis_every_day(void **state)
{
    outbox_t *outbox = begin_run(WORKER);
    marks_t *marks = NULL;

    (void)state;
    await_reconciled(outbox);
    ahead = MARKS_KEPT + apr_time_from_sec(60);
    assert_true(wait_for(is_named_twice, NULL, 5000));
    end_run(outbox);
    marks = marks_create(outbox_test.pool);
    assert_null(marks_read(marks, outbox_test.audit_file, outbox_test.pool));
    ahead = 0;
    assert_string_equal(marks_run_id(marks), jobs_client_run_id(outbox_test.connection));
}

/* Nothing was done by it, whatever its end was. */
static void an_end_behind_a_withdrawn_intent_is_not_replayed(void **state)
{
    const jobs_task_t *task = claim(1);

    (void)state;
    write_redis(ANOTHER_REDIS);
    write_intent(&task->ref, "\"marks\":\"\",");
    write_line(AUDIT_WITHDRAWN, &task->ref, "{}");
    write_line(AUDIT_OUTCOME, &task->ref, "{\"result\":\"failed\",\"reason\":\"internal\"}");
    reconcile_once("worker-1b");
    assert_int_equal(audit_lines("\"ends\":0"), 1);
    assert_int_equal(outcome_of_task(task), 'r');
}

/* It is the Redis that this worker reconciled when it started, and yet it lost an intent. */
static void what_redis_lost_without_a_restart_is_restored(void **state)
{
    const jobs_task_t *tasks = claim(2);
    outbox_t *outbox = start_outbox();

    (void)state;
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, &tasks[1], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push_mark(outbox, &tasks[1], JOBS_MARK_POWER), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, &tasks[0], JOBS_FINISH, 'U'), 3000), JOBS_OK);
    forget_intent(&tasks[1]);
    claim_ended_again(outbox, &tasks[0], 0);
    outbox_stop(outbox);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 0);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
    claim_marked(JOBS_MARK_POWER);
}

/* A mark that Redis never took was not acted on; however often the worker starts. */
static void a_mark_that_this_redis_never_took_does_not_count(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = begin_run(WORKER);

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    end_run(outbox);
    write_line(AUDIT_MARK, &task->ref, "{\"mark\":\"power\"}");
    reconcile_once("worker-1b");
    reconcile_once("worker-1c");
    assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
    claim_marked(0);
}

static void marks_are_recorded_and_survive_the_run(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = begin_run(WORKER);
    jobs_task_t over;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push_mark(outbox, task, JOBS_MARK_POWER), 3000), JOBS_OK);
    end_run(outbox);
    outbox = begin_run("worker-2");
    await_reconciled(outbox);
    over = claim_verification();
    assert_int_equal(over.marks, JOBS_MARK_POWER);
    assert_int_equal(outcome_of(push(outbox, &over, JOBS_INTEND, 'I'), 3000),
                     JOBS_OK); /* its own record's task */
    assert_int_equal(outcome_of(push_mark(outbox, &over, JOBS_MARK_TYPED), 3000), JOBS_OK);
    end_run(outbox);
    assert_int_equal(audit_lines("\"event\":\"mark\""), 2);
    assert_int_equal(audit_lines("\"mark\":\"typed\""), 1);
    forget_intent(task);
    restart_redis();
    reconcile_once("worker-1b");
    claim_marked(JOBS_MARK_POWER | JOBS_MARK_TYPED);
}

/* Redis comes back from before both intents of a task, of two workers with a record each. */
static void replay_both(const char *first, const char *second)
{
    const jobs_task_t *task = claim(1);
    const char *older = outbox_test.audit_file, *files[] = {first, second};
    const jobs_task_ref_t *successor =
        with_fence(task, apr_psprintf(outbox_test.pool, "%s0", task->ref.fence));
    char keep[sizeof(outbox_test.audit_file)];
    jobs_task_t over;

    apr_cpystrn(keep, older, sizeof(keep));
    for (int i = 0; i < 2; i++) {
        apr_snprintf(outbox_test.audit_file, sizeof(outbox_test.audit_file), "%s.%s", keep, files[i]);
        unlink(outbox_test.audit_file);
        write_redis(ANOTHER_REDIS);
        if (strcmp(files[i], "older") == 0) {
            write_intent(&task->ref, "\"marks\":\"\",");
            write_line(AUDIT_MARK, &task->ref, "{\"mark\":\"power\"}");
        }
        else {
            write_line(AUDIT_INTENT, successor,
                       "{\"marks\":\"power\",\"act\":{\"marks\":\"power\",\"power\":2}}");
            write_line(AUDIT_MARK, successor, "{\"mark\":\"typed\"}");
        }
        reconcile_once(files[i]);
        unlink(outbox_test.audit_file);
    }
    apr_cpystrn(outbox_test.audit_file, keep, sizeof(outbox_test.audit_file));
    over = claim_verification();
    assert_int_equal(over.marks, JOBS_MARK_POWER | JOBS_MARK_TYPED);
    assert_non_null(strstr(over.intent, "\"marks\"")); /* the successor's, who knew more */
    assert_true(strlen(over.ref.fence) >= strlen(successor->fence));
}

static void the_marks_of_two_records_add_up(void **state)
{
    (void)state;
    replay_both("older", "newer");
}

static void the_marks_of_two_records_add_up_in_the_other_order(void **state)
{
    (void)state;
    replay_both("newer", "older");
}

/* A successor holds the task and knows less than the record, whose end comes too late: it gives the task up, and the next one
 * knows all. */
static void lease_ends(const jobs_task_t *task)
{
    const char *past[] = {"ZADD", "{amtu}:leases", "1", task->ref.system};
    int reaped = 0;

    assert_int_equal(redis_server_do(&outbox_test.server, 4, past), 0);
    assert_int_equal(jobs_reap(outbox_test.connection, "worker-3", &reaped, outbox_test.pool).outcome,
                     JOBS_OK);
    assert_int_equal(reaped, 1);
}

/* Who had taken it over meanwhile, and knows none of them, may be at work until its lease is over. */
static void a_refused_end_falls_back_to_its_marks(void **state)
{
    const jobs_task_t *task = claim(1);
    jobs_task_t over;

    (void)state;
    write_redis(ANOTHER_REDIS);
    write_intent(&task->ref, "\"marks\":\"\",");
    reconcile_once("worker-1b");
    over = claim_verification();
    assert_int_equal(over.marks, 0);
    unlink(outbox_test.audit_file);
    write_redis(ANOTHER_REDIS);
    write_intent(&task->ref, "\"marks\":\"power\",");
    write_line(AUDIT_MARK, &task->ref, "{\"mark\":\"typed\"}");
    write_line(AUDIT_OUTCOME, &task->ref, "{\"result\":\"unlocked\",\"step\":\"probe\"}");
    reconcile_once("worker-1c");
    assert_int_equal(audit_lines("\"outcome-refused\""), 1);
    lease_ends(&over);
    claim_marked(JOBS_MARK_POWER | JOBS_MARK_TYPED);
}

/* The data of Redis are changed under the worker, in the same run: a mark that Redis had said that it has is gone. It is told,
 * and who takes the task over next knows. */
static void redis_forgets_marks(const jobs_task_t *task)
{
    const char *forget[] = {"HSET", apr_pstrcat(outbox_test.pool, "{amtu}:system:", task->ref.system, NULL),
                            "marks", ""};

    assert_int_equal(redis_server_do(&outbox_test.server, 4, forget), 0);
}

static void is_turned_down(outbox_t *outbox)
{
    jobs_task_t over = claim_verification();

    assert_int_equal(over.marks, 0);
    assert_int_equal(outcome_of(push(outbox, &over, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
    assert_int_equal(audit_lines("\"intent-repeated\""), 1);
    lease_ends(&over);
    claim_marked(JOBS_MARK_POWER);
}

static void a_mark_that_redis_forgets_in_its_run_is_told_it(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = begin_run(WORKER);

    (void)state;
    await_reconciled(outbox);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push_mark(outbox, task, JOBS_MARK_POWER), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, task, JOBS_RELEASE, 0), 3000), JOBS_OK);
    redis_forgets_marks(task);
    is_turned_down(outbox);
    end_run(outbox);
}

static void nor_does_the_next_run_begin_anew(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = begin_run(WORKER);

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push_mark(outbox, task, JOBS_MARK_POWER), 3000), JOBS_OK);
    end_run(outbox);
    outbox = begin_run("worker-2");
    await_reconciled(outbox);
    redis_forgets_marks(task);
    is_turned_down(outbox);
    end_run(outbox);
}

/* Who only looks has no intent of its own, and yet an empty line that it sent counts. */
static void a_line_of_one_that_only_looks_is_replayed(void **state)
{
    const jobs_task_t *task = claim(1);
    outbox_t *outbox = begin_run(WORKER);
    jobs_task_t over;

    (void)state;
    assert_int_equal(outcome_of(push(outbox, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push_mark(outbox, task, JOBS_MARK_POWER), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push_mark(outbox, task, JOBS_MARK_TYPED), 3000), JOBS_OK);
    end_run(outbox);
    outbox = begin_run("worker-2");
    await_reconciled(outbox);
    over = claim_verification();
    assert_int_equal(outcome_of(push_mark(outbox, &over, JOBS_MARK_LINE), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(outbox, &over, JOBS_RELEASE, 0), 3000), JOBS_OK);
    over = claim_verification();
    assert_int_equal(over.marks, JOBS_MARK_POWER | JOBS_MARK_TYPED | JOBS_MARK_LINE);
    end_run(outbox);
    forget_intent(task);
    restart_redis();
    reconcile_once("worker-1b");
    over = claim_verification();
    assert_true(over.marks & (JOBS_MARK_TYPED | JOBS_MARKS_UNKNOWN));
}

int main(void)
{
    int failed = 0;
#define TEST(name) cmocka_unit_test_setup_teardown(name, outbox_fixture_begin, outbox_fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(a_redis_that_kept_its_data_learns_nothing_new),
        TEST(an_intent_that_redis_lost_is_verified),
        TEST(a_job_that_redis_forgot_is_indeterminate_on_record),
        TEST(the_next_run_hands_over_what_the_last_left),
        TEST(an_end_that_redis_lost_is_replayed),
        TEST(an_end_that_redis_lost_is_replayed_by_the_next_run),
        TEST(a_task_with_an_intent_gets_no_second_one),
        TEST(nor_does_one_that_is_taken_over_and_has_ended),
        TEST(a_withdrawn_intent_may_be_followed_by_another),
        TEST(an_end_that_redis_refused_is_not_replayed),
        TEST(an_intent_that_this_redis_never_took_is_withdrawn),
        TEST(what_was_never_taken_is_claimed_again_at_once),
        TEST(an_intent_is_restored_with_its_marks),
        TEST(the_marks_of_an_older_version_are_not_known),
        TEST(an_intent_is_restored_where_redis_followed_another),
        TEST(the_record_names_its_redis_every_day),
        TEST(an_end_behind_a_withdrawn_intent_is_not_replayed),
        TEST(what_redis_lost_without_a_restart_is_restored),
        TEST(a_mark_that_this_redis_never_took_does_not_count),
        TEST(marks_are_recorded_and_survive_the_run),
        TEST(a_mark_that_redis_forgets_in_its_run_is_told_it),
        TEST(nor_does_the_next_run_begin_anew),
        TEST(a_line_of_one_that_only_looks_is_replayed),
        TEST(the_marks_of_two_records_add_up),
        TEST(the_marks_of_two_records_add_up_in_the_other_order),
        TEST(a_refused_end_falls_back_to_its_marks),
    };
    setenv("AMTUNLOCK_TEST_LEASE_MS", APR_STRINGIFY(LEASE_MS), 1);
    apr_initialize();
    failed = cmocka_run_group_tests(tests, outbox_fixture_start, outbox_fixture_stop);
    apr_terminate();
    return failed;
}
