/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/scopes_priv.h"

#include <string.h>
#include <unistd.h>

#include <apr_atomic.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <http_main.h>
#include <util_cfgtree.h>

#include "base/digest.h"
#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

#define DIGITS 32 /* of a directive's digest */

/* Of this reading of the configuration. */
static struct {
    apr_array_header_t *digests; /* const char *; NULL: not begun */
    const char *service;
    apr_time_t read_at;
} scopes;

/* Of this child: 1 while nobody has to tell Redis. */
static apr_uint32_t is_published;

static const char *digest_of(apr_pool_t *pool, const char *text, int digits)
{
    char digest[DIGEST_DIGITS + 1];

    return digest_sha256_hex(text, strlen(text), digest) ? apr_pstrndup(pool, digest, (apr_size_t)digits)
                                                         : NULL;
}

/* ---- names for places in the configuration ---------------------------------------------------------- */

/* The one among these lines; "": none. */
static const char *server_name(const ap_directive_t *line)
{
    const char *name = "";

    for (; line != NULL; line = line->next) {
        name = strcasecmp(line->directive, "ServerName") == 0 ? line->args : name;
    }
    return name;
}

/* This httpd among those that share a Redis, over restarts: its name and ServerRoot. A container that is made anew has
 * another host name, and is the same httpd if it says so. */
static const char *service_name(apr_pool_t *pool)
{
    char host[256] = "";
    const char *name = server_name(ap_conftree);

    /* Any host has such a name. */
    if (!*name || strncasecmp(name, "localhost", strlen("localhost")) == 0 || strncmp(name, "127.", 4) == 0) {
        (void)gethostname(host, sizeof(host) - 1);
        name = host;
    }
    return digest_of(pool, apr_pstrcat(pool, name, " ", ap_server_root, NULL), DIGITS / 2);
}

/* The sections around a line, virtual hosts with their name. No line numbers, which any edit changes. */
static const char *place_of(apr_pool_t *pool, const ap_directive_t *line)
{
    const char *place = "";

    for (const ap_directive_t *around = line->parent; around != NULL; around = around->parent) {
        place = apr_pstrcat(pool, around->directive, " ", around->args, " ", server_name(around->first_child),
                            "\n", place, NULL);
    }
    return place;
}

/* The sections below these lines that have scopes of their own. */
/* NOLINTNEXTLINE(misc-no-recursion): the depth is that of sections in sections */
static const char *places_below(apr_pool_t *pool, const ap_directive_t *line)
{
    const char *places = "";

    for (; line != NULL; line = line->next) {
        const ap_directive_t *inner = line->first_child;

        places = apr_pstrcat(pool, places, places_below(pool, inner), NULL);
        while (inner != NULL && strcasecmp(inner->directive, "AMTUnlockScope") != 0) {
            inner = inner->next;
        }
        if (inner != NULL) {
            places = apr_pstrcat(pool, places, place_of(pool, inner), "\n", NULL);
        }
    }
    return places;
}

/* Where a directive holds. Scopes of a section replace those of the server around it; so for one of a server, which
 * sections have some. */
static const char *reach_of(cmd_parms *cmd)
{
    const ap_directive_t *line = cmd->directive, *first = ap_conftree;

    if (line->parent != NULL) {
        first = line->parent->first_child;
    }
    return apr_pstrcat(cmd->pool, place_of(cmd->pool, line), "\n",
                       cmd->path == NULL ? places_below(cmd->pool, first) : "", NULL);
}

/* ---- publishing ------------------------------------------------------------------------------------- */

static int begin_reading(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    scopes.digests = apr_array_make(pconf, 8, sizeof(const char *));
    scopes.service = NULL;
    scopes.read_at = apr_time_now();
    return OK;
}

/* The same words in another section, or in one of another virtual host, are another directive. */
const char *amtunlock_scopes_note(cmd_parms *cmd, const char *group, const char *expression)
{
    const char *digest = digest_of(
        cmd->pool, apr_pstrcat(cmd->pool, reach_of(cmd), "\n", group, " ", expression, NULL), DIGITS);

    if (scopes.service == NULL) {
        scopes.service = service_name(cmd->pool);
    }
    if (digest == NULL || scopes.service == NULL) {
        return NULL;
    }
    APR_ARRAY_PUSH(scopes.digests, const char *) = digest;
    return apr_pstrcat(cmd->pool, group, " ", scopes.service, "/", digest, NULL);
}

/* JOBS_ALREADY: a child of a newer reading has told it. */
void amtunlock_scopes_publish(server_rec *s, apr_pool_t *pool)
{
    jobs_pool_t *jobs = amtunlock_server(s)->jobs;
    jobs_result_t result;

    if (jobs == NULL || apr_atomic_xchg32(&is_published, 1)) {
        return;
    }
    if (scopes.service == NULL) { /* no directive is left; still in child_init */
        scopes.service = service_name(s->process->pool);
    }
    result = jobs_publish_scopes(jobs, scopes.service, scopes.read_at, scopes.digests, pool);
    if (result.outcome != JOBS_OK && result.outcome != JOBS_ALREADY) {
        apr_atomic_set32(&is_published, 0);
        ap_log_error(
            APLOG_MARK, APLOG_INFO, 0, s,
            "AMTU0108: Redis was not told which AMTUnlockScope there are: %s; the next request tries again",
            result.text);
    }
}

void amtunlock_scopes_register_hooks(void)
{
    ap_hook_pre_config(begin_reading, NULL, NULL, APR_HOOK_MIDDLE);
}
