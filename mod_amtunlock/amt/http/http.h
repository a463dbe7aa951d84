/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP with one device: one connection, one exchange (a POST and its answer) at a time, authenticated by
 * digest or by Kerberos. Knows nothing of WS-Man.
 */
#ifndef AMTUNLOCK_AMT_HTTP_HTTP_H
#define AMTUNLOCK_AMT_HTTP_HTTP_H

#include <curl/curl.h>

#include "amt/amt.h"
#include "amt/http/loop.h"
#include "amt/http/target.h"
#include "amt/http/tls.h"
#include "amt/kerberos/ticket_request.h"

/* Most bytes of an answer, and of its headers. A device's longest valid answer is a tenth of that. */
#define AMT_MAX_ANSWER ((apr_size_t)256 * 1024)
#define AMT_MAX_HEADERS ((apr_size_t)32 * 1024)

/* How one exchange ended. */
typedef struct {
    amt_status_e status; /* AMT_OK: an answer of any HTTP status but 401 came, whole; else see http->text */
    int acted;
    int silent; /* as amt_result_t says */
    long http_status;
    const char *content_type; /* or NULL */
    const char *bytes;
    apr_size_t length;
} amt_reply_t;

/* digest_priv.h */
typedef struct amt_digest_t amt_digest_t;

typedef void (*amt_reply_fn)(void *baton, const amt_reply_t *reply);

/* One exchange: what the caller fills in, and what became of it so far. */
typedef struct {
    apr_pool_t *pool; /* holds the answer; must live until `done` */
    const char *body; /* must live until `done` */
    apr_size_t length;
    int once; /* the body acts: given once, asked for at the gate, never repeated but after a 401 */
    amt_gate_fn gate;
    void *gate_baton;
    amt_reply_fn done;
    void *baton;

    struct event *limit;        /* the device has answered by then; begins anew behind each challenge */
    apr_interval_time_t within; /* of that */
    apr_size_t offset;          /* of the body, given to libcurl */
    int given;                  /* times that the body began to leave */
    int denied;                 /* a 401 came after the body that was given last */
    int fenced;
    int knew_nonce; /* the exchange began with a challenge answered before */
    int restarted;
    int challenges; /* 401s */
    int too_many;   /* 401s: given up */
    int too_long;
    char *offers;         /* digest: what the last 401 offers; or NULL */
    int answers_itself;   /* digest: libcurl does not answer challenges of this device */
    int unadmitted;       /* Kerberos: a new connection, and no token for it; nothing was sent */
    int offers_negotiate; /* the device said so */
    const char *proof;    /* its token, in base64; or NULL */
    long http_status;     /* of the answer that is being read */
    apr_size_t headers_length;
    char *answer;
    apr_size_t answer_length;
    apr_size_t answer_size;
} amt_exchange_t;

typedef struct amt_http_t {
    apr_pool_t *pool;
    amt_loop_t *loop;
    amt_target_t target;
    amt_tls_peer_t tls;
    const char *where; /* "pc1.example.com (10.0.0.1 port 16993)" for error messages */
    const char *url;
    int port;
    CURL *easy;
    CURLSH *share; /* this device's connection, apart from all others */
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    amt_transfer_t transfer;
    struct event *limit; /* of an answer */

    struct curl_slist *authorized; /* headers, with that of this exchange's ticket or digest; or NULL */
    amt_digest_t *digest;          /* the challenge that is answered here, not by libcurl; or NULL */

    /* Kerberos */
    amt_ticket_request_t *ticket_request;                            /* a ticket is being made */
    void (*on_ticket)(struct amt_http_t *http, amt_status_e status); /* it is made, or failed */
    amt_ticket_t *ticket;                                            /* of the exchange under way */
    int admitted; /* the connection is authenticated, as long as it lasts */

    int knows_nonce; /* libcurl holds a challenge that this device accepted an answer to */
    int answered;    /* an authenticated answer came at some time */
    int exchanging;  /* the loop has the easy handle */
    amt_exchange_t exchange;

    char error[CURL_ERROR_SIZE];
    char text[640]; /* why the exchange failed */
} amt_http_t;

/* ---- http.c ---------------------------------------------------------------------------------- */

/* APR_EINVAL for a target that cannot be used. amt_http_close() is needed after a failure too. */
apr_status_t amt_http_open(amt_http_t *http, amt_loop_t *loop, const amt_target_t *target, apr_pool_t *pool);
/* Ends an exchange under way without its `done`, closes the connection. */
void amt_http_close(amt_http_t *http);
/* Writes http->text; parts of it may be the device's words: what is not printable ASCII becomes '?', so that
 * nothing forges a log line or breaks a JSON string. Returns `status`. */
amt_status_e amt_http_say(amt_http_t *http, amt_status_e status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- transport.c ----------------------------------------------------------------------------- */

/* Begins an exchange (copied). `done` is called from the loop; not at all where this fails, because memory is
 * out or there are no threads for a ticket. */
apr_status_t amt_exchange_begin(amt_http_t *http, const amt_exchange_t *exchange);

#endif
