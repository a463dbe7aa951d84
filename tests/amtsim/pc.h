/* SPDX-License-Identifier: Apache-2.0 */
/* One simulated PC: its power, its boot, its disk, and what its AMT device remembers. No network in here: the
 * files that speak a protocol read and change a PC through these functions, on the one event loop. */
#ifndef AMTSIM_PC_H
#define AMTSIM_PC_H

#include "faults.h"
#include "options.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* CIM_AssociatedPowerManagementService.PowerState and RequestPowerStateChange.PowerState */
enum power {
    POWER_ON = 2,
    POWER_SLEEP_DEEP = 4,
    POWER_CYCLE_SOFT = 5,
    POWER_HIBERNATE = 7,
    POWER_OFF_SOFT = 8,
    POWER_RESET = 10,
    POWER_NMI = 11,
    POWER_OFF_GRACEFUL = 12,
    POWER_RESET_GRACEFUL = 14,
};

/* RequestPowerStateChange.ReturnValue */
enum power_result {
    RESULT_OK = 0,
    RESULT_NOT_SUPPORTED = 1,
    RESULT_NOT_READY = 2, /* what firmware says to a request that its present state does not allow */
    RESULT_INVALID_PARAMETER = 5,
    RESULT_INVALID_TRANSITION = 4097, /* cycle or off while redirected */
    RESULT_BUSY = 4099,               /* an earlier request has not completed */
};

/* How far the host got. */
enum stage { STAGE_OFF, STAGE_FIRMWARE, STAGE_IMAGE, STAGE_PROMPT, STAGE_STARTING, STAGE_UP, STAGE_ASLEEP };

/* AMT_RedirectionService.EnabledState: bit 0 IDE-R, bit 1 SOL above the base. */
#define REDIRECTION_NONE 32768U
#define REDIRECTION_IDER 1U
#define REDIRECTION_SOL 2U

/* CIM_ElementSettingData-like role of the boot configuration */
#define ROLE_NEXT_SINGLE_USE 1U
#define ROLE_NOT_NEXT 32768U

/* AMT_AuthorizationService realms as bits of a mask */
#define REALM(n) (1UL << (n))
#define REALM_REDIRECTION REALM(2)
#define REALM_ADMINISTRATION REALM(3)
#define REALM_REMOTE_CONTROL REALM(5)
#define REALM_GENERAL_INFO REALM(13)
#define REALM_ACL REALM(21)

/* What AMT_BootSettingData lets a console set. */
struct boot_settings {
    uint8_t bios_pause, bios_setup, configuration_data_reset, enforce_secure_boot, forced_progress_events;
    uint8_t lock_keyboard, lock_power_button, lock_reset_button, lock_sleep_button;
    uint8_t platform_erase, reflash_bios, secure_erase, use_ider, use_safe_mode, use_sol,
        user_password_bypass;
    uint8_t firmware_verbosity, ider_boot_device;
    uint16_t boot_media_index, uefi_boot_number_of_params;
};

/* An account of the AMT device. */
struct account {
    const char *name;
    const char *password;
    unsigned long realms;
};

#define NONCE_LENGTH 32
#define NONCES_KEPT 8

struct nonce {
    char text[NONCE_LENGTH + 1]; /* "" : free */
    uint32_t count;              /* the highest nc seen */
    bool expired;
};

/* What a device refused so far that serves it later. */
#define REFUSALS_KEPT 24

struct refusal {
    uint32_t of; /* digest of the action and what it is done to */
    unsigned times;
};

#define ENUMERATIONS_KEPT 4

struct enumeration {
    uint32_t context; /* 0: free */
    const void *of;   /* the class, compared by address */
    bool references;  /* EnumerateEPR */
    unsigned next;
};

/* In which way a certificate is wrong. */
enum wrong_certificate { CERTIFICATE_SELF_SIGNED, CERTIFICATE_WRONG_NAME, CERTIFICATE_EXPIRED };

struct listeners; /* listen.h */
struct body;      /* body.h */
struct probe;     /* probe.h */
struct session;   /* session.h */
struct console;   /* prompt.h */
struct bios;      /* bios.h */
struct cd_drive;  /* drive.h */
struct image;     /* image.h */
struct player;    /* player.h */

struct pc {
    const struct options *options;
    uint64_t random; /* state of this PC's own seeded generator: times repeat with the seed */
    char fqdn[128];
    unsigned index;
    struct in_addr address;
    char uuid[37];
    char realm[40];    /* Digest:<32 hex> */
    char password[24]; /* of the account that fleet.csv names */
    char passphrase[32];
    enum method method;

    enum power power;
    enum stage stage;
    double boot_seconds;
    enum power changing_to;
    const int *available_before; /* what might be requested before the power last changed, */
    double power_changed;        /* and when that was */
    struct event timer;          /* the next step of a boot */
    struct event power_timer;    /* completes a power request */

    struct boot_settings boot, booted; /* what is asked for; what the running boot was started with */
    int boot_source, booted_source;    /* index in CIM_BootSourceSetting, -1: none */
    unsigned role;

    unsigned redirection; /* EnabledState */
    unsigned opt_in_required;
    unsigned opt_in_state;
    char opt_in_code[8];
    struct event opt_in_timer;

    unsigned long faults; /* 1UL << enum fault */
    enum wrong_certificate wrong_certificate;

