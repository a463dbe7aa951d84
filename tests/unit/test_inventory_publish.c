/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the inventory for Redis. jobs_publish() is this file's own here, so that every argument can be
 * seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "inventory/inventory.h"

static struct {
    jobs_client_t *connection;
    const char *worker, *digest;
    apr_time_t written;
    const apr_array_header_t *systems;
} seen;

jobs_result_t jobs_publish(jobs_client_t *connection, const char *worker, const jobs_edition_t *edition,
                           const apr_array_header_t *systems, apr_pool_t *pool)
{
    (void)pool;
    seen.connection = connection;
    seen.worker = worker;
    seen.digest = edition->digest;
    seen.written = edition->written;
    seen.systems = systems;
    return (jobs_result_t){JOBS_REFUSED, "a newer one is published"};
}

static const jobs_published_t *published(int index)
{
    return &APR_ARRAY_IDX(seen.systems, index, const jobs_published_t);
}

static const char *key(int index, int at)
{
    return APR_ARRAY_IDX(published(index)->keys, at, const char *);
}

static void test_what_is_published(void **state)
{
    apr_pool_t *pool = *state;
    apr_array_header_t *problems = apr_array_make(pool, 1, sizeof(inventory_problem_t));
    jobs_client_t *connection = apr_palloc(pool, 1);
    char name[] = "/tmp/amtu-publish-XXXXXX";
    FILE *file = fdopen(mkstemp(name), "w");
    const jobs_edition_t edition = {"the digest", 1234, "host"};
    inventory_t *inventory;
    jobs_result_t result;

    fputs("fqdn,address,group,method,probe\nb.example,,east,sol,\nA.example.,192.0.2.1,,wake,22\n", file);
    fclose(file);
    assert_int_equal(inventory_load(&inventory, name, NULL, problems, pool), APR_SUCCESS);
    unlink(name);

    result = inventory_publish(inventory, &edition, connection, "worker-1", pool);
    assert_int_equal(result.outcome, JOBS_REFUSED);
    assert_string_equal(result.text, "a newer one is published");
    assert_ptr_equal(seen.connection, connection);
    assert_string_equal(seen.worker, "worker-1");
    assert_string_equal(seen.digest, "the digest");
    assert_int_equal(seen.written, 1234);

    assert_int_equal(seen.systems->nelts, 2);
    assert_string_equal(published(0)->system, "a.example");
    assert_string_equal(published(0)->group, "default");
    assert_string_equal(published(0)->method, "wake");
    assert_int_equal(published(0)->keys->nelts, 2);
    assert_string_equal(key(0, 0), "a.example");
    assert_string_equal(key(0, 1), "192.0.2.1");
    assert_string_equal(published(1)->system, "b.example");
    assert_string_equal(published(1)->group, "east");
    assert_string_equal(published(1)->method, "sol");
    assert_int_equal(published(1)->keys->nelts, 1);
}

static int setup(void **state)
{
    return apr_pool_create((apr_pool_t **)state, NULL);
}

static int teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_published, setup, teardown)};

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
