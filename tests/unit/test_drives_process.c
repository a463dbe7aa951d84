/* SPDX-License-Identifier: Apache-2.0 */
/* A drive process, and workers that come and go: this program executed again, as the worker does it. The device takes
 * connections and keeps quiet, so that a drive stays as it was ordered; what a firmware does with it, tests/unlock has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "drives/channel_priv.h"
#include "drives/meeting_priv.h"
#include "redirection_peer.h"

#define PATIENCE apr_time_from_sec(20)

static apr_pool_t *pool;
static struct event_base *base;
static char folder[] = "/tmp/amtunlock-drives-XXXXXX";
static amt_image_t *image;
static redirection_peer_t *peer;
static atomic_int hung_up;

/* ---- a worker ------------------------------------------------------------------------------------------ */

typedef struct {
    apr_pool_t *pool;
    drives_t *drives;
    drive_t *drive;
    int ended;
    char text[200];
} rig_t;

static void on_event(void *baton)
{
    (void)baton;
    fail_msg("a device that keeps quiet has opened a drive");
}

static void on_ended(void *baton, const amt_result_t *result)
{
    rig_t *rig = baton;

    rig->ended++;
    apr_cpystrn(rig->text, result->text, sizeof(rig->text));
}

static rig_t *begin_worker(void)
{
    apr_pool_t *own = NULL;
    rig_t *rig;

    apr_pool_create(&own, pool);
    rig = apr_pcalloc(own, sizeof(*rig));
    rig->pool = own;
    assert_int_equal(drives_create(&rig->drives, base, folder, own), APR_SUCCESS);
    return rig;
}

