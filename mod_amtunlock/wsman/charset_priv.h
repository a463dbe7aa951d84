/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 and UTF-16, in both directions, a byte at a time.
 *
 * iconv is not used because an answer must repeat the caller's byte order and byte order mark exactly, and
 * because iconv loads UTF-16 from a file that a chroot may lack.
 */
#ifndef AMTUNLOCK_WSMAN_CHARSET_PRIV_H
#define AMTUNLOCK_WSMAN_CHARSET_PRIV_H

#include "wsman/envelope.h"

/* A UTF-8 character that is being decoded. Starts all zero. */
typedef struct {
    apr_uint32_t code;
    apr_uint32_t least; /* smaller codes would be overlong */
    int missing;        /* continuation bytes still to come */
} wsman_utf8_t;

/* 1: *code is the character that `byte` completes; 0: more bytes are needed; -1: not UTF-8. */
int wsman_utf8_step(wsman_utf8_t *state, unsigned char byte, apr_uint32_t *code);

/* True if text of this length is UTF-8 and holds only characters that XML allows. */
int wsman_is_xml_text(const char *text, apr_size_t length);

/* `text` with every byte that wsman_is_xml_text() would refuse as '?'. `text` itself if there is none. */
const char *wsman_make_xml_text(const char *text, apr_pool_t *pool);

typedef struct {
    wsman_encoding_t encoding;
    int decided;            /* encoding is final */
    int declared;           /* the Content-Type named a charset */
    int order_declared;     /* and its byte order */
    unsigned char first[3]; /* bytes kept until the encoding is decided */
    apr_size_t kept;
    wsman_utf8_t utf8;
    int half;          /* first byte of a UTF-16 unit, or -1 */
    apr_uint32_t high; /* high surrogate without its low one so far, or 0 */
} wsman_decoder_t;

/* Bytes that wsman_decode() may write for `length` bytes read, what it kept before included. */
#define WSMAN_DECODED_MAX(length) ((length)*3 / 2 + 16)

/* `charset` as in the Content-Type (quotes allowed), or NULL. APR_ENOTIMPL: a charset that is not read. */
apr_status_t wsman_decoder_init(wsman_decoder_t *decoder, const char *charset);

/* Decodes the next bytes to UTF-8 without a byte order mark. APR_EINVAL: not in the encoding. */
apr_status_t wsman_decode(wsman_decoder_t *decoder, const char *bytes, apr_size_t length, char *out,
                          apr_size_t *written);

/* At the end of the input: decodes the kept bytes. APR_EINVAL: the last character is incomplete. */
apr_status_t wsman_decode_end(wsman_decoder_t *decoder, char *out, apr_size_t *written);

/* Valid UTF-8 in another encoding, with its byte order mark if it has one. UTF-8 without mark is `text`
 * itself. */
const char *wsman_encode(const char *text, apr_size_t length, wsman_encoding_t encoding, apr_size_t *encoded,
                         apr_pool_t *pool);

#endif
