/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes over HTTP. libcurl speaks HTTP, TLS and SPNEGO; this file says how, and turns what goes wrong
 * into what a person can do about it. An answer is collected whole before it is read: the bodies of 401s
 * never get that far.
 */
#include "console/client_priv.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <curl/curl.h>

#include "base/clock.h"
#include "console/ticket_priv.h"

#define ANSWER_MAX ((apr_size_t)16 << 20)
#define CONNECT_SECONDS 10L
#define ANSWER_SECONDS 60L
#define CONTENT_TYPE "application/soap+xml"
/* For how long a change is sent again, and the pause before each time, ms. */
#ifdef AMTUNLOCK_TEST
#define PATIENCE clock_test_interval("AMTUNLOCK_TEST_PATIENCE_MS", apr_time_from_sec(60))
#else
#define PATIENCE apr_time_from_sec(60)
#endif
#define PAUSE 500
#define HTTP_TOO_LARGE 413

struct console_client_t {
    CURL *curl;
    const console_t *console;
    struct curl_slist *headers;
    const char *url;
    char error[CURL_ERROR_SIZE];
    char *body; /* from malloc, grown */
    apr_size_t length, capacity;
    int too_long;
};

static const wsman_limits_t answer_limits = {.body = ANSWER_MAX, .tag = 4096, .attributes = 64, .depth = 32};

volatile int console_interrupted;

/* ---- callbacks of libcurl ------------------------------------------------------------------------------ */

static int reserve_body(console_client_t *client, apr_size_t count)
{
    apr_size_t capacity = client->capacity ? client->capacity : 16384;
    char *grown;

    while (capacity < client->length + count) {
        capacity *= 2;
    }
    if (capacity == client->capacity) {
        return 1;
    }
    grown = realloc(client->body, capacity);
    if (grown == NULL) {
        return 0;
    }
    client->body = grown;
    client->capacity = capacity;
    return 1;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *data)
{
    console_client_t *client = data;

    (void)one; /* is 1 */
    if (client->length + count > ANSWER_MAX || !reserve_body(client, count)) {
        client->too_long = 1;
        return 0;
    }
    memcpy(client->body + client->length, bytes, count);
    client->length += count;
    return count;
}

/* Non-zero ends the transfer. */
static int on_progress(void *data, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    (void)data;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return console_interrupted;
}

/* ---- a client ------------------------------------------------------------------------------------------ */

static apr_status_t close_client(void *data)
{
    console_client_t *client = data;

    curl_easy_cleanup(client->curl);
    curl_slist_free_all(client->headers);
    free(client->body);
    return APR_SUCCESS;
}

/* Without a ticket the request is sent all the same: the 401 that comes back is explained. */
static int offer_ticket(CURL *curl)
{
    return !console_has_ticket() ||
           (curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_NEGOTIATE) == CURLE_OK &&
            curl_easy_setopt(curl, CURLOPT_USERPWD, ":") == CURLE_OK); /* the user that the ticket names */
}

/* Every option must be accepted: a libcurl that refuses one (SPNEGO, a scheme) is of no use here. */
static int set_options(console_client_t *client, const char *cacert)
{
    CURL *curl = client->curl;
    int good = curl_easy_setopt(curl, CURLOPT_URL, client->url) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_USERAGENT, "amtunlock/" AMTUNLOCK_VERSION) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_SECONDS) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEDATA, client) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;

    return good && offer_ticket(curl) &&
           (cacert == NULL || curl_easy_setopt(curl, CURLOPT_CAINFO, cacert) == CURLE_OK);
}

const console_problem_t *console_client_create(console_client_t **client, const console_t *console,
                                               const console_options_t *options, apr_pool_t *pool)
{
    console_client_t *made = apr_pcalloc(pool, sizeof(*made));

    made->console = console;
    made->url = apr_pstrdup(pool, options->url);
    made->curl = curl_easy_init();
    apr_pool_cleanup_register(pool, made, close_client, apr_pool_cleanup_null);
    made->headers = curl_slist_append(NULL, "Content-Type: " CONTENT_TYPE ";charset=UTF-8");
    if (made->curl == NULL || made->headers == NULL || curl_slist_append(made->headers, "Expect:") == NULL ||
        !set_options(made, options->cacert)) {
        return console_problem(pool, CONSOLE_SERVICE, "install libcurl with GSS-API",
                               "this libcurl cannot do what is needed (%s)", curl_version());
    }
    *client = made;
    return NULL;
}

