/* SPDX-License-Identifier: Apache-2.0 */
/* Between the PCs (pcs.c) and the wires to them (wires.c). */
#ifndef AMTUNLOCK_TESTS_SIMULATE_PCS_PRIV_H
#define AMTUNLOCK_TESTS_SIMULATE_PCS_PRIV_H

#include "amt/amt.h"
#include "pcs.h"

typedef enum { CALL_READ, CALL_SET_BOOT, CALL_SET_REDIRECTION, CALL_POWER } call_e;

typedef struct {
    call_e kind;
    int number; /* boot options, or a power state */
    amt_redirection_t redirection;
    void *act; /* the judge's */
} pc_call_t;

extern apr_pool_t *pcs_pool;

/* The call arrived: what comes of it. */
amt_status_e pc_do(pc_t *pc, const pc_call_t *call, amt_facts_t *facts);
/* Bytes arrived at its serial port. */
void pc_typed(pc_t *pc, const char *bytes, void *act);

/* Its drive ended. */
void pc_lost_drive(pc_t *pc);

/* Of wires.c. */
void sol_received(sol_t *sol, const char *text);
/* The device ends it; the session is open. */
void sol_cut(sol_t *sol);
void ider_cut(ider_t *ider);
const host_t *sol_host(const sol_t *sol);
const host_t *ider_host(const ider_t *ider);
const void *ider_slot(const ider_t *ider);
/* The PC reads the sector of the session. 0: there is none any more. */
int ider_read(ider_t *ider, unsigned char *sector);

#endif
