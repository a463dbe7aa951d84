/* SPDX-License-Identifier: Apache-2.0 */
/* What the directives are kept in: creation, merging, defaults and access. */
#ifndef AMTUNLOCK_HTTPD_CONFIG_PRIV_H
#define AMTUNLOCK_HTTPD_CONFIG_PRIV_H

#include <ap_expr.h>
#include <apr_tables.h>
#include <httpd.h>

#include "manageability/manageability.h"

/* Names for SetHandler. */
#define AMTUNLOCK_HANDLER "amtunlock"
#define AMTUNLOCK_HANDLER_STATUS "amtunlock-status"
#define AMTUNLOCK_HANDLER_METRICS "amtunlock-metrics"
#define AMTUNLOCK_HANDLER_INTERFACE "amtunlock-interface"

/* A number that no directive set. Pointers that no directive set are NULL. */
#define AMTUNLOCK_UNSET (-1)

/* Defaults, as conf/amtunlock.conf documents them. */
#define AMTUNLOCK_DEFAULT_MAX_SYSTEMS 100
#define AMTUNLOCK_DEFAULT_LIMIT_JOBS 1000
#define AMTUNLOCK_DEFAULT_LIMIT_SYSTEMS 20000
#define AMTUNLOCK_DEFAULT_LIMIT_CONTEXTS 16
#define AMTUNLOCK_DEFAULT_LIMIT_KEPT 2000
#define AMTUNLOCK_DEFAULT_LIMIT_NAMES 100000
#define AMTUNLOCK_DEFAULT_LIMIT_REQUESTS 2000
#define AMTUNLOCK_DEFAULT_WORKER_PROGRAM AMTUNLOCK_SBINDIR "/amtunlockd"
#define AMTUNLOCK_DEFAULT_WORKER_CONFIG AMTUNLOCK_SYSCONFDIR "/amtunlock/amtunlockd.conf"
#define AMTUNLOCK_DEFAULT_WORKER_USER "amtunlock"

/* Of the whole process; in the main server's configuration. */
typedef struct {
    const char *redis_address; /* as written; NULL: no AMTUnlockRedis */
    jobs_redis_t redis;
    const char *password_file;
    int worker; /* 1 On, 0 Off; see amtunlock_supervises() */
    const char *worker_program;
    const char *worker_config;
    const char *worker_user;
    /* Of this child; NULL before child_init, or if that failed. */
    jobs_pool_t *jobs;
    manageability_answers_t *answers;
} amtunlock_server_t;

typedef enum { AMTUNLOCK_MECH_KRB5 = 1, AMTUNLOCK_MECH_NTLM = 2 } amtunlock_mech_e;

/* One AMTUnlockScope: callers for whom `condition` is true may unlock the systems of `group`. */
typedef struct {
    const char *group;
    const char *granted; /* what a job keeps of it: see scopes_priv.h */
    const ap_expr_info_t *condition;
} amtunlock_scope_t;

/* One AMTUnlockTrustedProxy. */
typedef struct {
    const char *header;
    const apr_array_header_t *names; /* const char *: DNS names, or whole subjects (with a '=') */
} amtunlock_proxy_t;

/* Of a directory, location or server. */
typedef struct {
    int max_systems;
    apr_interval_time_t retention;
    apr_interval_time_t start_within;
    int job_started;
    apr_off_t max_body; /* bytes; 0: from max_systems */
    int limit_jobs, limit_systems, limit_contexts, limit_kept, limit_names;
    int limit_requests;               /* a second */
    int mechs;                        /* amtunlock_mech_e, or-ed */
    const apr_array_header_t *scopes; /* amtunlock_scope_t; NULL: no caller may unlock */
    const ap_expr_info_t *operators;  /* callers who may read every job; NULL: none */
    const amtunlock_proxy_t *proxy;   /* NULL: none is trusted */
} amtunlock_dir_t;

amtunlock_server_t *amtunlock_server(const server_rec *s);
/* The configuration of this request, with every default filled in. */
const amtunlock_dir_t *amtunlock_dir(request_rec *r);
/* True if this httpd is to start the worker and keep it running. */
int amtunlock_supervises(const amtunlock_server_t *conf);
/* The name that SetHandler gives at the request's location; NULL: none. Works before r->handler is set, which httpd
 * does only after authentication. */
const char *amtunlock_configured_handler(request_rec *r);
/* True if it is this one. */
int amtunlock_sets_handler(request_rec *r, const char *name);
/* The same for AMTUNLOCK_HANDLER. */
int amtunlock_is_service(request_rec *r);

/* The smallest body limit, in bytes, that a request of this many names fits in. */
apr_off_t amtunlock_body_for(int max_systems);

/* For the module record. */
void *amtunlock_create_server(apr_pool_t *p, server_rec *s);
void *amtunlock_merge_server(apr_pool_t *p, void *main_server, void *virtual_host);
void *amtunlock_create_dir(apr_pool_t *p, char *path);
void *amtunlock_merge_dir(apr_pool_t *p, void *outer, void *inner);

#endif
