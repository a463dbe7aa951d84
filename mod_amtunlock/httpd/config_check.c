/* SPDX-License-Identifier: Apache-2.0 */
/* What takes more than one directive to judge. Runs in check_config, so that `httpd -t` says it: what cannot
 * work is an error, what is probably not meant is a warning with what to write instead. */
#include "httpd/mod_amtunlock_priv.h"

#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <util_cfgtree.h>

#include "httpd/directives_priv.h"

APLOG_USE_MODULE(amtunlock);

/* What the configuration as a whole says, wherever it says it. */
typedef struct {
    int serves;                  /* SetHandler amtunlock */
    int pages;                   /* SetHandler amtunlock-status or -metrics */
    int scopes;                  /* AMTUnlockScope */
    int publishes;               /* GssapiPublishMech On */
    int proxies;                 /* AMTUnlockTrustedProxy */
    int max_systems;             /* the largest AMTUnlockMaxSystems */
    apr_off_t max_body;          /* the smallest AMTUnlockMaxBody; 0: none */
    const ap_directive_t *mixed; /* a section with both a trusted proxy and an AuthType */
    int in_section_proxy, in_section_auth;
} facts_t;

/* ---- reading the configuration tree ----------------------------------------------------------------- */

static void note_handler(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;
    const char *handler = ap_getword_conf(pool, &args);

    facts->serves |= strcmp(handler, AMTUNLOCK_HANDLER) == 0;
    facts->pages |=
        strcmp(handler, AMTUNLOCK_HANDLER_STATUS) == 0 || strcmp(handler, AMTUNLOCK_HANDLER_METRICS) == 0;
}

static void note_scope(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    (void)line;
    (void)pool;
    facts->scopes = 1;
}

static void note_publish(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;

    facts->publishes |= strcasecmp(ap_getword_conf(pool, &args), "On") == 0;
}

static void note_proxy(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    (void)line;
    (void)pool;
    facts->proxies = facts->in_section_proxy = 1;
}

static void note_auth_type(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;

    facts->in_section_auth |= strcasecmp(ap_getword_conf(pool, &args), "None") != 0;
}

static void note_max_systems(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;
    int systems = (int)apr_atoi64(ap_getword_conf(pool, &args));

    facts->max_systems = systems > facts->max_systems ? systems : facts->max_systems;
}

static void note_max_body(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    const char *args = line->args;
    apr_off_t body = (apr_off_t)apr_atoi64(ap_getword_conf(pool, &args));

    facts->max_body = !facts->max_body || body < facts->max_body ? body : facts->max_body;
}

static const struct {
    const char *directive;
    void (*note)(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool);
} notes[] = {
    {"SetHandler", note_handler},
    {"AddHandler", note_handler},
    {"AMTUnlockScope", note_scope},
    {"GssapiPublishMech", note_publish},
    {"AMTUnlockTrustedProxy", note_proxy},
    {"AuthType", note_auth_type},
    {"AMTUnlockMaxSystems", note_max_systems},
    {"AMTUnlockMaxBody", note_max_body},
};

static void read_line(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
        if (strcasecmp(line->directive, notes[i].directive) == 0) {
            notes[i].note(facts, line, pool);
        }
    }
}

/* Depth is the configuration's own: sections in sections. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void read_tree(facts_t *facts, const ap_directive_t *line, apr_pool_t *pool)
{
    for (; line != NULL; line = line->next) {
        if (line->first_child != NULL) {
            facts->in_section_proxy = facts->in_section_auth = 0;
            read_tree(facts, line->first_child, pool);
            if (facts->in_section_proxy && facts->in_section_auth) {
                facts->mixed = line;
            }
            facts->in_section_proxy = facts->in_section_auth = 0;
        }
        else {
            read_line(facts, line, pool);
        }
    }
}

/* ---- checks ----------------------------------------------------------------------------------------- */

