/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange with a device: a POST, the challenge it may meet, the answer, and what libcurl's codes mean.
 *
 * libcurl repeats a POST on a reused connection that the peer closed; for a body that acts that would be a
 * second act. So such a body comes from a read callback, once, past the gate, and a rewind is refused unless
 * a 401 said that the device did not take the body.
 */
#include <apr_strings.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "amt/http/curl_priv.h"
#include "amt/http/digest_priv.h"
#include "amt/http/http_priv.h"
#include "amt/http/negotiate_priv.h"
#include "base/failpoint.h"

/* Challenges that are answered in one exchange: the handshake's own, and one more. */
enum { MAX_ANSWERED_CHALLENGES = 2, MAX_GIVEN = 2 };

/* Seconds that a connection may have been idle before it is used again. A body that acts needs one that was
 * used just now, or a new one: firmware closes idle connections, and a close that crosses the body leaves its
 * outcome unknown. */
static const long once_max_idle = 3;
static const long read_max_idle = 60;

/* ---- libcurl's callbacks --------------------------------------------------------------------- */

static size_t on_read_body(char *buffer, size_t size, size_t count, void *baton)
{
    amt_exchange_t *x = baton;
    apr_size_t room = size * count;
    apr_size_t left = x->length - x->offset;

    if (x->once && x->offset == 0) {
        FAILPOINT("act.before");
        if (x->given >= MAX_GIVEN || (x->given && !x->denied)) {
            return CURL_READFUNC_ABORT;
        }
        if (x->gate != NULL && !x->gate(x->gate_baton)) {
            x->fenced = 1;
            return CURL_READFUNC_ABORT;
        }
        FAILPOINT("act.gated");
    }
    if (x->offset == 0) {
        x->given++;
        x->denied = 0;
    }
    left = left < room ? left : room;
    memcpy(buffer, x->body + x->offset, left);
    x->offset += left;
    return left;
}

static int on_rewind_body(void *baton, curl_off_t offset, int origin)
{
    amt_exchange_t *x = baton;

    if (offset != 0 || origin != SEEK_SET || (x->once && x->given && !x->denied)) {
        return CURL_SEEKFUNC_FAIL;
    }
    x->offset = 0;
    return CURL_SEEKFUNC_OK;
}

/* A device that takes its time to challenge takes it again for the answer. */
static void begin_limit(const amt_exchange_t *x)
{
    struct timeval within = {.tv_sec = apr_time_sec(x->within), .tv_usec = apr_time_usec(x->within)};

    event_add(x->limit, &within);
}

/* "HTTP/1.1 401 ..." : a new answer begins. 0 if it is one 401 too many. */
static int begin_answer(amt_exchange_t *x, const char *line, apr_size_t length)
{
    const char *space = memchr(line, ' ', length);
    long status = space ? strtol(space, NULL, 10) : 0;

    x->answer_length = 0;
    if (x->offers != NULL) {
        x->offers[0] = '\0';
    }
    x->http_status = status;
    if (status != 401) {
        return 1;
    }
    x->challenges++;
    begin_limit(x);
    x->denied = x->given > 0;
    x->too_many = x->challenges > MAX_ANSWERED_CHALLENGES;
    return !x->too_many;
}

/* The head of a 401 is over, and libcurl would answer a challenge that it should not: the exchange begins again. */
static int ends_for_digest(const amt_exchange_t *x, const char *line)
{
    int plain = 1;

    if (x->http_status == 401 && !x->answers_itself && (line[0] == '\r' || line[0] == '\n')) {
        amt_digest_choose(x, &plain);
    }
    return !plain;
}

static size_t on_header(char *line, size_t size, size_t count, void *baton)
{
    amt_exchange_t *x = baton;
    apr_size_t length = size * count;

    x->headers_length += length;
    if (x->headers_length > AMT_MAX_HEADERS) {
        x->too_long = 1;
        return 0;
    }
    if (length > 5 && strncasecmp(line, "HTTP/", 5) == 0 && !begin_answer(x, line, length)) {
        return 0;
    }
    amt_negotiate_take_header(x, line, length);
    amt_digest_take_header(x, line, length);
    return ends_for_digest(x, line) ? 0 : length;
}

