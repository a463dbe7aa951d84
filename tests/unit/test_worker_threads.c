/* The store and lease threads against a real Redis: what is durable, what is kept, what is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <apr_time.h>

#include "redis_server.h"
#include "worker/lease.h"
#include "worker/store_thread.h"

#define WORKER "worker-1"
#define LEASE_MS 1200

static redis_server_t server;
static apr_pool_t *pool;
static jobs_store_t *web;
static jobs_connection_t *connection;
static char audit_file[96];

/* ---- fixture ---------------------------------------------------------------------------------------------
 */

static int start_redis(void **state)
{
    (void)state;
    return redis_server_start(&server);
}

static int stop_redis(void **state)
{
    (void)state;
    redis_server_remove(&server);
    return 0;
}

static apr_array_header_t *one_text(const char *text)
{
    apr_array_header_t *texts = apr_array_make(pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(texts, const char *) = text;
    return texts;
}

static int publish(void)
{
    apr_array_header_t *systems = apr_array_make(pool, 2, sizeof(jobs_published_t));
    for (int i = 1; i <= 2; i++) {
        const char *sid = apr_psprintf(pool, "pc%d.example", i);
        jobs_published_t *system = apr_array_push(systems);
        *system = (jobs_published_t){.sid = sid, .group = "g", .method = "wake", .keys = one_text(sid)};
    }
    return jobs_publish(connection, WORKER, "digest", 1000, systems, pool).outcome == JOBS_OK ? 0 : -1;
}

static int begin(void **state)
{
    (void)state;
    apr_pool_create(&pool, NULL);
    apr_snprintf(audit_file, sizeof(audit_file), "%s/audit.jsonl", server.folder);
    unlink(audit_file);
    if (redis_server_flush(&server) != 0 ||
        jobs_store_create(&web, &server.web, 2, apr_time_from_sec(5), pool) != APR_SUCCESS ||
        jobs_connection_create(&connection, &server.worker, apr_time_from_sec(5), pool) != APR_SUCCESS ||
        jobs_library_load(connection).outcome != JOBS_OK)
        return -1;
    return publish();
}

static int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

/* Submits a job of these systems and claims it. */
static const jobs_task_t *claim(int count)
{
    const jobs_caller_t caller = {
        .name = "c", .peer = "192.0.2.1", .mechanism = "krb5", .groups = one_text("*")};
    apr_array_header_t *names = apr_array_make(pool, 2, sizeof(jobs_name_t));
    for (int i = 1; i <= count; i++) {
        jobs_name_t *name = apr_array_push(names);
        name->spelling = name->key = apr_psprintf(pool, "pc%d.example", i);
    }
    const jobs_submission_t submission = {
        .names = names, .retention = apr_time_from_sec(1800), .start_within = apr_time_from_sec(3600)};
    const char *id = NULL;
    apr_array_header_t *tasks = NULL;
    int more = 0;
    assert_int_equal(jobs_submit(web, &caller, &submission, &id, NULL, pool).outcome, JOBS_OK);
    assert_int_equal(jobs_claim(connection, WORKER, "digest", count, NULL, &tasks, &more, pool).outcome,
                     JOBS_OK);
    assert_int_equal(tasks->nelts, count);
    return (const jobs_task_t *)tasks->elts;
}

static int wait_for(int (*condition)(void *), void *baton, int milliseconds)
{
    for (int waited = 0; waited < milliseconds; waited += 5) {
        if (condition(baton))
            return 1;
        apr_sleep(apr_time_from_msec(5));
    }
    return condition(baton);
}

/* ---- the store -------------------------------------------------------------------------------------------
 */

typedef struct {
    store_request_t request;
    atomic_int answered;
} asked_t;

static void on_done(store_request_t *request)
{
    atomic_fetch_add(&((asked_t *)request->owner)->answered, 1);
}

static int is_answered(void *asked)
{
    return atomic_load(&((asked_t *)asked)->answered);
}

static audit_t *audit;

static store_t *start_store_as(const char *worker)
{
    static store_options_t options;
    store_t *store = NULL;
    assert_null(audit_open(&audit, audit_file, pool));
    unfinished_t *unfinished = unfinished_create(pool);
    assert_null(unfinished_read(unfinished, audit_file, pool));
    options = (store_options_t){.redis = &server.worker,
                                .worker = worker,
                                .audit = audit,
                                .audit_file = audit_file,
                                .unfinished = unfinished,
                                .capacity = 8};
    assert_int_equal(store_start(&store, &options, pool), APR_SUCCESS);
    return store;
}

static store_t *start_store(void)
{
    return start_store_as(WORKER);
}

static asked_t *push(store_t *store, const jobs_task_t *task, jobs_change_e change, char state)
{
    asked_t *asked = apr_pcalloc(pool, sizeof(*asked));
    asked->request.change = (jobs_change_t){.change = change,
                                            .task = {task->job, task->sid, task->fence},
                                            .step = "step",
                                            .intent = "{\"power\":2}",
                                            .device = "",
                                            .step_deadline = apr_time_from_sec(600),
                                            .state = state};
    asked->request.task = task;
    asked->request.done = on_done;
    asked->request.owner = asked;
    assert_int_equal(store_push(store, &asked->request), APR_SUCCESS);
    return asked;
}

static jobs_outcome_e outcome_of(asked_t *asked, int milliseconds)
{
    if (!wait_for(is_answered, asked, milliseconds))
        fail_msg("not answered within %d ms", milliseconds);
    assert_int_equal(atomic_load(&asked->answered), 1);
    return asked->request.outcome;
}

static int audit_lines(const char *event)
{
    char line[4096];
    int count = 0;
    FILE *file = fopen(audit_file, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        count += strstr(line, event) != NULL;
    fclose(file);
    return count;
}

static void changes_are_recorded_then_applied(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    store_t *store = start_store();
    apr_uint64_t count = 0;
    char head[96], verdict[128];
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(outcome_of(push(store, task, JOBS_PROGRESS, 'P'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'U'), 3000), JOBS_OK);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'U'), 3000), JOBS_ALREADY);
    store_audit_head(store, head, sizeof(head));
    store_stop(store);
    apr_snprintf(verdict, sizeof(verdict), "%s",
                 audit_verify(audit_file, head, &count, pool) ? audit_verify(audit_file, head, &count, pool)
                                                              : "well");
    assert_string_equal(verdict, "well");
    assert_int_equal(count, 4); /* and which Redis it is */
}

