/* SPDX-License-Identifier: Apache-2.0 */
/* Storage redirection against a device of our own, which reads the whole image and compares every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "amt/redirection/ider.h"
#include "amt_certificate.h"
#include "amt_rig.h"
#include "redirection_peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DAY (24L * 60 * 60)

enum { SECTORS = 8192, SIZE = SECTORS * AMT_SECTOR, OVERLAID = 3000 };

static apr_pool_t *pool;
static amt_image_t *image;
static unsigned char *bytes; /* what the image holds */
static amt_overlay_t overlay = {.lba = OVERLAID};
static char folder[] = "/tmp/amtunlock-ider-XXXXXX";

static int set_up(void **state)
{
    char file[sizeof(folder) + 16];
    uint32_t seed = 1;
    FILE *out;

    (void)state;
    setenv("AMTUNLOCK_TEST_CLOSE_MS", "200", 1); /* where the device is silent, that is waited for */
    assert_int_equal(apr_initialize(), APR_SUCCESS);
    assert_int_equal(amt_library_init(), APR_SUCCESS);
    apr_pool_create(&pool, NULL);
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/cd.iso", folder);
    bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i++) {
        seed = seed * 1664525U + 1013904223U;
        bytes[i] = (unsigned char)(seed >> 24);
    }
    out = fopen(file, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, SIZE, out), SIZE);
    assert_int_equal(fclose(out), 0);
    assert_null(amt_image_open(&image, file, pool));
    unlink(file);
    rmdir(folder);
    memset(overlay.bytes, 0xa5, sizeof(overlay.bytes));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    free(bytes);
    return 0;
}

/* ---- the device's side ----------------------------------------------------------------------- */

typedef struct {
    unsigned int buffer; /* what it says it takes */
    int proto;
    int now; /* the drive is to be there at once */
    uint32_t in;
    uint32_t out;
    int mistakes; /* of ours, counted in the thread */
    const char *where;
    size_t largest; /* chunk */
    int dropped;    /* the overlay is, so the image's own sector is expected */
    int done;
} device_t;

static void wrong(device_t *device, const char *where)
{
    device->mistakes++;
    device->where = device->where ? device->where : where;
}

static void put32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (unsigned char)(value >> 8 * i);
    }
}

/* Hears a message of this id; its sequence number is checked. */
static int hear(line_t *line, device_t *device, int id, unsigned char *message, size_t length)
{
    unsigned char number[4];

    put32(number, device->in++);
    if (!line_hear(line, message, length)) {
        wrong(device, "the end came early");
        return 0;
    }
    if (message[0] != id || memcmp(message + 4, number, 4) != 0) {
        wrong(device, "another message, or another number");
        return 0;
    }
    return 1;
}

static int say(line_t *line, device_t *device, unsigned char *message, size_t length)
{
    put32(message + 4, device->out++);
    return line_say(line, message, length);
}

static int open_drive(line_t *line, device_t *device)
{
    unsigned char opened[33] = {0x41, [8] = 1, [21] = (unsigned char)device->proto, [25] = 0x57, 1, [29] = 3};
    unsigned char switched[13] = {0x49, [8] = 3, 1};
    unsigned char expected[13] = {0x48, [4] = 1, [8] = 3, device->now ? 0x19 : 0x09};
    static const unsigned char open[18] = {0x40, [8] = 0x30, 0x75, 0, 0, 0x10, 0x27, 1};
    unsigned char message[18];

    opened[16] = opened[18] = (unsigned char)device->buffer;
    opened[17] = opened[19] = (unsigned char)(device->buffer >> 8);
    if (!line_let_in(line, "IDER") || !hear(line, device, 0x40, message, 18)) {
        return 0;
    }
    if (memcmp(message, open, sizeof(open)) != 0) {
        wrong(device, "the opening");
    }
    if (!say(line, device, opened, sizeof(opened)) || !line_hear(line, message, 13)) {
        return 0;
    }
    device->in++;
    if (memcmp(message, expected, sizeof(expected)) != 0) {
        wrong(device, "the switch");
    }
    return say(line, device, switched, sizeof(switched));
}

