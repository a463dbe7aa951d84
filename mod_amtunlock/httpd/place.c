/* SPDX-License-Identifier: Apache-2.0 */
/* Who may write a .htaccess file is not asked who may unlock PCs. With one he could set the handler, choose another
 * AuthType, another keytab, a file of passwords or a list of Require, and be any caller. So a request on which a
 * .htaccess file had a say is not served at all, whatever it says. The same holds for a request that something inside
 * the server made of another one: its headers, variables and user are what that other place left.
 */
#include "httpd/place_priv.h"

#include <string.h>

#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "httpd/config_priv.h"
#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

/* The folder of a .htaccess file that was read for this request; NULL: there was none. */
static const char *overriding_folder(const request_rec *r)
{
    for (const struct htaccess_result *each = r->htaccess; each != NULL; each = each->next) {
        if (each->htaccess != NULL) {
            return each->dir;
        }
    }
    return NULL;
}

int amtunlock_place(request_rec *r, const char *handler)
{
    const char *folder = overriding_folder(r);

    if (r->handler == NULL || strcmp(r->handler, handler) != 0) {
        return DECLINED;
    }
    if (folder != NULL) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            "AMTU0047: refused: a .htaccess file of %s has a say here, and \"SetHandler %s\" is for the "
            "server's own configuration; put it into a <Location>, or set AllowOverride None",
            folder, handler);
        return HTTP_FORBIDDEN;
    }
    if (!ap_is_initial_req(r)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "AMTU0048: refused: \"%s\" serves what a client asked for, not what was redirected or "
                      "included inside the server",
                      handler);
        return HTTP_FORBIDDEN;
    }
    if (!amtunlock_sets_handler(r, handler)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            "AMTU0049: refused: the handler \"%s\" was not set by SetHandler, but by a file's name or "
            "type, or by a rule",
            handler);
        return HTTP_FORBIDDEN;
    }
    return OK;
}

int amtunlock_refuse_method(request_rec *r, const char *allow)
{
    r->status = HTTP_METHOD_NOT_ALLOWED;
    apr_table_setn(r->headers_out, "Allow", allow);
    ap_set_content_type(r, "text/plain; charset=utf-8");
    ap_rprintf(r, "The method must be %s.\n", allow);
    return OK;
}
