/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the jobs room share: a Redis with the library and an inventory, callers, submissions. */
#ifndef AMTUNLOCK_TESTS_JOBS_FIXTURE_H
#define AMTUNLOCK_TESTS_JOBS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jobs/jobs.h"
#include "redis_server.h"

#define JOBS_TEST_BUDGET apr_time_from_msec(2000)
#define JOBS_TEST_DIGEST "digest-1"

typedef struct {
    redis_server_t server;
    apr_pool_t *pool; /* of a test */
    jobs_pool_t *jobs;
    jobs_client_t *client;
    jobs_caller_t alice; /* may unlock floor1: pc1.example (10.0.0.1), pc2.example */
    jobs_caller_t root;  /* may unlock everything and reads every job */
} jobs_fixture_t;

extern jobs_fixture_t jobs_test;

/* For cmocka: once a program, and around each test. A test begins with an empty Redis that has the library
 * and the inventory. */
int jobs_fixture_start(void **state);
int jobs_fixture_stop(void **state);
int jobs_fixture_begin(void **state);
int jobs_fixture_end(void **state);

#define LAST ((const char *)NULL) /* ends the lists that follow */

apr_array_header_t *texts_of(const char *first, ...);
jobs_submission_t submission_of(const char *message_id, const char *first, ...);
/* Fails the test unless it is taken. */
const char *submit_one(const jobs_caller_t *caller, const char *first);

#define assert_outcome(result, expected)                                                                     \
    do {                                                                                                     \
        jobs_result_t got_ = (result);                                                                       \
        if (got_.outcome != (expected))                                                                      \
            fail_msg("outcome %d, not %d: %s", got_.outcome, (int)(expected), got_.text);                    \
    } while (0)

#endif