typedef struct {
    int dma;
    int unit; /* 0xb0 or 0xa0 */
    unsigned int byte_count;
    unsigned char cdb[12];
} ask_t;

static int ask(line_t *line, device_t *device, const ask_t *a)
{
    unsigned char message[28] = {
        0x50, [9] = (unsigned char)a->dma, [14] = (unsigned char)a->unit, [15] = 0xa0};

    message[12] = (unsigned char)a->byte_count;
    message[13] = (unsigned char)(a->byte_count >> 8);
    memcpy(message + 16, a->cdb, 12);
    return say(line, device, message, sizeof(message));
}

/* Hears the chunks of an answer of `size` bytes. */
static int hear_data(line_t *line, device_t *device, const ask_t *a, unsigned char *data, size_t size)
{
    size_t got = 0;

    while (got < size) {
        unsigned char head[34];
        size_t length;
        int last;

        if (!hear(line, device, 0x54, head, sizeof(head))) {
            return 0;
        }
        length = (size_t)head[9] | (size_t)head[10] << 8;
        last = (head[3] & 2) != 0;
        device->largest = length > device->largest ? length : device->largest;
        if (length == 0 || length > size - got || length > device->buffer || last != (got + length == size) ||
            (head[3] & 1) != a->dma || head[12] != (a->dma ? 0xb4 : 0xb5) || head[14] != 2 ||
            ((size_t)head[16] | (size_t)head[17] << 8) != (a->dma ? 0 : length) || head[18] != a->unit ||
            head[19] != 0x58 || head[20] != (last ? 0x85 : 0) || head[22] != (last ? 3 : 0) ||
            head[26] != (last ? a->unit : 0) || head[27] != (last ? 0x50 : 0)) {
            wrong(device, "the head of a chunk");
            return 0;
        }
        if (!line_hear(line, data + got, length)) {
            wrong(device, "the end came in a chunk");
            return 0;
        }
        got += length;
    }
    return 1;
}

/* Hears an end with this sense. */
static int hear_end(line_t *line, device_t *device, const ask_t *a, int sense)
{
    unsigned char end[31];
    int key = sense >> 16;

    if (!hear(line, device, 0x51, end, sizeof(end))) {
        return 0;
    }
    if (end[3] != 2 || end[20] != (key ? 0x87 : 0xc5) || end[21] != key << 4 || end[22] != 3 ||
        end[26] != a->unit || end[27] != (key ? 0x51 : 0x50) || end[28] != key ||
        end[29] != (sense >> 8 & 0xff) || end[30] != (sense & 0xff)) {
        wrong(device, "the end of a command");
    }
    return 1;
}

static int read_and_compare(line_t *line, device_t *device, int dma, unsigned int byte_count, uint32_t lba,
                            unsigned int count)
{
    ask_t a = {dma, 0xb0, byte_count, {0x28}};
    unsigned char *data = malloc((size_t)count * AMT_SECTOR);
    int ok;

    for (int i = 0; i < 4; i++) {
        a.cdb[2 + i] = (unsigned char)(lba >> (24 - 8 * i));
    }
    a.cdb[7] = (unsigned char)(count >> 8);
    a.cdb[8] = (unsigned char)count;
    ok = ask(line, device, &a) && hear_data(line, device, &a, data, (size_t)count * AMT_SECTOR);
    for (unsigned int i = 0; ok && i < count; i++) {
        const unsigned char *expected =
            lba + i == OVERLAID && !device->dropped ? overlay.bytes : bytes + (size_t)(lba + i) * AMT_SECTOR;

        if (memcmp(data + (size_t)i * AMT_SECTOR, expected, AMT_SECTOR) != 0) {
            wrong(device, "the bytes of a sector");
        }
    }
    free(data);
    return ok;
}

static int close_drive(line_t *line, device_t *device)
{
    unsigned char closed[8] = {0x43};
    unsigned char message[8];

    return hear(line, device, 0x42, message, 8) && say(line, device, closed, sizeof(closed)) &&
           line_hear(line, message, 4) && message[0] == 0x12;
}

