/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs_fixture.h"

#include <stdlib.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "jobs/name.h"

jobs_fixture_t jobs_test;

static apr_array_header_t *texts_of_list(const char *first, va_list more)
{
    apr_array_header_t *texts = apr_array_make(jobs_test.pool, 4, sizeof(const char *));
    for (const char *text = first; text; text = va_arg(more, const char *))
        APR_ARRAY_PUSH(texts, const char *) = text;
    return texts;
}

apr_array_header_t *texts_of(const char *first, ...)
{
    va_list more;
    va_start(more, first);
    apr_array_header_t *texts = texts_of_list(first, more);
    va_end(more);
    return texts;
}

jobs_submission_t submission_of(const char *message_id, const char *first, ...)
{
    va_list more;
    va_start(more, first);
    const apr_array_header_t *texts = texts_of_list(first, more);
    va_end(more);
    apr_array_header_t *names = apr_array_make(jobs_test.pool, 4, sizeof(jobs_name_t));
    for (int i = 0; i < texts->nelts; i++) {
        jobs_name_t *name = apr_array_push(names);
        name->spelling = APR_ARRAY_IDX(texts, i, const char *);
        name->key = jobs_name_key(name->spelling, jobs_test.pool);
        assert_non_null(name->key);
    }
    jobs_submission_t submission = {.names = names,
                                    .message_id = message_id,
                                    .retention = apr_time_from_sec(1800),
                                    .start_within = apr_time_from_sec(3600)};
    return submission;
}

const char *submit_one(const jobs_caller_t *caller, const char *first)
{
    jobs_submission_t submission = submission_of(NULL, first, LAST);
    const char *id = NULL;
    assert_outcome(jobs_submit(jobs_test.jobs, caller, &submission, &id, NULL, jobs_test.pool), JOBS_OK);
    return id;
}

int jobs_fixture_start(void **state)
{
    (void)state;
    apr_initialize();
    atexit(apr_terminate);
    return redis_server_start(&jobs_test.server);
}

int jobs_fixture_stop(void **state)
{
    (void)state;
    redis_server_remove(&jobs_test.server);
    return 0;
}

static void add_system(apr_array_header_t *systems, const char *system, const char *group,
                       apr_array_header_t *keys)
{
    jobs_published_t *published = apr_array_push(systems);
    *published = (jobs_published_t){.system = system, .group = group, .method = "wake", .keys = keys};
}

static apr_array_header_t *inventory(void)
{
    apr_array_header_t *systems = apr_array_make(jobs_test.pool, 4, sizeof(jobs_published_t));
    add_system(systems, "pc1.example", "floor1", texts_of("pc1.example", "10.0.0.1", LAST));
    add_system(systems, "pc2.example", "floor1", texts_of("pc2.example", LAST));
    add_system(systems, "vault.example", "safe", texts_of("vault.example", LAST));
    return systems;
}

int jobs_fixture_begin(void **state)
{
    const jobs_pool_limits_t limits = {4, 2, JOBS_TEST_BUDGET, JOBS_TEST_BUDGET};
    jobs_fixture_t *f = &jobs_test;
    (void)state;
    if (redis_server_flush(&f->server) || apr_pool_create(&f->pool, NULL) != APR_SUCCESS)
        return -1;
    f->alice = (jobs_caller_t){.name = "alice@EXAMPLE", .peer = "192.0.2.1", .mechanism = "krb5"};
    f->alice.groups = texts_of("floor1", LAST);
    f->root =
        (jobs_caller_t){.name = "root@EXAMPLE", .peer = "192.0.2.2", .mechanism = "proxy", .reads_all = 1};
    f->root.groups = texts_of("*", LAST);
    if (jobs_pool_create(&f->jobs, &f->server.web, &limits, f->pool) != APR_SUCCESS ||
        jobs_client_create(&f->client, &f->server.worker, JOBS_TEST_BUDGET, f->pool) != APR_SUCCESS)
        return -1;
    assert_outcome(jobs_library_load(f->client), JOBS_OK);
    assert_outcome(jobs_publish(f->client, "w1", &(jobs_edition_t){JOBS_TEST_DIGEST, 1000, "host"},
                                inventory(), f->pool),
                   JOBS_OK);
    return 0;
}

int jobs_fixture_end(void **state)
{
    (void)state;
    apr_pool_destroy(jobs_test.pool);
    return 0;
}
