/* SPDX-License-Identifier: Apache-2.0 */
/* A step of a call as a WS-Man envelope. */
#include <apr_strings.h>
#include <string.h>

#include "amt/calls/call_priv.h"

const char *amt_class_name(const char *uri)
{
    const char *slash = strrchr(uri, '/');

    return slash != NULL ? slash + 1 : uri;
}

static const char *action_of(const amt_call_t *call)
{
    switch (call->step->verb) {
    case AMT_VERB_GET:
        return WSMAN_ACTION_GET;
    case AMT_VERB_PUT:
        return WSMAN_ACTION_PUT;
    case AMT_VERB_METHOD:
        break;
    }
    return apr_pstrcat(call->pool, call->step->uri, "/", call->step->method, NULL);
}

static void write_payload(const amt_call_t *call, wsman_writer_t *writer)
{
    const amt_step_t *step = call->step;

    if (step->verb == AMT_VERB_GET) {
        return;
    }
    wsman_start_class(writer, step->uri,
                      step->verb == AMT_VERB_PUT ? amt_class_name(step->uri)
                                                 : apr_pstrcat(call->pool, step->method, "_INPUT", NULL));
    if (step->write != NULL) {
        step->write(call, writer);
    }
    wsman_end(writer);
}

apr_status_t amt_request_write(amt_call_t *call, const char **bytes, apr_size_t *length)
{
    /* Firmware takes the path for To, and a counter for MessageID. */
    wsman_request_headers_t headers = {
        .to = "/wsman",
        .action = action_of(call),
        .resource_uri = call->step->uri,
        .selectors = call->step->selectors,
        .message_id = call->message_id,
        .operation_timeout = (int)apr_time_sec(call->device->http.target.call_timeout),
    };
    wsman_encoding_t utf8 = {WSMAN_UTF8, 0};
    wsman_writer_t *writer;
    apr_pool_t *scratch; /* the writer's buffers are several times the text */
    apr_status_t status;

    apr_pool_create(&scratch, call->pool);
    writer = wsman_writer_create(scratch);
    wsman_request_begin(writer, &headers);
    write_payload(call, writer);
    status = wsman_writer_finish(writer, utf8, bytes, length);
    if (status == APR_SUCCESS) {
        *bytes = apr_pmemdup(call->pool, *bytes, *length);
    }
    apr_pool_destroy(scratch);
    return status;
}
