/* SPDX-License-Identifier: Apache-2.0 */
/* From the tree of an envelope to its headers and body. */
#ifndef AMTUNLOCK_WSMAN_HEADERS_PRIV_H
#define AMTUNLOCK_WSMAN_HEADERS_PRIV_H

#include "wsman/envelope.h"

/* Reads s:Header and s:Body of `root`. NULL and *envelope, or the fault. */
const wsman_fault_t *wsman_envelope_read(const wsman_element_t *root, wsman_encoding_t encoding,
                                         const wsman_envelope_t **envelope, apr_pool_t *pool);

/* True if the header says s:mustUnderstand and is meant for us. */
int wsman_must_understand(const wsman_element_t *header);

/* The namespace in which WS-Management has a header of this name, or NULL. */
const char *wsman_header_namespace(const char *name);

#endif
