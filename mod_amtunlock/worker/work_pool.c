/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/work_pool.h"

#include <netdb.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <apr_strings.h>
#include <apr_thread_pool.h>

#include "base/oom.h"

struct work_pool_t {
    apr_thread_pool_t *threads;
};

__attribute__((format(printf, 3, 4))) static void fail_work(work_t *work, jobs_reason_e reason,
                                                            const char *format, ...)
{
    va_list values;

    va_start(values, format);
    work->reason = reason;
    apr_vsnprintf(work->text, sizeof(work->text), format, values);
    va_end(values);
}

/* The first address of `name`, numeric. One is enough: it is kept for the whole unlock, since a PC that boots
 * may change what its name stands for. Returns getaddrinfo()'s error. */
static int resolve_name(const char *name, char *address, size_t size)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(name, NULL, &hints, &found);

    if (error != 0) {
        return error;
    }
    error = getnameinfo(found->ai_addr, found->ai_addrlen, address, (socklen_t)size, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return error;
}

static void do_resolve(work_t *work)
{
    const inventory_system_t *system = work->system;
    const char *name = system->address ? system->address : system->fqdn;
    int error = resolve_name(name, work->address, sizeof(work->address));

    apr_cpystrn(work->probe_address, work->address, sizeof(work->probe_address));
    if (error == 0 && system->probe_host != NULL) {
        name = system->probe_host;
        error = resolve_name(name, work->probe_address, sizeof(work->probe_address));
    }
    if (error != 0) {
        fail_work(work, JOBS_REASON_UNREACHABLE, "%s has no address: %s", name, gai_strerror(error));
    }
}

/* `what` for the error message. */
static void fetch_secret(work_t *work, const char *what,
                         apr_status_t (*get)(work_t *work, const secrets_subject_t *subject,
                                             const char **error, apr_pool_t *pool))
{
    const char *error = NULL;
    const secrets_subject_t subject = {
        .fqdn = work->system->fqdn, .uuid = work->system->uuid, .group = work->system->group->name};
    apr_pool_t *pool = NULL;
    apr_status_t status;

    if (oom_own_pool(&pool) != APR_SUCCESS) {
        fail_work(work, JOBS_REASON_INTERNAL, "out of memory");
        return;
    }
    status = get(work, &subject, &error, pool);
    if (status == APR_NOTFOUND) {
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

/* With Kerberos the worker's own account is used. */
static void do_login(work_t *work)
{
    if (work->system->auth == INVENTORY_DIGEST) {
        fetch_secret(work, "an AMT login", get_login);
    }
}

static apr_status_t get_passphrase(work_t *work, const secrets_subject_t *subject, const char **error,
                                   apr_pool_t *pool)
{
    return secrets_disk_passphrase(snapshot_secrets(work->snapshot), subject, &work->passphrase, error, pool);
}

static void do_passphrase(work_t *work)
{
    fetch_secret(work, "a passphrase", get_passphrase);
}

static void *APR_THREAD_FUNC run_work(apr_thread_t *thread, void *data)
{
    static void (*const kinds[])(work_t *) = {
        [WORK_RESOLVE] = do_resolve, [WORK_LOGIN] = do_login, [WORK_PASSPHRASE] = do_passphrase};
    work_t *work = data;

    (void)thread;
    work->reason = JOBS_REASON_NONE;
    work->text[0] = '\0';
    kinds[work->kind](work);
    work->done(work);
    return NULL;
}

apr_status_t work_pool_start(work_pool_t **work_pool, int threads, apr_pool_t *pool)
{
    work_pool_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t status = apr_thread_pool_create(&made->threads, 1, (apr_size_t)threads, pool);

    *work_pool = made;
    if (status == APR_SUCCESS) { /* another thread at once: work that hangs must not hold up the next */
        apr_thread_pool_threshold_set(made->threads, 0);
    }
    return status;
}

int work_pool_idle(const work_pool_t *work_pool)
{
    return apr_thread_pool_tasks_count(work_pool->threads) == 0 &&
           apr_thread_pool_busy_count(work_pool->threads) == 0;
}

void work_pool_stop(work_pool_t *work_pool)
{
    apr_thread_pool_destroy(work_pool->threads);
}

apr_status_t work_pool_push(work_pool_t *work_pool, work_t *work)
{
    return apr_thread_pool_push(work_pool->threads, run_work, work, APR_THREAD_TASK_PRIORITY_NORMAL, NULL);
}

apr_status_t work_pool_run(void *work_pool, apr_thread_start_t start, void *baton)
{
    return apr_thread_pool_push(((work_pool_t *)work_pool)->threads, start, baton,
                                APR_THREAD_TASK_PRIORITY_NORMAL, NULL);
}
