/* SPDX-License-Identifier: Apache-2.0 */
/* The drive is switched on with the PC's next reset. Then the device passes on the host's ATAPI commands one
 * by one; data goes back in chunks of at most the device's buffer, copied from the image as the connection
 * takes them. */
#include "amt/redirection/ider.h"

#include <openssl/crypto.h>
#include <string.h>

#include "amt/redirection/drive_priv.h"
#include "amt/redirection/line_priv.h"
#include "amt/redirection/link_priv.h"
#include "amt/redirection/session_priv.h"
#include "amt/redirection/wire_priv.h"

enum {
    OPEN = 0x40,
    OPENED = 0x41,
    CLOSE = 0x42,
    CLOSED = 0x43,
    PING = 0x44,
    PONG = 0x45,
    RESET = 0x46,
    RESET_SEEN = 0x47,
    SWITCH = 0x48,
    SWITCHED = 0x49,
    PROBLEM = 0x4a,
    HEARTBEAT = 0x4b,
    COMMAND = 0x50,
    COMMAND_END = 0x51,
    DATA_FROM_HOST = 0x53,
    DATA_TO_HOST = 0x54,
};

/* What the device is asked to keep; times in milliseconds. It hangs up when nothing came for RX_TIMEOUT. */
enum { RX_TIMEOUT = 30000, TX_TIMEOUT = 0, HEARTBEAT_EVERY = 10000, SILENCE_SECONDS = 45, VERSION = 1 };

/* Firmware sends some fifty commands and reads 2 MB a second. */
enum { TURNS_A_SECOND = 20000, BYTES_A_SECOND = 64 << 20 };

/* A device's buffers, bytes. */
enum { MIN_BUFFER = 512, MAX_BUFFER = 8192 };

/* Of SWITCH: registers are set, on from the next reset, or from now on. */
enum { SET_REGISTERS = 3, ENABLE = 0x01, ON_RESET = 0x08, NOW = 0x18, DONE = 1 };

/* Of messages with ATA registers. */
enum {
    LAST = 0x02, /* attributes of a message */
    DMA = 0x01,
    PACKET = 0xa0, /* ATA command that carries a CDB */
    FLOPPY_UNIT = 0xa0,
    CD_UNIT = 0xb0,
    UNIT_BIT = 0x10,
    DATA_HEAD = 34,
    END_HEAD = 31,
};

/* Register masks, values of the status register, and the reason register's "to the host" and "done". */
enum { MASK_DMA = 0xb4, MASK_PIO = 0xb5, MASK_LAST = 0x85, MASK_GOOD = 0xc5, MASK_ERROR = 0x87 };
enum { STATUS_DATA = 0x58, STATUS_GOOD = 0x50, STATUS_ERROR = 0x51, REASON_DATA = 2, REASON_DONE = 3 };

typedef enum { WAITING_FOR_BUFFERS, WAITING_FOR_SWITCH, RUNNING } stage_e;

/* Data on its way to the host. */
typedef struct {
    apr_uint64_t left; /* bytes; 0: none */
    apr_uint64_t offset;
    int from_image; /* else from answer.data */
    apr_size_t chunk;
    unsigned char unit;
    int dma;
    amt_drive_answer_t answer;
} transfer_t;

struct amt_ider_t {
    amt_session_t *session;
    amt_ider_events_t events;
    void *baton;
    stage_e stage;
    int now; /* not from the next reset */
    const amt_image_t *image;
    int has_overlay;
    amt_overlay_t overlay;
    unsigned int buffer; /* bytes that the device takes at a time */
    transfer_t transfer;
    apr_uint64_t served;
    int booting_reported;
};

/* ---- data to the host ------------------------------------------------------------------------ */

static void fill_head(const transfer_t *t, unsigned char head[DATA_HEAD], apr_size_t length)
{
    head[0] = DATA_TO_HOST;
    head[3] = t->dma ? DMA : 0;
    wire_put16(head + 9, (unsigned int)length);
    head[12] = t->dma ? MASK_DMA : MASK_PIO;
    head[14] = REASON_DATA;
    wire_put16(head + 16, t->dma ? 0 : (unsigned int)length);
    head[18] = t->unit;
    head[19] = STATUS_DATA;
    if (length == t->left) {
        head[3] |= LAST;
        head[20] = MASK_LAST;
        head[22] = REASON_DONE;
        head[26] = t->unit;
        head[27] = STATUS_GOOD;
    }
}

static void send_chunk(amt_ider_t *ider)
{
    transfer_t *t = &ider->transfer;
    apr_size_t length = t->left < t->chunk ? (apr_size_t)t->left : t->chunk;
    unsigned char head[DATA_HEAD] = {0};
    unsigned char *place;

    fill_head(t, head, length);
    place = amt_session_send(ider->session, head, sizeof(head), length);
    if (t->from_image) {
        amt_image_read(ider->image, ider->has_overlay ? &ider->overlay : NULL, t->offset, place, length);
        ider->served += length;
    }
    else {
        memcpy(place, t->answer.data + t->offset, length);
    }
    t->offset += length;
    t->left -= length;
}

