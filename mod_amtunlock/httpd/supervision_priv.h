/* SPDX-License-Identifier: Apache-2.0 */
/* The worker as a child process of httpd: started, kept through restarts, started again when it dies. */
#ifndef AMTUNLOCK_HTTPD_SUPERVISION_PRIV_H
#define AMTUNLOCK_HTTPD_SUPERVISION_PRIV_H

#include <httpd.h>

/* post_config, second pass: starts, keeps, replaces or ends the worker, as the configuration wants. Never fails
 * the server. */
void amtunlock_worker_configure(apr_pool_t *pconf, server_rec *s);
/* monitor hook: starts the worker again once its delay is over. */
int amtunlock_worker_monitor(apr_pool_t *pconf, server_rec *s);

#endif