static int grow_answer(amt_exchange_t *x, apr_size_t needed)
{
    apr_size_t size = x->answer_size ? x->answer_size : 4096;
    char *answer;

    while (size < needed) {
        size *= 2;
    }
    answer = apr_palloc(x->pool, size);
    if (answer == NULL) {
        return 0;
    }
    if (x->answer_length) {
        memcpy(answer, x->answer, x->answer_length);
    }
    x->answer = answer;
    x->answer_size = size;
    return 1;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *baton)
{
    amt_exchange_t *x = baton;
    apr_size_t length = size * count;

    if (length > AMT_MAX_ANSWER - x->answer_length) {
        x->too_long = 1;
        return 0;
    }
    if (x->answer_length + length > x->answer_size && !grow_answer(x, x->answer_length + length)) {
        return 0;
    }
    memcpy(x->answer + x->answer_length, bytes, length);
    x->answer_length += length;
    return length;
}

/* Bytes that on_body() never sees count too: libcurl skips the page of a refusal that it answers. */
static int on_progress(void *baton, curl_off_t to_come, curl_off_t came, curl_off_t to_go, curl_off_t went)
{
    amt_exchange_t *x = baton;

    (void)to_come;
    (void)to_go;
    (void)went;
    x->too_long |= came > (curl_off_t)AMT_MAX_ANSWER;
    return x->too_long;
}

/* ---- start ----------------------------------------------------------------------------------- */

