/* SPDX-License-Identifier: Apache-2.0 */
/* What judges are given, and how they report: for findings.c and findings_account.c. */
#ifndef AMTUNLOCK_PREFLIGHT_FINDINGS_REPORT_PRIV_H
#define AMTUNLOCK_PREFLIGHT_FINDINGS_REPORT_PRIV_H

#include "preflight/findings_priv.h"

typedef struct {
    const facts_t *facts;
    const dry_run_t *dry_run;
    const unlock_t *unlock; /* the dry run's */
    apr_array_header_t *list;
    apr_pool_t *pool;
} findings_t;

__attribute__((format(printf, 4, 5))) void findings_say(findings_t *findings, finding_subject_e subject,
                                                        finding_level_e level, const char *format, ...);
/* Adds what to mend, where the reason's table says it better than `text`. */
void findings_fail(findings_t *findings, finding_subject_e subject, jobs_reason_e reason, const char *text);

/* Whether a read was answered with what was asked for; whether it was refused for want of a realm. */
int findings_saw(const findings_t *findings, amt_read_e kind);
int findings_denied(const findings_t *findings, amt_read_e kind);

/* findings_account.c: what the account may do, and should not. */
void findings_judge_account(findings_t *findings);

#endif
