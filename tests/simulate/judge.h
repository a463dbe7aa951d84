/* SPDX-License-Identifier: Apache-2.0 */
/* The promises, looked at after every step: see README.md for each. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_JUDGE_H
#define AMTUNLOCK_TESTS_SIMULATE_JUDGE_H

#include "pcs.h"
#include "server.h"

/* What a worker sends to a PC. ACT_TAKE_BACK only takes back what stands there. */
typedef enum { ACT_POWER, ACT_TYPE, ACT_SEAL, ACT_WRITE, ACT_TAKE_BACK, ACT_REDRAW, ACT_LINE } act_e;

void judge_begin(apr_pool_t *pool);

/* The bytes of an act leave; `slot` is the slot_t of the gate. Returns what judge_power_done() is told. */
void *judge_act(act_e act, const void *slot, const pc_t *pc);
/* A power request arrived; `refused`: the PC said that it did nothing. */
void judge_power_done(void *act, int refused);
/* A passphrase arrived. */
void judge_typed(void *act, const pc_t *pc);
/* An image was booted, and has read its secret from the drive that was given to it for this job. */
void judge_secret(const pc_t *pc, const char *job);
/* It cannot open a seal. */
void judge_unsealed(const pc_t *pc, const char *wrong);

/* A line of an audit record is on disk. */
void judge_record(const host_t *host, const char *bytes, size_t length);

/* What a console was told of its submission: see jobs_outcome_e. `message`: the digest of its id. `unknown`: it had sent
 * it before, and was told that it may have been done. */
void judge_submitted(const char *message, int outcome, const char *job, int unknown);
/* Nonzero: every task that is known has ended. */
int judge_all_ended(void);
/* At the end: nothing was lost, every record is whole. */
void judge_end(void);
/* The record of a host, to be looked at in the end. */
void judge_file(const char *file);

/* The first breach; NULL: there is none. */
const char *judge_breach(void);
void judge_breaks(const char *rule, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What was seen, for tables. */
typedef struct {
    long tasks, unlocked, failed, cancelled, powers, typed, taken_over, joined, indeterminate,
        excused; /* acts a second time, after a worker had been away when Redis came back older */
} judge_figures_t;
judge_figures_t judge_figures(void);

#endif
