/* SPDX-License-Identifier: Apache-2.0 */
/* The probe of a PC, and what takes an unknown time elsewhere: see wires.c. */
#include "wires_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "ground.h"
#include "judge.h"
#include "worker/probe.h"
#include "worker/slot_priv.h"
#include "worker/work_pool.h"

/* ---- the probe ----------------------------------------------------------------------------------------- */

static const pc_t *pc_of_address(const char *address)
{
    const char *last = strrchr(address, '.');

    return last != NULL && (int)apr_atoi64(last + 1) < PCS ? &pcs[(int)apr_atoi64(last + 1)] : NULL;
}

static const pc_t *pc_of_probe(const probe_t *probe)
{
    return pc_find(((const slot_t *)probe->owner)->unlock.system->fqdn);
}

static void on_probe(evutil_socket_t fd, short what, void *data)
{
    probe_t *probe = data;
    const pc_t *pc = pc_of_probe(probe);

    (void)fd;
    (void)what;
    probe->running = 0;
    probe->done(probe, pc->is_up && !wire_is_unreachable(pc));
}

void probe_init(probe_t *probe, probe_done_fn done, void *owner)
{
    memset(probe, 0, sizeof(*probe));
    probe->done = done;
    probe->owner = owner;
}

void probe_start(probe_t *probe, struct event_base *base, const resolve_addresses_t *addresses, int port,
                 apr_interval_time_t timeout)
{
    const pc_t *pc = pc_of_probe(probe);
    int answers = pc->power == AMT_POWER_ON && !wire_is_unreachable(pc);

    (void)port;
    if (addresses->count == 0 || pc_of_address(addresses->text[0]) != pc) {
        judge_breaks("addresses", "%s is probed at another's address", pc->name);
    }
    probe->running = 1;
    event_assign(&probe->end, base, -1, 0, on_probe, probe);
    wire_start_timer(&probe->end, answers ? 3 * MS : timeout);
}

void probe_stop(probe_t *probe)
{
    if (probe->running) {
        event_del(&probe->end);
    }
    probe->running = 0;
}

/* ---- work that blocks ---------------------------------------------------------------------------------- */

struct work_pool_t {
    int under_way;
};

/* The world's. */
typedef struct {
    work_pool_t *work_pool;
    work_t *work; /* NULL: it was cancelled */
    host_t *host;
    int begun;
} errand_t;

apr_status_t work_pool_start(work_pool_t **work_pool, apr_pool_t *pool)
{
    *work_pool = apr_pcalloc(pool, sizeof(**work_pool));
    return APR_SUCCESS;
}

int work_pool_idle(const work_pool_t *work_pool)
{
    return work_pool->under_way == 0;
}

void work_pool_stop(work_pool_t *work_pool)
{
    work_pool->under_way = -1; /* what comes back finds nobody */
}

static char *secret(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(OPENSSL_secure_zalloc(size), text, size);
}

static void fill(work_t *work)
{
    const pc_t *pc = pc_find(work->system->fqdn);

    if (work->kind == WORK_LOGIN) {
        work->login = (secrets_login_t){
            .user = secret("admin"), .password = secret("Passw0rd!"), .source = "simulated"};
    }
    else if (work->kind == WORK_PASSPHRASE) {
        work->passphrase = secret(PC_PASSPHRASE);
    }
    else {
        work->addresses = calloc(RESOLVER_NAMES, sizeof(*work->addresses));
        work->addresses->count = 1;
        apr_snprintf(work->addresses->text[0], RESOLVE_ADDRESS_MAX, "192.0.2.%d", pc->number);
    }
}

void work_forget_addresses(work_t *work)
{
    free(work->addresses);
    work->addresses = NULL;
}

static void on_errand_done(void *baton)
{
    errand_t *errand = baton;

    if (errand->work != NULL && errand->work_pool->under_way > 0) {
        errand->work_pool->under_way--;
        errand->work->way.fair.waits_in = NULL;
        fill(errand->work);
        errand->work->done(errand->work);
    }
}

static void on_errand_begun(void *baton)
{
    errand_t *errand = baton;

    errand->begun = 1;
}

apr_status_t work_pool_push(work_pool_t *work_pool, work_t *work)
{
    host_t *host = host_current();
    errand_t *errand = apr_palloc(pcs_pool, sizeof(*errand));
    apr_time_t begins =
        clockwork_now() +
        chance_between(&host->chance, 0, chance_once_in(&host->chance, 50) ? 3000 * MS : 5 * MS);

    *errand = (errand_t){.work_pool = work_pool, .work = work, .host = host};
    work->way.fair.waits_in = (fair_group_t *)errand; /* what the real pool keeps there is its own */
    work->reason = JOBS_REASON_NONE;
    work->text[0] = '\0';
    work_pool->under_way++;
    clockwork_at(begins, host, on_errand_begun, errand);
    clockwork_at(begins + chance_between(&host->chance, 1 * MS,
                                         chance_once_in(&host->chance, 50) ? 8000 * MS : 40 * MS),
                 host, on_errand_done, errand);
    return APR_SUCCESS;
}

int work_pool_cancel(work_pool_t *work_pool, work_t *work)
{
    errand_t *errand = (errand_t *)work->way.fair.waits_in;

    if (errand == NULL || errand->begun) {
        return 0;
    }
    errand->work = NULL;
    work_pool->under_way--;
    return 1;
}

apr_status_t work_pool_run(void *work_pool, const char *group, apr_thread_start_t start, void *baton)
{
    (void)work_pool;
    (void)group;
    (void)start;
    (void)baton;
    return APR_ENOTIMPL;
}
