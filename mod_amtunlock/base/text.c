/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <string.h>

#include <apr_errno.h>
#include <apr_strings.h>

const char *text_strerror(apr_status_t status, apr_pool_t *pool)
{
    char text[160];

    return apr_pstrdup(pool, apr_strerror(status, text, sizeof(text)));
}

const char *text_file_error(const char *file, const char *what, apr_status_t status, apr_pool_t *pool)
{
    char text[160];

    return apr_psprintf(pool, "%s: %s: %s", file, what, apr_strerror(status, text, sizeof(text)));
}

apr_size_t text_mark_length(const char *text, apr_size_t length)
{
    return length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

int text_is_utf16(const char *text, apr_size_t length)
{
    return length >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
}

int text_utf8_length(apr_uint32_t character)
{
    return character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
}

char *text_put_utf8(char *at, apr_uint32_t character)
{
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    int length = text_utf8_length(character);

    for (int i = length - 1; i > 0; i--) {
        at[i] = (char)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    at[0] = (char)(marks[length] | character);
    return at + length;
}

void text_mask_non_ascii(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            *text = '?';
        }
    }
}

void text_mask_controls(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte < 0x20 || byte == 0x7f) {
            *text = '?';
        }
        else if (byte == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0) {
            text[0] = text[1] = '?'; /* a C1 control has two bytes */
        }
    }
}
