/* SPDX-License-Identifier: Apache-2.0 */
#include "bios.h"

#include "ider.h"
#include "image.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

#define CD_BLOCK 2048U
#define FLOPPY_BLOCK 512U
#define CD_BLOCKS_A_READ 16U
#define FLOPPY_BLOCKS_A_READ 36U /* two tracks */
#define PRIMARY_VOLUME 16U
#define BOOT_RECORD 17U
#define READY_TRIES 5
#define RETRY_US 50000
#define RESET_TRIES 100     /* 5 s for a console to answer the host's reset */
#define BLOCKS_MAX 2097152U /* 4 GiB of CD: larger images are a mistake */

enum {
    TEST_UNIT_READY = 0x00,
    READ_CAPACITY = 0x25,
    READ_10 = 0x28,
    READ_TOC = 0x43,
    GET_CONFIGURATION = 0x46,
    LOG_SELECT = 0x4c
};
enum { SENSE_NOT_READY = 2, SENSE_ILLEGAL = 5, SENSE_ATTENTION = 6 };
enum { ASC_UNKNOWN_COMMAND = 0x20, ASC_OUT_OF_RANGE = 0x21, ASC_NO_MEDIUM = 0x3a };

struct bios {
    struct event retry;
    const struct step *step;
    unsigned tries, reset_tries;
    uint8_t drive;
    uint32_t block, blocks; /* of the drive */
    uint32_t catalog;       /* where El Torito's is */
    uint32_t next;          /* block to read */
    int64_t reading;        /* the block that the command under way reads from, -1: it reads none */
    struct disc disc;
};

/* A step asks the drive something and judges the answer. */
struct step {
    void (*ask)(const struct bios *bios, struct ider_command *command);
    /* False: the drive is of no use to the firmware. */
    bool (*judge)(struct pc *pc, const struct ider_answer *answer);
};

static struct event_base *loop;

static void run_step(struct pc *pc);

void bios_setup(struct event_base *base)
{
    loop = base;
}

static bool complain(const struct pc *pc, const char *what)
{
    log_event(pc->fqdn, "ider-violation", json_pack("{s:s}", "what", what));
    return false;
}

static uint32_t big32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t little32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* ---- who are you? -------------------------------------------------------------------------------------- */

static void ask_ready(const struct bios *bios, struct ider_command *command)
{
    (void)bios;
    command->cdb[0] = TEST_UNIT_READY;
}

/* A medium that was just put in says so once or twice. */
static bool judge_ready(struct pc *pc, const struct ider_answer *answer)
{
    const struct timeval later = {0, RETRY_US};

    if (answer->good)
        return true;
    if (++pc->bios->tries == READY_TRIES)
        return complain(pc, "the drive to boot from does not become ready");
    if (answer->sense == SENSE_NOT_READY && answer->asc == ASC_NO_MEDIUM)
        return false;
    pc->bios->step--;
    event_add(&pc->bios->retry, &later);
    return true;
}

static void ask_other(const struct bios *bios, struct ider_command *command)
{
    command->drive = bios->drive == DRIVE_CD ? DRIVE_FLOPPY : DRIVE_CD;
    command->cdb[0] = TEST_UNIT_READY;
}

/* Both drives exist in hardware: one without a medium must say that, not be deaf. */
static bool judge_other(struct pc *pc, const struct ider_answer *answer)
{
    if (answer->good || answer->sense == SENSE_ATTENTION ||
        (answer->sense == SENSE_NOT_READY && answer->asc == ASC_NO_MEDIUM))
        return true;
    return complain(pc, "the other drive says neither that it is ready nor that it is empty");
}

static void ask_capacity(const struct bios *bios, struct ider_command *command)
{
    (void)bios;
    command->cdb[0] = READ_CAPACITY;
    command->max = 8;
}

