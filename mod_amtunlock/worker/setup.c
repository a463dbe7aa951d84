#include "worker/setup.h"

#include <stdatomic.h>

#include <apr_strings.h>

#include "memory/memory.h"
#include "proof/proof.h"
#include "worker/methods.h"

struct setup_t {
    apr_pool_t *pool; /* of its own: freed by whichever thread drops it last */
    atomic_int holders;
    settings_t *settings;
    inventory_t *inventory;
    secrets_t *secrets;
    amt_tickets_t *tickets; /* NULL: no keytab is set */
    apr_hash_t *images;     /* setup_image_t * by path */
};

static void add_problem(apr_array_header_t *problems, const char *file, unsigned int line, const char *reason)
{
    inventory_problem_t *problem = apr_array_push(problems);
    problem->file = file;
    problem->line = line;
    problem->reason = reason;
}

static const char *check_system(const inventory_system_t *system, const settings_t *settings,
                                apr_pool_t *pool)
{
    if (method_find(system->method) == NULL) {
        return apr_psprintf(pool, "%s: this worker has no method %s; it has: %s", system->fqdn,
                            inventory_method_name(system->method), methods_list(pool));
    }
    if (system->auth == INVENTORY_KERBEROS && settings->keytab[0] == '\0') {
        return apr_psprintf(pool, "%s: auth kerberos needs kerberos-keytab = PATH in [worker] of %s",
                            system->fqdn, settings->file);
    }
    return NULL;
}

void setup_check_systems(const inventory_t *inventory, const settings_t *settings, const char *file,
                         apr_array_header_t *problems, apr_pool_t *pool)
{
    for (int i = 0; i < inventory_count(inventory); i++) {
        const inventory_system_t *system = inventory_at(inventory, i);
        const char *reason = check_system(system, settings, pool);
        if (reason != NULL) {
            add_problem(problems, file, system->line, reason);
        }
    }
}

static int needs_ca(const inventory_t *inventory)
{
    for (int i = 0; i < inventory_count(inventory); i++) {
        inventory_tls_e tls = inventory_at(inventory, i)->tls;
        if (tls == INVENTORY_TLS_CA || tls == INVENTORY_TLS_LEGACY) {
            return 1;
        }
    }
    return 0;
}

static void check_trust(const setup_t *setup, apr_array_header_t *problems)
{
    amt_target_t files = {.ca_file = NULL};
    setup_name_trust(setup, &files);
    if (!needs_ca(setup->inventory)) {
        files.ca_file = files.crl_file = NULL;
    }
    const char *error = amt_trust_check(&files, setup->pool);
    if (error != NULL) {
        add_problem(problems, setup->settings->file, 0, error);
    }
}

/* Opens an image that was not met before; what is wrong is said once a path. */
static const char *open_image(setup_t *setup, const char *path)
{
    setup_image_t *image = apr_hash_get(setup->images, path, APR_HASH_KEY_STRING);
    if (image != NULL) {
        return NULL;
    }
    image = apr_pcalloc(setup->pool, sizeof(*image));
    apr_hash_set(setup->images, path, APR_HASH_KEY_STRING, image);
    const char *error = amt_image_open(&image->disc, path, setup->pool);
    if (error == NULL) {
        error = proof_find_sector(path, &image->proof_sector, setup->pool);
    }
    if (error == NULL && image->proof_sector >= amt_image_sectors(image->disc)) {
        error = apr_pstrcat(setup->pool, path, ": was changed while it was read", NULL);
    }
    return error;
}

static void load_images(setup_t *setup, apr_array_header_t *problems)
{
    const settings_t *settings = setup->settings;
    for (int i = 0; i < inventory_count(setup->inventory); i++) {
        const inventory_system_t *system = inventory_at(setup->inventory, i);
        if (system->method != INVENTORY_IMAGE) {
            continue;
        }
        const char *path = settings_image(settings, system->group->name);
        const char *error = path ? open_image(setup, path) : NULL;
        if (path == NULL) {
            add_problem(problems, settings->inventory, system->line,
                        apr_psprintf(setup->pool, "%s: method image needs image = PATH in [group %s] of %s",
                                     system->fqdn, system->group->name, settings->file));
        }
        else if (error != NULL) {
            add_problem(problems, settings->file, 0, error);
        }
    }
}

