/* SPDX-License-Identifier: Apache-2.0 */
/* The handler "amtunlock": HTTP around WS-Management.
 *
 * Decides what HTTP decides: method, content type, size, authentication. The envelope is left to wsman and
 * manageability. A body is read to its end, or up to its limit, before any answer: unread bytes would make httpd
 * close the connection, and the authentication with it.
 */
#include "httpd/pages_priv.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "httpd/caller_priv.h"
#include "httpd/config_priv.h"
#include "httpd/module_priv.h"
#include "httpd/place_priv.h"
#include "httpd/rate_priv.h"
#include "httpd/scopes_priv.h"
#include "manageability/manageability.h"
#include "wsman/names.h"

APLOG_USE_MODULE(amtunlock);

#define READ_CHUNK 8192
#define RETRY_AFTER 5 /* seconds, for callers while Redis does not answer */

#define BYTES_A_REQUEST 4096 /* each so many bytes of a body count as a request more */
#define LIMITED_BODY 16384   /* of a body that is not going to be served, enough to answer it */
#define UNSCOPED_SHARE 10    /* a caller who may unlock nothing has one part in so many of a limit */

/* One request and its answer. */
typedef struct {
    request_rec *r;
    const amtunlock_dir_t *conf;
    amtunlock_caller_e known;
    jobs_caller_t caller;
    wsman_reader_t *reader;
    apr_off_t received;         /* bytes of the body */
    int too_large;              /* the body is larger than what is read of it */
    int retry_after;            /* seconds; 0: the caller may send this request now */
    const wsman_fault_t *fault; /* of the reader; NULL: none so far */
    wsman_encoding_t encoding;  /* of the answer */
    const char *message_id;
} exchange_t;

/* ---- answering -------------------------------------------------------------------------------------- */

static int send_answer(exchange_t *x, const wsman_answer_t *answer)
{
    request_rec *r = x->r;

    r->status = answer->status;
    ap_set_content_type(r, answer->content_type);
    ap_set_content_length(r, (apr_off_t)answer->length);
    if (answer->fault != NULL && answer->fault->retry_after) {
        apr_table_setn(r->err_headers_out, "Retry-After", apr_itoa(r->pool, answer->fault->retry_after));
    }
    ap_rwrite(answer->bytes, (int)answer->length, r);
    return OK;
}

static int send_fault(exchange_t *x, const wsman_fault_t *fault)
{
    wsman_answer_t answer;

    wsman_answer_fault(fault, x->encoding, x->message_id, &answer, x->r->pool);
    return send_answer(x, &answer);
}

/* A fault with another HTTP status than WS-Management gives its kind. */
static int refuse_request(exchange_t *x, wsman_fault_e kind, int status, const char *reason)
{
    wsman_fault_t *fault = wsman_fault(x->r->pool, kind, NULL, "%s", reason);

    fault->status = status;
    return send_fault(x, fault);
}

