/* SPDX-License-Identifier: Apache-2.0 */
/* What the jobs room makes of a Redis that answers oddly, breaks off or lies about the time. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fake_redis.h"
#include "jobs/call_priv.h"
#include "jobs/id_priv.h"
#include "jobs/jobs.h"
#include "jobs/library_priv.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define SCHEMA TEXT(JOBS_SCHEMA)
#define SECRET "the-password"
#define OK_JOB "*3\r\n$2\r\nok\r\n$26\r\nabcdefghijklmnopqrstuvwxyz\r\n$1\r\n0\r\n"
#define OK_ONLY "*1\r\n$2\r\nok\r\n"
#define LATE "*1\r\n$4\r\nlate\r\n"
#define INFO "$59\r\n# Server\r\nrun_id:0123456789abcdef0123456789abcdef01234567\r\n\r\n"
#define ID "abcdefghijklmnopqrstuvwxyz"

static fake_redis_t fake;
static apr_pool_t *pool;
static jobs_pool_t *jobs;
static jobs_client_t *client;
static const jobs_caller_t alice = {.name = "alice", .peer = "192.0.2.1", .mechanism = "krb5"};

static int begin(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    return apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

/* Greets every connection, then gives it these answers. */
static void answers(int at, const char *first, const char *second, const char *third)
{
    const char *all[] = {FAKE_AUTH, FAKE_TIME, first, second, third};
    memcpy(fake.replies[at], all, sizeof(all));
}

static const jobs_pool_limits_t *limits_of(apr_interval_time_t budget)
{
    static jobs_pool_limits_t limits;
    limits = (jobs_pool_limits_t){2, 0, budget, budget};
    return &limits;
}

static void start(void)
{
    jobs_redis_t redis = {.user = "user", .password = SECRET};
    assert_int_equal(fake_redis_start(&fake), 0);
    redis.socket = fake.socket;
    assert_int_equal(jobs_pool_create(&jobs, &redis, limits_of(apr_time_from_sec(5)), pool), APR_SUCCESS);
    assert_int_equal(jobs_client_create(&client, &redis, apr_time_from_sec(5), pool), APR_SUCCESS);
}

/* Closes the connections too, so that the fake sees their ends. */
static void stop_server(void)
{
    apr_pool_clear(pool);
    fake_redis_stop(&fake);
}

static jobs_result_t submit_names(const char *spelling, int count)
{
    jobs_submission_t submission = {.names = apr_array_make(pool, count, sizeof(jobs_name_t)),
                                    .retention = apr_time_from_sec(1800),
                                    .start_within = apr_time_from_sec(3600)};
    const char *id = NULL;
    for (int i = 0; i < count; i++) {
        *(jobs_name_t *)apr_array_push((apr_array_header_t *)submission.names) =
            (jobs_name_t){.spelling = spelling, .key = "pc1"};
    }
    return jobs_submit(jobs, &alice, &submission, &id, NULL, pool);
}

static jobs_result_t submit_name(const char *spelling)
{
    return submit_names(spelling, 1);
}

static jobs_result_t submit(void)
{
    return submit_name("PC1");
}

/* ---- errors -------------------------------------------------------------------------------------------- */

