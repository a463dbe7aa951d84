/* SPDX-License-Identifier: Apache-2.0 */
/* The directives: one flat table, their setters, and how sections are merged. What needs more than one
 * directive to judge is in config_check.c; what each means to an administrator is in conf/amtunlock.conf. */
#include "httpd/directives_priv.h"

#include <stddef.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>

#include "httpd/arguments_priv.h"

APLOG_USE_MODULE(amtunlock);

#define MINUTES(n) apr_time_from_sec((apr_int64_t)(n)*60)
#define DAYS(n) MINUTES((apr_int64_t)(n)*24 * 60)

/* CIM_ConcreteJob instances are promised for half an hour; only a test build may break the promise. */
#ifdef AMTUNLOCK_TEST
#define RETENTION_MIN apr_time_from_sec(1)
#else
#define RETENTION_MIN MINUTES(30)
#endif

#define BODY_MIN 8192 /* DSP0226 R6.2-4: what every service must take */
#define BODY_MAX APR_INT64_C(268435456)
#define BODY_FLOOR APR_INT64_C(131072)
#define BODY_PER_NAME 512

/* ---- what a setter is told by its row --------------------------------------------------------------- */

/* Where a number or time goes in amtunlock_dir_t, and what it may be. */
typedef struct {
    size_t offset;
    apr_int64_t min, max;
} range_t;

static const range_t retention_range = {offsetof(amtunlock_dir_t, retention), RETENTION_MIN, DAYS(30)};
static const range_t start_within_range = {offsetof(amtunlock_dir_t, start_within), apr_time_from_sec(1),
                                           DAYS(7)};
static const range_t max_systems_range = {offsetof(amtunlock_dir_t, max_systems), 1, 100000};

/* The caller limits, by the name that AMTUnlockCallerLimits gives them. */
static const struct {
    const char *name;
    size_t offset;
} limits[] = {
    {"jobs", offsetof(amtunlock_dir_t, limit_jobs)},
    {"systems", offsetof(amtunlock_dir_t, limit_systems)},
    {"contexts", offsetof(amtunlock_dir_t, limit_contexts)},
};
#define LIMIT_MAX 1000000

static int *int_at(void *structure, size_t offset)
{
    return (int *)((char *)structure + offset);
}

/* What a setter returns: the directive's name and what is wrong; NULL stays NULL. */
static const char *complain(const cmd_parms *cmd, const char *sentence)
{
    return sentence != NULL ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", sentence, NULL) : NULL;
}

/* ---- setters: the process --------------------------------------------------------------------------- */

static const char *set_redis_option(cmd_parms *cmd, amtunlock_server_t *conf, const char *option)
{
    const char *value;

    if ((value = amtunlock_argument_value(option, "user")) != NULL && *value) {
        conf->redis.user = value;
        return NULL;
    }
    if ((value = amtunlock_argument_value(option, "password-file")) != NULL && *value) {
        conf->password_file = ap_server_root_relative(cmd->pool, value);
        return conf->password_file != NULL ? NULL : apr_psprintf(cmd->pool, "cannot use the path %s", value);
    }
    return apr_psprintf(cmd->pool, "takes user=NAME and password-file=PATH after the address, not %s",
                        option);
}

static const char *set_redis(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    amtunlock_server_t *conf = amtunlock_server(cmd->server);
    const char *wrong = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (wrong != NULL) {
        return wrong;
    }
    if (argc < 1) {
        return complain(cmd, "needs an address: unix:PATH or HOST:PORT");
    }
    memset(&conf->redis, 0, sizeof(conf->redis));
    conf->password_file = NULL;
    conf->redis_address = argv[0];
    wrong = jobs_redis_parse(argv[0], &conf->redis, cmd->pool);
    if (wrong != NULL) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", wrong, NULL);
    }
    for (int i = 1; i < argc && wrong == NULL; i++) {
        wrong = set_redis_option(cmd, conf, argv[i]);
    }
    return complain(cmd, wrong);
}

static const char *set_worker(cmd_parms *cmd, void *dir, int on)
{
    (void)dir;
    amtunlock_server(cmd->server)->worker = on;
    return ap_check_cmd_context(cmd, GLOBAL_ONLY);
}

/* Program and settings file of the worker: an absolute path, or one from ServerRoot. */
static const char *set_worker_path(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *path = ap_server_root_relative(cmd->pool, arg);

    (void)dir;
    *(const char **)((char *)amtunlock_server(cmd->server) + (size_t)cmd->info) = path;
    return path != NULL ? ap_check_cmd_context(cmd, GLOBAL_ONLY) : complain(cmd, "cannot use this path");
}