static int deny_caller(exchange_t *x)
{
    if (x->known == AMTUNLOCK_CALLER_ANONYMOUS) {
        ap_log_rerror(
            APLOG_MARK, APLOG_INFO, 0, x->r,
            "AMTU0060: access denied: nobody was authenticated; this location needs an AuthType and Require");
    }
    return refuse_request(
        x, WSMAN_FAULT_ACCESS_DENIED, HTTP_FORBIDDEN,
        "the caller is not authenticated in a way that this service accepts: its log says why");
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static apr_status_t read_bucket(exchange_t *x, apr_bucket *bucket)
{
    const char *bytes;
    apr_size_t length;
    apr_status_t status = apr_bucket_read(bucket, &bytes, &length, APR_BLOCK_READ);

    if (status != APR_SUCCESS) {
        return status;
    }
    x->received += (apr_off_t)length;
    if (x->reader != NULL && x->fault == NULL && length) {
        x->fault = wsman_reader_feed(x->reader, bytes, length);
    }
    return APR_SUCCESS;
}

static apr_status_t read_brigade(exchange_t *x, apr_bucket_brigade *brigade, int *ended)
{
    for (apr_bucket *bucket = APR_BRIGADE_FIRST(brigade); bucket != APR_BRIGADE_SENTINEL(brigade);
         bucket = APR_BUCKET_NEXT(bucket)) {
        apr_status_t status;

        if (APR_BUCKET_IS_EOS(bucket)) {
            *ended = 1;
            return APR_SUCCESS;
        }
        if (!APR_BUCKET_IS_METADATA(bucket) && (status = read_bucket(x, bucket)) != APR_SUCCESS) {
            return status;
        }
    }
    return APR_SUCCESS;
}

/* Content-Length; 0 if there is none. */
static apr_off_t announced_length(const exchange_t *x)
{
    const char *text = apr_table_get(x->r->headers_in, "Content-Length");
    apr_off_t length = 0;

    return text != NULL && ap_parse_strict_length(&length, text) ? length : 0;
}

static apr_off_t most_to_read(const exchange_t *x)
{
    if (announced_length(x) > x->conf->max_body) {
        return 0;
    }
    return x->retry_after && x->conf->max_body > LIMITED_BODY ? LIMITED_BODY : x->conf->max_body;
}

/* Reads to the end, or until more than max_body came. Of a body whose Content-Length is too large, and of one that comes
 * too soon, only the beginning is read, enough to answer in its encoding. OK, or the HTTP status to return. */
static int read_body(exchange_t *x)
{
    request_rec *r = x->r;
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_off_t limit = most_to_read(x);
    int ended = 0;

    while (!ended && x->received <= limit) {
        apr_status_t status =
            ap_get_brigade(r->input_filters, brigade, AP_MODE_READBYTES, APR_BLOCK_READ, READ_CHUNK);

        if (status == APR_SUCCESS) {
            status = read_brigade(x, brigade, &ended);
        }
        apr_brigade_cleanup(brigade);
        if (status != APR_SUCCESS) {
            ap_log_rerror(APLOG_MARK, APLOG_INFO, status, r,
                          "AMTU0063: the body could not be read to its end");
            return ap_map_http_request_error(status, HTTP_BAD_REQUEST);
        }
    }
    x->too_large = !ended;
    if (x->too_large) {
        r->connection->keepalive = AP_CONN_CLOSE; /* the rest is not read */
    }
    return OK;
}

static void open_reader(exchange_t *x, const char *charset)
{
    wsman_limits_t limits = wsman_limits_default;

    limits.body = (apr_size_t)x->conf->max_body;
    x->reader = wsman_reader_create(&limits, charset, x->r->pool);
    x->encoding = wsman_reader_encoding(x->reader);
}

/* Encoding and MessageID for the answer, as far as the reader came. */
static void update_answer_terms(exchange_t *x)
{
    x->encoding = wsman_reader_encoding(x->reader);
    x->message_id = wsman_reader_message_id(x->reader);
}

/* The envelope, or NULL with x->fault set. */
static const wsman_envelope_t *finish_reader(exchange_t *x)
{
    const wsman_envelope_t *envelope = NULL;

    if (x->fault == NULL) {
        x->fault = wsman_reader_finish(x->reader, &envelope);
    }
    update_answer_terms(x);
    return x->fault != NULL ? NULL : envelope;
}

/* ---- refusals by HTTP ------------------------------------------------------------------------------- */

/* The media type in lower case, "" if none was sent; its charset, or NULL, in *charset. */
static const char *media_type(request_rec *r, const char **charset)
{
    const char *rest = apr_table_get(r->headers_in, "Content-Type");
    char *type;

    *charset = NULL;
    if (rest == NULL) {
        return "";
    }
    type = ap_get_token(r->pool, &rest, 1);
    while (*rest == ';') {
        const char *name;
        char *value;

        rest++;
        value = ap_get_token(r->pool, &rest, 1);
        name = ap_getword_nc(r->pool, &value, '=');
        if (strcasecmp(name, "charset") == 0) {
            *charset = *value == '"' ? ap_getword_conf_nc(r->pool, &value) : value;
        }
    }
    ap_str_tolower(type);
    return type;
}

static int is_soap(const char *type)
{
    return strcmp(type, "application/soap+xml") == 0;
}

/* A fault for a caller that sends or accepts SOAP; otherwise a plain text. */
static int refuse_method(exchange_t *x)
{
    request_rec *r = x->r;
    const char *accept = apr_table_get(r->headers_in, "Accept");
    const char *charset;
    int status;

    if (!is_soap(media_type(r, &charset)) &&
        (accept == NULL || ap_strcasestr(accept, "application/soap+xml") == NULL)) {
        return amtunlock_refuse_method(r, "POST");
    }
    if ((status = read_body(x)) != OK) {
        return status;
    }
    apr_table_setn(r->err_headers_out, "Allow", "POST");
    return refuse_request(x, WSMAN_FAULT_ACTION_NOT_SUPPORTED, HTTP_METHOD_NOT_ALLOWED,
                          "WS-Management requests are sent by POST");
}

/* What the body is packed with, unless a filter of httpd has unpacked it; NULL: it is as it is. */
static const char *content_coding(const exchange_t *x)
{
    const char *coding = apr_table_get(x->r->headers_in, "Content-Encoding");

    return coding != NULL && *coding && strcasecmp(coding, "identity") != 0 ? coding : NULL;
}

static int refuse_coding(exchange_t *x, const char *coding)
{
    const char *shown =
        ap_escape_logitem(x->r->pool, apr_pstrmemdup(x->r->pool, coding, strnlen(coding, 100)));

    apr_table_setn(x->r->err_headers_out, "Accept-Encoding", "identity");
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "AMTU0317: refused: the Content-Encoding is \"%s\"",
                  shown);
    return refuse_request(x, WSMAN_FAULT_UNSUPPORTED_FEATURE, HTTP_UNSUPPORTED_MEDIA_TYPE,
                          apr_psprintf(x->r->pool,
                                       "Content-Encoding %s is not understood here: send the body as it is",
                                       shown));
}