static const struct {
    const char *error;
    jobs_outcome_e outcome;
    const char *says;
} errors[] = {
    {"-NOAUTH Authentication required.", JOBS_UNAVAILABLE, "password file"},
    {"-NOPERM this user has no permissions to run the 'fcall' command", JOBS_UNAVAILABLE, "redis-users.acl"},
    {"-ERR The user executing the script can't run this command or subcommand", JOBS_UNAVAILABLE,
     "redis-users.acl"},
    /* raised while the function ran: what it had done before stays done */
    {"-ERR The user executing the script can't run this command or subcommand script: x, on @user_function:5.",
     JOBS_BROKEN, "redis-users.acl"},
    {"-OOM command not allowed when used memory > 'maxmemory'. script: x, on @user_function:5.", JOBS_BROKEN,
     "maxmemory"},
    {"-ERR Script killed by user with SCRIPT KILL... script: x, on @user_function:2.", JOBS_UNAVAILABLE,
     "FUNCTION KILL"},
    {"-ERR Function not found", JOBS_UNAVAILABLE, "start amtunlockd"},
    {"-LOADING Redis is loading the dataset in memory", JOBS_UNAVAILABLE, "wait"},
    {"-READONLY You can't write against a read only replica.", JOBS_UNAVAILABLE, "primary"},
    {"-ERR Can not run script with write flag on readonly replica.", JOBS_UNAVAILABLE, "primary"},
    {"-MASTERDOWN Link with MASTER is down", JOBS_UNAVAILABLE, "primary"},
    {"-OOM allow-oom flag is not set on the function, can not run it when used memory > 'maxmemory'",
     JOBS_UNAVAILABLE, "maxmemory"},
    {"-MISCONF Errors writing to the AOF file: No space left on device", JOBS_UNAVAILABLE, "disk"},
    {"-BUSY Redis is busy running a script.", JOBS_UNAVAILABLE, "slow log"},
    {"-NOREPLICAS Not enough good replicas to write.", JOBS_UNAVAILABLE, "min-replicas-to-write"},
    {"-ERR max number of clients reached", JOBS_UNAVAILABLE, "maxclients"},
    {"-ERR unknown command 'FCALL'", JOBS_UNAVAILABLE, "Redis 7"},
    {"-ERR user_function:12: too few arguments", JOBS_BROKEN, "too few arguments"},
    {"+OK", JOBS_BROKEN, "no amtunlock function"},
    {":1", JOBS_BROKEN, "no amtunlock function"},
    {"*0", JOBS_BROKEN, "no amtunlock function"},
    {"$-1", JOBS_BROKEN, "no amtunlock function"},
    {"*1\r\n$9\r\nsomething", JOBS_BROKEN, "no amtunlock function"},
    {"*2\r\n$8\r\noutdated\r\n$3\r\n999", JOBS_OUTDATED, "upgrade"},
    {"*2\r\n$8\r\noutdated\r\n$1\r\n0", JOBS_UNAVAILABLE, "restart amtunlockd"},
    {"*2\r\n$5\r\nquota\r\n$4\r\njobs", JOBS_QUOTA, "jobs"},
    {"*2\r\n$7\r\nrefused\r\n$3\r\nwhy", JOBS_REFUSED, "why"},
};

static void an_error_becomes_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        memset(&fake, 0, sizeof(fake));
        answers(0, apr_pstrcat(pool, errors[i].error, "\r\n", NULL), NULL, NULL);
        start();
        jobs_result_t result = submit();
        if (result.outcome != errors[i].outcome || !strstr(result.text, errors[i].says))
            fail_msg("%s: outcome %d, %s", errors[i].error, result.outcome, result.text);
        stop_server();
    }
}

static void a_refused_password_is_not_told(void **state)
{
    (void)state;
    fake.replies[0][0] = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    fake.replies[0][1] = "-NOAUTH Authentication required.\r\n";
    start();
    jobs_result_t result = submit();
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "password file"));
    assert_null(strstr(result.text, SECRET));
    stop_server();
    assert_string_equal(fake.commands[0], "AUTH user " SECRET);
}

static void what_is_no_redis_protocol_is_unavailable(void **state)
{
    (void)state;
    fake.replies[0][0] = "HTTP/1.1 400 Bad Request\r\n";
    start();
    assert_int_equal(submit().outcome, JOBS_UNAVAILABLE);
    stop_server();
}

