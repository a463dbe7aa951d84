/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker and its drive process say: each message comes back as it was, and nothing else is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "drives/message_priv.h"

static unsigned char bytes[MESSAGE_MAX + 1];

static amt_overlay_t sector_of(unsigned char byte)
{
    amt_overlay_t overlay = {.lba = 4000000000U};

    memset(overlay.bytes, byte, sizeof(overlay.bytes));
    return overlay;
}

static message_t whole_order(const amt_overlay_t *overlay)
{
    return (message_t){.kind = MESSAGE_OPEN,
                       .drive = 4294967295U,
                       .level = LOG_LEVEL_DEBUG,
                       .order = {.job = "0123456789abcdef",
                                 .fence = "1796074822336916",
                                 .target = {.fqdn = "pc.example",
                                            .address = "2001:db8::7",
                                            .tls = AMT_TLS_PIN,
                                            .tls_max = 2,
                                            .pin = "00ff",
                                            .ca_file = "/ca.pem",
                                            .crl_file = "/crl.pem",
                                            .certificate_file = "/own.pem",
                                            .key_file = "/own.key",
                                            .user = "admin",
                                            .password = "P@ssw0rd \x01\xff",
                                            .connect_timeout = 1,
                                            .call_timeout = 2},
                                 .keytab = "/keytab",
                                 .principal = "a@B",
                                 .overlay = overlay,
                                 .now = 1,
                                 .alone = apr_time_from_sec(600)}};
}

static message_t whole_result(void)
{
    return (message_t){
        .kind = MESSAGE_ENDED,
        .drive = 7,
        .result = {
            .status = AMT_NOT_NOW, .acted = 1, .return_value = -1, .text = "why", .denied = 1, .silent = 1}};
}

static void test_an_order_comes_back(void **state)
{
    amt_overlay_t overlay = sector_of('x');
    message_t message = whole_order(&overlay), back;
    apr_size_t size = message_write(&message, bytes, MESSAGE_MAX);

    (void)state;
    assert_true(size > AMT_SECTOR);
    assert_true(message_read(&back, bytes, size));
    assert_int_equal(back.kind, MESSAGE_OPEN);
    assert_int_equal(back.drive, 4294967295U);
    assert_int_equal(back.level, LOG_LEVEL_DEBUG);
    assert_string_equal(back.order.job, message.order.job);
    assert_string_equal(back.order.fence, message.order.fence);
    assert_string_equal(back.order.keytab, "/keytab");
    assert_string_equal(back.order.principal, "a@B");
    assert_string_equal(back.order.target.fqdn, "pc.example");
    assert_string_equal(back.order.target.address, "2001:db8::7");
    assert_string_equal(back.order.target.pin, "00ff");
    assert_string_equal(back.order.target.ca_file, "/ca.pem");
    assert_string_equal(back.order.target.crl_file, "/crl.pem");
    assert_string_equal(back.order.target.certificate_file, "/own.pem");
    assert_string_equal(back.order.target.key_file, "/own.key");
    assert_string_equal(back.order.target.user, "admin");
    assert_string_equal(back.order.target.password, message.order.target.password);
    assert_int_equal(back.order.target.tls, AMT_TLS_PIN);
    assert_int_equal(back.order.target.tls_max, 2);
    assert_int_equal(back.order.target.connect_timeout, 1);
    assert_int_equal(back.order.target.call_timeout, 2);
    assert_null(back.order.target.tickets);
    assert_int_equal(back.order.now, 1);
    assert_int_equal(back.order.alone, apr_time_from_sec(600));
    assert_memory_equal(back.order.overlay, &overlay, sizeof(overlay));
}

static void test_a_result_comes_back(void **state)
{
    message_t message = whole_result(), back;
    apr_size_t size = message_write(&message, bytes, MESSAGE_MAX);

    (void)state;
    assert_true(message_read(&back, bytes, size));
    assert_int_equal(back.result.status, AMT_NOT_NOW);
    assert_int_equal(back.result.acted, 1);
    assert_int_equal(back.result.return_value, -1);
    assert_int_equal(back.result.denied, 1);
    assert_int_equal(back.result.silent, 1);
    assert_string_equal(back.result.text, "why");
}

