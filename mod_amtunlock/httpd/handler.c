/* SPDX-License-Identifier: Apache-2.0 */
/* The handler "amtunlock": HTTP around WS-Management.
 *
 * What HTTP itself decides is decided here (method, content type, size, who asks); what an envelope says is
 * the business of wsman and manageability. A body is read to its end, or at least up to its limit, before any
 * answer: a connection that carries an authentication must not be torn because of unread bytes.
 */
#include "httpd/mod_amtunlock_priv.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "manageability/manageability.h"
#include "wsman/names.h"

APLOG_USE_MODULE(amtunlock);

#define READ_CHUNK 8192
#define RETRY_AFTER 5 /* seconds, told to callers while Redis is away */

/* One request on its way through this file. */
typedef struct {
    request_rec *r;
    const amtunlock_dir_t *conf;
    amtunlock_caller_e known;
    jobs_caller_t caller;
    wsman_reader_t *reader;
    apr_off_t received;         /* bytes of the body */
    int too_large;              /* there are more of them than may be read */
    const wsman_fault_t *fault; /* of the reader, as soon as there is one */
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

/* A fault of this module's own, with an HTTP status that a row of the interface sets. */
static int refuse(exchange_t *x, wsman_fault_e kind, int status, const char *sentence)
{
    wsman_fault_t *fault = wsman_fault(x->r->pool, kind, NULL, "%s", sentence);

    fault->status = status;
    return send_fault(x, fault);
}

static int deny(exchange_t *x)
{
    if (x->known == AMTUNLOCK_CALLER_ANONYMOUS) {
        ap_log_rerror(
            APLOG_MARK, APLOG_INFO, 0, x->r,
            "AMTU0060: access denied: nobody was authenticated; this location needs an AuthType and Require");
    }
    return refuse(x, WSMAN_FAULT_ACCESS_DENIED, HTTP_FORBIDDEN,
                  "the caller is not authenticated in a way that this service accepts: its log says why");
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static apr_status_t take_bucket(exchange_t *x, apr_bucket *bucket)
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

static apr_status_t take_brigade(exchange_t *x, apr_bucket_brigade *brigade, int *ended)
{
    for (apr_bucket *bucket = APR_BRIGADE_FIRST(brigade); bucket != APR_BRIGADE_SENTINEL(brigade);
         bucket = APR_BUCKET_NEXT(bucket)) {
        apr_status_t status;

        if (APR_BUCKET_IS_EOS(bucket)) {
            *ended = 1;
            return APR_SUCCESS;
        }
        if (!APR_BUCKET_IS_METADATA(bucket) && (status = take_bucket(x, bucket)) != APR_SUCCESS) {
            return status;
        }
    }
    return APR_SUCCESS;
}

/* True where the client announces more than may be read. */
static int announces_too_much(const exchange_t *x)
{
    const char *text = apr_table_get(x->r->headers_in, "Content-Length");
    apr_off_t length = 0;

    return text != NULL && ap_parse_strict_length(&length, text) && length > x->conf->max_body;
}

/* Reads to the end, or until more than the limit came. Of a body that announces to be too large only the
 * beginning is read: enough to answer in its encoding. OK, or the status that httpd answers. */
static int read_body(exchange_t *x)
{
    request_rec *r = x->r;
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_off_t limit = announces_too_much(x) ? 0 : x->conf->max_body;
    int ended = 0;

    while (!ended && x->received <= limit) {
        apr_status_t status =
            ap_get_brigade(r->input_filters, brigade, AP_MODE_READBYTES, APR_BLOCK_READ, READ_CHUNK);

        if (status == APR_SUCCESS) {
            status = take_brigade(x, brigade, &ended);
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
        r->connection->keepalive = AP_CONN_CLOSE; /* the rest is not worth reading */
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

/* How to answer, as far as the reader came. */
static void learn_sender(exchange_t *x)
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
    learn_sender(x);
    return x->fault != NULL ? NULL : envelope;
}

/* ---- what HTTP refuses ------------------------------------------------------------------------------ */

/* The media type in lower case, its charset (or NULL) in *charset; "" where none was sent. */
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

/* Where the caller speaks SOAP (by what it sends or takes), a fault says it; httpd's own page otherwise. */
static int refuse_method(exchange_t *x)
{
    request_rec *r = x->r;
    const char *accept = apr_table_get(r->headers_in, "Accept");
    const char *charset;
    int status;

    r->allowed = AP_METHOD_BIT << M_POST;
    if (!is_soap(media_type(r, &charset)) &&
        (accept == NULL || ap_strcasestr(accept, "application/soap+xml") == NULL)) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if ((status = read_body(x)) != OK) {
        return status;
    }
    apr_table_setn(r->err_headers_out, "Allow", "POST");
    return refuse(x, WSMAN_FAULT_ACTION_NOT_SUPPORTED, HTTP_METHOD_NOT_ALLOWED,
                  "WS-Management requests are sent by POST");
}

static int refuse_type(exchange_t *x, const char *type)
{
    if (strcmp(type, "multipart/encrypted") == 0) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, x->r,
                      "AMTU0061: the client encrypts its messages because it speaks plain HTTP; it must "
                      "use HTTPS here");
        return refuse(x, WSMAN_FAULT_UNSUPPORTED_FEATURE, HTTP_UNSUPPORTED_MEDIA_TYPE,
                      "encrypted messages are not supported; use HTTPS");
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, "AMTU0062: refused: the content type is \"%s\"", type);
    return refuse(x, WSMAN_FAULT_UNSUPPORTED_FEATURE, HTTP_UNSUPPORTED_MEDIA_TYPE,
                  "the content type of a request must be application/soap+xml");
}

static int refuse_size(exchange_t *x)
{
    wsman_fault_t *fault = wsman_fault(
        x->r->pool, WSMAN_FAULT_ENCODING_LIMIT, "ServiceEnvelopeLimit",
        "the request is larger than this service reads: %" APR_OFF_T_FMT " bytes", x->conf->max_body);

    fault->status = HTTP_REQUEST_ENTITY_TOO_LARGE;
    learn_sender(x);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r,
                  "AMTU0064: refused: the body is larger than %" APR_OFF_T_FMT " bytes", x->conf->max_body);
    return send_fault(x, fault);
}

/* ---- serving ---------------------------------------------------------------------------------------- */

/* A job store that is away concerns every request: once a second and child is enough to say so. */
static int is_first_of_this_second(void)
{
    static volatile apr_uint32_t last;
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(apr_time_now());

    return apr_atomic_xchg32(&last, now) != now;
}

static int level_of(const wsman_fault_t *fault, const char *note)
{
    if (fault != NULL && fault->retry_after) {
        return is_first_of_this_second() ? APLOG_ERR : APLOG_INFO;
    }
    return fault != NULL || note != NULL ? APLOG_INFO : APLOG_DEBUG;
}

/* What only asks is debugging matter: consoles poll. What changes something, or was refused, is told. */
static void log_answer(exchange_t *x, const wsman_answer_t *answer, const char *note)
{
    const wsman_fault_t *fault = answer->fault;
    int level = level_of(fault, note);
    const char *action = answer->action != NULL ? ap_escape_logitem(x->r->pool, answer->action) : "no action";

    ap_log_rerror(APLOG_MARK, level, 0, x->r, "AMTU0065: %s (%s) %s: %s%s%s%s%s", x->caller.name,
                  x->caller.mechanism, action, fault ? wsman_fault_subcode(fault->kind) : "answered",
                  fault ? ", " : "", fault ? fault->reason : "", note ? "; " : "", note ? note : "");
}

static void serve(exchange_t *x, const wsman_envelope_t *envelope, wsman_answer_t *answer)
{
    const amtunlock_dir_t *conf = x->conf;
    manageability_settings_t settings = {
        .system_name = x->r->server->server_hostname,
        .max_systems = conf->max_systems,
        .retention = conf->retention,
        .start_within = conf->start_within,
        .job_started = conf->job_started,
        .max_waiting_jobs = conf->limit_jobs,
        .max_waiting_systems = conf->limit_systems,
        .max_contexts = conf->limit_contexts,
        .retry_after = RETRY_AFTER,
    };
    manageability_context_t context = {&settings, amtunlock_server(x->r->server)->store, &x->caller, NULL};
    wsman_service_t service = manageability_service(&context);

    wsman_serve(&service, envelope, answer, x->r->pool);
    log_answer(x, answer, context.note);
}

/* Nobody in particular may ask what this is, and learns no more than that. */
static int serve_anonymous(exchange_t *x, const wsman_envelope_t *envelope)
{
    static const wsman_operation_t no_operations[] = {{NULL, NULL, NULL, 0}};
    static const wsman_service_t identify_only = {no_operations, {NULL, NULL, NULL}, NULL};
    const wsman_element_t *payload = envelope != NULL ? envelope->body->child : NULL;
    wsman_answer_t answer;

    if (payload == NULL || strcmp(payload->name, "Identify") != 0 ||
        strcmp(payload->ns, WSMAN_URI_WSMID) != 0) {
        return deny(x);
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
    serve(x, envelope, &answer);
    return send_answer(x, &answer);
}

/* Windows asks with an empty body whether it is authenticated yet. */
static int answer_empty(exchange_t *x)
{
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, x->r, "AMTU0068: %s: empty request", x->caller.name);
    ap_set_content_length(x->r, 0);
    return OK;
}

static int without_store(exchange_t *x)
{
    wsman_fault_t *fault = wsman_fault(x->r->pool, WSMAN_FAULT_ENDPOINT_UNAVAILABLE, "ResourceOffline",
                                       "this server has no job store; see its error log");

    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, x->r,
                  "AMTU0069: no job store: AMTUnlockRedis is not set, or failed");
    fault->retry_after = RETRY_AFTER;
    return send_fault(x, fault);
}

