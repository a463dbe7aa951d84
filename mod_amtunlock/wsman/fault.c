/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/fault.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <string.h>

#include "wsman/charset_priv.h"
#include "wsman/names.h"
#include "wsman/writer_priv.h"

#define ACTION_WSA WSMAN_URI_WSA "/fault"
#define ACTION_WSMAN "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
#define ACTION_WSEN WSMAN_URI_WSEN "/fault"
#define ACTION_WXF WSMAN_URI_WXF "/fault"
#define ACTION_WSMB "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/fault"

/* Sender faults are 400, all others 500 (SOAP 1.2 part 2, 7.5.2.2), AccessDenied is 403. */
static const struct {
    const char *code;
    const char *ns;
    const char *subcode;
    const char *action;
    int status;
    const char *reason;
} kinds[WSMAN_FAULT_KINDS] = {
    [WSMAN_FAULT_VERSION_MISMATCH] = {"VersionMismatch", "", "", ACTION_WSA, 500,
                                      "The envelope is not SOAP 1.2."},
    [WSMAN_FAULT_MUST_UNDERSTAND] = {"MustUnderstand", "", "", ACTION_WSA, 500,
                                     "A header that must be understood is not known here."},
    [WSMAN_FAULT_SCHEMA_VALIDATION] = {"Sender", WSMAN_URI_WSMAN, "wsman:SchemaValidationError", ACTION_WSMAN,
                                       400, "The envelope is not valid."},
    [WSMAN_FAULT_HEADER_REQUIRED] = {"Sender", WSMAN_URI_WSA, "wsa:MessageInformationHeaderRequired",
                                     ACTION_WSA, 400, "A required header is missing."},
    [WSMAN_FAULT_HEADER_INVALID] = {"Sender", WSMAN_URI_WSA, "wsa:InvalidMessageInformationHeader",
                                    ACTION_WSA, 400, "A header is not valid."},
    [WSMAN_FAULT_ACTION_NOT_SUPPORTED] = {"Sender", WSMAN_URI_WSA, "wsa:ActionNotSupported", ACTION_WSA, 400,
                                          "The action is not supported by this resource."},
    [WSMAN_FAULT_DESTINATION_UNREACHABLE] = {"Sender", WSMAN_URI_WSA, "wsa:DestinationUnreachable",
                                             ACTION_WSA, 400, "There is no such resource."},
    [WSMAN_FAULT_ENDPOINT_UNAVAILABLE] = {"Receiver", WSMAN_URI_WSA, "wsa:EndpointUnavailable", ACTION_WSA,
                                          500, "The service cannot answer now; try again later."},
    [WSMAN_FAULT_ACCESS_DENIED] = {"Sender", WSMAN_URI_WSMAN, "wsman:AccessDenied", ACTION_WSMAN, 403,
                                   "The caller may not do this."},
    [WSMAN_FAULT_CONCURRENCY] = {"Sender", WSMAN_URI_WSMAN, "wsman:Concurrency", ACTION_WSMAN, 400,
                                 "The resource is in use."},
    [WSMAN_FAULT_ENCODING_LIMIT] = {"Sender", WSMAN_URI_WSMAN, "wsman:EncodingLimit", ACTION_WSMAN, 400,
                                    "A limit on size or encoding is exceeded."},
    [WSMAN_FAULT_INTERNAL] = {"Receiver", WSMAN_URI_WSMAN, "wsman:InternalError", ACTION_WSMAN, 500,
                              "The service failed; its log says why."},
    [WSMAN_FAULT_INVALID_OPTIONS] = {"Sender", WSMAN_URI_WSMAN, "wsman:InvalidOptions", ACTION_WSMAN, 400,
                                     "An option that must be complied with is not known here."},
    [WSMAN_FAULT_INVALID_PARAMETER] = {"Sender", WSMAN_URI_WSMAN, "wsman:InvalidParameter", ACTION_WSMAN, 400,
                                       "A parameter is missing or not valid."},
    [WSMAN_FAULT_INVALID_SELECTORS] = {"Sender", WSMAN_URI_WSMAN, "wsman:InvalidSelectors", ACTION_WSMAN, 400,
                                       "The selectors do not fit the resource."},
    [WSMAN_FAULT_QUOTA_LIMIT] = {"Sender", WSMAN_URI_WSMAN, "wsman:QuotaLimit", ACTION_WSMAN, 400,
                                 "The caller has reached its quota."},
    [WSMAN_FAULT_TIMED_OUT] = {"Receiver", WSMAN_URI_WSMAN, "wsman:TimedOut", ACTION_WSMAN, 500,
                               "The operation did not end within its timeout."},
    [WSMAN_FAULT_UNSUPPORTED_FEATURE] = {"Sender", WSMAN_URI_WSMAN, "wsman:UnsupportedFeature", ACTION_WSMAN,
                                         400, "The request needs a feature that is not supported."},
    [WSMAN_FAULT_INVALID_REPRESENTATION] = {"Sender", WSMAN_URI_WXF, "wxf:InvalidRepresentation", ACTION_WXF,
                                            400, "The representation is not valid."},
    [WSMAN_FAULT_CANNOT_PROCESS_FILTER] = {"Sender", WSMAN_URI_WSEN, "wsen:CannotProcessFilter", ACTION_WSEN,
                                           400, "The filter cannot be processed."},
    [WSMAN_FAULT_ENUMERATION_CONTEXT] = {"Receiver", WSMAN_URI_WSEN, "wsen:InvalidEnumerationContext",
                                         ACTION_WSEN, 500, "The enumeration context is not valid."},
    [WSMAN_FAULT_ENUMERATION_TIMED_OUT] = {"Receiver", WSMAN_URI_WSEN, "wsen:TimedOut", ACTION_WSEN, 500,
                                           "No item was available within MaxTime."},
    [WSMAN_FAULT_EXPIRATION_TIME] = {"Sender", WSMAN_URI_WSEN, "wsen:InvalidExpirationTime", ACTION_WSEN, 400,
                                     "The expiration time is not valid or lies in the past."},
    [WSMAN_FAULT_EXPIRATION_TYPE] = {"Sender", WSMAN_URI_WSEN, "wsen:UnsupportedExpirationType", ACTION_WSEN,
                                     400, "Only durations are supported as expiration times."},
    [WSMAN_FAULT_FILTERING_NOT_SUPPORTED] = {"Sender", WSMAN_URI_WSEN, "wsen:FilteringNotSupported",
                                             ACTION_WSEN, 400, "Filters are not supported."},
    [WSMAN_FAULT_FILTER_DIALECT] = {"Sender", WSMAN_URI_WSEN, "wsen:FilterDialectRequestedUnavailable",
                                    ACTION_WSEN, 400, "The filter's dialect is not supported."},
    [WSMAN_FAULT_POLYMORPHISM] = {"Sender", WSMAN_URI_WSMB, "wsmb:PolymorphismModeNotSupported", ACTION_WSMB,
                                  400, "The polymorphism mode is not supported."},
    [WSMAN_FAULT_OTHER] = {"Receiver", "", "", ACTION_WSMAN, 500, "The peer answered with a fault."},
};

