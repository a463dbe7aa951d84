/* SPDX-License-Identifier: Apache-2.0 */
/* AMTUnlockTrustedProxy: the user of a request, as a proxy in front names it in a header. */
#ifndef AMTUNLOCK_HTTPD_TRUSTED_PROXY_PRIV_H
#define AMTUNLOCK_HTTPD_TRUSTED_PROXY_PRIV_H

#include <httpd.h>

void amtunlock_proxy_register_hooks(void);

#endif
