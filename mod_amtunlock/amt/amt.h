/* SPDX-License-Identifier: Apache-2.0 */
/* The AMT client: WS-Man calls to one device at a time, over libcurl, inside a libevent loop.
 *
 * A loop serves any number of devices from one thread; every call returns at once and ends in exactly one
 * callback from that thread's event loop, never from inside the call, and never after amt_device_destroy(). A
 * device has at most one call under way (firmware serves one), one connection, kept. What a device says is
 * not trusted: sizes, depth and time are bounded. Knows nothing of jobs.
 */
#ifndef AMTUNLOCK_AMT_AMT_H
#define AMTUNLOCK_AMT_AMT_H

#include <apr_pools.h>
#include <apr_thread_proc.h>
#include <apr_time.h>
#include <event2/event.h>

typedef struct amt_loop_t amt_loop_t;
typedef struct amt_device_t amt_device_t;

/* How a call ended. */
typedef enum {
    AMT_OK,
    AMT_UNREACHABLE,   /* no connection, or silence before the first authenticated answer */
    AMT_TLS_UNTRUSTED, /* chain, name, pin or version */
    AMT_AUTH_FAILED,   /* 401 to an answered challenge, or no mechanism in common */
    AMT_REFUSED,       /* a SOAP fault or a ReturnValue other than 0 */
    AMT_GARBAGE,       /* an answer that is no WS-Man answer, too long, or not what was asked for */
    AMT_TIMEOUT,       /* silence after an authenticated answer */
    AMT_BROKEN,        /* the connection ended before the answer */
    AMT_FENCED,        /* the gate was closed: not one byte of the body left */
    AMT_BUSY,          /* another console holds the redirection session */
    AMT_CONSENT,       /* the user at the PC would have to consent first */
    AMT_NO_TICKET,     /* Kerberos: no KDC answers, for now; nothing was sent */
    AMT_NOT_NOW,       /* the device is busy or not ready, and says that it did nothing: it may do it later */
    AMT_STATUSES
} amt_status_e;

typedef struct {
    amt_status_e status;
    int acted;        /* the body may have reached the device with valid credentials: it may have acted */
    int return_value; /* of a method; -1 if none was read */
    const char *text; /* for an operator; "" when all is well; until its next call or its end */
    int denied;       /* AMT_REFUSED, since the account lacks a realm */
    int silent;       /* AMT_UNREACHABLE, and nothing came back, not even a refusal: its ME may be asleep */
} amt_result_t;

typedef enum { AMT_TLS_CA, AMT_TLS_PIN, AMT_TLS_LEGACY, AMT_TLS_NONE } amt_tls_e;

/* The account that tickets are for: amt/kerberos/ticket.h. */
typedef struct amt_tickets_t amt_tickets_t;

/* How to reach a device; "" is as good as NULL for a file. Copied by amt_device_create(), but for user,
 * password and tickets, which stay the caller's and must live as long as the device. */
typedef struct {
    const char *fqdn;    /* the name that its certificate must carry */
    const char *address; /* numeric: where the bytes go, whatever DNS says meanwhile */
    amt_tls_e tls;
    int tls_max;                  /* the newest TLS 1.x that is offered, 2 or 3; 0: as new as can be */
    const char *pin;              /* AMT_TLS_PIN: lower-case hex SHA-256 of the certificate */
    const char *ca_file;          /* AMT_TLS_CA, AMT_TLS_LEGACY: PEM bundle of trusted issuers, */
    const char *crl_file;         /* and PEM lists of what they revoked; NULL: not checked */
    const char *certificate_file; /* PEM, with its chain: ours, for devices with mutual TLS; NULL: none */
    const char *key_file;         /* PEM, without a passphrase */
    const char *user;             /* digest: both */
    const char *password;
    amt_tickets_t *tickets; /* not NULL: Kerberos, and never digest; user and password are ignored */
    const char *group;      /* whose share of the threads that wait for tickets it uses; NULL: "" */
    apr_interval_time_t connect_timeout; /* TCP and TLS; default (0) 5 s */
    apr_interval_time_t call_timeout;    /* one answer, a challenge being one; default (0) 15 s */
} amt_target_t;

/* Whether the files of TLS that `files` names (its other members do not matter; NULL is none) can be used
 * now: NULL, or an error message in `pool`, with the setting of amtunlockd.conf in front. The key must be
 * owned by this process's user, and readable for no other. */
const char *amt_trust_check(const amt_target_t *files, apr_pool_t *pool);

