/* SPDX-License-Identifier: Apache-2.0 */
/* See findings_report_priv.h. */
#include "preflight/findings_report_priv.h"

#include <stdarg.h>

#include <apr_strings.h>

static void findings_add(findings_t *findings, finding_subject_e subject, finding_level_e level,
                         jobs_reason_e reason, const char *text)
{
    finding_t *finding = apr_array_push(findings->list);

    *finding = (finding_t){.subject = subject, .level = level, .reason = reason, .text = text};
}

void findings_say(findings_t *findings, finding_subject_e subject, finding_level_e level, const char *format,
                  ...)
{
    va_list values;

    va_start(values, format);
    findings_add(findings, subject, level, JOBS_REASON_NONE, apr_pvsprintf(findings->pool, format, values));
    va_end(values);
}

/* Sentences about the others say themselves what to mend. */
static int wants_advice(jobs_reason_e reason)
{
    static const jobs_reason_e reasons[] = {JOBS_REASON_CONSENT_REQUIRED, JOBS_REASON_BUSY,
                                            JOBS_REASON_NO_BOOT_DEVICE,   JOBS_REASON_NO_SECRET,
                                            JOBS_REASON_ALREADY_ON,       JOBS_REASON_NOT_VERIFIED};

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i] == reason) {
            return 1;
        }
    }
    return 0;
}

void findings_fail(findings_t *findings, finding_subject_e subject, jobs_reason_e reason, const char *text)
{
    const char *advice = wants_advice(reason) ? jobs_reason(reason)->action : "";

    findings_add(findings, subject, FINDING_FAILED, reason,
                 apr_pstrcat(findings->pool, text, advice[0] ? ". " : "", advice, NULL));
}

int findings_saw(const findings_t *findings, amt_read_e kind)
{
    return findings->facts->asked[kind] && findings->facts->results[kind].status == AMT_OK;
}

int findings_denied(const findings_t *findings, amt_read_e kind)
{
    return findings->facts->asked[kind] && findings->facts->results[kind].denied;
}
