/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which a simulated PC can misbehave, by the names the command line and the control socket use.
 */
#ifndef AMTSIM_FAULTS_H
#define AMTSIM_FAULTS_H

enum fault {
    FAULT_BLACK_HOLE,
    FAULT_SILENT,
    FAULT_REFUSED,
    FAULT_RESET,
    FAULT_SLOW,
    FAULT_AUTH_FAILS,
    FAULT_WRONG_CERTIFICATE,
    FAULT_WRONG_UUID,
    FAULT_SESSION_BUSY,
    FAULT_CONSENT,
    FAULT_GARBAGE,
    FAULT_ENDLESS,
    FAULT_HALF_IDER,
    FAULT_NO_PROMPT,
    FAULT_NO_BOOT_DEVICE,
    FAULT_WRONG_PASSPHRASE,
    FAULT_SWITCHED_ON,
    FAULT_POWER_LOST,
    FAULT_POWER_IGNORED,
    FAULT_NOISE,
    FAULT_BABBLE,
    FAULT_BABBLE_CONSOLE,
    FAULT_BABBLE_DRIVE,
    FAULT_DRIVE_BUSY,
    FAULT_READ_ERROR,
    FAULT_NO_SYSTEM,
    FAULT_STANDBY,
    FAULT_DAMAGED_IMAGE,
    FAULT_NO_DISK,
    FAULT_DISK_ERROR,
    FAULT_DISK_HANGS,
    FAULT_DAMAGED_SEAL,
    FAULT_STARTS_AGAIN,
    FAULT_OTHER_VERSION,
    FAULT_FORGED_HELLO,
    FAULT_FORGED_RESULT,
    FAULT_COUNT
};

/* The fault of that name, or FAULT_COUNT. */
enum fault fault_by_name(const char *name);

const char *fault_name(enum fault fault);

#endif
