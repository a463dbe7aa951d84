/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: a loop, a device, one exchange of bytes with it. Not for other rooms. */
#ifndef AMTUNLOCK_AMT_HTTP_DEVICE_H
#define AMTUNLOCK_AMT_HTTP_DEVICE_H

#include <curl/curl.h>
#include <stdarg.h>

#include "amt/amt.h"
#include "amt/http/tls_priv.h"

/* Most bytes of an answer, and of its headers. A device's longest honest answer is a tenth of that. */
#define AMT_MAX_ANSWER ((apr_size_t)256 * 1024)
#define AMT_MAX_HEADERS ((apr_size_t)32 * 1024)

struct amt_loop_t {
    apr_pool_t *pool;
    struct event_base *base;
    struct event *timer;
    CURLM *multi;
    struct amt_trust_t *trust;                     /* parsed files of TLS */
    struct amt_ticket_requests_t *ticket_requests; /* NULL: no threads for tickets */
};

/* How one exchange ended. */
typedef struct {
    amt_status_e status; /* AMT_OK: an answer of any HTTP status but 401 came, whole */
    int acted;
    long http_status;
    const char *content_type; /* or NULL */
    const char *bytes;
    apr_size_t length;
} amt_reply_t;

typedef void (*amt_reply_fn)(amt_device_t *device, const amt_reply_t *reply);

/* One exchange: a body to POST, and what became of it so far. */
typedef struct {
    apr_pool_t *pool; /* the call's; holds the answer */
    const char *body;
    apr_size_t length;
    int once; /* the body acts: given once, asked for at the gate, never repeated but after a 401 */
    amt_gate_fn gate;
    void *gate_baton;
    amt_reply_fn done;

    apr_size_t offset; /* of the body, given to libcurl */
    int given;         /* times that the body began to leave */
    int denied;        /* a 401 came after the body that was given last */
    int fenced;
    int knew_nonce; /* the exchange began with a challenge answered before */
    int restarted;
    int challenges; /* 401s */
    int too_many;   /* 401s: given up */
    int too_long;
    int out_of_memory;
    int unadmitted;       /* Kerberos: a new connection, and no token for it; nothing was sent */
    int offers_negotiate; /* the device said so */
    const char *proof;    /* its token, in base64; or NULL */
    long http_status;     /* of the answer that is being read */
    apr_size_t headers_length;
    char *answer;
    apr_size_t answer_length;
    apr_size_t answer_size;
} amt_exchange_t;

struct amt_ticket_request_t;
struct amt_ticket_t;
struct amt_call_t;
struct amt_refusal_t;
struct amt_instance_t;

struct amt_device_t {
    apr_pool_t *pool;
    amt_loop_t *loop;
    amt_target_t target;
    amt_tls_peer_t tls;
    const char *where; /* "pc1.example.com (10.0.0.1 port 16993)" for sentences */
    const char *url;
    int port;
    CURL *easy;
    CURLSH *share; /* this device's connection, apart from all others */
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    struct event *early; /* tells of a call that ended before its first step */
    amt_status_e early_status;
    struct amt_refusal_t *refusals;

    /* Kerberos */
    struct amt_ticket_request_t *ticket_request; /* a ticket is being made */
    struct amt_ticket_t *ticket;                 /* of the exchange under way */
    struct curl_slist *authorized;               /* headers, with its token */
    int admitted;                                /* the connection is authenticated, as long as it lasts */

    int knows_nonce; /* libcurl holds a challenge that this device accepted an answer to */
    int answered;    /* an authenticated answer came at some time */
    unsigned int message_id;

    int exchanging; /* libcurl has the easy handle */
    amt_exchange_t exchange;
    struct amt_call_t *call; /* NULL: idle; else call_space */
    struct amt_call_t *call_space;
    struct amt_instance_t *boot; /* as read, until it is written */
    struct amt_instance_t *redirection;
    int needs_consent; /* as amt_read_consent() found it */

    char error[CURL_ERROR_SIZE];
    int denied; /* the step under way, to this account */
    char text[640];
};

/* ---- transport.c ----------------------------------------------------------------------------- */

/* Sets the handle to this exchange and gives it to the loop. Fails only where memory is out; then `done` is
 * not called. `body` must live until `done`, which is called from the loop. */
apr_status_t amt_exchange_begin(amt_device_t *device, const amt_exchange_t *exchange);
/* libcurl is through with the handle: tells `done`, or begins again where a forgotten nonce asks for that. */
void amt_exchange_end(amt_device_t *device, CURLcode code);
/* Gives the exchange that was begun to libcurl, (once more) from its first byte. */
apr_status_t amt_exchange_start(amt_device_t *device);

/* ---- device.c -------------------------------------------------------------------------------- */

/* Sets an option unless one failed before; `rc` keeps the first failure. */
#define AMT_SET(rc, easy, option, value)                                                                     \
    do {                                                                                                     \
        if (!(rc)) {                                                                                         \
            (rc) = curl_easy_setopt((easy), (option), (value));                                              \
        }                                                                                                    \
    } while (0)

/* All options that do not change between calls. Also after curl_easy_reset(), which drops libcurl's nonce. */
CURLcode amt_device_set_options(amt_device_t *device);

/* Copies `from` into `target` (user and password stay the caller's) with the times that it leaves open. */
void amt_target_copy(amt_target_t *target, const amt_target_t *from, apr_pool_t *pool);
/* APR_EINVAL where a name, the address or what the kind of trust needs is missing or wrong. */
apr_status_t amt_target_check(const amt_target_t *target, amt_tls_peer_t *tls);
/* Whose login it is, for sentences. */
const char *amt_target_account(const amt_target_t *target);
/* 4, 6, or 0 for no numeric address. */
int amt_address_family(const char *address);

/* ---- sentences ------------------------------------------------------------------------------- */

/* Formats a sentence; parts of it may be a device's words: what is not printable ASCII becomes '?', so that
 * nothing forges a log line or breaks a JSON string. */
void amt_sentence(char *text, apr_size_t size, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
/* Writes device->text. Returns `status`. */
amt_status_e amt_say(amt_device_t *device, amt_status_e status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