static int exchange(exchange_t *x)
{
    const char *charset;
    const char *type = media_type(x->r, &charset);
    int status;

    x->known = amtunlock_caller(x->r, x->conf, &x->caller);
    if (is_soap(type)) {
        open_reader(x, charset);
    }
    if ((status = read_body(x)) != OK) {
        return status;
    }
    if (x->known == AMTUNLOCK_CALLER_REFUSED ||
        (x->known == AMTUNLOCK_CALLER_ANONYMOUS && x->reader == NULL)) {
        return deny(x);
    }
    if (x->known == AMTUNLOCK_CALLER_KNOWN && !x->received) {
        return answer_empty(x);
    }
    if (x->reader == NULL) {
        return refuse_type(x, type);
    }
    if (x->known == AMTUNLOCK_CALLER_KNOWN && x->too_large) {
        return refuse_size(x);
    }
    if (x->known == AMTUNLOCK_CALLER_KNOWN && amtunlock_server(x->r->server)->store == NULL) {
        return without_store(x);
    }
    return serve_body(x);
}

int amtunlock_handler(request_rec *r)
{
    exchange_t x = {.r = r};

    if (r->handler == NULL || strcmp(r->handler, AMTUNLOCK_HANDLER) != 0) {
        return DECLINED;
    }
    x.conf = amtunlock_dir(r);
    return r->method_number == M_POST ? exchange(&x) : refuse_method(&x);
}
