/* SPDX-License-Identifier: Apache-2.0 */
/* What cannot work is an error; what is probably a mistake is a warning that says what to write instead. */
#include "httpd/config_check_priv.h"

#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <unixd.h>
#include <util_cfgtree.h>

#include "httpd/config_priv.h"
#include "httpd/launch_priv.h"
#include "httpd/module_priv.h"
#include "httpd/section_order_priv.h"

APLOG_USE_MODULE(amtunlock);

/* What one section holds by itself. */
typedef struct {
    int proxy;  /* AMTUnlockTrustedProxy */
    int auth;   /* an AuthType */
    int serves; /* SetHandler amtunlock */
    int bound;  /* GssapiConnectionBound On */
    int mechs;  /* AMTUnlockMech; 0: none */
} section_t;

/* What the configuration tree holds, in any section. */
typedef struct {
    int serves;                              /* SetHandler amtunlock */
    int pages;                               /* SetHandler amtunlock-status or -metrics */
    int scopes;                              /* AMTUnlockScope */
    int publishes;                           /* GssapiPublishMech On */
    int proxies;                             /* AMTUnlockTrustedProxy */
    int max_systems;                         /* the largest AMTUnlockMaxSystems */
    apr_off_t max_body;                      /* the smallest AMTUnlockMaxBody; 0: none */
    const ap_directive_t *mixed;             /* a section with both a trusted proxy and an AuthType */
    const ap_directive_t *bound;             /* a section that serves Kerberos only, on bound connections */
    const ap_directive_t *bound_unless_ntlm; /* such a one, if no AMTUnlockMech around it lists ntlm */
    int ntlm_around;   /* AMTUnlockMech ntlm in a section that does not serve by itself */
    int guards;        /* GUARD_..., or-ed */
    apr_off_t guarded; /* the largest SecRequestBodyNoFilesLimit; 0: none */
    section_t section;
} summary_t;

/* mod_security refuses what it is told to, and reads bodies. */
#define GUARD_REFUSES 1
#define GUARD_READS 2
#define GUARD_BODY 1048576 /* its SecRequestBodyNoFilesLimit where none is set */

/* ---- reading the configuration tree ----------------------------------------------------------------- */

static void note_handler(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;
    const char *handler = ap_getword_conf(pool, &args);

    summary->section.serves |= strcmp(handler, AMTUNLOCK_HANDLER) == 0;
    summary->serves |= summary->section.serves;
    summary->pages |=
        strcmp(handler, AMTUNLOCK_HANDLER_STATUS) == 0 || strcmp(handler, AMTUNLOCK_HANDLER_METRICS) == 0;
}

static void note_scope(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    (void)line;
    (void)pool;
    summary->scopes = 1;
}

static void note_publish(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;

    summary->publishes |= strcasecmp(ap_getword_conf(pool, &args), "On") == 0;
}

static void note_proxy(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    (void)line;
    (void)pool;
    summary->proxies = summary->section.proxy = 1;
}

static void note_auth_type(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;

    summary->section.auth |= strcasecmp(ap_getword_conf(pool, &args), "None") != 0;
}

static void note_bound(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;

    summary->section.bound = strcasecmp(ap_getword_conf(pool, &args), "On") == 0;
}

static void note_mech(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    (void)pool;
    summary->section.mechs |=
        ap_strcasestr(line->args, "ntlm") != NULL ? AMTUNLOCK_MECH_NTLM : AMTUNLOCK_MECH_KRB5;
}

static void note_max_systems(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;
    int systems = (int)apr_atoi64(ap_getword_conf(pool, &args));

    summary->max_systems = systems > summary->max_systems ? systems : summary->max_systems;
}

static void note_max_body(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;
    apr_off_t body = (apr_off_t)apr_atoi64(ap_getword_conf(pool, &args));

    summary->max_body = !summary->max_body || body < summary->max_body ? body : summary->max_body;
}

static void note_guard(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;
    int guard = strcasecmp(line->directive, "SecRuleEngine") == 0 ? GUARD_REFUSES : GUARD_READS;

    if (strcasecmp(ap_getword_conf(pool, &args), "On") == 0) {
        summary->guards |= guard;
    }
}

static void note_guarded(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;
    apr_off_t body = (apr_off_t)apr_atoi64(ap_getword_conf(pool, &args));

    summary->guarded = body > summary->guarded ? body : summary->guarded;
}