/* Written by whoever may write to Redis, who must not be able to fill this program's memory. */
static void an_answer_that_is_too_large_is_given_up(void **state)
{
    char *huge;
    const char *arrays[] = {"*2000000000\r\n$2\r\nok\r\n", "*2147483647\r\n",
                            "*2\r\n$2\r\nok\r\n*400000\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
        memset(&fake, 0, sizeof(fake));
        answers(0, arrays[i], NULL, NULL);
        start();
        jobs_job_t *job = NULL;
        jobs_result_t result = jobs_read(jobs, &alice, NULL, &job, pool);
        assert_int_equal(result.outcome, JOBS_BROKEN);
        assert_non_null(strstr(result.text, "more than any"));
        stop_server();
    }
    huge = apr_palloc(pool, JOBS_REPLY_MOST + 65536);
    memset(huge, 'x', JOBS_REPLY_MOST + 65535);
    huge[JOBS_REPLY_MOST + 65535] = '\0';
    memset(&fake, 0, sizeof(fake));
    answers(0, apr_pstrcat(pool, "*2\r\n$2\r\nok\r\n$536870912\r\n", huge, NULL), NULL, NULL);
    start();
    assert_int_equal(submit().outcome, JOBS_UNKNOWN); /* it was done, whatever it was */
    stop_server();
}

static void a_time_that_is_none_is_unavailable(void **state)
{
    (void)state;
    fake.replies[0][0] = FAKE_AUTH;
    fake.replies[0][1] = "*0\r\n";
    start();
    assert_true(submit().outcome != JOBS_OK);
    stop_server();
}

/* ---- broken connections -------------------------------------------------------------------------------- */

static void a_submission_whose_answer_was_lost_is_sent_again_with_its_id(void **state)
{
    (void)state;
    answers(0, NULL, NULL, NULL); /* takes the command and closes */
    answers(1, OK_JOB, NULL, NULL);
    start();
    assert_int_equal(submit().outcome, JOBS_OK);
    stop_server();
    assert_int_equal(fake.connection_count, 2);
    assert_int_equal(fake.command_count, 6);
    static const char submit[] = "FCALL amtunlock_submit 1 {amtu}:verb:submit " SCHEMA " ";
    const size_t same = strlen(submit) + JOBS_ID_LENGTH;
    assert_memory_equal(fake.commands[2], submit, strlen(submit));
    assert_memory_equal(fake.commands[2], fake.commands[5], same);
}

static void a_third_time_is_not_tried(void **state)
{
    (void)state;
    answers(0, NULL, NULL, NULL);
    answers(1, NULL, NULL, NULL);
    answers(2, OK_JOB, NULL, NULL);
    start();
    assert_int_equal(submit().outcome, JOBS_UNKNOWN); /* each was sent whole */
    stop_server();
    assert_int_equal(fake.connection_count, 2);
}

/* A change whose answer was lost stays unknown, whatever keeps the second attempt from being decided. */
static void what_the_second_attempt_does_not_decide_is_unknown(void **state)
{
    static const char *const second[] = {"-LOADING Redis is loading the dataset in memory\r\n",
                                         "-BUSY Redis is busy running a script.\r\n", LATE,
                                         "-WRONGTYPE x script: x, on @user_function:1.\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
        memset(&fake, 0, sizeof(fake));
        answers(0, NULL, NULL, NULL);
        answers(1, second[i], NULL, NULL);
        start();
        jobs_result_t result = submit();
        if (result.outcome != JOBS_UNKNOWN || !*result.text)
            fail_msg("%s: outcome %d, %s", second[i], result.outcome, result.text);
        stop_server();
    }
    memset(&fake, 0, sizeof(fake)); /* nobody lets it in again */
    answers(0, NULL, NULL, NULL);
    fake.replies[1][0] = "-LOADING Redis is loading the dataset in memory\r\n";
    start();
    assert_int_equal(submit().outcome, JOBS_UNKNOWN);
    stop_server();
}

/* What the second attempt does decide was not done by the first: the verb looks for that before all else. */
static void what_the_second_attempt_decides_is_known(void **state)
{
    (void)state;
    answers(0, NULL, NULL, NULL);
    answers(1, "*2\r\n$5\r\nquota\r\n$4\r\njobs\r\n", NULL, NULL);
    start();
    assert_int_equal(submit().outcome, JOBS_QUOTA);
    stop_server();
}

