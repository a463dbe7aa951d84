/* SPDX-License-Identifier: Apache-2.0 */
/* The module record and its hooks: the server's life in one place. */
#include "httpd/mod_amtunlock_priv.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

#include "httpd/directives_priv.h"

/* Waiting for a connection, connecting and the command, together: a caller hears within 250 ms. */
#define STORE_BUDGET apr_time_from_msec(200)
#define STORE_CONNECTIONS_MAX 16

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    (void)ptemp;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG ||
        ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL) {
        return OK; /* a rehearsal: everything is read once more before the server runs */
    }
    wsman_library_init();
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, "AMTU0001: mod_amtunlock %s", AMTUNLOCK_VERSION);
    amtunlock_worker_configure(pconf, s);
    return OK;
}

/* Half as many connections as threads are enough: a request spends most of its time elsewhere. */
static int store_connections(void)
{
    int threads = 1;

    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS || threads < 2) {
        return 1;
    }
    return threads / 2 < STORE_CONNECTIONS_MAX ? threads / 2 : STORE_CONNECTIONS_MAX;
}

/* A store belongs to one process: none is made before the fork. */
static void child_init(apr_pool_t *pchild, server_rec *s)
{
    amtunlock_server_t *conf = amtunlock_server(s);
    apr_status_t status;

    if (conf->redis_address == NULL) {
        return;
    }
    status = jobs_pool_create(&conf->store, &conf->redis, store_connections(), STORE_BUDGET, pchild);
    if (status != APR_SUCCESS) {
        conf->store = NULL;
        ap_log_error(APLOG_MARK, APLOG_ERR, status, s,
                     "AMTU0002: no job store in this child: its requests will be refused");
    }
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(amtunlock_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(amtunlock_worker_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(amtunlock_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(amtunlock_status_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(amtunlock_metrics_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(amtunlock_interface_handler, NULL, NULL, APR_HOOK_MIDDLE);
    amtunlock_caller_register_hooks(p);
}

AP_DECLARE_MODULE(amtunlock) = {
    STANDARD20_MODULE_STUFF, amtunlock_create_dir, amtunlock_merge_dir, amtunlock_create_server,
    amtunlock_merge_server,  amtunlock_directives, register_hooks,      0,
};
