/* SPDX-License-Identifier: Apache-2.0 */
/* Access to elements, besides envelope.h. */
#ifndef AMTUNLOCK_WSMAN_ELEMENT_PRIV_H
#define AMTUNLOCK_WSMAN_ELEMENT_PRIV_H

#include "wsman/envelope.h"

/* True if `element` (may be NULL) has this name; ns NULL accepts any. */
int wsman_is_element(const wsman_element_t *element, const char *ns, const char *name);

/* True for the two spellings of true that xs:boolean has. */
int wsman_is_true(const char *text);

/* A peer's text for a log line or a terminal: white space folded, no control characters, at most some 500
 * bytes. */
const char *wsman_one_line(const char *text, apr_pool_t *pool);

/* Namespace and local name of a QName in the text of `element`. Local name NULL if its prefix is not
 * declared. */
typedef struct {
    const char *ns;
    const char *local;
} wsman_qname_t;

wsman_qname_t wsman_qname(const wsman_element_t *element, const char *text, apr_pool_t *pool);

/* The fault of the s:Fault element of an answer. In peer_fault.c. */
const wsman_fault_t *wsman_fault_read(const wsman_element_t *fault, const wsman_element_t *header,
                                      apr_pool_t *pool);

#endif
