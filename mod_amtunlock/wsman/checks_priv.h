/* SPDX-License-Identifier: Apache-2.0 */
/* Checks before an operation runs. */
#ifndef AMTUNLOCK_WSMAN_CHECKS_PRIV_H
#define AMTUNLOCK_WSMAN_CHECKS_PRIV_H

#include "wsman/dispatch.h"

/* Runs all checks in their order. NULL, with class, operation and limits of *request filled in, or the fault. */
const wsman_fault_t *wsman_check_request(wsman_request_t *request, const wsman_service_t *service);

/* What SOAP itself demands: the fault if a header with mustUnderstand is not known. */
const wsman_fault_t *wsman_check_understood(wsman_request_t *request);

/* Bytes that the answer may have: the caller's MaxEnvelopeSize, or DSP0226's default if it is missing or
 * invalid. */
apr_size_t wsman_envelope_limit(const wsman_envelope_t *envelope);

#endif
