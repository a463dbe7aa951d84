/* SPDX-License-Identifier: Apache-2.0 */
/* What the room's own files may do with a writer, besides writer.h (inside the room). */
#ifndef AMTUNLOCK_WSMAN_PARTS_PRIV_H
#define AMTUNLOCK_WSMAN_PARTS_PRIV_H

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

/* Between begin and end, what is written is set aside (set-asides nest); end returns its bytes of UTF-8.
 * Paste writes it, once, where the writer is by then; what is never pasted is forgotten. */
typedef struct wsman_aside_t wsman_aside_t;

wsman_aside_t *wsman_aside_begin(wsman_writer_t *writer);
apr_size_t wsman_aside_end(wsman_writer_t *writer, wsman_aside_t *aside);
void wsman_aside_paste(wsman_writer_t *writer, wsman_aside_t *aside);

/* Marks a prefix as used by text (a QName), so that it is declared. */
void wsman_use(wsman_writer_t *writer, wsman_ns_e ns);

/* Whether a prefix may be declared for this namespace: not for none, nor for the two that XML itself has. A
 * peer's names may be in any. */
int wsman_declarable(const char *uri);

/* The wsman_ns_e that stands for this URI, or WSMAN_NS_CLASS if none does. */
wsman_ns_e wsman_ns_of(const char *uri);

#endif
