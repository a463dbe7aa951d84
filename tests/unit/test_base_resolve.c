/* SPDX-License-Identifier: Apache-2.0 */
/* Names are looked up in bounded time, whatever DNS does; and a connection to Redis by name with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_general.h>

#include "base/clock.h"
#include "base/resolve.h"
#include "dns_peer.h"
#include "jobs/dial_priv.h"

#define SECOND apr_time_from_sec(1)

static const dns_name_t names[] = {
    {.name = "both.test", .four = "127.0.0.7 127.0.0.8", .six = "::1"},
    {.name = "four.test", .four = "127.0.0.7"},
    {.name = "none.test"},
    {.name = "silent.test", .silent = 1},
    {.name = "drops.test", .four = "127.0.0.9", .drops_six = 1},
    {.name = "long.test", .four = "127.0.0.10", .truncated = 1},
    {.name = "many.test",
     .four = "127.0.1.1 127.0.1.2 127.0.1.3 127.0.1.4 127.0.1.5 127.0.1.6 127.0.1.7 "
             "127.0.1.8 127.0.1.9 127.0.1.10"},
    {.name = "redis.test", .four = "127.0.0.2 127.0.0.3"},
    {0},
};

static const dns_name_t nobody[] = {{.name = "four.test", .silent = 1}, {0}};

static dns_peer_t *peer, *mute;

static void use_servers(const char *first, const dns_peer_t *last)
{
    char servers[100];

    snprintf(servers, sizeof(servers), "%s127.0.0.1:%d", first, dns_peer_port(last));
    setenv("AMTUNLOCK_TEST_DNS", servers, 1);
}

static int start_peers(void **state)
{
    (void)state;
    peer = dns_peer_start(names);
    mute = dns_peer_start(nobody);
    return 0;
}

static int stop_peers(void **state)
{
    (void)state;
    dns_peer_stop(peer);
    dns_peer_stop(mute);
    return 0;
}

static const char *look_up(const char *name, apr_interval_time_t limit, resolve_addresses_t *found)
{
    return resolve_name(name, clock_boottime() + limit, found);
}

static int has(const resolve_addresses_t *found, const char *address)
{
    for (int i = 0; i < found->count; i++) {
        if (strcmp(found->text[i], address) == 0) {
            return 1;
        }
    }
    return 0;
}

static void test_number_needs_no_server(void **state)
{
    resolve_addresses_t found;

    (void)state;
    use_servers("", mute);
    assert_null(look_up("192.0.2.7", SECOND, &found));
    assert_int_equal(found.count, 1);
    assert_string_equal(found.text[0], "192.0.2.7");
    assert_null(look_up("2001:db8::7", SECOND, &found));
    assert_string_equal(found.text[0], "2001:db8::7");
}

static void test_all_addresses_of_a_name(void **state)
{
    resolve_addresses_t found;

    (void)state;
    use_servers("", peer);
    assert_null(look_up("Both.test", 5 * SECOND, &found));
    assert_int_equal(found.count, 3);
    assert_true(has(&found, "127.0.0.7") && has(&found, "127.0.0.8") && has(&found, "::1"));
    assert_null(look_up("many.test", 5 * SECOND, &found));
    assert_int_equal(found.count, RESOLVE_ADDRESSES);
}

static void test_name_without_address(void **state)
{
    resolve_addresses_t found;

    (void)state;
    use_servers("", peer);
    assert_string_equal(look_up("nowhere.test", 5 * SECOND, &found), "there is no such name");
    assert_string_equal(look_up("none.test", 5 * SECOND, &found), "there is no address of that name");
    assert_int_equal(found.count, 0);
}

static void test_silence_ends_in_time(void **state)
{
    resolve_addresses_t found;
    apr_time_t begun = clock_boottime();

    (void)state;
    use_servers("", peer);
    assert_string_equal(look_up("silent.test", SECOND / 4, &found), "no DNS server answered in time");
    assert_in_range(clock_boottime() - begun, SECOND / 4, SECOND);
}

static void test_second_server_where_the_first_is_silent(void **state)
{
    char first[40];
    resolve_addresses_t found;
    apr_time_t begun = clock_boottime();

    (void)state;
    snprintf(first, sizeof(first), "127.0.0.1:%d,", dns_peer_port(mute));
    use_servers(first, peer);
    assert_null(look_up("four.test", 5 * SECOND, &found));
    assert_string_equal(found.text[0], "127.0.0.7");
    assert_true(clock_boottime() - begun < 3 * SECOND);
}

static void test_server_that_drops_questions_for_six(void **state)
{
    resolve_addresses_t found;
    apr_time_t begun = clock_boottime();

    (void)state;
    use_servers("", peer);
    assert_null(look_up("drops.test", 6 * SECOND, &found));
    assert_string_equal(found.text[0], "127.0.0.9");
    assert_true(clock_boottime() - begun < 4 * SECOND);
}

static void test_long_answer_comes_by_tcp(void **state)
{
    resolve_addresses_t found;

    (void)state;
    use_servers("", peer);
    assert_null(look_up("long.test", 5 * SECOND, &found));
    assert_string_equal(found.text[0], "127.0.0.10");
}

/* ---- a connection to Redis ----------------------------------------------------------------------------- */

