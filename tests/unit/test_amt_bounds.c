/* SPDX-License-Identifier: Apache-2.0 */
/* A device that wants to keep the event loop for itself: with TLS that costs much or never ends, with HTTP that
 * never ends, with very many small messages. Each time a timer of the same loop goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_general.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "amt/redirection/sol.h"
#include "amt_certificate.h"
#include "amt_rig.h"
#include "base/clock.h"
#include "redirection_peer.h"
#include "wsman/envelope.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DAY (24L * 60 * 60)
#define TICK_MS 5
#define TRIES 3

/* ---- a server that pours ---------------------------------------------------------------------- */

/* Pours into a connection until it is hung up. Runs in the server's thread: no assertions. */
typedef void (*pour_fn)(int fd, SSL *ssl, const char *text);

typedef struct {
    pour_fn pour;
    const char *text;
    SSL_CTX *ctx; /* NULL: no TLS is answered */
    int listener;
    char address[INET_ADDRSTRLEN];
    atomic_int stopping;
    atomic_int fd;
    pthread_t thread;
} well_t;

static void serve(well_t *well, int fd)
{
    SSL *ssl = well->ctx != NULL ? SSL_new(well->ctx) : NULL;

    if (ssl == NULL || (SSL_set_fd(ssl, fd) && SSL_accept(ssl) == 1)) {
        well->pour(fd, ssl, well->text);
    }
    SSL_free(ssl);
}

static void *run_well(void *baton)
{
    well_t *well = baton;

    while (!atomic_load(&well->stopping)) {
        int fd = accept(well->listener, NULL, NULL);

        if (fd >= 0) {
            atomic_store(&well->fd, fd);
            serve(well, fd);
            atomic_store(&well->fd, -1);
            close(fd);
        }
    }
    return NULL;
}