wsman_writer_t *console_client_begin(const console_client_t *client, const char *action,
                                     const char *resource_uri, const wsman_selector_t *selectors,
                                     apr_pool_t *pool)
{
    wsman_request_headers_t headers = {.to = client->url,
                                       .action = action,
                                       .resource_uri = resource_uri,
                                       .selectors = selectors,
                                       .operation_timeout = ANSWER_SECONDS,
                                       .max_envelope_size = ANSWER_MAX};
    wsman_writer_t *writer = wsman_writer_create(pool);

    wsman_request_begin(writer, &headers);
    return writer;
}

/* ---- what can go wrong --------------------------------------------------------------------------------- */

/* What does not stand here ended the exchange somewhere after it had begun. */
static const struct {
    const char *advice;
    CURLcode code;
    int passing, unknown;
} transport_advice[] = {
    {"name the authority that signed its certificate: --cacert FILE (or AMTU_CA)",
     CURLE_PEER_FAILED_VERIFICATION, 0, 0},
    {"--cacert (or AMTU_CA) must be a readable PEM file", CURLE_SSL_CACERT_BADFILE, 0, 0},
    {"--url (or AMTU_URL) looks like https://HOST/wsman", CURLE_URL_MALFORMAT, 0, 0},
    {"--url (or AMTU_URL) looks like https://HOST/wsman", CURLE_UNSUPPORTED_PROTOCOL, 0, 0},
    {"check the host name in --url (or AMTU_URL)", CURLE_COULDNT_RESOLVE_HOST, 1, 0},
    {"check that the web server runs, and the port in --url (or AMTU_URL)", CURLE_COULDNT_CONNECT, 1, 0},
    {NULL, CURLE_COULDNT_RESOLVE_PROXY, 1, 0},
    {NULL, CURLE_SSL_CONNECT_ERROR, 0, 0},
    {NULL, CURLE_OPERATION_TIMEDOUT, 1, 1},
    {NULL, CURLE_GOT_NOTHING, 1, 1},
    {NULL, CURLE_SEND_ERROR, 1, 1},
    {NULL, CURLE_RECV_ERROR, 1, 1},
    {NULL, CURLE_PARTIAL_FILE, 1, 1},
};

static const console_problem_t *transport_problem(const console_client_t *client, CURLcode code,
                                                  apr_pool_t *pool)
{
    console_problem_t *problem;

    if (console_interrupted) {
        problem = console_problem(pool, CONSOLE_INTERRUPTED, NULL, "interrupted");
        problem->unknown = 1;
        return problem;
    }
    if (client->too_long) {
        problem =
            console_problem(pool, CONSOLE_SERVICE, NULL, "%s: the answer is longer than 16 MiB", client->url);
        problem->unknown = 1;
        return problem;
    }
    problem = console_problem(pool, CONSOLE_SERVICE, NULL, "%s: %s", client->url,
                              *client->error ? client->error : curl_easy_strerror(code));
    problem->unknown = 1;
    for (size_t i = 0; i < sizeof(transport_advice) / sizeof(transport_advice[0]); i++) {
        if (transport_advice[i].code == code) {
            problem->advice = transport_advice[i].advice;
            problem->passing = transport_advice[i].passing;
            problem->unknown = transport_advice[i].unknown;
        }
    }
    return problem;
}

static const struct {
    const char *advice;
    wsman_fault_e kind;
    console_exit_e exit;
    console_refusal_e refusal;
} fault_advice[] = {
    {"ask the service's administrator for AMTUnlockScope", WSMAN_FAULT_ACCESS_DENIED, CONSOLE_DENIED,
     CONSOLE_NOT_REFUSED},
    {"check the name of the job: others' jobs do not show, and a job is kept for 30 minutes after its end",
     WSMAN_FAULT_DESTINATION_UNREACHABLE, CONSOLE_SERVICE, CONSOLE_NO_SUCH_JOB},
    {"the service does not reach its job store; nothing was done, try again",
     WSMAN_FAULT_ENDPOINT_UNAVAILABLE, CONSOLE_SERVICE, CONSOLE_NOT_REFUSED},
    {"wait until your earlier jobs have ended", WSMAN_FAULT_QUOTA_LIMIT, CONSOLE_SERVICE, CONSOLE_OVER_QUOTA},
    {"none of these was started; correct the names and ask again", WSMAN_FAULT_INVALID_PARAMETER,
     CONSOLE_SERVICE, CONSOLE_BAD_NAMES},
    {"ask for fewer systems at a time", WSMAN_FAULT_ENCODING_LIMIT, CONSOLE_SERVICE, CONSOLE_REFUSED},
    {"this service is older than this command", WSMAN_FAULT_ACTION_NOT_SUPPORTED, CONSOLE_SERVICE,
     CONSOLE_NOT_REFUSED},
};

