/* SPDX-License-Identifier: Apache-2.0 */
/* AMT_RedirectionService: which sessions the device admits. */
#include "wsman.h"

#include "redirection.h"

#include <string.h>

#define SERVICE_NAME "Intel(r) AMT Redirection Service"

static void write_redirection(struct out *out, struct pc *pc, int n)
{
    (void)n;
    out_text(out, "CreationClassName", "AMT_RedirectionService");
    out_text(out, "ElementName", SERVICE_NAME);
    out_number(out, "EnabledState", pc->redirection);
    out_bool(out, "ListenerEnabled", pc->listener_enabled);
    out_text(out, "Name", SERVICE_NAME);
    out_text(out, "SystemCreationClassName", "CIM_ComputerSystem");
    out_text(out, "SystemName", "Intel(r) AMT");
}

/* Everything but ListenerEnabled must come back as it was read. */
static bool is_unchanged(const struct pc *pc, const char *name, const char *text)
{
    unsigned long state;

    if (!strcmp(name, "EnabledState"))
        return read_number(text, UINT32_MAX, &state) && state == pc->redirection;
    if (!strcmp(name, "CreationClassName"))
        return !strcmp(text, "AMT_RedirectionService");
    if (!strcmp(name, "ElementName") || !strcmp(name, "Name"))
        return !strcmp(text, SERVICE_NAME);
    if (!strcmp(name, "SystemCreationClassName"))
        return !strcmp(text, "CIM_ComputerSystem");
    return !strcmp(name, "SystemName") && !strcmp(text, "Intel(r) AMT");
}

static const struct soap_fault *put_redirection(struct pc *pc, const xmlNode *instance, const char *uri)
{
    const xmlNode *listener = soap_child(instance, uri, "ListenerEnabled");
    const char *value = listener ? soap_text(listener) : NULL;

    if (!value || (strcmp(value, "true") != 0 && strcmp(value, "false") != 0))
        return &fault_representation;
    for (const xmlNode *node = instance->children; node; node = node->next) {
        if (node->type != XML_ELEMENT_NODE || node == listener)
            continue;
        const char *text = soap_text(node);
        if (!text || !is_unchanged(pc, (const char *)node->name, text))
            return &fault_representation;
    }
    pc->listener_enabled = !strcmp(value, "true");
    redirection_changed(pc);
    return NULL;
}

static const struct soap_fault *request_state_change(struct call *call)
{
    unsigned long state;

    if (!call_number(call, "RequestedState", &state) || state < REDIRECTION_NONE ||
        state > (REDIRECTION_NONE | REDIRECTION_IDER | REDIRECTION_SOL))
        return return_value(call, 5);
    call->pc->redirection = (unsigned)state;
    redirection_changed(call->pc);
    return return_value(call, 0);
}

static const struct method_entry redirection_methods[] = {
    {"RequestStateChange", request_state_change, 0},
    {NULL, NULL, 0},
};

const struct wsman_class redirection_classes[] = {
    {.name = "AMT_RedirectionService",
     .base = BASE_AMT,
     .common = true,
     .realms = REALM_REDIRECTION,
     .count = 1,
     .key_names = service_keys,
     .service = SERVICE_NAME,
     .write = write_redirection,
     .put = put_redirection,
     .methods = redirection_methods},
    {.name = NULL},
};
