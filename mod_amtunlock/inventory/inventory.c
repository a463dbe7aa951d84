/* SPDX-License-Identifier: Apache-2.0 */
/* The inventory as a whole: loading, what may stand in it only once, looking up, its digest. */
#include "inventory/inventory.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "base/digest.h"
#include "inventory/row_priv.h"

struct inventory_t {
    apr_pool_t *pool;
    apr_array_header_t *systems;     /* inventory_system_t *, ordered by fqdn once loaded */
    apr_hash_t *by_name, *by_device; /* by fqdn; by inventory_uuid_key() */
    apr_array_header_t *warnings;    /* inventory_problem_t */
    const char *digest;
    apr_time_t written;
};

typedef struct {
    inventory_t *inventory;
    inventory_groups_t groups;
    inventory_problems_t *problems, *warnings;
    apr_hash_t *addresses; /* inventory_system_t * */
} loading_t;

/* ---- loading ------------------------------------------------------------------------------------------- */

/* False, and a problem, if another line has this value already. */
static int claim_value(loading_t *loading, apr_hash_t *taken, const char *what, const char *key,
                       const char *text, inventory_system_t *system)
{
    const inventory_system_t *other;

    if (key == NULL) {
        return 1;
    }
    other = apr_hash_get(taken, key, APR_HASH_KEY_STRING);
    if (other != NULL) {
        inventory_problem(loading->problems, system->line, "%s %s stands on line %u already", what, text,
                          other->line);
        return 0;
    }
    apr_hash_set(taken, key, APR_HASH_KEY_STRING, system);
    return 1;
}

/* Two lines with one device in two spellings would be two names of one PC. 0, and a problem. A UUID that names no
 * PC is none: whoever copied it from the firmware is told. */
static int claim_device(loading_t *loading, inventory_system_t *system)
{
    char *key = NULL;

    if (system->uuid == NULL) {
        return 1;
    }
    if (!inventory_uuid_is_unique(system->uuid)) {
        inventory_problem(loading->warnings, system->line,
                          "uuid %s is what many boards were sold with, so it says nothing of this PC and is "
                          "not compared: leave it empty, or set a UUID of its own in its firmware",
                          system->uuid);
        system->uuid = NULL;
        return 1;
    }
    key = apr_palloc(loading->inventory->pool, INVENTORY_UUID_SIZE);
    inventory_uuid_key(system->uuid, key);
    return claim_value(loading, loading->inventory->by_device, "uuid", key, system->uuid, system);
}

static void take_row(void *context, const inventory_row_t *row)
{
    loading_t *loading = context;
    inventory_t *inventory = loading->inventory;
    inventory_system_t *system = inventory_check(row, &loading->groups, loading->problems, inventory->pool);
    int single;

    if (system == NULL) {
        return;
    }
    single = claim_value(loading, inventory->by_name, "fqdn", system->fqdn, system->fqdn, system);
    single &= claim_value(loading, loading->addresses, "address", system->address, system->address, system);
    single &= claim_device(loading, system);
    if (single) {
        APR_ARRAY_PUSH(inventory->systems, inventory_system_t *) = system;
    }
}

/* A program that writes the file and failed leaves a header: that is read like any other. */
static void look_for_systems(const loading_t *loading)
{
    if (loading->inventory->systems->nelts == 0 && loading->problems->count == 0) {
        inventory_problem(loading->warnings, 1,
                          "no system follows the header, so every name is \"not available\"");
    }
}

static int by_fqdn(const void *left, const void *right)
{
    const inventory_system_t *const *a = left, *const *b = right;

    return strcmp((*a)->fqdn, (*b)->fqdn);
}

/* ---- digest -------------------------------------------------------------------------------------------- */

/* Each text with its end, and NULL as another than "", so that no two inventories give the same bytes. */
static void digest_text(digest_t *digest, const char *text)
{
    digest_add(digest, text != NULL ? "=" : "-", 1);
    digest_add(digest, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 1);
}

static void digest_number(digest_t *digest, int number)
{
    char text[16];

    apr_snprintf(text, sizeof(text), "%d", number);
    digest_text(digest, text);
}