static CURLcode set_exchange_options(amt_http_t *http)
{
    amt_exchange_t *x = &http->exchange;
    CURL *easy = http->easy;
    CURLcode rc = CURLE_OK;

    AMT_SET(rc, easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->length);
    AMT_SET(rc, easy, CURLOPT_MAXAGE_CONN, x->once ? once_max_idle : read_max_idle);
    AMT_SET(rc, easy, CURLOPT_READFUNCTION, on_read_body);
    AMT_SET(rc, easy, CURLOPT_READDATA, x);
    AMT_SET(rc, easy, CURLOPT_SEEKFUNCTION, on_rewind_body);
    AMT_SET(rc, easy, CURLOPT_SEEKDATA, x);
    AMT_SET(rc, easy, CURLOPT_HEADERFUNCTION, on_header);
    AMT_SET(rc, easy, CURLOPT_HEADERDATA, x);
    AMT_SET(rc, easy, CURLOPT_WRITEFUNCTION, on_body);
    AMT_SET(rc, easy, CURLOPT_WRITEDATA, x);
    AMT_SET(rc, easy, CURLOPT_NOPROGRESS, 0L);
    AMT_SET(rc, easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    AMT_SET(rc, easy, CURLOPT_XFERINFODATA, x);
    if (http->digest != NULL) {
        AMT_SET(rc, easy, CURLOPT_HTTPHEADER, http->authorized);
    }
    return rc || !amt_http_is_kerberos(http) ? rc : amt_negotiate_set_options(http);
}

/* Gives the exchange to libcurl, from its first byte. */
static apr_status_t start_exchange(amt_http_t *http)
{
    http->error[0] = '\0';
    http->exchange.answers_itself = amt_http_is_kerberos(http) || http->digest != NULL;
    amt_tls_begin(&http->tls);
    if (http->digest != NULL && !amt_digest_authorize(http)) {
        return APR_ENOMEM;
    }
    if (set_exchange_options(http) != CURLE_OK ||
        curl_multi_add_handle(http->loop->multi, http->easy) != CURLM_OK) {
        return APR_ENOMEM;
    }
    http->exchanging = 1;
    begin_limit(&http->exchange);
    return APR_SUCCESS;
}

/* With a ticket the exchange starts; without one it ends here. */
static void exchange_on_ticket(amt_http_t *http, amt_status_e status)
{
    amt_reply_t reply = {.status = status};

    if (status == AMT_OK && start_exchange(http) != APR_SUCCESS) {
        reply.status =
            amt_http_say(http, AMT_BROKEN, "this worker has no memory for a call to %s", http->where);
    }
    if (reply.status != AMT_OK) {
        amt_http_drop_ticket(http);
        http->exchange.done(http->exchange.baton, &reply);
    }
}

/* A device that forgot its nonces sends a 401 without stale=true, which libcurl takes for a wrong
 * password. If the same password was good before, the exchange starts once more, without a nonce. */
static int begin_digest_again(amt_http_t *http, CURLcode code)
{
    amt_exchange_t *x = &http->exchange;

    if (code != CURLE_OK || http->digest != NULL || x->http_status != 401 || !x->knew_nonce || x->restarted ||
        x->challenges > 1) {
        return 0;
    }
    x->restarted = 1;
    x->offset = 0;
    x->headers_length = 0;
    http->knows_nonce = 0;
    curl_easy_reset(http->easy); /* the only way to drop the nonce; connection and session stay */
    return amt_http_set_options(http) == CURLE_OK && start_exchange(http) == APR_SUCCESS;
}

/* Answers the challenge of a device that libcurl is not left to. A nonce that was good before may be forgotten, and one
 * that is stale is no wrong password. */
static int begin_own_digest(amt_http_t *http)
{
    amt_exchange_t *x = &http->exchange;
    int plain = 1;
    amt_digest_t *offer = x->http_status == 401 && !x->too_many ? amt_digest_choose(x, &plain) : NULL;
    int was_sent = http->digest != NULL;

    if (offer == NULL || (was_sent ? !offer->stale && (!x->knew_nonce || x->restarted) : plain)) {
        return 0;
    }
    x->restarted |= was_sent;
    x->offset = 0;
    x->headers_length = 0;
    if (http->digest == NULL) {
        http->digest = apr_palloc(http->pool, sizeof(*http->digest));
    }
    *http->digest = *offer;
    curl_easy_reset(http->easy);
    return amt_http_set_options(http) == CURLE_OK && start_exchange(http) == APR_SUCCESS;
}

static int begin_kerberos_again(amt_http_t *http, CURLcode code)
{
    amt_exchange_t *x = &http->exchange;

    if (!amt_negotiate_wants_again(http, code)) {
        return 0;
    }
    x->unadmitted = 0;
    x->offset = 0;
    x->headers_length = 0;
    x->proof = NULL;
    return amt_negotiate_begin(http, exchange_on_ticket) == APR_SUCCESS;
}

/* ---- what an end means ----------------------------------------------------------------------- */

/* libcurl's own error text where it has one. */
static const char *curl_error_text(const amt_http_t *http, CURLcode code)
{
    return http->error[0] ? http->error : curl_easy_strerror(code);
}

static amt_status_e say_untrusted(amt_http_t *http, CURLcode code)
{
    if (http->tls.excess[0]) {
        return amt_http_say(http, AMT_TLS_UNTRUSTED, AMT_TLS_EXCESS, http->where, http->tls.excess);
    }
    if (http->tls.pin_seen[0]) {
        return amt_http_say(http, AMT_TLS_UNTRUSTED, AMT_TLS_OTHER_PIN, http->where, http->tls.pin_seen);
    }
    if (http->tls.bad_file != NULL) {
        return amt_http_say(http, AMT_TLS_UNTRUSTED, AMT_TLS_BAD_FILE, http->tls.bad_file, http->where,
                            http->tls.bad_why);
    }
    if (code != CURLE_PEER_FAILED_VERIFICATION && http->tls.asked) {
        return amt_http_say(http, AMT_TLS_UNTRUSTED, AMT_TLS_ASKED, http->where);
    }
    if (code != CURLE_PEER_FAILED_VERIFICATION && http->tls.alert >= 0) {
        return amt_http_say(http, AMT_TLS_UNTRUSTED, AMT_TLS_ALERT, http->where,
                            SSL_alert_desc_string_long(http->tls.alert), amt_tls_hint(&http->tls));
    }
    return amt_http_say(http, AMT_TLS_UNTRUSTED, AMT_TLS_BAD_CERTIFICATE, http->where,
                        curl_error_text(http, code), amt_tls_name_of(http->target.ca_file),
                        amt_tls_name_of(http->target.crl_file));
}

static amt_status_e say_unreachable(amt_http_t *http, CURLcode code)
{
    return amt_http_say(
        http, AMT_UNREACHABLE,
        "%s cannot be reached: %s; check that it has power and network, that AMT is set up, and the address",
        http->where, curl_error_text(http, code));
}

static amt_status_e say_silence(amt_http_t *http, CURLcode code)
{
    int seconds = (int)apr_time_sec(http->target.call_timeout);
    curl_off_t connected = 0;

    curl_easy_getinfo(http->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    if (connected == 0) {
        return say_unreachable(http, code);
    }
    if (!http->answered) {
        return amt_http_say(
            http, AMT_UNREACHABLE,
            "%s takes connections but gave no answer within %d s; if it stays so, restart its AMT "
            "(unplug the PC)",
            http->where, seconds);
    }
    return amt_http_say(http, AMT_TIMEOUT, "%s answered before, but not this call within %d s", http->where,
                        seconds);
}

/* A handshake that failed: with an alert the peers disagree, else the line broke or the peer speaks no
 * TLS. */
static amt_status_e say_handshake(amt_http_t *http, CURLcode code)
{
    if (http->tls.alert >= 0 || http->tls.excess[0]) {
        return say_untrusted(http, code);
    }
    return amt_http_say(http, AMT_UNREACHABLE, AMT_TLS_NO_HANDSHAKE, http->where, curl_error_text(http, code),
                        amt_tls_hint(&http->tls));
}

/* In TLS 1.3 a device says only after the handshake what it holds against our certificate, or against TLS 1.3. */
static amt_status_e say_broken(amt_http_t *http, CURLcode code)
{
    int at_once = !http->answered && http->exchange.challenges == 0 && http->tls.version == TLS1_3_VERSION;

    if (!http->answered && (http->tls.alert >= 0 || http->tls.asked || http->tls.excess[0])) {
        return say_untrusted(http, code);
    }
    return amt_http_say(http, AMT_BROKEN, "the connection to %s ended before the answer: %s%s", http->where,
                        curl_error_text(http, code), at_once ? amt_tls_hint(&http->tls) : "");
}

static amt_status_e say_garbage(amt_http_t *http, CURLcode code)
{
    return amt_http_say(http, AMT_GARBAGE, "what %s sent is no HTTP answer: %s; is it an AMT device?",
                        http->where, curl_error_text(http, code));
}

static amt_status_e say_auth_failed(amt_http_t *http)
{
    if (amt_http_is_kerberos(http)) {
        return amt_negotiate_say_refused(http);
    }
    if (http->exchange.given == 0 && http->exchange.challenges == 1) {
        return amt_http_say(http, AMT_AUTH_FAILED,
                            "%s asks for a kind of authentication that is not configured (digest is)",
                            http->where);
    }
    return amt_http_say(
        http, AMT_AUTH_FAILED,
        "%s refused the AMT user \"%s\" or its password; check both, and whether the account is locked",
        http->where, http->target.user);
}

/* A callback of ours ended the transfer. */
static amt_status_e say_stopped(amt_http_t *http, CURLcode code)
{
    const amt_exchange_t *x = &http->exchange;

    if (x->fenced) {
        return amt_http_say(http, AMT_FENCED,
                            "nothing was sent to %s: this worker may not act on it any more", http->where);
    }
    if (x->too_many || x->denied) {
        return say_auth_failed(http);
    }
    if (x->too_long) {
        return amt_http_say(http, AMT_GARBAGE, "%s sent an answer longer than %d KiB; is it an AMT device?",
                            http->where, (int)(AMT_MAX_ANSWER / 1024));
    }
    return say_broken(http, code);
}

/* What each of libcurl's codes means here; all others mean a broken connection. */
static const struct {
    CURLcode code;
    amt_status_e (*say)(amt_http_t *http, CURLcode code);
} meanings[] = {
    {CURLE_COULDNT_CONNECT, say_unreachable},
    {CURLE_COULDNT_RESOLVE_HOST, say_unreachable},
    {CURLE_INTERFACE_FAILED, say_unreachable},
    {CURLE_OPERATION_TIMEDOUT, say_silence},
    {CURLE_PEER_FAILED_VERIFICATION, say_untrusted},
    {CURLE_SSL_CACERT_BADFILE, say_untrusted},
    {CURLE_SSL_CERTPROBLEM, say_untrusted},
    {CURLE_SSL_ISSUER_ERROR, say_untrusted},
    {CURLE_SSL_INVALIDCERTSTATUS, say_untrusted},
    {CURLE_SSL_CONNECT_ERROR, say_handshake},
    {CURLE_WEIRD_SERVER_REPLY, say_garbage},
    {CURLE_UNSUPPORTED_PROTOCOL, say_garbage},
    {CURLE_BAD_CONTENT_ENCODING, say_garbage},
    {CURLE_ABORTED_BY_CALLBACK, say_stopped},
    {CURLE_WRITE_ERROR, say_stopped},
};

static amt_status_e say_failure(amt_http_t *http, CURLcode code)
{
    for (apr_size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (meanings[i].code == code) {
            return meanings[i].say(http, code);
        }
    }
    return say_broken(http, code);
}

static amt_status_e judge_exchange(amt_http_t *http, CURLcode code)
{
    if (code != CURLE_OK) {
        return say_failure(http, code);
    }
    if (http->exchange.http_status == 401) {
        return say_auth_failed(http);
    }
    http->knows_nonce = 1;
    http->answered = 1;
    return amt_http_is_kerberos(http) ? amt_negotiate_judge(http) : AMT_OK;
}

/* A refused connection is an answer; a neighbour that answers no ARP is as silent as one that answers no SYN. */
static int is_silent(const amt_http_t *http, CURLcode code)
{
    const amt_exchange_t *x = &http->exchange;
    curl_off_t encrypted = 0;
    long error = 0;

    curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &error);
    curl_easy_getinfo(http->easy, CURLINFO_APPCONNECT_TIME_T, &encrypted);
    if (code == CURLE_COULDNT_CONNECT) {
        return error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN || error == ETIMEDOUT;
    }
    return code == CURLE_OPERATION_TIMEDOUT && encrypted == 0 && x->headers_length == 0 && x->challenges == 0;
}

/* libcurl is done with the handle: calls `done`, or begins again. */
static void on_transfer_end(void *baton, CURLcode code)
{
    amt_http_t *http = baton;
    amt_exchange_t *x = &http->exchange;
    amt_reply_t reply = {.status = AMT_OK};
    char *content_type = NULL;

    http->exchanging = 0;
    event_del(http->limit);
    if (amt_http_is_kerberos(http) ? begin_kerberos_again(http, code)
                                   : begin_own_digest(http) || begin_digest_again(http, code)) {
        return;
    }
    reply.status = judge_exchange(http, code);
    amt_http_drop_ticket(http);
    reply.acted = x->once && x->given && !x->denied;
    if (reply.acted) {
        FAILPOINT("act.answered");
    }
    reply.silent = reply.status == AMT_UNREACHABLE && is_silent(http, code);
    reply.http_status = x->http_status;
    curl_easy_getinfo(http->easy, CURLINFO_CONTENT_TYPE, &content_type);
    reply.content_type = content_type;
    reply.bytes = x->answer;
    reply.length = x->answer_length;
    x->done(x->baton, &reply);
}

static void on_limit(evutil_socket_t fd, short what, void *baton)
{
    amt_http_t *http = baton;

    (void)fd;
    (void)what;
    if (http->exchanging) {
        curl_multi_remove_handle(http->loop->multi, http->easy);
        on_transfer_end(http, CURLE_OPERATION_TIMEDOUT);
    }
}

apr_status_t amt_exchange_begin(amt_http_t *http, const amt_exchange_t *exchange)
{
    if (http->limit == NULL) {
        http->limit = event_new(http->loop->base, -1, 0, on_limit, http);
    }
    if (http->limit == NULL) {
        return APR_ENOMEM;
    }
    http->transfer = (amt_transfer_t){.ended = on_transfer_end, .baton = http};
    http->exchange = *exchange;
    http->exchange.knew_nonce = http->knows_nonce;
    http->exchange.limit = http->limit;
    http->exchange.within = http->target.call_timeout;
    if (amt_http_is_kerberos(http) && amt_negotiate_needs_ticket(http)) {
        return amt_negotiate_begin(http, exchange_on_ticket);
    }
    return start_exchange(http);
}