static const char *set_worker_user(cmd_parms *cmd, void *dir, const char *arg)
{
    (void)dir;
    if (!*arg) {
        return complain(cmd, "needs a user: NAME, #UID or #UID:#GID");
    }
    amtunlock_server(cmd->server)->worker_user = arg;
    return ap_check_cmd_context(cmd, GLOBAL_ONLY);
}

/* ---- setters: a location ---------------------------------------------------------------------------- */

static const char *set_duration(cmd_parms *cmd, void *dir, const char *arg)
{
    const range_t *range = cmd->info;

    return complain(cmd, amtunlock_argument_duration(arg, range->min, range->max,
                                                     (apr_interval_time_t *)((char *)dir + range->offset),
                                                     cmd->pool));
}

static const char *set_number(cmd_parms *cmd, void *dir, const char *arg)
{
    const range_t *range = cmd->info;
    apr_int64_t value = 0;
    const char *wrong = amtunlock_argument_number(arg, range->min, range->max, &value, cmd->pool);

    if (wrong == NULL) {
        *int_at(dir, range->offset) = (int)value;
    }
    return complain(cmd, wrong);
}

static const char *set_max_body(cmd_parms *cmd, void *dir, const char *arg)
{
    amtunlock_dir_t *conf = dir;
    apr_int64_t value = 0;
    const char *wrong = amtunlock_argument_number(arg, BODY_MIN, BODY_MAX, &value, cmd->pool);

    if (wrong == NULL) {
        conf->max_body = (apr_off_t)value;
    }
    return complain(cmd, wrong);
}

static const char *set_job_started(cmd_parms *cmd, void *dir, const char *arg)
{
    amtunlock_dir_t *conf = dir;

    if (strcmp(arg, "4096") != 0 && strcmp(arg, "0") != 0) {
        return complain(cmd,
                        "must be 4096 (DMTF: job started) or 0 (for consoles that know only 0 for success)");
    }
    conf->job_started = *arg == '0' ? 0 : 4096;
    return NULL;
}

static const char *set_mech(cmd_parms *cmd, void *dir, const char *arg)
{
    amtunlock_dir_t *conf = dir;

    if (strcasecmp(arg, "krb5") == 0) {
        conf->mechs |= AMTUNLOCK_MECH_KRB5;
    }
    else if (strcasecmp(arg, "ntlm") == 0) {
        conf->mechs |= AMTUNLOCK_MECH_NTLM;
    }
    else {
        return complain(cmd, "takes krb5, ntlm or both");
    }
    return NULL;
}

static const char *set_limit(cmd_parms *cmd, void *dir, const char *arg)
{
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const char *text = amtunlock_argument_value(arg, limits[i].name);
        apr_int64_t value = 0;
        const char *wrong =
            text != NULL ? amtunlock_argument_number(text, 0, LIMIT_MAX, &value, cmd->pool) : NULL;

        if (wrong != NULL) {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", limits[i].name, " ", wrong, NULL);
        }
        if (text != NULL) {
            *int_at(dir, limits[i].offset) = (int)value;
            return NULL;
        }
    }
    return complain(cmd, "takes jobs=N, systems=N and contexts=N (0: no limit)");
}

static const char *set_scope(cmd_parms *cmd, void *dir, const char *group, const char *expression)
{
    amtunlock_dir_t *conf = dir;
    apr_array_header_t *scopes = (apr_array_header_t *)conf->scopes;
    const char *wrong = NULL;
    amtunlock_scope_t scope = {group, NULL};

    for (const char *c = group; *c; c++) {
        if (!apr_isgraph(*c)) {
            return complain(cmd, "needs the name of a group of systems (no white space), or *");
        }
    }
    scope.who = ap_expr_parse_cmd(cmd, expression, AP_EXPR_FLAG_DONT_VARY, &wrong, NULL);
    if (wrong != NULL || !*group) {
        return complain(cmd, apr_psprintf(cmd->pool, "%s: the expression cannot be read: %s", group,
                                          wrong != NULL ? wrong : ""));
    }
    if (scopes == NULL) {
        conf->scopes = scopes = apr_array_make(cmd->pool, 4, sizeof(amtunlock_scope_t));
    }
    APR_ARRAY_PUSH(scopes, amtunlock_scope_t) = scope;
    return NULL;
}

