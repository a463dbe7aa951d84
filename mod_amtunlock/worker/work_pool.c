/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/work_pool.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <apr_strings.h>

#include "base/oom.h"

/* A helper is a process, and a ticket's thread waits for a KDC: the share is what a group needs where all is
 * well, the rest is for groups where it is not. */
static const fair_limits_t secrets_limits = {.all = 256, .of_group = 96, .share = 16};
static const fair_limits_t tickets_limits = {.all = 64, .of_group = 24, .share = 8};

#define RESOLVE_LIMIT apr_time_from_sec(9)

struct work_pool_t {
    resolver_t *resolver;
    fair_threads_t *secrets, *tickets;
};

static work_t *work_of(fair_work_t *fair)
{
    return (work_t *)((char *)fair - offsetof(work_t, way));
}

__attribute__((format(printf, 3, 4))) static void fail_work(work_t *work, jobs_reason_e reason,
                                                            const char *format, ...)
{
    va_list values;

    va_start(values, format);
    work->reason = reason;
    apr_vsnprintf(work->text, sizeof(work->text), format, values);
    va_end(values);
}

/* ---- names --------------------------------------------------------------------------------------------- */

static void on_resolved(resolver_request_t *request)
{
    work_t *work = request->owner;

    for (int i = RESOLVER_NAMES - 1; i >= 0; i--) {
        if (request->errors[i] != NULL) {
            fail_work(work, JOBS_REASON_UNREACHABLE, "%s has no address: %s", request->names[i],
                      request->errors[i]);
        }
    }
    work->done(work);
}

void work_forget_addresses(work_t *work)
{
    free(work->addresses);
    work->addresses = NULL;
}

static apr_status_t push_resolve(work_pool_t *work_pool, work_t *work)
{
    const inventory_system_t *system = work->system;

    work->addresses = calloc(RESOLVER_NAMES, sizeof(*work->addresses));
    if (work->addresses == NULL) {
        return APR_ENOMEM;
    }
    work->way.names = (resolver_request_t){
        .names = {system->address != NULL ? system->address : system->fqdn, system->probe_host},
        .limit = RESOLVE_LIMIT,
        .addresses = work->addresses,
        .done = on_resolved,
        .owner = work};
    resolver_push(work_pool->resolver, &work->way.names);
    return APR_SUCCESS;
}

/* ---- secrets ------------------------------------------------------------------------------------------- */

/* `what` for the error message. */
static void fetch_secret(work_t *work, const char *what,
                         apr_status_t (*get)(work_t *work, const secrets_subject_t *subject,
                                             const char **error, apr_pool_t *pool))
{
    const char *error = NULL;
    const secrets_subject_t subject = {.fqdn = work->system->fqdn,
                                       .uuid = work->system->uuid,
                                       .group = work->system->group->name,
                                       .volume = work->volume,
                                       .own = work->own};
    apr_pool_t *pool = NULL;
    apr_status_t status;

    if (oom_own_pool(&pool) != APR_SUCCESS) {
        fail_work(work, JOBS_REASON_INTERNAL, "out of memory");
        return;
    }
    status = get(work, &subject, &error, pool);
    if (status == APR_NOTFOUND && work->own && work->volume != NULL) {
        fail_work(
            work, JOBS_REASON_NO_SECRET,
            "it opened one volume and asks for %s: no provider of secrets has \"disk %s@%s\", and its group "
            "has not same-passphrase = yes",
            work->volume, work->volume, subject.fqdn);
    }
    else if (status == APR_NOTFOUND) {
        fail_work(work, JOBS_REASON_NO_SECRET, "no provider of secrets has %s for %s", what, subject.fqdn);
    }
    else if (status != APR_SUCCESS && error != NULL) {
        fail_work(work, JOBS_REASON_NO_SECRET, "%s", error);
    }
    else if (status != APR_SUCCESS) {
        fail_work(work, JOBS_REASON_NO_SECRET, "%s could not be fetched", what);
    }
    apr_pool_destroy(pool);
}

