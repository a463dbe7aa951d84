/* SPDX-License-Identifier: Apache-2.0 */
/* Storage redirection (IDE-R, the same on the wire as USB-R): two drives of a PC whose blocks live with the
 * console that opened the session. */
#ifndef AMTSIM_IDER_H
#define AMTSIM_IDER_H

#include "pc.h"

#include <stdint.h>

enum drive { DRIVE_FLOPPY = 0xa0, DRIVE_CD = 0xb0 };

#define CDB_SIZE 12

struct ider_command {
    uint8_t drive;
    bool dma;
    uint8_t cdb[CDB_SIZE];
    size_t max; /* bytes that may come back */
};

/* What came back. With `good` unset: the sense data. */
struct ider_answer {
    bool good;
    uint8_t sense, asc, ascq;
    const uint8_t *data;
    size_t size;
};

/* Told the answer, or NULL when the session ended, was disabled, or did not answer in time. */
typedef void ider_done(struct pc *pc, const struct ider_answer *answer);

/* Are the drives there for the host to see? */
bool ider_is_there(const struct pc *pc);

/* Has the console not answered the host's reset yet? Until then it takes no command. */
bool ider_is_resetting(const struct pc *pc);

/* The host was reset, or got its power: the console is told, and drives that wait for it appear. */
void ider_host_reset(struct pc *pc);

/* Sends a command to a drive, one at a time. False: nobody to send it to; `done` is not called then. */
bool ider_run(struct pc *pc, const struct ider_command *command, ider_done *done);

/* The session sends bytes that are no message. */
void ider_babble(struct pc *pc);

/* Forgets a command that is under way: its answer will be thrown away. */
void ider_forget(struct pc *pc);

#endif
