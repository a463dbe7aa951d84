/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the steps of a call, one after the other, and ends it in one callback. */
#include "amt/calls/call_priv.h"

#include <apr_strings.h>
#include <assert.h>
#include <stdlib.h>

/* A callback that the loop still owes. */
struct amt_refusal_t {
    amt_device_t *device;
    struct event *event;
    amt_done_fn done;
    void *baton;
    struct amt_refusal_t *next;
};

/* ---- the end --------------------------------------------------------------------------------- */

static void finish_call(amt_call_t *call, amt_status_e status)
{
    amt_device_t *device = call->device;
    amt_result_t result = {.status = status,
                           .acted = call->acted,
                           .return_value = call->return_value,
                           .text = status == AMT_OK ? "" : device->http.text,
                           .denied = status == AMT_REFUSED && device->denied,
                           .silent = status == AMT_UNREACHABLE && call->silent};
    amt_done_fn done = call->done;
    void *baton = call->baton;

    device->call = NULL;
    apr_pool_destroy(call->pool);
    done(baton, &result); /* may begin another call or destroy the device: must come last */
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void skip_unneeded_steps(amt_call_t *call)
{
    while (call->step->uri != NULL && call->step->needed != NULL && !call->step->needed(call)) {
        call->step++;
    }
}

static void next_step(amt_call_t *call)
{
    call->taken++;
    if (call->step->again != NULL && call->step->again(call)) {
        return;
    }
    call->taken = 0;
    call->step++;
    skip_unneeded_steps(call);
}

static amt_status_e begin_step(amt_call_t *call);

static void on_reply(void *baton, const amt_reply_t *reply)
{
    amt_call_t *call = baton;
    amt_status_e status = reply->status;

    call->acted |= reply->acted;
    call->silent = reply->silent;
    if (status == AMT_OK) {
        status = amt_answer_read(call, reply);
    }
    if (status == AMT_REFUSED && call->step->optional) {
        status = AMT_OK;
    }
    if (status == AMT_OK) {
        apr_pool_clear(call->pool); /* request and answer of the step before */
        next_step(call);
        status = call->step->uri != NULL ? begin_step(call) : AMT_OK;
        if (status == AMT_OK && call->step->uri != NULL) {
            return;
        }
    }
    finish_call(call, status);
}

static amt_status_e begin_step(amt_call_t *call)
{
    amt_device_t *device = call->device;
    amt_exchange_t exchange = {.pool = call->pool,
                               .once = call->step->once,
                               .gate = call->gate,
                               .gate_baton = call->gate_baton,
                               .done = on_reply,
                               .baton = call};

    device->denied = 0;
    apr_snprintf(call->message_id, sizeof(call->message_id), "%u", ++device->message_id);
    if (amt_request_write(call, &exchange.body, &exchange.length) != APR_SUCCESS ||
        amt_exchange_begin(&device->http, &exchange) != APR_SUCCESS) {
        return amt_say(device, AMT_BROKEN, "this worker has no memory for a call to %s", device->http.where);
    }
    return AMT_OK;
}

/* ---- ends from the loop ---------------------------------------------------------------- */

static void free_refusal(struct amt_refusal_t *refusal)
{
    event_free(refusal->event);
    free(refusal);
}

static void on_refusal(evutil_socket_t fd, short what, void *baton)
{
    struct amt_refusal_t *refusal = baton;
    struct amt_refusal_t **link = &refusal->device->refusals;
    amt_result_t result = {
        .status = AMT_REFUSED, .return_value = -1, .text = "this device has a call under way"};
    amt_done_fn done = refusal->done;
    void *done_baton = refusal->baton;

    (void)fd;
    (void)what;
    while (*link != refusal) {
        link = &(*link)->next;
    }
    *link = refusal->next;
    free_refusal(refusal);
    done(done_baton, &result);
}

/* A call while another is under way. Without memory for the refusal its `done` is never called. */
static void refuse_second_call(amt_device_t *device, amt_done_fn done, void *baton)
{
    struct amt_refusal_t *refusal = calloc(1, sizeof(*refusal));

    if (refusal == NULL) {
        return;
    }
    refusal->event = event_new(device->loop->base, -1, 0, on_refusal, refusal);
    if (refusal->event == NULL) {
        free(refusal);
        return;
    }
    refusal->device = device;
    refusal->done = done;
    refusal->baton = baton;
    refusal->next = device->refusals;
    device->refusals = refusal;
    event_active(refusal->event, EV_TIMEOUT, 1);
}

static void on_early_end(evutil_socket_t fd, short what, void *baton)
{
    amt_device_t *device = baton;

    (void)fd;
    (void)what;
    if (device->call != NULL) {
        finish_call(device->call, device->early_status);
    }
}

void amt_call_refuse(amt_call_t *call, amt_status_e status)
{
    call->device->early_status = status;
    event_active(call->device->early, EV_TIMEOUT, 1);
}

/* ---- the beginning --------------------------------------------------------------------------- */

amt_call_t *amt_call_create(amt_device_t *device, const amt_step_t *steps, void *out, amt_done_fn done,
                            void *baton)
{
    amt_call_t *call = device->call_space;

#ifdef AMTUNLOCK_TEST
    assert(device->call == NULL && "one call at a time per device");
#endif
    if (device->call != NULL) {
        refuse_second_call(device, done, baton);
        return NULL;
    }
    *call = (amt_call_t){
        .device = device, .step = steps, .out = out, .return_value = -1, .done = done, .baton = baton};
    apr_pool_create(&call->pool, device->pool);
    device->call = call;
    return call;
}

void amt_call_begin(amt_call_t *call)
{
    amt_status_e status;

    skip_unneeded_steps(call);
    status = call->step->uri != NULL ? begin_step(call) : AMT_OK;
    if (status != AMT_OK || call->step->uri == NULL) {
        amt_call_refuse(call, status);
    }
}

apr_status_t amt_call_init(amt_device_t *device)
{
    device->call_space = apr_pcalloc(device->pool, sizeof(*device->call_space));
    device->early = event_new(device->loop->base, -1, 0, on_early_end, device);
    return device->early != NULL ? APR_SUCCESS : APR_ENOMEM;
}

void amt_call_drop(amt_device_t *device)
{
    struct amt_refusal_t *refusal;

    while ((refusal = device->refusals)) {
        device->refusals = refusal->next;
        free_refusal(refusal);
    }
    if (device->early != NULL) {
        event_free(device->early);
        device->early = NULL;
    }
    if (device->call != NULL) {
        apr_pool_t *pool = device->call->pool;

        device->call = NULL;
        apr_pool_destroy(pool);
    }
}