static int check_redis(const amtunlock_server_t *conf, const facts_t *facts, server_rec *s)
{
    if (conf->redis_address == NULL && (facts->serves || facts->pages)) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "AMTU0020: a handler of mod_amtunlock is set, but no AMTUnlockRedis says where the "
                     "job state is kept");
        return 0;
    }
    return 1;
}

/* The one secret of the web side: gone from memory as soon as the configuration is. */
static apr_status_t wipe_password(void *password)
{
    explicit_bzero(password, strlen(password));
    return APR_SUCCESS;
}

/* Read here, as the user who starts httpd; the children never need the file. */
static int check_password(amtunlock_server_t *conf, apr_pool_t *pconf, server_rec *s)
{
    int dry_run = geteuid() != 0 && ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
    const char *wrong;

    if (conf->password_file == NULL) {
        return 1;
    }
    wrong = jobs_redis_read_password(conf->password_file, &conf->redis.password, pconf);
    if (wrong == NULL) {
        apr_pool_cleanup_register(pconf, conf->redis.password, wipe_password, apr_pool_cleanup_null);
        return 1;
    }
    ap_log_error(APLOG_MARK, dry_run ? APLOG_WARNING : APLOG_EMERG, 0, s,
                 "AMTU0021: AMTUnlockRedis password-file: %s%s", wrong,
                 dry_run ? " (this test does not run as root; the server may)" : "");
    return dry_run;
}

static void check_who_may(const facts_t *facts, server_rec *s)
{
    int gssapi = ap_find_linked_module("mod_auth_gssapi.c") != NULL;

    if (!facts->scopes) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "AMTU0022: no AMTUnlockScope: nobody may unlock anything; every name will be \"not available\"");
    }
    if (!gssapi && !facts->proxies) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "AMTU0023: mod_auth_gssapi is not loaded and there is no AMTUnlockTrustedProxy: no caller can be "
            "accepted");
    }
    if (gssapi && !facts->publishes && !facts->proxies) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "AMTU0024: no \"GssapiPublishMech On\": every caller will be denied, because how it "
                     "was authenticated "
                     "is not known; put it beside \"AuthType GSSAPI\"");
    }
}

static int check_proxy(const facts_t *facts, server_rec *s)
{
    if (facts->mixed != NULL) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, s,
            "AMTU0025: %s line %d: AMTUnlockTrustedProxy has no effect beside an AuthType; give the proxy a "
            "Location of its own",
            facts->mixed->filename, facts->mixed->line_num);
    }
    if (facts->proxies && ap_find_linked_module("mod_ssl.c") == NULL) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "AMTU0026: AMTUnlockTrustedProxy knows the proxy by its client certificate; mod_ssl "
                     "is not loaded");
        return 0;
    }
    return 1;
}

static void check_body(const facts_t *facts, server_rec *s)
{
    apr_off_t needed =
        amtunlock_body_for(facts->max_systems ? facts->max_systems : AMTUNLOCK_DEFAULT_MAX_SYSTEMS);

    if (facts->max_body && facts->max_body < needed) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "AMTU0027: AMTUnlockMaxBody %" APR_OFF_T_FMT
                     " may be too small for a request of AMTUnlockMaxSystems "
                     "names; %" APR_OFF_T_FMT " is enough",
                     facts->max_body, needed);
    }
}

static int check_worker(const amtunlock_server_t *conf, server_rec *s, apr_pool_t *ptemp)
{
    const char *wrong, *name;
    uid_t uid;
    gid_t gid;

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
    return 1;
}

int amtunlock_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    amtunlock_server_t *conf = amtunlock_server(s);
    facts_t facts = {0};
    int good;

    (void)plog;
    read_tree(&facts, ap_conftree, ptemp);
    good = check_redis(conf, &facts, s) & check_password(conf, pconf, s) & check_proxy(&facts, s) &
           check_worker(conf, s, ptemp);
    if (facts.serves) {
        check_who_may(&facts, s);
        check_body(&facts, s);
    }
    return good ? OK : HTTP_INTERNAL_SERVER_ERROR;
}
