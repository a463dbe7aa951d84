/* SPDX-License-Identifier: Apache-2.0 */
/* The classes about power. */
#include "wsman.h"

#include <string.h>

#define SERVICE_NAME "Intel(r) AMT Power Management Service"

static const char *const system_names[] = {"Intel(r) AMT", "ManagedSystem"};

static void write_available(struct out *out, const struct pc *pc)
{
    for (const int *state = pc_power_offered(pc); *state; state++)
        out_number(out, "AvailableRequestedPowerStates", (unsigned long)*state);
}

static void write_associated(struct out *out, struct pc *pc, int n)
{
    static const struct selector service[] = {{"CreationClassName", "CIM_PowerManagementService"},
                                              {"Name", SERVICE_NAME},
                                              {"SystemCreationClassName", "CIM_ComputerSystem"},
                                              {"SystemName", "Intel(r) AMT"}};
    static const struct selector host[] = {{"CreationClassName", "CIM_ComputerSystem"},
                                           {"Name", "ManagedSystem"}};

    (void)n;
    write_available(out, pc);
    out_number(out, "PowerState", pc->power);
    out_open(out, "ServiceProvided");
    out_reference(out->xml, BASE_CIM "CIM_PowerManagementService", service, 4);
    out_close(out);
    out_open(out, "UserOfService");
    out_reference(out->xml, BASE_CIM "CIM_ComputerSystem", host, 2);
    out_close(out);
    pc_power_was_read(pc);
}

static void write_management(struct out *out, struct pc *pc, int n)
{
    (void)pc;
    (void)n;
    write_service(out, "CIM_PowerManagementService", SERVICE_NAME, "5");
}

/* ManagedElement must mean the host: a request to switch the AMT device itself makes no sense. */
static bool means_the_host(const struct call *call)
{
    const xmlNode *element = soap_child(call->input, call->uri, "ManagedElement");
    const char *name = element ? soap_reference(element, "Name") : NULL;

    return name && !strcmp(name, "ManagedSystem");
}

static const struct soap_fault *request_power_state_change(struct call *call)
{
    unsigned long state;
    bool valid = call_number(call, "PowerState", &state) && state < 1000;
    enum power_result result =
        pc_request_power(call->pc, valid ? (int)state : 0, valid && means_the_host(call));

    call->drop = pc_has(call->pc, FAULT_POWER_LOST);
    return return_value(call, result);
}

static const struct method_entry management_methods[] = {
    {"RequestPowerStateChange", request_power_state_change, 0},
    {NULL, NULL, 0},
};

static void write_numbers(struct out *out, const char *name, const int *values)
{
    for (; *values; values++)
        out_number(out, name, (unsigned long)*values);
}

static void write_capabilities(struct out *out, struct pc *pc, int n)
{
    static const int changes[] = {2, 3, 4, 7, 8, 0};
    static const int states[] = {5, 8, 2, 10, 11, 12, 14, 0};

    (void)pc;
    (void)n;
    out_text(out, "ElementName", "Power Management Capabilities");
    out_text(out, "InstanceID", "Intel(r) AMT:PowerManagementCapabilities 0");
    out_text(out, "OtherPowerChangeCapabilities", "");
    write_numbers(out, "PowerChangeCapabilities", changes);
    write_numbers(out, "PowerStatesSupported", states);
    write_numbers(out, "RequestedPowerStatesSupported", states);
}

static const char *capabilities_key(int n, const char *name)
{
    (void)n;
    (void)name;
    return "Intel(r) AMT:PowerManagementCapabilities 0";
}

static const char *const system_keys[] = {"CreationClassName", "Name", NULL};

static const char *system_key(int n, const char *name)
{
    return strcmp(name, "Name") == 0 ? system_names[n] : "CIM_ComputerSystem";
}

static void write_system(struct out *out, struct pc *pc, int n)
{
    bool enabled = n == 0 || pc->power == POWER_ON;

    out_text(out, "CreationClassName", "CIM_ComputerSystem");
    out_text(out, "ElementName", n == 0 ? "Intel(r) AMT Subsystem" : "Managed System");
    out_text(out, "EnabledState", enabled ? "2" : "3");
    out_text(out, "Name", system_names[n]);
    out_text(out, "NameFormat", n == 0 ? "Other" : "IP");
    out_text(out, "RequestedState", "12");
}

static void write_ips_power(struct out *out, struct pc *pc, int n)
{
    (void)n;
    write_service(out, "IPS_PowerManagementService", SERVICE_NAME, "5");
    if (pc->power == POWER_ON) /* firmware leaves it out while the host is off */
        out_text(out, "OSPowerSavingState", pc->stage == STAGE_UP && pc_has(pc, FAULT_STANDBY) ? "3" : "2");
}

static const struct soap_fault *request_os_power_saving(struct call *call)
{
    unsigned long state;

    if (!call_number(call, "OSPowerSavingState", &state) || state < 2 || state > 3)
        return return_value(call, RESULT_INVALID_PARAMETER);
    return return_value(call, call->pc->stage == STAGE_UP ? RESULT_OK : RESULT_NOT_READY);
}

static const struct method_entry ips_power_methods[] = {
    {"RequestOSPowerSavingStateChange", request_os_power_saving, 0},
    {NULL, NULL, 0},
};

const struct wsman_class power_classes[] = {
    {.name = "CIM_AssociatedPowerManagementService",
     .base = BASE_CIM,
     .common = true,
     .realms = REALM_REMOTE_CONTROL | REALM_GENERAL_INFO,
     .count = 1,
     .write = write_associated},
    {.name = "CIM_ServiceAvailableToElement",
     .base = BASE_CIM,
     .instances = "CIM_AssociatedPowerManagementService",
     .common = true,
     .realms = REALM_REMOTE_CONTROL | REALM_GENERAL_INFO,
     .count = 1,
     .write = write_associated},
    {.name = "CIM_PowerManagementService",
     .base = BASE_CIM,
     .common = true,
     .realms = REALM_REMOTE_CONTROL,
     .count = 1,
     .key_names = service_keys,
     .service = SERVICE_NAME,
     .write = write_management,
     .methods = management_methods},
    {.name = "CIM_PowerManagementCapabilities",
     .base = BASE_CIM,
     .realms = REALM_REMOTE_CONTROL,
     .count = 1,
     .key_names = instance_keys,
     .key = capabilities_key,
     .write = write_capabilities},
    {.name = "CIM_ComputerSystem",
     .base = BASE_CIM,
     .common = true,
     .realms = REALM_REMOTE_CONTROL | REALM_GENERAL_INFO,
     .count = 2,
     .key_names = system_keys,
     .key = system_key,
     .write = write_system},
    {.name = "IPS_PowerManagementService",
     .base = BASE_IPS,
     .common = true,
     .realms = REALM_REMOTE_CONTROL,
     .count = 1,
     .key_names = service_keys,
     .service = SERVICE_NAME,
     .write = write_ips_power,
     .methods = ips_power_methods},
    {.name = NULL},
};
