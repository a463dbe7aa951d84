/* SPDX-License-Identifier: Apache-2.0 */
/* See addresses_priv.h. */
#include "unlock/addresses_priv.h"

#include <string.h>

#include <apr_strings.h>

#include "base/log.h"
#include "unlock/intent.h"

void unlock_use_address(unlock_t *unlock, int at)
{
    unlock->address_at = at;
    apr_cpystrn(unlock->address, unlock->addresses.text[at], sizeof(unlock->address));
    if (unlock->system->probe_host == NULL) {
        unlock->probe_addresses.count = 1;
        apr_cpystrn(unlock->probe_addresses.text[0], unlock->address, RESOLVE_ADDRESS_MAX);
    }
}

int unlock_first_address(const unlock_t *unlock)
{
    const char *kept = unlock->task->taken_over ? intent_address(unlock->task->intent, unlock->pool) : NULL;

    for (int i = 0; kept != NULL && i < unlock->addresses.count; i++) {
        if (strcmp(unlock->addresses.text[i], kept) == 0) {
            return i;
        }
    }
    return 0;
}

static void keep_failure(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    if (unlock->address_reason == JOBS_REASON_NONE || unlock->address_reason == JOBS_REASON_UNREACHABLE) {
        unlock->address_reason = reason;
        apr_cpystrn(unlock->address_text, text, sizeof(unlock->address_text));
    }
}

int unlock_next_address(unlock_t *unlock, jobs_reason_e reason, const char *text)
{
    int count = unlock->addresses.count;

    if (count < 2 || reason == JOBS_REASON_AUTH_FAILED || reason == JOBS_REASON_INTERNAL) {
        return 0;
    }
    keep_failure(unlock, reason, text);
    /* What was read from the device at the last one is not the next one's. */
    unlock->ops->rest(unlock);
    unlock->authenticated = 0;
    memset(&unlock->facts, 0, sizeof(unlock->facts));
    unlock->addresses_tried++;
    unlock_use_address(unlock, (unlock->address_at + 1) % count);
    if (unlock->addresses_tried % count == 0) {
        return 0;
    }
    log_info("AMTU0560", "tries the next address of its name", "system", unlock->task->ref.system, "address",
             unlock->address, "reason", jobs_reason(reason)->code, "text", text);
    return 1;
}

void unlock_judge_addresses(const unlock_t *unlock, jobs_reason_e *reason, const char **text)
{
    if (*reason == JOBS_REASON_UNREACHABLE && unlock->address_reason != JOBS_REASON_NONE) {
        *reason = unlock->address_reason;
        *text = unlock->address_text;
    }
    if (unlock->addresses.count > 1 && *reason != JOBS_REASON_AUTH_FAILED) {
        *text =
            apr_psprintf(unlock->pool, "none of its %d addresses served: %s", unlock->addresses.count, *text);
    }
}

int unlock_may_probe(const unlock_t *unlock)
{
    return unlock->system->probe_port != 0 && unlock->probe_addresses.count > 0 &&
           (unlock->system->probe_host != NULL || unlock->identified || unlock->addresses.count == 1);
}
