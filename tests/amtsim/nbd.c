/* SPDX-License-Identifier: Apache-2.0 */
#include "nbd.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define NBDMAGIC 0x4e42444d41474943ULL
#define IHAVEOPT 0x49484156454f5054ULL
#define REPLY_MAGIC 0x0003e889045565a9ULL
#define REQUEST_MAGIC 0x25609513U
#define SIMPLE_REPLY_MAGIC 0x67446698U

enum { NBD_FLAG_FIXED_NEWSTYLE = 1, NBD_FLAG_NO_ZEROES = 2 }; /* of the handshake, both sides */
enum { NBD_FLAG_HAS_FLAGS = 1, NBD_FLAG_READ_ONLY = 2 };      /* of the transmission */
enum { NBD_INFO_EXPORT = 0, NBD_INFO_BLOCK_SIZE = 3 };
enum { NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_DISC };
enum {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT,
    NBD_OPT_LIST,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO,
};

#define NBD_REP_ACK 1U
#define NBD_REP_SERVER 2U
#define NBD_REP_INFO 3U
#define NBD_REP_ERR_UNSUP 0x80000001U
#define NBD_REP_ERR_INVALID 0x80000003U
#define NBD_REP_ERR_UNKNOWN 0x80000006U

#define OPTION_HEAD 16
#define OPTION_MAX 8192U /* more than any option that is known here needs */
#define REQUEST_SIZE 28
#define WRITE_MAX (32U << 20) /* a write is refused, but read to its end first */
#define ZEROES 124

enum state { HANDSHAKE, OPTIONS, TRANSMISSION, OVER };

struct nbd {
    struct bufferevent *stream;
    nbd_read *read;
    void *owner;
    uint64_t size;
    uint32_t block;
    enum state state;
    bool no_zeroes;
    bool reading;      /* the owner was asked, and has not answered */
    bool working;      /* on what came: whoever answers at once does not begin again */
    uint64_t handle;   /* of the read under way */
    uint32_t length;   /* and its bytes */
    uint32_t to_drain; /* bytes of a write that was refused */
};

/* ---- numbers, most significant byte first --------------------------------------------------------------- */

static uint64_t get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static void put(const struct nbd *nbd, uint64_t value, int bytes)
{
    uint8_t out[8];

    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    bufferevent_write(nbd->stream, out, (size_t)bytes);
}

/* ---- options -------------------------------------------------------------------------------------------- */

static void put_reply(const struct nbd *nbd, uint32_t option, uint32_t type, uint32_t length)
{
    put(nbd, REPLY_MAGIC, 8);
    put(nbd, option, 4);
    put(nbd, type, 4);
    put(nbd, length, 4);
}

static void put_size_and_flags(const struct nbd *nbd)
{
    put(nbd, nbd->size, 8);
    put(nbd, NBD_FLAG_HAS_FLAGS | NBD_FLAG_READ_ONLY, 2);
}

/* The old way to the export: no refusal, no block sizes. */
static bool take_export_name(struct nbd *nbd, uint32_t length)
{
    static const uint8_t zeroes[ZEROES];

    if (length != 0)
        return false;
    put_size_and_flags(nbd);
    if (!nbd->no_zeroes)
        bufferevent_write(nbd->stream, zeroes, sizeof(zeroes));
    nbd->state = TRANSMISSION;
    return true;
}

static void put_information(const struct nbd *nbd, uint32_t option)
{
    put_reply(nbd, option, NBD_REP_INFO, 12);
    put(nbd, NBD_INFO_EXPORT, 2);
    put_size_and_flags(nbd);
    put_reply(nbd, option, NBD_REP_INFO, 14);
    put(nbd, NBD_INFO_BLOCK_SIZE, 2);
    put(nbd, nbd->block, 4);
    put(nbd, NBD_READ_MAX, 4); /* best read in pieces of this */
    put(nbd, NBD_READ_MAX, 4);
}

