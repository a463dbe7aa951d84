/* SPDX-License-Identifier: Apache-2.0 */
/* See session_priv.h. */
#include "drives/session_priv.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "amt/http/target.h"
#include "amt/kerberos/ticket.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/oom.h"

/* An image that was read, and is not read any more, runs, or will never: nobody who is alone waits longer for it. */
#ifdef AMTUNLOCK_TEST
#define READS_NO_MORE clock_test_interval("AMTUNLOCK_TEST_READS_MS", apr_time_from_sec(60))
#else
#define READS_NO_MORE apr_time_from_sec(60)
#endif
#define TICKET_THREADS 4

/* From malloc: what stays of an order is much less than a pool has. */
struct session_t {
    APR_RING_ENTRY(session_t) link;
    drive_sessions_t *sessions;
    channel_t *client; /* NULL: it is alone */
    apr_uint32_t drive;
    const char *system, *job, *fence;
    unsigned char sector[DIGEST_BYTES]; /* of its own sector and where that lies */
    disc_t *disc;
    apr_pool_t *order;      /* the rest of it, until it begins; NULL: it has begun */
    amt_overlay_t *overlay; /* the order's */
    amt_target_t target;    /* the order's, but for user, tickets, and the password until it has logged in */
    int now;
    amt_ider_t *ider;         /* NULL: it waits */
    session_t *former, *next; /* whose end it waits for, and who waits for its end; NULL: none */
    apr_interval_time_t alone;
    apr_time_t alone_until;
    apr_uint64_t served;
    apr_time_t served_at; /* when that was seen to grow last */
    unsigned int is_kept : 1, is_handed_over : 1, is_open : 1, was_read : 1, is_concealed : 1, is_closing : 1;
    char texts[]; /* system, job, fence, user */
};

static void session_start(session_t *session);

/* ---- what is said -------------------------------------------------------------------------------------- */

static void tell(const session_t *session, message_e kind, const amt_result_t *result)
{
    message_t message = {.kind = kind, .drive = session->drive};

    if (result != NULL) {
        message.result = *result;
    }
    if (session->client != NULL && channel_send(session->client, &message, NULL) != APR_SUCCESS) {
        log_error("AMTU0570", "the worker cannot be told something: memory is out", "system",
                  session->system);
    }
}

/* ---- logins -------------------------------------------------------------------------------------------- */

static const char *keep_secret(const char *text)
{
    apr_size_t size = strlen(text) + 1;
    char *copy = OPENSSL_secure_malloc(size);

    if (copy != NULL) {
        memcpy(copy, text, size);
    }
    return copy;
}

static void forget_password(session_t *session)
{
    char *password = (char *)session->target.password;

    if (password != NULL) {
        OPENSSL_secure_clear_free(password, strlen(password) + 1);
    }
    session->target.password = NULL;
}

static void forget_order(session_t *session)
{
    if (session->order != NULL) {
        OPENSSL_cleanse(session->overlay, sizeof(*session->overlay));
        apr_pool_destroy(session->order);
    }
    session->order = NULL;
}

static apr_status_t run_for_ticket(void *runner, const char *group, apr_thread_start_t work, void *baton)
{
    drive_sessions_t *sessions = runner;
    apr_status_t status = APR_SUCCESS;

    (void)group;
    if (sessions->threads == NULL) {
        status = apr_thread_pool_create(&sessions->threads, 0, TICKET_THREADS, sessions->pool);
    }
    return status == APR_SUCCESS ? apr_thread_pool_push(sessions->threads, work, baton, 0, sessions) : status;
}

/* Another keytab, or another file under its name, is another account. */
static const char *take_tickets(session_t *session, const drive_order_t *order)
{
    drive_sessions_t *sessions = session->sessions;
    struct stat info = {0};
    const char *account, *error = NULL;

    if (order->keytab[0] == '\0') {
        return NULL;
    }
    (void)stat(order->keytab, &info); /* what is wrong with it is found when it is read */
    account = apr_psprintf(session->order, "%s %s %" APR_UINT64_T_FMT " %" APR_INT64_T_FMT, order->keytab,
                           order->principal, (apr_uint64_t)info.st_ino, (apr_int64_t)info.st_mtime);
    if (sessions->tickets == NULL || strcmp(sessions->account, account) != 0) {
        if (sessions->tickets != NULL) {
            amt_tickets_drop(sessions->tickets);
        }
        sessions->tickets = NULL;
        error = amt_tickets_open(&sessions->tickets, order->keytab, order->principal, session->order);
        sessions->account = apr_pstrdup(sessions->pool, account);
    }
    session->target.tickets = error == NULL ? amt_tickets_hold(sessions->tickets) : NULL;
    return error;
}

