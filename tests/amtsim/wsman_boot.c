/* SPDX-License-Identifier: Apache-2.0 */
/* The classes about booting: what may be asked for, what is asked for, and in which order. */
#include "wsman.h"

#include <stddef.h>
#include <string.h>

#define CONFIGURATION_ID "Intel(r) AMT: Boot Configuration 0"
#define SETTING_ID "Intel(r) AMT:BootSettingData 0"
#define SETTING_NAME "Intel(r) AMT Boot Configuration Settings"

/* ChangeBootOrder and SetBootConfigRole .ReturnValue */
enum { BOOT_OK = 0, BOOT_INVALID_REFERENCE = 4, BOOT_INVALID_PARAMETER = 5 };

/* ---- AMT_BootCapabilities ------------------------------------------------------------------------------ */

/* Alphabetical, as firmware writes them; value NULL: a text member, written where it belongs. */
static const struct {
    const char *name;
    bool value;
    const char *text;
} capabilities[] = {
    {"BIOSPause", false, NULL},
    {"BIOSReflash", true, NULL},
    {"BIOSSecureBoot", true, NULL},
    {"BIOSSetup", true, NULL},
    {"ConfigurationDataReset", false, NULL},
    {"ElementName", false, "Intel(r) AMT: Boot Capabilities"},
    {"ForceCDorDVDBoot", true, NULL},
    {"ForceDiagnosticBoot", false, NULL},
    {"ForceHardDriveBoot", true, NULL},
    {"ForceHardDriveSafeModeBoot", false, NULL},
    {"ForcePXEBoot", true, NULL},
    {"ForcedProgressEvents", true, NULL},
    {"IDER", true, NULL},
    {"InstanceID", false, "Intel(r) AMT:BootCapabilities 0"},
    {"KeyboardLock", true, NULL},
    {"PowerButtonLock", false, NULL},
    {"ResetButtonLock", false, NULL},
    {"SOL", true, NULL},
    {"SecureErase", false, NULL},
    {"SleepButtonLock", false, NULL},
    {"UserPasswordBypass", true, NULL},
    {"VerbosityQuiet", false, NULL},
    {"VerbosityScreenBlank", false, NULL},
    {"VerbosityVerbose", false, NULL},
};

static void write_capabilities(struct out *out, struct pc *pc, int n)
{
    (void)pc;
    (void)n;
    for (size_t i = 0; i < sizeof(capabilities) / sizeof(*capabilities); i++) {
        if (capabilities[i].text)
            out_text(out, capabilities[i].name, capabilities[i].text);
        else
            out_bool(out, capabilities[i].name, capabilities[i].value);
    }
}

static const char *capabilities_key(int n, const char *name)
{
    (void)n;
    (void)name;
    return "Intel(r) AMT:BootCapabilities 0";
}

/* ---- AMT_BootSettingData ------------------------------------------------------------------------------- */

enum kind {
    FLAG,       /* a boolean that may be set */
    FORBIDDEN,  /* a boolean that this platform cannot set: its capability is false */
    NUMBER8,    /* with its maximum */
    NUMBER16,   /* with its maximum */
    CONSTANT,   /* may be sent back, unchanged */
    READ_ONLY,  /* a Put that has it is refused */
    CLEARED,    /* OptionsCleared, read-only too */
    WRITE_ONLY, /* reads as "" */
};

#define AT(member) offsetof(struct boot_settings, member)

/* Alphabetical, as firmware writes them. */
static const struct member {
    const char *name;
    enum kind kind;
    size_t at;
    unsigned long max;
    const char *text;
} members[] = {
    {"BIOSLastStatus", READ_ONLY, 0, 0, "0"},
    {"BIOSLastStatus", READ_ONLY, 0, 0, "0"},
    {"BIOSPause", FORBIDDEN, AT(bios_pause), 0, NULL},
    {"BIOSSetup", FLAG, AT(bios_setup), 0, NULL},
    {"BootMediaIndex", NUMBER16, AT(boot_media_index), 0, NULL},
    {"BootguardStatus", READ_ONLY, 0, 0, "127"},
    {"ConfigurationDataReset", FORBIDDEN, AT(configuration_data_reset), 0, NULL},
    {"ElementName", CONSTANT, 0, 0, SETTING_NAME},
    {"EnforceSecureBoot", FLAG, AT(enforce_secure_boot), 0, NULL},
    {"FirmwareVerbosity", NUMBER8, AT(firmware_verbosity), 3, NULL},
    {"ForcedProgressEvents", FLAG, AT(forced_progress_events), 0, NULL},
    {"IDERBootDevice", NUMBER8, AT(ider_boot_device), 1, NULL},
    {"InstanceID", CONSTANT, 0, 0, SETTING_ID},
    {"LockKeyboard", FLAG, AT(lock_keyboard), 0, NULL},
    {"LockPowerButton", FORBIDDEN, AT(lock_power_button), 0, NULL},
    {"LockResetButton", FORBIDDEN, AT(lock_reset_button), 0, NULL},
    {"LockSleepButton", FORBIDDEN, AT(lock_sleep_button), 0, NULL},
    {"OptionsCleared", CLEARED, 0, 0, NULL},
    {"OwningEntity", CONSTANT, 0, 0, "Intel(r) AMT"},
    {"PlatformErase", FORBIDDEN, AT(platform_erase), 0, NULL},
    {"RPEEnabled", READ_ONLY, 0, 0, "false"},
    {"RSEPassword", WRITE_ONLY, 0, 0, ""},
    {"ReflashBIOS", FLAG, AT(reflash_bios), 0, NULL},
    {"SecureBootControlEnabled", READ_ONLY, 0, 0, "true"},
    {"SecureErase", FORBIDDEN, AT(secure_erase), 0, NULL},
    {"UEFIHTTPSBootEnabled", READ_ONLY, 0, 0, "false"},
    {"UEFILocalPBABootEnabled", READ_ONLY, 0, 0, "false"},
    {"UefiBootNumberOfParams", NUMBER16, AT(uefi_boot_number_of_params), 0, NULL},
    {"UseIDER", FLAG, AT(use_ider), 0, NULL},
    {"UseSOL", FLAG, AT(use_sol), 0, NULL},
    {"UseSafeMode", FORBIDDEN, AT(use_safe_mode), 0, NULL},
    {"UserPasswordBypass", FLAG, AT(user_password_bypass), 0, NULL},
    {"WinREBootEnabled", READ_ONLY, 0, 0, "false"},
};

