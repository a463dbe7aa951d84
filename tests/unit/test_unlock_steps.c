/* SPDX-License-Identifier: Apache-2.0 */
/* The table of steps as data: what it says of each step, the picture of it, and that each of its edges is
 * taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "base/log.h"
#include "unlock/graph.h"
#include "unlock/steps_table_priv.h"
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

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* A step waits for one answer and says what follows it; only the last one asks for nothing. */
static void test_every_step_has_a_row(void **state)
{
    (void)state;
    for (int step = UNLOCK_NO_STEP + 1; step < UNLOCK_OVER; step++) {
        const step_t *row = steps_row(step);
        int asks = row->send != NULL || row->call != UNLOCK_CALL_NONE || row->stores;
        assert_non_null(row->name);
        if (asks == (row->on_input != NULL))
            fail_msg("%s asks and listens, or does neither", row->name);
        if (asks && (row->on_ok != NULL) == (row->then != UNLOCK_NO_STEP))
            fail_msg("%s has two steps that follow, or none", row->name);
        if (row->writes && row->undoes)
            fail_msg("%s acts and takes back", row->name);
    }
}

/* What changes the PC says so, so that it is sent only after the intent. */
static void test_calls_that_change_the_pc(void **state)
{
    static const unlock_call_e acts[] = {UNLOCK_CALL_CLEAR_BOOT, UNLOCK_CALL_SET_REDIRECTION,
                                         UNLOCK_CALL_SET_BOOT,   UNLOCK_CALL_POWER_ON,
                                         UNLOCK_CALL_TYPE,       UNLOCK_CALL_SEAL,
                                         UNLOCK_CALL_ACKNOWLEDGE};
    (void)state;
    for (int step = UNLOCK_NO_STEP + 1; step < UNLOCK_STEPS; step++) {
        const step_t *row = steps_row(step);
        int acting = 0;
        for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
            acting |= row->call == acts[i];
        if (acting != (row->writes || row->undoes))
            fail_msg("%s changes the PC: %d, and its row says %d", row->name, acting, !acting);
    }
}

/* ---- the picture --------------------------------------------------------------------------------------- */

static char *draw(void)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    graph_write(out);
    fclose(out);
    return text;
}

static void test_the_picture_shows_every_step(void **state)
{
    char *text = draw();
    for (int step = UNLOCK_NO_STEP + 1; step < UNLOCK_STEPS; step++) {
        const char *node = apr_psprintf(*state, " s%d [label=\"%s\"", step, steps_row(step)->name);
        if (strstr(text, node) == NULL)
            fail_msg("%s is not in the picture", steps_row(step)->name);
    }
    assert_ptr_equal(strstr(text, "digraph"), text);
    free(text);
}

/* ---- edges --------------------------------------------------------------------------------------------- */

/* Runs every row, and every row with silence at each of its requests. */
static void run_all(apr_pool_t *pool)
{
    for (size_t i = 0; i < unlock_row_count; i++) {
        int requests = 1;
        for (int at = 0; at <= requests; at++) {
            unlock_pc_t *pc = unlock_pc_create(&unlock_rows[i].is, pool);
            pc->ignore_at = at;
            unlock_pc_run(pc);
            requests = pc->ignore_at ? requests : pc->answered;
        }
    }
}

static void note_edge(int taken[UNLOCK_STEPS], const char *to)
{
    for (int next = UNLOCK_NO_STEP + 1; next < UNLOCK_STEPS; next++)
        taken[next] |= strcmp(steps_row(next)->name, to) == 0;
}

static void note_edges(const char *path, int taken[UNLOCK_STEPS][UNLOCK_STEPS])
{
    char line[1000], from[40], to[40];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *at = strstr(line, " from=");
        if (strstr(line, "AMTU0602") == NULL || at == NULL || sscanf(at, " from=%39s to=%39s", from, to) != 2)
            continue;
        for (int step = UNLOCK_NO_STEP + 1; step < UNLOCK_STEPS; step++) {
            if (strcmp(steps_row(step)->name, from) == 0)
                note_edge(taken[step], to);
        }
    }
    fclose(file);
}

/* That no other step follows is asserted wherever an unlock runs in a test; here, that each of those may. */
static void test_every_edge_is_taken(void **state)
{
    static int taken[UNLOCK_STEPS][UNLOCK_STEPS];
    char path[] = "/tmp/amtu-steps-XXXXXX";
    int fd = mkstemp(path), missing = 0;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(log_open(path, LOG_LEVEL_DEBUG), APR_SUCCESS);
    run_all(*state);
    log_close();
    note_edges(path, taken);
    unlink(path);
    for (int step = UNLOCK_NO_STEP + 1; step < UNLOCK_STEPS; step++) {
        const step_t *row = steps_row(step);
        for (int i = 0; i < STEP_TARGETS && row->targets[i] != UNLOCK_NO_STEP; i++) {
            if (!taken[step][row->targets[i]]) {
                print_error("%s never leads to %s\n", row->name, steps_row(row->targets[i])->name);
                missing++;
            }
        }
    }
    assert_int_equal(missing, 0);
}

/* Ends this process by abort(), with a message on `out`. */
static void go_where_no_edge_leads(int out, apr_pool_t *pool)
{
    static const behaviour_t is = {0};
    unlock_pc_t *pc = unlock_pc_create(&is, pool);
    method_t method = *pc->unlock.method;
    method.first_read = UNLOCK_VERDICT;
    pc->unlock.method = &method;
    dup2(out, STDERR_FILENO);
    unlock_pc_run(pc);
}

static void test_an_edge_that_is_not_listed_is_named(void **state)
{
    char text[200] = "";
    int ends[2], status = 0;
    pid_t child = 0;
    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        go_where_no_edge_leads(ends[1], *state);
        _exit(0);
    }
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_string_equal(text, "identity does not list verdict in .targets\n");
}

int main(void)
{
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_step_has_a_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls_that_change_the_pc, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_picture_shows_every_step, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_edge_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_edge_that_is_not_listed_is_named, setup, teardown),
    };
    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
