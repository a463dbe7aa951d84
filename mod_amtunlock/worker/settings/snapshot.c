/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/settings/snapshot.h"

#include <stdatomic.h>
#include <string.h>

#include <apr_strings.h>

#include "base/oom.h"
#include "proof/proof.h"
#include "unlock/methods.h"

struct snapshot_t {
    apr_pool_t *pool; /* of its own: freed by the thread that unrefs last */
    atomic_int refs;
    settings_t *settings;
    inventory_t *inventory;
    secrets_t *secrets;
    amt_tickets_t *tickets; /* NULL: no keytab is set */
    proof_key_t *proof_key; /* NULL: no system needs one, or there is none yet */
    int proof_key_is_new;
    apr_hash_t *images; /* snapshot_image_t * by path */
};

static void add_problem(apr_array_header_t *problems, const char *file, unsigned int line, const char *reason)
{
    inventory_problem_t *problem = apr_array_push(problems);

    problem->file = file;
    problem->line = line;
    problem->reason = reason;
}

void snapshot_check_systems(const inventory_t *inventory, const settings_t *settings, const char *file,
                            apr_array_header_t *problems, apr_pool_t *pool)
{
    for (int i = 0; i < inventory_count(inventory); i++) {
        const inventory_system_t *system = inventory_at(inventory, i);
        const char *reason = NULL;

        if (method_find(system->method) == NULL) {
            reason = apr_psprintf(pool, "%s: this worker has no method %s; it has: %s", system->fqdn,
                                  inventory_method_name(system->method), methods_list(pool));
        }
        else if (system->auth == INVENTORY_KERBEROS && settings->keytab[0] == '\0') {
            reason = apr_psprintf(pool, "%s: auth kerberos needs kerberos-keytab = PATH in [worker] of %s",
                                  system->fqdn, settings->file);
        }
        if (reason != NULL) {
            add_problem(problems, file, system->line, reason);
        }
    }
}

static void check_trust(const snapshot_t *snapshot, apr_array_header_t *problems)
{
    amt_target_t files = {.ca_file = NULL};
    const char *error = NULL;
    int needs_ca = 0;

    for (int i = 0; i < inventory_count(snapshot->inventory); i++) {
        inventory_tls_e tls = inventory_at(snapshot->inventory, i)->tls;

        needs_ca |= tls == INVENTORY_TLS_CA || tls == INVENTORY_TLS_LEGACY;
    }
    snapshot_name_trust(snapshot, &files);
    if (!needs_ca) {
        files.ca_file = files.crl_file = NULL;
    }
    error = amt_trust_check(&files, snapshot->pool);
    if (error != NULL) {
        add_problem(problems, snapshot->settings->file, 0, error);
    }
}

/* Opens an image on its first use; what is wrong with it is reported once. */
static const char *open_image(snapshot_t *snapshot, const char *path)
{
    snapshot_image_t *image = apr_hash_get(snapshot->images, path, APR_HASH_KEY_STRING);
    const char *error = NULL;

    if (image != NULL) {
        return NULL;
    }
    image = apr_pcalloc(snapshot->pool, sizeof(*image));
    apr_hash_set(snapshot->images, path, APR_HASH_KEY_STRING, image);
    error = amt_image_open(&image->disc, path, snapshot->pool);
    if (error == NULL) {
        error = proof_find_sector(path, &image->proof_sector, snapshot->pool);
    }
    if (error == NULL && image->proof_sector >= amt_image_sectors(image->disc)) {
        error = apr_pstrcat(snapshot->pool, path, ": was changed while it was read", NULL);
    }
    if (error == NULL && !amt_image_digest(image->disc, image->digest)) {
        error = "SHA-256 is not available from OpenSSL";
    }
    return error;
}