static bool judge_capacity(struct pc *pc, const struct ider_answer *answer)
{
    struct bios *bios = pc->bios;

    if (!answer->good || answer->size != 8)
        return complain(pc, "READ CAPACITY is not answered with 8 bytes");
    bios->block = big32(answer->data + 4);
    bios->blocks = big32(answer->data) + 1;
    if (bios->block != (bios->drive == DRIVE_CD ? CD_BLOCK : FLOPPY_BLOCK))
        return complain(pc, "the block size is not the drive's");
    return (bios->blocks > 0 && bios->blocks <= BLOCKS_MAX) || complain(pc, "the medium has no sane size");
}

static void ask_contents(const struct bios *bios, struct ider_command *command)
{
    (void)bios;
    command->cdb[0] = READ_TOC;
    command->cdb[8] = 12;
    command->max = 12;
}

static bool judge_contents(struct pc *pc, const struct ider_answer *answer)
{
    if (pc->bios->drive != DRIVE_CD)
        return true; /* floppies have none, and may say so */
    if (!answer->good || answer->size < 4 || answer->data[2] != 1)
        return complain(pc, "READ TOC does not start with track 1");
    return true;
}

static void ask_configuration(const struct bios *bios, struct ider_command *command)
{
    (void)bios;
    command->cdb[0] = GET_CONFIGURATION;
    command->cdb[8] = 8;
    command->max = 8;
}

static bool judge_configuration(struct pc *pc, const struct ider_answer *answer)
{
    if (pc->bios->drive != DRIVE_CD)
        return true;
    return (answer->good && answer->size == 8) || complain(pc, "GET CONFIGURATION has no header of 8 bytes");
}

static void ask_unknown(const struct bios *bios, struct ider_command *command)
{
    (void)bios;
    command->cdb[0] = LOG_SELECT;
}

static bool judge_unknown(struct pc *pc, const struct ider_answer *answer)
{
    if (!answer->good && answer->sense == SENSE_ILLEGAL && answer->asc == ASC_UNKNOWN_COMMAND)
        return true;
    return complain(pc, "an unknown command is not refused with 05/20/00");
}

static void ask_blocks(struct ider_command *command, uint32_t from, uint32_t count, uint32_t block)
{
    command->cdb[0] = READ_10;
    for (int i = 0; i < 4; i++)
        command->cdb[2 + i] = (uint8_t)(from >> (24 - 8 * i));
    command->cdb[7] = (uint8_t)(count >> 8);
    command->cdb[8] = (uint8_t)count;
    command->max = (size_t)count * block;
}

static void ask_beyond(const struct bios *bios, struct ider_command *command)
{
    ask_blocks(command, bios->blocks, 1, bios->block);
}

static bool judge_beyond(struct pc *pc, const struct ider_answer *answer)
{
    if (!answer->good && answer->sense == SENSE_ILLEGAL && answer->asc == ASC_OUT_OF_RANGE)
        return true;
    return complain(pc, "a block behind the last is not refused with 05/21/00");
}

/* ---- can it be booted? --------------------------------------------------------------------------------- */

static bool is_whole(const struct pc *pc, const struct ider_answer *answer, size_t size)
{
    return (answer->good && answer->size == size) ||
           complain(pc, "READ(10) does not give the blocks asked for");
}

static void ask_first(const struct bios *bios, struct ider_command *command)
{
    ask_blocks(command, bios->drive == DRIVE_CD ? PRIMARY_VOLUME : 0, 1, bios->block);
}

static bool judge_first(struct pc *pc, const struct ider_answer *answer)
{
    if (!is_whole(pc, answer, pc->bios->block))
        return false;
    if (pc->bios->drive == DRIVE_CD)
        return memcmp(answer->data, "\001CD001", 6) == 0 || complain(pc, "no ISO 9660 volume");
    return (answer->data[510] == 0x55 && answer->data[511] == 0xaa) || complain(pc, "no boot sector");
}

static void ask_record(const struct bios *bios, struct ider_command *command)
{
    ask_blocks(command, bios->drive == DRIVE_CD ? BOOT_RECORD : 0, 1, bios->block);
}

