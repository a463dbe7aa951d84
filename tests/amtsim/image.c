/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include "image_frame.h"
#include "image_keys.h"
#include "log.h"
#include "sol.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* seconds */
#define AGAIN 1.0 /* between two of the same frame */
#define SEAL_WAIT 120.0
#define RESULT_WAIT 60.0
#define ACK_WAIT 30.0
#define TRY_MIN 0.1 /* to turn a passphrase into a key */
#define TRY_MAX 0.3

#define SEALED_FIELDS 3
#define DAMAGED_BYTE 100 /* of a frame from the console: the fault loses it; only seals are that long */

enum doing {
    LOADING,  /* the kernel starts */
    HALTED,   /* and got no further */
    GREETING, /* hello, until a seal comes */
    TRYING,   /* the passphrase, on the disk */
    SAYING,   /* the result or a refusal, until an ack comes */
};

struct image {
    struct event next;  /* say it again; the disk has made up its mind */
    struct event limit; /* that was long enough */
    enum doing doing;
    struct proof_sector sector;
    enum checksum checksum;
    struct image_keys keys;
    uint8_t said[MAC_SIZE]; /* the proof in `frame` */
    unsigned times;         /* that it was said */
    char frame[FRAME_MAX + 1];
    struct frame_reader reader;
    uint8_t passphrase[PASSPHRASE_MAX];
    size_t length;
};

static struct event_base *loop;

void image_setup(struct event_base *base)
{
    loop = base;
}