static void load_images(snapshot_t *snapshot, apr_array_header_t *problems)
{
    const settings_t *settings = snapshot->settings;

    for (int i = 0; i < inventory_count(snapshot->inventory); i++) {
        const inventory_system_t *system = inventory_at(snapshot->inventory, i);
        const char *path = NULL, *error = NULL;

        if (system->method != INVENTORY_IMAGE) {
            continue;
        }
        path = settings_image(settings, system->group->name);
        error = path != NULL ? open_image(snapshot, path) : NULL;
        if (path == NULL) {
            add_problem(problems, settings->inventory, system->line,
                        apr_psprintf(snapshot->pool,
                                     "%s: method image needs image = PATH in [group %s] of %s", system->fqdn,
                                     system->group->name, settings->file));
        }
        else if (error != NULL) {
            add_problem(problems, settings->file, 0, error);
        }
    }
}

const snapshot_image_t *snapshot_image(const snapshot_t *snapshot, const inventory_system_t *system)
{
    const char *path = settings_image(snapshot->settings, system->group->name);

    return path != NULL ? apr_hash_get(snapshot->images, path, APR_HASH_KEY_STRING) : NULL;
}

/* ---- the key to the proof ------------------------------------------------------------------------------ */

/* NULL, or an error message in the snapshot's pool. */
static const char *make_proof_key(snapshot_t *snapshot)
{
    const char *file = snapshot->settings->proof_key;
    const char *error = proof_key_make("proof-key", file, snapshot->pool);

    if (error == NULL) {
        error = proof_key_read(&snapshot->proof_key, "proof-key", file, snapshot->pool);
    }
    if (error == NULL && snapshot->proof_key == NULL) {
        error = apr_psprintf(snapshot->pool, "proof-key %s leads to a file that is not there", file);
    }
    snapshot->proof_key_is_new = 1;
    return error;
}

/* A key that was in force and is gone is not replaced behind the back of the other workers. */
static int has_lost_proof_key(const snapshot_t *snapshot, const snapshot_t *before)
{
    return before != NULL && before->proof_key != NULL &&
           strcmp(before->settings->proof_key, snapshot->settings->proof_key) == 0;
}

int snapshot_needs_proof_key(const snapshot_t *snapshot)
{
    return apr_hash_count(snapshot->images) > 0;
}

int snapshot_proof_key_is_new(const snapshot_t *snapshot)
{
    return snapshot->proof_key_is_new;
}