/* ---- the end of a session ------------------------------------------------------------------------------ */

static void session_free(session_t *session)
{
    session_t *next = session->next;

    session->sessions->trims = 1;
    APR_RING_REMOVE(session, link);
    if (session->former != NULL) {
        session->former->next = NULL;
    }
    if (session->ider != NULL) {
        amt_ider_destroy(session->ider);
    }
    forget_password(session);
    forget_order(session);
    if (session->target.tickets != NULL) {
        amt_tickets_drop(session->target.tickets);
    }
    disc_give_back(session->disc);
    free(session);
    if (next != NULL) {
        next->former = NULL;
        session_start(next);
    }
}

static void session_end(session_t *session, const amt_result_t *result)
{
    tell(session, MESSAGE_ENDED, result);
    session->client = NULL;
    session_free(session);
}

static void session_break(session_t *session, const char *why)
{
    const amt_result_t broken = {.status = AMT_BROKEN, .return_value = -1, .text = why};

    session_end(session, &broken);
}

/* ---- what the firmware does ---------------------------------------------------------------------------- */

static void session_on_opened(void *baton)
{
    session_t *session = baton;

    session->is_open = 1;
    session->sessions->trims = 1;
    forget_password(session); /* it has logged in */
    tell(session, MESSAGE_OPENED, NULL);
}

static void session_on_read(void *baton)
{
    session_t *session = baton;

    session->was_read = 1;
    tell(session, MESSAGE_READ, NULL);
}

static void session_on_ended(void *baton, const amt_result_t *result)
{
    session_t *session = baton;

    if (session->client == NULL && session->next == NULL) {
        log_info("AMTU0567", "a drive without a worker ended", "system", session->system, "text",
                 result->text);
    }
    session_end(session, result);
}

static void session_start(session_t *session)
{
    static const amt_ider_events_t events = {session_on_opened, session_on_read, session_on_ended};
    apr_status_t status =
        amt_ider_open(&session->ider, session->sessions->loop, &session->target, session->disc->image,
                      session->overlay, &events, session, session->sessions->pool);

    forget_order(session); /* it was copied */
    if (status != APR_SUCCESS) {
        session->ider = NULL;
        session_break(session, "no drive session for this PC could be made");
        return;
    }
    if (session->now) {
        amt_ider_enable_now(session->ider);
    }
}

/* ---- orders -------------------------------------------------------------------------------------------- */

static session_t *find_system(const drive_sessions_t *sessions, const char *system)
{
    session_t *session = NULL;

    APR_RING_FOREACH(session, &sessions->ring, session_t, link)
    {
        if (strcmp(session->system, system) == 0 && session->next == NULL) {
            return session;
        }
    }
    return NULL;
}

static int is_of_boot(const session_t *session, const message_t *message)
{
    unsigned char sector[DIGEST_BYTES];
    const drive_order_t *order = &message->order;

    if (session->is_closing || strcmp(session->job, order->job) != 0 ||
        strcmp(session->fence, order->fence) != 0) {
        return 0;
    }
    return session->is_concealed || (digest_sha256(&message->overlay, sizeof(message->overlay), sector) &&
                                     CRYPTO_memcmp(sector, session->sector, sizeof(sector)) == 0);
}

static void give_to_client(session_t *session, channel_t *client, apr_uint32_t drive)
{
    static const amt_result_t taken = {
        .status = AMT_BROKEN, .return_value = -1, .text = "another order took its drive"};

    tell(session, MESSAGE_ENDED, &taken);
    session->client = client;
    session->drive = drive;
    session->is_handed_over = 0;
    log_info("AMTU0566", "a worker goes on with a drive that is served already", "system", session->system,
             "job", session->job);
    if (session->is_open) {
        tell(session, MESSAGE_OPENED, NULL);
    }
    if (session->was_read) {
        tell(session, MESSAGE_READ, NULL);
    }
}

