/* SPDX-License-Identifier: Apache-2.0 */
/* See message_priv.h. */
#include "drives/message_priv.h"

#include <stddef.h>
#include <string.h>

#define LONGEST apr_time_from_sec(86400)

/* ---- writing ------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned char *bytes;
    apr_size_t size, used;
    int full;
} packet_writer_t;

static void put_bytes(packet_writer_t *writer, const void *bytes, apr_size_t length)
{
    writer->full |= length > writer->size - writer->used;
    if (!writer->full) {
        memcpy(writer->bytes + writer->used, bytes, length);
        writer->used += length;
    }
}

static void put_number(packet_writer_t *writer, apr_int64_t number)
{
    put_bytes(writer, &number, sizeof(number));
}

static void put_text(packet_writer_t *writer, const char *text)
{
    const char *written = text != NULL ? text : "";

    put_number(writer, (apr_int64_t)strlen(written));
    put_bytes(writer, written, strlen(written) + 1);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

typedef struct {
    const unsigned char *bytes;
    apr_size_t left;
    int wrong;
} packet_reader_t;

static const void *get_bytes(packet_reader_t *reader, apr_size_t length)
{
    const unsigned char *bytes = reader->bytes;

    reader->wrong |= length > reader->left;
    if (reader->wrong) {
        return NULL;
    }
    reader->bytes += length;
    reader->left -= length;
    return bytes;
}

/* Of what does not lie in these bounds: the lower one. */
static apr_int64_t get_number(packet_reader_t *reader, apr_int64_t from, apr_int64_t to)
{
    const void *bytes = get_bytes(reader, sizeof(apr_int64_t));
    apr_int64_t number = from;

    if (bytes != NULL) {
        memcpy(&number, bytes, sizeof(number));
    }
    reader->wrong |= number < from || number > to;
    return reader->wrong ? from : number;
}

static const char *get_text(packet_reader_t *reader)
{
    apr_size_t length = (apr_size_t)get_number(reader, 0, MESSAGE_MAX);
    const char *text = get_bytes(reader, length + 1);

    reader->wrong |= text == NULL || memchr(text, '\0', length + 1) != text + length;
    return reader->wrong ? "" : text;
}

/* ---- an order ------------------------------------------------------------------------------------------ */

static const size_t order_texts[] = {
    offsetof(drive_order_t, job),
    offsetof(drive_order_t, fence),
    offsetof(drive_order_t, keytab),
    offsetof(drive_order_t, principal),
    offsetof(drive_order_t, target.fqdn),
    offsetof(drive_order_t, target.address),
    offsetof(drive_order_t, target.pin),
    offsetof(drive_order_t, target.ca_file),
    offsetof(drive_order_t, target.crl_file),
    offsetof(drive_order_t, target.certificate_file),
    offsetof(drive_order_t, target.key_file),
    offsetof(drive_order_t, target.user),
    offsetof(drive_order_t, target.password),
};

#define ORDER_TEXTS (sizeof(order_texts) / sizeof(order_texts[0]))

static void put_order(packet_writer_t *writer, const message_t *message)
{
    const drive_order_t *order = &message->order;

    put_number(writer, message->level);
    put_number(writer, order->now);
    put_number(writer, order->alone);
    put_number(writer, order->target.tls);
    put_number(writer, order->target.tls_max);
    put_number(writer, order->target.connect_timeout);
    put_number(writer, order->target.call_timeout);
    for (size_t i = 0; i < ORDER_TEXTS; i++) {
        put_text(writer, *(const char *const *)((const char *)order + order_texts[i]));
    }
    put_number(writer, order->overlay->lba);
    put_bytes(writer, order->overlay->bytes, AMT_SECTOR);
}

static void get_order(packet_reader_t *reader, message_t *message)
{
    drive_order_t *order = &message->order;
    const void *sector;

    message->level = (log_level_e)get_number(reader, LOG_LEVEL_ERROR, LOG_LEVEL_DEBUG);
    order->now = (int)get_number(reader, 0, 1);
    order->alone = get_number(reader, 0, LONGEST);
    order->target.tls = (amt_tls_e)get_number(reader, AMT_TLS_CA, AMT_TLS_NONE);
    order->target.tls_max = (int)get_number(reader, 0, 3);
    order->target.connect_timeout = get_number(reader, 0, LONGEST);
    order->target.call_timeout = get_number(reader, 0, LONGEST);
    for (size_t i = 0; i < ORDER_TEXTS; i++) {
        *(const char **)((char *)order + order_texts[i]) = get_text(reader);
    }
    message->overlay.lba = (apr_uint32_t)get_number(reader, 0, APR_UINT32_MAX);
    sector = get_bytes(reader, AMT_SECTOR);
    if (sector != NULL) {
        memcpy(message->overlay.bytes, sector, AMT_SECTOR);
    }
    order->overlay = &message->overlay;
}

/* ---- a result ------------------------------------------------------------------------------------------ */

static void put_result(packet_writer_t *writer, const message_t *message)
{
    put_number(writer, message->result.status);
    put_number(writer, message->result.acted);
    put_number(writer, message->result.return_value);
    put_number(writer, message->result.denied);
    put_number(writer, message->result.silent);
    put_text(writer, message->result.text);
}

static void get_result(packet_reader_t *reader, message_t *message)
{
    message->result.status = (amt_status_e)get_number(reader, AMT_OK, AMT_STATUSES - 1);
    message->result.acted = (int)get_number(reader, 0, 1);
    message->result.return_value = (int)get_number(reader, APR_INT32_MIN, APR_INT32_MAX);
    message->result.denied = (int)get_number(reader, 0, 1);
    message->result.silent = (int)get_number(reader, 0, 1);
    message->result.text = get_text(reader);
}

/* ---- a message ----------------------------------------------------------------------------------------- */

static const struct {
    void (*put)(packet_writer_t *writer, const message_t *message);
    void (*get)(packet_reader_t *reader, message_t *message);
} bodies[MESSAGES] = {[MESSAGE_OPEN] = {put_order, get_order}, [MESSAGE_ENDED] = {put_result, get_result}};

apr_size_t message_write(const message_t *message, unsigned char *bytes, apr_size_t size)
{
    packet_writer_t writer = {.size = size};

    writer.bytes = bytes;
    put_number(&writer, message->kind);
    put_number(&writer, message->drive);
    if (bodies[message->kind].put != NULL) {
        bodies[message->kind].put(&writer, message);
    }
    return writer.full ? 0 : writer.used;
}

int message_read(message_t *message, const unsigned char *bytes, apr_size_t size)
{
    packet_reader_t reader = {.bytes = bytes, .left = size};

    memset(message, 0, sizeof(*message));
    message->kind = (message_e)get_number(&reader, MESSAGE_OPEN, MESSAGES - 1);
    message->drive = (apr_uint32_t)get_number(&reader, 0, APR_UINT32_MAX);
    if (!reader.wrong && bodies[message->kind].get != NULL) {
        bodies[message->kind].get(&reader, message);
    }
    return !reader.wrong && reader.left == 0;
}
