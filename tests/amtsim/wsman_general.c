/* SPDX-License-Identifier: Apache-2.0 */
/* What the device is: general settings, versions, set-up. */
#include "wsman.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* ---- AMT_GeneralSettings ------------------------------------------------------------------------------- */

static void write_general(struct out *out, struct pc *pc, int n)
{
    const char *dot = strchr(pc->fqdn, '.');
    char host[sizeof(pc->fqdn)];

    (void)n;
    snprintf(host, sizeof(host), "%.*s", (int)(dot ? (size_t)(dot - pc->fqdn) : strlen(pc->fqdn)), pc->fqdn);
    out_text(out, "AMTNetworkEnabled", "1");
    out_text(out, "DDNSPeriodicUpdateInterval", "1440");
    out_text(out, "DDNSTTL", "900");
    out_text(out, "DDNSUpdateByDHCPServerEnabled", "true");
    out_text(out, "DDNSUpdateEnabled", "false");
    out_text(out, "DHCPSyncRequiresHostname", "1");
    out_text(out, "DHCPv6ConfigurationTimeout", "0");
    out_text(out, "DigestRealm", pc->realm);
    out_text(out, "DomainName", dot ? dot + 1 : "");
    out_text(out, "ElementName", "Intel(r) AMT: General Settings");
    out_text(out, "HostName", host);
    out_text(out, "HostOSFQDN", pc->fqdn);
    out_text(out, "IdleWakeTimeout", "3");
    out_text(out, "InstanceID", "Intel(r) AMT: General Settings");
    out_text(out, "NetworkInterfaceEnabled", "true");
    out_text(out, "PingResponseEnabled", "true");
    out_text(out, "PowerSource", "0");
    out_text(out, "PreferredAddressFamily", "0");
    out_text(out, "PresenceNotificationInterval", "0");
    out_text(out, "PrivacyLevel", "0");
    out_text(out, "RmcpPingResponseEnabled", "true");
    out_text(out, "SharedFQDN", "true");
    out_text(out, "ThunderboltDockEnabled", "0");
    out_text(out, "WsmanOnlyMode", "false");
}

static const char *general_key(int n, const char *name)
{
    (void)n;
    (void)name;
    return "Intel(r) AMT: General Settings";
}

/* ---- CIM_SoftwareIdentity ------------------------------------------------------------------------------ */

static const struct {
    const char *id, *version;
} software[] = {
    {"Flash", FIRMWARE_VERSION},
    {"Netstack", FIRMWARE_VERSION},
    {"AMTApps", FIRMWARE_VERSION},
    {"AMT", FIRMWARE_VERSION},
    {"Sku", "16392"},
    {"VendorID", "8086"},
    {"Build Number", "1579"},
    {"Recovery Version", FIRMWARE_VERSION},
    {"Recovery Build Num", "1579"},
    {"Legacy Mode", "False"},
    {"AMT FW Core Version", FIRMWARE_VERSION},
};

static const char *software_key(int n, const char *name)
{
    (void)name;
    return software[n].id;
}

static void write_software(struct out *out, struct pc *pc, int n)
{
    (void)pc;
    out_text(out, "InstanceID", software[n].id);
    out_text(out, "IsEntity", "true");
    out_text(out, "VersionString", software[n].version);
}

/* ---- AMT_SetupAndConfigurationService ------------------------------------------------------------------ */

static bool in_client_control(const struct pc *pc)
{
    return pc_has(pc, FAULT_CONSENT); /* only there is consent asked of an unattended PC */
}