static void a_refused_intent_is_withdrawn_in_the_record(void **state)
{
    (void)state;
    jobs_task_t task = *claim(1);
    task.fence = "1";
    store_t *store = start_store();
    assert_int_equal(outcome_of(push(store, &task, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
    store_stop(store);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
}

static void results_wait_for_redis(void **state)
{
    (void)state;
    const jobs_task_t *tasks = claim(2);
    store_t *store = start_store();
    assert_int_equal(outcome_of(push(store, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    redis_server_kill(&server);
    asked_t *result = push(store, &tasks[0], JOBS_FINISH, 'U');
    asked_t *news = push(store, &tasks[1], JOBS_PROGRESS, 'P');
    assert_int_equal(outcome_of(news, 5000), JOBS_UNAVAILABLE); /* progress is not kept */
    assert_int_equal(atomic_load(&result->answered), 0);
    assert_int_equal(redis_server_restart(&server), 0);
    assert_int_equal(outcome_of(result, 8000), JOBS_ALREADY); /* it was told first, as any other end */
    store_stop(store);
    assert_int_equal(audit_lines("\"outcome\""), 1);
}

/* ---- a Redis that was started anew ----------------------------------------------------------------------
 */

typedef struct {
    store_t *store;
    const char *run_id;
} told_t;

static int has_told(void *told)
{
    return store_has_told(((told_t *)told)->store, ((told_t *)told)->run_id);
}

static int is_connected(void *unused)
{
    (void)unused;
    return jobs_connect(connection, pool).outcome == JOBS_OK;
}

/* A connection is made again at most once a second. */
static void restart_redis(void)
{
    redis_server_kill(&server);
    assert_int_equal(redis_server_restart(&server), 0);
    assert_true(wait_for(is_connected, NULL, 5000));
}

/* Waits until the store has told the Redis that is there now. */
static void await_told(store_t *store)
{
    assert_true(wait_for(is_connected, NULL, 5000));
    told_t told = {store, jobs_connection_run_id(connection)};
    assert_true(wait_for(has_told, &told, 8000));
}

static char state_of(const jobs_task_t *task)
{
    jobs_caller_t caller = {.name = "c"};
    jobs_job_t *job = NULL;
    jobs_result_t read = jobs_read(web, &caller, task->job, &job, pool);
    if (read.outcome != JOBS_OK)
        return '\0';
    return job->running ? 'r' : job->waiting ? 'w' : job->unlocked ? 'U' : 'F';
}

/* The state of the task itself. */
static char outcome_of_task(const jobs_task_t *task)
{
    jobs_caller_t caller = {.name = "c"};
    jobs_results_t *results = NULL;
    assert_int_equal(jobs_results(web, &caller, task->job, 0, -1, &results, pool).outcome, JOBS_OK);
    for (int i = 0; i < results->unlocked->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(results->unlocked, i, const char *), task->sid) == 0)
            return 'U';
    }
    return results->failed->nelts > 0 ? 'F' : 'r';
}

static jobs_task_t claim_look(void)
{
    apr_array_header_t *tasks = NULL;
    int more = 0;
    assert_int_equal(jobs_claim(connection, "worker-2", "digest", 8, NULL, &tasks, &more, pool).outcome,
                     JOBS_OK);
    assert_int_equal(tasks->nelts, 1);
    return APR_ARRAY_IDX(tasks, 0, jobs_task_t);
}

/* Takes back in Redis what the intent wrote there, as if the disk had not kept it. */
static void forget_intent(const jobs_task_t *task)
{
    const char *free_system[] = {"DEL", apr_pstrcat(pool, "{amtu}:system:", task->sid, NULL),
                                 "{amtu}:leases"};
    const char *requeue[] = {"HSET", apr_pstrcat(pool, "{amtu}:job:", task->job, ":tasks", NULL), task->sid,
                             "Q|||||||"};
    assert_int_equal(redis_server_do(&server, 3, free_system), 0);
    assert_int_equal(redis_server_do(&server, 4, requeue), 0);
}

static void redis_that_kept_its_data_is_told_nothing_new(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    store_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    restart_redis();
    await_told(store);
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'U'), 3000), JOBS_OK);
    store_stop(store);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 0);
    assert_int_equal(audit_lines("\"event\":\"redis\""), 2);
    assert_int_equal(state_of(task), 'U');
}

