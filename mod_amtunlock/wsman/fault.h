/* SPDX-License-Identifier: Apache-2.0 */
/* WS-Management faults (DSP0226 14): one table of kinds, one type for a fault that happened.
 *
 * A fault is both what the service answers and what a client read from a device or server.
 */
#ifndef AMTUNLOCK_WSMAN_FAULT_H
#define AMTUNLOCK_WSMAN_FAULT_H

#include <apr_pools.h>

typedef enum {
    WSMAN_FAULT_VERSION_MISMATCH,
    WSMAN_FAULT_MUST_UNDERSTAND,
    WSMAN_FAULT_SCHEMA_VALIDATION,
    WSMAN_FAULT_HEADER_REQUIRED,
    WSMAN_FAULT_HEADER_INVALID,
    WSMAN_FAULT_ACTION_NOT_SUPPORTED,
    WSMAN_FAULT_DESTINATION_UNREACHABLE,
    WSMAN_FAULT_ENDPOINT_UNAVAILABLE,
    WSMAN_FAULT_ACCESS_DENIED,
    WSMAN_FAULT_CONCURRENCY,
    WSMAN_FAULT_ENCODING_LIMIT,
    WSMAN_FAULT_INTERNAL,
    WSMAN_FAULT_INVALID_OPTIONS,
    WSMAN_FAULT_INVALID_PARAMETER,
    WSMAN_FAULT_INVALID_SELECTORS,
    WSMAN_FAULT_QUOTA_LIMIT,
    WSMAN_FAULT_TIMED_OUT,
    WSMAN_FAULT_UNSUPPORTED_FEATURE,
    WSMAN_FAULT_INVALID_REPRESENTATION,
    WSMAN_FAULT_CANNOT_PROCESS_FILTER,
    WSMAN_FAULT_ENUMERATION_CONTEXT,
    WSMAN_FAULT_ENUMERATION_TIMED_OUT,
    WSMAN_FAULT_EXPIRATION_TIME,
    WSMAN_FAULT_EXPIRATION_TYPE,
    WSMAN_FAULT_FILTERING_NOT_SUPPORTED,
    WSMAN_FAULT_FILTER_DIALECT,
    WSMAN_FAULT_POLYMORPHISM,
    WSMAN_FAULT_OTHER, /* read from a peer, none of the above */
    WSMAN_FAULT_KINDS
} wsman_fault_e;

typedef struct wsman_fault_t {
    wsman_fault_e kind;
    const char *detail; /* last part of the faultDetail URI, as "InvalidValue"; NULL for none */
    const char *reason; /* error message for the operator; never NULL */
    int status; /* HTTP status; the kind's own unless a row of the interface says otherwise (413, 415, 405) */
    int retry_after; /* seconds (milliseconds on the wire), EndpointUnavailable and QuotaLimit only; 0: none */
    const char *name_ns; /* NotUnderstood header, missing header, or unsupported action: its QName or URI */
    const char *name;
    const char *subcode; /* as read from a peer: local name of the subcode, or NULL */
} wsman_fault_t;

/* A fault of this kind in `pool`. `detail` may be NULL; `format` NULL: the kind's own reason. */
wsman_fault_t *wsman_fault(apr_pool_t *pool, wsman_fault_e kind, const char *detail, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "wsman:InvalidParameter", or "" where the kind has none. */
const char *wsman_fault_subcode(wsman_fault_e kind);
/* The kind of a subcode read from a peer (namespace URI and local name); WSMAN_FAULT_OTHER if unknown. */
wsman_fault_e wsman_fault_of_subcode(const char *ns, const char *local);
/* "Sender", "Receiver", "VersionMismatch" or "MustUnderstand". */
const char *wsman_fault_code(wsman_fault_e kind);
/* The wsa:Action that a fault of this kind is sent with. */
const char *wsman_fault_action(wsman_fault_e kind);

#endif
