/* SPDX-License-Identifier: Apache-2.0 */
/* Text of others that goes into messages: what the system says of an error, and what a peer sent. */
#ifndef AMTUNLOCK_BASE_TEXT_H
#define AMTUNLOCK_BASE_TEXT_H

#include <apr_pools.h>

/* The system's text for an apr_status_t or an errno, in `pool`. */
const char *text_strerror(apr_status_t status, apr_pool_t *pool);
/* "FILE: WHAT: text for the status". */
const char *text_file_error(const char *file, const char *what, apr_status_t status, apr_pool_t *pool);

/* Bytes of the byte order mark that editors put before UTF-8, 3 or 0. */
apr_size_t text_mark_length(const char *text, apr_size_t length);
/* Whether it begins with a byte order mark of UTF-16. */
int text_is_utf16(const char *text, apr_size_t length);

/* Bytes of a character (up to 0x10FFFF) in UTF-8, 1 to 4. */
int text_utf8_length(apr_uint32_t character);
/* Writes them, without a NUL; returns the place behind them. */
char *text_put_utf8(char *at, apr_uint32_t character);

/* Both write '?' over what they find, in place. */

/* All but printable ASCII: the text may then stand in a log line, in JSON and on any wire. */
void text_mask_non_ascii(char *text);
/* Control characters of UTF-8 (C0, DEL, C1), which terminals obey: the text may then be shown. */
void text_mask_controls(char *text);

#endif