/* `status`: of HTTP. */
static const console_problem_t *fault_problem(const wsman_fault_t *fault, long status, apr_pool_t *pool)
{
    const char *subcode = fault->subcode != NULL ? fault->subcode : wsman_fault_subcode(fault->kind);
    console_problem_t *problem =
        console_problem(pool, CONSOLE_SERVICE, NULL, "the service refused: %s (%s%s%s)", fault->reason,
                        *subcode ? subcode : "fault", fault->detail != NULL ? "/" : "",
                        fault->detail != NULL ? fault->detail : "");

    problem->refusal = status == HTTP_TOO_LARGE ? CONSOLE_TOO_LARGE : CONSOLE_REFUSED;
    for (size_t i = 0; i < sizeof(fault_advice) / sizeof(fault_advice[0]); i++) {
        if (fault_advice[i].kind == fault->kind) {
            problem->exit = fault_advice[i].exit;
            problem->advice = fault_advice[i].advice;
            problem->refusal =
                problem->refusal == CONSOLE_TOO_LARGE ? CONSOLE_TOO_LARGE : fault_advice[i].refusal;
        }
    }
    problem->passing = fault->kind == WSMAN_FAULT_ENDPOINT_UNAVAILABLE ||
                       fault->kind == WSMAN_FAULT_TIMED_OUT || fault->retry_after > 0;
    problem->unknown = fault->kind == WSMAN_FAULT_TIMED_OUT || fault->kind == WSMAN_FAULT_INTERNAL ||
                       fault->kind == WSMAN_FAULT_OTHER;
    return problem;
}

/* An answer that is no envelope: another program answered, or httpd before the module saw the request. */
static const console_problem_t *http_problem(const console_client_t *client, long status, apr_pool_t *pool)
{
    console_problem_t *problem;

    if (status == 401) {
        return console_problem(pool, CONSOLE_DENIED, "get a ticket with kinit (klist shows what you have)",
                               "%s: not authenticated (HTTP 401)", client->url);
    }
    if (status == 403) {
        return console_problem(pool, CONSOLE_DENIED, "ask the service's administrator",
                               "%s: access denied (HTTP 403)", client->url);
    }
    problem = console_problem(
        pool, CONSOLE_SERVICE,
        status == HTTP_TOO_LARGE ? "what stands before the service (LimitRequestBody, mod_security, a proxy) "
                                   "lets nothing so large pass: ask for fewer systems at a time"
                                 : "--url (or AMTU_URL) must name the WS-Management service",
        "%s: the answer is not WS-Management (HTTP %ld)", client->url, status);
    problem->refusal = status == HTTP_TOO_LARGE ? CONSOLE_TOO_LARGE : CONSOLE_NOT_REFUSED;
    problem->passing = status >= 502 && status <= 504;
    problem->unknown = status < 300 || status >= 500;
    return problem;
}

/* ---- sending ------------------------------------------------------------------------------------------- */

static const console_problem_t *read_answer(const console_client_t *client, const wsman_envelope_t **answer,
                                            apr_pool_t *pool)
{
    char *content_type = NULL;
    console_problem_t *problem;
    const wsman_fault_t *fault;
    wsman_reader_t *reader;
    long status = 0;

    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(client->curl, CURLINFO_CONTENT_TYPE, &content_type);
    if (status == 401 || content_type == NULL ||
        strncasecmp(content_type, CONTENT_TYPE, sizeof(CONTENT_TYPE) - 1) != 0) {
        return http_problem(client, status, pool);
    }
    reader = wsman_reader_create(&answer_limits, NULL, pool);
    fault = wsman_reader_feed(reader, client->body, client->length);
    fault = fault != NULL ? fault : wsman_reader_finish(reader, answer);
    if (fault != NULL) {
        problem = console_problem(pool, CONSOLE_SERVICE, NULL, "%s: the answer cannot be read: %s",
                                  client->url, fault->reason);
        problem->unknown = 1;
        return problem;
    }
    return (*answer)->fault != NULL ? fault_problem((*answer)->fault, status, pool) : NULL;
}

