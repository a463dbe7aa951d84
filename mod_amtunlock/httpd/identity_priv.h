/* SPDX-License-Identifier: Apache-2.0 */
/* Who authenticated this request, as far as this module believes it: taken at the moment of authentication, kept
 * with the request, and compared again when the request is served.
 */
#ifndef AMTUNLOCK_HTTPD_IDENTITY_PRIV_H
#define AMTUNLOCK_HTTPD_IDENTITY_PRIV_H

#include <httpd.h>

typedef struct {
    const char *name; /* r->user, as authentication left it */
    const char
        *mech; /* "krb5", "ntlm", another name of mod_auth_gssapi's, or "proxy"; NULL: it does not say */
    const void *place; /* the configuration that it was authenticated under */
} amtunlock_identity_t;

#define AMTUNLOCK_IDENTITY_PROXY "proxy"
#define AMTUNLOCK_NAME_MAX 512 /* bytes of a caller's name; a longer one is refused */

/* Keeps r->user with the request. */
void amtunlock_identity_set(request_rec *r, const char *mech);

/* Of a request that reached a handler. NULL: nobody whom this module believes, or no longer: then why is in the
 * log if r->user is set. */
const amtunlock_identity_t *amtunlock_identity(request_rec *r);

/* Sets the variable GSS_MECH to what mod_auth_gssapi noted, whatever was written there since: expressions of
 * AMTUnlockScope and AMTUnlockOperator may read it. For an identity whose mechanism was accepted. */
void amtunlock_identity_export(request_rec *r, const amtunlock_identity_t *identity);

void amtunlock_identity_register_hooks(void);

#endif