static bool judge_record(struct pc *pc, const struct ider_answer *answer)
{
    static const char name[] = "EL TORITO SPECIFICATION";

    if (!is_whole(pc, answer, pc->bios->block))
        return false;
    if (pc->bios->drive != DRIVE_CD)
        return true;
    pc->bios->catalog = little32(answer->data + 0x47);
    if (answer->data[0] != 0 || memcmp(answer->data + 7, name, sizeof(name) - 1) != 0)
        return complain(pc, "no El Torito boot record");
    return pc->bios->catalog < pc->bios->blocks || complain(pc, "a boot catalog behind the last block");
}

static void ask_catalog(const struct bios *bios, struct ider_command *command)
{
    ask_blocks(command, bios->catalog, 1, bios->block);
}

/* The validation entry's words add up to 0; the initial entry behind it says whether it boots, and from
 * where. */
static bool judge_catalog(struct pc *pc, const struct ider_answer *answer)
{
    unsigned sum = 0;

    if (!is_whole(pc, answer, pc->bios->block))
        return false;
    if (pc->bios->drive != DRIVE_CD)
        return true;
    for (int i = 0; i < 32; i += 2)
        sum += answer->data[i] | (unsigned)answer->data[i + 1] << 8;
    if (answer->data[0] != 1 || answer->data[30] != 0x55 || answer->data[31] != 0xaa || (sum & 0xffff) != 0)
        return complain(pc, "a boot catalog that is not valid");
    if (answer->data[32] != 0x88)
        return complain(pc, "a boot catalog without a bootable entry");
    return little32(answer->data + 40) < pc->bios->blocks ||
           complain(pc, "a boot image behind the last block");
}

/* ---- read it ------------------------------------------------------------------------------------------- */

static uint32_t at_once(const struct bios *bios)
{
    uint32_t most = bios->drive == DRIVE_CD ? CD_BLOCKS_A_READ : FLOPPY_BLOCKS_A_READ;

    return bios->blocks - bios->next < most ? bios->blocks - bios->next : most;
}

static void ask_next(const struct bios *bios, struct ider_command *command)
{
    command->dma = true;
    ask_blocks(command, bios->next, at_once(bios), bios->block);
}

static bool judge_next(struct pc *pc, const struct ider_answer *answer)
{
    struct bios *bios = pc->bios;
    uint32_t count = at_once(bios);

    if (!is_whole(pc, answer, (size_t)count * bios->block))
        return false;
    disc_take(&bios->disc, answer->data, answer->size, bios->next == 0 && pc_has(pc, FAULT_DAMAGED_IMAGE));
    bios->next += count;
    if (bios->next < bios->blocks)
        bios->step--; /* again */
    return true;
}

static const struct step steps[] = {
    {ask_ready, judge_ready},
    {ask_other, judge_other},
    {ask_capacity, judge_capacity},
    {ask_contents, judge_contents},
    {ask_configuration, judge_configuration},
    {ask_unknown, judge_unknown},
    {ask_beyond, judge_beyond},
    {ask_first, judge_first},
    {ask_record, judge_record},
    {ask_catalog, judge_catalog},
    {ask_next, judge_next},
    {NULL, NULL},
};

/* ---- the way through ----------------------------------------------------------------------------------- */

static void tell_image(const struct pc *pc)
{
    static const char *const words[] = {
        [CHECKSUM_NONE] = "none", [CHECKSUM_RIGHT] = "right", [CHECKSUM_WRONG] = "wrong"};
    const struct disc *disc = &pc->bios->disc;
    char hex[65], secret[65];

    disc_sha256(disc, hex);
    disc_secret_sha256(disc, secret);
    log_event(pc->fqdn, "image",
              json_pack("{s:I, s:s, s:s, s:s}", "bytes", (json_int_t)pc->bios->blocks * pc->bios->block,
                        "sha256", hex, "checksum", words[disc->checksum], "secret", secret));
    if (disc->proof.kind == PROOF_SESSION && strcmp(disc->proof.id, pc->fqdn) != 0)
        complain(pc, "the proof sector is another system's");
}

