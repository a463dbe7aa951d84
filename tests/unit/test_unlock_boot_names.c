/* SPDX-License-Identifier: Apache-2.0 */
/* By what a worker that takes over can prove itself to a booted image: what the intent says of the boot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <apr_general.h>

#include "unlock/intent.h"
#include "unlock_rows.h"

static int setup(void **state)
{
    return apr_pool_create((apr_pool_t **)state, NULL) == APR_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

static unlock_plan_t read_intent(const char *text)
{
    unlock_plan_t plan = {.boot_fence = "9", .proof_key = "f"};

    intent_read(text, &plan, apr_time_from_sec(100));
    return plan;
}

/* Other methods have no use for them, and a PC that sleeps is not booted. */
static void test_the_intent_names_the_boot_of_an_image(void **state)
{
    static const behaviour_t ways[] = {{IMAGE}, {SOL}, {.power = 8}, {IMAGE, .power = 4}};

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        unlock_pc_t *pc = unlock_pc_create(&ways[i], *state);
        unlock_plan_t plan;

        pc->task.ref.fence = "12345678901234567890";
        unlock_pc_run(pc);
        assert_string_equal(unlock_pc_ending(pc), "unlocked");
        plan = read_intent(pc->unlock.intent);
        assert_string_equal(plan.boot_fence, i == 0 ? "12345678901234567890" : "");
        assert_string_equal(plan.proof_key, i == 0 ? UNLOCK_PC_KEY : "");
        assert_int_equal(strstr(pc->unlock.intent, "boot_fence") != NULL, i == 0);
        assert_int_equal(strstr(pc->unlock.intent, "proof_key") != NULL, i == 0);
    }
}

/* Whatever the intent of a lost worker says of an earlier boot. */
static void test_a_new_boot_has_its_own_fence(void **state)
{
    static const behaviour_t is = {IMAGE};
    unlock_pc_t *pc = unlock_pc_create(&is, *state);

    strcpy(pc->unlock.plan.boot_fence, "77");
    strcpy(pc->unlock.plan.proof_key, "00");
    unlock_pc_run(pc);
    assert_string_equal(unlock_pc_ending(pc), "unlocked");
    assert_string_equal(pc->unlock.plan.boot_fence, pc->task.ref.fence);
    assert_string_equal(pc->unlock.plan.proof_key, UNLOCK_PC_KEY);
}

/* The settings make sure that there is one; without it no PC is started. */
static void test_no_image_without_a_key(void **state)
{
    static const behaviour_t is = {IMAGE};
    unlock_pc_t *pc = unlock_pc_create(&is, *state);

    pc->unlock.proof_key = NULL;
    unlock_pc_run(pc);
    assert_int_equal(pc->unlock.state, 'F');
    assert_int_equal(pc->unlock.reason, JOBS_REASON_INTERNAL);
    assert_int_equal(pc->power_requests, 0);
    assert_int_equal(pc->types, 0);
}

/* An intent comes from outside. */
static void test_names_that_are_none(void **state)
{
    static const char *const odd[] = {
        "{}",
        "{\"boot_fence\":7,\"proof_key\":7}",
        "{\"boot_fence\":\"\",\"proof_key\":\"\"}",
        "{\"boot_fence\":\"-1\",\"proof_key\":\"0123456789ABCDEF\"}",
        "{\"boot_fence\":\"1 \",\"proof_key\":\"0123456789abcde \"}",
        "{\"boot_fence\":\"123456789012345678901\",\"proof_key\":\"0123456789abcdef0\"}",
        "{\"boot_fence\":\"1a\",\"proof_key\":{\"a\":1}}",
        "{\"boot_fence\":[\"1\"],\"proof_key\":null}",
        "{\"boot_fence\":\"1\\u0000\",\"proof_key\":\"\\u0000\"}",
        "[1]",
        "nonsense",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        unlock_plan_t plan = read_intent(odd[i]);

        if (plan.boot_fence[0] || plan.proof_key[0]) {
            fail_msg("%s was taken over", odd[i]);
        }
    }
}

int main(void)
{
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_intent_names_the_boot_of_an_image, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_boot_has_its_own_fence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_image_without_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_that_are_none, setup, teardown),
    };

    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
