/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side: see drives.h. */
#include "drives/drives.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <apr_ring.h>
#include <apr_strings.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "drives/channel_priv.h"
#include "drives/meeting_priv.h"

/* A drive process that says nothing for so long hangs: no PC is served any more, and no other process may serve them. */
#ifdef AMTUNLOCK_TEST
#define SILENT_MOST clock_test_interval("AMTUNLOCK_TEST_DRIVES_MS", apr_time_from_sec(30))
#else
#define SILENT_MOST apr_time_from_sec(30)
#endif
#define ASKS 5 /* in that time */

typedef APR_RING_HEAD(drive_ring_t, drive_t) drive_ring_t;

struct drive_t {
    APR_RING_ENTRY(drive_t) link; /* an element alone, once it has ended */
    drives_t *drives;
    apr_uint32_t number;
    amt_ider_events_t events;
    void *baton;
};

struct drives_t {
    struct event_base *base;
    const char *folder;
    apr_pool_t *pool;
    apr_pool_t *connection; /* NULL: there is none */
    channel_t *channel;     /* the connection's */
    int process;            /* a pidfd of who is at its other end; -1: it could not be had */
    struct event watch;
    int unanswered;       /* questions whether it is there, since it said something */
    apr_uint32_t numbers; /* that were given */
    int leaves;
    drive_ring_t ring; /* that have not ended */
};

/* ---- what the drive process says ----------------------------------------------------------------------- */

static drive_t *find_drive(const drives_t *drives, apr_uint32_t number)
{
    drive_t *drive = NULL;

    APR_RING_FOREACH(drive, &drives->ring, drive_t, link)
    {
        if (drive->number == number) {
            return drive;
        }
    }
    return NULL; /* dropped meanwhile */
}

static void remove_drive(drive_t *drive)
{
    APR_RING_REMOVE(drive, link);
    APR_RING_ELEM_INIT(drive, link);
}

static void end_drive(drive_t *drive, const amt_result_t *result)
{
    remove_drive(drive);
    drive->events.ended(drive->baton, result);
}

static void client_on_message(void *baton, const message_t *message, const int files[CHANNEL_FILES])
{
    drives_t *drives = baton;
    drive_t *drive = find_drive(drives, message->drive);

    (void)files;
    drives->unanswered = 0;
    if (drive == NULL) {
        return;
    }
    switch (message->kind) {
    case MESSAGE_OPENED:
        drive->events.opened(drive->baton);
        break;
    case MESSAGE_READ:
        drive->events.booting(drive->baton);
        break;
    case MESSAGE_ENDED:
        end_drive(drive, &message->result);
        break;
    default: /* a worker's own words */
        break;
    }
}

/* Those whose end is told may order drives anew: of a new drive process. */
static void client_on_end(void *baton, const char *why)
{
    static const amt_result_t broken = {
        .status = AMT_BROKEN, .return_value = -1, .text = "the process that served its drive ended"};
    drives_t *drives = baton;
    drive_ring_t lost;
    log_number_t count = {{0}};
    int number = 0;

    APR_RING_INIT(&lost, drive_t, link);
    while (!APR_RING_EMPTY(&drives->ring, drive_t, link)) {
        drive_t *drive = APR_RING_FIRST(&drives->ring);

        APR_RING_REMOVE(drive, link);
        APR_RING_INSERT_TAIL(&lost, drive, drive_t, link);
        number++;
    }
    apr_pool_destroy(drives->connection);
    drives->connection = NULL;
    if (number > 0) {
        log_warn("AMTU0562", "the drive process is lost, and with it the drives that it served", "drives",
                 log_number(&count, number), "text", why);
    }
    while (!APR_RING_EMPTY(&lost, drive_t, link)) {
        end_drive(APR_RING_FIRST(&lost), &broken);
    }
}

/* ---- the connection ------------------------------------------------------------------------------------ */

static void say(drives_t *drives, message_e kind, apr_uint32_t number)
{
    const message_t message = {.kind = kind, .drive = number};

    if (drives->connection != NULL && channel_send(drives->channel, &message, NULL) != APR_SUCCESS) {
        log_error("AMTU0563", "the drive process cannot be told something: memory is out");
    }
}

/* ---- is it there? -------------------------------------------------------------------------------------- */

/* The connection ends with the process. */
static void end_process(drives_t *drives)
{
    log_error("AMTU0575", "the drive process hangs, and is killed");
    if (syscall(SYS_pidfd_send_signal, drives->process, SIGKILL, NULL, 0) != 0) {
        client_on_end(drives, "it hangs, and cannot be killed");
    }
}

/* Questions are counted, not time: this worker may have stood still itself. */
static void on_watch(evutil_socket_t fd, short what, void *data)
{
    drives_t *drives = data;

    (void)fd;
    (void)what;
    if (APR_RING_EMPTY(&drives->ring, drive_t, link)) {
        drives->unanswered = 0;
    }
    else if (drives->unanswered >= ASKS) {
        end_process(drives);
    }
    else {
        drives->unanswered++;
        say(drives, MESSAGE_ASK, 0);
    }
}

