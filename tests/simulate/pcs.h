/* SPDX-License-Identifier: Apache-2.0 */
/* The PCs of a simulation, strict as firmware: power, boot options, one console and one drive session each, the question
 * on the console, the disk. Their other half is the AMT client (amt/amt.h, amt/redirection/sol.h and ider.h), the probe
 * and the work pool, which they take the place of.
 */
#ifndef AMTUNLOCK_TESTS_SIMULATE_PCS_H
#define AMTUNLOCK_TESTS_SIMULATE_PCS_H

#include "clockwork.h"
#include "proof_peer.h"

#define PCS 48
#define PC_PASSPHRASE "correct horse"
#define PC_PROOF_KEY                                                                                         \
    7 /* the bytes of the key that workers share, and of the one of a worker that has another */
#define PC_OTHER_PROOF_KEY 8
#define PC_REDRAW "\x15\r"

typedef struct amt_sol_t sol_t;
typedef struct served_t served_t;

/* What becomes of an image that was booted. */
typedef enum { IMAGE_NONE, IMAGE_LOADS, IMAGE_LOOKS, IMAGE_GREETS, IMAGE_TRIES, IMAGE_ANSWERS } image_e;

typedef struct {
    char name[32];
    int number;
    int method; /* inventory_method_e */
    chance_t chance;

    int power;              /* 2: on; 8: off */
    int starts;             /* so far: what a start has set going ends with the next */
    const void *started_by; /* the judge's act; NULL: nobody's */
    int boot_set;           /* AMT_START_*, for its next start */
    int redirection;        /* state of the service, */
    int listener;
    int is_asking;         /* the question stands on its console */
    int is_open;           /* its disk */
    int is_up;             /* its system */
    apr_time_t open_until; /* when an open disk was locked by a start, last; 0: never */
    int tries;             /* of a passphrase at its question, that failed */
    image_e image_state;
    peer_t image;
    const char *saying; /* by the image, once a second, */
    apr_time_t says_at, says_until, looks_until;
    sol_t *sol;            /* the open sessions; NULL: none */
    served_t *served;      /* its drive; NULL: none */
    apr_time_t busy_until; /* its firmware holds a session whose worker died */

    /* Faults: until when. */
    apr_time_t unreachable_until, forgets_until /* answers */, slow_until, not_now_until, refuses_until,
        deaf_until;
    int never_boots;
} pc_t;

extern pc_t pcs[PCS];

void pcs_begin(apr_uint64_t seed, apr_pool_t *pool);
void pcs_host_died(const host_t *host);
void pcs_host_paused(host_t *host);
/* Somebody switches it off, be it to have a task for it that begins anew. */
void pc_switch_off(pc_t *pc);
/* Its sessions end by themselves. */
void pc_cut(pc_t *pc);
pc_t *pc_find(const char *name);
const char *pc_method_name(int number);

#endif
