/* SPDX-License-Identifier: Apache-2.0 */
/* Checks XML before libxml2 gets it.
 *
 * libxml2 spends quadratic time on the attributes of one tag before it calls back. So tags are measured first,
 * and what SOAP forbids (DOCTYPE, processing instructions) is refused. The scanner follows well-formed XML
 * exactly. For other text it may disagree with libxml2, which stops there.
 */
#ifndef AMTUNLOCK_WSMAN_SCANNER_PRIV_H
#define AMTUNLOCK_WSMAN_SCANNER_PRIV_H

#include "wsman/envelope.h"

/* Bytes of one comment, and of the text of one element: what stands between the lines of a list adds up. */
#define WSMAN_LONGEST_TEXT(limits) ((apr_size_t)65536 + (limits)->body / 8)

typedef enum {
    WSMAN_SCAN_OK,
    WSMAN_SCAN_TAG,        /* longer than the limit */
    WSMAN_SCAN_ATTRIBUTES, /* more than the limit */
    WSMAN_SCAN_DOCTYPE,
    WSMAN_SCAN_COMMENT,     /* longer than WSMAN_LONGEST_TEXT(): libxml2 wants it whole */
    WSMAN_SCAN_INSTRUCTION, /* other than an XML declaration */
    WSMAN_SCAN_DECLARATION, /* an XML declaration that is not at the very start */
    WSMAN_SCAN_CHARACTER,   /* a control character */
    WSMAN_SCAN_NUL
} wsman_scan_e;

typedef struct {
    const wsman_limits_t *limits;
    int state;
    apr_size_t offset;       /* bytes seen */
    apr_size_t opened;       /* offset of the '<' of the markup at hand */
    unsigned int attributes; /* of the tag at hand */
    unsigned int matched;    /* characters of a delimiter seen so far */
    wsman_scan_e refused;
} wsman_scanner_t;

void wsman_scanner_init(wsman_scanner_t *scanner, const wsman_limits_t *limits);

/* Takes the next bytes of UTF-8. After a refusal all further calls refuse. */
wsman_scan_e wsman_scan(wsman_scanner_t *scanner, const char *bytes, apr_size_t length);

/* Bytes from the start that libxml2 may get: all but an incomplete tag. */
apr_size_t wsman_scanner_safe(const wsman_scanner_t *scanner);

#endif
