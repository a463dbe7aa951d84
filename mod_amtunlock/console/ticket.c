/* SPDX-License-Identifier: Apache-2.0 */
/* See ticket_priv.h. */
#include "console/ticket_priv.h"

#include <krb5.h>

static int has_credentials(krb5_context context)
{
    krb5_principal principal = NULL;
    krb5_ccache cache = NULL;
    int found;

    if (krb5_cc_default(context, &cache) != 0) {
        return 0;
    }
    found = krb5_cc_get_principal(context, cache, &principal) == 0;
    if (found) {
        krb5_free_principal(context, principal);
    }
    krb5_cc_close(context, cache);
    return found;
}

static int has_client_keytab(krb5_context context)
{
    krb5_keytab keytab = NULL;
    int found;

    if (krb5_kt_client_default(context, &keytab) != 0) {
        return 0;
    }
    found = krb5_kt_have_content(context, keytab) == 0;
    krb5_kt_close(context, keytab);
    return found;
}

int console_has_ticket(void)
{
    krb5_context context = NULL;
    int found;

    if (krb5_init_context(&context) != 0) {
        return 0;
    }
    found = has_credentials(context) || has_client_keytab(context);
    krb5_free_context(context);
    return found;
}
