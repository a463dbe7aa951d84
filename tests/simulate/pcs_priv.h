/* SPDX-License-Identifier: Apache-2.0 */
/* Between the PCs (pcs.c) and the wires to them (wires.c). */
#ifndef AMTUNLOCK_TESTS_SIMULATE_PCS_PRIV_H
#define AMTUNLOCK_TESTS_SIMULATE_PCS_PRIV_H

#include "amt/redirection/ider.h"
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

/* A drive that a drive process serves. The world's: it outlives the worker that ordered it. */
struct served_t {
    pc_t *pc;
    const void *by;        /* the worker's name: its hosts' owner */
    struct drive_t *drive; /* of the worker that has it; NULL: it is alone */
    const char *job, *fence;
    unsigned char sector[AMT_SECTOR];
    int has_sector;
    int is_kept;        /* without its worker, too */
    apr_time_t read_at; /* last; 0: it was not read */
    apr_interval_time_t alone;
    apr_time_t alone_until;
};

/* Of wires.c. */
void sol_received(sol_t *sol, const char *text);
/* The device ends it; the session is open. */
void sol_cut(sol_t *sol);
void served_cut(served_t *served);
const host_t *sol_host(const sol_t *sol);
/* The PC reads the sector of its drive. 0: there is none any more. */
int served_read(served_t *served, unsigned char *sector);
/* 0: with its worker the drive is gone. */
int served_left_alone(served_t *served);

#endif