static void write_setup(struct out *out, struct pc *pc, int n)
{
    (void)n;
    out_text(out, "CreationClassName", "AMT_SetupAndConfigurationService");
    out_text(out, "ElementName", "Intel(r) AMT Setup and Configuration Service");
    out_text(out, "EnabledState", "5");
    out_text(out, "Name", "Intel(r) AMT Setup and Configuration Service");
    out_text(out, "PasswordModel", "1");
    out_text(out, "ProvisioningMode", in_client_control(pc) ? "4" : "1");
    out_text(out, "ProvisioningServerOTP", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    out_text(out, "ProvisioningState", "2");
    out_text(out, "RequestedState", "12");
    out_text(out, "SystemCreationClassName", "CIM_ComputerSystem");
    out_text(out, "SystemName", "Intel(r) AMT");
    out_text(out, "ZeroTouchConfigurationEnabled", "true");
}

/* SMBIOS order: the first three fields are little-endian. */
static void uuid_bytes(const struct pc *pc, unsigned char bytes[16])
{
    static const unsigned char order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    unsigned char plain[16] = {0};
    int n = 0;

    for (const char *text = pc->uuid; *text && n < 32; text++) {
        if (*text == '-')
            continue;
        unsigned digit = (unsigned)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
        plain[n / 2] = (unsigned char)(plain[n / 2] << 4 | digit);
        n++;
    }
    for (int i = 0; i < 16; i++)
        bytes[i] = plain[order[i]];
    if (pc_has(pc, FAULT_WRONG_UUID))
        bytes[15] ^= 0xff;
}

static const struct soap_fault *get_uuid(struct call *call)
{
    unsigned char bytes[16], base64[25];

    uuid_bytes(call->pc, bytes);
    EVP_EncodeBlock(base64, bytes, sizeof(bytes));
    out_text(&call->out, "UUID", (const char *)base64);
    return return_value(call, 0);
}

static const struct method_entry setup_methods[] = {
    {"GetUuid", get_uuid, 0},
    {NULL, NULL, 0},
};

/* ---- CIM_ComputerSystemPackage ------------------------------------------------------------------------- */

static void write_package(struct out *out, struct pc *pc, int n)
{
    static const struct selector chassis[] = {{"CreationClassName", "CIM_Chassis"}, {"Tag", "CIM_Chassis"}};
    static const struct selector host[] = {{"CreationClassName", "CIM_ComputerSystem"},
                                           {"Name", "ManagedSystem"}};
    unsigned char bytes[16];
    char hex[33];

    (void)n;
    uuid_bytes(pc, bytes);
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02X", bytes[i]);
    out_open(out, "Antecedent");
    out_reference(out->xml, BASE_CIM "CIM_Chassis", chassis, 2);
    out_close(out);
    out_open(out, "Dependent");
    out_reference(out->xml, BASE_CIM "CIM_ComputerSystem", host, 2);
    out_close(out);
    out_text(out, "PlatformGUID", hex);
}

/* ---- IPS_HostBasedSetupService ------------------------------------------------------------------------- */

static void write_host_based_setup(struct out *out, struct pc *pc, int n)
{
    unsigned char nonce[20], base64[29];

    (void)n;
    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (unsigned char)(pc_random(pc) * 256);
    EVP_EncodeBlock(base64, nonce, sizeof(nonce));
    out_text(out, "AllowedControlModes", "2");
    out_text(out, "AllowedControlModes", "1");
    out_text(out, "CertChainStatus", "0");
    out_text(out, "ConfigurationNonce", (const char *)base64);
    out_text(out, "CreationClassName", "IPS_HostBasedSetupService");
    out_text(out, "CurrentControlMode", in_client_control(pc) ? "1" : "2");
    out_text(out, "ElementName", "Intel(r) AMT Host Based Setup Service");
    out_text(out, "Name", "Intel(r) AMT Host Based Setup Service");
    out_text(out, "SystemCreationClassName", "CIM_ComputerSystem");
    out_text(out, "SystemName", "Intel(r) AMT");
}

const struct wsman_class general_classes[] = {
    {.name = "CIM_ComputerSystemPackage",
     .base = BASE_CIM,
     .realms = REALM_GENERAL_INFO,
     .count = 1,
     .write = write_package},
    {.name = "AMT_GeneralSettings",
     .base = BASE_AMT,
     .realms = REALM_GENERAL_INFO,
     .count = 1,
     .key_names = instance_keys,
     .key = general_key,
     .write = write_general},
    {.name = "CIM_SoftwareIdentity",
     .base = BASE_CIM,
     .common = true,
     .realms = REALM_GENERAL_INFO,
     .count = sizeof(software) / sizeof(*software),
     .key_names = instance_keys,
     .key = software_key,
     .write = write_software},
    {.name = "AMT_SetupAndConfigurationService",
     .base = BASE_AMT,
     .common = true,
     .realms = REALM_GENERAL_INFO,
     .count = 1,
     .key_names = service_keys,
     .service = "Intel(r) AMT Setup and Configuration Service",
     .write = write_setup,
     .methods = setup_methods},
    {.name = "IPS_HostBasedSetupService",
     .base = BASE_IPS,
     .common = true,
     .realms = REALM_GENERAL_INFO,
     .count = 1,
     .key_names = service_keys,
     .service = "Intel(r) AMT Host Based Setup Service",
     .write = write_host_based_setup},
    {.name = NULL},
};
