/* SPDX-License-Identifier: Apache-2.0 */
/* Why a system was not unlocked: stable codes that consoles, operators, the audit record and metrics share. A
 * code is never renamed and never reused. */
#ifndef AMTUNLOCK_JOBS_REASON_H
#define AMTUNLOCK_JOBS_REASON_H

typedef enum {
    JOBS_REASON_NONE,
    JOBS_REASON_NOT_AVAILABLE,
    JOBS_REASON_UNREACHABLE,
    JOBS_REASON_TLS_UNTRUSTED,
    JOBS_REASON_AUTH_FAILED,
    JOBS_REASON_AMT_FAULT,
    JOBS_REASON_CONSENT_REQUIRED,
    JOBS_REASON_BUSY,
    JOBS_REASON_ALREADY_ON,
    JOBS_REASON_NO_BOOT_DEVICE,
    JOBS_REASON_IMAGE_FAILED,
    JOBS_REASON_NO_PROMPT,
    JOBS_REASON_WRONG_PASSPHRASE,
    JOBS_REASON_NO_SECRET,
    JOBS_REASON_NOT_VERIFIED,
    JOBS_REASON_TIMEOUT,
    JOBS_REASON_CANCELLED,
    JOBS_REASON_INDETERMINATE,
    JOBS_REASON_INTERNAL,
    JOBS_REASONS
} jobs_reason_e;

typedef struct {
    const char *code;    /* "wrong-passphrase" */
    const char *message; /* what happened, one sentence */
    const char *action;  /* what an operator can do, one sentence */
} jobs_reason_t;

/* The step of a task that was not begun because its PC had failed several times in a row (STEP_LEFT_ALONE of
 * jobs/lua, which decides that). Its reason is that of the last failure. */
#define JOBS_STEP_LEFT_ALONE "left-alone"
extern const char jobs_left_alone[]; /* the message for an operator then, one sentence */

/* Never NULL; an unknown value gives the row of JOBS_REASON_INTERNAL. */
const jobs_reason_t *jobs_reason(jobs_reason_e reason);
/* JOBS_REASON_INTERNAL for a code that is not in the table; JOBS_REASON_NONE for "" or NULL. */
jobs_reason_e jobs_reason_of_code(const char *code);

#endif