static void test_the_others_come_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < MESSAGES; kind++) {
        message_t message = {.kind = (message_e)kind, .drive = 5}, back;
        apr_size_t size;

        if (kind == MESSAGE_OPEN || kind == MESSAGE_ENDED) {
            continue;
        }
        size = message_write(&message, bytes, MESSAGE_MAX);
        assert_int_equal(size, 16);
        assert_true(message_read(&back, bytes, size));
        assert_int_equal(back.kind, kind);
        assert_int_equal(back.drive, 5);
    }
}

/* Cut anywhere, or with one byte more. The copy has just that size, so that what reads beyond it is found. */
static void check_cuts(const message_t *message)
{
    apr_size_t size = message_write(message, bytes, MESSAGE_MAX);
    message_t back;

    assert_true(size > 0);
    bytes[size] = 0;
    for (apr_size_t length = 0; length <= size + 1; length++) {
        unsigned char *copy = malloc(length ? length : 1);

        assert_non_null(copy);
        memcpy(copy, bytes, length);
        assert_int_equal(message_read(&back, copy, length), length == size);
        free(copy);
    }
}

static void test_what_is_cut_is_none(void **state)
{
    amt_overlay_t overlay = sector_of('x');
    message_t order = whole_order(&overlay), result = whole_result(), plain = {.kind = MESSAGE_CLOSE};

    (void)state;
    check_cuts(&order);
    check_cuts(&result);
    check_cuts(&plain);
}

/* Every number and every length, one after the other, is made one that cannot be. */
static void test_numbers_out_of_bounds(void **state)
{
    static const apr_int64_t wrong[] = {-2147483650LL, 4294967296LL, APR_INT64_MAX, APR_INT64_MIN};
    message_t result = whole_result(), back;
    apr_size_t size = message_write(&result, bytes, MESSAGE_MAX);

    (void)state;
    for (apr_size_t at = 0; at < 8 * sizeof(apr_int64_t); at += sizeof(apr_int64_t)) {
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
            unsigned char copy[256];

            memcpy(copy, bytes, size);
            memcpy(copy + at, &wrong[i], sizeof(wrong[i]));
            assert_false(message_read(&back, copy, size));
        }
    }
}

/* Whatever a byte is changed to, nothing is read that does not lie in it, and no enumeration leaves its bounds. */
static void test_any_byte_changed(void **state)
{
    amt_overlay_t overlay = sector_of('x');
    message_t order = whole_order(&overlay), back;
    apr_size_t size = message_write(&order, bytes, MESSAGE_MAX);

    (void)state;
    for (apr_size_t at = 0; at < size - AMT_SECTOR; at++) {
        unsigned char *copy = malloc(size);

        assert_non_null(copy);
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, bytes, size);
            copy[at] ^= (unsigned char)(1 << bit);
            if (message_read(&back, copy, size) && back.kind == MESSAGE_OPEN) {
                assert_in_range(back.order.target.tls, AMT_TLS_CA, AMT_TLS_NONE);
                assert_in_range(back.level, LOG_LEVEL_ERROR, LOG_LEVEL_DEBUG);
                assert_true(strlen(back.order.target.password) < size);
                assert_true(strlen(back.order.job) < size);
            }
        }
        free(copy);
    }
}

static void test_a_text_with_a_zero_is_none(void **state)
{
    message_t result = whole_result(), back;
    apr_size_t size = message_write(&result, bytes, MESSAGE_MAX);

    (void)state;
    bytes[size - 3] = '\0'; /* wh|y */
    assert_false(message_read(&back, bytes, size));
    size = message_write(&result, bytes, MESSAGE_MAX);
    bytes[size - 1] = '!';
    assert_false(message_read(&back, bytes, size));
}

static void test_what_is_too_long_is_not_written(void **state)
{
    static char text[MESSAGE_MAX + 1];
    message_t result = whole_result();

    (void)state;
    memset(text, 'x', MESSAGE_MAX);
    result.result.text = text;
    assert_int_equal(message_write(&result, bytes, MESSAGE_MAX), 0);
    text[MESSAGE_MAX - 8 * 8 - 1] = '\0';
    assert_int_equal(message_write(&result, bytes, MESSAGE_MAX), MESSAGE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_order_comes_back),
        cmocka_unit_test(test_a_result_comes_back),
        cmocka_unit_test(test_the_others_come_back),
        cmocka_unit_test(test_what_is_cut_is_none),
        cmocka_unit_test(test_numbers_out_of_bounds),
        cmocka_unit_test(test_any_byte_changed),
        cmocka_unit_test(test_a_text_with_a_zero_is_none),
        cmocka_unit_test(test_what_is_too_long_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
