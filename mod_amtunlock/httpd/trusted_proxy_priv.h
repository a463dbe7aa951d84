/* SPDX-License-Identifier: Apache-2.0 */
/* AMTUnlockTrustedProxy: the user of a request, as a proxy in front names it in a header. */
#ifndef AMTUNLOCK_HTTPD_TRUSTED_PROXY_PRIV_H
#define AMTUNLOCK_HTTPD_TRUSTED_PROXY_PRIV_H

#include <httpd.h>

/* True if r->user was taken from the header of a trusted proxy. */
int amtunlock_proxy_named_user(const request_rec *r);

void amtunlock_proxy_register_hooks(void);

#endif
