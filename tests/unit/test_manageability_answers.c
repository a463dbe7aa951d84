/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of answers: bounds, order, and many threads. */
#include "manageability/answers_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_atomic.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <cmocka.h>

#include "base/clock.h"

#define ROOM 10000 /* bytes */
#define SECONDS 20 /* longer than a thread waits */

static apr_pool_t *pool;
static manageability_answers_t *answers;

static int set_up(void **state)
{
    (void)state;
    apr_pool_create(&pool, NULL);
    return manageability_answers_create(&answers, ROOM, pool);
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

static void keep(const char *key, const char *version, apr_time_t asked, const char *text)
{
    const manageability_answer_t answer = {version, {text, strlen(text), 5}};

    manageability_answer_keep(answers, key, asked, &answer);
}

/* The text that is kept for a key, "" for none. */
static const char *kept(const char *key)
{
    const manageability_answer_t *answer = manageability_answer_hold(answers, key);
    const char *text = "";

    if (answer != NULL) {
        assert_int_equal(answer->written.namespaces, 5);
        text = apr_pstrmemdup(pool, answer->written.bytes, answer->written.length);
    }
    manageability_answer_release(answers, answer);
    return text;
}

static const char *key_of(int number)
{
    return apr_psprintf(pool, "key %d", number);
}

/* ---- one thread ------------------------------------------------------------------------------------- */

static void what_is_kept_is_found_by_its_whole_key(void **state)
{
    (void)state;
    assert_string_equal(kept("one"), "");
    keep("one", "v1", 1, "first");
    keep("two", "v1", 1, "second");
    assert_string_equal(kept("one"), "first");
    assert_string_equal(kept("two"), "second");
    assert_string_equal(kept("on"), "");
    manageability_answer_drop(answers, "one");
    manageability_answer_drop(answers, "three");
    assert_string_equal(kept("one"), "");
    assert_string_equal(kept("two"), "second");
}

static void the_one_that_was_asked_for_later_stays(void **state)
{
    (void)state;
    keep("one", "v2", 20, "later");
    keep("one", "v1", 10, "earlier");
    assert_string_equal(kept("one"), "later");
    keep("one", "v3", 30, "latest");
    assert_string_equal(kept("one"), "latest");
}

static void what_was_used_longest_ago_goes_first(void **state)
{
    const char *text = apr_pstrcat(pool, apr_psprintf(pool, "%03000d", 7), NULL);

    (void)state;
    keep("one", "v1", 1, text);
    keep("two", "v1", 1, text);
    keep("three", "v1", 1, text);
    assert_string_equal(kept("one"), text);
    keep("four", "v1", 1, text);
    assert_string_equal(kept("two"), "");
    assert_string_equal(kept("one"), text);
    assert_string_equal(kept("three"), text);
    assert_string_equal(kept("four"), text);
}

static void what_is_larger_than_the_room_is_not_kept(void **state)
{
    (void)state;
    keep("one", "v1", 1, "small");
    keep("two", "v1", 1, apr_psprintf(pool, "%0*d", ROOM, 7));
    assert_string_equal(kept("two"), "");
    assert_string_equal(kept("one"), "small");
}

static void there_are_not_more_than_so_many_keys(void **state)
{
    int found = 0;

    (void)state;
    manageability_answers_create(&answers, 100 << 20, pool);
    for (int i = 0; i < 5000; i++) {
        keep(key_of(i), "v1", 1, "text");
    }
    for (int i = 0; i < 5000; i++) {
        found += strcmp(kept(key_of(i)), "") != 0;
    }
    assert_int_equal(found, 1024);
    assert_string_equal(kept(key_of(4999)), "text");
}

static void an_answer_lasts_while_it_is_held(void **state)
{
    const manageability_answer_t *first, *second;

    (void)state;
    keep("one", "v1", 1, "first");
    first = manageability_answer_hold(answers, "one");
    keep("one", "v2", 2, "second");
    second = manageability_answer_hold(answers, "one");
    manageability_answer_drop(answers, "one");
    assert_memory_equal(first->written.bytes, "first", 5);
    assert_string_equal(first->version, "v1");
    assert_memory_equal(second->written.bytes, "second", 6);
    manageability_answer_release(answers, first);
    manageability_answer_release(answers, second);
    manageability_answer_release(answers, NULL);
}

/* ---- turns ------------------------------------------------------------------------------------------ */

static manageability_turn_e turn_of(const char *key, const char *version, apr_time_t since)
{
    const manageability_answer_t *answer = NULL;
    manageability_turn_e turn = manageability_answer_turn(answers, key, version, since, &answer);

    assert_int_equal(turn == ANSWER_KEPT, answer != NULL);
    manageability_answer_release(answers, answer);
    return turn;
}

static void an_answer_will_do_that_is_of_the_version_or_newer_than_the_question(void **state)
{
    (void)state;
    assert_int_equal(turn_of("one", "v1", 10), ANSWER_MINE);
    keep("one", "v1", 10, "text");
    manageability_answer_done(answers, "one");
    assert_int_equal(turn_of("one", "v1", 10), ANSWER_KEPT);
    assert_int_equal(turn_of("one", "v1", 20), ANSWER_KEPT);
    assert_int_equal(turn_of("one", "v0", 9), ANSWER_KEPT);
    assert_int_equal(turn_of("one", "v2", 10), ANSWER_MINE);
    manageability_answer_done(answers, "one");
}

/* One thread that waits for its turn. */
typedef struct {
    const char *version;
    apr_time_t since;
    manageability_turn_e turn;
    volatile apr_uint32_t ended;
} waiter_t;

static void *APR_THREAD_FUNC wait_for_turn(apr_thread_t *thread, void *data)
{
    waiter_t *waiter = data;
    (void)thread;
    const manageability_answer_t *answer = NULL;

    waiter->turn = manageability_answer_turn(answers, "one", waiter->version, waiter->since, &answer);
    manageability_answer_release(answers, answer);
    if (waiter->turn == ANSWER_MINE) {
        manageability_answer_done(answers, "one");
    }
    apr_atomic_set32(&waiter->ended, 1);
    return NULL;
}

/* What the waiter is told when this thread, whose turn it is, has kept `version` (NULL: nothing) from before `asked`. */
static manageability_turn_e told(waiter_t waiter, const char *version, apr_time_t asked)
{
    apr_thread_t *thread = NULL;
    apr_status_t status;

    assert_int_equal(turn_of("one", "mine", clock_boottime()), ANSWER_MINE);
    assert_int_equal(apr_thread_create(&thread, NULL, wait_for_turn, &waiter, pool), APR_SUCCESS);
    for (int i = 0; i < 20; i++) {
        apr_sleep(1000);
        assert_int_equal(apr_atomic_read32(&waiter.ended), 0);
    }
    if (version != NULL) {
        keep("one", version, asked, "text");
    }
    manageability_answer_done(answers, "one");
    apr_thread_join(&status, thread);
    return waiter.turn;
}

static void who_waits_is_told_what_became_of_it(void **state)
{
    apr_time_t now = clock_boottime();

    (void)state;
    assert_int_equal(told((waiter_t){.version = "v1", .since = now}, "v1", now - 5), ANSWER_KEPT);
    assert_int_equal(told((waiter_t){.version = "v2", .since = now}, "v3", now + 5), ANSWER_KEPT);
    manageability_answer_drop(answers, "one");
    assert_int_equal(told((waiter_t){.version = "v4", .since = now}, "v5", now - 5), ANSWER_AGAIN);
    assert_int_equal(told((waiter_t){.version = "v6", .since = now}, NULL, 0), ANSWER_AGAIN);
}

static void who_has_waited_too_long_does_not_do_it_again(void **state)
{
    (void)state;
    assert_int_equal(turn_of("one", "v1", clock_boottime()), ANSWER_MINE);
    assert_int_equal(turn_of("one", "v2", clock_boottime() - apr_time_from_sec(SECONDS)), ANSWER_LATE);
    manageability_answer_done(answers, "one");
    assert_int_equal(turn_of("one", "v2", clock_boottime()), ANSWER_MINE);
    manageability_answer_done(answers, "one");
}

/* ---- many threads ----------------------------------------------------------------------------------- */

enum { THREADS = 8, KEYS = 6, ROUNDS = 400 };

static volatile apr_uint32_t makers[KEYS], versions[KEYS], made, wrong;

/* As a request does it: the version now, an answer of that version or a newer one, in turn. */
static void ask_once(int number)
{
    char key[32], version[32], text[1200];
    const manageability_answer_t *answer = NULL;
    apr_time_t since = clock_boottime();
    apr_uint32_t now = apr_atomic_read32(&versions[number]);
    manageability_turn_e turn;

    snprintf(key, sizeof(key), "key %d", number);
    snprintf(version, sizeof(version), "%010u", now);
    snprintf(text, sizeof(text), "%01000d %d %010u", 0, number, now);
    turn = manageability_answer_turn(answers, key, version, since, &answer);
    if (turn == ANSWER_KEPT) {
        char *rest;
        long whose = strtol(answer->written.bytes + 1000, &rest, 10);
        unsigned long shown = strtoul(rest, NULL, 10);

        if (whose != number || shown < now) {
            apr_atomic_inc32(&wrong);
        }
    }
    else if (turn == ANSWER_MINE) {
        const manageability_answer_t mine = {version, {text, strlen(text) + 1, 0}};

        if (apr_atomic_inc32(&makers[number]) != 0) {
            apr_atomic_inc32(&wrong);
        }
        apr_atomic_inc32(&made);
        manageability_answer_keep(answers, key, since, &mine);
        apr_atomic_dec32(&makers[number]);
        manageability_answer_done(answers, key);
    }
    manageability_answer_release(answers, answer);
}

static void *APR_THREAD_FUNC ask_often(apr_thread_t *thread, void *data)
{
    apr_uint32_t luck = (apr_uint32_t)(size_t)data;
    (void)thread;

    for (int i = 0; i < ROUNDS; i++) {
        luck = luck * 1664525 + 1013904223;
        ask_once((int)((luck >> 16) % KEYS));
        if ((luck >> 24) % 8 == 0) {
            apr_atomic_inc32(&versions[(luck >> 8) % KEYS]);
        }
        if ((luck >> 24) == 77) {
            char key[32];

            snprintf(key, sizeof(key), "key %d", (int)(luck % KEYS));
            manageability_answer_drop(answers, key);
        }
    }
    return NULL;
}

/* There is room for some of the answers only. */
static void threads_share_what_each_of_them_makes(void **state)
{
    apr_thread_t *threads[THREADS];
    apr_status_t status;

    (void)state;
    manageability_answers_create(&answers, 4500, pool);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(apr_thread_create(&threads[i], NULL, ask_often, (void *)(i + 1), pool), APR_SUCCESS);
    }
    for (int i = 0; i < THREADS; i++) {
        apr_thread_join(&status, threads[i]);
    }
    assert_int_equal(wrong, 0);
    assert_true(made > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_kept_is_found_by_its_whole_key),
        TEST(the_one_that_was_asked_for_later_stays),
        TEST(what_was_used_longest_ago_goes_first),
        TEST(what_is_larger_than_the_room_is_not_kept),
        TEST(there_are_not_more_than_so_many_keys),
        TEST(an_answer_lasts_while_it_is_held),
        TEST(an_answer_will_do_that_is_of_the_version_or_newer_than_the_question),
        TEST(who_waits_is_told_what_became_of_it),
        TEST(who_has_waited_too_long_does_not_do_it_again),
        TEST(threads_share_what_each_of_them_makes),
    };
    int failed;

    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
