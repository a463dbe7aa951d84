/* SPDX-License-Identifier: Apache-2.0 */
/* A Location that names one of our handlers is ours from the first hook on.
 *
 * On a site that exists already, something of its own mostly answers for every path: a front controller's .htaccess in
 * the document root, "ProxyPass /", a RewriteRule or RedirectMatch of the server. They translate a name before a
 * handler is asked, so the site's answer would come from a path that the administrator gave to us. Such a name is
 * translated here, to no file, and is not looked for in storage: no file, no .htaccess and no <Directory> has a say. Nor
 * have redirects and rules of a <Location> or <If> around ours, which httpd applies later and to every path.
 */
#include "httpd/location_priv.h"

#include <string.h>

#include <apr_strings.h>
#include <http_core.h>
#include <http_request.h>

#include "httpd/config_priv.h"
#include "httpd/place_priv.h"

static const char *const location_handlers[] = {AMTUNLOCK_HANDLER, AMTUNLOCK_HANDLER_STATUS,
                                                AMTUNLOCK_HANDLER_METRICS, AMTUNLOCK_HANDLER_INTERFACE};

static const char *location_handler(const char *name)
{
    for (apr_size_t i = 0; name != NULL && i < sizeof(location_handlers) / sizeof(location_handlers[0]);
         i++) {
        if (strcmp(name, location_handlers[i]) == 0) {
            return location_handlers[i];
        }
    }
    return NULL;
}

/* Before storage is looked at, the configuration is the server's and its Locations'. What a forward proxy is asked for
 * is none of ours. */
static const char *location_configured_handler(request_rec *r)
{
    return r->proxyreq == PROXYREQ_NONE ? location_handler(amtunlock_configured_handler(r)) : NULL;
}

static int location_pre_translate(request_rec *r)
{
    return location_configured_handler(r) != NULL ? OK : DECLINED;
}

/* A name without a slash: what corrects spelling, or looks for the index of a folder, has nothing to begin with. */
static int location_translate(request_rec *r)
{
    const char *handler = location_configured_handler(r);

    if (handler == NULL) {
        return DECLINED;
    }
    r->filename = apr_pstrdup(r->pool, handler);
    return OK;
}

/* By now the configuration is the server's again, without Locations; nobody else translates to such a name. */
static int location_map_to_storage(request_rec *r)
{
    const char *handler = location_handler(r->filename);

    if (handler == NULL) {
        return DECLINED;
    }
    if (r->method_number == M_TRACE) { /* here httpd answers it by itself, before it asks who is there */
        (void)amtunlock_refuse_method(r, strcmp(handler, AMTUNLOCK_HANDLER) == 0 ? "POST" : "GET");
        return DONE;
    }
    return OK;
}

/* What redirects, rewrites or refuses methods by the configuration of a directory. The handlers say themselves which
 * methods they have. */
static const char *const location_movers[] = {"mod_alias.c", "mod_rewrite.c", "mod_allowmethods.c"};

/* post_perdir_config hook: the last walk is done, and authentication has not begun. In a copy, since httpd shares what
 * it has merged: the movers' configuration as if no section said anything. */
static int location_keep_place(request_rec *r)
{
    if (location_handler(r->filename) == NULL || location_configured_handler(r) == NULL) {
        return DECLINED;
    }
    r->per_dir_config =
        ap_merge_per_dir_configs(r->pool, r->per_dir_config, ap_create_per_dir_config(r->pool));
    for (apr_size_t i = 0; i < sizeof(location_movers) / sizeof(location_movers[0]); i++) {
        const module *mover = ap_find_linked_module(location_movers[i]);

        if (mover != NULL) {
            ap_set_module_config(r->per_dir_config, mover,
                                 ap_get_module_config(r->server->lookup_defaults, mover));
        }
    }
    return DECLINED;
}

/* access_checker hook: before Require is asked. "Satisfy any" of a site around would let in whoever has a good address,
 * and ask nobody who he is; a refusal here leaves it to Require, and to authentication. */
static int location_ask_require(request_rec *r)
{
    return ap_satisfies(r) == SATISFY_ANY && location_configured_handler(r) != NULL ? HTTP_FORBIDDEN
                                                                                    : DECLINED;
}

/* fixups hook, behind every other. What has chosen another handler there (a script, an application server's module) chose
 * it for all paths. */
static int location_keep_handler(request_rec *r)
{
    const char *handler = location_configured_handler(r);

    if (handler != NULL && location_handler(r->filename) != NULL) {
        r->handler = handler;
    }
    return DECLINED;
}

void amtunlock_location_register_hooks(void)
{
    ap_hook_pre_translate_name(location_pre_translate, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(location_translate, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_map_to_storage(location_map_to_storage, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_perdir_config(location_keep_place, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_access_checker(location_ask_require, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(location_keep_handler, NULL, NULL, APR_HOOK_REALLY_LAST);
}
