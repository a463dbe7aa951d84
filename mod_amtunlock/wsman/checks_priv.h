/* SPDX-License-Identifier: Apache-2.0 */
/* What is checked before an operation runs (inside the room). */
#ifndef AMTUNLOCK_WSMAN_CHECKS_PRIV_H
#define AMTUNLOCK_WSMAN_CHECKS_PRIV_H

#include "wsman/dispatch.h"

/* Runs all checks in their order. NULL, with the request's class, operation, limits filled in, or the fault.
 */
const wsman_fault_t *wsman_check_request(wsman_request_t *request, const wsman_service_t *service);

/* Only what SOAP itself demands: no header is left that had to be understood. */
const wsman_fault_t *wsman_check_understood(wsman_request_t *request);

/* The size that the caller's MaxEnvelopeSize sets, or the one that DSP0226 sets for a caller who gives none
 * or a wrong one. */
apr_size_t wsman_envelope_room(const wsman_envelope_t *envelope);

#endif