const proof_key_t *snapshot_proof_key(const snapshot_t *snapshot)
{
    return snapshot->proof_key;
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

/* Problems outlive a snapshot that was refused, so their texts are copied to the caller's pool. */
static void copy_problems(apr_array_header_t *problems, const apr_array_header_t *found, apr_pool_t *pool)
{
    for (int i = 0; i < found->nelts; i++) {
        const inventory_problem_t *problem = &APR_ARRAY_IDX(found, i, inventory_problem_t);

        add_problem(problems, apr_pstrdup(pool, problem->file), problem->line,
                    apr_pstrdup(pool, problem->reason));
    }
}

static void load_inventory(snapshot_t *snapshot, apr_array_header_t *problems)
{
    settings_t *settings = snapshot->settings;
    const char *error = NULL;

    if (inventory_load(&snapshot->inventory, settings->inventory, settings->groups, problems,
                       snapshot->pool) != APR_SUCCESS) {
        return;
    }
    snapshot_check_systems(snapshot->inventory, settings, settings->inventory, problems, snapshot->pool);
    check_trust(snapshot, problems);
    load_images(snapshot, problems);
    if (snapshot_needs_proof_key(
            snapshot)) { /* of a file that is not there nothing is wrong yet: a worker makes it */
        error =
            proof_key_read(&snapshot->proof_key, "proof-key", snapshot->settings->proof_key, snapshot->pool);
    }
    if (error != NULL) {
        add_problem(problems, settings->file, 0, error);
    }
}

static apr_status_t drop_tickets(void *tickets)
{
    amt_tickets_drop(tickets);
    return APR_SUCCESS;
}

static const char *open_tickets(snapshot_t *snapshot)
{
    const settings_t *settings = snapshot->settings;
    const char *error = NULL;

    if (settings->keytab[0] == '\0') {
        return NULL;
    }
    error = amt_tickets_open(&snapshot->tickets, settings->keytab, settings->principal, snapshot->pool);
    if (error == NULL) {
        apr_pool_cleanup_register(snapshot->pool, snapshot->tickets, drop_tickets, apr_pool_cleanup_null);
    }
    return error;
}

static void load_parts(snapshot_t *snapshot, const char *file, apr_array_header_t *problems)
{
    const char *error = NULL;

    if (settings_load(&snapshot->settings, file, problems, snapshot->pool) != APR_SUCCESS) {
        return;
    }
    error = settings_read_password(snapshot->settings, snapshot->pool);
    if (error != NULL) {
        add_problem(problems, file, 0, error);
    }
    error = secrets_open(&snapshot->secrets, snapshot->settings->secrets, snapshot->pool);
    if (error != NULL) {
        add_problem(problems, file, 0, error);
    }
    error = open_tickets(snapshot);
    if (error != NULL) {
        add_problem(problems, file, 0, error);
    }
    load_inventory(snapshot, problems);
}

snapshot_t *snapshot_load(const char *file, apr_array_header_t *problems, apr_pool_t *pool)
{
    apr_pool_t *own = NULL;
    snapshot_t *snapshot = NULL;
    apr_array_header_t *found = NULL;

    if (oom_own_pool(&own) != APR_SUCCESS) {
        return NULL;
    }
    snapshot = apr_pcalloc(own, sizeof(*snapshot));
    found = apr_array_make(own, 4, sizeof(inventory_problem_t));
    snapshot->pool = own;
    snapshot->images = apr_hash_make(own);
    atomic_init(&snapshot->refs, 1);
    load_parts(snapshot, apr_pstrdup(own, file), found);
    if (found->nelts == 0) {
        return snapshot;
    }
    copy_problems(problems, found, pool);
    snapshot_unref(snapshot);
    return NULL;
}

snapshot_t *snapshot_load_to_serve(const char *file, const snapshot_t *before, apr_array_header_t *problems,
                                   apr_pool_t *pool)
{
    snapshot_t *snapshot = snapshot_load(file, problems, pool);
    const char *error = NULL;

    if (snapshot == NULL || snapshot->proof_key != NULL || !snapshot_needs_proof_key(snapshot)) {
        return snapshot;
    }
    error = has_lost_proof_key(snapshot, before)
                ? "proof-key: its file is not there any more: put it back; a restart would make a new one"
                : make_proof_key(snapshot);
    if (error != NULL) {
        add_problem(problems, apr_pstrdup(pool, file), 0, apr_pstrdup(pool, error));
        snapshot_unref(snapshot);
        return NULL;
    }
    return snapshot;
}

snapshot_t *snapshot_ref(snapshot_t *snapshot)
{
    atomic_fetch_add(&snapshot->refs, 1);
    return snapshot;
}

void snapshot_unref(snapshot_t *snapshot)
{
    if (atomic_fetch_sub(&snapshot->refs, 1) == 1) {
        apr_pool_destroy(snapshot->pool);
    }
}

void snapshot_name_trust(const snapshot_t *snapshot, amt_target_t *target)
{
    const settings_t *settings = snapshot->settings;

    target->ca_file = settings->ca_file;
    target->crl_file = settings->crl_file;
    target->certificate_file = settings->tls_certificate;
    target->key_file = settings->tls_key;
}

const settings_t *snapshot_settings(const snapshot_t *snapshot)
{
    return snapshot->settings;
}

const inventory_t *snapshot_inventory(const snapshot_t *snapshot)
{
    return snapshot->inventory;
}

secrets_t *snapshot_secrets(const snapshot_t *snapshot)
{
    return snapshot->secrets;
}

amt_tickets_t *snapshot_tickets(const snapshot_t *snapshot)
{
    return snapshot->tickets;
}