static void arm(struct event *timer, double seconds)
{
    struct timeval tv = {(time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};

    event_add(timer, &tv);
}

/* One of the protocol's times, which a test may shorten. */
static double hasty(const struct pc *pc, double seconds)
{
    return seconds / pc->options->haste;
}

static void print(struct pc *pc, const char *text)
{
    sol_write(pc, text, strlen(text));
}

static void note(const struct pc *pc, const char *what, const char *outcome, const char *reason)
{
    log_event(pc->fqdn, "proof",
              json_pack("{s:s, s:s*, s:s*}", "what", what, "outcome", outcome, "reason", reason));
}

void image_stop(struct pc *pc)
{
    struct image *image = pc->image;

    if (!image)
        return;
    event_del(&image->next);
    event_del(&image->limit);
    keys_wipe(&image->keys);
    OPENSSL_cleanse(image, sizeof(*image));
    free(image);
    pc->image = NULL;
}

/* Everything secret goes before the restart. */
static void restart(struct pc *pc)
{
    image_stop(pc);
    pc_restart_warm(pc);
}

/* ---- out ----------------------------------------------------------------------------------------------- */

/* Pieces that look like the beginning of a frame, too. The first of a kind is cut by a message of the kernel,
 * so that only saying it again helps. */
static void write_with_noise(struct pc *pc, const char *frame)
{
    size_t half = strlen(frame) / 2;

    sol_make_noise(pc);
    print(pc, "\x1b[7m$AMTU,1,hel$AMT$$AMTU,1,result,unlocked,none,00");
    sol_write(pc, frame, half);
    if (pc->image->times == 0)
        print(pc, "[    2.718281] random: crng init done\r\n");
    print(pc, frame + half);
}

static void say(struct pc *pc)
{
    struct image *image = pc->image;

    print(pc, "\r\n");
    if (pc_has(pc, FAULT_NOISE))
        write_with_noise(pc, image->frame);
    else
        print(pc, image->frame);
    print(pc, "\r\n");
    image->times++;
    arm(&image->next, hasty(pc, AGAIN));
}

/* Says version,kind,words,proof from now on; `words` as they stand in the frame, with their comma. */
static void begin_to_say(struct pc *pc, const char *kind, const char *words, double seconds)
{
    struct image *image = pc->image;
    char inside[FRAME_MAX / 2], mac[2 * MAC_SIZE + 1];

    for (size_t i = 0; i < MAC_SIZE; i++)
        snprintf(mac + 2 * i, 3, "%02x", image->said[i]);
    snprintf(inside, sizeof(inside), "%d,%s,%s%s", pc_has(pc, FAULT_OTHER_VERSION) ? 2 : 1, kind, words, mac);
    frame_write(image->frame, inside);
    image->times = 0;
    arm(&image->limit, hasty(pc, seconds));
    say(pc);
}

static char *write_hex(char *at, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at += snprintf(at, 3, "%02x", bytes[i]);
    *at++ = ',';
    *at = '\0';
    return at;
}

static void greet(struct pc *pc)
{
    struct image *image = pc->image;
    char words[2 * NONCE_SIZE + 2 * PUBLIC_SIZE + 3];

    image->doing = GREETING;
    keys_prove_hello(&image->keys, image->said);
    if (pc_has(pc, FAULT_FORGED_HELLO))
        image->said[0] ^= 1;
    write_hex(write_hex(words, image->keys.nonce, NONCE_SIZE), image->keys.public_key, PUBLIC_SIZE);
    note(pc, "hello", NULL, NULL);
    begin_to_say(pc, "hello", words, SEAL_WAIT);
}

static void refuse(struct pc *pc, const char *reason)
{
    struct image *image = pc->image;
    char words[2 * NONCE_SIZE + 80];
    char *at = write_hex(words, image->keys.nonce, NONCE_SIZE);

    image->doing = SAYING;
    keys_prove_refusal(&image->keys, reason, image->said);
    snprintf(at, sizeof(words) - (size_t)(at - words), "%s,", reason);
    note(pc, "refusal", NULL, reason);
    begin_to_say(pc, "refusal", words, ACK_WAIT);
}

static void tell_result(struct pc *pc, const char *outcome, const char *reason)
{
    struct image *image = pc->image;
    char words[160];

    OPENSSL_cleanse(image->passphrase, sizeof(image->passphrase));
    image->length = 0;
    image->doing = SAYING;
    keys_prove_result(&image->keys, outcome, reason, image->said);
    if (pc_has(pc, FAULT_FORGED_RESULT))
        image->said[0] ^= 1;
    snprintf(words, sizeof(words), "%s,%s,", outcome, reason);
    note(pc, "result", outcome, reason);
    begin_to_say(pc, "result", words, ACK_WAIT);
}

/* ---- the way through ----------------------------------------------------------------------------------- */

/* Nothing to prove: it says so to who sits in front of it. */
static void say_nothing(struct pc *pc, const char *reason)
{
    note(pc, "nothing", NULL, reason);
    restart(pc);
}

static void look_around(struct pc *pc)
{
    struct image *image = pc->image;

    if (!keys_make(&image->keys, &image->sector))
        say_nothing(pc, "internal");
    else if (pc_has(pc, FAULT_NO_DISK))
        refuse(pc, "no-disk");
    else if (pc_has(pc, FAULT_DISK_FOREIGN))
        refuse(pc, "unsupported-disk");
    else
        greet(pc);
}

static void come_up(struct pc *pc)
{
    struct image *image = pc->image;

    print(pc, "[    0.000000] Linux version 6.1.0-13-amd64\r\n[    1.204331] Run /init as init process\r\n");
    image->doing = HALTED;
    if (image->checksum == CHECKSUM_WRONG) {
        print(pc, "The image is damaged: its checksum is wrong. Halted.\r\n");
        note(pc, "nothing", NULL, "checksum");
    }
    else if (image->sector.kind == PROOF_DAMAGED || image->sector.kind == PROOF_PLACEHOLDER)
        say_nothing(pc, image->sector.kind == PROOF_DAMAGED ? "sector-damaged" : "placeholder");
    else if (image->sector.kind == PROOF_SESSION && !pc_has(pc, FAULT_NO_PROMPT))
        look_around(pc);
}

static void start_again(struct pc *pc)
{
    struct proof_sector sector = pc->image->sector;

    keys_wipe(&pc->image->keys);
    if (keys_make(&pc->image->keys, &sector))
        greet(pc);
    OPENSSL_cleanse(&sector, sizeof(sector));
}

/* Why the disk neither takes the passphrase nor refuses it; NULL where it does. */
static const char *failure_of_disk(const struct pc *pc)
{
    return pc_has(pc, FAULT_DISK_ERROR)        ? "disk-error"
           : pc_has(pc, FAULT_DISK_LOCKED_OUT) ? "locked-out"
           : pc_has(pc, FAULT_DISK_EMPTY)      ? "no-system"
                                               : NULL;
}

static void finish_try(struct pc *pc)
{
    const char *failure = failure_of_disk(pc);
    struct image *image = pc->image;
    bool good = image->length == strlen(pc->passphrase) &&
                CRYPTO_memcmp(image->passphrase, pc->passphrase, image->length) == 0 &&
                !pc_has(pc, FAULT_WRONG_PASSPHRASE);

    if (failure != NULL) {
        tell_result(pc, "failed", failure);
        return;
    }
    if (pc_has(pc, FAULT_FORGED_RESULT)) {
        tell_result(pc, "unlocked", "none");
        return;
    }
    log_event(pc->fqdn, "passphrase", json_pack("{s:b}", "ok", good));
    if (good)
        pc_open_disk(pc);
    tell_result(pc, good ? "unlocked" : "wrong-passphrase", "none");
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
    struct pc *pc = arg;

    (void)fd;
    (void)what;
    if (pc->image->doing == LOADING)
        come_up(pc);
    else if (pc->image->doing == TRYING)
        finish_try(pc);
    else
        say(pc);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct pc *pc = arg;

    (void)fd;
    (void)what;
    if (pc->image->doing == GREETING)
        refuse(pc, "no-seal");
    else if (pc->image->doing == TRYING)
        tell_result(pc, "failed", "time-out");
    else
        restart(pc);
}

/* ---- in ------------------------------------------------------------------------------------------------ */

/* The session ends, without another word. */
static void end(struct pc *pc)
{
    note(pc, "ended", NULL, NULL);
    restart(pc);
}

static void start_try(struct pc *pc)
{
    struct image *image = pc->image;
    double seconds = TRY_MIN + pc_random(pc) * (TRY_MAX - TRY_MIN);

    image->doing = TRYING;
    event_del(&image->next);
    arm(&image->limit, hasty(pc, RESULT_WAIT));
    if (!pc_has(pc, FAULT_DISK_HANGS))
        arm(&image->next, hasty(pc, seconds));
}

static void take_seal(struct pc *pc, const struct seal *seal)
{
    struct image *image = pc->image;

    note(pc, "seal", NULL, NULL);
    if (pc_has(pc, FAULT_STARTS_AGAIN)) {
        start_again(pc);
        return;
    }
    switch (keys_open(&image->keys, seal, image->passphrase, &image->length)) {
    case SEAL_OPEN:
        start_try(pc);
        break;
    case SEAL_INVALID:
        refuse(pc, "seal-invalid");
        break;
    case SEAL_WEAK_KEY:
        end(pc);
        break;
    }
}

/* False: a field is of wrong length or form. */
static bool on_seal(struct pc *pc, const struct frame *frame)
{
    struct seal seal;

    if (frame->fields != SEALED_FIELDS || !frame_bytes(frame->field[0], seal.nonce, NONCE_SIZE) ||
        !frame_bytes(frame->field[1], seal.public_key, PUBLIC_SIZE))
        return false;
    for (seal.size = PLAIN_STEP + TAG_SIZE; seal.size <= sizeof(seal.sealed); seal.size += PLAIN_STEP) {
        if (!frame_bytes(frame->field[2], seal.sealed, seal.size))
            continue;
        if (pc->image->doing == GREETING)
            take_seal(pc, &seal);
        else
            note(pc, "late-seal", NULL, NULL);
        return true;
    }
    return false;
}

static bool on_ack(struct pc *pc, const struct frame *frame)
{
    struct image *image = pc->image;
    uint8_t ack[MAC_SIZE];

    if (frame->fields != 1 || !frame_bytes(frame->field[0], ack, MAC_SIZE))
        return false;
    if (image->doing == SAYING && keys_ack_is_right(&image->keys, ack, image->said)) {
        note(pc, "ack", NULL, NULL);
        restart(pc);
    }
    return true;
}

/* An echo of what it said itself. */
static bool on_echo(struct pc *pc, const struct frame *frame)
{
    (void)pc;
    (void)frame;
    return true;
}

static const struct {
    const char *kind;
    bool (*take)(struct pc *pc, const struct frame *frame);
} kinds[] = {
    {"seal", on_seal}, {"ack", on_ack}, {"hello", on_echo}, {"result", on_echo}, {"refusal", on_echo},
};

static bool take_frame(struct pc *pc, const struct frame *frame)
{
    if (strcmp(frame->version, "1") != 0)
        return false;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (!strcmp(kinds[i].kind, frame->kind))
            return kinds[i].take(pc, frame);
    }
    return false;
}

