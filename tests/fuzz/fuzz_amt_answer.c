/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a device may answer, through every call: the first byte picks the call, the second the HTTP
 * status, the rest is the body of each answer, or of several, one a step, with a line of two hyphens between
 * them; the last is also that of all further steps. Nothing goes over a network: the answer is handed to the
 * call in libcurl's place.
 */
#include <apr_general.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "amt/calls/call_priv.h"
#include "amt/calls/device_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static apr_pool_t *pool;
static struct event_base *base;
static amt_device_t *device;

static amt_facts_t facts;
static amt_account_t account;
static int dones;

/* The contract that callers rely on, whatever came. */
static void done(void *baton, const amt_result_t *result)
{
    (void)baton;
    dones++;
    if (result->status == AMT_OK ? *result->text != '\0' : *result->text == '\0') {
        abort();
    }
    for (const char *c = result->text; *c; c++) {
        if (*c < ' ' || *c > '~') {
            abort();
        }
    }
    if (!memchr(facts.identity.uuid, '\0', sizeof(facts.identity.uuid)) ||
        !memchr(facts.boot.summary, '\0', sizeof(facts.boot.summary)) ||
        !memchr(facts.identity.version, '\0', sizeof(facts.identity.version)) || account.user_count < 0 ||
        account.user_count > AMT_MAX_USERS) {
        abort();
    }
}

/* So that what is left at the end is a leak. */
static void end(void)
{
    apr_pool_destroy(pool);
    event_base_free(base);
}

static void make_device(void)
{
    static const amt_target_t target = {.fqdn = "pc1.example.com",
                                        .address = "127.0.0.1",
                                        .tls = AMT_TLS_NONE,
                                        .user = "user",
                                        .password = "password"};
    amt_loop_t *loop;

    apr_initialize();
    wsman_library_init();
    apr_pool_create(&pool, NULL);
    base = event_base_new();
    atexit(end);
    if (amt_library_init() != APR_SUCCESS || amt_loop_create(&loop, base, pool) != APR_SUCCESS ||
        amt_device_create(&device, loop, &target, pool) != APR_SUCCESS) {
        abort();
    }
}

/* Ends the exchange under way with this answer; a call of several steps begins the next one. */
static void answer(const uint8_t *data, size_t size, long http_status)
{
    amt_reply_t reply = {.status = AMT_OK,
                         .acted = device->http.exchange.once,
                         .http_status = http_status,
                         .content_type = "application/soap+xml; charset=UTF-8",
                         .bytes = (const char *)data,
                         .length = size};

    curl_multi_remove_handle(device->loop->multi, device->http.easy);
    device->http.exchanging = 0;
    device->http.exchange.done(device->http.exchange.baton, &reply);
}

/* Answers every step of the call under way. */
static void answer_all(const uint8_t *data, size_t size, long http_status)
{
    static const char between[] = "\n--\n";

    while (device->http.exchanging) {
        const uint8_t *end = memmem(data, size, between, sizeof(between) - 1);

        answer(data, end ? (size_t)(end - data) : size, http_status);
        if (end) {
            size -= (size_t)(end - data) + sizeof(between) - 1;
            data = end + sizeof(between) - 1;
        }
    }
}

/* Of the first byte: another call of two, or another way to send what was read. */
#define VARIANT 8

static void begin(int which)
{
    switch (which) {
    case 0:
        amt_read(device, AMT_READ_IDENTITY, &facts, done, NULL);
        break;
    case 1:
        amt_read(device, AMT_READ_POWER, &facts, done, NULL);
        break;
    case 2:
        amt_request_power(device, 2, NULL, NULL, done, NULL);
        break;
    case 4:
        amt_read(device, AMT_READ_REDIRECTION, &facts, done, NULL);
        break;
    case 5:
        amt_read(device, AMT_READ_CONSENT, &facts, done, NULL);
        break;
    case 6:
        amt_read(device, AMT_READ_CAPABILITIES, &facts, done, NULL);
        break;
    case 7:
        amt_read_account(device, &account, done, NULL);
        break;
    case 7 | VARIANT:
        amt_read(device, AMT_READ_SAVING, &facts, done, NULL);
        break;
    default:
        amt_read(device, AMT_READ_BOOT, &facts, done, NULL);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const long statuses[] = {500, 503, 200, 400, 403}; /* '0' to '4' in the corpus */

    if (!device) {
        make_device();
    }
    if (size < 2) {
        return 0;
    }
    dones = 0;
    device->message_id = 0;
    begin(data[0] % 8 == 7 ? data[0] % 16 : data[0] % 8);
    answer_all(data + 2, size - 2, statuses[(data[1] + 2) % 5]);
    if (device->boot) { /* what was read goes out again */
        if (data[0] & VARIANT) {
            amt_set_boot(device, AMT_START_SOL | AMT_START_IMAGE, NULL, NULL, done, NULL);
            if (!device->http.exchanging) { /* refused before its first step, which the loop tells */
                event_base_loop(base, EVLOOP_NONBLOCK);
            }
        }
        else {
            amt_clear_boot(device, NULL, NULL, done, NULL);
        }
        while (device->http.exchanging) {
            answer(data + 2, size - 2, 200);
        }
    }
    if (device->redirection) {
        amt_redirection_t wanted = {AMT_REDIRECTION_SOL, !facts.redirection.listener};

        amt_set_redirection(device, &wanted, NULL, NULL, done, NULL);
        while (device->http.exchanging) {
            answer(data + 2, size - 2, 200);
        }
    }
    if (dones == 0 || device->call) {
        abort();
    }
    return 0;
}
