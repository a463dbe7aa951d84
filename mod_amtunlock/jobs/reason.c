/* SPDX-License-Identifier: Apache-2.0 */
/* The table of reasons. */
#include "jobs/reason.h"

#include <stddef.h>
#include <string.h>

static const jobs_reason_t reasons[JOBS_REASONS] = {
    [JOBS_REASON_NONE] = {"", "", ""},
    [JOBS_REASON_NOT_AVAILABLE] =
        {"not-available", "The system is not available to this caller.",
         "Check the name, and that the system is in a group this caller may unlock."},
    [JOBS_REASON_UNREACHABLE] = {"unreachable", "Intel AMT of the system could not be reached.",
                                 "Check that it has mains power and network, and its address and AMT ports."},
    [JOBS_REASON_TLS_UNTRUSTED] =
        {"tls-untrusted",
         "The system's TLS certificate is not trusted, or the way to it is not protected as its method needs.",
         "Check the AMT certificate, its name, and the CA file or pin of the system."},
    [JOBS_REASON_AUTH_FAILED] =
        {"auth-failed", "Intel AMT refused the login, or no Kerberos ticket was to be had.",
         "See the worker's log; check the AMT user, its password and its realms; wait "
         "before trying again, since firmware locks accounts."},
    [JOBS_REASON_AMT_FAULT] =
        {"amt-fault", "Intel AMT refused a request or gave an answer that makes no sense.",
         "See the worker's log for the answer; check the firmware's version and settings."},
    [JOBS_REASON_CONSENT_REQUIRED] =
        {"consent-required", "Intel AMT asks for the consent of the user at the PC.",
         "Switch user consent off, or provision the system in admin control mode."},
    [JOBS_REASON_BUSY] = {"busy",
                          "Another console has a redirection session or a boot pending on the system.",
                          "Wait until that session has ended, then ask again."},
    [JOBS_REASON_ALREADY_ON] = {"already-on",
                                "The system is running and shows no prompt, so it was left alone.",
                                "Look at the system; restart it there if it hangs."},
    [JOBS_REASON_NO_BOOT_DEVICE] =
        {"no-boot-device", "The system found nothing to boot from.",
         "Check the system's disk, its boot order and its firmware's boot settings."},
    [JOBS_REASON_IMAGE_FAILED] =
        {"image-failed", "The unlock image did not start or did not prove itself.",
         "Check the image, Secure Boot, and that the firmware may boot by redirection."},
    [JOBS_REASON_NO_PROMPT] =
        {"no-prompt", "The prompt for the passphrase did not appear in time.",
         "Check that the system's console goes to serial-over-LAN, and the group's prompt."},
    [JOBS_REASON_WRONG_PASSPHRASE] = {"wrong-passphrase", "The disk did not take the passphrase.",
                                      "Check the passphrase that is kept for this system."},
    [JOBS_REASON_NO_SECRET] = {"no-secret", "No password or passphrase was found for the system.",
                               "Add one where the worker's secrets come from."},
    [JOBS_REASON_NOT_VERIFIED] = {"not-verified",
                                  "It could not be verified that this is the system, or that its "
                                  "disk is unlocked.",
                                  "Check the system's address, UUID and probe in the inventory."},
    [JOBS_REASON_TIMEOUT] = {"timeout", "The unlock was not started, or not ended, in time.",
                             "Check that a worker is running and that the system answers; then ask again."},
    [JOBS_REASON_CANCELLED] = {"cancelled", "The job was cancelled before this system was touched.",
                               "Ask again if the system shall be unlocked after all."},
    [JOBS_REASON_INDETERMINATE] = {"indeterminate",
                                   "A power action may have been sent and its outcome is unknown.",
                                   "Look at the system before asking again."},
    [JOBS_REASON_INTERNAL] = {"internal", "Something went wrong inside the service.",
                              "See the worker's log; report it if the log does not explain it."},
};

const char jobs_left_alone[] =
    "It failed like this several times in a row, so it is left alone for a minute.";

const jobs_reason_t *jobs_reason(jobs_reason_e reason)
{
    if ((int)reason < 0 || reason >= JOBS_REASONS) {
        reason = JOBS_REASON_INTERNAL;
    }
    return &reasons[reason];
}

jobs_reason_e jobs_reason_of_code(const char *code)
{
    if (code == NULL || *code == '\0') {
        return JOBS_REASON_NONE;
    }
    for (int i = 0; i < JOBS_REASONS; i++) {
        if (!strcmp(reasons[i].code, code)) {
            return (jobs_reason_e)i;
        }
    }
    return JOBS_REASON_INTERNAL;
}
