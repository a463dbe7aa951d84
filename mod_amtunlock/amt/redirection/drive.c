/* SPDX-License-Identifier: Apache-2.0 */
/* One table: operation code, what the CD does with it, what the floppy drive does. Numbers in SCSI are big
 * endian. */
#include "amt/redirection/drive_priv.h"

#include <string.h>

static const amt_sense_t no_medium = {0x02, 0x3a, 0x00};
static const amt_sense_t unknown_command = {0x05, 0x20, 0x00};
static const amt_sense_t out_of_range = {0x05, 0x21, 0x00};
static const amt_sense_t bad_field = {0x05, 0x24, 0x00};
static const amt_sense_t no_saved_values = {0x05, 0x39, 0x00};
static const amt_sense_t write_protected = {0x07, 0x27, 0x00};

/* A command under way. */
typedef struct {
    amt_drive_e drive;
    const unsigned char *cdb;
    apr_uint32_t sectors; /* of the image */
    amt_drive_answer_t *answer;
} command_t;

/* ---- numbers and bytes ----------------------------------------------------------------------- */

static unsigned int get16(const unsigned char *at)
{
    return (unsigned int)at[0] << 8 | at[1];
}

static apr_uint32_t get32(const unsigned char *at)
{
    return (apr_uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(unsigned char *at, unsigned int value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static void put32(unsigned char *at, apr_uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static void fail_command(const command_t *c, amt_sense_t sense)
{
    c->answer->sense = sense;
    c->answer->length = 0;
}

/* Adds bytes to the answer, which are 0. All tables together fit into AMT_DRIVE_DATA. */
static unsigned char *extend_answer(const command_t *c, apr_size_t length)
{
    unsigned char *place = c->answer->data + c->answer->length;

    c->answer->length += length;
    return place;
}

static void append_answer(const command_t *c, const unsigned char *bytes, apr_size_t length)
{
    memcpy(extend_answer(c, length), bytes, length);
}

/* The host has allocated no more than this. */
static void limit_answer(const command_t *c, apr_size_t allocated)
{
    if (c->answer->length > allocated) {
        c->answer->length = allocated;
    }
}

/* ---- commands of one line -------------------------------------------------------------------- */

static void succeed(const command_t *c)
{
    (void)c;
}

static void fail_no_medium(const command_t *c)
{
    fail_command(c, no_medium);
}

static void fail_write(const command_t *c)
{
    fail_command(c, write_protected);
}

/* START STOP UNIT: the tray does not open, an empty drive does not start. */
static void start_stop(const command_t *c)
{
    int start = c->cdb[4] & 0x01;
    int load = c->cdb[4] & 0x02;

    if (c->drive == AMT_DRIVE_CD && load && !start) {
        fail_command(c, bad_field);
    }
    else if (c->drive == AMT_DRIVE_FLOPPY && start) {
        fail_command(c, no_medium);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_sectors(const command_t *c, apr_uint32_t lba, apr_uint32_t count)
{
    if (lba > c->sectors || count > c->sectors - lba) {
        fail_command(c, out_of_range);
        return;
    }
    c->answer->lba = lba;
    c->answer->sectors = count;
}

static void read6(const command_t *c)
{
    apr_uint32_t lba = get32(c->cdb) & 0x1fffff;

    read_sectors(c, lba, c->cdb[4] ? c->cdb[4] : 256);
}

static void read10(const command_t *c)
{
    if (c->cdb[1] & 0x01) { /* addresses relative to the command before */
        fail_command(c, bad_field);
        return;
    }
    read_sectors(c, get32(c->cdb + 2), get16(c->cdb + 7));
}

/* READ CAPACITY(10) */
static void read_capacity(const command_t *c)
{
    unsigned char *data;

    if (!(c->cdb[8] & 0x01) && get32(c->cdb + 2)) {
        fail_command(c, bad_field);
        return;
    }
    data = extend_answer(c, 8);
    put32(data, c->sectors - 1);
    put32(data + 4, AMT_SECTOR);
}

/* READ FORMAT CAPACITIES: what a 1.44 MB disk would have, and that there is none */
static void read_format_capacities(const command_t *c)
{
    static const unsigned char data[] = {0, 0, 0, 8, 0, 0, 0x0b, 0x40, 3, 0, 2, 0};

    append_answer(c, data, sizeof(data));
    limit_answer(c, get16(c->cdb + 7));
}

/* ---- what kind of disc it is ----------------------------------------------------------------- */

enum { LEAD_OUT = 0xaa, DATA_TRACK = 0x14, FRAMES = 75, SECONDS = 60, LEAD_IN = 150 };

static void put_address(unsigned char *at, apr_uint32_t lba, int msf)
{
    apr_uint32_t frame = lba + LEAD_IN;

    if (!msf) {
        put32(at, lba);
        return;
    }
    at[1] = (unsigned char)(frame / FRAMES / SECONDS > 255 ? 255 : frame / FRAMES / SECONDS);
    at[2] = (unsigned char)(frame / FRAMES % SECONDS);
    at[3] = (unsigned char)(frame % FRAMES);
}

static void add_track(const command_t *c, unsigned char number, apr_uint32_t lba)
{
    unsigned char *track = extend_answer(c, 8);

    track[1] = DATA_TRACK;
    track[2] = number;
    put_address(track + 4, lba, c->cdb[1] & 0x02);
}

/* READ TOC/PMA/ATIP, formats 0 (tracks) and 1 (sessions): one session, one track */
static void read_toc(const command_t *c)
{
    unsigned int format =
        c->cdb[2] & 0x0f ? c->cdb[2] & 0x0f : c->cdb[9] >> 6; /* the older place: SFF-8020i */
    unsigned int first = c->cdb[6];
    unsigned char *head;

    if (format > 1 || (format == 0 && first > 1 && first != LEAD_OUT)) {
        fail_command(c, bad_field);
        return;
    }
    head = extend_answer(c, 4);
    head[2] = head[3] = 1;
    if (format == 1 || first <= 1) {
        add_track(c, 1, 0);
    }
    if (format == 0) {
        add_track(c, LEAD_OUT, c->sectors);
    }
    put16(head, (unsigned int)c->answer->length - 2);
    limit_answer(c, get16(c->cdb + 7));
}

/* READ DISC INFORMATION: complete, one session */
static void read_disc_information(const command_t *c)
{
    static const unsigned char head[] = {0, 32, 0x0e, 1, 1, 1, 1, 0x20};
    unsigned char *data = extend_answer(c, 34);

    memcpy(data, head, sizeof(head));
    memset(data + 16, 0xff, 8); /* no room behind it */
    limit_answer(c, get16(c->cdb + 7));
}

/* READ TRACK INFORMATION by address, track or session */
static void read_track_information(const command_t *c)
{
    apr_uint32_t number = get32(c->cdb + 2);
    unsigned int by = c->cdb[1] & 0x03;
    unsigned char *data;

    if (by == 3 || (by == 0 && number >= c->sectors) || (by != 0 && number != 1)) {
        fail_command(c, bad_field);
        return;
    }
    data = extend_answer(c, 36);
    put16(data, 34);
    data[2] = data[3] = 1;
    data[5] = 4; /* a data track */
    data[6] = 1; /* mode 1 */
    put32(data + 24, c->sectors);
    put32(data + 28, c->sectors - 1);
    limit_answer(c, get16(c->cdb + 7));
}

/* GET EVENT STATUS NOTIFICATION: asked for media, the medium is there and has not changed */
static void get_event_status(const command_t *c)
{
    static const unsigned char none[] = {0, 2, 0x80, 0x10};
    static const unsigned char media[] = {0, 6, 0x04, 0x10, 0, 0x02, 0, 0};

    if (!(c->cdb[1] & 0x01)) { /* it would answer later */
        fail_command(c, bad_field);
        return;
    }
    if (c->cdb[4] & 0x10) {
        append_answer(c, media, sizeof(media));
    }
    else {
        append_answer(c, none, sizeof(none));
    }
    limit_answer(c, get16(c->cdb + 7));
}

/* GET PERFORMANCE, the nominal kind: one speed from the first sector to the last */
static void get_performance(const command_t *c)
{
    enum { KILOBYTES_A_SECOND = 1385 };
    unsigned char *data;

    if (c->cdb[10] != 0 || (c->cdb[1] & 0x07) != 0) { /* another type; writing, or exceptions */
        fail_command(c, bad_field);
        return;
    }
    data = extend_answer(c, 8);
    put32(data, 4);
    if (get16(c->cdb + 8)) {
        put32(data, 4 + 16);
        data = extend_answer(c, 16);
        put32(data + 4, KILOBYTES_A_SECOND);
        put32(data + 8, c->sectors - 1);
        put32(data + 12, KILOBYTES_A_SECOND);
    }
}

/* ---- configuration --------------------------------------------------------------------------- */

/* Features (MMC-4 5.3): code, flags (1 current, 2 persistent), length of what follows, and that. */
static const unsigned char profile_list[] = {0x00, 0x00, 0x03, 4, 0x00, 0x08, 0x01, 0x00};
static const unsigned char core[] = {0x00, 0x01, 0x03, 4, 0, 0, 0, 2};
static const unsigned char morphing[] = {0x00, 0x02, 0x03, 4, 0, 0, 0, 0};
static const unsigned char removable_medium[] = {0x00, 0x03, 0x03, 4, 0x21, 0, 0, 0};
static const unsigned char random_readable[] = {0x00, 0x10, 0x01, 8, 0, 0, 0x08, 0x00, 0, 1, 1, 0};
static const unsigned char cd_read[] = {0x00, 0x1e, 0x09, 4, 0, 0, 0, 0};
static const unsigned char power_management[] = {0x01, 0x00, 0x03, 0};
static const unsigned char timeout[] = {0x01, 0x05, 0x03, 0};

static const struct {
    const unsigned char *bytes;
    apr_size_t length;
} features[] = {
    {profile_list, sizeof(profile_list)},
    {core, sizeof(core)},
    {morphing, sizeof(morphing)},
    {removable_medium, sizeof(removable_medium)},
    {random_readable, sizeof(random_readable)},
    {cd_read, sizeof(cd_read)},
    {power_management, sizeof(power_management)},
    {timeout, sizeof(timeout)},
};

/* All from a code on, all that are current (which all are), or just one. */
static void get_configuration(const command_t *c)
{
    unsigned int which = c->cdb[1] & 0x03;
    unsigned int from = get16(c->cdb + 2);
    unsigned char *head;

    if (which == 3) {
        fail_command(c, bad_field);
        return;
    }
    head = extend_answer(c, 8);
    for (apr_size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        unsigned int code = get16(features[i].bytes);

        if (which == 2 ? code == from : code >= from) {
            append_answer(c, features[i].bytes, features[i].length);
        }
    }
    put32(head, (apr_uint32_t)c->answer->length - 4);
    put16(head + 6, 0x0008); /* CD-ROM */
    limit_answer(c, get16(c->cdb + 7));
}

/* ---- mode pages ------------------------------------------------------------------------------ */

enum { ALL_PAGES = 0x3f, SAVED_VALUES = 3, CHANGEABLE_VALUES = 1 };

static const unsigned char cd_recovery[] = {0x01, 6, 0, 3, 0, 0, 0, 0};
static const unsigned char cd_power[] = {0x1a, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
static const unsigned char cd_timeout[] = {0x1d, 8, 0, 0, 0, 0, 0, 0, 0, 0};
/* reads CD-R and CD-RW; a tray that can be locked; 24 times the speed of audio */
static const unsigned char cd_capabilities[] = {0x2a, 18, 0x03, 0, 0,    0,    0x21, 0, 0x10, 0x89,
                                                0,    0,  0,    8, 0x10, 0x89, 0,    0, 0,    0};
static const unsigned char floppy_recovery[] = {0x01, 10, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0};
/* 500 kbit/s, 2 heads, 18 sectors of 512 bytes, 80 cylinders, 300 rotations a minute */
static const unsigned char flexible_disk[] = {0x05, 30, 0x01, 0xf4, 2, 18, 0x02, 0x00, 0, 80, 0,
                                              0,    0,  0,    0,    0, 0,  0,    0,    0, 0,  0,
                                              0,    0,  0,    0,    0, 0,  0x01, 0x2c, 0, 0};

static const struct {
    amt_drive_e drive;
    const unsigned char *bytes;
    apr_size_t length;
} pages[] = {
    {AMT_DRIVE_CD, cd_recovery, sizeof(cd_recovery)},
    {AMT_DRIVE_CD, cd_power, sizeof(cd_power)},
    {AMT_DRIVE_CD, cd_timeout, sizeof(cd_timeout)},
    {AMT_DRIVE_CD, cd_capabilities, sizeof(cd_capabilities)},
    {AMT_DRIVE_FLOPPY, floppy_recovery, sizeof(floppy_recovery)},
    {AMT_DRIVE_FLOPPY, flexible_disk, sizeof(flexible_disk)},
};

/* Nothing can be changed: for changeable values only a page's head is filled in. */
static void add_page(const command_t *c, const unsigned char *bytes, apr_size_t length, unsigned int values)
{
    memcpy(extend_answer(c, length), bytes, values == CHANGEABLE_VALUES ? 2 : length);
}

/* Adds the pages that are asked for; 0, and refused, if there is none. */
static int add_pages(const command_t *c)
{
    unsigned int wanted = c->cdb[2] & 0x3f;
    unsigned int values = c->cdb[2] >> 6;
    apr_size_t before = c->answer->length;

    if (values == SAVED_VALUES) {
        fail_command(c, no_saved_values);
        return 0;
    }
    for (apr_size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (pages[i].drive == c->drive && (wanted == ALL_PAGES || wanted == pages[i].bytes[0])) {
            add_page(c, pages[i].bytes, pages[i].length, values);
        }
    }
    if (c->answer->length == before || (c->cdb[3] != 0 && c->cdb[3] != 0xff)) {
        fail_command(c, bad_field);
        return 0;
    }
    return 1;
}

/* Kind of medium, and (floppy) that it cannot be written. */
static void describe_medium(const command_t *c, unsigned char *kind, unsigned char *protection)
{
    *kind = c->drive == AMT_DRIVE_CD ? 0x01 : 0;
    *protection = c->drive == AMT_DRIVE_CD ? 0 : 0x80;
}

static void mode_sense6(const command_t *c)
{
    unsigned char *head = extend_answer(c, 4);

    if (add_pages(c)) {
        head[0] = (unsigned char)(c->answer->length - 1);
        describe_medium(c, head + 1, head + 2);
        limit_answer(c, c->cdb[4]);
    }
}

static void mode_sense10(const command_t *c)
{
    unsigned char *head = extend_answer(c, 8);

    if (add_pages(c)) {
        put16(head, (unsigned int)c->answer->length - 2);
        describe_medium(c, head + 2, head + 3);
        limit_answer(c, get16(c->cdb + 7));
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

typedef void (*do_fn)(const command_t *c);

static const struct {
    unsigned char code;
    do_fn cd;
    do_fn floppy; /* NULL: not known to this drive */
} commands[] = {
    {0x00, succeed, fail_no_medium},    /* TEST UNIT READY */
    {0x04, fail_write, fail_no_medium}, /* FORMAT UNIT */
    {0x08, read6, fail_no_medium},
    {0x0a, fail_write, fail_no_medium}, /* WRITE(6) */
    {0x1a, mode_sense6, mode_sense6},
    {0x1b, start_stop, start_stop},
    {0x1e, succeed, succeed}, /* PREVENT ALLOW MEDIUM REMOVAL: there is no button */
    {0x23, NULL, read_format_capacities},
    {0x25, read_capacity, fail_no_medium},
    {0x28, read10, fail_no_medium},
    {0x2a, fail_write, fail_no_medium}, /* WRITE(10) */
    {0x2e, fail_write, fail_no_medium}, /* WRITE AND VERIFY(10) */
    {0x43, read_toc, NULL},
    {0x46, get_configuration, NULL},
    {0x4a, get_event_status, NULL},
    {0x51, read_disc_information, NULL},
    {0x52, read_track_information, NULL},
    {0x5a, mode_sense10, mode_sense10},
    {0xaa, fail_write, fail_no_medium}, /* WRITE(12) */
    {0xac, get_performance, NULL},
};

void amt_drive_command(amt_drive_e drive, const amt_image_t *image, const unsigned char cdb[AMT_CDB],
                       amt_drive_answer_t *answer)
{
    command_t c = {drive, cdb, amt_image_sectors(image), answer};
    do_fn act = NULL;

    memset(answer, 0, sizeof(*answer));
    for (apr_size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (commands[i].code == cdb[0]) {
            act = drive == AMT_DRIVE_CD ? commands[i].cd : commands[i].floppy;
        }
    }
    if (act != NULL) {
        act(&c);
    }
    else {
        fail_command(&c, unknown_command);
    }
}
