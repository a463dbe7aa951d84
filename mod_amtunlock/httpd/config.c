/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/config_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>

#include "httpd/module_priv.h"

#define MINUTES(n) apr_time_from_sec((apr_int64_t)(n)*60)

#define BODY_FLOOR APR_INT64_C(131072) /* bytes */
#define BODY_PER_NAME 512

void *amtunlock_create_server(apr_pool_t *p, server_rec *s)
{
    amtunlock_server_t *conf = apr_pcalloc(p, sizeof(*conf));

    (void)s;
    conf->worker = AMTUNLOCK_UNSET;
    conf->worker_program = AMTUNLOCK_DEFAULT_WORKER_PROGRAM;
    conf->worker_config = AMTUNLOCK_DEFAULT_WORKER_CONFIG;
    conf->worker_user = AMTUNLOCK_DEFAULT_WORKER_USER;
    return conf;
}

/* A virtual host has no settings of its own here: all that it could hold is refused there. */
void *amtunlock_merge_server(apr_pool_t *p, void *main_server, void *virtual_host)
{
    (void)p;
    (void)virtual_host;
    return main_server;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): httpd's signature */
void *amtunlock_create_dir(apr_pool_t *p, char *path)
{
    amtunlock_dir_t *conf = apr_pcalloc(p, sizeof(*conf));

    (void)path;
    conf->max_systems = AMTUNLOCK_UNSET;
    conf->retention = AMTUNLOCK_UNSET;
    conf->start_within = AMTUNLOCK_UNSET;
    conf->job_started = AMTUNLOCK_UNSET;
    conf->limit_jobs = AMTUNLOCK_UNSET;
    conf->limit_systems = AMTUNLOCK_UNSET;
    conf->limit_contexts = AMTUNLOCK_UNSET;
    conf->limit_kept = AMTUNLOCK_UNSET;
    conf->limit_names = AMTUNLOCK_UNSET;
    conf->limit_requests = AMTUNLOCK_UNSET;
    return conf;
}

#define INNER_IF_SET(field, unset) merged->field = inner->field != (unset) ? inner->field : outer->field

/* A list (scopes, mechanisms) of the inner section replaces the outer one's: what may be done in a place can
 * be read in that place. */
void *amtunlock_merge_dir(apr_pool_t *p, void *outer_conf, void *inner_conf)
{
    const amtunlock_dir_t *outer = outer_conf, *inner = inner_conf;
    amtunlock_dir_t *merged = apr_palloc(p, sizeof(*merged));

    INNER_IF_SET(max_systems, AMTUNLOCK_UNSET);
    INNER_IF_SET(retention, AMTUNLOCK_UNSET);
    INNER_IF_SET(start_within, AMTUNLOCK_UNSET);
    INNER_IF_SET(job_started, AMTUNLOCK_UNSET);
    INNER_IF_SET(max_body, 0);
    INNER_IF_SET(limit_jobs, AMTUNLOCK_UNSET);
    INNER_IF_SET(limit_systems, AMTUNLOCK_UNSET);
    INNER_IF_SET(limit_contexts, AMTUNLOCK_UNSET);
    INNER_IF_SET(limit_kept, AMTUNLOCK_UNSET);
    INNER_IF_SET(limit_names, AMTUNLOCK_UNSET);
    INNER_IF_SET(limit_requests, AMTUNLOCK_UNSET);
    INNER_IF_SET(mechs, 0);
    INNER_IF_SET(scopes, NULL);
    INNER_IF_SET(operators, NULL);
    INNER_IF_SET(proxy, NULL);
    return merged;
}

apr_off_t amtunlock_body_for(int max_systems)
{
    apr_off_t needed = (apr_off_t)max_systems * BODY_PER_NAME;

    return needed > BODY_FLOOR ? needed : BODY_FLOOR;
}

#define DEFAULT(field, unset, value)                                                                         \
    if (conf->field == (unset)) {                                                                            \
        conf->field = (value);                                                                               \
    }

/* What is kept follows what may be under way: `times` as much, and not less than `least`. 0 is no limit. */
static int kept_for(int under_way, int times, int least)
{
    if (under_way == 0) {
        return 0;
    }
    return under_way > least / times ? under_way * times : least;
}

const amtunlock_dir_t *amtunlock_dir(request_rec *r)
{
    amtunlock_dir_t *conf = apr_pmemdup(r->pool, ap_get_module_config(r->per_dir_config, &amtunlock_module),
                                        sizeof(amtunlock_dir_t));

    DEFAULT(max_systems, AMTUNLOCK_UNSET, AMTUNLOCK_DEFAULT_MAX_SYSTEMS)
    DEFAULT(retention, AMTUNLOCK_UNSET, MINUTES(30))
    DEFAULT(start_within, AMTUNLOCK_UNSET, MINUTES(60))
    DEFAULT(job_started, AMTUNLOCK_UNSET, 4096)
    DEFAULT(max_body, 0, amtunlock_body_for(conf->max_systems))
    DEFAULT(limit_jobs, AMTUNLOCK_UNSET, AMTUNLOCK_DEFAULT_LIMIT_JOBS)
    DEFAULT(limit_systems, AMTUNLOCK_UNSET, AMTUNLOCK_DEFAULT_LIMIT_SYSTEMS)
    DEFAULT(limit_contexts, AMTUNLOCK_UNSET, AMTUNLOCK_DEFAULT_LIMIT_CONTEXTS)
    DEFAULT(limit_kept, AMTUNLOCK_UNSET, kept_for(conf->limit_jobs, 2, AMTUNLOCK_DEFAULT_LIMIT_KEPT))
    DEFAULT(limit_names, AMTUNLOCK_UNSET, kept_for(conf->limit_systems, 5, AMTUNLOCK_DEFAULT_LIMIT_NAMES))
    DEFAULT(limit_requests, AMTUNLOCK_UNSET, AMTUNLOCK_DEFAULT_LIMIT_REQUESTS)
    DEFAULT(mechs, 0, AMTUNLOCK_MECH_KRB5)
    return conf;
}

amtunlock_server_t *amtunlock_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &amtunlock_module);
}

int amtunlock_supervises(const amtunlock_server_t *conf)
{
    return conf->redis_address != NULL && conf->worker != 0;
}

const char *amtunlock_configured_handler(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *wrong = NULL;
    const char *handler =
        core->expr_handler != NULL ? ap_expr_str_exec(r, core->expr_handler, &wrong) : core->handler;

    return wrong == NULL ? handler : NULL;
}

int amtunlock_sets_handler(request_rec *r, const char *name)
{
    const char *handler = amtunlock_configured_handler(r);

    return handler != NULL && strcmp(handler, name) == 0;
}

int amtunlock_is_service(request_rec *r)
{
    return amtunlock_sets_handler(r, AMTUNLOCK_HANDLER);
}