static void take_byte(struct pc *pc, char c)
{
    struct image *image = pc->image;
    struct frame frame;

    if (pc_has(pc, FAULT_DAMAGED_SEAL) && image->reader.length == DAMAGED_BYTE)
        c = c == 'f' ? '0' : 'f';
    switch (frame_take(&image->reader, c)) {
    case FRAME_NOTHING:
        break;
    case FRAME_SEAL_DAMAGED:
        if (image->doing == GREETING)
            refuse(pc, "seal-damaged");
        break;
    case FRAME_WHOLE:
        frame_split(&image->reader, &frame);
        if (!take_frame(pc, &frame) && image->doing == GREETING)
            end(pc);
        break;
    }
}

/* A frame may end it all: then the rest of the bytes comes to a PC that starts anew. */
void image_input(struct pc *pc, const char *data, size_t size)
{
    for (size_t i = 0; i < size && pc->image && pc->image->doing >= GREETING; i++)
        take_byte(pc, data[i]);
}

void image_start(struct pc *pc, const struct disc *disc)
{
    struct image *image = calloc(1, sizeof(*image));

    if (!image)
        return;
    pc->image = image;
    image->sector = disc->proof;
    image->checksum = disc->checksum;
    event_assign(&image->next, loop, -1, 0, on_next, pc);
    event_assign(&image->limit, loop, -1, 0, on_limit, pc);
    arm(&image->next, pc->boot_seconds / 4);
}
