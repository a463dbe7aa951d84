/* SPDX-License-Identifier: Apache-2.0 */
/* The directives and what they are kept in. */
#ifndef AMTUNLOCK_HTTPD_DIRECTIVES_PRIV_H
#define AMTUNLOCK_HTTPD_DIRECTIVES_PRIV_H

#include "httpd/mod_amtunlock_priv.h"

extern const command_rec amtunlock_directives[];

void *amtunlock_create_server(apr_pool_t *p, server_rec *s);
void *amtunlock_merge_server(apr_pool_t *p, void *main_server, void *virtual_host);
void *amtunlock_create_dir(apr_pool_t *p, char *path);
void *amtunlock_merge_dir(apr_pool_t *p, void *outer, void *inner);

/* Defaults, as conf/amtunlock.conf documents them. */
#define AMTUNLOCK_DEFAULT_MAX_SYSTEMS 100
#define AMTUNLOCK_DEFAULT_LIMIT_JOBS 100
#define AMTUNLOCK_DEFAULT_LIMIT_SYSTEMS 20000
#define AMTUNLOCK_DEFAULT_LIMIT_CONTEXTS 16
#define AMTUNLOCK_DEFAULT_WORKER_PROGRAM AMTUNLOCK_SBINDIR "/amtunlockd"
#define AMTUNLOCK_DEFAULT_WORKER_CONFIG AMTUNLOCK_SYSCONFDIR "/amtunlock/amtunlockd.conf"
#define AMTUNLOCK_DEFAULT_WORKER_USER "amtunlock"

/* The smallest body limit that a request of this many names fits in. */
apr_off_t amtunlock_body_for(int max_systems);

#endif