static const char *set_operator(cmd_parms *cmd, void *dir, const char *expression)
{
    amtunlock_dir_t *conf = dir;
    const char *wrong = NULL;

    conf->operators = ap_expr_parse_cmd(cmd, expression, AP_EXPR_FLAG_DONT_VARY, &wrong, NULL);
    return complain(cmd, wrong != NULL ? apr_psprintf(cmd->pool, "cannot be read: %s", wrong) : NULL);
}

static const char *set_trusted_proxy(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    amtunlock_dir_t *conf = dir;
    amtunlock_proxy_t *proxy = apr_pcalloc(cmd->pool, sizeof(*proxy));
    apr_array_header_t *names = apr_array_make(cmd->pool, argc, sizeof(const char *));

    if (argc < 2) {
        return complain(
            cmd, "needs a header and at least one name: a DNS name of the proxy's client certificate, or its "
                 "whole subject (\"CN=proxy,O=Example\")");
    }
    for (const char *c = argv[0]; *c; c++) {
        if (!apr_isalnum(*c) && *c != '-') {
            return complain(cmd, "needs the name of a request header first (letters, digits, -)");
        }
    }
    for (int i = 1; i < argc; i++) {
        APR_ARRAY_PUSH(names, const char *) = argv[i];
    }
    proxy->header = argv[0];
    proxy->names = names;
    conf->proxy = proxy;
    return NULL;
}

/* ---- the table -------------------------------------------------------------------------------------- */

#define IN_LOCATION (RSRC_CONF | ACCESS_CONF)
#define SERVER_FIELD(field) ((void *)offsetof(amtunlock_server_t, field))

const command_rec amtunlock_directives[] = {
    AP_INIT_TAKE_ARGV(
        "AMTUnlockRedis", set_redis, NULL, RSRC_CONF,
        "where the job state is kept: unix:PATH or HOST:PORT, then user=NAME and password-file=PATH"),
    AP_INIT_FLAG("AMTUnlockWorker", set_worker, NULL, RSRC_CONF,
                 "On: start the worker and keep it running; Off: something else does"),
    AP_INIT_TAKE1("AMTUnlockWorkerProgram", set_worker_path, SERVER_FIELD(worker_program), RSRC_CONF,
                  "path of the worker program"),
    AP_INIT_TAKE1("AMTUnlockWorkerConfig", set_worker_path, SERVER_FIELD(worker_config), RSRC_CONF,
                  "path of the worker's settings"),
    AP_INIT_TAKE1("AMTUnlockWorkerUser", set_worker_user, NULL, RSRC_CONF,
                  "user that the worker runs as where httpd was started as root: NAME, #UID or #UID:#GID"),
    AP_INIT_TAKE1("AMTUnlockMaxSystems", set_number, (void *)&max_systems_range, IN_LOCATION,
                  "most names that one UnlockSystems may hold"),
    AP_INIT_TAKE1("AMTUnlockRetention", set_duration, (void *)&retention_range, IN_LOCATION,
                  "how long a job can be read after it completed; at least PT30M"),
    AP_INIT_TAKE1("AMTUnlockStartWithin", set_duration, (void *)&start_within_range, IN_LOCATION,
                  "a system whose unlock has not begun after this time is given up, untouched"),
    AP_INIT_TAKE2(
        "AMTUnlockScope", set_scope, NULL, IN_LOCATION,
        "a group of systems (or *) and the expression that is true for callers who may unlock them"),
    AP_INIT_TAKE1("AMTUnlockOperator", set_operator, NULL, IN_LOCATION,
                  "the expression that is true for callers who may read the jobs of all"),
    AP_INIT_ITERATE("AMTUnlockMech", set_mech, NULL, IN_LOCATION,
                    "mechanisms by which callers may have been authenticated: krb5, ntlm"),
    AP_INIT_TAKE1("AMTUnlockJobStarted", set_job_started, NULL, IN_LOCATION,
                  "ReturnValue of UnlockSystems when a job was started: 4096 or 0"),
    AP_INIT_TAKE_ARGV("AMTUnlockTrustedProxy", set_trusted_proxy, NULL, IN_LOCATION,
                      "a request header that names the caller, and the client certificates that may send it"),
    AP_INIT_ITERATE("AMTUnlockCallerLimits", set_limit, NULL, IN_LOCATION,
                    "what one caller may have waiting at a time: jobs=N systems=N contexts=N; 0 is no limit"),
    AP_INIT_TAKE1("AMTUnlockMaxBody", set_max_body, NULL, IN_LOCATION, "most bytes of a request's body"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL},
};

/* ---- creation, merging, defaults -------------------------------------------------------------------- */

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