static const struct {
    const char *directive;
    void (*note)(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool);
} notes[] = {
    {"SetHandler", note_handler},
    {"AddHandler", note_handler},
    {"AMTUnlockScope", note_scope},
    {"GssapiPublishMech", note_publish},
    {"AMTUnlockTrustedProxy", note_proxy},
    {"AuthType", note_auth_type},
    {"GssapiConnectionBound", note_bound},
    {"AMTUnlockMech", note_mech},
    {"AMTUnlockMaxSystems", note_max_systems},
    {"AMTUnlockMaxBody", note_max_body},
    {"SecRuleEngine", note_guard},
    {"SecRequestBodyAccess", note_guard},
    {"SecRequestBodyNoFilesLimit", note_guarded},
};

static void summarize_line(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
        if (strcasecmp(line->directive, notes[i].directive) == 0) {
            notes[i].note(summary, line, pool);
        }
    }
}

static void note_section(summary_t *summary, const ap_directive_t *line)
{
    const section_t *section = &summary->section;

    if (section->proxy && section->auth) {
        summary->mixed = line;
    }
    if (section->serves && section->bound && !section->mechs) {
        summary->bound_unless_ntlm = line;
    }
    else if (section->serves && section->bound && !(section->mechs & AMTUNLOCK_MECH_NTLM)) {
        summary->bound = line;
    }
    else if (!section->serves && (section->mechs & AMTUNLOCK_MECH_NTLM)) {
        summary->ntlm_around = 1;
    }
}

/* The depth is that of sections in sections. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void summarize_tree(summary_t *summary, const ap_directive_t *line, apr_pool_t *pool)
{
    for (; line != NULL; line = line->next) {
        if (line->first_child != NULL) {
            section_t around = summary->section;

            memset(&summary->section, 0, sizeof(summary->section));
            summarize_tree(summary, line->first_child, pool);
            note_section(summary, line);
            summary->section = around;
        }
        else {
            summarize_line(summary, line, pool);
        }
    }
}

/* ---- checks ----------------------------------------------------------------------------------------- */

static int check_redis(const amtunlock_server_t *conf, const summary_t *summary, server_rec *s)
{
    if (conf->redis_address == NULL && (summary->serves || summary->pages)) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "AMTU0020: a handler of mod_amtunlock is set, but no AMTUnlockRedis says where the "
                     "job state is kept");
        return 0;
    }
    return 1;
}

/* The only secret of the web side is wiped with the configuration pool. */
static apr_status_t wipe_password(void *password)
{
    explicit_bzero(password, strlen(password));
    return APR_SUCCESS;
}

/* Reads the password as the user who starts httpd; the children never need the file. */
static int check_password(amtunlock_server_t *conf, apr_pool_t *pconf, server_rec *s)
{
    int may_be_unreadable = geteuid() != 0 && ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
    const char *wrong;

    if (conf->password_file == NULL) {
        return 1;
    }
    wrong = jobs_redis_read_password(conf->password_file, &conf->redis.password, pconf);
    if (wrong == NULL) {
        apr_pool_cleanup_register(pconf, conf->redis.password, wipe_password, apr_pool_cleanup_null);
        return 1;
    }
    ap_log_error(APLOG_MARK, may_be_unreadable ? APLOG_WARNING : APLOG_EMERG, 0, s,
                 "AMTU0021: AMTUnlockRedis password-file: %s%s", wrong,
                 may_be_unreadable ? " (this test does not run as root; the server may)" : "");
    return may_be_unreadable;
}

static void check_callers(const summary_t *summary, server_rec *s)
{
    int gssapi = ap_find_linked_module("mod_auth_gssapi.c") != NULL;

    if (!summary->scopes) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "AMTU0022: no AMTUnlockScope: nobody may unlock anything; every name will be \"not available\"");
    }
    if (!gssapi && !summary->proxies) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "AMTU0023: mod_auth_gssapi is not loaded and there is no AMTUnlockTrustedProxy: no caller can be "
            "accepted");
    }
    if (gssapi && !summary->publishes && !summary->proxies) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "AMTU0024: no \"GssapiPublishMech On\": every caller will be denied, because how it was "
                     "authenticated is not known; put it beside \"AuthType GSSAPI\"");
    }
}