static void copy_order(session_t *session, const message_t *message)
{
    const drive_order_t *order = &message->order;
    const char *user = session->target.user;

    apr_pool_create(&session->order, session->sessions->pool);
    session->now = order->now;
    session->is_kept = order->now != 0;
    session->alone = order->alone;
    session->overlay = apr_pmemdup(session->order, &message->overlay, sizeof(message->overlay));
    amt_target_copy(&session->target, &order->target, session->order);
    session->target.user = user;
    session->target.password = keep_secret(order->target.password);
}

/* NULL, or why there is no drive by it. */
static const char *take_order(session_t *session, const message_t *message, int image)
{
    const char *error;

    copy_order(session, message);
    if (session->target.password == NULL ||
        !digest_sha256(&message->overlay, sizeof(message->overlay), session->sector)) {
        return "memory for secrets ran out";
    }
    error = disc_take(&session->disc, &session->sessions->discs, image, session->sessions->pool);
    return error == NULL ? take_tickets(session, &message->order) : error;
}

static const char *keep_text(char **place, const char *text)
{
    apr_size_t size = strlen(text) + 1;
    const char *kept = memcpy(*place, text, size);

    *place += size;
    return kept;
}

static session_t *add_session(drive_sessions_t *sessions, channel_t *client, const message_t *message)
{
    const drive_order_t *order = &message->order;
    session_t *session = calloc(1, sizeof(*session) + strlen(order->target.fqdn) + strlen(order->job) +
                                       strlen(order->fence) + strlen(order->target.user) + 4);
    char *place = NULL;

    if (session == NULL) {
        oom_end(APR_ENOMEM);
    }
    place = session->texts;
    session->system = keep_text(&place, order->target.fqdn);
    session->job = keep_text(&place, order->job);
    session->fence = keep_text(&place, order->fence);
    session->target.user = keep_text(&place, order->target.user);
    session->sessions = sessions;
    session->client = client;
    session->drive = message->drive;
    APR_RING_INSERT_TAIL(&sessions->ring, session, session_t, link);
    return session;
}

static void wait_for(session_t *session, session_t *former)
{
    session->former = former;
    former->next = session;
}

/* A firmware has one drive session: the one that is there ends first. */
static void replace_session(session_t *former, session_t *session)
{
    static const amt_result_t replaced = {
        .status = AMT_BROKEN, .return_value = -1, .text = "another drive was ordered for this PC"};
    session_t *first = former->former;

    if (first != NULL) { /* it has not begun */
        session_end(former, &replaced);
        wait_for(session, first);
        return;
    }
    wait_for(session, former);
    tell(former, MESSAGE_ENDED, &replaced);
    former->client = NULL;
    if (!former->is_closing) {
        former->is_closing = 1;
        amt_ider_close(former->ider);
    }
}

/* Lines of this process go where its worker's go: that may have opened another file since. */
static void follow_log(const message_t *message, int log)
{
    if (log >= 0 && dup2(log, STDERR_FILENO) == STDERR_FILENO) {
        log_open("-", message->level);
    }
}

void drive_sessions_open(drive_sessions_t *sessions, channel_t *client, const message_t *message,
                         const int files[CHANNEL_FILES])
{
    session_t *former = find_system(sessions, message->order.target.fqdn), *session = NULL;
    const char *error = NULL;

    follow_log(message, files[CHANNEL_LOG]);
    if (former != NULL && is_of_boot(former, message)) {
        give_to_client(former, client, message->drive);
        return;
    }
    session = add_session(sessions, client, message);
    error = take_order(session, message, files[CHANNEL_IMAGE]);
    if (error != NULL) {
        session_break(session, error);
    }
    else if (former != NULL) {
        replace_session(former, session);
    }
    else {
        session_start(session);
    }
}

/* ---- by number ----------------------------------------------------------------------------------------- */

static session_t *find_drive(const drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive)
{
    session_t *session = NULL;

    APR_RING_FOREACH(session, &sessions->ring, session_t, link)
    {
        if (session->client == client && session->drive == drive) {
            return session;
        }
    }
    return NULL;
}

void drive_sessions_keep(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive)
{
    session_t *session = find_drive(sessions, client, drive);

    if (session != NULL) {
        session->is_kept = 1;
    }
}