/* Once per process, before threads: libcurl with an allocator that wipes what it frees. */
apr_status_t amt_library_init(void);

/* A base whose passes are short, so that no device keeps timers and others waiting; with two priorities, of which 0
 * is for what must not wait. NULL: memory is out. The caller frees it. */
struct event_base *amt_loop_base_create(void);
/* A loop of `base`'s thread. Destroyed with `pool`, after its devices. */
apr_status_t amt_loop_create(amt_loop_t **loop, struct event_base *base, apr_pool_t *pool);

/* Runs work(NULL, baton) on a thread that may block, once it is the turn of this group of devices, whose name lives
 * as long as `baton`; the return value of `work` is ignored. */
typedef apr_status_t (*amt_run_fn)(void *runner, const char *group, apr_thread_start_t work, void *baton);

/* Lets the loop have tickets made on other threads: without it, devices with Kerberos cannot be called.
 * When the loop is destroyed no work that `run` was given may be running; work that never began is freed
 * then. */
apr_status_t amt_loop_use_threads(amt_loop_t *loop, amt_run_fn run, void *runner);

apr_status_t amt_device_create(amt_device_t **device, amt_loop_t *loop, const amt_target_t *target,
                               apr_pool_t *pool);
/* Ends a call under way without its callback, closes the connection. */
void amt_device_destroy(amt_device_t *device);
/* Which TLS 1.x its last handshake agreed on: 0 to 3; -1: there was none. */
int amt_device_tls_minor(const amt_device_t *device);

typedef void (*amt_done_fn)(void *baton, const amt_result_t *result);

/* ---- reading (may be repeated) --------------------------------------------------------------- */

/* AMT_SetupAndConfigurationService.GetUuid and CIM_SoftwareIdentity "AMT". */
typedef struct {
    char uuid[37];        /* lower case with dashes (SMBIOS byte order undone) */
    char certificate[65]; /* SHA-256 of the one with which it was said over TLS, hex; "" without TLS */
    char version[32];     /* "12.0.67"; "" if the device did not say */
    int major;
} amt_identity_t;

/* IPS_HostBasedSetupService and IPS_OptInService, where the device has them. Once read, a write that the
 * device denies ends with AMT_CONSENT where consent is needed. */
typedef struct {
    int control_mode;             /* 0 none, 1 client, 2 admin; -1 unknown */
    apr_uint32_t opt_in_required; /* 0 never, 1 for KVM, 0xffffffff for all */
    int opt_in_state;             /* 3 received, 4 in session; -1 unknown */
    int needed;                   /* redirection would be refused: consent is required and was not given */
} amt_consent_t;

/* AMT_RedirectionService, also kept inside the device for the next amt_set_redirection(). */
enum {
    AMT_REDIRECTION_OFF = 32768,
    AMT_REDIRECTION_STORAGE = 32769,
    AMT_REDIRECTION_SOL = 32770,
    AMT_REDIRECTION_BOTH = 32771
};

typedef struct {
    int state;    /* EnabledState, one of the above */
    int listener; /* ListenerEnabled: the ports are open */
} amt_redirection_t;

/* AMT_BootCapabilities: what the PC's BIOS can do at its next start. */
typedef struct {
    int storage; /* boot from an image by storage redirection */
    int sol;     /* show its console over Serial-over-LAN */
} amt_capabilities_t;

/* AMT_BootSettingData, also kept inside the device for the next amt_clear_boot() or amt_set_boot(). */
typedef struct {
    int overridden;    /* something other than a plain boot is set for the next start: */
    char summary[128]; /* "UseIDER,BIOSSetup" */
} amt_boot_t;

/* CIM_AssociatedPowerManagementService: PowerState (2 on, 3/4 sleep, 6 off hard, 7 hibernated, 8 off soft,
 * 12/13 off), and whether AMT_POWER_ON and AMT_POWER_RESET are among AvailableRequestedPowerStates. */
typedef struct {
    int state;
    int on_available, reset_available; /* 1, 0, or -1 where the device lists none */
} amt_power_t;

/* PowerState of a PC that runs, and what amt_request_power() asks for. A reset (Master Bus Reset) leaves
 * the state at AMT_POWER_ON. */
enum { AMT_POWER_ON = 2, AMT_POWER_RESET = 10 };

/* IPS_PowerManagementService.OSPowerSavingState of a PC that is on: in modern standby its system sleeps,
 * disk open and network off, while PowerState says on. */