static apr_status_t stop_watch(void *data)
{
    drives_t *drives = data;

    event_del(&drives->watch);
    if (drives->process >= 0) {
        close(drives->process);
    }
    return APR_SUCCESS;
}

static void begin_watch(drives_t *drives)
{
    apr_interval_time_t every = SILENT_MOST / ASKS;
    const struct timeval interval = {.tv_sec = apr_time_sec(every), .tv_usec = apr_time_usec(every)};

    drives->unanswered = 0;
    drives->process = (int)syscall(SYS_pidfd_open, channel_process(drives->channel), 0);
    event_assign(&drives->watch, drives->base, -1, EV_PERSIST, on_watch, drives);
    event_add(&drives->watch, &interval);
    apr_pool_cleanup_register(drives->connection, drives, stop_watch, apr_pool_cleanup_null);
}

static const char *connect_drives(drives_t *drives, int start, apr_pool_t *pool)
{
    static const channel_events_t events = {client_on_message, client_on_end};
    int fd = -1;
    const char *error = meeting_connect(&fd, drives->folder, start, pool);
    apr_status_t status = APR_SUCCESS;

    if (fd < 0) {
        return error;
    }
    apr_pool_create(&drives->connection, drives->pool);
    status = channel_create(&drives->channel, drives->base, fd, &events, drives, drives->connection);
    if (status != APR_SUCCESS) {
        apr_pool_destroy(drives->connection);
        drives->connection = NULL;
        return "who listens at the drive process's socket is another user";
    }
    begin_watch(drives);
    if (drives->leaves) {
        say(drives, MESSAGE_LEAVE, 0);
    }
    return NULL;
}

static void note_no_way(const char *why, const char *system)
{
    log_error("AMTU0561", "no way to a drive process", "text", why, "system", system);
}

apr_status_t drives_create(drives_t **out, struct event_base *base, const char *folder, apr_pool_t *pool)
{
    drives_t *drives = apr_pcalloc(pool, sizeof(*drives));
    const char *error;

    drives->base = base;
    drives->folder = apr_pstrdup(pool, folder);
    drives->pool = pool;
    APR_RING_INIT(&drives->ring, drive_t, link);
    error = connect_drives(drives, 0, pool);
    if (error != NULL) {
        note_no_way(error, NULL);
    }
    *out = drives;
    return APR_SUCCESS;
}

void drives_leave(drives_t *drives)
{
    drives->leaves = 1;
    say(drives, MESSAGE_LEAVE, 0);
}

/* ---- a drive ------------------------------------------------------------------------------------------- */

static const char *send_order(drive_t *drive, const drive_order_t *order, const amt_image_t *image)
{
    const message_t message = {
        .kind = MESSAGE_OPEN, .drive = drive->number, .order = *order, .level = log_level_now()};
    const int files[CHANNEL_FILES] = {
        [CHANNEL_LOG] = log_duplicate(), [CHANNEL_IMAGE] = amt_image_descriptor(image)};
    apr_status_t status = APR_EMFILE;

    if (files[CHANNEL_LOG] >= 0) {
        status = channel_send(drive->drives->channel, &message, files);
        close(files[CHANNEL_LOG]);
    }
    return status == APR_SUCCESS ? NULL : text_strerror(status, drive->drives->connection);
}

apr_status_t drive_open(drive_t **out, drives_t *drives, const drive_order_t *order, const amt_image_t *image,
                        const amt_ider_events_t *events, void *baton, const char **error, apr_pool_t *pool)
{
    drive_t *drive = apr_pcalloc(pool, sizeof(*drive));

    *error = drives->connection == NULL ? connect_drives(drives, 1, pool) : NULL;
    drive->drives = drives;
    drive->number = ++drives->numbers;
    drive->events = *events;
    drive->baton = baton;
    if (*error == NULL) {
        *error = send_order(drive, order, image);
    }
    if (*error != NULL) {
        note_no_way(*error, order->target.fqdn);
        return APR_EGENERAL;
    }
    APR_RING_INSERT_TAIL(&drives->ring, drive, drive_t, link);
    *out = drive;
    return APR_SUCCESS;
}

static int has_ended(const drive_t *drive)
{
    return APR_RING_NEXT(drive, link) == drive;
}

void drive_keep(drive_t *drive)
{
    say(drive->drives, MESSAGE_KEEP, drive->number);
}

void drive_conceal(drive_t *drive)
{
    say(drive->drives, MESSAGE_CONCEAL, drive->number);
}

void drive_close(drive_t *drive)
{
    say(drive->drives, MESSAGE_CLOSE, drive->number);
}

static void part_with(drive_t *drive, message_e word)
{
    if (!has_ended(drive)) {
        remove_drive(drive);
        say(drive->drives, word, drive->number);
    }
}

void drive_hand_over(drive_t *drive)
{
    part_with(drive, MESSAGE_HAND_OVER);
}

void drive_destroy(drive_t *drive)
{
    part_with(drive, MESSAGE_DROP);
}