/* A command that is not the CD's or finds no disk, pings, and a heartbeat in between. */
static int try_the_rest(line_t *line, device_t *device)
{
    ask_t unknown = {0, 0xb0, 0, {0xbe}};
    ask_t empty = {0, 0xa0, 0, {0x25}};
    ask_t ready = {1, 0xb0, 0, {0x00}};
    ask_t capacity = {0, 0xb0, 8, {0x25}};
    unsigned char ping[8] = {0x44};
    unsigned char beat[8] = {0x4b};
    unsigned char problem[11] = {0x4a};
    unsigned char no_packet[28] = {0x50, [14] = 0xb0, [15] = 0xec};
    unsigned char data[14 + 3] = {0x53, [9] = 3};
    unsigned char pong[8];
    unsigned char answer[8];

    return ask(line, device, &unknown) && hear_end(line, device, &unknown, 0x052000) &&
           ask(line, device, &empty) && hear_end(line, device, &empty, 0x023a00) &&
           ask(line, device, &ready) && hear_end(line, device, &ready, 0) && say(line, device, ping, 8) &&
           hear(line, device, 0x45, pong, 8) && say(line, device, beat, 8) &&
           say(line, device, problem, sizeof(problem)) && say(line, device, data, sizeof(data)) &&
           say(line, device, no_packet, sizeof(no_packet)) && hear_end(line, device, &unknown, 0x052000) &&
           ask(line, device, &capacity) && hear_data(line, device, &capacity, answer, sizeof(answer));
}

static void play_everything(line_t *line, void *baton)
{
    device_t *device = baton;
    uint32_t lba = 0;

    if (!open_drive(line, device) || !try_the_rest(line, device)) {
        return;
    }
    /* all of it, in commands of many sizes, DMA and PIO, and with every limit that a host may set */
    for (int i = 0; lba < SECTORS; i++) {
        static const unsigned int counts[] = {1, 17, 64, 255, 1024, 3};
        static const unsigned int limits[] = {0xfffe, 0, 2048, 512, 4097, 0xffff};
        unsigned int count = counts[i % 6] < SECTORS - lba ? counts[i % 6] : SECTORS - lba;

        if (!read_and_compare(line, device, i % 2, limits[i % 6], lba, count)) {
            return;
        }
        lba += count;
    }
    device->done = close_drive(line, device);
}

/* ---- our side -------------------------------------------------------------------------------- */

typedef struct {
    apr_pool_t *pool;
    struct event_base *base;
    amt_loop_t *loop;
    amt_target_t target;
    redirection_peer_t *peer;
    amt_ider_t *ider;
    apr_uint64_t close_at; /* bytes served */
    int destroy_at_boot;
    int drops;    /* the overlay, once the first read is served */
    int patience; /* milliseconds */
    int now;
    int opened;
    int booting;
    int ended;
    amt_status_e status;
    char text[640];
} ider_rig_t;

static void on_opened(void *baton)
{
    ider_rig_t *rig = baton;

    rig->opened++;
}

static void on_booting(void *baton)
{
    ider_rig_t *rig = baton;

    rig->booting++;
    if (rig->drops) {
        amt_ider_drop_overlay(rig->ider);
    }
    if (rig->destroy_at_boot) {
        amt_ider_destroy(rig->ider);
        rig->ider = NULL;
        event_base_loopbreak(rig->base);
    }
}

static void on_ended(void *baton, const amt_result_t *result)
{
    ider_rig_t *rig = baton;

    rig->ended++;
    rig->status = result->status;
    apr_cpystrn(rig->text, result->text, sizeof(rig->text));
    event_base_loopbreak(rig->base);
}

static const amt_ider_events_t ider_events = {on_opened, on_booting, on_ended};

static void look(evutil_socket_t fd, short what, void *baton)
{
    ider_rig_t *rig = baton;

    (void)fd;
    (void)what;
    if (rig->ider && rig->close_at && amt_ider_served(rig->ider) >= rig->close_at) {
        rig->close_at = 0;
        amt_ider_close(rig->ider);
    }
    if (rig->ider && rig->patience && (rig->patience -= 10) <= 0) {
        amt_ider_close(rig->ider);
    }
}