static void well_start(well_t *well, int port)
{
    static unsigned int tries;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int bound = 0, one = 1;

    signal(SIGPIPE, SIG_IGN);
    atomic_init(&well->stopping, 0);
    atomic_init(&well->fd, -1);
    for (int i = 0; i < 100 && !bound; i++) {
        unsigned int host =
            0x7f000000U | (((unsigned int)getpid() * 113U + ++tries * 7907U) & 0xfffffeU) | 4U;

        address.sin_addr.s_addr = htonl(host);
        well->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(well->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        bound = bind(well->listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                listen(well->listener, 4) == 0;
    }
    assert_true(bound);
    inet_ntop(AF_INET, &address.sin_addr, well->address, sizeof(well->address));
    assert_int_equal(pthread_create(&well->thread, NULL, run_well, well), 0);
}

static void well_stop(well_t *well)
{
    int fd = -1;

    atomic_store(&well->stopping, 1);
    shutdown(well->listener, SHUT_RDWR);
    if ((fd = atomic_load(&well->fd)) >= 0) {
        shutdown(fd, SHUT_RDWR);
    }
    pthread_join(well->thread, NULL);
    close(well->listener);
}

/* ---- what is poured --------------------------------------------------------------------------- */

/* The text again and again, in large pieces, as fast as it is taken; with TLS, in the clear below it. */
static void pour_text(int fd, SSL *ssl, const char *text)
{
    static const char head[] = "HTTP/1.1 ";
    char piece[32768];
    size_t unit = strlen(text), filled = 0;

    (void)ssl;
    if (strncmp(text, head, sizeof(head) - 1) == 0) { /* up to the bar once, then the rest */
        const char *bar = strchr(text, '|');

        if (send(fd, text, (size_t)(bar - text), MSG_NOSIGNAL) < 0) {
            return;
        }
        text = bar + 1;
        unit = strlen(text);
    }
    while (filled + unit <= sizeof(piece)) {
        memcpy(piece + filled, text, unit);
        filled += unit;
    }
    while (send(fd, piece, filled, MSG_NOSIGNAL) > 0) {
    }
}

/* The same, a byte every few milliseconds. */
static void drip_text(int fd, SSL *ssl, const char *text)
{
    static const struct timespec pause = {.tv_nsec = 3000000};

    (void)ssl;
    for (const char *at = text; send(fd, at, 1, MSG_NOSIGNAL) == 1; at = at[1] ? at + 1 : text) {
        nanosleep(&pause, NULL);
    }
}

/* HelloRequest in a record of its own, again and again, before there is a ServerHello. */
static void pour_hello_requests(int fd, SSL *ssl, const char *text)
{
    static const char request[] = {22, 3, 3, 0, 4, 0, 0, 0, 0};
    char piece[900 * sizeof(request)];

    (void)ssl;
    (void)text;
    for (size_t i = 0; i < sizeof(piece); i += sizeof(request)) {
        memcpy(piece + i, request, sizeof(request));
    }
    while (send(fd, piece, sizeof(piece), MSG_NOSIGNAL) > 0) {
    }
}

static void pour_key_updates(int fd, SSL *ssl, const char *text)
{
    (void)fd;
    (void)text;
    while (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1) {
    }
}

static void pour_renegotiations(int fd, SSL *ssl, const char *text)
{
    (void)fd;
    (void)text;
    while (SSL_renegotiate(ssl) == 1 && SSL_do_handshake(ssl) == 1) {
    }
}

/* ---- a loop with a clock in it ------------------------------------------------------------------ */

typedef struct {
    apr_pool_t *pool;
    struct event_base *base;
    amt_loop_t *loop;
    amt_device_t *device;
    amt_target_t target;
    amt_sol_t *sol;
    struct event *tick;
    int ticks;
    int done;
    amt_status_e status;
    char text[640];
    apr_time_t began;
    double busy;            /* seconds of this thread */
    double ticked, longest; /* of the same clock: at the last tick, and between any two */
    double lasted;
    int received; /* calls */
    size_t bytes;
} bounds_t;

static double thread_seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The loop was at the clock: what it did since it was there before kept all others waiting. */
static void note_turn(bounds_t *b)
{
    double now = thread_seconds();

    b->longest = now - b->ticked > b->longest ? now - b->ticked : b->longest;
    b->ticked = now;
}

static void on_tick(evutil_socket_t fd, short what, void *baton)
{
    bounds_t *b = baton;

    (void)fd;
    (void)what;
    b->ticks++;
    note_turn(b);
}

static void bounds_up(bounds_t *b, const amt_target_t *trust, const char *address)
{
    static const struct timeval often = {.tv_usec = TICK_MS * 1000L};
    static int ready;

    if (!ready) {
        ready = 1;
        assert_int_equal(apr_initialize(), APR_SUCCESS);
        assert_int_equal(amt_library_init(), APR_SUCCESS);
        wsman_library_init();
    }
    memset(b, 0, sizeof(*b));
    apr_pool_create(&b->pool, NULL);
    b->base = amt_loop_base_create();
    assert_int_equal(amt_loop_create(&b->loop, b->base, b->pool), APR_SUCCESS);
    b->target = *trust;
    b->target.fqdn = RIG_FQDN;
    b->target.address = address;
    b->target.user = RIG_USER;
    b->target.password = RIG_PASSWORD;
    b->tick = event_new(b->base, -1, EV_PERSIST, on_tick, b);
    event_add(b->tick, &often);
}

static void bounds_down(bounds_t *b)
{
    event_free(b->tick);
    if (b->device != NULL) {
        amt_device_destroy(b->device);
    }
    if (b->sol != NULL) {
        amt_sol_destroy(b->sol);
    }
    apr_pool_destroy(b->pool);
    event_base_free(b->base);
}

static void on_done(void *baton, const amt_result_t *result)
{
    bounds_t *b = baton;

    b->done = 1;
    b->status = result->status;
    apr_cpystrn(b->text, result->text, sizeof(b->text));
    event_base_loopbreak(b->base);
}

/* Runs until the call has ended, in at most 20 s. */
static void run_loop(bounds_t *b)
{
    static const struct timeval limit = {.tv_sec = 20};
    double before = thread_seconds();

    b->began = clock_monotonic();
    b->ticked = before;
    event_base_loopexit(b->base, &limit);
    while (!b->done && !event_base_got_exit(b->base)) {
        event_base_loop(b->base, EVLOOP_ONCE);
    }
    note_turn(b);
    b->busy = thread_seconds() - before;
    b->lasted = (double)(clock_monotonic() - b->began) / APR_USEC_PER_SEC;
}

/* The clock in the loop came round, and the thread was free for others most of the time. In seconds of the thread, but
 * for what it waited: other processes have their share of the processor, too. */
static int others_were_served(const bounds_t *b)
{
    return b->done && (b->lasted <= 0.2 || (b->longest < 0.15 && b->busy <= 0.1 + b->lasted * 0.6));
}

static void assert_others_were_served(const bounds_t *b, const char *what)
{
    if (!others_were_served(b)) {
        fail_msg("%s: done %d in %.2f s, busy for %.2f s, at most %.2f s from one to the next of %d ticks",
                 what, b->done, b->lasted, b->busy, b->longest, b->ticks);
    }
}

static const amt_sol_events_t sol_events;

static void call_device(bounds_t *b)
{
    static amt_facts_t facts;

    assert_int_equal(amt_device_create(&b->device, b->loop, &b->target, b->pool), APR_SUCCESS);
    amt_read(b->device, AMT_READ_POWER, &facts, on_done, b);
    run_loop(b);
}

static void open_console(bounds_t *b)
{
    assert_int_equal(amt_sol_open(&b->sol, b->loop, &b->target, &sol_events, b, b->pool), APR_SUCCESS);
    run_loop(b);
}

enum { PORT_HTTP = 16992, PORT_HTTPS = 16993, PORT_REDIRECTION = 16995 };

/* Lets a device of this sort be called, or its console be opened. */
static void meet_once(bounds_t *b, well_t *well, int port, const amt_target_t *trust)
{
    well_start(well, port);
    bounds_up(b, trust, well->address);
    if (port == PORT_REDIRECTION) {
        open_console(b);
    }
    else {
        call_device(b);
    }
    bounds_down(b);
    well_stop(well);
}

/* Once more where others were not served: on a machine that is not idle the same work takes longer. */
static void meet(bounds_t *b, well_t *well, int port, const amt_target_t *trust, const char *what)
{
    int tries = 0;

    do {
        meet_once(b, well, port, trust);
    } while (!others_were_served(b) && ++tries < TRIES);
    assert_others_were_served(b, what);
}

/* ---- HTTP -------------------------------------------------------------------------------------- */

/* Long enough that the burst that a connection begins with is not most of it. */
static const amt_target_t brief = {
    .tls = AMT_TLS_NONE, .connect_timeout = APR_USEC_PER_SEC / 4, .call_timeout = 3 * APR_USEC_PER_SEC / 2};
/* For what is found out, however busy the machine. */
static const amt_target_t patient = {
    .tls = AMT_TLS_NONE, .connect_timeout = APR_USEC_PER_SEC, .call_timeout = 3 * APR_USEC_PER_SEC};

static void test_answers_without_end(void **state)
{
    static const char challenge[] =
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"Digest:1\", nonce=\"abc\", qop=\"auth\"\r\n";
    char endless_page[512], endless_chunks[512], endless_extension[512];
    const struct {
        const char *name;
        const char *text;
        pour_fn pour;
        amt_status_e status;
    } cases[] = {
        {"a header", "HTTP/1.1 200 OK\r\n|X-More: and more\r\n", pour_text, AMT_GARBAGE},
        {"one line", "HTTP/1.1 200 OK\r\nX-More: |aaaaaaaaaaaaaaaa", pour_text, AMT_STATUSES},
        {"continue", "HTTP/1.1 100 |Continue\r\n\r\nHTTP/1.1 100 ", pour_text, AMT_GARBAGE},
        {"a body", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n|aaaaaaaaaaaaaaaa", pour_text,
         AMT_GARBAGE},
        {"a body without a length", "HTTP/1.1 200 OK\r\n\r\n|aaaaaaaaaaaaaaaa", pour_text, AMT_GARBAGE},
        {"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|1\r\na\r\n", pour_text,
         AMT_GARBAGE},
        {"a chunk's extension", endless_extension, pour_text, AMT_STATUSES},
        {"a refusal", endless_page, pour_text, AMT_STATUSES},
        {"a refusal in chunks", endless_chunks, pour_text, AMT_STATUSES},
        {"drops", "HTTP/1.1 200 OK\r\nX-More: a\r\nX-More: b\r\n", drip_text, AMT_STATUSES},
        {"redirections", "HTTP/1.1 302 Found\r\nLocation: /wsman\r\nContent-Length: 0\r\n\r\n|a", pour_text,
         AMT_STATUSES},
    };

    (void)state;
    snprintf(endless_page, sizeof(endless_page), "%sContent-Length: 99999999999\r\n\r\n|aaaaaaaaaaaaaaaa",
             challenge);
    snprintf(endless_chunks, sizeof(endless_chunks), "%sTransfer-Encoding: chunked\r\n\r\n|1\r\na\r\n",
             challenge);
    snprintf(endless_extension, sizeof(endless_extension),
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;|aaaaaaaaaaaaaaaa");
    for (size_t i = 0; i < COUNT(cases); i++) {
        well_t well = {.pour = cases[i].pour, .text = cases[i].text};
        bounds_t b;

        meet(&b, &well, PORT_HTTP, cases[i].status == AMT_STATUSES ? &brief : &patient, cases[i].name);
        if (b.status == AMT_OK || b.lasted > 4 ||
            (cases[i].status != AMT_STATUSES && cases[i].status != b.status)) {
            fail_msg("%s: status %d after %.1f s, %s", cases[i].name, b.status, b.lasted, b.text);
        }
    }
}

/* ---- TLS --------------------------------------------------------------------------------------- */

/* How a device behaves that answers both for HTTP and for redirection, and how both ends of ours take it. */
static void meet_both(well_t *well, const amt_target_t *trust, const char *said, const char *what)
{
    static const int ports[] = {PORT_HTTPS, PORT_REDIRECTION};

    for (size_t i = 0; i < COUNT(ports); i++) {
        bounds_t b;

        meet(&b, well, ports[i], trust, what);
        if (strstr(b.text, said) == NULL) {
            fail_msg("%s, port %d: status %d, \"%s\"", what, ports[i], b.status, b.text);
        }
        assert_int_not_equal(b.status, AMT_OK);
    }
}

static void pour_nothing(int fd, SSL *ssl, const char *text)
{
    static const char garbage[] = "\x99 no protocol at all";

    (void)fd;
    (void)text;
    SSL_write(ssl, garbage, sizeof(garbage) - 1);
}

static char pin[65];

/* A target that trusts this certificate by its pin. */
static amt_target_t pinned(const certificate_t *certificate)
{
    certificate_pin(pin, certificate);
    return (amt_target_t){.tls = AMT_TLS_PIN,
                          .pin = pin,
                          .connect_timeout = apr_time_from_sec(15),
                          .call_timeout = apr_time_from_sec(15)};
}

static void test_handshake_without_end(void **state)
{
    certificate_t device;
    amt_target_t trust;
    well_t well = {.pour = pour_hello_requests};

    (void)state;
    certificate_make(&device, RIG_FQDN, NULL, -DAY, DAY);
    trust = pinned(&device);
    meet_both(&well, &trust, "messages of its own without end", "HelloRequests in the handshake");
    certificate_free(&device);
}

static void test_key_updates_without_end(void **state)
{
    certificate_t device;
    amt_target_t trust;
    well_t well = {.pour = pour_key_updates};

    (void)state;
    certificate_make(&device, RIG_FQDN, NULL, -DAY, DAY);
    trust = pinned(&device);
    well.ctx = certificate_server(&device, TLS1_3_VERSION);
    meet_both(&well, &trust, "messages of its own without end", "KeyUpdates");
    SSL_CTX_free(well.ctx);
    certificate_free(&device);
}

/* The device wants a new handshake, and again; it gets none. */
static void test_renegotiation(void **state)
{
    certificate_t device;
    amt_target_t trust;
    well_t well = {.pour = pour_renegotiations};

    (void)state;
    certificate_make(&device, RIG_FQDN, NULL, -DAY, DAY);
    trust = pinned(&device);
    well.ctx = certificate_server(&device, TLS1_2_VERSION);
    meet_both(&well, &trust, "messages of its own without end", "HelloRequests");
    SSL_CTX_free(well.ctx);
    certificate_free(&device);
}

/* A group of so many bits; what it is made of does not matter to a client. */
static EVP_PKEY *make_group(int bits)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *p = BN_new(), *g = BN_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *group = NULL;

    assert_true(BN_rand(p, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) && BN_set_word(g, 2));
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_FFC_P, p);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_FFC_G, g);
    params = OSSL_PARAM_BLD_to_param(builder);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &group, EVP_PKEY_KEY_PARAMETERS, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(p);
    BN_free(g);
    return group;
}

