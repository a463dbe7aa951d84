/* SPDX-License-Identifier: Apache-2.0 */
/* Whom a connection may stand for. With GssapiConnectionBound mod_auth_gssapi believes a request without a token for
 * what an earlier one of its connection proved, in whatever place that was.
 */
#ifndef AMTUNLOCK_HTTPD_BOUND_CONNECTION_PRIV_H
#define AMTUNLOCK_HTTPD_BOUND_CONNECTION_PRIV_H

#include <httpd.h>

#include <http_config.h>

#include "httpd/identity_priv.h"

/* mod_auth_gssapi's entry of a configuration vector: r->per_dir_config or r->request_config. NULL: none. */
void *amtunlock_gssapi_entry(const ap_conf_vector_t *vector);

/* Called once for each request whose authentication succeeded, in any place. True if its handshake may have begun
 * in a place with other Gssapi... directives, and so with another keytab. */
int amtunlock_bound_finish(request_rec *r);

/* True, and logged, if this identity must not be believed for this request. */
int amtunlock_bound_refuses(request_rec *r, const amtunlock_identity_t *identity, int mixed);

void amtunlock_bound_register_hooks(void);

#endif