#define JOB_ENDED "*2\r\n$8\r\nconflict\r\n$17\r\nthe job has ended\r\n"
#define JOB_READ(cancelled)                                                                                  \
    "*16\r\n$2\r\nok\r\n$26\r\n" ID                                                                          \
    "\r\n$1\r\n8\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1"                          \
    "\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n0\r\n$1\r\n0\r\n$1\r\n0\r\n$1\r\n" cancelled "\r\n"

/* The first of two cancels may be what ended the job: the job itself says. */
static void a_cancel_that_was_sent_twice_is_told_what_the_job_says(void **state)
{
    static const struct {
        const char *read;
        jobs_outcome_e outcome;
    } cases[] = {{JOB_READ("1"), JOBS_OK}, {JOB_READ("0"), JOBS_CONFLICT}, {NULL, JOBS_UNKNOWN}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&fake, 0, sizeof(fake));
        answers(0, NULL, NULL, NULL);
        answers(1, JOB_ENDED, NULL, NULL);
        answers(2, cases[i].read, NULL, NULL);
        answers(3, cases[i].read, NULL, NULL);
        start();
        assert_int_equal(jobs_cancel(jobs, &alice, ID, pool).outcome, cases[i].outcome);
        stop_server();
    }
}

/* A patient call waits for the answer to what was sent, far beyond the budget; nothing else waits longer. */
static void a_change_whose_answer_comes_late_is_answered(void **state)
{
    const jobs_pool_limits_t patient = {2, 1, apr_time_from_msec(400), apr_time_from_sec(5)};
    jobs_redis_t redis = {.user = "user", .password = SECRET};
    (void)state;
    answers(0, OK_JOB, NULL, NULL);
    fake.slow_command = 3;
    fake.slow_ms = 600;
    assert_int_equal(fake_redis_start(&fake), 0);
    redis.socket = fake.socket;
    assert_int_equal(jobs_pool_create(&jobs, &redis, &patient, pool), APR_SUCCESS);
    apr_time_t before = clock_boottime();
    assert_int_equal(submit().outcome, JOBS_OK);
    assert_true(clock_boottime() - before >= apr_time_from_msec(600));
    stop_server();
}

/* Redis carries out no command that it does not have whole, so one that did not fit into the socket is refused. */
static void a_change_that_did_not_leave_whole_is_not_done(void **state)
{
    const jobs_pool_limits_t patient = {2, 1, apr_time_from_msec(400), apr_time_from_sec(5)};
    jobs_redis_t redis = {.user = "user", .password = SECRET};
    (void)state;
    answers(0, OK_JOB, NULL, NULL);
    fake.deaf_after = 2;
    assert_int_equal(fake_redis_start(&fake), 0);
    redis.socket = fake.socket;
    assert_int_equal(jobs_pool_create(&jobs, &redis, &patient, pool), APR_SUCCESS);
    char *longer_than_a_socket = apr_palloc(pool, 1 << 22);
    memset(longer_than_a_socket, 'x', 1 << 22);
    longer_than_a_socket[(1 << 22) - 1] = '\0';
    apr_time_t before = clock_boottime();
    assert_int_equal(submit_name(longer_than_a_socket).outcome, JOBS_UNAVAILABLE);
    assert_true(clock_boottime() - before < apr_time_from_sec(3));
    stop_server();
    assert_int_equal(fake.command_count, 2);
}

static void a_pull_whose_answer_was_lost_is_not_sent_again(void **state)
{
    const char *fields = NULL;
    apr_array_header_t *items = NULL;
    int more = 0;
    (void)state;
    answers(0, NULL, NULL, NULL);
    answers(1, OK_ONLY, NULL, NULL);
    start();
    jobs_result_t result = jobs_context_pull(jobs, &alice, ID, 5, &fields, &items, &more, pool);
    assert_int_equal(result.outcome, JOBS_UNKNOWN);
    assert_int_equal(jobs_forget(jobs, &alice, ID, pool).outcome, JOBS_OK);
    stop_server();
    assert_int_equal(fake.connection_count, 2);
}