static int listen_on(const char *address, int *port, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)*port)};
    socklen_t size = sizeof(to);

    inet_pton(AF_INET, address, &to.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
    *port = ntohs(to.sin_port);
    return fd;
}

static void test_redis_by_name_with_silent_dns(void **state)
{
    apr_pool_t *pool = NULL;
    const jobs_redis_t redis = {.host = "silent.test", .port = 6379};
    const char *why = NULL;
    apr_time_t begun = clock_boottime();

    (void)state;
    use_servers("", peer);
    apr_pool_create(&pool, NULL);
    assert_int_equal(jobs_dial(&redis, begun + SECOND / 4, &why, pool), -1);
    assert_true(clock_boottime() - begun < SECOND);
    assert_string_equal(why, "silent.test cannot be looked up: no DNS server answered in time");
    apr_pool_destroy(pool);
}

/* A listener whose queue is full does not answer the next connection. */
static int fill_queue(const char *address, int port, int *fds, int most)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int count = 0;

    inet_pton(AF_INET, address, &to.sin_addr);
    while (count < most) {
        fds[count] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[count++], (struct sockaddr *)&to, sizeof(to));
    }
    return count;
}

static void test_redis_behind_a_dead_address(void **state)
{
    enum { CONNECTIONS = 8 };
    apr_pool_t *pool = NULL;
    jobs_redis_t redis = {.host = "redis.test"};
    const char *why = NULL;
    int fds[CONNECTIONS], port = 0;
    int good = listen_on("127.0.0.3", &port, 4), dead = listen_on("127.0.0.2", &port, 0), fd;

    (void)state;
    use_servers("", peer);
    redis.port = port;
    apr_pool_create(&pool, NULL);
    for (int i = fill_queue("127.0.0.2", port, fds, CONNECTIONS); i < CONNECTIONS; i++) {
        fds[i] = -1;
    }
    fd = jobs_dial(&redis, clock_boottime() + SECOND, &why, pool);
    assert_true(fd >= 0);
    close(fd);
    for (int i = 0; i < CONNECTIONS; i++) {
        close(fds[i]);
    }
    close(good);
    close(dead);
    apr_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_needs_no_server),
        cmocka_unit_test(test_all_addresses_of_a_name),
        cmocka_unit_test(test_name_without_address),
        cmocka_unit_test(test_silence_ends_in_time),
        cmocka_unit_test(test_second_server_where_the_first_is_silent),
        cmocka_unit_test(test_server_that_drops_questions_for_six),
        cmocka_unit_test(test_long_answer_comes_by_tcp),
        cmocka_unit_test(test_redis_by_name_with_silent_dns),
        cmocka_unit_test(test_redis_behind_a_dead_address),
    };
    int result;

    apr_initialize();
    result = cmocka_run_group_tests(tests, start_peers, stop_peers);
    apr_terminate();
    return result;
}