static int allow_all(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other, void *baton)
{
    (void)ssl;
    (void)ctx;
    (void)op;
    (void)bits;
    (void)nid;
    (void)other;
    (void)baton;
    return 1;
}

static void test_groups(void **state)
{
    static const struct {
        int bits;
        const char *said;
    } cases[] = {{8200, "a Diffie-Hellman group of 8200 bits"},
                 {4104, "a Diffie-Hellman group of 4104 bits"},
                 {4096, "is no HTTP answer"},
                 {768, "a Diffie-Hellman group of 768 bits"}};
    certificate_t device;
    amt_target_t trust;
    well_t well = {.pour = pour_nothing};

    (void)state;
    certificate_make_for(&device, EVP_RSA_gen(2048), RIG_FQDN, NULL, -DAY, DAY);
    trust = pinned(&device);
    for (size_t i = 0; i < COUNT(cases); i++) {
        bounds_t b;

        well.ctx = certificate_server(&device, TLS1_2_VERSION);
        assert_int_equal(SSL_CTX_set_cipher_list(well.ctx, "DHE"), 1);
        SSL_CTX_set_security_callback(well.ctx, allow_all);
        assert_int_equal(SSL_CTX_set0_tmp_dh_pkey(well.ctx, make_group(cases[i].bits)), 1);
        if (cases[i].bits == 4096) { /* what is allowed costs that much, and no more */
            meet(&b, &well, PORT_HTTPS, &trust, "a group of 4096 bits");
            assert_true(b.busy < 1);
        }
        else {
            meet_both(&well, &trust, cases[i].said, "a group");
        }
        SSL_CTX_free(well.ctx);
    }
    certificate_free(&device);
}