static void too_long(evutil_socket_t fd, short what, void *baton)
{
    (void)fd;
    (void)what;
    (void)baton;
    fail_msg("no end within 30 s");
}

static void ider_up(ider_rig_t *rig, play_fn play, void *baton, SSL_CTX *tls, const amt_target_t *trust)
{
    memset(rig, 0, sizeof(*rig));
    apr_pool_create(&rig->pool, NULL);
    rig->base = event_base_new();
    assert_int_equal(amt_loop_create(&rig->loop, rig->base, rig->pool), APR_SUCCESS);
    rig->peer = redirection_peer_start(play, baton, tls);
    rig->target = *trust;
    rig->target.fqdn = RIG_FQDN;
    rig->target.address = redirection_peer_address(rig->peer);
    rig->target.user = RIG_USER;
    rig->target.password = RIG_PASSWORD;
}

static void ider_run(ider_rig_t *rig)
{
    struct timeval limit = {30, 0};
    struct timeval often = {0, 10000};
    struct event *guard = evtimer_new(rig->base, too_long, NULL);
    struct event *looker = event_new(rig->base, -1, EV_PERSIST, look, rig);

    evtimer_add(guard, &limit);
    event_add(looker, &often);
    assert_int_equal(
        amt_ider_open(&rig->ider, rig->loop, &rig->target, image, &overlay, &ider_events, rig, rig->pool),
        APR_SUCCESS);
    if (rig->now) {
        amt_ider_enable_now(rig->ider);
    }
    event_base_dispatch(rig->base);
    event_free(guard);
    event_free(looker);
    event_base_loop(rig->base, EVLOOP_NONBLOCK);
}

static void ider_down(ider_rig_t *rig)
{
    if (rig->ider) {
        amt_ider_destroy(rig->ider);
    }
    redirection_peer_stop(rig->peer);
    apr_pool_destroy(rig->pool);
    event_base_free(rig->base);
}

static const amt_target_t plain = {.tls = AMT_TLS_NONE};
static const amt_target_t impatient = {
    .tls = AMT_TLS_NONE, .connect_timeout = APR_USEC_PER_SEC / 5, .call_timeout = APR_USEC_PER_SEC / 5};

static void read_it_all(unsigned int buffer, int now, SSL_CTX *tls, const amt_target_t *trust)
{
    device_t device = {.buffer = buffer, .now = now};
    ider_rig_t rig;

    ider_up(&rig, play_everything, &device, tls, trust);
    rig.now = now;
    rig.close_at = SIZE;
    ider_run(&rig);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.opened, 1);
    assert_int_equal(rig.booting, 1);
    assert_int_equal(rig.ended, 1);
    assert_true(amt_ider_served(rig.ider) == SIZE);
    ider_down(&rig);
    if (device.mistakes) {
        fail_msg("%d mistakes, the first in %s", device.mistakes, device.where);
    }
    assert_true(device.done);
    assert_int_equal(device.largest, buffer == 3000 ? 2048 : buffer);
}

static void test_read_it_all(void **state)
{
    static const unsigned int buffers[] = {8192, 4096, 3000, 512};

    (void)state;
    for (size_t i = 0; i < COUNT(buffers); i++) {
        read_it_all(buffers[i], 0, NULL, &plain);
    }
    read_it_all(buffers[0], 1, NULL, &plain);
}

static void test_read_it_all_by_tls(void **state)
{
    certificate_t certificate;
    char pin[65];
    amt_target_t trust = {.tls = AMT_TLS_PIN, .pin = pin};
    SSL_CTX *ctx;

    (void)state;
    certificate_make(&certificate, RIG_FQDN, NULL, -DAY, DAY);
    certificate_pin(pin, &certificate);
    ctx = certificate_server(&certificate, 0);
    read_it_all(8192, 0, ctx, &trust);
    SSL_CTX_free(ctx);
    certificate_free(&certificate);
}