static void a_half_reply_is_no_reply(void **state)
{
    (void)state;
    answers(0, "*3\r\n$2\r\nok\r\n$26\r\nabc", NULL, NULL);
    fake.replies[0][3] = NULL;
    answers(1, OK_JOB, NULL, NULL);
    jobs_redis_t redis = {.user = "user", .password = SECRET};
    assert_int_equal(fake_redis_start(&fake), 0);
    redis.socket = fake.socket;
    assert_int_equal(jobs_pool_create(&jobs, &redis, limits_of(apr_time_from_msec(150)), pool), APR_SUCCESS);
    apr_time_t before = clock_boottime();
    assert_int_equal(submit().outcome, JOBS_UNKNOWN); /* the rest never comes */
    assert_true(clock_boottime() - before < apr_time_from_msec(250));
    stop_server();
}

/* ---- time ---------------------------------------------------------------------------------------------- */

static const char *not_after_of(const char *command)
{
    /* FCALL verb 1 key 5 id caller sha peer mechanism message NOT_AFTER ...; the message is empty */
    char *copy = apr_pstrdup(pool, command);
    char *word = copy;
    for (int i = 0; i < 11 && word; i++)
        word = strchr(word + 1, ' ');
    return word ? apr_pstrndup(pool, word + 1, strcspn(word + 1, " ")) : "";
}

static void not_after_is_in_redis_time(void **state)
{
    (void)state;
    answers(0, OK_JOB, NULL, NULL);
    start();
    assert_int_equal(submit().outcome, JOBS_OK);
    stop_server();
    apr_int64_t not_after = apr_atoi64(not_after_of(fake.commands[2]));
    const apr_int64_t start_of_fake = apr_time_from_sec(2000000000);
    assert_true(not_after > start_of_fake + apr_time_from_sec(4));
    assert_true(not_after <= start_of_fake + apr_time_from_sec(5));
}

static void a_clock_that_went_forward_is_learnt_anew(void **state)
{
    (void)state;
    answers(0, LATE, NULL, NULL);
    answers(1, OK_JOB, NULL, NULL);
    fake.replies[1][1] = "*2\r\n$10\r\n2000009999\r\n$1\r\n0\r\n";
    start();
    assert_int_equal(submit().outcome, JOBS_OK);
    stop_server();
    assert_true(apr_atoi64(not_after_of(fake.commands[5])) > apr_time_from_sec(2000009999));
}

static void what_stays_late_is_unavailable_and_said(void **state)
{
    (void)state;
    answers(0, LATE, NULL, NULL);
    answers(1, LATE, NULL, NULL);
    start();
    jobs_result_t result = submit();
    assert_int_equal(result.outcome, JOBS_UNAVAILABLE);
    assert_non_null(strstr(result.text, "too late"));
    stop_server();
}

/* ---- a worker's connection ----------------------------------------------------------------------------- */

static jobs_change_t finish_of(const char *system)
{
    jobs_change_t change = {.change = JOBS_FINISH, .task = {"job", system, "7"}, .step = "end", .state = 'U'};
    return change;
}