typedef struct {
    const char *name;
    int bits;
} number_t;

/* A key of these random numbers, that nobody has the other half of. */
static EVP_PKEY *make_key_of(const char *kind, const number_t *numbers, int count)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *made[4];
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    for (int i = 0; i < count; i++) {
        made[i] = BN_new();
        assert_true(BN_rand(made[i], numbers[i].bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD));
        OSSL_PARAM_BLD_push_BN(builder, numbers[i].name, made[i]);
    }
    params = OSSL_PARAM_BLD_to_param(builder);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    for (int i = 0; i < count; i++) {
        BN_free(made[i]);
    }
    return key;
}

static EVP_PKEY *make_public_key(int bits, int exponent_bits)
{
    return make_key_of(
        "RSA", (number_t[]){{OSSL_PKEY_PARAM_RSA_N, bits}, {OSSL_PKEY_PARAM_RSA_E, exponent_bits}}, 2);
}

static EVP_PKEY *make_dsa_key(int bits)
{
    return make_key_of("DSA",
                       (number_t[]){{OSSL_PKEY_PARAM_FFC_P, bits},
                                    {OSSL_PKEY_PARAM_FFC_Q, 256},
                                    {OSSL_PKEY_PARAM_FFC_G, bits - 1},
                                    {OSSL_PKEY_PARAM_PUB_KEY, bits - 1}},
                       4);
}