/* INFO and GO: the length of a name, the name, how many informations are wanted, and which. */
static void take_go(struct nbd *nbd, uint32_t option, const uint8_t *data, uint32_t length)
{
    uint64_t name = length < 6 ? 0 : get(data, 4);

    if (length < 6 || name > length - 6 || length - 6 - name != 2 * get(data + 4 + name, 2)) {
        put_reply(nbd, option, NBD_REP_ERR_INVALID, 0);
    }
    else if (name > 0) {
        put_reply(nbd, option, NBD_REP_ERR_UNKNOWN, 0);
    }
    else {
        put_information(nbd, option);
        put_reply(nbd, option, NBD_REP_ACK, 0);
        nbd->state = option == NBD_OPT_GO ? TRANSMISSION : OPTIONS;
    }
}

static bool take_list(const struct nbd *nbd, uint32_t option, uint32_t length)
{
    if (length > 0) {
        put_reply(nbd, option, NBD_REP_ERR_INVALID, 0);
        return true;
    }
    put_reply(nbd, option, NBD_REP_SERVER, 4);
    put(nbd, 0, 4); /* an empty name */
    put_reply(nbd, option, NBD_REP_ACK, 0);
    return true;
}

/* False: hang up. */
static bool obey(struct nbd *nbd, uint32_t option, const uint8_t *data, uint32_t length)
{
    switch (option) {
    case NBD_OPT_EXPORT_NAME:
        return take_export_name(nbd, length);
    case NBD_OPT_ABORT:
        put_reply(nbd, option, NBD_REP_ACK, 0);
        nbd->state = OVER;
        return true;
    case NBD_OPT_LIST:
        return take_list(nbd, option, length);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        take_go(nbd, option, data, length);
        return true;
    default:
        put_reply(nbd, option, NBD_REP_ERR_UNSUP, 0);
        return true;
    }
}

/* ---- what comes: 1 one thing was taken, 0 more bytes are needed, -1 hang up -------------------------------- */

static int take_flags(struct nbd *nbd, struct evbuffer *input)
{
    uint8_t flags[4];
    uint64_t known = NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES;

    if (evbuffer_get_length(input) < sizeof(flags))
        return 0;
    evbuffer_remove(input, flags, sizeof(flags));
    if (get(flags, 4) & ~known || !(get(flags, 4) & NBD_FLAG_FIXED_NEWSTYLE))
        return -1;
    nbd->no_zeroes = (get(flags, 4) & NBD_FLAG_NO_ZEROES) != 0;
    nbd->state = OPTIONS;
    return 1;
}

static int take_option(struct nbd *nbd, struct evbuffer *input)
{
    const uint8_t *at = evbuffer_pullup(input, OPTION_HEAD);
    uint32_t length = at ? (uint32_t)get(at + 12, 4) : 0;

    if (!at)
        return 0;
    if (get(at, 8) != IHAVEOPT || length > OPTION_MAX)
        return -1;
    at = evbuffer_pullup(input, OPTION_HEAD + (ssize_t)length);
    if (!at)
        return 0;
    if (!obey(nbd, (uint32_t)get(at + 8, 4), at + OPTION_HEAD, length))
        return -1;
    evbuffer_drain(input, OPTION_HEAD + length);
    return 1;
}

static void put_answer(const struct nbd *nbd, uint64_t handle, uint32_t error)
{
    put(nbd, SIMPLE_REPLY_MAGIC, 4);
    put(nbd, error, 4);
    put(nbd, handle, 8);
}

static bool is_readable(const struct nbd *nbd, uint64_t offset, uint32_t length)
{
    return length > 0 && length <= NBD_READ_MAX && offset % nbd->block == 0 && length % nbd->block == 0 &&
           offset <= nbd->size && length <= nbd->size - offset;
}

static int ask_owner(struct nbd *nbd, uint64_t handle, uint64_t offset, uint32_t length)
{
    if (!is_readable(nbd, offset, length)) {
        put_answer(nbd, handle, NBD_EINVAL);
        return 1;
    }
    nbd->reading = true;
    nbd->handle = handle;
    nbd->length = length;
    nbd->read(nbd->owner, offset, length);
    return 1;
}

static int refuse_write(struct nbd *nbd, uint64_t handle, uint32_t length)
{
    if (length > WRITE_MAX)
        return -1;
    nbd->to_drain = length;
    put_answer(nbd, handle, NBD_EPERM);
    return 1;
}

