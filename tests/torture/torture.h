/* SPDX-License-Identifier: Apache-2.0 */
/* One call fails, and everything is looked at: every memory allocation and every system call of a scenario,
 * one at a time, each time in a process of its own.
 *
 * The program defines malloc() and the calls of the C library that may fail, so that all libraries go through
 * them. While a scenario is under way they are counted; one of them fails, in each way that is
 * realistic for it. A pool and jansson may end the process where they have no memory, with a message
 * (base/oom.h); everything else must end as an error that says so, or not be noticed at all.
 */
#ifndef AMTUNLOCK_TESTS_TORTURE_H
#define AMTUNLOCK_TESTS_TORTURE_H

#include <apr_pools.h>

/* What a scenario says of its run. */
typedef enum {
    TORTURE_WELL,   /* all was done */
    TORTURE_REFUSED /* an error was given, which check() then holds against what was done */
} torture_verdict_e;

/* A scenario may be run again and again in one process; all but run() is spared. The pool of run() is gone
 * when check() is called, with another. */
typedef struct {
    const char *name;
    int (*start)(apr_pool_t *pool);  /* once; NULL: nothing to start. 0, or -1 and it is not run */
    void (*stop)(void);              /* once; may be NULL */
    void (*reset)(apr_pool_t *pool); /* before each run; may be NULL */
    torture_verdict_e (*run)(apr_pool_t *pool);
    void (*check)(torture_verdict_e said, apr_pool_t *pool); /* after each run; may be NULL */
    void (*ended)(apr_pool_t *pool); /* instead, where the process of the run ended for want of memory: in
                                        another process; may be NULL */
} torture_scenario_t;

/* Within run(): what follows is spared, so that it may look at what was done. */
void torture_spare(void);

/* A promise is broken: says so and ends this process. */
void torture_broken(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
#define TORTURE_BROKEN(...) torture_broken(__FILE__, __LINE__, __VA_ARGS__)
#define TORTURE_HOLDS(condition)                                                                             \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            TORTURE_BROKEN("does not hold: %s", #condition);                                                 \
        }                                                                                                    \
    } while (0)
/* An error was given, and it says something. */
#define TORTURE_SAYS(text) TORTURE_HOLDS((text) != NULL && (text)[0] != '\0')

/* A folder for the scenario's files, made and removed by the driver. */
const char *torture_folder(void);
/* Writes a new file. */
void torture_write(const char *file, const char *text, int mode);

/* The scenarios, in the order run; NULL ends the list. */
extern const torture_scenario_t *const torture_scenarios[];

#endif
