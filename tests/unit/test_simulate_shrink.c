/* SPDX-License-Identifier: Apache-2.0 */
/* tests/simulate/shrink.h: what is left of a list that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../simulate/shrink.h"

#define MOST 64

/* Fails as long as all of `needed` are there. */
typedef struct {
    int needed[4], needed_count;
    int either; /* one of them is enough */
    int asked;
} case_t;

static int has(const int *elements, int count, int wanted)
{
    for (int i = 0; i < count; i++) {
        if (elements[i] == wanted)
            return 1;
    }
    return 0;
}

static int fails(void *baton, const int *elements, int count)
{
    case_t *one = baton;
    int found = 0;

    one->asked++;
    for (int i = 0; i < one->needed_count; i++)
        found += has(elements, count, one->needed[i]);
    return one->either ? found > 0 : found == one->needed_count;
}

static int shrink_all(case_t *one, int *elements, int count, int tries)
{
    for (int i = 0; i < count; i++)
        elements[i] = i;
    return shrink(elements, count, tries, fails, one);
}

static void test_only_what_is_needed_is_left(void **state)
{
    case_t one = {.needed = {3, 17, 40}, .needed_count = 3};
    int elements[MOST];
    (void)state;
    assert_int_equal(shrink_all(&one, elements, MOST, 1000), 3);
    assert_int_equal(elements[0], 3);
    assert_int_equal(elements[1], 17);
    assert_int_equal(elements[2], 40);
}

static void test_neighbours_at_both_ends(void **state)
{
    case_t one = {.needed = {0, 1, MOST - 1}, .needed_count = 3};
    int elements[MOST];
    (void)state;
    assert_int_equal(shrink_all(&one, elements, MOST, 1000), 3);
    assert_int_equal(elements[2], MOST - 1);
}

static void test_one_of_several_causes_is_left(void **state)
{
    case_t one = {.needed = {5, 6, 50}, .needed_count = 3, .either = 1};
    int elements[MOST];
    (void)state;
    assert_int_equal(shrink_all(&one, elements, MOST, 1000), 1);
    assert_true(elements[0] == 5 || elements[0] == 6 || elements[0] == 50);
}

/* Nothing is needed: it fails whatever is kept. */
static void test_nothing_is_left(void **state)
{
    case_t one = {.needed_count = 0};
    int elements[MOST];
    (void)state;
    assert_int_equal(shrink_all(&one, elements, MOST, 1000), 0);
    assert_int_equal(shrink_all(&one, elements, 0, 1000), 0);
}

static void test_all_is_left_where_all_is_needed(void **state)
{
    case_t one = {.needed = {0, 1, 2, 3}, .needed_count = 4};
    int elements[4];
    (void)state;
    assert_int_equal(shrink_all(&one, elements, 4, 1000), 4);
}

static void test_it_asks_no_more_often_than_it_may(void **state)
{
    case_t one = {.needed = {3, 17, 40}, .needed_count = 3};
    int elements[MOST], left;
    (void)state;
    left = shrink_all(&one, elements, MOST, 10);
    assert_true(one.asked <= 10);
    assert_true(left >= 3);
    assert_true(fails(&one, elements, left));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_needed_is_left),
        cmocka_unit_test(test_neighbours_at_both_ends),
        cmocka_unit_test(test_one_of_several_causes_is_left),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_all_is_left_where_all_is_needed),
        cmocka_unit_test(test_it_asks_no_more_often_than_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
