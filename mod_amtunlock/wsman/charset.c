/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/charset_priv.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "base/text.h"

#define HIGH_SURROGATE 0xD800U
#define LOW_SURROGATE 0xDC00U
#define SURROGATE_END 0xE000U
#define BEYOND_BMP 0x10000U
#define LAST_CODE 0x10FFFFU

/* ---- UTF-8 -------------------------------------------------------------------------------------------- */

static int utf8_lead(wsman_utf8_t *state, unsigned char byte)
{
    static const struct {
        unsigned char mask, lead;
        int missing;
        apr_uint32_t least;
    } shapes[] = {{0xE0, 0xC0, 1, 0x80}, {0xF0, 0xE0, 2, 0x800}, {0xF8, 0xF0, 3, BEYOND_BMP}};

    for (apr_size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if ((byte & shapes[i].mask) == shapes[i].lead) {
            state->code = byte & (unsigned char)~shapes[i].mask;
            state->least = shapes[i].least;
            state->missing = shapes[i].missing;
            return 0;
        }
    }
    return -1;
}

int wsman_utf8_step(wsman_utf8_t *state, unsigned char byte, apr_uint32_t *code)
{
    if (state->missing == 0) {
        *code = byte;
        return byte < 0x80 ? 1 : utf8_lead(state, byte);
    }
    if ((byte & 0xC0) != 0x80) {
        return -1;
    }
    state->code = (state->code << 6) | (byte & 0x3F);
    if (--state->missing > 0) {
        return 0;
    }
    if (state->code < state->least || state->code > LAST_CODE ||
        (state->code >= HIGH_SURROGATE && state->code < SURROGATE_END)) {
        return -1;
    }
    *code = state->code;
    return 1;
}

/* Production Char of XML 1.0 */
static int is_xml_char(apr_uint32_t code)
{
    if (code < 0x20) {
        return code == '\t' || code == '\n' || code == '\r';
    }
    return code != 0xFFFE && code != 0xFFFF;
}

/* Length of the valid start of `text`. */
static apr_size_t valid_length(const char *text, apr_size_t length)
{
    wsman_utf8_t state = {0};
    apr_size_t good = 0;
    apr_uint32_t code;

    for (apr_size_t i = 0; i < length; i++) {
        int step = wsman_utf8_step(&state, (unsigned char)text[i], &code);

        if (step < 0 || (step > 0 && !is_xml_char(code))) {
            return good;
        }
        if (step > 0) {
            good = i + 1;
        }
    }
    return good;
}

int wsman_is_xml_text(const char *text, apr_size_t length)
{
    return valid_length(text, length) == length;
}

const char *wsman_make_xml_text(const char *text, apr_pool_t *pool)
{
    apr_size_t length = strlen(text);
    apr_size_t good = valid_length(text, length);
    char *copy;

    if (good == length) {
        return text;
    }
    copy = apr_pstrmemdup(pool, text, length);
    while (good < length) {
        copy[good++] = '?';
        good += valid_length(copy + good, length - good);
    }
    return copy;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

apr_status_t wsman_decoder_init(wsman_decoder_t *decoder, const char *charset)
{
    static const struct {
        const char *name;
        wsman_charset_e charset;
        int order;
    } known[] = {
        {"utf-8", WSMAN_UTF8, 1},       {"utf8", WSMAN_UTF8, 1},       {"us-ascii", WSMAN_UTF8, 1},
        {"utf-16", WSMAN_UTF16LE, 0},   {"utf16", WSMAN_UTF16LE, 0},   {"utf-16le", WSMAN_UTF16LE, 1},
        {"utf-16be", WSMAN_UTF16BE, 1}, {"unicode", WSMAN_UTF16LE, 0},
    };
    apr_size_t length;

    memset(decoder, 0, sizeof(*decoder));
    decoder->half = -1;
    if (charset == NULL) {
        return APR_SUCCESS;
    }
    length = strlen(charset);
    /* "UTF-8" and UTF-8 are the same parameter value (RFC 9110 5.6.6) */
    if (length >= 2 && charset[0] == '"' && charset[length - 1] == '"') {
        charset++;
        length -= 2;
    }
    for (apr_size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) == length && strncasecmp(charset, known[i].name, length) == 0) {
            decoder->encoding.charset = known[i].charset;
            decoder->declared = 1;
            decoder->order_declared = known[i].order;
            return APR_SUCCESS;
        }
    }
    return APR_ENOTIMPL;
}

/* How many of the kept bytes are a byte order mark, which sets the encoding. */
static apr_size_t read_byte_order_mark(wsman_decoder_t *decoder)
{
    static const struct {
        const char *bytes;
        apr_size_t length;
        wsman_charset_e charset;
    } marks[] = {
        {"\xEF\xBB\xBF", 3, WSMAN_UTF8}, {"\xFF\xFE", 2, WSMAN_UTF16LE}, {"\xFE\xFF", 2, WSMAN_UTF16BE}};

    for (apr_size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (decoder->kept >= marks[i].length &&
            memcmp(decoder->first, marks[i].bytes, marks[i].length) == 0) {
            decoder->encoding.charset = marks[i].charset;
            decoder->encoding.bom = 1;
            return marks[i].length;
        }
    }
    return 0;
}

/* Without a mark the first character decides: it is '<' or white space, so the place of a zero byte shows the
 * order. */