static void a_pipeline_that_breaks_leaves_what_was_answered(void **state)
{
    (void)state;
    answers(0, INFO, OK_ONLY, NULL);
    start();
    jobs_change_t one = finish_of("pc1");
    jobs_change_t two = finish_of("pc2");
    jobs_change_t three = finish_of("pc3");
    jobs_change_t *all[] = {&one, &two, &three};
    assert_int_equal(jobs_apply(client, "w1", all, 3, pool).outcome, JOBS_UNAVAILABLE);
    assert_int_equal(one.result.outcome, JOBS_OK);
    assert_int_equal(two.result.outcome, JOBS_UNAVAILABLE);
    assert_int_equal(three.result.outcome, JOBS_UNAVAILABLE);
    assert_true(*three.result.text != '\0');
    assert_string_equal(jobs_client_run_id(client), "0123456789abcdef0123456789abcdef01234567");
    /* no second connection within a second */
    assert_int_equal(jobs_apply(client, "w1", all, 3, pool).outcome, JOBS_UNAVAILABLE);
    assert_int_equal(one.result.outcome, JOBS_UNAVAILABLE);
    stop_server();
    assert_int_equal(fake.connection_count, 1);
    assert_string_equal(fake.commands[3],
                        "FCALL amtunlock_finish 1 {amtu}:verb:finish " SCHEMA " w1 job pc1 7 end U ");
}

static void answers_of_a_pipeline_stand_for_themselves(void **state)
{
    (void)state;
    answers(0, INFO, "-MISCONF no disk\r\n", "*2\r\n$7\r\nrefused\r\n$3\r\nwhy\r\n");
    fake.replies[0][5] = OK_ONLY;
    start();
    jobs_change_t one = finish_of("pc1");
    jobs_change_t two = finish_of("pc2");
    jobs_change_t three = finish_of("pc3");
    jobs_change_t *all[] = {&one, &two, &three};
    assert_int_equal(jobs_apply(client, "w1", all, 3, pool).outcome, JOBS_OK);
    assert_int_equal(one.result.outcome, JOBS_UNAVAILABLE);
    assert_int_equal(two.result.outcome, JOBS_REFUSED);
    assert_int_equal(three.result.outcome, JOBS_OK);
    stop_server();
}

/* ---- parts --------------------------------------------------------------------------------------------- */

#define IN_THREE_PARTS 400 /* names */
#define QUOTA "*2\r\n$5\r\nquota\r\n$7\r\nsystems\r\n"
#define CONFLICT "*2\r\n$8\r\nconflict\r\n$4\r\ngone\r\n"
#define ALREADY "*1\r\n$7\r\nalready\r\n"
#define AGAIN "*2\r\n$5\r\nagain\r\n$4\r\nbusy\r\n"

static void two_parts_leave_together_and_the_last_alone(void **state)
{
    (void)state;
    answers(0, "", OK_ONLY OK_ONLY, OK_JOB); /* the first is answered when the second has come */
    start();
    assert_int_equal(submit_names("PC1", IN_THREE_PARTS).outcome, JOBS_OK);
    stop_server();
    assert_int_equal(fake.connection_count, 1);
    assert_non_null(strstr(fake.commands[2], "amtunlock_submit_part "));
    assert_non_null(strstr(fake.commands[3], "amtunlock_submit_part "));
    assert_non_null(strstr(fake.commands[4], "amtunlock_submit "));
}

/* Whatever those behind it are told: that the names before are gone, for the most part. */
static void a_part_that_is_refused_is_the_answer(void **state)
{
    (void)state;
    answers(0, QUOTA, CONFLICT, OK_JOB);
    start();
    jobs_result_t result = submit_names("PC1", IN_THREE_PARTS);
    assert_int_equal(result.outcome, JOBS_QUOTA);
    assert_string_equal(result.text, "systems");
    assert_int_equal(submit().outcome, JOBS_OK); /* with its own answer, on the same connection */
    stop_server();
    assert_int_equal(fake.connection_count, 1);
}

static void parts_are_sent_again_where_redis_asks_for_it(void **state)
{
    (void)state;
    answers(0, AGAIN, CONFLICT, OK_ONLY);
    fake.replies[0][5] = OK_ONLY;
    fake.replies[0][6] = OK_JOB;
    start();
    assert_int_equal(submit_names("PC1", IN_THREE_PARTS).outcome, JOBS_OK);
    stop_server();
    assert_int_equal(fake.command_count, 7);
}