    enum wrong_certificate certificate_kind;
    struct x509_st *certificate; /* tls.c's, as the key is */
    struct evp_pkey_st *key;

    struct nonce nonces[NONCES_KEPT];
    unsigned nonce_next;
    unsigned bad_passwords;
    double locked_out_until;
    struct enumeration enumerations[ENUMERATIONS_KEPT];
    uint32_t enumeration_last;
    struct refusal refusals[REFUSALS_KEPT];
    uint32_t message_last;

    unsigned long connections, requests, power_requests, power_reads, boots;
    struct listeners *listeners;
    struct probe *probe;
    struct session *sol, *ider; /* open or being opened */
    struct console *console;
    struct bios *bios;
    struct cd_drive *drive; /* redirected, of a body; NULL: none */
    struct body *body;      /* NULL: its host is a model, as most are */
    struct player *player;  /* NULL: its serial port is prompt.c's */
    struct image *image;    /* at work, NULL: none */

    bool disk_unlocked;
    bool changing;          /* an accepted power request has not completed yet */
    bool options_cleared;   /* AMT_BootSettingData.OptionsCleared */
    bool listener_enabled;  /* AMT_RedirectionService.ListenerEnabled */
    bool answering;         /* one WS-Man call at a time */
    bool user_acted;        /* switched-on has struck */
    bool certificate_wrong; /* what the certificate was made for, with certificate_kind */
};

/* What the model tells the others; each may be NULL. */
struct pc_hooks {
    void (*os_up)(struct pc *pc);            /* the operating system answers from now on */
    void (*os_down)(struct pc *pc);          /* it does not any more */
    bool (*redirected)(const struct pc *pc); /* a SOL or IDE-R session is open */
    void (*booting)(struct pc *pc);          /* power came, or a warm start: pc->booted says with what */
    bool (*boot_image)(struct pc *pc);       /* boot from the redirected drive; false: there is none */
    void (*prompt)(struct pc *pc);           /* its disk is locked and it wants a passphrase */
    void (*power_gone)(struct pc *pc);       /* off or asleep: whatever ran on it is gone */
};

/* Once, before the first PC. */
void pc_setup(struct event_base *base, const struct pc_hooks *hooks);

/* The password of the administrator, who is on every PC. The pointer must stay valid. */
void pc_set_administrator(const char *password);

/* The name of the least-privilege account that fleet.csv names. */
#define PC_USER "unlock-service"

/* The name of the administrator. */
#define PC_ADMINISTRATOR "admin"

/* The account of that name on this PC, or NULL. *account is filled in. */
const struct account *pc_account(const struct pc *pc, const char *name, struct account *account);

/* Makes the zeroed *pc, of which fleet.c has filled in who it is, a switched-off PC at its factory settings.
 */
void pc_init(struct pc *pc, const struct options *options);

/* Ends its timers. */
void pc_stop(struct pc *pc);

/* What somebody of the domain may do, who came with a ticket: as much as PC_USER. */
void pc_domain_account(const struct pc *pc, struct account *account);

bool pc_has(const struct pc *pc, enum fault fault);

/* The next number of its seeded generator, 0 <= x < 1. */
double pc_random(struct pc *pc);

/* Sets or clears one fault; takes effect at the next connection or request. */
void pc_set_fault(struct pc *pc, enum fault fault, bool on);

/* The power states that may be requested now, 0-terminated; static. */
const int *pc_power_available(const struct pc *pc);

/* What the device says of that. */
const int *pc_power_offered(const struct pc *pc);

/* A console's RequestPowerStateChange; `valid`: its other parameters are right. Writes the event `power`. */
enum power_result pc_request_power(struct pc *pc, int requested, bool valid);

/* The same, when something before the device's power logic refused it: no ReturnValue (-1), or "not ready". */
void pc_log_refused_power(struct pc *pc, int requested, int result);

/* The user at the machine does it: button, or the menu of the operating system. False: makes no sense now. */
bool pc_user_power(struct pc *pc, int to);

/* A console has just been told the power state. */
void pc_power_was_read(struct pc *pc);

/* A passphrase was accepted: the disk is open, and the boot goes on. */
void pc_unlock(struct pc *pc);

/* The unlock image opened the disk; the boot goes on when it restarts the PC. */
void pc_open_disk(struct pc *pc);

/* The redirected drive turned out not to be bootable: the firmware goes on with the disk. */
void pc_boot_from_disk(struct pc *pc);

/* The guest restarts warm by itself (the unlock image does). */
void pc_restart_warm(struct pc *pc);

/* A body got that far: STAGE_IMAGE, STAGE_PROMPT, STAGE_STARTING (its disk is open) or STAGE_UP. */
void pc_reach(struct pc *pc, enum stage stage);

/* A body lost its power without having been asked to. */
void pc_switch_itself_off(struct pc *pc);

/* May boot options be set, or does the device want the user's consent first? */
bool pc_consented(const struct pc *pc);

/* IPS_OptInService; each returns the ReturnValue */
unsigned pc_opt_in_start(struct pc *pc);
unsigned pc_opt_in_code(struct pc *pc, const char *code);
unsigned pc_opt_in_cancel(struct pc *pc);

/* The InstanceID of boot source n, or NULL behind the last. */
const char *pc_boot_source(int n);

/* Everything for the control socket's `state`. */
json_t *pc_state(const struct pc *pc);

#endif
