/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: the threads of the product, started and stopped as worker/process/daemon.c does, which needs signals and an
 * environment of its own. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_WORKERS_H
#define AMTUNLOCK_TESTS_SIMULATE_WORKERS_H

#include "clockwork.h"
#include "worker/settings/snapshot.h"

typedef struct life_t life_t;

/* A place where a worker runs: an audit record, and one process after another. */
typedef struct {
    int number;
    const char *audit;            /* its file */
    snapshot_t *const *snapshots; /* that a reload goes through */
    int snapshot_count, snapshot_at;
    life_t *life; /* NULL: none runs */
    host_t *host; /* of the last one */
    int starts;
} station_t;

void station_start(station_t *station);
/* Whatever it is at. It is started again after `away`. */
void station_kill(station_t *station, apr_interval_time_t away);
/* SIGTERM; it is started again `away` after its end. */
void station_stop(station_t *station, apr_interval_time_t away);
void station_reload(station_t *station);

#endif
