/* SPDX-License-Identifier: Apache-2.0 */
/* The table of directives and their setters. Checks that need more than one directive are in config_check.c;
 * what each directive means to an administrator is in conf/amtunlock.conf. */
#include "httpd/directives_priv.h"

#include <stddef.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>

#include "httpd/arguments_priv.h"
#include "httpd/config_priv.h"
#include "httpd/scopes_priv.h"

APLOG_USE_MODULE(amtunlock);

#define MINUTES(n) apr_time_from_sec((apr_int64_t)(n)*60)
#define DAYS(n) MINUTES((apr_int64_t)(n)*24 * 60)

/* The interface promises CIM_ConcreteJob instances for half an hour; only a test build allows less. */
#ifdef AMTUNLOCK_TEST
#define RETENTION_MIN apr_time_from_sec(1)
#else
#define RETENTION_MIN MINUTES(30)
#endif

#define BODY_MIN 8192 /* bytes; DSP0226 R6.2-4: every service must accept them */
#define BODY_MAX APR_INT64_C(268435456)

/* ---- data of the rows ------------------------------------------------------------------------------- */

/* The field of amtunlock_dir_t that a number or time is set in, and its range. */
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
    {"kept", offsetof(amtunlock_dir_t, limit_kept)},
    {"names", offsetof(amtunlock_dir_t, limit_names)},
    {"requests", offsetof(amtunlock_dir_t, limit_requests)},
};
#define LIMIT_MAX 1000000

static int *int_at(void *structure, size_t offset)
{
    return (int *)((char *)structure + offset);
}

/* The result of a setter: the directive's name and the error message. NULL, no error, stays NULL. */
static const char *directive_error(const cmd_parms *cmd, const char *message)
{
    return message != NULL ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", message, NULL) : NULL;
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
        return directive_error(cmd, "needs an address: unix:PATH or HOST:PORT");
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
    return directive_error(cmd, wrong);
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
    return path != NULL ? ap_check_cmd_context(cmd, GLOBAL_ONLY)
                        : directive_error(cmd, "cannot use this path");
}

static const char *set_worker_user(cmd_parms *cmd, void *dir, const char *arg)
{
    (void)dir;
    if (!*arg) {
        return directive_error(cmd, "needs a user: NAME, #UID or #UID:#GID");
    }
    amtunlock_server(cmd->server)->worker_user = arg;
    return ap_check_cmd_context(cmd, GLOBAL_ONLY);
}

/* ---- setters: a location ---------------------------------------------------------------------------- */

static const char *set_duration(cmd_parms *cmd, void *dir, const char *arg)
{
    const range_t *range = cmd->info;

    return directive_error(
        cmd, amtunlock_argument_duration(arg, range->min, range->max,
                                         (apr_interval_time_t *)((char *)dir + range->offset), cmd->pool));
}

static const char *set_number(cmd_parms *cmd, void *dir, const char *arg)
{
    const range_t *range = cmd->info;
    apr_int64_t value = 0;
    const char *wrong = amtunlock_argument_number(arg, range->min, range->max, &value, cmd->pool);

    if (wrong == NULL) {
        *int_at(dir, range->offset) = (int)value;
    }
    return directive_error(cmd, wrong);
}

static const char *set_max_body(cmd_parms *cmd, void *dir, const char *arg)
{
    amtunlock_dir_t *conf = dir;
    apr_int64_t value = 0;
    const char *wrong = amtunlock_argument_number(arg, BODY_MIN, BODY_MAX, &value, cmd->pool);

    if (wrong == NULL) {
        conf->max_body = (apr_off_t)value;
    }
    return directive_error(cmd, wrong);
}

static const char *set_job_started(cmd_parms *cmd, void *dir, const char *arg)
{
    amtunlock_dir_t *conf = dir;

    if (strcmp(arg, "4096") != 0 && strcmp(arg, "0") != 0) {
        return directive_error(
            cmd, "must be 4096 (DMTF: job started) or 0 (for consoles that know only 0 for success)");
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
        return directive_error(cmd, "takes krb5, ntlm or both");
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
    return directive_error(
        cmd, "takes jobs=N, systems=N, contexts=N, kept=N, names=N and requests=N (0: no limit)");
}

static const char *set_scope(cmd_parms *cmd, void *dir, const char *group, const char *expression)
{
    amtunlock_dir_t *conf = dir;
    apr_array_header_t *scopes = (apr_array_header_t *)conf->scopes;
    const char *wrong = NULL;
    amtunlock_scope_t scope = {group, amtunlock_scopes_note(cmd, group, expression), NULL};

    for (const char *c = group; *c; c++) {
        if (!apr_isgraph(*c)) {
            return directive_error(cmd, "needs the name of a group of systems (no white space), or *");
        }
    }
    scope.condition = ap_expr_parse_cmd(cmd, expression, AP_EXPR_FLAG_DONT_VARY, &wrong, NULL);
    if (wrong != NULL || !*group || scope.granted == NULL) {
        return directive_error(cmd, apr_psprintf(cmd->pool, "%s: the expression cannot be read: %s", group,
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
    return directive_error(cmd, wrong != NULL ? apr_psprintf(cmd->pool, "cannot be read: %s", wrong) : NULL);
}

static const char *set_trusted_proxy(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    amtunlock_dir_t *conf = dir;
    amtunlock_proxy_t *proxy = apr_pcalloc(cmd->pool, sizeof(*proxy));
    apr_array_header_t *names = apr_array_make(cmd->pool, argc, sizeof(const char *));

    if (argc < 2) {
        return directive_error(
            cmd, "needs a header and at least one name: a DNS name of the proxy's client certificate, or its "
                 "whole subject (\"CN=proxy,O=Example\")");
    }
    for (const char *c = argv[0]; *c; c++) {
        if (!apr_isalnum(*c) && *c != '-') {
            return directive_error(cmd, "needs the name of a request header first (letters, digits, -)");
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
    AP_INIT_ITERATE(
        "AMTUnlockCallerLimits", set_limit, NULL, IN_LOCATION,
        "what one caller may have at a time: jobs=N systems=N contexts=N kept=N names=N, and send a "
        "second: requests=N; 0 is no limit"),
    AP_INIT_TAKE1("AMTUnlockMaxBody", set_max_body, NULL, IN_LOCATION, "most bytes of a request's body"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL},
};
