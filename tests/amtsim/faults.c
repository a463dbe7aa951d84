/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <string.h>

static const char *const names[FAULT_COUNT] = {
    [FAULT_BLACK_HOLE] = "black-hole",
    [FAULT_SILENT] = "silent",
    [FAULT_ASLEEP] = "asleep",
    [FAULT_REFUSED] = "refused",
    [FAULT_RESET] = "reset",
    [FAULT_SLOW] = "slow",
    [FAULT_AUTH_FAILS] = "auth-fails",
    [FAULT_WRONG_CERTIFICATE] = "wrong-certificate",
    [FAULT_WRONG_UUID] = "wrong-uuid",
    [FAULT_SESSION_BUSY] = "session-busy",
    [FAULT_CONSENT] = "consent",
    [FAULT_GARBAGE] = "garbage",
    [FAULT_ENDLESS] = "endless",
    [FAULT_HALF_IDER] = "half-ider",
    [FAULT_NO_PROMPT] = "no-prompt",
    [FAULT_NO_BOOT_DEVICE] = "no-boot-device",
    [FAULT_WRONG_PASSPHRASE] = "wrong-passphrase",
    [FAULT_SWITCHED_ON] = "switched-on",
    [FAULT_POWER_LOST] = "power-lost",
    [FAULT_POWER_IGNORED] = "power-ignored",
    [FAULT_NOISE] = "noise",
    [FAULT_BABBLE] = "babble",
    [FAULT_BABBLE_CONSOLE] = "babble-console",
    [FAULT_BABBLE_DRIVE] = "babble-drive",
    [FAULT_DRIVE_BUSY] = "drive-busy",
    [FAULT_READ_ERROR] = "read-error",
    [FAULT_NO_SYSTEM] = "no-system",
    [FAULT_STANDBY] = "standby",
    [FAULT_DAMAGED_IMAGE] = "damaged-image",
    [FAULT_NO_DISK] = "no-disk",
    [FAULT_DISK_ERROR] = "disk-error",
    [FAULT_DISK_HANGS] = "disk-hangs",
    [FAULT_DISK_FOREIGN] = "disk-foreign",
    [FAULT_DISK_LOCKED_OUT] = "disk-locked-out",
    [FAULT_DISK_EMPTY] = "disk-empty",
    [FAULT_DAMAGED_SEAL] = "damaged-seal",
    [FAULT_STARTS_AGAIN] = "starts-again",
    [FAULT_OTHER_VERSION] = "other-version",
    [FAULT_FORGED_HELLO] = "forged-hello",
    [FAULT_FORGED_RESULT] = "forged-result",
    [FAULT_FLOOD] = "flood",
    [FAULT_ENDLESS_HEAD] = "endless-head",
    [FAULT_ENDLESS_CHALLENGE] = "endless-challenge",
    [FAULT_DRIP] = "drip",
    [FAULT_ELEMENTS] = "elements",
    [FAULT_TWO_DIGESTS] = "two-digests",
    [FAULT_BREAKS_TLS13] = "breaks-tls13",
    [FAULT_HEAVY_KEY] = "heavy-key",
    [FAULT_HEAVY_CHAIN] = "heavy-chain",
    [FAULT_HELLO_REQUESTS] = "hello-requests",
    [FAULT_KEY_UPDATES] = "key-updates",
    [FAULT_ESCAPES] = "escapes",
    [FAULT_REDIRECTS] = "redirects",
    [FAULT_CHALLENGES] = "challenges",
    [FAULT_HALF_ANSWERS] = "half-answers",
    [FAULT_TLS_GARBAGE] = "tls-garbage",
    [FAULT_DROPS_SESSION] = "drops-session",
    [FAULT_NOT_NOW_400] = "not-now-400",
    [FAULT_NOT_NOW_503] = "not-now-503",
    [FAULT_NOT_NOW_FAULT] = "not-now-fault",
    [FAULT_NOT_READY] = "not-ready",
    [FAULT_STALE_POWER_LIST] = "stale-power-list",
    [FAULT_CONSOLE_CUT] = "console-cut",
    [FAULT_CONSOLE_CUT_AT_PROMPT] = "console-cut-at-prompt",
};

enum fault fault_by_name(const char *name)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (!strcmp(names[i], name))
            return (enum fault)i;
    }
    return FAULT_COUNT;
}

const char *fault_name(enum fault fault)
{
    return names[fault];
}
