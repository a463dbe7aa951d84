/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the way of a redirection session and a passphrase on a PC, by what was read of it. */
#include <string.h>

#include "unlock/intent.h"
#include "unlock/unlock.h"

/* Only a verified peer gets a passphrase. */
static int is_unverified(const unlock_t *unlock)
{
    int verified = unlock->system->tls == INVENTORY_TLS_CA || unlock->system->tls == INVENTORY_TLS_PIN;

    return unlock->method->types && !verified;
}

static int needs_consent(const unlock_t *unlock)
{
    return unlock->facts.consent.needed;
}

static int has_no_console(const unlock_t *unlock)
{
    return (unlock->method->boot & AMT_START_SOL) && !unlock->facts.capabilities.sol;
}

static int has_no_drive(const unlock_t *unlock)
{
    return (unlock->method->boot & AMT_START_IMAGE) && !unlock->facts.capabilities.storage;
}

/* What a lost worker has set is ours. */
static int is_overridden(const unlock_t *unlock)
{
    int ours = unlock->plan.boot != 0 &&
               strcmp(unlock->facts.boot.summary, intent_boot_name(unlock->plan.boot)) == 0;

    return unlock->facts.boot.overridden && !ours;
}

static const struct {
    int (*stands)(const unlock_t *unlock);
    jobs_reason_e reason;
    const char *text;
} obstacles[] = {
    {is_unverified, JOBS_REASON_TLS_UNTRUSTED,
     "a passphrase goes only over verified TLS: give the system tls ca or pin:<sha256>"},
    {needs_consent, JOBS_REASON_CONSENT_REQUIRED,
     "redirection needs the consent of the user at the PC (client control mode, or consent for all)"},
    {has_no_console, JOBS_REASON_AMT_FAULT, "its firmware says that it has no Serial-over-LAN"},
    {has_no_drive, JOBS_REASON_NO_BOOT_DEVICE,
     "its firmware says that it cannot boot by storage redirection"},
    {is_overridden, JOBS_REASON_BUSY, "another console has set how it starts next time"},
};

jobs_reason_e unlock_next_obstacle(const unlock_t *unlock, size_t *at, const char **text)
{
    while (*at < sizeof(obstacles) / sizeof(obstacles[0])) {
        size_t i = (*at)++;

        if (obstacles[i].stands(unlock)) {
            *text = obstacles[i].text;
            return obstacles[i].reason;
        }
    }
    return JOBS_REASON_NONE;
}