static int refuse_content(exchange_t *x, const char *type)
{
    /* WinRM's clients have a type of their own for messages of more than one part. */
    if (strcmp(type, "multipart/encrypted") == 0 || strcmp(type, "multipart/x-multi-encrypted") == 0) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, x->r,
                      "AMTU0061: the client encrypts its messages because it speaks plain HTTP; it must use "
                      "HTTPS here");
        return refuse_request(x, WSMAN_FAULT_UNSUPPORTED_FEATURE, HTTP_UNSUPPORTED_MEDIA_TYPE,
                              "encrypted messages are not supported; use HTTPS");
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "AMTU0062: refused: the content type is \"%s\"", type);
    return refuse_request(
        x, WSMAN_FAULT_UNSUPPORTED_FEATURE, HTTP_UNSUPPORTED_MEDIA_TYPE,
        strcmp(type, "text/xml") == 0
            ? "text/xml is the content type of SOAP 1.1; WS-Management is SOAP 1.2, and its content "
              "type is application/soap+xml"
            : "the content type of a request must be application/soap+xml");
}

static int refuse_size(exchange_t *x)
{
    wsman_fault_t *fault = wsman_fault(
        x->r->pool, WSMAN_FAULT_ENCODING_LIMIT, "ServiceEnvelopeLimit",
        "the request is larger than this service reads: %" APR_OFF_T_FMT " bytes", x->conf->max_body);

    fault->status = HTTP_REQUEST_ENTITY_TOO_LARGE;
    update_answer_terms(x);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r,
                  "AMTU0064: refused: the body is larger than %" APR_OFF_T_FMT " bytes", x->conf->max_body);
    return send_fault(x, fault);
}

/* ---- limits ----------------------------------------------------------------------------------------- */

/* One log line of a kind a second and child is enough. *last: of that kind. */
static int is_first_of_second(volatile apr_uint32_t *last)
{
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(apr_time_now());

    return apr_atomic_xchg32(last, now) != now;
}

/* 0, no limit, stays so. */
static int limit_for(const exchange_t *x, int limit)
{
    if (x->caller.reads_all || (x->caller.groups != NULL && x->caller.groups->nelts > 0) || limit == 0) {
        return limit;
    }
    return limit > UNSCOPED_SHARE ? limit / UNSCOPED_SHARE : 1;
}

