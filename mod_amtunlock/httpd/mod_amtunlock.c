/* SPDX-License-Identifier: Apache-2.0 */
/* The module record and its hooks. */
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

#include "httpd/bound_connection_priv.h"
#include "httpd/challenge_priv.h"
#include "httpd/config_check_priv.h"
#include "httpd/config_priv.h"
#include "httpd/directives_priv.h"
#include "httpd/identity_priv.h"
#include "httpd/location_priv.h"
#include "httpd/log_channel_priv.h"
#include "httpd/module_priv.h"
#include "httpd/pages_priv.h"
#include "httpd/rate_priv.h"
#include "httpd/scopes_priv.h"
#include "httpd/supervision_priv.h"
#include "httpd/trusted_proxy_priv.h"
#include "wsman/envelope.h"

/* For one call of Redis: waiting for a connection, connecting and the command. A caller has its answer within
 * 250 ms; a change that was sent is waited for longer, by few threads at a time. */
#define JOBS_BUDGET apr_time_from_msec(200)
#define JOBS_PATIENCE apr_time_from_sec(5)
#define JOBS_CONNECTIONS_MAX 16
#define JOBS_PATIENT_MAX 8
/* Bytes of answers that a child keeps: for each of its threads, and at most. */
#define ANSWERS_A_THREAD (1 << 20)
#define ANSWERS_MAX (32 << 20)

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_status_t status;

    (void)plog;
    (void)ptemp;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG ||
        ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL) {
        return OK; /* the first of the two reads at start, or httpd -t */
    }
    wsman_library_init();
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, "AMTU0001: mod_amtunlock %s", AMTUNLOCK_VERSION);
    status = amtunlock_rate_create(pconf);
    if (status != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, status, s,
                     "AMTU0082: no shared memory, so each child counts requests for itself: a caller may "
                     "send more than AMTUnlockCallerLimits says");
    }
    amtunlock_worker_configure(pconf, s);
    return OK;
}

static int threads_of_child(void)
{
    int threads = 1;

    return ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) == APR_SUCCESS && threads > 1 ? threads : 1;
}

/* For a child of httpd. Half as many connections as threads are enough: a request spends most of its time outside
 * Redis. A quarter of the threads may be patient; where a child has one thread, one child in four. */
static jobs_pool_limits_t jobs_limits(int threads)
{
    jobs_pool_limits_t limits = {.budget = JOBS_BUDGET, .patience = JOBS_PATIENCE};

    if (threads < 2) {
        limits.connections = 1;
        limits.patient = getpid() % 4 == 0;
        return limits;
    }
    limits.connections = threads / 2 < JOBS_CONNECTIONS_MAX ? threads / 2 : JOBS_CONNECTIONS_MAX;
    limits.patient = threads < 4 ? 1 : threads / 4 < JOBS_PATIENT_MAX ? threads / 4 : JOBS_PATIENT_MAX;
    return limits;
}

/* The connections belong to one process, so the pool is created after the fork. */
static void child_init(apr_pool_t *pchild, server_rec *s)
{
    amtunlock_server_t *conf = amtunlock_server(s);
    int threads = threads_of_child();
    jobs_pool_limits_t limits = jobs_limits(threads);
    apr_size_t answers = (apr_size_t)threads * ANSWERS_A_THREAD;
    apr_status_t status;

    amtunlock_log_channel_close();
    if (conf->redis_address == NULL) {
        return;
    }
    status = jobs_pool_create(&conf->jobs, &conf->redis, &limits, pchild);
    if (status != APR_SUCCESS) {
        conf->jobs = NULL;
        ap_log_error(APLOG_MARK, APLOG_ERR, status, s,
                     "AMTU0002: no job store in this child: its requests will be refused");
    }
    status =
        manageability_answers_create(&conf->answers, answers < ANSWERS_MAX ? answers : ANSWERS_MAX, pchild);
    if (status != APR_SUCCESS) {
        conf->answers = NULL; /* each is written anew */
    }
    amtunlock_scopes_publish(s, pchild);
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_check_config(amtunlock_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(amtunlock_worker_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(amtunlock_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(amtunlock_status_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(amtunlock_metrics_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(amtunlock_interface_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    amtunlock_location_register_hooks();
    amtunlock_bound_register_hooks();
    amtunlock_identity_register_hooks();
    amtunlock_scopes_register_hooks();
    amtunlock_proxy_register_hooks();
    amtunlock_challenge_register_hooks();
}

AP_DECLARE_MODULE(amtunlock) = {
    STANDARD20_MODULE_STUFF, amtunlock_create_dir, amtunlock_merge_dir, amtunlock_create_server,
    amtunlock_merge_server,  amtunlock_directives, register_hooks,      0,
};