wsman_fault_t *wsman_fault(apr_pool_t *pool, wsman_fault_e kind, const char *detail, const char *format, ...)
{
    wsman_fault_t *fault = apr_pcalloc(pool, sizeof(*fault));

    fault->kind = kind;
    fault->detail = detail;
    fault->status = kinds[kind].status;
    fault->reason = kinds[kind].reason;
    if (format != NULL) {
        va_list arguments;

        va_start(arguments, format);
        /* it may quote any bytes, but the fault must be writable */
        fault->reason = wsman_make_xml_text(apr_pvsprintf(pool, format, arguments), pool);
        va_end(arguments);
    }
    return fault;
}

const char *wsman_fault_subcode(wsman_fault_e kind)
{
    return kinds[kind].subcode;
}

const char *wsman_fault_ns(wsman_fault_e kind)
{
    return kinds[kind].ns;
}

const char *wsman_fault_code(wsman_fault_e kind)
{
    return kinds[kind].code;
}

const char *wsman_fault_action(wsman_fault_e kind)
{
    return kinds[kind].action;
}

wsman_fault_e wsman_fault_of_subcode(const char *ns, const char *local)
{
    for (int kind = 0; kind < WSMAN_FAULT_KINDS; kind++) {
        const char *colon = strchr(kinds[kind].subcode, ':');

        if (colon != NULL && strcmp(colon + 1, local) == 0 && strcmp(kinds[kind].ns, ns) == 0) {
            return (wsman_fault_e)kind;
        }
    }
    /* DSP0226 1.0 moved this one to its own namespace */
    if (strcmp(ns, WSMAN_URI_WSMAN) == 0 && strcmp(local, "CannotProcessFilter") == 0) {
        return WSMAN_FAULT_CANNOT_PROCESS_FILTER;
    }
    return WSMAN_FAULT_OTHER;
}