static int check_trusted_proxy(const summary_t *summary, server_rec *s)
{
    if (summary->mixed != NULL) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "AMTU0025: %s line %d: AMTUnlockTrustedProxy has no effect beside an AuthType; give the proxy a "
            "Location of its own",
            summary->mixed->filename, summary->mixed->line_num);
    }
    if (summary->proxies && ap_find_linked_module("mod_ssl.c") == NULL) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "AMTU0026: AMTUnlockTrustedProxy knows the proxy by its client certificate; mod_ssl "
                     "is not loaded");
        return 0;
    }
    return 1;
}

static void check_bound(const summary_t *summary, server_rec *s)
{
    const ap_directive_t *section = summary->bound != NULL  ? summary->bound
                                    : !summary->ntlm_around ? summary->bound_unless_ntlm
                                                            : NULL;

    if (section != NULL) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "AMTU0057: %s line %d: \"GssapiConnectionBound On\" where AMTUnlockMech accepts Kerberos only: "
            "write Off; each caller must show a ticket with each request anyway, since a proxy's connections "
            "carry the requests of several callers",
            section->filename, section->line_num);
    }
}

/* A request of AMTUnlockMaxSystems names must pass whatever reads its body. */
static void check_body_limits(const summary_t *summary, server_rec *s)
{
    apr_off_t guard = summary->guarded ? summary->guarded : GUARD_BODY;
    apr_off_t needed =
        amtunlock_body_for(summary->max_systems ? summary->max_systems : AMTUNLOCK_DEFAULT_MAX_SYSTEMS);

    if (summary->max_body && summary->max_body < needed) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "AMTU0027: AMTUnlockMaxBody %" APR_OFF_T_FMT " may be too small for a request of "
                     "AMTUnlockMaxSystems names; %" APR_OFF_T_FMT " is enough",
                     summary->max_body, needed);
    }
    if (summary->guards == (GUARD_REFUSES | GUARD_READS) && guard < needed) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "AMTU0109: mod_security refuses bodies of more than %" APR_OFF_T_FMT
                     " bytes (413), and a request of AMTUnlockMaxSystems names may be larger; set "
                     "SecRequestBodyNoFilesLimit %" APR_OFF_T_FMT " in the virtual host of the service",
                     guard, needed);
    }
}

static int check_worker(const amtunlock_server_t *conf, server_rec *s, apr_pool_t *ptemp)
{
    const char *wrong, *name;
    uid_t uid = 0;
    gid_t gid = 0;

    if (!amtunlock_supervises(conf)) {
        return 1;
    }
    if (access(conf->worker_program, X_OK) != 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, APR_FROM_OS_ERROR(errno), s,
                     "AMTU0028: AMTUnlockWorkerProgram %s cannot be run; jobs will wait until a worker does",
                     conf->worker_program);
    }
    if (access(conf->worker_config, F_OK) != 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, APR_FROM_OS_ERROR(errno), s,
                     "AMTU0029: AMTUnlockWorkerConfig %s: the worker will not start without its settings",
                     conf->worker_config);
    }
    if (geteuid() == 0 &&
        (wrong = amtunlock_worker_identity(conf->worker_user, &uid, &gid, &name, ptemp)) != NULL) {
        ap_log_error(
            APLOG_MARK, APLOG_EMERG, 0, s,
            "AMTU0030: AMTUnlockWorkerUser %s: %s; or set AMTUnlockWorker Off and start the worker otherwise",
            conf->worker_user, wrong);
        return 0;
    }
    if (geteuid() == 0 && uid == ap_unixd_config.user_id) {
        ap_log_error(
            APLOG_MARK, APLOG_EMERG, 0, s,
            "AMTU0058: AMTUnlockWorkerUser %s is the user of httpd: whoever breaks into httpd could read all "
            "that the worker reads; make a user of its own for the worker",
            conf->worker_user);
        return 0;
    }
    return 1;
}

int amtunlock_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    amtunlock_server_t *conf = amtunlock_server(s);
    summary_t summary = {0};
    int good;

    (void)plog;
    summarize_tree(&summary, ap_conftree, ptemp);
    note_section(&summary, ap_conftree);
    good = check_redis(conf, &summary, s) & check_password(conf, pconf, s) &
           check_trusted_proxy(&summary, s) & check_worker(conf, s, ptemp);
    if (summary.serves) {
        check_callers(&summary, s);
        check_bound(&summary, s);
        check_body_limits(&summary, s);
    }
    amtunlock_section_order_check(s, ptemp);
    return good ? OK : HTTP_INTERNAL_SERVER_ERROR;
}
