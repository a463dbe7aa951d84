/* What the PC will do at its next start: reading the boot settings, and putting them back to a plain boot.
 *
 * Firmware refuses a Put that holds a member it calls read-only or does not have, so what is written is what
 * was read, in its order, without the read-only members, and with every override off.
 */
#include <apr_strings.h>
#include <apr_tables.h>
#include <string.h>

#include "amt/call.h"

#define BOOT_SETTING_DATA WSMAN_URI_AMT_CLASS "AMT_BootSettingData"
#define BOOT_CONFIG_SETTING WSMAN_URI_CIM_CLASS "CIM_BootConfigSetting"

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
    {"RSEPassword", READ_ONLY, NULL}, /* write-only in truth: it comes empty, and nobody means an empty one */
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

/* One property as it came. */
typedef struct {
    const char *name;
    const char *value;
    int member; /* index in members[], -1: given back as it is */
} setting_t;

struct amt_boot_settings_t {
    apr_pool_t *pool;
    apr_array_header_t *settings; /* of setting_t */
};

static void forget(amt_device_t *device)
{
    if (device->boot) {
        apr_pool_t *pool = device->boot->pool;

        device->boot = NULL;
        apr_pool_destroy(pool);
    }
}

/* ---- looking --------------------------------------------------------------------------------- */

static int find_member(const char *name)
{
    for (int i = 0; i < MEMBERS; i++) {
        if (!strcmp(members[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static struct amt_boot_settings_t *new_settings(apr_pool_t *parent)
{
    struct amt_boot_settings_t *boot;
    apr_pool_t *pool;

    apr_pool_create(&pool, parent);
    boot = apr_pcalloc(pool, sizeof(*boot));
    boot->pool = pool;
    boot->settings = apr_array_make(pool, 40, sizeof(setting_t));
    return boot;
}

static void add_to_summary(amt_boot_t *boot, const char *name)
{
    apr_size_t used = strlen(boot->summary);

    if (used + strlen(name) + 2 > sizeof(boot->summary)) {
        return; /* a dozen names were told already */
    }
    apr_snprintf(boot->summary + used, sizeof(boot->summary) - used, "%s%s", used ? "," : "", name);
}

static void keep_setting(struct amt_boot_settings_t *boot, const wsman_element_t *element, amt_boot_t *out)
{
    setting_t *setting = apr_array_push(boot->settings);

    setting->name = apr_pstrdup(boot->pool, element->name);
    setting->value = apr_pstrdup(boot->pool, wsman_text(element, boot->pool)); /* may be the answer's own */
    setting->member = find_member(element->name);
    if (setting->member >= 0 && members[setting->member].kind == OVERRIDE &&
        strcmp(setting->value, members[setting->member].off) != 0) {
        out->overridden = 1;
        add_to_summary(out, setting->name);
    }
}

static amt_status_e read_settings(amt_call_t *call, const wsman_element_t *payload)
{
    struct amt_boot_settings_t *boot = new_settings(call->device->pool);

    call->device->boot = boot;
    for (const wsman_element_t *element = payload->child; element; element = element->next) {
        if (element->child) {
            forget(call->device);
            return amt_answer_garbage(call, "a setting is no plain value");
        }
        keep_setting(boot, element, call->out);
    }
    if (!wsman_child(payload, NULL, "InstanceID")) {
        forget(call->device);
        return amt_answer_garbage(call, "it names no instance");
    }
    return AMT_OK;
}

static const amt_step_t read_steps[] = {
    {.uri = BOOT_SETTING_DATA, .verb = AMT_VERB_GET, .read = read_settings},
    {.uri = NULL},
};

void amt_read_boot(amt_device_t *device, amt_boot_t *boot, amt_done_fn done, void *baton)
{
    amt_call_t *call = amt_call_create(device, read_steps, boot, done, baton);

    if (call) {
        memset(boot, 0, sizeof(*boot));
        forget(device);
        amt_call_begin(call);
    }
}

/* ---- clearing -------------------------------------------------------------------------------- */

static void write_plain_boot(const amt_call_t *call, wsman_writer_t *writer)
{
    const apr_array_header_t *settings = call->device->boot->settings;

    for (int i = 0; i < settings->nelts; i++) {
        const setting_t *setting = &APR_ARRAY_IDX(settings, i, setting_t);

        if (setting->member < 0) {
            wsman_property(writer, setting->name, setting->value);
        }
        else if (members[setting->member].kind != READ_ONLY) {
            wsman_property(writer, setting->name, members[setting->member].off);
        }
    }
}

/* The settings are another's from now on: read them again before the next change. */
static amt_status_e put_done(amt_call_t *call, const wsman_element_t *payload)
{
    (void)payload;
    forget(call->device);
    return AMT_OK;
}

static const amt_code_t order_codes[] = {
    {1, 0, "not supported"},
    {2, 0, "failed for a reason that the device does not know"},
    {3, 0, "busy"},
    {4, 0, "invalid reference"},
    {5, 0, "invalid parameter"},
    {6, 0, "access denied: the account lacks the realm Remote Control, or user consent is required"},
    {0, 0, NULL},
};

/* The source goes first: some members cannot be written while one is chosen. No Source in the input clears
 * it. */
static const amt_step_t clear_steps[] = {
    {.uri = BOOT_CONFIG_SETTING,
     .verb = AMT_VERB_METHOD,
     .method = "ChangeBootOrder",
     .once = 1,
     .codes = order_codes},
    {.uri = BOOT_SETTING_DATA, .verb = AMT_VERB_PUT, .once = 1, .write = write_plain_boot, .read = put_done},
    {.uri = NULL},
};

void amt_clear_boot(amt_device_t *device, amt_gate_fn gate, void *gate_baton, amt_done_fn done, void *baton)
{
    amt_call_t *call = amt_call_create(device, clear_steps, NULL, done, baton);

    if (!call) {
        return;
    }
    call->gate = gate;
    call->gate_baton = gate_baton;
    if (!device->boot) {
        amt_call_refuse(call, amt_say(device, AMT_REFUSED, "the boot settings of %s were not read before",
                                      device->where));
        return;
    }
    amt_call_begin(call);
}
