/* SPDX-License-Identifier: Apache-2.0 */
/* Writing, besides writer.h. */
#ifndef AMTUNLOCK_WSMAN_WRITER_PRIV_H
#define AMTUNLOCK_WSMAN_WRITER_PRIV_H

#include "wsman/writer.h"

apr_pool_t *wsman_writer_pool(const wsman_writer_t *writer);

/* Namespace of a kind's subcode, "" where it has none. */
const char *wsman_fault_ns(wsman_fault_e kind);

/* A header element, also while the body is being written. */
void wsman_write_header(wsman_writer_t *writer, wsman_ns_e ns, const char *local, const char *text);

/* Makes elements and attributes go to the header until wsman_header_end(). */
void wsman_header_begin(wsman_writer_t *writer);
void wsman_header_end(wsman_writer_t *writer);

/* The reference parameters of a request's wsa:ReplyTo (NULL: none) as headers of its answer
 * (DSP0226 R5.4.2-5). */
void wsman_write_reply_parameters(wsman_writer_t *writer, const wsman_element_t *parameters);

/* Marks a prefix as used by text (a QName), so that it is declared. */
void wsman_use(wsman_writer_t *writer, wsman_ns_e ns);

/* True if a prefix may be declared for this namespace: not for "" and the two of XML itself. */
int wsman_declarable(const char *uri);

/* The wsman_ns_e that stands for this URI, or WSMAN_NS_CLASS if none does. */
wsman_ns_e wsman_ns_of(const char *uri);

#endif