/* Queues as many chunks as fit. The rest follows when those have left. */
static void send_chunks(amt_ider_t *ider)
{
    transfer_t *t = &ider->transfer;
    int had_data = t->left > 0;

    while (t->left > 0 && amt_session_room(ider->session) >= DATA_HEAD + t->chunk + AMT_LINK_RESERVE) {
        send_chunk(ider);
    }
    if (had_data && t->left == 0) {
        amt_session_again(ider->session);
    }
    if (ider->served > 0 && !ider->booting_reported) {
        ider->booting_reported = 1;
        ider->events.booting(ider->baton); /* may destroy the session */
    }
}

static void ider_on_drained(void *channel)
{
    send_chunks(channel);
}

static int ider_is_busy(const void *channel)
{
    const amt_ider_t *ider = channel;

    return ider->transfer.left > 0;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void send_end(amt_ider_t *ider, unsigned char unit, amt_sense_t sense)
{
    unsigned char message[END_HEAD] = {COMMAND_END, [3] = LAST, [22] = REASON_DONE, [26] = unit};

    message[20] = sense.key ? MASK_ERROR : MASK_GOOD;
    message[21] = (unsigned char)(sense.key << 4);
    message[27] = sense.key ? STATUS_ERROR : STATUS_GOOD;
    message[28] = sense.key;
    message[29] = sense.asc;
    message[30] = sense.ascq;
    amt_session_send(ider->session, message, sizeof(message), 0);
}

/* No more than the device's buffer and, word by word, what the host reads at a time (ATA: the byte count
 * limit). Whole sectors where they fit. */
static apr_size_t chunk_size(const amt_ider_t *ider, int dma, unsigned int byte_count)
{
    unsigned int chunk = ider->buffer;

    byte_count &= ~1U;
    if (!dma && byte_count != 0 && byte_count < chunk) {
        chunk = byte_count;
    }
    return chunk < AMT_SECTOR ? chunk : chunk - chunk % AMT_SECTOR;
}

static void ider_on_command(void *channel, const unsigned char *message)
{
    static const amt_sense_t unknown_command = {0x05, 0x20, 0x00};
    amt_ider_t *ider = channel;
    transfer_t *t = &ider->transfer;
    int cd = (message[14] & UNIT_BIT) != 0;

    if (ider->stage != RUNNING) {
        amt_session_fail(ider->session, AMT_GARBAGE, "a command came before the drive was switched on");
        return;
    }
    t->unit = cd ? CD_UNIT : FLOPPY_UNIT;
    if (message[15] != PACKET) {
        send_end(ider, t->unit, unknown_command);
        return;
    }
    amt_drive_command(cd ? AMT_DRIVE_CD : AMT_DRIVE_FLOPPY, ider->image, message + 16, &t->answer);
    t->from_image = t->answer.sectors > 0;
    t->offset = (apr_uint64_t)t->answer.lba * AMT_SECTOR;
    t->left = t->from_image ? (apr_uint64_t)t->answer.sectors * AMT_SECTOR : t->answer.length;
    t->dma = message[9] & DMA;
    t->chunk = chunk_size(ider, t->dma, wire_get16(message + 12));
    if (t->left == 0) {
        send_end(ider, t->unit, t->answer.sense);
        return;
    }
    send_chunks(ider);
}

static void ider_on_reset(void *channel, const unsigned char *message)
{
    amt_ider_t *ider = channel;

    (void)message;
    ider->transfer.left = 0;
    amt_session_send_plain(ider->session, RESET_SEEN);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void ider_begin(void *channel)
{
    amt_ider_t *ider = channel;
    unsigned char message[18] = {OPEN};

    wire_put16(message + 8, RX_TIMEOUT);
    wire_put16(message + 10, TX_TIMEOUT);
    wire_put16(message + 12, HEARTBEAT_EVERY);
    wire_put32(message + 14, VERSION);
    amt_session_send(ider->session, message, sizeof(message), 0);
}

static void ider_on_opened(void *channel, const unsigned char *message)
{
    amt_ider_t *ider = channel;
    unsigned int to_device = wire_get16(message + 16);
    unsigned int from_device = wire_get16(message + 18);
    unsigned char on[13] = {SWITCH, [8] = SET_REGISTERS};

    if (ider->stage != WAITING_FOR_BUFFERS) {
        amt_session_fail(ider->session, AMT_GARBAGE, "the device opened it twice");
        return;
    }
    if (message[1] != 0) {
        amt_session_refused(ider->session, message[1]);
        return;
    }
    if (to_device < MIN_BUFFER || to_device > MAX_BUFFER || from_device > MAX_BUFFER || message[21] != 0) {
        amt_session_fail(ider->session, AMT_GARBAGE,
                         "the device has buffers of %u and %u bytes and protocol %d: that is not known here",
                         to_device, from_device, message[21]);
        return;
    }
    ider->buffer = to_device;
    ider->stage = WAITING_FOR_SWITCH;
    wire_put32(on + 9, ENABLE | (ider->now ? NOW : ON_RESET));
    amt_session_send(ider->session, on, sizeof(on), 0);
}

static void ider_on_switched(void *channel, const unsigned char *message)
{
    amt_ider_t *ider = channel;
    apr_uint32_t value = wire_get32(message + 9);

    if (ider->stage != WAITING_FOR_SWITCH || message[8] != SET_REGISTERS) {
        return;
    }
    if (value != DONE) {
        amt_session_fail(ider->session, AMT_REFUSED, "the device did not switch the drive on (value %lu)",
                         (unsigned long)value);
        return;
    }
    ider->stage = RUNNING;
    amt_session_opened(ider->session);
    ider->events.opened(ider->baton);
}

/* ---- the device's other messages ---------------------------------------------------------- */

static void ider_on_close(void *channel, const unsigned char *message)
{
    amt_ider_t *ider = channel;

    (void)message;
    amt_session_send_plain(ider->session, CLOSED);
    amt_session_fail(ider->session, AMT_BROKEN, "the device closed it");
}

static void ider_on_ping(void *channel, const unsigned char *message)
{
    amt_ider_t *ider = channel;

    (void)message;
    amt_session_send_plain(ider->session, PONG);
}

static void ider_on_end(void *channel, const amt_result_t *result)
{
    amt_ider_t *ider = channel;

    ider->events.ended(ider->baton, result);
}

static const amt_message_t messages[] = {
    {.id = OPENED,
     .length = 30,
     .body_at = 29,
     .body_width = 1,
     .handle = ider_on_opened}, /* body: the manufacturer's */
    {.id = CLOSE, .length = 8, .handle = ider_on_close},
    {.id = CLOSED, .length = 8},
    {.id = PING, .length = 8, .handle = ider_on_ping},
    {.id = PONG, .length = 8},
    {.id = RESET, .length = 9, .handle = ider_on_reset},
    {.id = SWITCHED, .length = 13, .handle = ider_on_switched},
    {.id = PROBLEM, .length = 11}, /* other consoles go on, and devices too */
    {.id = HEARTBEAT, .length = 8},
    {.id = COMMAND, .length = 28, .waits = 1, .handle = ider_on_command},
    {.id = DATA_FROM_HOST, .length = 14, .body_at = 9, .body_width = 2}, /* nothing that we asked for */
    {.id = 0},
};

static const amt_channel_t storage = {
    .kind = "IDER",
    .name = "storage redirection",
    .messages = messages,
    .keepalive = PING,
    .close = CLOSE,
    .closed = CLOSED,
    .silence = SILENCE_SECONDS,
    .interval = RX_TIMEOUT / 2,
    /* a record of TLS is filled by the chunk that does not fit into it */
    .bounds = {.room = AMT_LINE_RECORD + DATA_HEAD + MAX_BUFFER + AMT_LINK_RESERVE,
               .pace = {.turns = TURNS_A_SECOND, .bytes = BYTES_A_SECOND}},
    .begin = ider_begin,
    .drained = ider_on_drained,
    .busy = ider_is_busy,
    .ended = ider_on_end,
};

/* ---- for callers -------------------------------------------------------------------- */

/* It proves that this PC booted from the image. */
void amt_ider_enable_now(amt_ider_t *ider)
{
    ider->now = 1;
}

void amt_ider_drop_overlay(amt_ider_t *ider)
{
    ider->has_overlay = 0;
    OPENSSL_cleanse(&ider->overlay, sizeof(ider->overlay));
}

static apr_status_t ider_cleanup(void *baton)
{
    amt_ider_drop_overlay(baton);
    return APR_SUCCESS;
}

apr_status_t amt_ider_open(amt_ider_t **out, amt_loop_t *loop, const amt_target_t *target, amt_image_t *image,
                           const amt_overlay_t *overlay, const amt_ider_events_t *events, void *baton,
                           apr_pool_t *parent)
{
    amt_ider_t *ider;
    apr_pool_t *pool;
    apr_status_t status;

    if (overlay != NULL && overlay->lba >= amt_image_sectors(image)) {
        return APR_EINVAL;
    }
    apr_pool_create(&pool, parent);
    ider = apr_pcalloc(pool, sizeof(*ider));
    ider->events = *events;
    ider->baton = baton;
    ider->image = image;
    if (overlay != NULL) {
        ider->has_overlay = 1;
        ider->overlay = *overlay;
    }
    apr_pool_cleanup_register(pool, ider, ider_cleanup, apr_pool_cleanup_null);
    status = amt_session_open(&ider->session, loop, target, &storage, ider, pool);
    if (status == APR_SUCCESS) {
        *out = ider;
    }
    return status;
}

apr_uint64_t amt_ider_served(const amt_ider_t *ider)
{
    return ider->served;
}

void amt_ider_close(amt_ider_t *ider)
{
    ider->transfer.left = 0;
    amt_session_close(ider->session);
}

void amt_ider_destroy(amt_ider_t *ider)
{
    amt_session_destroy(ider->session);
}