static void detect_byte_order(wsman_decoder_t *decoder)
{
    if (decoder->order_declared || decoder->kept < 2) {
        return;
    }
    if (decoder->first[0] == 0 && decoder->first[1] != 0) {
        decoder->encoding.charset = WSMAN_UTF16BE;
    }
    else if (decoder->first[1] == 0 && decoder->first[0] != 0) {
        decoder->encoding.charset = WSMAN_UTF16LE;
    }
}

static apr_status_t decode_unit(wsman_decoder_t *decoder, apr_uint32_t unit, char **out)
{
    apr_uint32_t high = decoder->high;
    int low = unit >= LOW_SURROGATE && unit < SURROGATE_END;

    if (low != (high != 0)) {
        return APR_EINVAL;
    }
    if (unit >= HIGH_SURROGATE && unit < LOW_SURROGATE) {
        decoder->high = unit;
        return APR_SUCCESS;
    }
    if (low) {
        unit = BEYOND_BMP + ((high - HIGH_SURROGATE) << 10) + (unit - LOW_SURROGATE);
    }
    decoder->high = 0;
    *out = text_put_utf8(*out, unit);
    return APR_SUCCESS;
}

static apr_status_t decode_byte(wsman_decoder_t *decoder, unsigned char byte, char **out)
{
    apr_uint32_t code;

    if (decoder->encoding.charset == WSMAN_UTF8) {
        int step = wsman_utf8_step(&decoder->utf8, byte, &code);

        if (step > 0) {
            *out = text_put_utf8(*out, code);
        }
        return step < 0 ? APR_EINVAL : APR_SUCCESS;
    }
    if (decoder->half < 0) {
        decoder->half = byte;
        return APR_SUCCESS;
    }
    code = decoder->encoding.charset == WSMAN_UTF16LE
               ? ((apr_uint32_t)byte << 8) | (apr_uint32_t)decoder->half
               : ((apr_uint32_t)decoder->half << 8) | byte;
    decoder->half = -1;
    return decode_unit(decoder, code, out);
}

/* Decides the encoding by the kept bytes, then decodes them. */
static apr_status_t decide_encoding(wsman_decoder_t *decoder, char **out)
{
    apr_size_t at = read_byte_order_mark(decoder);
    apr_status_t status = APR_SUCCESS;

    if (at == 0) {
        detect_byte_order(decoder);
    }
    decoder->decided = 1;
    while (at < decoder->kept && status == APR_SUCCESS) {
        status = decode_byte(decoder, decoder->first[at++], out);
    }
    return status;
}

apr_status_t wsman_decode(wsman_decoder_t *decoder, const char *bytes, apr_size_t length, char *out,
                          apr_size_t *written)
{
    char *end = out;
    apr_status_t status = APR_SUCCESS;

    for (apr_size_t i = 0; i < length && status == APR_SUCCESS; i++) {
        if (decoder->decided) {
            status = decode_byte(decoder, (unsigned char)bytes[i], &end);
            continue;
        }
        decoder->first[decoder->kept++] = (unsigned char)bytes[i];
        if (decoder->kept == sizeof(decoder->first)) {
            status = decide_encoding(decoder, &end);
        }
    }
    *written = (apr_size_t)(end - out);
    return status;
}

apr_status_t wsman_decode_end(wsman_decoder_t *decoder, char *out, apr_size_t *written)
{
    char *end = out;
    apr_status_t status = decoder->decided ? APR_SUCCESS : decide_encoding(decoder, &end);

    *written = (apr_size_t)(end - out);
    if (status == APR_SUCCESS && (decoder->utf8.missing > 0 || decoder->half >= 0 || decoder->high != 0)) {
        status = APR_EINVAL;
    }
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static char *put_unit(char *out, apr_uint32_t unit, wsman_charset_e charset)
{
    char low = (char)(unit & 0xFF), high = (char)(unit >> 8);

    *out++ = charset == WSMAN_UTF16LE ? low : high;
    *out++ = charset == WSMAN_UTF16LE ? high : low;
    return out;
}

static char *put_utf16(char *out, apr_uint32_t code, wsman_charset_e charset)
{
    if (code < BEYOND_BMP) {
        return put_unit(out, code, charset);
    }
    code -= BEYOND_BMP;
    out = put_unit(out, HIGH_SURROGATE | (code >> 10), charset);
    return put_unit(out, LOW_SURROGATE | (code & 0x3FF), charset);
}

const char *wsman_encode(const char *text, apr_size_t length, wsman_encoding_t encoding, apr_size_t *encoded,
                         apr_pool_t *pool)
{
    wsman_utf8_t state = {0};
    apr_uint32_t code;
    char *bytes, *end;

    if (encoding.charset == WSMAN_UTF8) {
        *encoded = length + (encoding.bom ? 3 : 0);
        return encoding.bom ? apr_pstrcat(pool, "\xEF\xBB\xBF", text, NULL) : text;
    }
    end = bytes = apr_palloc(pool, 2 * length + 2);
    if (encoding.bom) {
        end = put_unit(end, 0xFEFF, encoding.charset);
    }
    for (apr_size_t i = 0; i < length; i++) {
        if (wsman_utf8_step(&state, (unsigned char)text[i], &code) > 0) {
            end = put_utf16(end, code, encoding.charset);
        }
    }
    *encoded = (apr_size_t)(end - bytes);
    return bytes;
}