void bios_stop(struct pc *pc)
{
    if (!pc->bios)
        return;
    ider_forget(pc);
    event_del(&pc->bios->retry);
    disc_end(&pc->bios->disc);
    free(pc->bios);
    pc->bios = NULL;
}

static void give_up(struct pc *pc)
{
    bios_stop(pc);
    pc_boot_from_disk(pc);
}

static void note_read(const struct pc *pc, const struct ider_answer *answer)
{
    if (pc->bios->reading >= 0 && answer->good)
        log_event(
            pc->fqdn, "ider-read",
            json_pack("{s:I, s:I}", "lba", (json_int_t)pc->bios->reading, "bytes", (json_int_t)answer->size));
}

/* A host takes its time between two commands. */
static void run_in_time(struct pc *pc)
{
    const struct timeval later = {0, (suseconds_t)pc->options->drive_ms * 1000};

    if (pc->options->drive_ms > 0)
        event_add(&pc->bios->retry, &later);
    else
        run_step(pc);
}

static void on_answer(struct pc *pc, const struct ider_answer *answer)
{
    const struct step *step = pc->bios->step;

    if (answer)
        note_read(pc, answer);
    if (!answer || (pc->bios->step++, !step->judge(pc, answer))) {
        give_up(pc);
        return;
    }
    if (!event_pending(&pc->bios->retry, EV_TIMEOUT, NULL))
        run_in_time(pc);
}

static bool is_halfway(const struct pc *pc)
{
    return pc->bios->step->ask == ask_next && pc->bios->next >= pc->bios->blocks / 2;
}

/* What goes wrong in the middle of the image; false: nothing does. */
static bool fails_halfway(struct pc *pc)
{
    if (!is_halfway(pc))
        return false;
    if (pc_has(pc, FAULT_BABBLE_DRIVE)) {
        ider_babble(pc);
        return true;
    }
    if (pc_has(pc, FAULT_READ_ERROR)) {
        give_up(pc);
        return true;
    }
    return pc_has(pc, FAULT_HALF_IDER); /* for ever, or until somebody resets the PC */
}

/* Firmware does not pass over a drive that is only slow. */
static bool is_waiting(struct pc *pc)
{
    const struct timeval later = {0, RETRY_US};

    if (!ider_is_resetting(pc))
        return false;
    if (pc->bios->reset_tries++ == RESET_TRIES)
        return complain(pc, "the console does not answer the host's reset");
    event_add(&pc->bios->retry, &later);
    return true;
}

static void run_step(struct pc *pc)
{
    struct bios *bios = pc->bios;
    struct ider_command command = {.drive = bios->drive};

    if (is_waiting(pc))
        return;
    if (!bios->step->ask) {
        tell_image(pc);
        image_start(pc, &bios->disc);
        bios_stop(pc);
        return;
    }
    if (fails_halfway(pc))
        return;
    bios->step->ask(bios, &command);
    bios->reading = command.cdb[0] == READ_10 ? (int64_t)big32(command.cdb + 2) : -1;
    if (!ider_run(pc, &command, on_answer))
        give_up(pc);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct pc *pc = arg;

    (void)fd;
    (void)what;
    run_step(pc);
}

bool bios_boot(struct pc *pc)
{
    bios_stop(pc);
    if (!ider_is_there(pc) || pc_has(pc, FAULT_NO_BOOT_DEVICE))
        return false;
    pc->bios = calloc(1, sizeof(struct bios));
    if (!pc->bios)
        return false;
    event_assign(&pc->bios->retry, loop, -1, 0, on_retry, pc);
    if (!disc_begin(&pc->bios->disc)) {
        bios_stop(pc);
        return false;
    }
    pc->bios->drive = pc->booted.ider_boot_device ? DRIVE_CD : DRIVE_FLOPPY;
    pc->bios->step = steps;
    run_step(pc);
    return true;
}