static uint8_t *byte_of(struct boot_settings *settings, const struct member *member)
{
    return (uint8_t *)settings + member->at;
}

static unsigned long number_of(const struct boot_settings *settings, const struct member *member)
{
    const uint8_t *at = (const uint8_t *)settings + member->at;
    uint16_t wide;

    if (member->kind == NUMBER8)
        return *at;
    memcpy(&wide, at, sizeof(wide));
    return wide;
}

static void write_settings(struct out *out, struct pc *pc, int n)
{
    (void)n;
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        const struct member *member = &members[i];
        if (member->text)
            out_text(out, member->name, member->text);
        else if (member->kind == CLEARED)
            out_bool(out, member->name, pc->options_cleared);
        else if (member->kind == NUMBER8 || member->kind == NUMBER16)
            out_number(out, member->name, number_of(&pc->boot, member));
        else
            out_bool(out, member->name, *byte_of(&pc->boot, member));
    }
}

static const char *setting_key(int n, const char *name)
{
    (void)n;
    (void)name;
    return SETTING_ID;
}

static const struct soap_fault *read_flag(const struct member *member, const char *text, uint8_t *flag)
{
    bool yes = !strcmp(text, "true") || !strcmp(text, "1");

    if (!yes && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return &fault_representation;
    if (yes && member->kind == FORBIDDEN)
        return &fault_representation;
    *flag = yes;
    return NULL;
}

static const struct soap_fault *read_count(const struct member *member, const char *text, uint8_t *at)
{
    unsigned long value;
    uint16_t wide;

    if (!read_number(text, member->max, &value))
        return &fault_representation;
    wide = (uint16_t)value;
    if (member->kind == NUMBER8)
        *at = (uint8_t)value;
    else
        memcpy(at, &wide, sizeof(wide));
    return NULL;
}

static const struct soap_fault *read_member(const struct member *member, const char *text,
                                            struct boot_settings *settings)
{
    switch (member->kind) {
    case FLAG:
    case FORBIDDEN:
        return read_flag(member, text, byte_of(settings, member));
    case NUMBER8:
    case NUMBER16:
        return read_count(member, text, byte_of(settings, member));
    case CONSTANT:
        return strcmp(text, member->text) == 0 ? NULL : &fault_read_only;
    case WRITE_ONLY:
        return NULL;
    default:
        return &fault_read_only;
    }
}

static const struct member *find_member(const xmlNode *node, const char *uri)
{
    if (!node->ns || !xmlStrEqual(node->ns->href, (const xmlChar *)uri))
        return NULL;
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        if (xmlStrEqual(node->name, (const xmlChar *)members[i].name))
            return &members[i];
    }
    return NULL;
}

/* UseIDER and the others take the place of a boot source: firmware has either. */
static bool excludes_source(const struct boot_settings *settings)
{
    return settings->use_ider || settings->use_sol || settings->reflash_bios || settings->bios_setup ||
           settings->bios_pause;
}

static const struct soap_fault *put_settings(struct pc *pc, const xmlNode *instance, const char *uri)
{
    struct boot_settings settings = pc->boot;

    if (!pc_consented(pc))
        return &fault_denied;
    for (const xmlNode *node = instance->children; node; node = node->next) {
        if (node->type != XML_ELEMENT_NODE)
            continue;
        const struct member *member = find_member(node, uri);
        const char *text = soap_text(node);
        const struct soap_fault *fault =
            member && text ? read_member(member, text, &settings) : &fault_representation;
        if (fault)
            return fault;
    }
    if (pc->boot_source >= 0 && excludes_source(&settings))
        return &fault_representation;
    pc->boot = settings;
    pc->options_cleared = false;
    return NULL;
}

/* ---- CIM_BootConfigSetting, CIM_BootService, CIM_BootSourceSetting ------------------------------------- */