static void an_intent_that_redis_lost_is_looked_at(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    store_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    forget_intent(task);
    restart_redis();
    await_told(store);
    jobs_task_t look = claim_look();
    assert_int_equal(look.look, 1);
    assert_string_equal(look.intent, "{\"power\":2}");
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'U'), 3000), JOBS_REFUSED);
    store_stop(store);
    assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
}

static void a_job_that_redis_forgot_is_indeterminate_on_record(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    store_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(redis_server_flush(&server), 0);
    restart_redis();
    assert_int_equal(jobs_library_load(connection).outcome, JOBS_OK);
    await_told(store);
    store_stop(store);
    assert_int_equal(audit_lines("\"indeterminate\""), 1);
    assert_int_equal(audit_lines("\"forgotten\":1"), 1);
}

static apr_pool_t *outer;

/* A life has its pool, and so its own hold of the audit file. */
static store_t *begin_life(const char *worker)
{
    outer = pool;
    apr_pool_create(&pool, outer);
    return start_store_as(worker);
}

static void end_life(store_t *store)
{
    store_stop(store);
    apr_pool_destroy(pool);
    pool = outer;
}

/* A life that ended between its intent and its outcome: the next one gives the task to who looks, at once,
 * and only once. */
static void the_next_life_hands_over_what_the_last_left(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    store_t *store = begin_life(WORKER);
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    end_life(store);
    for (int life = 0; life < 2; life++) {
        store = begin_life("worker-1b");
        await_told(store);
        end_life(store);
        assert_int_equal(audit_lines("\"intent-handed-over\""), 1);
    }
    assert_int_equal(claim_look().look, 1);
}

