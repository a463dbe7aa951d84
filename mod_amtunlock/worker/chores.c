#include "worker/chores.h"

#include <netdb.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <apr_strings.h>
#include <apr_thread_pool.h>

#include "memory/memory.h"

struct chores_t {
    apr_thread_pool_t *threads;
};

__attribute__((format(printf, 3, 4))) static void fail(chore_t *chore, jobs_reason_e reason,
                                                       const char *format, ...)
{
    va_list values;
    va_start(values, format);
    chore->reason = reason;
    apr_vsnprintf(chore->text, sizeof(chore->text), format, values);
    va_end(values);
}

/* The first address of `name`, numeric. One is enough: it is kept for the whole unlock, since a PC that boots
 * may change what its name means. Returns getaddrinfo()'s error. */
static int resolve(const char *name, char *address, size_t room)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(name, NULL, &hints, &found);
    if (error != 0) {
        return error;
    }
    error = getnameinfo(found->ai_addr, found->ai_addrlen, address, (socklen_t)room, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return error;
}

static void do_resolve(chore_t *chore)
{
    const inventory_system_t *system = chore->system;
    const char *name = system->address ? system->address : system->fqdn;
    int error = resolve(name, chore->address, sizeof(chore->address));
    apr_cpystrn(chore->probe_address, chore->address, sizeof(chore->probe_address));
    if (error == 0 && system->probe_host != NULL) {
        name = system->probe_host;
        error = resolve(name, chore->probe_address, sizeof(chore->probe_address));
    }
    if (error != 0) {
        fail(chore, JOBS_REASON_UNREACHABLE, "%s has no address: %s", name, gai_strerror(error));
    }
}

/* What the two kinds of secrets have in common. */
static void fetch(chore_t *chore, const char *what,
                  apr_status_t (*get)(chore_t *chore, const secrets_subject_t *subject, const char **error,
                                      apr_pool_t *pool))
{
    const char *error = NULL;
    const secrets_subject_t subject = {
        .fqdn = chore->system->fqdn, .uuid = chore->system->uuid, .group = chore->system->group->name};
    apr_pool_t *pool = NULL;
    if (memory_own_pool(&pool) != APR_SUCCESS) {
        fail(chore, JOBS_REASON_INTERNAL, "out of memory");
        return;
    }
    apr_status_t rv = get(chore, &subject, &error, pool);
    if (rv == APR_NOTFOUND) {
        fail(chore, JOBS_REASON_NO_SECRET, "no provider of secrets has %s for %s", what, subject.fqdn);
    }
    else if (rv != APR_SUCCESS && error != NULL) {
        fail(chore, JOBS_REASON_NO_SECRET, "%s", error);
    }
    else if (rv != APR_SUCCESS) {
        fail(chore, JOBS_REASON_NO_SECRET, "%s could not be fetched", what);
    }
    apr_pool_destroy(pool);
}

static apr_status_t get_login(chore_t *chore, const secrets_subject_t *subject, const char **error,
                              apr_pool_t *pool)
{
    return secrets_amt_login(setup_secrets(chore->setup), subject, &chore->login, error, pool);
}

/* With Kerberos the worker's own account is all there is. */
static void do_login(chore_t *chore)
{
    if (chore->system->auth == INVENTORY_DIGEST) {
        fetch(chore, "an AMT login", get_login);
    }
}

static apr_status_t get_passphrase(chore_t *chore, const secrets_subject_t *subject, const char **error,
                                   apr_pool_t *pool)
{
    return secrets_disk_passphrase(setup_secrets(chore->setup), subject, &chore->passphrase, error, pool);
}

static void do_passphrase(chore_t *chore)
{
    fetch(chore, "a passphrase", get_passphrase);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    static void (*const kinds[])(chore_t *) = {
        [CHORE_RESOLVE] = do_resolve, [CHORE_LOGIN] = do_login, [CHORE_PASSPHRASE] = do_passphrase};
    chore_t *chore = data;
    (void)thread;
    chore->reason = JOBS_REASON_NONE;
    chore->text[0] = '\0';
    kinds[chore->kind](chore);
    chore->done(chore);
    return NULL;
}

apr_status_t chores_start(chores_t **chores, int threads, apr_pool_t *pool)
{
    *chores = apr_pcalloc(pool, sizeof(**chores));
    apr_status_t rv = apr_thread_pool_create(&(*chores)->threads, 1, (apr_size_t)threads, pool);
    if (rv == APR_SUCCESS) { /* a look-up that hangs must not hold up the next while a thread could be had */
        apr_thread_pool_threshold_set((*chores)->threads, 0);
    }
    return rv;
}

int chores_idle(const chores_t *chores)
{
    return apr_thread_pool_tasks_count(chores->threads) == 0 &&
           apr_thread_pool_busy_count(chores->threads) == 0;
}

void chores_stop(chores_t *chores)
{
    apr_thread_pool_destroy(chores->threads);
}

apr_status_t chores_push(chores_t *chores, chore_t *chore)
{
    return apr_thread_pool_push(chores->threads, run, chore, APR_THREAD_TASK_PRIORITY_NORMAL, NULL);
}

apr_status_t chores_run(void *chores, apr_thread_start_t work, void *baton)
{
    return apr_thread_pool_push(((chores_t *)chores)->threads, work, baton, APR_THREAD_TASK_PRIORITY_NORMAL,
                                NULL);
}
