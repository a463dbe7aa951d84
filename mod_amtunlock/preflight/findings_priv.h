/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator should know of a PC before its first unlock: findings, from the facts that check.c
 * collected. */
#ifndef AMTUNLOCK_PREFLIGHT_FINDINGS_PRIV_H
#define AMTUNLOCK_PREFLIGHT_FINDINGS_PRIV_H

#include <apr_tables.h>

#include "preflight/dry_run_priv.h"

typedef enum { FINDING_OK, FINDING_WARNING, FINDING_FAILED, FINDING_LEVELS } finding_level_e;

/* In the order in which they are printed. */
typedef enum {
    FINDING_ADDRESS,
    FINDING_LOGIN,
    FINDING_PASSPHRASE,
    FINDING_TLS,
    FINDING_IDENTITY,
    FINDING_FIRMWARE,
    FINDING_ACCOUNT,
    FINDING_CONTROL,
    FINDING_REDIRECTION,
    FINDING_BOOT,
    FINDING_METHODS,
    FINDING_POWER,
    FINDING_PROBE,
    FINDING_SUBJECTS
} finding_subject_e;

typedef struct {
    finding_subject_e subject;
    finding_level_e level;
    jobs_reason_e reason; /* FINDING_FAILED: an unlock would end so */
    const char *text;
} finding_t;

/* finding_t, in the order of their subjects. What could not be read has none. */
apr_array_header_t *findings_of(const facts_t *facts, const dry_run_t *dry_run, apr_pool_t *pool);

/* "failed", "account" */
const char *finding_level_name(finding_level_e level);
const char *finding_subject_name(finding_subject_e subject);

#endif
