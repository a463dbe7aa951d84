/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a plan: workers, an httpd with its consoles, and the faults. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_WORLD_H
#define AMTUNLOCK_TESTS_SIMULATE_WORLD_H

#include "judge.h"
#include "plan.h"

typedef struct {
    char breach[600]; /* "": none */
    judge_figures_t figures;
    apr_uint64_t trace, events;
    apr_time_t lasted; /* virtual */
} outcome_t;

/* Once: reads settings and inventory, which it writes into `folder`. NULL, or what is wrong. */
const char *world_prepare(const char *folder, apr_pool_t *pool);
/* Once a process: nothing that it made is given back. */
void world_run(const plan_t *plan, outcome_t *outcome, apr_pool_t *pool);

#endif
