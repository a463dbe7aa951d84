/* SPDX-License-Identifier: Apache-2.0 */
/* AMT_AuthorizationService: who may do what. Reading only: nobody is added to a simulated device. */
#include "wsman.h"

#define SERVICE_NAME "Intel(r) AMT Authorization Service"
#define USER_HANDLE 1U
#define INVALID_HANDLE 0x805U
#define ACCESS_FROM_NETWORK 1U

static void write_authorization(struct out *out, struct pc *pc, int n)
{
    (void)pc;
    (void)n;
    out_text(out, "AllowHttpQopAuthOnly", "1");
    write_service(out, "AMT_AuthorizationService", SERVICE_NAME, "5");
}

static const struct soap_fault *enumerate_entries(struct call *call)
{
    out_number(&call->out, "TotalCount", 1);
    out_number(&call->out, "HandlesCount", 1);
    out_number(&call->out, "Handles", USER_HANDLE);
    return return_value(call, 0);
}

static void write_realms(struct out *out, unsigned long realms)
{
    for (unsigned long realm = 0; realm < 32; realm++) {
        if (realms & REALM(realm))
            out_number(out, "Realms", realm);
    }
}

static const struct soap_fault *get_entry(struct call *call)
{
    struct account account;
    unsigned long handle;

    if (!call_number(call, "Handle", &handle))
        return &fault_schema;
    if (handle != USER_HANDLE || !pc_account(call->pc, PC_USER, &account))
        return return_value(call, INVALID_HANDLE);
    out_text(&call->out, "DigestUsername", account.name);
    out_number(&call->out, "AccessPermission", ACCESS_FROM_NETWORK);
    write_realms(&call->out, account.realms);
    return return_value(call, 0);
}

static const struct soap_fault *get_enabled(struct call *call)
{
    unsigned long handle;

    if (!call_number(call, "Handle", &handle))
        return &fault_schema;
    if (handle != USER_HANDLE)
        return return_value(call, INVALID_HANDLE);
    out_bool(&call->out, "Enabled", true);
    return return_value(call, 0);
}

static const struct soap_fault *get_admin_entry(struct call *call)
{
    out_text(&call->out, "Username", PC_ADMINISTRATOR);
    return return_value(call, 0);
}

static const struct soap_fault *get_admin_status(struct call *call)
{
    out_bool(&call->out, "IsDefault", false);
    return return_value(call, 0);
}

static const struct method_entry methods[] = {
    {"EnumerateUserAclEntries", enumerate_entries, REALM_ACL},
    {"GetUserAclEntryEx", get_entry, REALM_ACL},
    {"GetAclEnabledState", get_enabled, REALM_ACL},
    {"GetAdminAclEntry", get_admin_entry, REALM_ADMINISTRATION},
    {"GetAdminAclEntryStatus", get_admin_status, 0},
    {"GetAdminNetAclEntryStatus", get_admin_status, 0},
    {NULL, NULL, 0},
};

const struct wsman_class authorization_classes[] = {
    {.name = "AMT_AuthorizationService",
     .base = BASE_AMT,
     .common = true,
     .realms = REALM_GENERAL_INFO,
     .count = 1,
     .key_names = service_keys,
     .service = SERVICE_NAME,
     .write = write_authorization,
     .methods = methods},
    {.name = NULL},
};
