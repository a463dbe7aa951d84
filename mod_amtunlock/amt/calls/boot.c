/* SPDX-License-Identifier: Apache-2.0 */
/* What the PC will do at its next start: reading the boot settings, setting them for an unlock, and putting
 * them back to a plain boot.
 *
 * Firmware refuses a Put that holds a member it calls read-only or does not have, so what is written is what
 * was read, in its order, without the read-only members, and with every override off but our own.
 */
#include <apr_strings.h>
#include <string.h>

#include "amt/calls/instance_priv.h"
#include "amt/calls/read_priv.h"

#define BOOT_SETTING_DATA WSMAN_URI_AMT_CLASS "AMT_BootSettingData"
#define BOOT_CAPABILITIES WSMAN_URI_AMT_CLASS "AMT_BootCapabilities"
#define BOOT_CONFIG_SETTING WSMAN_URI_CIM_CLASS "CIM_BootConfigSetting"
#define BOOT_SERVICE WSMAN_URI_CIM_CLASS "CIM_BootService"

typedef enum {
    READ_ONLY, /* left out of a Put */
    OVERRIDE,  /* set to `off`; anything else changes the next start */
    DETAIL     /* set to `off`; says nothing by itself */
} member_e;

/* The members that a Put does not give back as they are. The four that erase or reflash are off whatever
 * came. */
