/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/dispatch.h"

#include <apr_strings.h>
#include <string.h>

#include "wsman/checks_priv.h"
#include "wsman/element_priv.h"
#include "wsman/writer_priv.h"

/* A longer MessageID is not repeated in RelatesTo. */
#define MAX_RELATES_TO 2048

static const char *relates_to(const wsman_envelope_t *envelope)
{
    const char *id = envelope->message_id;

    return id != NULL && *id != '\0' && strlen(id) <= MAX_RELATES_TO ? id : NULL;
}

static apr_status_t fill_answer(wsman_answer_t *answer, wsman_writer_t *writer, wsman_encoding_t encoding,
                                int status)
{
    answer->status = status;
    /* "UTF-16" without a byte order, as clients expect it; the mark or the first character shows the order. */
    answer->content_type = encoding.charset == WSMAN_UTF8 ? "application/soap+xml;charset=UTF-8"
                                                          : "application/soap+xml;charset=UTF-16";
    return wsman_writer_finish(writer, encoding, &answer->bytes, &answer->length);
}

static apr_status_t fill_fault(const wsman_fault_t *fault, wsman_encoding_t encoding, const char *relates,
                               wsman_answer_t *answer, apr_pool_t *pool)
{
    wsman_writer_t *writer = wsman_writer_create(pool);

    answer->fault = fault;
    wsman_fault_write(writer, relates, fault);
    return fill_answer(answer, writer, encoding, fault->status);
}

void wsman_answer_fault(const wsman_fault_t *fault, wsman_encoding_t encoding, const char *relates,
                        wsman_answer_t *answer, apr_pool_t *pool)
{
    memset(answer, 0, sizeof(*answer));
    if (relates != NULL && strlen(relates) > MAX_RELATES_TO) {
        relates = NULL;
    }
    if (fill_fault(fault, encoding, relates, answer, pool) == APR_SUCCESS) {
        return;
    }
    /* its text cannot be written: the same fault with the kind's own text */
    if (fill_fault(wsman_fault(pool, fault->kind, NULL, NULL), encoding, NULL, answer, pool) == APR_SUCCESS) {
        answer->status = fault->status;
        answer->fault = fault;
        return;
    }
    answer->status = 500;
    answer->bytes = "";
    answer->length = 0;
}

/* ---- Identify (DSP0226 11) ---------------------------------------------------------------------------- */

static void write_optional(wsman_writer_t *writer, const char *local, const char *text)
{
    if (text != NULL) {
        wsman_element(writer, WSMAN_NS_WSMID, local, text);
    }
}

static void write_profiles(wsman_writer_t *writer, const char *const *profile)
{
    if (profile == NULL || *profile == NULL) {
        return;
    }
    wsman_start(writer, WSMAN_NS_WSMID, "SecurityProfiles");
    for (; *profile != NULL; profile++) {
        wsman_element(writer, WSMAN_NS_WSMID, "SecurityProfileName", *profile);
    }
    wsman_end(writer);
}

static void write_identity(wsman_writer_t *writer, const wsman_identity_t *identity)
{
    wsman_response_begin(writer, NULL, NULL);
    wsman_start(writer, WSMAN_NS_WSMID, "IdentifyResponse");
    wsman_element(writer, WSMAN_NS_WSMID, "ProtocolVersion", WSMAN_URI_WSMAN);
    write_optional(writer, "ProductVendor", identity->vendor);
    write_optional(writer, "ProductVersion", identity->version);
    write_profiles(writer, identity->security_profiles);
    wsman_end(writer);
}

/* ---- serving ------------------------------------------------------------------------------------------ */

static const wsman_fault_t *run_operation(wsman_request_t *request, const wsman_service_t *service,
                                          wsman_writer_t *writer)
{
    const wsman_envelope_t *envelope = request->envelope;
    const wsman_fault_t *fault;

    if (wsman_is_element(envelope->body->child, WSMAN_URI_WSMID, "Identify")) {
        if ((fault = wsman_check_understood(request)) == NULL) {
            write_identity(writer, &service->identity);
        }
        return fault;
    }
    if ((fault = wsman_check_request(request, service)) != NULL) {
        return fault;
    }
    wsman_response_begin(writer, relates_to(envelope),
                         apr_pstrcat(request->pool, envelope->action, "Response", NULL));
    wsman_write_reply_parameters(writer, envelope->reply_parameters);
    return request->operation->run(request, writer);
}

/* A time-out instead of EndpointUnavailable if the caller set a time and it is over; it still says what is certain.
 * An operation that succeeded is answered even if it is late. */
static const wsman_fault_t *timed_out_fault(const wsman_request_t *request, apr_time_t begun,
                                            const wsman_fault_t *fault)
{
    apr_interval_time_t taken = apr_time_now() - begun;

    if (fault == NULL || fault->kind != WSMAN_FAULT_ENDPOINT_UNAVAILABLE) {
        return fault;
    }
    if (request->max_time >= 0 && taken > request->max_time) {
        return wsman_fault(request->pool, WSMAN_FAULT_ENUMERATION_TIMED_OUT, NULL, "%s", fault->reason);
    }
    if (request->operation_timeout >= 0 && taken > request->operation_timeout) {
        return wsman_fault(request->pool, WSMAN_FAULT_TIMED_OUT, NULL, "%s", fault->reason);
    }
    return fault;
}

/* The answer of an operation that succeeded, or the fault that keeps it from being sent: what was asked for is done
 * then all the same. */
static const wsman_fault_t *finish_answer(const wsman_request_t *request, wsman_writer_t *writer,
                                          wsman_answer_t *answer)
{
    if (fill_answer(answer, writer, request->envelope->encoding, 200) != APR_SUCCESS) {
        return wsman_fault(
            request->pool, WSMAN_FAULT_INTERNAL, NULL,
            "The request was carried out, but its answer holds text that cannot be written as XML.");
    }
    if (answer->length <= request->max_envelope_size) {
        return NULL;
    }
    return wsman_fault(request->pool, WSMAN_FAULT_ENCODING_LIMIT, "MaxEnvelopeSize",
                       "The request was carried out, but its answer has %" APR_SIZE_T_FMT
                       " bytes, and the request allows %" APR_SIZE_T_FMT
                       ": ask for less, or set a larger wsman:MaxEnvelopeSize.",
                       answer->length, request->max_envelope_size);
}

void wsman_serve(const wsman_service_t *service, const wsman_envelope_t *envelope, wsman_answer_t *answer,
                 apr_pool_t *pool)
{
    wsman_request_t request = {.pool = pool,
                               .envelope = envelope,
                               .max_envelope_size = wsman_envelope_limit(envelope),
                               .operation_timeout = -1,
                               .max_time = -1,
                               .context = service->context};
    wsman_writer_t *writer = wsman_writer_create(pool);
    apr_time_t begun = apr_time_now();
    const wsman_fault_t *fault;

    memset(answer, 0, sizeof(*answer));
    if ((fault = timed_out_fault(&request, begun, run_operation(&request, service, writer))) == NULL) {
        fault = finish_answer(&request, writer, answer);
    }
    if (fault != NULL) {
        wsman_answer_fault(fault, envelope->encoding, relates_to(envelope), answer, pool);
    }
    answer->action = envelope->action;
}