void drive_sessions_conceal(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive)
{
    session_t *session = find_drive(sessions, client, drive);

    if (session != NULL && session->ider != NULL) {
        amt_ider_drop_overlay(session->ider);
        session->is_concealed = 1;
    }
}

static void close_session(session_t *session)
{
    session->is_closing = 1;
    if (session->ider != NULL) {
        amt_ider_close(session->ider);
    }
    else {
        session_break(session, "it was closed before it was opened");
    }
}

void drive_sessions_close(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive)
{
    session_t *session = find_drive(sessions, client, drive);

    if (session != NULL) {
        close_session(session);
    }
}

void drive_sessions_drop(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive)
{
    session_t *session = find_drive(sessions, client, drive);

    if (session != NULL) {
        session->client = NULL;
        session_free(session);
    }
}

/* ---- without a worker ---------------------------------------------------------------------------------- */

static void leave_alone(session_t *session, int hands_over)
{
    apr_time_t now = clock_boottime();

    session->client = NULL;
    session->is_handed_over = hands_over && session->is_kept;
    session->alone_until = now + session->alone;
    session->served_at = now;
    if (!session->is_kept && !session->is_closing) {
        close_session(session);
    }
}

int drive_sessions_leave_alone(drive_sessions_t *sessions, const channel_t *client, int hands_over)
{
    session_t *session = NULL, *next = NULL;
    int count = 0;

    APR_RING_FOREACH_SAFE(session, next, &sessions->ring, session_t, link)
    {
        if (session->client == client) {
            count += session->is_kept;
            leave_alone(session, hands_over);
        }
    }
    return count;
}

void drive_sessions_hand_over(drive_sessions_t *sessions, const channel_t *client, apr_uint32_t drive)
{
    session_t *session = find_drive(sessions, client, drive);

    if (session != NULL) {
        leave_alone(session, 1);
    }
}

static session_t *first_alone(const drive_sessions_t *sessions)
{
    session_t *session = NULL;

    APR_RING_FOREACH(session, &sessions->ring, session_t, link)
    {
        if (session->client == NULL && !session->is_handed_over) {
            return session;
        }
    }
    return NULL;
}

void drive_sessions_drop_alone(drive_sessions_t *sessions)
{
    session_t *session = NULL;

    while ((session = first_alone(sessions)) != NULL) {
        session_free(session);
    }
}

static int is_over(session_t *session, apr_time_t now)
{
    apr_uint64_t served = session->ider != NULL ? amt_ider_served(session->ider) : 0;

    if (served != session->served) {
        session->served = served;
        session->served_at = now;
    }
    return now >= session->alone_until || (session->was_read && now >= session->served_at + READS_NO_MORE);
}

/* What connections held while they were made, or until they ended. */
static void give_memory_back(drive_sessions_t *sessions)
{
#ifndef __SANITIZE_THREAD__ /* its allocator leaves glibc's unused, which two threads must not begin at once */
    if (sessions->trims) {
        malloc_trim(0);
    }
#endif
    sessions->trims = 0;
}

void drive_sessions_tick(drive_sessions_t *sessions)
{
    apr_time_t now = clock_boottime();
    session_t *session = NULL, *next = NULL;

    give_memory_back(sessions);

    APR_RING_FOREACH_SAFE(session, next, &sessions->ring, session_t, link)
    {
        if (session->client == NULL && !session->is_closing && is_over(session, now)) {
            log_info("AMTU0569", "a drive is closed: no worker asked for it", "system", session->system,
                     "job", session->job);
            close_session(session);
        }
    }
}

/* ---- all of them --------------------------------------------------------------------------------------- */

int drive_sessions_exist(const drive_sessions_t *sessions)
{
    return !APR_RING_EMPTY(&sessions->ring, session_t, link);
}

apr_status_t drive_sessions_init(drive_sessions_t *sessions, struct event_base *base, apr_pool_t *pool)
{
    apr_status_t status = amt_loop_create(&sessions->loop, base, pool);

    sessions->pool = pool;
    APR_RING_INIT(&sessions->ring, session_t, link);
    discs_init(&sessions->discs);
    return status == APR_SUCCESS ? amt_loop_use_threads(sessions->loop, run_for_ticket, sessions) : status;
}