/* Counts so many requests against what the caller may send. 0, or the seconds to wait; `done`: they were sent. */
static int count_requests(const exchange_t *x, apr_off_t requests, int done)
{
    int cost = requests > APR_INT32_MAX ? APR_INT32_MAX : (int)requests;

    return amtunlock_rate_take(x->caller.name, limit_for(x, x->conf->limit_requests), cost, done);
}

static int refuse_rate(exchange_t *x)
{
    static volatile apr_uint32_t last;
    int rate = limit_for(x, x->conf->limit_requests);
    int level = is_first_of_second(&last) ? APLOG_WARNING : APLOG_DEBUG;
    wsman_fault_t *fault =
        wsman_fault(x->r->pool, WSMAN_FAULT_QUOTA_LIMIT, NULL,
                    "this caller sends more than %d requests a second; send this one again in %d s", rate,
                    x->retry_after);

    fault->retry_after = x->retry_after;
    if (x->too_large) {
        update_answer_terms(x);
    }
    else {
        finish_reader(x); /* its MessageID */
    }
    ap_log_rerror(APLOG_MARK, level, 0, x->r,
                  "AMTU0081: refused: %s sends more than %d requests a second (AMTUnlockCallerLimits)",
                  x->caller.name, rate);
    return send_fault(x, fault);
}

/* ---- serving ---------------------------------------------------------------------------------------- */

/* While Redis does not answer, every request fails. A time-out says that an effect is not known. */
static int answer_level(const wsman_fault_t *fault, const char *note)
{
    static volatile apr_uint32_t last;

    if (fault != NULL && (fault->retry_after || fault->kind == WSMAN_FAULT_TIMED_OUT)) {
        return is_first_of_second(&last) ? APLOG_ERR : APLOG_INFO;
    }
    return fault != NULL || note != NULL ? APLOG_INFO : APLOG_DEBUG;
}

/* Changes and faults at level info. Mere reads at level debug, because consoles poll. Of systems that were denied
 * ("COUNT NAME ...") one line a second and child: the others are in the audit record of the workers. */
static void log_answer(exchange_t *x, const wsman_answer_t *answer, const char *note, const char *denied)
{
    static volatile apr_uint32_t last;
    const wsman_fault_t *fault = answer->fault;
    int level = answer_level(fault, note);
    const char *action = answer->action != NULL ? ap_escape_logitem(x->r->pool, answer->action) : "no action";

    ap_log_rerror(APLOG_MARK, level, 0, x->r, "AMTU0065: %s (%s) %s: %s%s%s%s%s", x->caller.name,
                  x->caller.mechanism, action, fault ? wsman_fault_subcode(fault->kind) : "answered",
                  fault ? ", " : "", fault ? fault->reason : "", note ? "; " : "", note ? note : "");
    if (denied != NULL && is_first_of_second(&last)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, x->r,
                      "AMTU0059: %s (%s) asked for systems that no AMTUnlockScope grants this caller: %s",
                      x->caller.name, x->caller.mechanism, ap_escape_logitem(x->r->pool, denied));
    }
}

static manageability_settings_t settings_for_caller(const exchange_t *x)
{
    const amtunlock_dir_t *conf = x->conf;

    return (manageability_settings_t){
        .system_name = x->r->server->server_hostname,
        .max_systems = conf->max_systems,
        .retention = conf->retention,
        .start_within = conf->start_within,
        .job_started = conf->job_started,
        .limits = {.jobs = conf->limit_jobs,
                   .systems = conf->limit_systems,
                   .contexts = conf->limit_contexts,
                   .kept = conf->limit_kept,
                   .names = limit_for(x, conf->limit_names)},
        .retry_after = RETRY_AFTER,
    };
}

static void serve_caller(exchange_t *x, const wsman_envelope_t *envelope, wsman_answer_t *answer)
{
    manageability_settings_t settings = settings_for_caller(x);
    const amtunlock_server_t *server = amtunlock_server(x->r->server);
    manageability_context_t context = {
        .settings = &settings, .jobs = server->jobs, .caller = &x->caller, .answers = server->answers};
    wsman_service_t service = manageability_service(&context);

    wsman_serve(&service, envelope, answer, x->r->pool);
    log_answer(x, answer, context.note, context.denied);
}

