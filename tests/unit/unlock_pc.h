/* SPDX-License-Identifier: Apache-2.0 */
/* A PC, a store and a clock behind the ops of an unlock, small enough to try every way it can go: see
 * unlock/unlock.h. Nothing happens until unlock_pc_run() answers what was asked. */
#ifndef AMTUNLOCK_TESTS_UNLOCK_PC_H
#define AMTUNLOCK_TESTS_UNLOCK_PC_H

#include "proof_peer.h"
#include "unlock/methods.h"
#include "unlock/unlock.h"

#define UNLOCK_PC_KEY "0123456789abcdef" /* id of its worker's proof key */

typedef enum {
    ASKED_NOTHING,
    ASKED_RESOLVE,
    ASKED_LOGIN,
    ASKED_PASSPHRASE,
    ASKED_PERMIT,
    ASKED_PROBE,
    ASKED_CALL,
    ASKED_STORE
} asked_e;

/* How this PC and its surroundings behave; all zero: off, healthy, boots in 20 s. */
typedef struct {
    int power;          /* state at first; 0: 8, soft off */
    int power_later;    /* state at the second reading, where it differs */
    int on_unavailable; /* AMT does not offer to power on, or to reset */
    int standby;        /* in modern standby */
    int resets;         /* its group lets a running PC be reset */
    int up_at_probe;    /* its system is up at the n-th probe: somebody was there; 0: by its boot only */
    int overridden;     /* somebody left boot options */
    int boot_seconds;   /* 0: 20 */
    int boot_timeout;   /* of its group; 0: 120 s */
    int never_boots;
    int hangs;                     /* it runs at first, without its system */
    int probe_open_before;         /* though it is off */
    int power_rate;                /* its group limits power requests */
    const char *uuid;              /* of the inventory */
    const char *serves_at;         /* the PC's own of them; NULL: any */
    int named;                     /* the inventory has no address */
    resolve_addresses_t addresses; /* of its name; none: one */
    int others_are;      /* amt_status_e at its other addresses; AMT_OK: a device with another UUID */
    int probe_elsewhere; /* its probe has a host of its own */
    jobs_reason_e resolve, login;

    int fails; /* the call below fails */
    unlock_call_e call;
    amt_status_e status;
    int acted;
    int silent;       /* nothing is heard of it then */
    int times;        /* 0: always */
    int does_nothing; /* a power request leaves the PC as it is */

    int store_fails; /* the change below is answered so */
    jobs_change_e change;
    jobs_outcome_e outcome;
    int not_audited;

    const char *intent;
    int taken_over;
    unsigned int marks; /* of the worker before; 0: not known */
    int unmarked;       /* it had none */

    int has_method;            /* 0: its method is wake */
    inventory_method_e method; /* with has_method */

    /* With a method that has sessions. */
    inventory_tls_e tls;
    int no_probe;
    int consent, no_console, no_storage; /* as the device says */
    int redirection_off;                 /* the device's service and ports */
    jobs_reason_e passphrase;            /* what the secrets say */
    int no_prompt;                       /* it never asks */
    int stands_at_prompt;                /* though it runs; shown again when it is asked to redraw */
    int speaks_up;                       /* it shows its question once more while it is probed again */
    int silent_prompt;                   /* that is the only time it is shown, whatever its group says */
    int asks;                            /* its system comes up once it has the passphrase */
    int logged_in;                       /* its login stands there, shown in the same way */
    int image_runs;                      /* of the worker before: says hello */
    int served_on;                       /* it has its drive from somebody else */
    int redraws;                         /* the group says how */
    int types_running;                   /* its group lets a running PC be typed into */
    int same_passphrase;                 /* its group opens further volumes with the same one */
    int own_passphrases;                 /* the secrets have one for each volume */
    int second_volume;                   /* asks once the first is open */
    int gone; /* the question, while it is fetched: 1 login, 2 silence, 3 login at the second; 4: while it is marked */
    int refuses;         /* the passphrase: 1 with a word, 2 by asking again */
    int mute;            /* no word after the passphrase */
    int comes_up;        /* without asking */
    int keeps_boot;      /* its firmware does not clear boot options by itself */
    int drive_fails;     /* the drive ends by itself while the PC starts */
    const char *cut;     /* the console ends by itself while the unlock is at this step */
    amt_status_e cut_by; /* AMT_OK: it sends nonsense */
    int cuts;            /* 0: once */
    int away;     /* so many openings fail after that, or of one taken over: another session holds it */
    int boot_set; /* options that a lost worker left */
    int not_read; /* the firmware does not look at the drive */
    int stuck;    /* it reads the image, which never speaks */
    int forges;   /* the image that speaks is another one: 1 its hello, 2 its result */
    const char *image_says; /* what the image says; NULL: unlocked */
    int refuses_at_once;    /* before it says hello */
    int deaf;               /* it does not hear so many acknowledgements */
} behaviour_t;

typedef struct {
    unlock_t unlock; /* first */
    behaviour_t is;
    jobs_task_t task;
    inventory_system_t system;
    inventory_group_t group;
    apr_pool_t *pool;

    apr_time_t now, alarm_at; /* 0: no alarm */
    asked_e asked;
    unlock_call_e call;
    jobs_change_e change;
    char change_state;
    int power;
    int power_requested; /* the state, last */
    apr_time_t up_at;
    amt_redirection_t redirection, redirection_before;
    int boot_set; /* AMT_START_*, for its next start */
    int console_open, drive_open;
    peer_t image;
    const char *passphrase_read; /* by the image */
    int heard;                   /* acknowledgements */
    int cut_done;                /* times */
    int been_away;
    apr_time_t says_at; /* 0: nothing */
    const char *says;

    /* What a test looks at. */
    int answered; /* requests, so far */
    int strayed;  /* calls at an address that is not the PC's, other than who it is */
    int failed;   /* calls that failed as asked for */
    int calls, power_requests, clears, probes, logins;
    int passphrases, types, redirects, sets;
    int intents, finishes, releases, progress, marks;
    unsigned int marked; /* jobs_mark_e: durable by this unlock */
    int power_waits, power_waits_after_power;
    int conceals;              /* of the image's proof */
    int passphrases_concealed; /* asked for after that */
    int writes_without_intent;
    int connected, over;
    char *said;                /* why the call failed that is being answered; NULL: it did not */
    apr_interval_time_t early; /* longer alarms come so much too early */
    int ignore_at;             /* the n-th request is never answered; 0: all are */
    int ignoring;
    unlock_step_e ignored; /* the step that it belonged to */
} unlock_pc_t;

unlock_pc_t *unlock_pc_create(const behaviour_t *is, apr_pool_t *pool);
/* Answers one request, or lets the clock go to the next alarm. 0: nothing is left to do. */
int unlock_pc_step(unlock_pc_t *pc);
/* From unlock_begin() to the end. */
void unlock_pc_run(unlock_pc_t *pc);
/* "unlocked", a reason code, "released", or "left" where the unlock ended without a word. */
const char *unlock_pc_ending(const unlock_pc_t *pc);

#endif
