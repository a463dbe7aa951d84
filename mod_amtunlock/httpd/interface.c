/* SPDX-License-Identifier: Apache-2.0 */
/* The handler "amtunlock-interface": the service's interface as MOF and as WSDL.
 *
 * The texts are part of the module (interface.S), so that they describe the version that answers. They do not
 * depend on the installation.
 */
#include "httpd/pages_priv.h"

#include <string.h>

#include <http_protocol.h>

#include "httpd/config_priv.h"
#include "httpd/place_priv.h"

extern const char amtunlock_interface_mof[];
extern const char amtunlock_interface_wsdl[];

static const struct {
    const char *name; /* last part of the path */
    const char *type;
    const char *text;
} documents[] = {
    {"AMT_RemoteEncryptionService.mof", "text/plain;charset=UTF-8", amtunlock_interface_mof},
    {"AMT_RemoteEncryptionService.wsdl", "text/xml;charset=UTF-8", amtunlock_interface_wsdl},
};

int amtunlock_interface_handler(request_rec *r)
{
    const char *slash = strrchr(r->uri, '/');
    int status = amtunlock_place(r, AMTUNLOCK_HANDLER_INTERFACE);

    if (status != OK) {
        return status;
    }
    if (r->method_number != M_GET) {
        return amtunlock_refuse_method(r, "GET");
    }
    for (size_t i = 0; slash != NULL && i < sizeof(documents) / sizeof(documents[0]); i++) {
        if (strcmp(slash + 1, documents[i].name) == 0) {
            ap_set_content_type(r, documents[i].type);
            ap_set_content_length(r, (apr_off_t)strlen(documents[i].text));
            ap_rputs(documents[i].text, r);
            return OK;
        }
    }
    return HTTP_NOT_FOUND;
}