static apr_status_t get_login(work_t *work, const secrets_subject_t *subject, const char **error,
                              apr_pool_t *pool)
{
    return secrets_amt_login(snapshot_secrets(work->snapshot), subject, &work->login, error, pool);
}

static apr_status_t get_passphrase(work_t *work, const secrets_subject_t *subject, const char **error,
                                   apr_pool_t *pool)
{
    return secrets_disk_passphrase(snapshot_secrets(work->snapshot), subject, &work->passphrase, error, pool);
}

static void run_login(fair_work_t *fair)
{
    work_t *work = work_of(fair);

    if (work->system->auth == INVENTORY_DIGEST) { /* with Kerberos the worker's own account is used */
        fetch_secret(work, "an AMT login", get_login);
    }
    work->done(work);
}

static void run_passphrase(fair_work_t *fair)
{
    work_t *work = work_of(fair);

    fetch_secret(work, "a passphrase", get_passphrase);
    work->done(work);
}

/* A PC whose passphrase is asked for stands at its prompt. */
static apr_status_t push_secret(work_pool_t *work_pool, work_t *work)
{
    int is_passphrase = work->kind == WORK_PASSPHRASE;

    work->way.fair = (fair_work_t){.run = is_passphrase ? run_passphrase : run_login,
                                   .group = work->system->group->name,
                                   .urgent = is_passphrase != 0};
    return fair_threads_push(work_pool->secrets, &work->way.fair);
}

/* ---- work of the AMT client ---------------------------------------------------------------------------- */

typedef struct {
    fair_work_t fair; /* first */
    apr_thread_start_t start;
    void *baton;
} call_t;

static void run_call(fair_work_t *fair)
{
    call_t call = *(call_t *)fair;

    free(fair);
    call.start(NULL, call.baton);
}

static void drop_call(fair_work_t *fair)
{
    free(fair);
}

apr_status_t work_pool_run(void *work_pool, const char *group, apr_thread_start_t start, void *baton)
{
    call_t *call = calloc(1, sizeof(*call));
    apr_status_t status;

    if (call == NULL) {
        return APR_ENOMEM;
    }
    *call = (call_t){
        .fair = {.run = run_call, .dropped = drop_call, .group = group}, .start = start, .baton = baton};
    status = fair_threads_push(((work_pool_t *)work_pool)->tickets, &call->fair);
    if (status != APR_SUCCESS) {
        free(call);
    }
    return status;
}

/* ---- the pool ------------------------------------------------------------------------------------------ */

apr_status_t work_pool_start(work_pool_t **work_pool, apr_pool_t *pool)
{
    work_pool_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t status = resolver_start(&made->resolver, pool);

    *work_pool = made;
    if (status == APR_SUCCESS) {
        status = fair_threads_start(&made->secrets, &secrets_limits, pool);
    }
    return status == APR_SUCCESS ? fair_threads_start(&made->tickets, &tickets_limits, pool) : status;
}

int work_pool_idle(const work_pool_t *work_pool)
{
    return resolver_idle(work_pool->resolver) && fair_threads_idle(work_pool->secrets) &&
           fair_threads_idle(work_pool->tickets);
}

void work_pool_stop(work_pool_t *work_pool)
{
    resolver_stop(work_pool->resolver);
    fair_threads_stop(work_pool->secrets);
    fair_threads_stop(work_pool->tickets);
}

apr_status_t work_pool_push(work_pool_t *work_pool, work_t *work)
{
    work->reason = JOBS_REASON_NONE;
    work->text[0] = '\0';
    return work->kind == WORK_RESOLVE ? push_resolve(work_pool, work) : push_secret(work_pool, work);
}

int work_pool_cancel(work_pool_t *work_pool, work_t *work)
{
    return work->kind != WORK_RESOLVE && fair_threads_cancel(work_pool->secrets, &work->way.fair);
}