/* Whom to believe, and what to do: workers that differ in any of it are not of one mind. */
static void digest_system(digest_t *digest, const inventory_system_t *system)
{
    _Static_assert(INVENTORY_COLUMNS == 8, "a column more: what it sets belongs here, too");
    digest_text(digest, system->fqdn);
    digest_text(digest, system->address);
    digest_text(digest, system->uuid);
    digest_text(digest, system->group->name);
    digest_number(digest, (int)system->method);
    digest_number(digest, (int)system->auth);
    digest_number(digest, (int)system->tls);
    digest_text(digest, system->pin);
    digest_text(digest, system->probe_host);
    digest_number(digest, system->probe_port);
}

/* In the order of their names. */
static const char *make_digest(const inventory_t *inventory)
{
    char digits[DIGEST_DIGITS + 1];
    digest_t digest;

    digest_begin(&digest);
    for (int i = 0; i < inventory_count(inventory); i++) {
        digest_system(&digest, inventory_at(inventory, i));
    }
    return digest_end(&digest, digits) ? apr_pstrdup(inventory->pool, digits) : NULL;
}

/* ---- public -------------------------------------------------------------------------------------------- */

apr_status_t inventory_load(inventory_t **inventory, const char *file, apr_hash_t *groups,
                            apr_array_header_t *problems, apr_pool_t *pool)
{
    inventory_t *made = apr_pcalloc(pool, sizeof(*made));
    inventory_problems_t collected = {.file = file, .kept = problems, .pool = pool};
    inventory_problems_t warnings = {.file = file, .pool = pool};
    loading_t loading = {.inventory = made, .problems = &collected, .warnings = &warnings};
    apr_status_t status;

    *inventory = NULL;
    made->pool = pool;
    made->systems = apr_array_make(pool, 256, sizeof(inventory_system_t *));
    made->by_name = apr_hash_make(pool);
    loading.addresses = apr_hash_make(pool);
    made->by_device = apr_hash_make(pool);
    made->warnings = warnings.kept = apr_array_make(pool, 4, sizeof(inventory_problem_t));
    inventory_groups_init(&loading.groups, groups, pool);

    status = inventory_read(file, &collected, take_row, &loading, &made->written, pool);
    look_for_systems(&loading);
    if (status == APR_SUCCESS && collected.count == 0) {
        qsort(made->systems->elts, (size_t)made->systems->nelts, (size_t)made->systems->elt_size, by_fqdn);
        made->digest = make_digest(made);
        if (made->digest == NULL) {
            inventory_problem(&collected, 0, "SHA-256 is not available from OpenSSL");
        }
    }
    inventory_problems_close(&collected);
    inventory_problems_close(&warnings);
    if (status != APR_SUCCESS || collected.count > 0) {
        return status != APR_SUCCESS ? status : APR_EGENERAL;
    }
    *inventory = made;
    return APR_SUCCESS;
}

const inventory_system_t *inventory_find(const inventory_t *inventory, const char *system)
{
    return apr_hash_get(inventory->by_name, system, APR_HASH_KEY_STRING);
}

const inventory_system_t *inventory_find_device(const inventory_t *inventory, const char *uuid)
{
    char key[INVENTORY_UUID_SIZE];

    if (strlen(uuid) != INVENTORY_UUID_SIZE - 1) {
        return NULL;
    }
    inventory_uuid_key(uuid, key);
    return apr_hash_get(inventory->by_device, key, APR_HASH_KEY_STRING);
}

const apr_array_header_t *inventory_warnings(const inventory_t *inventory)
{
    return inventory->warnings;
}

int inventory_count(const inventory_t *inventory)
{
    return inventory->systems->nelts;
}

const inventory_system_t *inventory_at(const inventory_t *inventory, int index)
{
    return APR_ARRAY_IDX(inventory->systems, index, const inventory_system_t *);
}

const char *inventory_digest(const inventory_t *inventory)
{
    return inventory->digest;
}

apr_time_t inventory_written(const inventory_t *inventory)
{
    return inventory->written;
}
