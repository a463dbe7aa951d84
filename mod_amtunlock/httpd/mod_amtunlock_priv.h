/* SPDX-License-Identifier: Apache-2.0 */
/* The httpd face of amtunlock: what its files share. Everything here is httpd's: a request, a configuration,
 * a hook. What a request means is the other rooms' business.
 */
#ifndef AMTUNLOCK_HTTPD_MOD_AMTUNLOCK_PRIV_H
#define AMTUNLOCK_HTTPD_MOD_AMTUNLOCK_PRIV_H

#include <ap_expr.h>
#include <apr_tables.h>
#include <http_config.h>
#include <httpd.h>

#include "jobs/jobs.h"
#include "wsman/dispatch.h"

/* The one symbol that httpd looks up; its own macro for that is empty here, and all else is hidden. */
extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) amtunlock_module;

/* Names for SetHandler. */
#define AMTUNLOCK_HANDLER "amtunlock"
#define AMTUNLOCK_HANDLER_STATUS "amtunlock-status"
#define AMTUNLOCK_HANDLER_METRICS "amtunlock-metrics"
#define AMTUNLOCK_HANDLER_INTERFACE "amtunlock-interface"

/* ---- configuration (directives.c) ------------------------------------------------------------------- */

/* Of the whole process: kept in the main server's configuration. NULL and AMTUNLOCK_UNSET: not configured. */
#define AMTUNLOCK_UNSET (-1)

typedef struct {
    const char *redis_address; /* as written; NULL: no AMTUnlockRedis */
    jobs_redis_t redis;
    const char *password_file;
    int worker; /* 1 On, 0 Off; see amtunlock_supervises() */
    const char *worker_program;
    const char *worker_config;
    const char *worker_user;
    jobs_pool_t *store; /* of this child; NULL before child_init */
} amtunlock_server_t;

typedef enum { AMTUNLOCK_MECH_KRB5 = 1, AMTUNLOCK_MECH_NTLM = 2 } amtunlock_mech_e;

/* One AMTUnlockScope: callers for whom `who` is true may unlock the systems of `group`. */
typedef struct {
    const char *group;
    const ap_expr_info_t *who;
} amtunlock_scope_t;

/* One AMTUnlockTrustedProxy. */
typedef struct {
    const char *header;
    const apr_array_header_t *names; /* const char *: DNS names, or whole subjects (with a '=') */
} amtunlock_proxy_t;

/* Of a directory, location or server; amtunlock_dir() gives one with every default filled in. */
typedef struct {
    int max_systems;
    apr_interval_time_t retention;
    apr_interval_time_t start_within;
    int job_started;
    apr_off_t max_body; /* 0: from max_systems */
    int limit_jobs, limit_systems, limit_contexts;
    int mechs;                        /* amtunlock_mech_e, or-ed */
    const apr_array_header_t *scopes; /* amtunlock_scope_t; NULL: nobody may unlock */
    const ap_expr_info_t *operators;  /* callers who may read every job; NULL: nobody */
    const amtunlock_proxy_t *proxy;   /* NULL: none is trusted */
} amtunlock_dir_t;

amtunlock_server_t *amtunlock_server(const server_rec *s);
/* The configuration of this request, with defaults. */
const amtunlock_dir_t *amtunlock_dir(request_rec *r);
/* True if this httpd is to start and keep a worker. */
int amtunlock_supervises(const amtunlock_server_t *conf);

/* ---- checks over several directives (config_check.c) ------------------------------------------------ */

/* check_config hook: httpd -t runs it too. */
int amtunlock_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* ---- who asks (caller.c) ---------------------------------------------------------------------------- */

typedef enum {
    AMTUNLOCK_CALLER_KNOWN,
    AMTUNLOCK_CALLER_ANONYMOUS, /* nobody was authenticated */
    AMTUNLOCK_CALLER_REFUSED    /* somebody was, but not by a mechanism that is accepted here; logged */
} amtunlock_caller_e;

/* Fills *caller for the request's user. */
amtunlock_caller_e amtunlock_caller(request_rec *r, const amtunlock_dir_t *conf, jobs_caller_t *caller);

/* check_authn hook: takes the user that a trusted proxy names. */
int amtunlock_check_authn(request_rec *r);
void amtunlock_caller_register_hooks(apr_pool_t *p);

/* ---- handlers --------------------------------------------------------------------------------------- */

int amtunlock_handler(request_rec *r);
int amtunlock_status_handler(request_rec *r);
int amtunlock_metrics_handler(request_rec *r);
int amtunlock_interface_handler(request_rec *r);

/* For the two pages: GET only; *overview, or the status to return with *sentence sent already. OK: go on. */
int amtunlock_overview(request_rec *r, jobs_overview_t **overview);

/* ---- the worker (worker_supervision.c) -------------------------------------------------------------- */

/* post_config, second pass: starts, adopts, replaces or ends the worker. Never fails the server. */
void amtunlock_worker_configure(apr_pool_t *pconf, server_rec *s);
/* monitor hook: starts the worker again once its delay is over. */
int amtunlock_worker_monitor(apr_pool_t *pconf, server_rec *s);
/* Numeric ids of "NAME", "#UID" or "#UID:#GID" in *uid and *gid; *name gets the login name, or NULL where
 * there is none. NULL, or the sentence that says what is wrong. */
const char *amtunlock_worker_identity(const char *user, uid_t *uid, gid_t *gid, const char **name,
                                      apr_pool_t *pool);

#endif