static const struct {
    const char *name;
    member_e kind;
    const char *off;
} members[] = {
    {"BIOSLastStatus", READ_ONLY, NULL},
    {"BIOSPause", OVERRIDE, "false"},
    {"BIOSSetup", OVERRIDE, "false"},
    {"BootMediaIndex", DETAIL, "0"},
    {"BootguardStatus", READ_ONLY, NULL},
    {"ConfigurationDataReset", OVERRIDE, "false"},
    {"FirmwareVerbosity", OVERRIDE, "0"},
    {"ForcedProgressEvents", OVERRIDE, "false"},
    {"IDERBootDevice", DETAIL, "0"},
    {"LockKeyboard", OVERRIDE, "false"},
    {"LockPowerButton", OVERRIDE, "false"},
    {"LockResetButton", OVERRIDE, "false"},
    {"LockSleepButton", OVERRIDE, "false"},
    {"OptionsCleared", READ_ONLY, NULL},
    {"PlatformErase", OVERRIDE, "false"},
    {"RPEEnabled", READ_ONLY, NULL},
    {"RSEPassword", READ_ONLY, NULL}, /* write-only: it is read as empty, and must not be written so */
    {"ReflashBIOS", OVERRIDE, "false"},
    {"SecureBootControlEnabled", READ_ONLY, NULL},
    {"SecureErase", OVERRIDE, "false"},
    {"UEFIHTTPSBootEnabled", READ_ONLY, NULL},
    {"UEFILocalPBABootEnabled", READ_ONLY, NULL},
    {"UefiBootNumberOfParams", OVERRIDE, "0"},
    {"UefiBootParametersArray", READ_ONLY, NULL},
    {"UseIDER", OVERRIDE, "false"},
    {"UseSOL", OVERRIDE, "false"},
    {"UseSafeMode", OVERRIDE, "false"},
    {"UserPasswordBypass", OVERRIDE, "false"},
    {"WinREBootEnabled", READ_ONLY, NULL},
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

/* ---- reading --------------------------------------------------------------------------------- */

static int find_member(const char *name)
{
    for (int i = 0; i < MEMBERS; i++) {
        if (strcmp(members[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static void add_to_summary(amt_boot_t *boot, const char *name)
{
    apr_size_t used = strlen(boot->summary);

    if (used + strlen(name) + 2 > sizeof(boot->summary)) {
        return; /* it holds a dozen names already */
    }
    apr_snprintf(boot->summary + used, sizeof(boot->summary) - used, "%s%s", used ? "," : "", name);
}

static void note_override(const amt_setting_t *setting, amt_boot_t *out)
{
    int member = find_member(setting->name);

    if (member >= 0 && members[member].kind == OVERRIDE && !setting->nil &&
        strcmp(setting->value, members[member].off) != 0) {
        out->overridden = 1;
        add_to_summary(out, setting->name);
    }
}

static amt_status_e read_settings(amt_call_t *call, const wsman_element_t *payload)
{
    amt_facts_t *facts = call->out;
    amt_instance_t *boot = amt_instance_keep(payload, call->device->pool);

    call->device->boot = boot;
    if (boot == NULL) {
        return amt_answer_garbage(call, "a setting is no plain value");
    }
    if (amt_instance_value(boot, "InstanceID") == NULL) {
        call->device->boot = NULL;
        return amt_answer_garbage(call, "it names no instance");
    }
    for (int i = 0; i < boot->settings->nelts; i++) {
        note_override(&APR_ARRAY_IDX(boot->settings, i, amt_setting_t), &facts->boot);
    }
    return AMT_OK;
}

static const amt_step_t boot_steps[] = {
    {.uri = BOOT_SETTING_DATA, .verb = AMT_VERB_GET, .read = read_settings},
    {.uri = NULL},
};

static void clear_boot(amt_device_t *device, amt_facts_t *facts)
{
    memset(&facts->boot, 0, sizeof(facts->boot));
    device->boot = NULL;
}

const amt_reading_t amt_reading_boot = {.steps = boot_steps, .clear = clear_boot};

/* What may be set: AMT_BootCapabilities. */

static int is_capable(const amt_call_t *call, const wsman_element_t *payload, const char *name)
{
    const char *value = wsman_child_text(payload, NULL, name, call->pool);

    return value != NULL && strcmp(value, "true") == 0;
}

static amt_status_e read_capabilities(amt_call_t *call, const wsman_element_t *payload)
{
    amt_facts_t *facts = call->out;
    amt_capabilities_t *capabilities = &facts->capabilities;

    capabilities->storage = is_capable(call, payload, "IDER");
    capabilities->sol = is_capable(call, payload, "SOL");
    return AMT_OK;
}

static const amt_step_t capabilities_steps[] = {
    {.uri = BOOT_CAPABILITIES, .verb = AMT_VERB_GET, .read = read_capabilities},
    {.uri = NULL},
};

static void clear_capabilities(amt_device_t *device, amt_facts_t *facts)
{
    (void)device;
    memset(&facts->capabilities, 0, sizeof(facts->capabilities));
}

const amt_reading_t amt_reading_capabilities = {.steps = capabilities_steps, .clear = clear_capabilities};

/* ---- clearing and setting -------------------------------------------------------------------- */

/* The members that a start of our own sets; all others are off. */
static const struct {
    int start;
    const char *name;
    const char *value;
} starts[] = {
    {AMT_START_SOL, "UseSOL", "true"},
    {AMT_START_IMAGE, "UseIDER", "true"},
    {AMT_START_IMAGE, "IDERBootDevice", "1"}, /* the CD */
};
enum { STARTS = sizeof(starts) / sizeof(starts[0]) };

/* What a member has at the next start, NULL for none of ours. */
static const char *value_at(int start, const char *name)
{
    for (int i = 0; i < STARTS; i++) {
        if ((starts[i].start & start) && strcmp(starts[i].name, name) == 0) {
            return starts[i].value;
        }
    }
    return NULL;
}

static void write_setting(const amt_call_t *call, wsman_writer_t *writer, const amt_setting_t *setting)
{
    int member = find_member(setting->name);
    const char *ours = value_at(call->start, setting->name);

    if (member < 0 || (setting->nil && ours == NULL && members[member].kind != READ_ONLY)) {
        amt_setting_write(writer, setting);
    }
    else if (members[member].kind != READ_ONLY) {
        wsman_property(writer, setting->name, ours != NULL ? ours : members[member].off);
    }
}

static void write_boot(const amt_call_t *call, wsman_writer_t *writer)
{
    const apr_array_header_t *settings = call->device->boot->settings;

    for (int i = 0; i < settings->nelts; i++) {
        write_setting(call, writer, &APR_ARRAY_IDX(settings, i, amt_setting_t));
    }
}

/* What was read is outdated: it must be read again before the next change. A device that was not ready for one of the
 * steps is asked for all of them again, with what was read. */
static amt_status_e change_done(amt_call_t *call, const wsman_element_t *payload)
{
    (void)payload;
    call->device->boot = NULL;
    return AMT_OK;
}

static const wsman_selector_t first_configuration = {.name = "InstanceID",
                                                     .value = "Intel(r) AMT: Boot Configuration 0"};

/* The next start uses the settings, and only that one; or it does not. */
#define ROLE_NEXT_SINGLE_USE "1"
#define ROLE_NOT_NEXT "32768"

static void write_role(const amt_call_t *call, wsman_writer_t *writer)
{
    wsman_start(writer, WSMAN_NS_CLASS, "BootConfigSetting");
    wsman_write_epr(writer, BOOT_CONFIG_SETTING, &first_configuration);
    wsman_end(writer);
    wsman_property(writer, "Role", call->start ? ROLE_NEXT_SINGLE_USE : ROLE_NOT_NEXT);
}

static const amt_code_t order_codes[] = {
    {1, 0, "not supported"},
    {2, 0, "failed for a reason that the device does not know"},
    {3, AMT_CODE_PASSING, "busy"},
    {4, 0, "invalid reference"},
    {5, 0, "invalid parameter"},
    {6, AMT_CODE_DENIED,
     "access denied: the account lacks the realm Remote Control, or user consent is required"},
    {0, 0, NULL},
};

/* The source goes first: some members cannot be written while one is chosen. No Source in the input clears
 * it, and it stays empty: with one chosen, firmware boots from neither of ours. */
static const amt_step_t change_steps[] = {
    {.uri = BOOT_CONFIG_SETTING,
     .verb = AMT_VERB_METHOD,
     .method = "ChangeBootOrder",
     .once = 1,
     .codes = order_codes},
    {.uri = BOOT_SETTING_DATA, .verb = AMT_VERB_PUT, .once = 1, .write = write_boot},
    {.uri = BOOT_SERVICE,
     .verb = AMT_VERB_METHOD,
     .method = "SetBootConfigRole",
     .once = 1,
     .codes = order_codes,
     .write = write_role,
     .read = change_done},
    {.uri = NULL},
};

/* A member of ours that this firmware does not have, or NULL. */
static const char *missing_member(const amt_instance_t *boot, int start)
{
    for (int i = 0; i < STARTS; i++) {
        if ((starts[i].start & start) && amt_instance_value(boot, starts[i].name) == NULL) {
            return starts[i].name;
        }
    }
    return NULL;
}

void amt_set_boot(amt_device_t *device, int start, amt_gate_fn gate, void *gate_baton, amt_done_fn done,
                  void *baton)
{
    amt_call_t *call = amt_call_create(device, change_steps, NULL, done, baton);
    const char *missing;

    if (call == NULL) {
        return;
    }
    call->gate = gate;
    call->gate_baton = gate_baton;
    call->start = start;
    if (device->boot == NULL) {
        amt_call_refuse(call, amt_say(device, AMT_REFUSED, "the boot settings of %s were not read before",
                                      device->http.where));
        return;
    }
    missing = missing_member(device->boot, start);
    if (missing != NULL) {
        amt_call_refuse(call,
                        amt_say(device, AMT_REFUSED, "%s has no boot option %s: use another method for it",
                                device->http.where, missing));
        return;
    }
    amt_call_begin(call);
}

void amt_clear_boot(amt_device_t *device, amt_gate_fn gate, void *gate_baton, amt_done_fn done, void *baton)
{
    amt_set_boot(device, 0, gate, gate_baton, done, baton);
}