/* A reset stops the transfer; the device reads on only after a while, and what it asked meanwhile is
 * answered. */
static void play_reset(line_t *line, void *baton)
{
    device_t *device = baton;
    ask_t large = {1, 0xb0, 0, {0x28, 0, 0, 0, 0, 0, 0, 0x10, 0}};
    ask_t ready = {0, 0xb0, 0, {0x00}};
    unsigned char reset[9] = {0x46, [8] = 1};
    unsigned char head[34];
    unsigned char chunk[8192];
    size_t heard = 0;

    if (!open_drive(line, device) || !ask(line, device, &large) || !say(line, device, reset, sizeof(reset)) ||
        !ask(line, device, &ready)) {
        return;
    }
    for (;;) { /* what was on its way, then the reset's answer */
        if (!line_hear(line, head, 8)) {
            return;
        }
        device->in++;
        if (head[0] != 0x54) {
            break;
        }
        if (!line_hear(line, head + 8, 26) ||
            !line_hear(line, chunk, (size_t)head[9] | (size_t)head[10] << 8)) {
            return;
        }
        heard += (size_t)head[9] | (size_t)head[10] << 8;
    }
    if (head[0] != 0x47 || heard >= (size_t)0x1000 * AMT_SECTOR) {
        wrong(device, "the reset");
    }
    device->done = hear_end(line, device, &ready, 0) &&
                   read_and_compare(line, device, 1, 0, OVERLAID - 1, 3) && close_drive(line, device);
}

/* The image has said hello behind its first read: the second one finds nothing of it. */
static void play_twice(line_t *line, void *baton)
{
    device_t *device = baton;
    int first = open_drive(line, device) && read_and_compare(line, device, 1, 0, OVERLAID - 1, 3);

    device->dropped = 1;
    device->done = first && read_and_compare(line, device, 1, 0, OVERLAID - 1, 3) &&
                   read_and_compare(line, device, 0, 512, OVERLAID, 1) && close_drive(line, device);
}

static void test_dropped_overlay(void **state)
{
    device_t device = {.buffer = 8192};
    ider_rig_t rig;

    (void)state;
    ider_up(&rig, play_twice, &device, NULL, &plain);
    rig.drops = 1;
    rig.close_at = (apr_uint64_t)7 * AMT_SECTOR;
    ider_run(&rig);
    assert_int_equal(rig.status, AMT_OK);
    ider_down(&rig);
    if (device.mistakes) {
        fail_msg("%d mistakes, the first in %s", device.mistakes, device.where);
    }
    assert_true(device.done);
}

static void test_reset(void **state)
{
    device_t device = {.buffer = 8192};
    ider_rig_t rig;

    (void)state;
    ider_up(&rig, play_reset, &device, NULL, &plain);
    rig.patience = 1000;
    ider_run(&rig);
    assert_int_equal(rig.status, AMT_OK);
    ider_down(&rig);
    if (device.mistakes) {
        fail_msg("%d mistakes, the first in %s", device.mistakes, device.where);
    }
    assert_true(device.done);
}

/* Commands that come before the one before is answered are answered in turn. */
static void play_queue(line_t *line, void *baton)
{
    device_t *device = baton;
    ask_t large = {1, 0xb0, 0, {0x28, 0, 0, 0, 0, 0, 0, 0, 200}};
    ask_t unknown = {0, 0xb0, 0, {0xbe}};
    unsigned char *data = malloc((size_t)200 * AMT_SECTOR);

    device->done = open_drive(line, device) && ask(line, device, &large) && ask(line, device, &unknown) &&
                   ask(line, device, &large) && ask(line, device, &unknown) &&
                   hear_data(line, device, &large, data, (size_t)200 * AMT_SECTOR) &&
                   hear_end(line, device, &unknown, 0x052000) &&
                   hear_data(line, device, &large, data, (size_t)200 * AMT_SECTOR) &&
                   hear_end(line, device, &unknown, 0x052000) && close_drive(line, device);
    free(data);
}

