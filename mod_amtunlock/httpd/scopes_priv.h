/* SPDX-License-Identifier: Apache-2.0 */
/* Which AMTUnlockScope directives this httpd has: told to Redis, so that a system is not begun whose scope was taken away
 * while it waited.
 */
#ifndef AMTUNLOCK_HTTPD_SCOPES_PRIV_H
#define AMTUNLOCK_HTTPD_SCOPES_PRIV_H

#include "httpd/config_priv.h"

/* Notes a directive while the configuration is read. What a job keeps of it, "GROUP SERVICE/DIGEST"; it lives as long as
 * the configuration. NULL where there is no SHA-256. */
const char *amtunlock_scopes_note(cmd_parms *cmd, const char *group, const char *expression);

/* Tells Redis once a child: in child_init, or with the first request after Redis was away. */
void amtunlock_scopes_publish(server_rec *s, apr_pool_t *pool);

void amtunlock_scopes_register_hooks(void);

#endif
