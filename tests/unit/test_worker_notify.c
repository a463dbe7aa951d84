/* SPDX-License-Identifier: Apache-2.0 */
/* What is reported to the service manager, whose socket the test holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "jobs/jobs.h"
#include "worker/process/notify_priv.h"

static int manager = -1;
static char path[96];

/* Listens at `address` ('@': abstract) and puts it into the environment, with a watchdog of so long. */
static void listen_at(const char *address, const char *watchdog, const char *pid)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t length = strlen(address);

    memcpy(name.sun_path, address, length);
    if (address[0] == '@')
        name.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(manager >= 0);
    assert_int_equal(
        bind(manager, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
        0);
    setenv("NOTIFY_SOCKET", address, 1);
    if (watchdog)
        setenv("WATCHDOG_USEC", watchdog, 1);
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
}

static int begin(void **state)
{
    (void)state;
    apr_snprintf(path, sizeof(path), "/tmp/amtu-notify-%d", (int)getpid());
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (manager >= 0)
        close(manager);
    manager = -1;
    unlink(path);
    unsetenv("NOTIFY_SOCKET");
    return 0;
}

/* The next datagram; "" where none came. */
static const char *received(void)
{
    static char text[256];
    ssize_t length = recv(manager, text, sizeof(text) - 1, 0);

    text[length > 0 ? length : 0] = '\0';
    return text;
}

static void words_arrive(const char *address)
{
    notify_t notify;

    listen_at(address, NULL, NULL);
    notify_init(&notify);
    assert_null(getenv("NOTIFY_SOCKET")); /* no helper may report in place of the worker */
    assert_true(notify_send(&notify, "READY=1\nSTATUS=well"));
    assert_string_equal(received(), "READY=1\nSTATUS=well");
    assert_true(notify_interval(&notify) < 0);
    notify_watchdog(&notify, 0);
    assert_string_equal(received(), "");
}

static void words_arrive_at_a_path(void **state)
{
    (void)state;
    words_arrive(path);
}

static void words_arrive_at_an_abstract_address(void **state)
{
    (void)state;
    words_arrive(apr_psprintf(*state, "@amtu-notify-%d", (int)getpid()));
}

static void without_a_manager_nothing_is_sent(void **state)
{
    static const char *const bad[] = {NULL, "", "relative", "vsock:2:1234"};
    notify_t notify;
    char *long_path = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (bad[i])
            setenv("NOTIFY_SOCKET", bad[i], 1);
        setenv("WATCHDOG_USEC", "1000", 1);
        notify_init(&notify);
        assert_false(notify_send(&notify, "READY=1"));
        assert_true(notify_interval(&notify) < 0);
    }
    long_path = apr_psprintf(*state, "/%0200d", 0);
    setenv("NOTIFY_SOCKET", long_path, 1);
    notify_init(&notify);
    assert_false(notify_send(&notify, "READY=1"));
}

static void a_manager_that_is_gone_is_no_harm(void **state)
{
    notify_t notify;

    (void)state;
    setenv("NOTIFY_SOCKET", path, 1);
    notify_init(&notify);
    assert_false(notify_send(&notify, "READY=1"));
}

static void the_watchdog_is_fed_while_all_loops_run(void **state)
{
    notify_t notify;

    (void)state;
    listen_at(path, "400000", apr_itoa(*state, getpid()));
    notify_init(&notify);
    assert_null(getenv("WATCHDOG_USEC"));
    assert_int_equal(notify_interval(&notify), 100000);
    notify_watchdog(&notify, clock_boottime());
    assert_string_equal(received(), "WATCHDOG=1");
    notify_watchdog(&notify, clock_boottime()); /* not yet again */
    assert_string_equal(received(), "");
    notify.due = 0;
    notify_watchdog(&notify, clock_boottime() - 250000); /* one is stuck */
    assert_string_equal(received(), "");
    notify.due = 0;
    notify_watchdog(&notify, clock_boottime());
    assert_string_equal(received(), "WATCHDOG=1");
}

static void anothers_watchdog_is_not_ours(void **state)
{
    notify_t notify;

    (void)state;
    listen_at(path, "400000", "1");
    notify_init(&notify);
    assert_true(notify_interval(&notify) < 0);
}

static int run_notify_tests(apr_pool_t *pool)
{
#define TEST(name)                                                                                           \
    {                                                                                                        \
#name, name, begin, end, pool                                                                        \
    }
    const struct CMUnitTest tests[] = {
        TEST(words_arrive_at_a_path),
        TEST(words_arrive_at_an_abstract_address),
        TEST(without_a_manager_nothing_is_sent),
        TEST(a_manager_that_is_gone_is_no_harm),
        TEST(the_watchdog_is_fed_while_all_loops_run),
        TEST(anothers_watchdog_is_not_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    apr_pool_t *pool = NULL;
    int failed = 0;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = run_notify_tests(pool);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