const setup_image_t *setup_image(const setup_t *setup, const inventory_system_t *system)
{
    const char *path = settings_image(setup->settings, system->group->name);
    return path ? apr_hash_get(setup->images, path, APR_HASH_KEY_STRING) : NULL;
}

/* Problems outlive a setup that was refused, so their texts move to the caller's pool. */
static void hand_over(apr_array_header_t *problems, const apr_array_header_t *found, apr_pool_t *pool)
{
    for (int i = 0; i < found->nelts; i++) {
        const inventory_problem_t *problem = &APR_ARRAY_IDX(found, i, inventory_problem_t);
        add_problem(problems, apr_pstrdup(pool, problem->file), problem->line,
                    apr_pstrdup(pool, problem->reason));
    }
}

static void load_inventory(setup_t *setup, apr_array_header_t *problems)
{
    settings_t *settings = setup->settings;
    if (inventory_load(&setup->inventory, settings->inventory, settings->groups, problems, setup->pool) !=
        APR_SUCCESS) {
        return;
    }
    setup_check_systems(setup->inventory, settings, settings->inventory, problems, setup->pool);
    check_trust(setup, problems);
    load_images(setup, problems);
}

static apr_status_t drop_tickets(void *tickets)
{
    amt_tickets_drop(tickets);
    return APR_SUCCESS;
}

static const char *open_tickets(setup_t *setup)
{
    const settings_t *settings = setup->settings;
    if (settings->keytab[0] == '\0') {
        return NULL;
    }
    const char *error = amt_tickets_open(&setup->tickets, settings->keytab, settings->principal, setup->pool);
    if (error == NULL) {
        apr_pool_cleanup_register(setup->pool, setup->tickets, drop_tickets, apr_pool_cleanup_null);
    }
    return error;
}

static void load_parts(setup_t *setup, const char *file, apr_array_header_t *problems)
{
    if (settings_load(&setup->settings, file, problems, setup->pool) != APR_SUCCESS) {
        return;
    }
    const char *error = settings_read_password(setup->settings, setup->pool);
    if (error != NULL) {
        add_problem(problems, file, 0, error);
    }
    error = secrets_open(&setup->secrets, setup->settings->secrets, setup->pool);
    if (error != NULL) {
        add_problem(problems, file, 0, error);
    }
    error = open_tickets(setup);
    if (error != NULL) {
        add_problem(problems, file, 0, error);
    }
    load_inventory(setup, problems);
}

setup_t *setup_load(const char *file, apr_array_header_t *problems, apr_pool_t *pool)
{
    apr_pool_t *own = NULL;
    if (memory_own_pool(&own) != APR_SUCCESS) {
        return NULL;
    }
    setup_t *setup = apr_pcalloc(own, sizeof(*setup));
    apr_array_header_t *found = apr_array_make(own, 4, sizeof(inventory_problem_t));
    setup->pool = own;
    setup->images = apr_hash_make(own);
    atomic_init(&setup->holders, 1);
    load_parts(setup, apr_pstrdup(own, file), found);
    if (found->nelts == 0) {
        return setup;
    }
    hand_over(problems, found, pool);
    setup_drop(setup);
    return NULL;
}

setup_t *setup_hold(setup_t *setup)
{
    atomic_fetch_add(&setup->holders, 1);
    return setup;
}

void setup_drop(setup_t *setup)
{
    if (atomic_fetch_sub(&setup->holders, 1) == 1) {
        apr_pool_destroy(setup->pool);
    }
}

void setup_name_trust(const setup_t *setup, amt_target_t *target)
{
    const settings_t *settings = setup->settings;
    target->ca_file = settings->ca_file;
    target->crl_file = settings->crl_file;
    target->certificate_file = settings->tls_certificate;
    target->key_file = settings->tls_key;
}

const settings_t *setup_settings(const setup_t *setup)
{
    return setup->settings;
}

const inventory_t *setup_inventory(const setup_t *setup)
{
    return setup->inventory;
}

secrets_t *setup_secrets(const setup_t *setup)
{
    return setup->secrets;
}

amt_tickets_t *setup_tickets(const setup_t *setup)
{
    return setup->tickets;
}