static void order_drive(rig_t *rig, const char *fence, unsigned char byte, apr_interval_time_t alone)
{
    static const amt_ider_events_t events = {on_event, on_event, on_ended};
    amt_overlay_t overlay = {.lba = 1};
    const drive_order_t order = {.job = "job",
                                 .fence = fence,
                                 .target = {.fqdn = "pc.example",
                                            .address = redirection_peer_address(peer),
                                            .tls = AMT_TLS_NONE,
                                            .user = "admin",
                                            .password = "P@ssw0rd",
                                            .call_timeout = apr_time_from_sec(600)},
                                 .overlay = &overlay,
                                 .alone = alone};
    const char *error = NULL;

    memset(overlay.bytes, byte, sizeof(overlay.bytes));
    if (drive_open(&rig->drive, rig->drives, &order, image, &events, rig, &error, rig->pool) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
}

/* As a kill does: the connection ends, and nothing was said before. */
static void lose_worker(rig_t *rig)
{
    apr_pool_destroy(rig->pool);
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

#define AWAIT(condition)                                                                                     \
    do {                                                                                                     \
        apr_time_t until = clock_boottime() + PATIENCE;                                                      \
                                                                                                             \
        while (!(condition)) {                                                                               \
            assert_true(clock_boottime() < until);                                                           \
            event_base_loop(base, EVLOOP_NONBLOCK);                                                          \
            apr_sleep(apr_time_from_msec(2));                                                                \
        }                                                                                                    \
    } while (0)

static const char *socket_name(void)
{
    return apr_pstrcat(pool, folder, "/drives-" DRIVES_VERSION ".socket", NULL);
}

static int is_there(void)
{
    struct stat info;

    return lstat(socket_name(), &info) == 0;
}

static int connections(void)
{
    return redirection_peer_connections(peer);
}

static void keep_quiet(line_t *line, void *baton)
{
    char bytes[64];

    (void)baton;
    line_hear_all(line, bytes, sizeof(bytes));
    atomic_fetch_add(&hung_up, 1);
}

/* ---- the tests ----------------------------------------------------------------------------------------- */

static void test_it_begins_and_ends_with_its_work(void **state)
{
    rig_t *rig = begin_worker();
    struct stat info;

    (void)state;
    assert_false(is_there());
    order_drive(rig, "1", 'a', 0);
    AWAIT(connections() == 1);
    assert_int_equal(stat(socket_name(), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    drive_destroy(rig->drive);
    AWAIT(atomic_load(&hung_up) == 1);
    assert_true(is_there());
    lose_worker(rig);
    AWAIT(!is_there());
}

static void test_the_same_order_is_given_the_same_drive(void **state)
{
    rig_t *first = begin_worker(), *second = NULL;

    (void)state;
    order_drive(first, "1", 'a', apr_time_from_sec(600));
    drive_keep(first->drive);
    AWAIT(connections() == 1);
    lose_worker(first);
    second = begin_worker();
    order_drive(second, "1", 'a', apr_time_from_sec(600));
    drive_close(second->drive); /* which only who has it can do */
    AWAIT(second->ended == 1);
    AWAIT(atomic_load(&hung_up) == 1);
    assert_int_equal(connections(), 1);
    lose_worker(second);
    AWAIT(!is_there());
}

static void check_another_order(const char *fence, unsigned char byte)
{
    rig_t *first = begin_worker(), *second = NULL;

    order_drive(first, "1", 'a', apr_time_from_sec(600));
    drive_keep(first->drive);
    AWAIT(connections() == 1);
    lose_worker(first);
    second = begin_worker();
    order_drive(second, fence, byte, 0);
    AWAIT(connections() == 2);
    assert_int_equal(atomic_load(&hung_up), 1);
    assert_int_equal(second->ended, 0);
    lose_worker(second);
    AWAIT(!is_there());
}

static void test_of_another_boot_the_drive_is_another(void **state)
{
    (void)state;
    check_another_order("2", 'a');
}

static void test_with_another_sector_the_drive_is_another(void **state)
{
    (void)state;
    check_another_order("1", 'b');
}

/* Whoever has it is told. */
static void test_two_workers_and_one_drive(void **state)
{
    rig_t *first = begin_worker(), *second = begin_worker();

    (void)state;
    order_drive(first, "1", 'a', 0);
    AWAIT(connections() == 1);
    order_drive(second, "1", 'a', 0);
    AWAIT(first->ended == 1);
    assert_string_equal(first->text, "another order took its drive");
    order_drive(first, "2", 'a', 0);
    AWAIT(second->ended == 1 && connections() == 2);
    drive_destroy(first->drive);
    AWAIT(atomic_load(&hung_up) == 2);
    lose_worker(first);
    lose_worker(second);
    AWAIT(!is_there());
}

/* The one in the middle may not have begun, and never will. */
static void test_orders_in_a_row(void **state)
{
    rig_t *first = begin_worker(), *second = begin_worker();

    (void)state;
    order_drive(first, "1", 'a', 0);
    AWAIT(connections() == 1);
    order_drive(second, "2", 'a', 0);
    order_drive(first, "3", 'a', 0);
    AWAIT(first->ended + second->ended == 2);
    order_drive(second, "4", 'a', 0);
    drive_destroy(second->drive);
    AWAIT(first->ended + second->ended == 3);
    lose_worker(first);
    lose_worker(second);
    AWAIT(!is_there());
    AWAIT(atomic_load(&hung_up) == connections());
}

static void test_what_nobody_asks_for_ends(void **state)
{
    rig_t *rig = begin_worker();

    (void)state;
    order_drive(rig, "1", 'a', apr_time_from_msec(100));
    drive_keep(rig->drive);
    AWAIT(connections() == 1);
    lose_worker(rig);
    AWAIT(!is_there());
    AWAIT(atomic_load(&hung_up) == 1);
}

/* No PC looks for it yet, and who takes over would find the device busy. */
static void test_one_that_is_not_kept_ends_with_its_worker(void **state)
{
    rig_t *lost = begin_worker(), *kept = begin_worker();

    (void)state;
    order_drive(lost, "1", 'a', apr_time_from_sec(600));
    AWAIT(connections() == 1);
    lose_worker(lost);
    AWAIT(atomic_load(&hung_up) == 1);
    order_drive(kept, "2", 'a', apr_time_from_sec(600));
    AWAIT(connections() == 2);
    assert_int_equal(kept->ended, 0);
    drive_destroy(kept->drive);
    lose_worker(kept);
    AWAIT(!is_there());
}

static void test_who_leaves_leaves_nothing(void **state)
{
    rig_t *lost = begin_worker(), *rig = NULL;

    (void)state;
    order_drive(lost, "1", 'a', apr_time_from_sec(600));
    drive_keep(lost->drive);
    AWAIT(connections() == 1);
    lose_worker(lost);
    rig = begin_worker(); /* which knows nothing of that drive */
    drives_leave(rig->drives);
    lose_worker(rig);
    AWAIT(!is_there());
    AWAIT(atomic_load(&hung_up) == 1);
}

/* Workers that are stopped, one after the other: what the first has handed over is there for the third. */
static void test_what_is_handed_over_outlives_who_leaves(void **state)
{
    rig_t *first = begin_worker(), *second = NULL, *third = NULL;

    (void)state;
    order_drive(first, "1", 'a', apr_time_from_sec(600));
    drive_keep(first->drive);
    AWAIT(connections() == 1);
    drive_hand_over(first->drive);
    drives_leave(first->drives);
    lose_worker(first);
    second = begin_worker();
    drives_leave(second->drives);
    lose_worker(second);
    third = begin_worker();
    order_drive(third, "1", 'a', 0);
    drive_close(third->drive); /* which only who has it can do */
    AWAIT(third->ended == 1 && atomic_load(&hung_up) == 1);
    assert_int_equal(connections(), 1);
    lose_worker(third);
    AWAIT(!is_there());
}

/* No PC may look for it. */
static void test_one_that_is_not_kept_is_not_handed_over(void **state)
{
    rig_t *rig = begin_worker();

    (void)state;
    order_drive(rig, "1", 'a', apr_time_from_sec(600));
    AWAIT(connections() == 1);
    drive_hand_over(rig->drive);
    AWAIT(atomic_load(&hung_up) == 1);
    lose_worker(rig);
    AWAIT(!is_there());
}

/* What is said so is refused, and hurts nobody else. */
static void test_what_is_no_message(void **state)
{
    rig_t *rig = begin_worker();
    char bytes[40000] = "What is this?";
    int fd = -1;

    (void)state;
    order_drive(rig, "1", 'a', 0);
    AWAIT(connections() == 1);
    for (size_t size = 1; size <= sizeof(bytes); size = size == 1 ? 100 : size * 20) {
        assert_null(meeting_connect(&fd, folder, 0, pool));
        assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
        AWAIT(recv(fd, bytes, 1, MSG_DONTWAIT) == 0);
        close(fd);
    }
    assert_int_equal(rig->ended, 0);
    drive_destroy(rig->drive);
    lose_worker(rig);
    AWAIT(!is_there());
}

/* Who holds it may have been stopped there. */
static void test_a_lock_that_is_held(void **state)
{
    int lock = meeting_lock(folder), fd = -1;
    const char *error = meeting_connect(&fd, folder, 1, pool);

    (void)state;
    assert_true(lock >= 0);
    assert_non_null(error);
    assert_non_null(strstr(error, "cannot be locked"));
    assert_int_equal(fd, -1);
    close(lock);
    assert_non_null(meeting_connect(&fd, "/dev/null", 1, pool));
}

static void channel_on_message(void *baton, const message_t *message, const int files[CHANNEL_FILES])
{
    (void)message;
    (void)files;
    ++*(int *)baton;
}

static void channel_on_end(void *baton, const char *why)
{
    (void)why;
    ++*(int *)baton;
}

/* Only root can be another. */
static void test_another_user(void **state)
{
    static const channel_events_t events = {channel_on_message, channel_on_end};
    channel_t *channel = NULL;
    int pair[2], seen = 0, is_root = geteuid() == 0;

    (void)state;
    if (is_root) {
        assert_int_equal(seteuid(65534), 0);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    if (is_root) {
        assert_int_equal(seteuid(0), 0);
    }
    assert_int_equal(channel_create(&channel, base, pair[0], &events, &seen, pool),
                     is_root ? APR_EACCES : APR_SUCCESS);
    close(pair[1]);
}

/* ---- what all of them need ----------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    atomic_store(&hung_up, 0);
    peer = redirection_peer_start(keep_quiet, NULL, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    redirection_peer_stop(peer);
    return 0;
}

static int set_up_all(void **state)
{
    const char *file;
    FILE *out;

    (void)state;
    assert_non_null(mkdtemp(folder));
    file = apr_pstrcat(pool, folder, "/cd.iso", NULL);
    out = fopen(file, "wb");
    assert_non_null(out);
    assert_int_equal(ftruncate(fileno(out), 4L * AMT_SECTOR), 0);
    fclose(out);
    assert_null(amt_image_open(&image, file, pool));
    unlink(file);
    base = event_base_new();
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    unlink(apr_pstrcat(pool, folder, "/drives-" DRIVES_VERSION ".lock", NULL));
    rmdir(folder);
    apr_pool_destroy(pool);
    event_base_free(base);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_it_begins_and_ends_with_its_work),
        TEST(test_the_same_order_is_given_the_same_drive),
        TEST(test_of_another_boot_the_drive_is_another),
        TEST(test_with_another_sector_the_drive_is_another),
        TEST(test_two_workers_and_one_drive),
        TEST(test_orders_in_a_row),
        TEST(test_what_nobody_asks_for_ends),
        TEST(test_one_that_is_not_kept_ends_with_its_worker),
        TEST(test_who_leaves_leaves_nothing),
        TEST(test_what_is_handed_over_outlives_who_leaves),
        TEST(test_one_that_is_not_kept_is_not_handed_over),
        TEST(test_what_is_no_message),
        TEST(test_a_lock_that_is_held),
        TEST(test_another_user),
    };

    apr_initialize();
    apr_pool_create(&pool, NULL);
    log_open("/dev/null", LOG_LEVEL_INFO);
    if (argc == 3 && strcmp(argv[1], "drives") == 0) {
        return drives_serve(argv[2], pool);
    }
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