enum { AMT_SAVING_FULL_POWER = 2, AMT_SAVING_STANDBY = 3 };

/* What is read of a device before it is decided what to do to its PC. */
typedef struct {
    amt_identity_t identity;
    amt_consent_t consent;
    amt_redirection_t redirection;
    amt_capabilities_t capabilities;
    amt_boot_t boot;
    amt_power_t power;
    int saving; /* AMT_SAVING_*, -1: the device does not say (before AMT 10) */
} amt_facts_t;

/* The members of amt_facts_t. */
typedef enum {
    AMT_READ_NONE,
    AMT_READ_IDENTITY,
    AMT_READ_CONSENT,
    AMT_READ_REDIRECTION,
    AMT_READ_CAPABILITIES,
    AMT_READ_BOOT,
    AMT_READ_POWER,
    AMT_READ_SAVING
} amt_read_e;

#define AMT_READS (AMT_READ_SAVING + 1)

/* Reads that member of *facts, which must live until done. */
void amt_read(amt_device_t *device, amt_read_e kind, amt_facts_t *facts, amt_done_fn done, void *baton);

/* Realms of an account, as AMT numbers them: what it may do. */
enum {
    AMT_REALM_REDIRECTION = 2,
    AMT_REALM_ADMINISTRATION = 3,
    AMT_REALM_REMOTE_CONTROL = 5,
    AMT_REALM_GENERAL_INFO = 13,
    AMT_REALMS = 32 /* all are below */
};

/* More than firmware keeps: 16 with passwords, 32 of a domain. */
#define AMT_MAX_USERS 64

/* AMT_AuthorizationService, about the account of the device's target. */
typedef struct {
    int lists;           /* the device lists users and their realms to this account: administrators only */
    int administrator;   /* it is the device's own administrator, with all realms */
    int found;           /* it was found among the other users, with these: */
    apr_uint32_t realms; /* 1 << AMT_REALM_... */
    int user_count;      /* handles of the other users, as listed */
    unsigned int users[AMT_MAX_USERS];
} amt_account_t;

/* Of a Kerberos account only `lists` is known: the device lists those by SID. */
void amt_read_account(amt_device_t *device, amt_account_t *account, amt_done_fn done, void *baton);
/* "Remote Control"; NULL for a number that has no name. */
const char *amt_realm_name(int realm);

/* ---- writing (each once; the gate is asked right before the body leaves) --------------------- */

/* Nonzero: still allowed. Called from libcurl's read callback, in the loop's thread, right before the first
 * byte of a side-effecting body; it must not call anything of this header. The body is given once: a rewind
 * is refused, so libcurl cannot repeat it; only after a 401 is it given once more, and the gate asked again.
 * A body that has left this process may travel until call_timeout: a gate that counts down a lease leaves
 * that much room. */
typedef int (*amt_gate_fn)(void *baton);

/* ChangeBootOrder without source, Put AMT_BootSettingData with every override off, then SetBootConfigRole for
 * no next start. Needs AMT_READ_BOOT. */
void amt_clear_boot(amt_device_t *device, amt_gate_fn gate, void *gate_baton, amt_done_fn done, void *baton);

/* What the next start does, added up. */
enum { AMT_START_SOL = 1, AMT_START_IMAGE = 2 };

/* ChangeBootOrder without source, Put AMT_BootSettingData with what `start` says and all else off, then
 * SetBootConfigRole for the next start only. Needs AMT_READ_BOOT. AMT_REFUSED, and nothing sent, where the
 * device has no such option. */
void amt_set_boot(amt_device_t *device, int start, amt_gate_fn gate, void *gate_baton, amt_done_fn done,
                  void *baton);

/* Makes the redirection service what `wanted` (copied) says: RequestStateChange, then Put ListenerEnabled,
 * each only on a difference to what was read; AMT_OK without a byte sent where there is none. Needs
 * AMT_READ_REDIRECTION. For putting it back: set to what was read before. */
void amt_set_redirection(amt_device_t *device, const amt_redirection_t *wanted, amt_gate_fn gate,
                         void *gate_baton, amt_done_fn done, void *baton);

/* CIM_PowerManagementService.RequestPowerStateChange(PowerState). Never retried here. AMT_OK only for
 * ReturnValue 0 (4096 counts as 0). */
void amt_request_power(amt_device_t *device, int state, amt_gate_fn gate, void *gate_baton, amt_done_fn done,
                       void *baton);

#endif
