/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulation is going to do: jobs and faults, all from a seed. A smaller plan keeps some of them only; what it
 * keeps, it keeps as it was. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_PLAN_H
#define AMTUNLOCK_TESTS_SIMULATE_PLAN_H

#include "pcs.h"

#define PLAN_JOBS 12
#define PLAN_FAULTS 32
#define PLAN_WORKERS 3
#define PLAN_SYSTEMS 24 /* of a job */

typedef enum {
    FAULT_KILL,          /* of a worker: at a time */
    FAULT_KILL_AT_POINT, /* or when it passes a failpoint for the nth time */
    FAULT_PAUSE,         /* SIGSTOP, or its machine sleeps */
    FAULT_PAUSE_AT_POINT,
    FAULT_STOP,        /* SIGTERM, and it is started again */
    FAULT_RELOAD,      /* SIGHUP */
    FAULT_STEP_WORKER, /* its wall clock is set */
    FAULT_DISK_FULL,   /* of its audit record */
    FAULT_LOSES,       /* half of its exchanges with Redis are lost, on the way there or back */
    FAULT_HTTPD_LOSES,
    FAULT_FREEZE,       /* Redis answers nothing, and then all */
    FAULT_RESTART,      /* Redis is started again, with all its data */
    FAULT_ROLL_BACK,    /* or with an older copy of them */
    FAULT_STEP_REDIS,   /* its clock is set */
    FAULT_CANNOT_WRITE, /* its disk is full */
    FAULT_UNREACHABLE,  /* a PC's AMT */
    FAULT_FORGETS,      /* half of its answers are lost */
    FAULT_SLOW,
    FAULT_NOT_NOW, /* it does no power request for now, and says so */
    FAULT_REFUSES,
    FAULT_NEVER_BOOTS,
    FAULT_CUT,  /* its sessions end */
    FAULT_DEAF, /* its serial port takes nothing */
    FAULT_STOP_AT_POINT,
    FAULT_DISK_FULL_AT_POINT,
    FAULT_OTHER_KEY,  /* a worker has another proof key from then on */
    FAULT_OLD_SCHEMA, /* a worker is killed that was of an older version: what it held has no marks */
    FAULTS
} fault_e;

typedef struct {
    fault_e kind;
    apr_time_t at;
    apr_interval_time_t duration;
    int target; /* a worker or a PC */
    int nth;
    const char *point;
    apr_interval_time_t amount; /* a clock is set by so much */
    int kept;
} fault_t;

typedef struct {
    apr_time_t at;
    apr_time_t cancel_at; /* 0: never */
    int count;
    int systems[PLAN_SYSTEMS];
    int kept[PLAN_SYSTEMS];
} job_t;

typedef struct {
    apr_uint64_t seed;
    int workers;
    int job_count, fault_count;
    job_t jobs[PLAN_JOBS];
    fault_t faults[PLAN_FAULTS];
} plan_t;

/* `calm`: no fault. */
void plan_make(plan_t *plan, apr_uint64_t seed, int calm);

/* Leaves out the faults whose name does not begin so: "kill", "Redis". */
void plan_only(plan_t *plan, const char *name);

/* It strikes when a failpoint is passed. */
int plan_is_at_point(const fault_t *fault);
/* Its elements, faults first, then each system of each job; for the shrinker. */
int plan_elements(const plan_t *plan);
int plan_is_fault(const plan_t *plan, int element);
/* Keeps these elements only. */
void plan_keep(plan_t *plan, const int *elements, int count);
int plan_tasks(const plan_t *plan);

/* "f0 f3 t1.0 t1.4": what is kept, and back. 0: that is no such text. */
void plan_write_kept(const plan_t *plan, char *text, size_t size);
int plan_read_kept(plan_t *plan, const char *text);
/* What it is about to do, a line each. */
void plan_tell(const plan_t *plan);

#endif