static void write_configuration(struct out *out, struct pc *pc, int n)
{
    (void)pc;
    (void)n;
    out_text(out, "ElementName", "Intel(r) AMT: Boot Configuration");
    out_text(out, "InstanceID", CONFIGURATION_ID);
}

static const char *configuration_key(int n, const char *name)
{
    (void)n;
    (void)name;
    return CONFIGURATION_ID;
}

static int source_by_name(const char *name)
{
    for (int n = 0; name && pc_boot_source(n); n++) {
        if (!strcmp(pc_boot_source(n), name))
            return n;
    }
    return -1;
}

/* No Source at all clears the choice. */
static const struct soap_fault *change_boot_order(struct call *call)
{
    const xmlNode *source = soap_child(call->input, call->uri, "Source");
    int chosen;

    if (!pc_consented(call->pc))
        return &fault_denied;
    if (!source || !xmlFirstElementChild((xmlNode *)source)) {
        call->pc->boot_source = -1;
        return return_value(call, BOOT_OK);
    }
    chosen = source_by_name(soap_reference(source, "InstanceID"));
    if (chosen < 0)
        return return_value(call, BOOT_INVALID_REFERENCE);
    if (excludes_source(&call->pc->boot))
        return return_value(call, BOOT_INVALID_PARAMETER);
    call->pc->boot_source = chosen;
    call->pc->options_cleared = false;
    return return_value(call, BOOT_OK);
}

static const struct method_entry configuration_methods[] = {
    {"ChangeBootOrder", change_boot_order, 0},
    {NULL, NULL, 0},
};

static void write_boot_service(struct out *out, struct pc *pc, int n)
{
    (void)pc;
    (void)n;
    out_text(out, "CreationClassName", "CIM_BootService");
    out_text(out, "ElementName", "Intel(r) AMT Boot Service");
    out_text(out, "EnabledState", "2");
    out_text(out, "Name", "Intel(r) AMT Boot Service");
    out_text(out, "OperationalStatus", "0");
    out_text(out, "RequestedState", "12");
    out_text(out, "SystemCreationClassName", "CIM_ComputerSystem");
    out_text(out, "SystemName", "Intel(r) AMT");
}

static const struct soap_fault *set_boot_config_role(struct call *call)
{
    const xmlNode *setting = soap_child(call->input, call->uri, "BootConfigSetting");
    const char *id = setting ? soap_reference(setting, "InstanceID") : NULL;
    unsigned long role;

    if (!pc_consented(call->pc))
        return &fault_denied;
    if (!id || strcmp(id, CONFIGURATION_ID) != 0)
        return return_value(call, BOOT_INVALID_REFERENCE);
    if (!call_number(call, "Role", &role) || (role != ROLE_NEXT_SINGLE_USE && role != ROLE_NOT_NEXT))
        return return_value(call, BOOT_INVALID_PARAMETER);
    call->pc->role = (unsigned)role;
    return return_value(call, BOOT_OK);
}

static const struct method_entry boot_service_methods[] = {
    {"SetBootConfigRole", set_boot_config_role, 0},
    {NULL, NULL, 0},
};

static void write_source(struct out *out, struct pc *pc, int n)
{
    static const char *const strings[] = {"CIM:Hard-Disk:1", "CIM:Network:1", "CIM:CD/DVD:1"};

    (void)pc;
    out_text(out, "ElementName", "Intel(r) AMT: Boot Source");
    out_text(out, "FailThroughSupported", "2");
    out_text(out, "InstanceID", pc_boot_source(n));
    out_text(out, "StructuredBootString", strings[n]);
}

static const char *source_key(int n, const char *name)
{
    (void)name;
    return pc_boot_source(n);
}

const struct wsman_class boot_classes[] = {
    {.name = "AMT_BootCapabilities",
     .base = BASE_AMT,
     .realms = REALM_REMOTE_CONTROL,
     .count = 1,
     .key_names = instance_keys,
     .key = capabilities_key,
     .write = write_capabilities},
    {.name = "AMT_BootSettingData",
     .base = BASE_AMT,
     .realms = REALM_REMOTE_CONTROL,
     .count = 1,
     .key_names = instance_keys,
     .key = setting_key,
     .write = write_settings,
     .put = put_settings},
    {.name = "CIM_BootConfigSetting",
     .base = BASE_CIM,
     .realms = REALM_REMOTE_CONTROL,
     .count = 1,
     .key_names = instance_keys,
     .key = configuration_key,
     .write = write_configuration,
     .methods = configuration_methods},
    {.name = "CIM_BootService",
     .base = BASE_CIM,
     .common = true,
     .realms = REALM_REMOTE_CONTROL,
     .count = 1,
     .key_names = service_keys,
     .service = "Intel(r) AMT Boot Service",
     .write = write_boot_service,
     .methods = boot_service_methods},
    {.name = "CIM_BootSourceSetting",
     .base = BASE_CIM,
     .realms = REALM_REMOTE_CONTROL,
     .count = 3,
     .key_names = instance_keys,
     .key = source_key,
     .write = write_source},
    {.name = NULL},
};