/* An anonymous caller may send Identify, and is not given vendor and version. */
static int serve_anonymous(exchange_t *x, const wsman_envelope_t *envelope)
{
    static const wsman_operation_t no_operations[] = {{NULL, NULL, NULL, 0}};
    static const wsman_service_t identify_only = {no_operations, {NULL, NULL, NULL}, NULL};
    const wsman_element_t *payload = envelope != NULL ? envelope->body->child : NULL;
    wsman_answer_t answer;

    if (payload == NULL || strcmp(payload->name, "Identify") != 0 ||
        strcmp(payload->ns, WSMAN_URI_WSMID) != 0) {
        return deny_caller(x);
    }
    wsman_serve(&identify_only, envelope, &answer, x->r->pool);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r, "AMTU0066: Identify answered to an anonymous caller");
    return send_answer(x, &answer);
}

static int serve_body(exchange_t *x)
{
    const wsman_envelope_t *envelope = finish_reader(x);
    wsman_answer_t answer;

    if (x->known == AMTUNLOCK_CALLER_ANONYMOUS) {
        return serve_anonymous(x, envelope);
    }
    if (envelope == NULL) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "AMTU0067: %s: no envelope that can be served: %s",
                      x->caller.name, x->fault->reason);
        return send_fault(x, x->fault);
    }
    serve_caller(x, envelope, &answer);
    return send_answer(x, &answer);
}

static int answer_unavailable(exchange_t *x)
{
    wsman_fault_t *fault = wsman_fault(x->r->pool, WSMAN_FAULT_ENDPOINT_UNAVAILABLE, "ResourceOffline",
                                       "this server has no job store; see its error log");

    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                  "AMTU0069: no job store: AMTUnlockRedis is not set, or failed");
    fault->retry_after = RETRY_AFTER;
    return send_fault(x, fault);
}

/* The body is read, or was too large to be kept. */
static int answer_post(exchange_t *x, const char *type)
{
    int known = x->known == AMTUNLOCK_CALLER_KNOWN;
    const char *coding = content_coding(x);

    if (x->known == AMTUNLOCK_CALLER_REFUSED ||
        (x->known == AMTUNLOCK_CALLER_ANONYMOUS && x->reader == NULL)) {
        return deny_caller(x);
    }
    if (known && !x->received) {
        /* Windows sends an empty body to find out whether it is authenticated */
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r, "AMTU0068: %s: empty request", x->caller.name);
        ap_set_content_length(x->r, 0);
        return OK;
    }
    if (coding != NULL) {
        return refuse_coding(x, coding);
    }
    if (x->reader == NULL) {
        return refuse_content(x, type);
    }
    if (x->retry_after) {
        return refuse_rate(x);
    }
    if (known && x->too_large) {
        return refuse_size(x);
    }
    if (known && amtunlock_server(x->r->server)->jobs == NULL) {
        return answer_unavailable(x);
    }
    amtunlock_scopes_publish(x->r->server, x->r->pool);
    return serve_body(x);
}

static int handle_post(exchange_t *x)
{
    const char *charset, *type = media_type(x->r, &charset);
    apr_off_t announced = announced_length(x);
    int status;

    x->known = amtunlock_caller(x->r, x->conf, &x->caller);
    if (x->known == AMTUNLOCK_CALLER_KNOWN) {
        x->retry_after = count_requests(x, 1 + announced / BYTES_A_REQUEST, 0);
    }
    if (is_soap(type)) {
        open_reader(x, charset);
    }
    if ((status = read_body(x)) != OK) {
        return status;
    }
    if (x->known == AMTUNLOCK_CALLER_KNOWN && x->received - announced >= BYTES_A_REQUEST) {
        count_requests(x, (x->received - announced) / BYTES_A_REQUEST, 1);
    }
    return answer_post(x, type);
}

int amtunlock_handler(request_rec *r)
{
    exchange_t x = {.r = r};
    int status = amtunlock_place(r, AMTUNLOCK_HANDLER);

    if (status != OK) {
        return status;
    }
    x.conf = amtunlock_dir(r);
    return r->method_number == M_POST ? handle_post(&x) : refuse_method(&x);
}