static void test_queue(void **state)
{
    device_t device = {.buffer = 8192};
    ider_rig_t rig;

    (void)state;
    ider_up(&rig, play_queue, &device, NULL, &plain);
    rig.close_at = (apr_uint64_t)400 * AMT_SECTOR;
    ider_run(&rig);
    assert_int_equal(rig.status, AMT_OK);
    ider_down(&rig);
    assert_int_equal(device.mistakes, 0);
    assert_true(device.done);
}

/* A device that asks for much and reads nothing costs no memory and no time, and closing still ends. */
static void play_lazy(line_t *line, void *baton)
{
    device_t *device = baton;
    ask_t large = {1, 0xb0, 0, {0x28, 0, 0, 0, 0, 0, 0, 0x1f, 0xff}};
    unsigned char ping[8] = {0x44};
    unsigned char *rest = malloc(1 << 20);

    if (open_drive(line, device) && ask(line, device, &large)) {
        for (int i = 0; i < 2000 && say(line, device, ping, sizeof(ping)); i++) {
        }
        device->done = 1;
        line_hear_all(line, rest, 1 << 20);
    }
    free(rest);
}

static void test_lazy_device(void **state)
{
    device_t device = {.buffer = 8192};
    ider_rig_t rig;

    (void)state;
    ider_up(&rig, play_lazy, &device, NULL, &plain);
    rig.patience = 300;
    ider_run(&rig);
    assert_int_equal(rig.status, AMT_OK);
    ider_down(&rig);
}

static void test_destroy_at_boot(void **state)
{
    device_t device = {.buffer = 8192};
    ider_rig_t rig;

    (void)state;
    ider_up(&rig, play_everything, &device, NULL, &plain);
    rig.destroy_at_boot = 1;
    ider_run(&rig);
    assert_int_equal(rig.booting, 1);
    assert_int_equal(rig.ended, 0);
    ider_down(&rig);
}

/* ---- mistakes of the device ------------------------------------------------------------------ */

typedef struct {
    const char *bytes;
    size_t length;
    int opened; /* they come after the drive was opened */
    amt_status_e status;
    const char *text;
} mistake_t;

#define BYTES(text) (text), sizeof(text) - 1
#define REPLY(status, to_device, from_device, proto)                                                         \
    "\x41" status "\0\0\0\0\0\0\1\0\0\0\0\0\0\0" to_device from_device "\0" proto "\0\0\0\0\0\0\0\0"

static const mistake_t mistakes[] = {
    {BYTES(REPLY("\1", "\0\x20", "\0\x20", "\0")), 0, AMT_REFUSED, "status 1"},
    {BYTES(REPLY("\2", "\0\x20", "\0\x20", "\0")), 0, AMT_BUSY, "another console"},
    {BYTES(REPLY("\0", "\1\x20", "\0\x20", "\0")), 0, AMT_GARBAGE, "8193"},
    {BYTES(REPLY("\0", "\0\x20", "\1\x20", "\0")), 0, AMT_GARBAGE, "8193"},
    {BYTES(REPLY("\0", "\xff\1", "\0\x20", "\0")), 0, AMT_GARBAGE, "511"},
    {BYTES(REPLY("\0", "\0\x20", "\0\x20", "\1")), 0, AMT_GARBAGE, "protocol 1"},
    {BYTES(REPLY("\0", "\0\x20", "\0\x20", "\0") "\x49\0\0\0\1\0\0\0\3\0\0\0\0"), 0, AMT_REFUSED,
     "switch the drive on"},
    {BYTES(REPLY("\0", "\0\x20", "\0\x20",
                 "\0") "\x41\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0\x20\0\x20\0\0\0\0\0\0\0\0\0\0"),
     0, AMT_GARBAGE, "twice"},
    {BYTES(REPLY("\0", "\0\x20", "\0\x20", "\0") "\x49\0\0\0\2\0\0\0\3\1\0\0\0"), 0, AMT_GARBAGE,
     "number 2 where 1"},
    {BYTES("\x50\0\0\0\0\0\0\0\0\0\0\0\0\0\xb0\xa0\0\0\0\0\0\0\0\0\0\0\0\0"), 0, AMT_GARBAGE,
     "before the drive"},
    {BYTES("\x41\0\0\0\5\0\0\0"), 0, AMT_TIMEOUT, "did not let us in"},
    {BYTES("\x4b\0\0\0\1\0\0\0"), 0, AMT_GARBAGE, "number 1 where 0"},
    {BYTES("\x20\0\0\0\0\0\0\0"), 0, AMT_GARBAGE, "message 0x20"},
    {BYTES("\x42\0\0\0\2\0\0\0"), 1, AMT_BROKEN, "closed it"},
    {BYTES("\x43\0\0\0\2\0\0\0"), 1, AMT_BROKEN, "closed it"},
    {BYTES("\x12\0\0\0"), 1, AMT_BROKEN, "the device ended it"},
    {BYTES("\x4b\0\0\0\3\0\0\0"), 1, AMT_GARBAGE, "number 3 where 2"},
    {BYTES("\x99"), 1, AMT_GARBAGE, "message 0x99"},
};

