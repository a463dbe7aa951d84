/* SPDX-License-Identifier: Apache-2.0 */
#include "drive.h"

#include "ider.h"
#include "log.h"
#include "nbd.h"

#include <stdlib.h>

#define BLOCK 2048U
#define BLOCKS_MAX 2097152U /* 4 GiB */
#define LOOKED_AT 65536U    /* bytes: volume descriptors, the boot catalog, and the sectors around them */
#define TRIES 10            /* of a command that is not answered well */
#define WAITS 200           /* for the session to take a command */
#define RETRY_US 50000

enum { TEST_UNIT_READY = 0x00, READ_CAPACITY = 0x25, READ_10 = 0x28 };
enum { SENSE_NOT_READY = 2, SENSE_ATTENTION = 6 };
#define ASC_NO_MEDIUM 0x3a

struct cd_drive {
    struct event_base *loop;
    struct event retry;
    const struct drive_events *events;
    struct nbd *nbd; /* NULL: nobody reads from it yet */
    struct ider_command command;
    unsigned tries, waits;
    uint32_t blocks;
    uint64_t read; /* bytes so far */
    bool running;
};

static void on_answer(struct pc *pc, const struct ider_answer *answer);

static bool complain(const struct pc *pc, const char *what)
{
    log_event(pc->fqdn, "ider-violation", json_pack("{s:s}", "what", what));
    return false;
}

/* ---- one command, until it is answered ------------------------------------------------------------------- */

static void retry(struct cd_drive *drive)
{
    const struct timeval later = {0, RETRY_US};

    event_add(&drive->retry, &later);
}

static void fail(struct pc *pc)
{
    if (pc->drive->nbd)
        nbd_refuse(pc->drive->nbd, NBD_EIO);
    else
        pc->drive->events->found(pc, false);
}

/* The session takes one command at a time, and none before the console has answered the host's reset. */
static void run(struct pc *pc)
{
    struct cd_drive *drive = pc->drive;

    if (!ider_is_there(pc) || (!drive->nbd && pc_has(pc, FAULT_NO_BOOT_DEVICE)))
        fail(pc);
    else if (ider_run(pc, &drive->command, on_answer))
        drive->waits = 0;
    else if (drive->waits++ < WAITS)
        retry(drive);
    else
        fail(pc);
}

static void begin(struct pc *pc, const struct ider_command *command)
{
    pc->drive->command = *command;
    pc->drive->tries = 0;
    pc->drive->waits = 0;
    run(pc);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    run(arg);
}

/* ---- who are you? ---------------------------------------------------------------------------------------- */

static void take_ready(struct pc *pc)
{
    const struct ider_command capacity = {.drive = DRIVE_CD, .cdb = {READ_CAPACITY}, .max = 8};

    begin(pc, &capacity);
}

static uint32_t big32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void take_capacity(struct pc *pc, const struct ider_answer *answer)
{
    uint32_t last = answer->size == 8 ? big32(answer->data) : UINT32_MAX;
    bool sane = last < BLOCKS_MAX && big32(answer->data + 4) == BLOCK;

    if (sane)
        pc->drive->blocks = last + 1;
    else
        complain(pc, "READ CAPACITY does not tell the size of a CD");
    pc->drive->events->found(pc, sane);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static void note_read(struct pc *pc, const struct ider_answer *answer)
{
    struct cd_drive *drive = pc->drive;

    log_event(pc->fqdn, "ider-read",
              json_pack("{s:I, s:I}", "lba", (json_int_t)big32(drive->command.cdb + 2), "bytes",
                        (json_int_t)answer->size));
    drive->read += answer->size;
    if (drive->running || drive->read <= LOOKED_AT)
        return;
    drive->running = true;
    log_event(pc->fqdn, "image", json_pack("{s:I}", "bytes", (json_int_t)drive->blocks * BLOCK));
    drive->events->runs(pc);
}

static void take_blocks(struct pc *pc, const struct ider_answer *answer)
{
    if (answer->size != pc->drive->command.max) {
        complain(pc, "READ(10) does not give the blocks asked for");
        fail(pc);
        return;
    }
    note_read(pc, answer);
    nbd_give(pc->drive->nbd, answer->data);
}

/* What goes wrong when half of it was read; false: nothing does. */
static bool fails_halfway(struct pc *pc)
{
    if (pc->drive->read < (uint64_t)pc->drive->blocks * BLOCK / 2)
        return false;
    if (pc_has(pc, FAULT_BABBLE_DRIVE))
        ider_babble(pc);
    else if (pc_has(pc, FAULT_READ_ERROR))
        fail(pc);
    else
        return pc_has(pc, FAULT_HALF_IDER); /* it is never answered */
    return true;
}

static void on_read(void *owner, uint64_t offset, uint32_t length)
{
    struct pc *pc = owner;
    uint32_t from = (uint32_t)(offset / BLOCK), count = length / BLOCK;
    struct ider_command command = {.drive = DRIVE_CD, .dma = true, .cdb = {READ_10}, .max = length};

    for (int i = 0; i < 4; i++)
        command.cdb[2 + i] = (uint8_t)(from >> (24 - 8 * i));
    command.cdb[7] = (uint8_t)(count >> 8);
    command.cdb[8] = (uint8_t)count;
    if (!fails_halfway(pc))
        begin(pc, &command);
}

/* ---- answers --------------------------------------------------------------------------------------------- */

/* A medium that was just put in says so, and a command that a reset cut off was not answered at all: like any
 * system, ask again. */
static bool may_be_asked_again(struct pc *pc, const struct ider_answer *answer)
{
    if (answer && answer->sense != SENSE_ATTENTION &&
        (answer->sense != SENSE_NOT_READY || answer->asc == ASC_NO_MEDIUM))
        return false;
    return ider_is_there(pc) && ++pc->drive->tries < TRIES;
}

static void on_answer(struct pc *pc, const struct ider_answer *answer)
{
    struct cd_drive *drive = pc->drive;

    if (!answer || !answer->good) {
        if (may_be_asked_again(pc, answer))
            retry(drive);
        else
            fail(pc);
    }
    else if (drive->command.cdb[0] == TEST_UNIT_READY) {
        take_ready(pc);
    }
    else if (drive->command.cdb[0] == READ_CAPACITY) {
        take_capacity(pc, answer);
    }
    else {
        take_blocks(pc, answer);
    }
}

/* ---- for the others -------------------------------------------------------------------------------------- */

void drive_find(struct event_base *loop, struct pc *pc, const struct drive_events *events)
{
    drive_stop(pc);
    pc->drive = calloc(1, sizeof(*pc->drive));
    if (!pc->drive) {
        events->found(pc, false);
        return;
    }
    pc->drive->loop = loop;
    pc->drive->events = events;
    pc->drive->command.drive = DRIVE_CD; /* and TEST UNIT READY, which is all zeros */
    event_assign(&pc->drive->retry, loop, -1, 0, on_retry, pc);
    event_active(&pc->drive->retry, EV_TIMEOUT, 1);
}

void drive_serve(struct pc *pc, int fd)
{
    struct cd_drive *drive = pc->drive;

    drive->nbd = nbd_open(drive->loop, fd, (uint64_t)drive->blocks * BLOCK, BLOCK, on_read, pc);
}

void drive_stop(struct pc *pc)
{
    if (!pc->drive)
        return;
    ider_forget(pc);
    event_del(&pc->drive->retry);
    nbd_close(pc->drive->nbd);
    free(pc->drive);
    pc->drive = NULL;
}
