/* SPDX-License-Identifier: Apache-2.0 */
/* IPS_OptInService: does the PC's user agree? */
#include "wsman.h"

static void write_opt_in(struct out *out, struct pc *pc, int n)
{
    (void)n;
    out_text(out, "CanModifyOptInPolicy", pc->opt_in_required ? "0" : "1");
    out_text(out, "CreationClassName", "IPS_OptInService");
    out_text(out, "ElementName", "Intel(r) AMT OptIn Service");
    out_text(out, "Name", "Intel(r) AMT OptIn Service");
    out_text(out, "OptInCodeTimeout", "120");
    out_text(out, "OptInDisplayTimeout", "300");
    out_number(out, "OptInRequired", pc->opt_in_required);
    out_number(out, "OptInState", pc->opt_in_state);
    out_text(out, "SystemCreationClassName", "CIM_ComputerSystem");
    out_text(out, "SystemName", "Intel(r) AMT");
}

static const struct soap_fault *start(struct call *call)
{
    return return_value(call, pc_opt_in_start(call->pc));
}

static const struct soap_fault *send_code(struct call *call)
{
    const char *code = call_text(call, "OptInCode");

    return code ? return_value(call, pc_opt_in_code(call->pc, code)) : &fault_schema;
}

static const struct soap_fault *cancel(struct call *call)
{
    return return_value(call, pc_opt_in_cancel(call->pc));
}

static const struct method_entry methods[] = {
    {"StartOptIn", start, 0},
    {"SendOptInCode", send_code, 0},
    {"CancelOptIn", cancel, 0},
    {NULL, NULL, 0},
};

const struct wsman_class consent_classes[] = {
    {.name = "IPS_OptInService",
     .base = BASE_IPS,
     .common = true,
     .realms = REALM_REMOTE_CONTROL | REALM_REDIRECTION | REALM_GENERAL_INFO,
     .count = 1,
     .key_names = service_keys,
     .service = "Intel(r) AMT OptIn Service",
     .write = write_opt_in,
     .methods = methods},
    {.name = NULL},
};
