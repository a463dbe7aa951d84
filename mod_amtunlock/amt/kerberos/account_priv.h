/* SPDX-License-Identifier: Apache-2.0 */
/* What ticket.c needs of the account. */
#ifndef AMTUNLOCK_AMT_KERBEROS_ACCOUNT_PRIV_H
#define AMTUNLOCK_AMT_KERBEROS_ACCOUNT_PRIV_H

#include <krb5.h>

#include "amt/kerberos/ticket.h"

/* AMT_OK, and *creds is a copy of a ticket-granting ticket that is good for a while, made with `context` and
 * the caller's to free. Else `why` says why there is none. Any thread; blocks while one of them asks the KDC.
 * `fqdn`: the device that it is for. */
amt_status_e amt_account_granting(amt_tickets_t *tickets, krb5_context context, const char *fqdn,
                                  krb5_creds **creds, char *why, size_t room);
/* Reports that the KDC gave no ticket for this device; `status` and `why` are amt_krb5_say_error()'s for
 * `code`. An outage is remembered for a while, for devices of the same domain: others may have another KDC. A
 * ticket-granting ticket that may be the cause is dropped. */
void amt_account_failed(amt_tickets_t *tickets, const char *fqdn, amt_status_e status, krb5_error_code code,
                        const char *why);

/* Writes the library's text for an error, and what can be done about it. Returns AMT_NO_TICKET for an error
 * that may be over soon, else AMT_AUTH_FAILED. */
amt_status_e amt_krb5_say_error(krb5_context context, krb5_error_code code, char *text, size_t size);
/* apr_snprintf() of text that others wrote: what is not printable ASCII becomes '?', so that nothing forges a
 * log line or breaks a JSON string. */
void amt_krb5_say(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
