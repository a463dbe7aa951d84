/* SPDX-License-Identifier: Apache-2.0 */
#include "amt_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "wsman/envelope.h"

static void initialize_once(void)
{
    static int done;

    if (!done) {
        done = 1;
        assert_int_equal(apr_initialize(), APR_SUCCESS);
        assert_int_equal(amt_library_init(), APR_SUCCESS);
        wsman_library_init();
    }
}

void rig_up_tls(rig_t *rig, const peer_row_t *rows, size_t count, SSL_CTX *tls, const amt_target_t *trust)
{
    memset(rig, 0, sizeof(*rig));
    initialize_once();
    apr_pool_create(&rig->pool, NULL);
    rig->base = event_base_new();
    assert_non_null(rig->base);
    assert_int_equal(amt_loop_create(&rig->loop, rig->base, rig->pool), APR_SUCCESS);
    rig->peer = peer_start(rows, count, tls);
    rig->target = *trust;
    rig->target.fqdn = trust->fqdn ? trust->fqdn : RIG_FQDN;
    rig->target.address = peer_address(rig->peer);
    rig->target.user = RIG_USER;
    rig->target.password = RIG_PASSWORD;
    rig->gate_open = 1;
    assert_int_equal(amt_device_create(&rig->device, rig->loop, &rig->target, rig->pool), APR_SUCCESS);
}

void rig_up(rig_t *rig, const peer_row_t *rows, size_t count)
{
    amt_target_t plain = {.tls = AMT_TLS_NONE, .call_timeout = apr_time_from_sec(2)};

    rig_up_tls(rig, rows, count, NULL, &plain);
}

void rig_down(rig_t *rig)
{
    if (rig->device) {
        amt_device_destroy(rig->device);
    }
    peer_stop(rig->peer);
    apr_pool_destroy(rig->pool);
    event_base_free(rig->base);
}

void rig_done(void *baton, const amt_result_t *result)
{
    rig_t *rig = baton;

    rig->dones++;
    rig->status = result->status;
    rig->acted = result->acted;
    rig->silent = result->silent;
    rig->return_value = result->return_value;
    apr_cpystrn(rig->text, result->text, sizeof(rig->text));
    event_base_loopbreak(rig->base);
}

int rig_gate(void *baton)
{
    rig_t *rig = baton;

    rig->gate_asked++;
    return rig->gate_open;
}

static void too_long(evutil_socket_t fd, short what, void *baton)
{
    (void)fd;
    (void)what;
    (void)baton;
    fail_msg("no callback within 30 s");
}

void rig_wait(rig_t *rig)
{
    struct timeval limit = {30, 0};
    struct event *guard = evtimer_new(rig->base, too_long, NULL);
    int before = rig->dones;

    evtimer_add(guard, &limit);
    while (rig->dones == before) {
        event_base_dispatch(rig->base);
    }
    event_free(guard);
}

void rig_spin(rig_t *rig)
{
    event_base_loop(rig->base, EVLOOP_NONBLOCK);
}

void rig_read_power(rig_t *rig, amt_facts_t *facts)
{
    amt_read(rig->device, AMT_READ_POWER, facts, rig_done, rig);
    rig_wait(rig);
}

void rig_request_power(rig_t *rig, int state)
{
    amt_request_power(rig->device, state, rig_gate, rig, rig_done, rig);
    rig_wait(rig);
}