static int take_request(struct nbd *nbd, struct evbuffer *input)
{
    uint8_t request[REQUEST_SIZE];
    uint64_t handle;

    if (evbuffer_get_length(input) < sizeof(request))
        return 0;
    evbuffer_remove(input, request, sizeof(request));
    handle = get(request + 8, 8);
    if (get(request, 4) != REQUEST_MAGIC)
        return -1;
    switch (get(request + 6, 2)) {
    case NBD_CMD_READ:
        return ask_owner(nbd, handle, get(request + 16, 8), (uint32_t)get(request + 24, 4));
    case NBD_CMD_WRITE:
        return refuse_write(nbd, handle, (uint32_t)get(request + 24, 4));
    case NBD_CMD_DISC:
        return -1;
    default:
        put_answer(nbd, handle, NBD_EINVAL);
        return 1;
    }
}

static int take_refused(struct nbd *nbd, struct evbuffer *input)
{
    size_t there = evbuffer_get_length(input), size = nbd->to_drain < there ? nbd->to_drain : there;

    evbuffer_drain(input, size);
    nbd->to_drain -= (uint32_t)size;
    return size > 0;
}

static int take_one(struct nbd *nbd, struct evbuffer *input)
{
    if (nbd->to_drain > 0)
        return take_refused(nbd, input);
    switch (nbd->state) {
    case HANDSHAKE:
        return take_flags(nbd, input);
    case OPTIONS:
        return take_option(nbd, input);
    case TRANSMISSION:
        return take_request(nbd, input);
    case OVER:
        break;
    }
    evbuffer_drain(input, evbuffer_get_length(input));
    return 0;
}

static void hang_up(struct nbd *nbd)
{
    nbd->state = OVER;
    nbd->reading = false;
    bufferevent_disable(nbd->stream, EV_READ | EV_WRITE);
    shutdown(bufferevent_getfd(nbd->stream), SHUT_RDWR);
}

static void work(struct nbd *nbd)
{
    struct evbuffer *input = bufferevent_get_input(nbd->stream);
    int taken = 1;

    if (nbd->working)
        return;
    nbd->working = true;
    while (taken > 0 && !nbd->reading)
        taken = take_one(nbd, input);
    nbd->working = false;
    if (taken < 0)
        hang_up(nbd);
}

static void on_data(struct bufferevent *stream, void *arg)
{
    (void)stream;
    work(arg);
}

static void on_gone(struct bufferevent *stream, short what, void *arg)
{
    (void)stream;
    (void)what;
    hang_up(arg);
}

/* ---- for the others --------------------------------------------------------------------------------------- */

struct nbd *nbd_open(struct event_base *loop, int fd, uint64_t size, uint32_t block, nbd_read *read,
                     void *owner)
{
    struct nbd *nbd = calloc(1, sizeof(*nbd));

    if (nbd)
        nbd->stream = bufferevent_socket_new(loop, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!nbd || !nbd->stream) {
        close(fd);
        free(nbd);
        return NULL;
    }
    nbd->size = size;
    nbd->block = block;
    nbd->read = read;
    nbd->owner = owner;
    bufferevent_setcb(nbd->stream, on_data, NULL, on_gone, nbd);
    bufferevent_enable(nbd->stream, EV_READ | EV_WRITE);
    put(nbd, NBDMAGIC, 8);
    put(nbd, IHAVEOPT, 8);
    put(nbd, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES, 2);
    return nbd;
}

void nbd_give(struct nbd *nbd, const void *data)
{
    if (!nbd->reading)
        return; /* the client has gone meanwhile */
    nbd->reading = false;
    put_answer(nbd, nbd->handle, 0);
    bufferevent_write(nbd->stream, data, nbd->length);
    work(nbd);
}

void nbd_refuse(struct nbd *nbd, enum nbd_error error)
{
    if (!nbd->reading)
        return;
    nbd->reading = false;
    put_answer(nbd, nbd->handle, error);
    work(nbd);
}

void nbd_close(struct nbd *nbd)
{
    if (!nbd)
        return;
    bufferevent_free(nbd->stream);
    free(nbd);
}