/* The device's own certificate is as pinned; what comes with it is too much. */
static void meet_chain(const char *said, EVP_PKEY *key, int count)
{
    certificate_t device, authority, more;
    amt_target_t trust;
    well_t well = {.pour = pour_nothing};

    certificate_make(&device, RIG_FQDN, NULL, -DAY, DAY);
    certificate_make(&authority, "Some CA", NULL, -DAY, DAY);
    certificate_make_for(&more, key, "Another CA", &authority, -DAY, DAY);
    trust = pinned(&device);
    well.ctx = certificate_server(&device, TLS1_2_VERSION);
    for (int i = 0; i < count; i++) {
        assert_int_equal(SSL_CTX_add1_chain_cert(well.ctx, more.certificate), 1);
    }
    meet_both(&well, &trust, said, "a chain");
    SSL_CTX_free(well.ctx);
    certificate_free(&more);
    certificate_free(&authority);
    certificate_free(&device);
}

static void test_chains(void **state)
{
    (void)state;
    meet_chain("an RSA key of 16000 bits", make_public_key(16000, 17), 1);
    meet_chain("an RSA key of 512 bits", make_public_key(512, 17), 1);
    meet_chain(
        "an RSA key of 16000 bits",
        make_key_of("RSA-PSS", (number_t[]){{OSSL_PKEY_PARAM_RSA_N, 16000}, {OSSL_PKEY_PARAM_RSA_E, 17}}, 2),
        1);
    meet_chain("a key of a kind or a curve that no device has", make_dsa_key(9999), 1);
    meet_chain("a key of a kind or a curve that no device has", EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), 1);
    meet_chain("an RSA key with a very long exponent", make_public_key(3072, 3000), 1);
    meet_chain("21 certificates", EVP_EC_gen("P-256"), 20);
    meet_chain("too long", EVP_EC_gen("P-256"), 150);
}