static void play_mistake(line_t *line, void *baton)
{
    const mistake_t *mistake = baton;
    device_t device = {.buffer = 8192};
    unsigned char rest[64];

    if (mistake->opened ? open_drive(line, &device)
                        : line_let_in(line, "IDER") && line_hear(line, rest, 18)) {
        line_say(line, mistake->bytes, mistake->length);
        line_hear_all(line, rest, sizeof(rest));
    }
}

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        mistake_t mistake = mistakes[i];
        ider_rig_t rig;

        ider_up(&rig, play_mistake, &mistake, NULL, &impatient);
        ider_run(&rig);
        if (rig.status != mistake.status || !strstr(rig.text, mistake.text)) {
            fail_msg("mistake %zu: status %d, \"%s\"", i, rig.status, rig.text);
        }
        assert_int_equal(rig.ended, 1);
        assert_int_equal(rig.opened, mistake.opened);
        assert_int_equal(rig.booting, 0);
        ider_down(&rig);
    }
}

static void play_short(line_t *line, void *baton)
{
    device_t *device = baton;

    if (open_drive(line, device) && try_the_rest(line, device)) {
        read_and_compare(line, device, 1, 0, 0, 8);
    }
}

/* Cut after any byte, and every byte changed: one end, with an error message unless we closed. */
static void test_cut_and_spoilt(void **state)
{
    size_t all = 450;

    (void)state;
    for (size_t place = 1; place < all; place++) {
        for (int spoil = 0; spoil < 2; spoil++) {
            device_t device = {.buffer = 8192};
            ider_rig_t rig;

            if (spoil && place % 11) {
                continue;
            }
            ider_up(&rig, play_short, &device, NULL, &impatient);
            rig.patience = 100;
            if (spoil) {
                redirection_peer_spoil(rig.peer, place, 0x81);
            }
            else {
                redirection_peer_cut(rig.peer, place);
            }
            ider_run(&rig);
            assert_int_equal(rig.ended, 1);
            assert_int_equal(rig.status == AMT_OK, *rig.text == '\0');
            ider_down(&rig);
        }
    }
}

static void test_bad_overlay(void **state)
{
    device_t device = {.buffer = 8192};
    amt_overlay_t outside = {.lba = SECTORS};
    ider_rig_t rig;

    (void)state;
    ider_up(&rig, play_everything, &device, NULL, &plain);
    assert_int_equal(
        amt_ider_open(&rig.ider, rig.loop, &rig.target, image, &outside, &ider_events, &rig, rig.pool),
        APR_EINVAL);
    assert_null(rig.ider);
    ider_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_it_all), cmocka_unit_test(test_read_it_all_by_tls),
        cmocka_unit_test(test_reset),       cmocka_unit_test(test_queue),
        cmocka_unit_test(test_lazy_device), cmocka_unit_test(test_destroy_at_boot),
        cmocka_unit_test(test_mistakes),    cmocka_unit_test(test_cut_and_spoilt),
        cmocka_unit_test(test_bad_overlay), cmocka_unit_test(test_dropped_overlay),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