static void parts_of_which_one_was_answered_are_sent_again(void **state)
{
    (void)state;
    answers(0, OK_ONLY, NULL, NULL);
    answers(1, ALREADY, OK_ONLY, OK_JOB);
    start();
    assert_int_equal(submit_names("PC1", IN_THREE_PARTS).outcome, JOBS_OK);
    stop_server();
    assert_int_equal(fake.connection_count, 2);
}

static void a_name_that_is_spelled_as_its_key_is_sent_once(void **state)
{
    (void)state;
    answers(0, OK_JOB, OK_JOB, NULL);
    start();
    assert_int_equal(submit_name("PC1").outcome, JOBS_OK);
    assert_int_equal(submit_name("pc1").outcome, JOBS_OK);
    stop_server();
    assert_non_null(strstr(fake.commands[2], " PC1 pc1"));
    assert_string_equal(strrchr(fake.commands[3], 'p'), "pc1 ");
}

static void a_redis_without_a_run_id_is_not_used(void **state)
{
    int reaped = 0;
    (void)state;
    answers(0, "$8\r\n# Server\r\n", OK_ONLY, NULL);
    start();
    assert_int_equal(jobs_reap(client, "w1", &reaped, pool).outcome, JOBS_BROKEN);
    stop_server();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_error_becomes_a_sentence, begin, end),
        cmocka_unit_test_setup_teardown(a_refused_password_is_not_told, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_redis_protocol_is_unavailable, begin, end),
        cmocka_unit_test_setup_teardown(a_time_that_is_none_is_unavailable, begin, end),
        cmocka_unit_test_setup_teardown(an_answer_that_is_too_large_is_given_up, begin, end),
        cmocka_unit_test_setup_teardown(a_submission_whose_answer_was_lost_is_sent_again_with_its_id, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_third_time_is_not_tried, begin, end),
        cmocka_unit_test_setup_teardown(what_the_second_attempt_does_not_decide_is_unknown, begin, end),
        cmocka_unit_test_setup_teardown(what_the_second_attempt_decides_is_known, begin, end),
        cmocka_unit_test_setup_teardown(a_cancel_that_was_sent_twice_is_told_what_the_job_says, begin, end),
        cmocka_unit_test_setup_teardown(a_change_whose_answer_comes_late_is_answered, begin, end),
        cmocka_unit_test_setup_teardown(a_change_that_did_not_leave_whole_is_not_done, begin, end),
        cmocka_unit_test_setup_teardown(a_pull_whose_answer_was_lost_is_not_sent_again, begin, end),
        cmocka_unit_test_setup_teardown(a_half_reply_is_no_reply, begin, end),
        cmocka_unit_test_setup_teardown(not_after_is_in_redis_time, begin, end),
        cmocka_unit_test_setup_teardown(a_clock_that_went_forward_is_learnt_anew, begin, end),
        cmocka_unit_test_setup_teardown(what_stays_late_is_unavailable_and_said, begin, end),
        cmocka_unit_test_setup_teardown(a_pipeline_that_breaks_leaves_what_was_answered, begin, end),
        cmocka_unit_test_setup_teardown(answers_of_a_pipeline_stand_for_themselves, begin, end),
        cmocka_unit_test_setup_teardown(a_redis_without_a_run_id_is_not_used, begin, end),
        cmocka_unit_test_setup_teardown(two_parts_leave_together_and_the_last_alone, begin, end),
        cmocka_unit_test_setup_teardown(a_part_that_is_refused_is_the_answer, begin, end),
        cmocka_unit_test_setup_teardown(parts_are_sent_again_where_redis_asks_for_it, begin, end),
        cmocka_unit_test_setup_teardown(parts_of_which_one_was_answered_are_sent_again, begin, end),
        cmocka_unit_test_setup_teardown(a_name_that_is_spelled_as_its_key_is_sent_once, begin, end),
    };
    signal(SIGPIPE, SIG_IGN);
    apr_initialize();
    atexit(apr_terminate);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