static const console_problem_t *finish_writer(wsman_writer_t *writer, const char **bytes, apr_size_t *length,
                                              apr_pool_t *pool)
{
    const wsman_encoding_t utf8 = {WSMAN_UTF8, 0};
    console_problem_t *problem;

    if (wsman_writer_finish(writer, utf8, bytes, length) == APR_SUCCESS) {
        return NULL;
    }
    problem = console_problem(pool, CONSOLE_USAGE, "names are UTF-8 text without control characters",
                              "the request cannot be written as XML");
    problem->refusal = CONSOLE_REFUSED;
    return problem;
}

static const console_problem_t *send_once(console_client_t *client, const char *bytes, apr_size_t length,
                                          const wsman_envelope_t **answer, apr_pool_t *pool)
{
    CURLcode code;

    client->length = 0;
    client->too_long = 0;
    client->error[0] = '\0';
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, bytes);
    code = curl_easy_perform(client->curl);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, ""); /* the pool that holds them may go first */
    return code == CURLE_OK ? read_answer(client, answer, pool) : transport_problem(client, code, pool);
}

const console_problem_t *console_client_send(console_client_t *client, wsman_writer_t *writer,
                                             const wsman_envelope_t **answer, apr_pool_t *pool)
{
    const char *bytes;
    apr_size_t length;
    const console_problem_t *problem = finish_writer(writer, &bytes, &length, pool);

    return problem != NULL ? problem : send_once(client, bytes, length, answer, pool);
}

static void tell_again(const console_client_t *client, const console_problem_t *problem, apr_pool_t *pool)
{
    fprintf(client->console->err,
            "amtunlock: %s; whether this was done is not known, so the same message is sent again\n",
            console_printable(problem->what, pool));
    fflush(client->console->err);
}

/* A later attempt that was refused says nothing of the first. */
static const console_problem_t *unknown_problem(const console_problem_t *last, apr_pool_t *pool)
{
    console_exit_e code = last->exit == CONSOLE_INTERRUPTED ? CONSOLE_INTERRUPTED : CONSOLE_UNKNOWN;
    console_problem_t *problem =
        console_problem(pool, code, NULL, "it is not known whether this was done: %s", last->what);

    problem->unknown = 1;
    problem->passing = last->passing;
    problem->refusal = last->refusal;
    return problem;
}

static const console_problem_t *send_until_known(console_client_t *client, const char *bytes,
                                                 apr_size_t length, const wsman_envelope_t **answer,
                                                 int *again, apr_pool_t *pool)
{
    apr_time_t until = clock_boottime() + PATIENCE;
    const console_problem_t *problem = send_once(client, bytes, length, answer, pool);

    if (problem == NULL || !problem->unknown) {
        return problem;
    }
    while (problem != NULL && problem->passing && !console_interrupted && clock_boottime() < until) {
        if (!*again) {
            tell_again(client, problem, pool);
        }
        *again = 1;
        poll(NULL, 0, PAUSE); /* a signal ends it early */
        problem = send_once(client, bytes, length, answer, pool);
    }
    return problem != NULL ? unknown_problem(problem, pool) : NULL;
}

/* Each time on a connection of its own: what had no answer on one that was used before, libcurl sends again by itself,
 * and a refusal of that one would pass for the first one's answer. */
const console_problem_t *console_client_change(console_client_t *client, wsman_writer_t *writer,
                                               const wsman_envelope_t **answer, int *again, apr_pool_t *pool)
{
    const char *bytes;
    apr_size_t length;
    const console_problem_t *problem = finish_writer(writer, &bytes, &length, pool);

    *again = 0;
    if (problem == NULL) {
        curl_easy_setopt(client->curl, CURLOPT_FRESH_CONNECT, 1L);
        problem = send_until_known(client, bytes, length, answer, again, pool);
        curl_easy_setopt(client->curl, CURLOPT_FRESH_CONNECT, 0L);
    }
    return problem;
}
