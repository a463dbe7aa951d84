/* SPDX-License-Identifier: Apache-2.0 */
/* A power request to a device of the unit tests, which lives in a process of its own so that nothing of it
 * fails: a result that says that nothing was done lets the caller try again, so it must be true.
 */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "../unit/amt_rig.h"
#include "scenarios.h"

#define ADDRESS_ROOM 64
#define AT_MOST 15 /* seconds, well below what a run may take */

static struct {
    pid_t pid;
    int to, from; /* pipes: closing one asks how many power requests came, the other tells */
    char address[ADDRESS_ROOM];
} device;

static amt_result_t result;
static char text[640];
static int dones;

/* ---- the device's process ------------------------------------------------------------------------------ */

static int count_acts(peer_t *peer)
{
    const peer_request_t *requests = NULL;
    int count = peer_requests(peer, &requests), acts = 0;
    for (int i = 0; i < count; i++) {
        acts += requests[i].authorized && strstr(requests[i].body, "RequestPowerStateChange_INPUT") != NULL;
    }
    return acts;
}

static void be_device(int in, int out)
{
    const peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = POWER_REQUESTED("0")}};
    char address[ADDRESS_ROOM] = "", end, acts;
    peer_t *peer;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    peer = peer_start(rows, sizeof(rows) / sizeof(rows[0]), NULL);
    apr_cpystrn(address, peer_address(peer), sizeof(address));
    if (write(out, address, sizeof(address)) != (ssize_t)sizeof(address)) {
        _exit(1);
    }
    while (read(in, &end, 1) > 0) {
    }
    acts = (char)count_acts(peer);
    _exit(write(out, &acts, 1) == 1 ? 0 : 1);
}

static void reset_device(apr_pool_t *pool)
{
    int to[2], from[2];

    (void)pool;
    memset(&result, 0, sizeof(result));
    text[0] = '\0';
    dones = 0;
    TORTURE_HOLDS(pipe(to) == 0 && pipe(from) == 0);
    device.pid = fork();
    TORTURE_HOLDS(device.pid >= 0);
    if (device.pid == 0) {
        close(to[1]);
        close(from[0]);
        be_device(to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    device.to = to[1];
    device.from = from[0];
    TORTURE_HOLDS(read(device.from, device.address, ADDRESS_ROOM) == ADDRESS_ROOM);
}

/* How many power requests with a login reached it. */
static int end_device(void)
{
    char acts = 0;
    close(device.to);
    TORTURE_HOLDS(read(device.from, &acts, 1) == 1);
    close(device.from);
    waitpid(device.pid, NULL, 0);
    return acts;
}

/* ---- a call -------------------------------------------------------------------------------------------- */

static int may_act(void *baton)
{
    (void)baton;
    return 1;
}

static void on_done(void *base, const amt_result_t *said)
{
    dones++;
    result = *said;
    apr_cpystrn(text, said->text, sizeof(text));
    event_base_loopbreak(base);
}

static void on_late(evutil_socket_t fd, short what, void *base)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(base);
}

/* Until the call is answered. */
static void wait_done(struct event_base *base)
{
    const struct timeval limit = {AT_MOST, 0};
    struct event late;
    evtimer_assign(&late, base, on_late, base);
    if (evtimer_add(&late, &limit) == 0) {
        event_base_dispatch(base);
        event_del(&late);
        TORTURE_HOLDS(dones == 1);
    }
}

static void call_device(struct event_base *base, apr_pool_t *pool)
{
    const amt_target_t target = {.fqdn = RIG_FQDN,
                                 .address = device.address,
                                 .tls = AMT_TLS_NONE,
                                 .user = RIG_USER,
                                 .password = RIG_PASSWORD,
                                 .call_timeout = apr_time_from_sec(1)};
    amt_loop_t *loop = NULL;
    amt_device_t *made = NULL;

    if (amt_loop_create(&loop, base, pool) != APR_SUCCESS ||
        amt_device_create(&made, loop, &target, pool) != APR_SUCCESS) {
        return;
    }
    amt_request_power(made, 2, may_act, NULL, on_done, base);
    wait_done(base);
    amt_device_destroy(made);
}

static torture_verdict_e run_power(apr_pool_t *pool)
{
    apr_pool_t *life = NULL;
    struct event_base *base = event_base_new();

    if (base == NULL) {
        return TORTURE_REFUSED;
    }
    apr_pool_create(&life, pool);
    call_device(base, life);
    apr_pool_destroy(life);
    event_base_free(base);
    return dones == 1 && result.status == AMT_OK ? TORTURE_WELL : TORTURE_REFUSED;
}

static void check_power(torture_verdict_e said, apr_pool_t *pool)
{
    int acts = end_device();

    (void)pool;
    TORTURE_HOLDS(acts <= 1);
    if (said == TORTURE_WELL) {
        TORTURE_HOLDS(acts == 1 && result.acted && result.return_value == 0);
        return;
    }
    if (dones == 1) {
        TORTURE_SAYS(text);
        TORTURE_HOLDS(result.acted || acts == 0);
    }
}

static int start_client(apr_pool_t *pool)
{
    (void)pool;
    return amt_library_init() == APR_SUCCESS ? 0 : -1;
}

const torture_scenario_t torture_amt_power = {.name = "amt.power",
                                              .start = start_client,
                                              .reset = reset_device,
                                              .run = run_power,
                                              .check = check_power};
