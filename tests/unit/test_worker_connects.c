/* SPDX-License-Identifier: Apache-2.0 */
/* Who may connect, and how many PCs are talked to at a time. Time passes by setting when a permit's state began. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "worker/connect_limit_priv.h"

#define SECOND APR_USEC_PER_SEC

enum { MAX = 4, TALK = 6, PCS = 20 };

typedef struct {
    struct event_base *base;
    connect_limit_t limit;
    connect_permit_t permits[PCS];
    int granted;
} rig_t;

static void on_granted(connect_permit_t *permit)
{
    rig_t *rig = permit->owner;

    assert_ptr_equal(permit, &rig->permits[rig->granted]); /* in the order that they asked in */
    rig->granted++;
}

static int set_up(void **state)
{
    rig_t *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->base = event_base_new();
    connect_limit_init(&rig->limit, rig->base, MAX);
    for (int i = 0; i < PCS; i++) {
        rig->permits[i].granted = on_granted;
        rig->permits[i].owner = rig;
        connect_permit_ask(&rig->limit, &rig->permits[i]);
    }
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_t *rig = *state;

    event_base_free(rig->base);
    free(rig);
    return 0;
}

static int serve(rig_t *rig)
{
    connect_limit_serve(&rig->limit);
    return rig->granted;
}

static void answer(rig_t *rig, int from, int to)
{
    for (int i = from; i < to; i++) {
        connect_permit_connected(&rig->limit, &rig->permits[i]);
    }
}

static void pass(rig_t *rig, int from, int to, apr_interval_time_t time)
{
    for (int i = from; i < to; i++) {
        rig->permits[i].since -= time;
    }
}

static void test_so_many_connect(void **state)
{
    rig_t *rig = *state;

    assert_int_equal(serve(rig), MAX);
    assert_int_equal(serve(rig), MAX);
    connect_permit_end(&rig->limit, &rig->permits[1]); /* unreachable */
    connect_permit_end(&rig->limit, &rig->permits[1]);
    assert_int_equal(serve(rig), MAX + 1);
    connect_permit_end(&rig->limit, &rig->permits[MAX + 1]); /* its unlock ends while it waits */
    connect_permit_end(&rig->limit, &rig->permits[0]);
    rig->granted++;
    assert_int_equal(serve(rig), MAX + 3);
}

static void test_so_many_talk(void **state)
{
    rig_t *rig = *state;

    serve(rig);
    answer(rig, 0, MAX);
    answer(rig, 0, MAX); /* each later answer changes nothing */
    assert_int_equal(serve(rig), TALK);
    answer(rig, MAX, TALK);
    assert_int_equal(serve(rig), TALK);
    connect_permit_end(&rig->limit, &rig->permits[2]); /* it starts */
    answer(rig, 2, 3);
    assert_int_equal(serve(rig), TALK + 1);
}

static void test_silent_ones_hold_up_nobody(void **state)
{
    rig_t *rig = *state;

    serve(rig);
    pass(rig, 0, 2, SECOND / 2);
    assert_int_equal(serve(rig), MAX);
    pass(rig, 0, 2, SECOND);
    assert_int_equal(serve(rig), MAX + 2);
    connect_permit_end(&rig->limit, &rig->permits[0]);
    assert_int_equal(serve(rig), MAX + 2);
}

static void test_slow_firmware_holds_up_nobody(void **state)
{
    rig_t *rig = *state;

    serve(rig);
    answer(rig, 0, MAX);
    serve(rig);
    answer(rig, MAX, TALK);
    pass(rig, 0, 3, 2 * SECOND);
    assert_int_equal(serve(rig), TALK);
    pass(rig, 0, 3, 4 * SECOND);
    assert_int_equal(serve(rig), TALK + 3);
}

/* Then more at a time would take longer still. */
static void test_a_slow_host_does_not_take_more(void **state)
{
    rig_t *rig = *state;

    serve(rig);
    pass(rig, 0, MAX, 4 * SECOND);
    assert_int_equal(serve(rig), 2 * MAX);
    answer(rig, 0, MAX); /* too late for their permits, but they tell how long it takes */
    pass(rig, MAX, 2 * MAX, 4 * SECOND);
    assert_int_equal(serve(rig), 2 * MAX);
    pass(rig, MAX, 2 * MAX, 10 * SECOND);
    assert_int_equal(serve(rig), 3 * MAX);
    for (int i = 2 * MAX; i < 3 * MAX; i++) { /* a quick one after the other teaches that it is over */
        connect_permit_connected(&rig->limit, &rig->permits[i]);
        connect_permit_end(&rig->limit, &rig->permits[i]);
    }
    assert_int_equal(serve(rig), 4 * MAX);
    for (int i = 3 * MAX; i < 4 * MAX - 1; i++) {
        connect_permit_connected(&rig->limit, &rig->permits[i]);
        connect_permit_end(&rig->limit, &rig->permits[i]);
    }
    pass(rig, 4 * MAX - 1, 4 * MAX, 2 * SECOND);
    assert_int_equal(serve(rig), 5 * MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_so_many_connect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_so_many_talk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silent_ones_hold_up_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_firmware_holds_up_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_slow_host_does_not_take_more, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
