/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that need more than one directive. */
#ifndef AMTUNLOCK_HTTPD_CONFIG_CHECK_PRIV_H
#define AMTUNLOCK_HTTPD_CONFIG_CHECK_PRIV_H

#include <httpd.h>

/* check_config hook: httpd -t runs it too. Also reads the password file of AMTUnlockRedis. */
int amtunlock_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

#endif