/* ---- redirection -------------------------------------------------------------------------------- */

enum { LASTS_MS = 1000 };

static void say_numbered(unsigned char *message, unsigned char id, unsigned int number)
{
    memset(message, 0, 8);
    message[0] = id;
    for (int i = 0; i < 4; i++) {
        message[4 + i] = (unsigned char)(number >> 8 * i);
    }
}

/* Lets the console in, then text of one byte a message, with something between them where `baton` says so. */
static void play_small_pieces(line_t *line, void *baton)
{
    static const unsigned char piece[3] = {1, 0, 'x'};
    const unsigned char *between = baton;
    static unsigned char batch[512 * 19];
    unsigned char opened[23] = {0x21}, rest[64];
    unsigned int number = 1;

    if (!line_let_in(line, "SOL ") || !line_hear(line, rest, 24) || !line_say(line, opened, sizeof(opened))) {
        return;
    }
    for (;;) {
        size_t filled = 0;

        while (filled + 19 <= sizeof(batch)) {
            say_numbered(batch + filled, 0x2a, number++);
            memcpy(batch + filled + 8, piece, sizeof(piece));
            filled += 11;
            if (*between) {
                say_numbered(batch + filled, *between, number++);
                filled += 8;
            }
        }
        if (!line_say(line, batch, filled)) {
            return;
        }
    }
}

static void on_opened(void *baton)
{
    (void)baton;
}

static void on_received(void *baton, const char *bytes, apr_size_t length)
{
    bounds_t *b = baton;

    (void)bytes;
    b->received++;
    b->bytes += length;
}

static const amt_sol_events_t sol_events = {on_opened, on_received, on_done};

static void on_enough(evutil_socket_t fd, short what, void *baton)
{
    bounds_t *b = baton;

    (void)fd;
    (void)what;
    b->done = 1;
}

static void flood_console(unsigned char between)
{
    static const struct timeval lasts = {.tv_sec = LASTS_MS / 1000};
    redirection_peer_t *peer = redirection_peer_start(play_small_pieces, &between, NULL);
    const amt_target_t plain = {.tls = AMT_TLS_NONE};
    struct event *enough = NULL;
    bounds_t b;

    bounds_up(&b, &plain, redirection_peer_address(peer));
    enough = evtimer_new(b.base, on_enough, &b);
    event_add(enough, &lasts);
    open_console(&b);
    assert_others_were_served(&b, "a flood of text");
    assert_string_equal(b.text, "");
    assert_in_range(b.bytes, 500, 3 * 11520);
    assert_in_range(b.received, 1, 3000);
    event_free(enough);
    bounds_down(&b);
    redirection_peer_stop(peer);
}

static void test_flood_of_text(void **state)
{
    (void)state;
    flood_console(0);
    flood_console(0x2b); /* a heartbeat between any two */
    flood_console(0x24); /* a ping */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_without_end),
        cmocka_unit_test(test_handshake_without_end),
        cmocka_unit_test(test_key_updates_without_end),
        cmocka_unit_test(test_renegotiation),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_flood_of_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