static void set_task(const jobs_task_t *task, const char *packed)
{
    const char *set[] = {"HSET", apr_pstrcat(pool, "{amtu}:job:", task->job, ":tasks", NULL), task->sid,
                         packed};
    const char *running[] = {"HINCRBY", apr_pstrcat(pool, "{amtu}:job:", task->job, NULL), "running", "1"};
    const char *unlocked[] = {"HINCRBY", running[1], "unlocked", "-1"};
    assert_int_equal(redis_server_do(&server, 4, set), 0);
    assert_int_equal(redis_server_do(&server, 4, running), 0);
    assert_int_equal(redis_server_do(&server, 4, unlocked), 0);
}

/* Unlocks the first of two, so that the job goes on. */
static void unlock_first(store_t *store, const jobs_task_t *tasks)
{
    assert_int_equal(outcome_of(push(store, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(store, &tasks[0], JOBS_FINISH, 'U'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(store, &tasks[1], JOBS_RELEASE, '\0'), 3000), JOBS_OK);
}

/* Restarted without the end of a task; told by the life that came to it, or by the next one. */
static void lose_an_end(int lives)
{
    const jobs_task_t *tasks = claim(2);
    store_t *store = begin_life(WORKER);
    unlock_first(store, tasks);
    if (lives > 1) {
        end_life(store);
        store = begin_life("worker-1b");
        await_told(store);
    }
    set_task(&tasks[0], "J|||||||");
    restart_redis();
    await_told(store);
    end_life(store);
    assert_int_equal(audit_lines("\"restored\":1"), 1);
    assert_int_equal(audit_lines("\"outcome-refused\""), 0);
    assert_int_equal(state_of(&tasks[1]), 'w');
    assert_int_equal(outcome_of_task(&tasks[0]), 'U');
}

static void an_end_that_redis_lost_is_told(void **state)
{
    (void)state;
    lose_an_end(1);
}

static void an_end_that_redis_lost_is_told_by_the_next_life(void **state)
{
    (void)state;
    lose_an_end(2);
}

/* The same Redis, under which its data was changed: the task is claimed anew. */
static void what_was_acted_on_gets_no_second_intent(void **state)
{
    (void)state;
    const jobs_task_t *tasks = claim(2);
    jobs_task_t again = tasks[0];
    store_t *store = start_store();
    unlock_first(store, tasks);
    const char *own[] = {"HSET", apr_pstrcat(pool, "{amtu}:system:", again.sid, NULL),
                         "job",  again.job, "fence", "7", "worker", WORKER};
    set_task(&again, "C|7||" WORKER "||||");
    assert_int_equal(redis_server_do(&server, 8, own), 0);
    again.fence = "7";
    asked_t *intent = push(store, &again, JOBS_INTEND, 'I');
    assert_int_equal(outcome_of(intent, 3000), JOBS_REFUSED);
    assert_int_equal(outcome_of_task(&again), 'U');
    store_stop(store);
    assert_int_equal(audit_lines("\"intent\""), 1);
    assert_int_equal(audit_lines("\"intent-repeated\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 0);
    assert_int_equal(audit_lines("\"restored\":1"), 1);
}

/* Redis did not take the first intent, so nothing was done, and the task may have another. */
static void what_was_withdrawn_may_be_intended_anew(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    jobs_task_t stale = *task;
    stale.fence = "1";
    for (int life = 0; life < 2; life++) {
        store_t *store = begin_life(WORKER);
        assert_int_equal(outcome_of(push(store, &stale, JOBS_INTEND, 'I'), 3000), JOBS_REFUSED);
        end_life(store);
    }
    store_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    store_stop(store);
    assert_int_equal(audit_lines("\"intent-repeated\""), 0);
}

/* Another holder came to an end: the record says that this one's does not count, and it is not told. */
static void an_end_that_redis_refused_is_no_end(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    store_t *store = start_store();
    assert_int_equal(outcome_of(push(store, task, JOBS_INTEND, 'I'), 3000), JOBS_OK);
    assert_int_equal(outcome_of(push(store, task, JOBS_RELEASE, '\0'), 3000), JOBS_OK);
    const jobs_task_t look = claim_look();
    assert_int_equal(outcome_of(push(store, task, JOBS_FINISH, 'F'), 3000), JOBS_REFUSED);
    restart_redis();
    await_told(store);
    store_stop(store);
    assert_int_equal(audit_lines("\"outcome-refused\""), 1);
    assert_int_equal(audit_lines("\"ends\":0"), 2);
    assert_int_equal(state_of(&look), 'r');
}

static int is_deaf(void *store)
{
    return store_is_deaf(store);
}

static int hears(void *store)
{
    return !store_is_deaf(store);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Intents are turned down; a result waits, is recorded once, and arrives. */
static void without_a_record_nothing_is_intended(void **state)
{
    (void)state;
    const jobs_task_t *tasks = claim(2);
    store_t *store = start_store();
    assert_int_equal(outcome_of(push(store, &tasks[0], JOBS_INTEND, 'I'), 3000), JOBS_OK);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(1);
    asked_t *result = push(store, &tasks[0], JOBS_FINISH, 'U');
    asked_t *intent = push(store, &tasks[1], JOBS_INTEND, 'I');
    assert_int_equal(outcome_of(intent, 3000), JOBS_UNAVAILABLE);
    assert_int_equal(intent->request.audited, 0);
    assert_true(wait_for(is_deaf, store, 1000));
    assert_int_equal(atomic_load(&result->answered), 0);
    assert_int_equal(outcome_of(push(store, &tasks[1], JOBS_RELEASE, '\0'), 3000), JOBS_OK);
    limit_files(RLIM_INFINITY);
    assert_int_equal(outcome_of(result, 3000), JOBS_OK);
    assert_true(wait_for(hears, store, 1000));
    store_stop(store);
    assert_int_equal(audit_lines("\"outcome\""), 1);
    assert_int_equal(audit_lines("\"intent-withdrawn\""), 1);
}

static void the_outbox_has_a_bound(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    store_t *store = start_store();
    kill(server.pid, SIGSTOP); /* the thread waits for Redis, so the outbox fills */
    apr_status_t rv = APR_SUCCESS;
    int pushed = 0;
    for (; rv == APR_SUCCESS && pushed < 1000; pushed++) {
        asked_t *asked = apr_pcalloc(pool, sizeof(*asked));
        asked->request.change = (jobs_change_t){
            .change = JOBS_PROGRESS, .task = {task->job, task->sid, task->fence}, .step = "s", .state = 'P'};
        asked->request.task = task;
        asked->request.done = on_done;
        asked->request.owner = asked;
        rv = store_push(store, &asked->request);
    }
    kill(server.pid, SIGCONT);
    store_stop(store);
    assert_true(APR_STATUS_IS_EAGAIN(rv));
}

/* ---- leases ----------------------------------------------------------------------------------------------
 */

static atomic_int lost;

static void on_lost(lease_t *lease)
{
    (void)lease;
    atomic_fetch_add(&lost, 1);
}

static void about(void *baton, char *text, apr_size_t room)
{
    apr_cpystrn(text, baton, room);
}

static leases_t *start_leases(void)
{
    leases_t *leases = NULL;
    static char what[] = "slots=1";
    atomic_store(&lost, 0);
    assert_int_equal(leases_create(&leases, &server.worker, WORKER, pool), APR_SUCCESS);
    assert_int_equal(leases_start(leases, about, what), APR_SUCCESS);
    return leases;
}

static int is_lost(void *lease)
{
    return atomic_load(&((lease_t *)lease)->lost);
}

static int holds_no_more(void *lease)
{
    return !lease_holds(lease);
}

static void a_lease_is_kept_while_redis_answers(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    leases_t *leases = start_leases();
    lease_t lease = {.on_lost = on_lost};
    leases_add(leases, &lease, task);
    for (int i = 0; i < 60; i++) { /* two leases long */
        assert_true(lease_holds(&lease));
        apr_sleep(apr_time_from_msec(40));
    }
    leases_remove(leases, &lease);
    leases_stop(leases);
    assert_int_equal(atomic_load(&lost), 0);
}

/* Redis frozen: nobody says that the lease is lost, the clock does. */
static void the_gate_closes_by_the_clock(void **state)
{
    (void)state;
    const jobs_task_t *task = claim(1);
    leases_t *leases = start_leases();
    lease_t lease = {.on_lost = on_lost};
    leases_add(leases, &lease, task);
    kill(server.pid, SIGSTOP);
    apr_time_t began = jobs_boottime();
    int closed = wait_for(holds_no_more, &lease, 3 * LEASE_MS);
    apr_interval_time_t took = jobs_boottime() - began;
    kill(server.pid, SIGCONT);
    assert_true(closed);
    assert_true(took <= JOBS_LEASE - LEASE_MARGIN + apr_time_from_msec(200));
    assert_int_equal(atomic_load(&lease.lost), 0);
    leases_remove(leases, &lease);
    leases_stop(leases);
}

static void a_lease_of_another_is_lost(void **state)
{
    (void)state;
    const jobs_task_t *tasks = claim(2);
    leases_t *leases = start_leases();
    lease_t kept = {.on_lost = on_lost}, gone = {.on_lost = on_lost};
    jobs_task_t stale = tasks[1];
    stale.fence = "1";
    leases_add(leases, &kept, &tasks[0]);
    leases_add(leases, &gone, &stale);
    assert_true(wait_for(is_lost, &gone, 3000));
    assert_false(lease_holds(&gone));
    assert_true(lease_holds(&kept));
    assert_int_equal(atomic_load(&lost), 1);
    leases_remove(leases, &kept);
    leases_remove(leases, &gone);
    leases_stop(leases);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(changes_are_recorded_then_applied),
        TEST(a_refused_intent_is_withdrawn_in_the_record),
        TEST(results_wait_for_redis),
        TEST(redis_that_kept_its_data_is_told_nothing_new),
        TEST(an_intent_that_redis_lost_is_looked_at),
        TEST(a_job_that_redis_forgot_is_indeterminate_on_record),
        TEST(the_next_life_hands_over_what_the_last_left),
        TEST(an_end_that_redis_lost_is_told),
        TEST(an_end_that_redis_lost_is_told_by_the_next_life),
        TEST(what_was_acted_on_gets_no_second_intent),
        TEST(what_was_withdrawn_may_be_intended_anew),
        TEST(an_end_that_redis_refused_is_no_end),
        TEST(without_a_record_nothing_is_intended),
        TEST(the_outbox_has_a_bound),
        TEST(a_lease_is_kept_while_redis_answers),
        TEST(the_gate_closes_by_the_clock),
        TEST(a_lease_of_another_is_lost),
    };
    setenv("AMTUNLOCK_TEST_LEASE_MS", APR_STRINGIFY(LEASE_MS), 1);
    apr_initialize();
    int failed = cmocka_run_group_tests(tests, start_redis, stop_redis);
    apr_terminate();
    return failed;
}
