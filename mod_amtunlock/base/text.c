/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

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
