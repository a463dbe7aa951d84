/* SPDX-License-Identifier: Apache-2.0 */
/* What administrators write: it is taken whole or not at all, and nothing in it is called wrong that is not.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <openssl/crypto.h>

#include "redis.h"
#include "scenarios.h"
#include "secrets/secrets.h"
#include "worker/settings/snapshot.h"

#define ROOM 160
#define PASSPHRASE "correct horse"

static char inventory_file[ROOM], secrets_file[ROOM], helper_file[ROOM], settings_file[ROOM],
    redis_file[ROOM];
static char digest[80]; /* of the inventory, as it is */

static const char inventory_text[] =
    "fqdn,address,uuid,group,method,auth,tls,probe\n"
    "pc1.example,127.0.0.1,4c4c4544-0035-3610-8052-b2c04f4d3731,g,sol,digest,none,\n"
    "pc2.example,,,\"g\",wake,digest,none,22\n"
    "pc3.example,192.0.2.3,,h,sol,digest,none,\"pc3.example:22\"\n";

/* More than is read at a time, and what is looked for at its end. */
static void write_secrets(apr_pool_t *pool)
{
    const char *text = "# comment\n";

    for (int i = 0; i < 120; i++) {
        text = apr_psprintf(pool, "%samt other-%03d.example admin a-password-of-nobody-here\n", text, i);
    }
    text = apr_pstrcat(pool, text, "amt *.example admin s3cret\ndisk pc1.example " PASSPHRASE "\n", NULL);
    torture_write(secrets_file, text, 0600);
}

static void write_files(apr_pool_t *pool)
{
    const char *folder = torture_folder();

    snprintf(inventory_file, ROOM, "%s/systems.csv", folder);
    snprintf(secrets_file, ROOM, "%s/secrets", folder);
    snprintf(helper_file, ROOM, "%s/helper", folder);
    snprintf(settings_file, ROOM, "%s/amtunlockd.conf", folder);
    snprintf(redis_file, ROOM, "%s/redis.password", folder);
    torture_write(inventory_file, inventory_text, 0644);
    torture_write(helper_file, "#!/bin/sh\necho passphrase=" PASSPHRASE "\n", 0755);
    torture_write(redis_file, "amtunlockd\n", 0600);
    write_secrets(pool);
    torture_write(
        settings_file,
        apr_psprintf(pool,
                     "[redis]\naddress = unix:%s\nuser = amtunlockd\npassword-file = %s\n[worker]\n"
                     "inventory = %s\nsecrets = file:%s\naudit = %s/audit\n[group g]\nboot-timeout = 60\n",
                     redis_server.socket, redis_file, inventory_file, secrets_file, folder),
        0644);
}

static int start_files(apr_pool_t *pool)
{
    if (redis_start(pool) != 0) {
        return -1;
    }
    write_files(pool);
    return secrets_process_init() == APR_SUCCESS ? 0 : -1;
}

/* ---- the inventory ------------------------------------------------------------------------------------- */

/* A refusal names the trouble, and accuses no line. */
static void check_problems(const apr_array_header_t *problems)
{
    TORTURE_HOLDS(problems->nelts > 0);
    for (int i = 0; i < problems->nelts; i++) {
        const inventory_problem_t *problem = &APR_ARRAY_IDX(problems, i, inventory_problem_t);
        TORTURE_SAYS(problem->reason);
        if (problem->line > 0 && strstr(problem->reason, "memory") == NULL) {
            TORTURE_BROKEN("accuses line %u: %s", problem->line, problem->reason);
        }
    }
}

static void check_whole(const inventory_t *inventory)
{
    TORTURE_HOLDS(inventory_count(inventory) == 3);
    TORTURE_HOLDS(inventory_find(inventory, "pc1.example") && inventory_find(inventory, "pc3.example"));
    TORTURE_HOLDS(strcmp(inventory_find(inventory, "pc3.example")->probe_host, "pc3.example") == 0);
    if (digest[0] == '\0') {
        apr_cpystrn(digest, inventory_digest(inventory), sizeof(digest));
    }
    TORTURE_HOLDS(strcmp(digest, inventory_digest(inventory)) == 0);
}

static torture_verdict_e run_inventory(apr_pool_t *pool)
{
    apr_array_header_t *problems = apr_array_make(pool, 4, sizeof(inventory_problem_t));
    inventory_t *inventory = NULL;
    apr_status_t rv = inventory_load(&inventory, inventory_file, NULL, problems, pool);

    torture_spare();
    if (rv != APR_SUCCESS) {
        TORTURE_HOLDS(inventory == NULL);
        check_problems(problems);
        return TORTURE_REFUSED;
    }
    check_whole(inventory);
    return TORTURE_WELL;
}

const torture_scenario_t torture_inventory_load = {
    .name = "inventory.load", .start = start_files, .run = run_inventory};

static int published;

static torture_verdict_e run_publish(apr_pool_t *pool)
{
    apr_array_header_t *problems = apr_array_make(pool, 4, sizeof(inventory_problem_t));
    jobs_client_t *connection = NULL;
    inventory_t *inventory = NULL;
    jobs_result_t result;

    published = 0;
    if (inventory_load(&inventory, inventory_file, NULL, problems, pool) != APR_SUCCESS ||
        jobs_client_create(&connection, &redis_server.worker, REDIS_BUDGET, pool) != APR_SUCCESS) {
        return TORTURE_REFUSED;
    }
    apr_cpystrn(digest, inventory_digest(inventory), sizeof(digest));
    result = inventory_publish(inventory, &(jobs_edition_t){digest, inventory_written(inventory), "host"},
                               connection, REDIS_WORKER, pool);
    published = result.outcome == JOBS_OK;
    if (!published) {
        TORTURE_SAYS(result.text);
    }
    return published ? TORTURE_WELL : TORTURE_REFUSED;
}

/* Either inventory, but whole: the last good one stays until the next is. */
static void check_published(torture_verdict_e said, apr_pool_t *pool)
{
    jobs_overview_t *overview = NULL;
    int is_new = 0;

    (void)said;
    redis_holds(jobs_overview(redis_pool(pool), &overview, pool), JOBS_OK);
    is_new = strcmp(overview->inventory_digest, digest) == 0;
    TORTURE_HOLDS(is_new || strcmp(overview->inventory_digest, REDIS_DIGEST) == 0);
    TORTURE_HOLDS(is_new || !published);
    TORTURE_HOLDS(overview->inventory_systems == (is_new ? 3 : 2));
}

const torture_scenario_t torture_inventory_publish = {.name = "inventory.publish",
                                                      .start = start_files,
                                                      .reset = redis_reset,
                                                      .run = run_publish,
                                                      .check = check_published};

/* ---- all that the worker reads when it starts or reloads ----------------------------------------------- */

static torture_verdict_e run_snapshot(apr_pool_t *pool)
{
    apr_array_header_t *problems = apr_array_make(pool, 4, sizeof(inventory_problem_t));
    snapshot_t *snapshot = snapshot_load(settings_file, problems, pool);
    const settings_t *settings = NULL;
    const inventory_group_t *group = NULL;

    torture_spare();
    if (snapshot == NULL) {
        check_problems(problems);
        return TORTURE_REFUSED;
    }
    settings = snapshot_settings(snapshot);
    TORTURE_HOLDS(inventory_count(snapshot_inventory(snapshot)) == 3);
    TORTURE_HOLDS(strcmp(settings->redis.socket, redis_server.socket) == 0);
    TORTURE_HOLDS(strcmp(settings->redis.password, "amtunlockd") == 0);
    TORTURE_HOLDS(strcmp(settings->inventory, inventory_file) == 0);
    group = apr_hash_get(settings->groups, "g", APR_HASH_KEY_STRING);
    TORTURE_HOLDS(group != NULL && group->boot_timeout == apr_time_from_sec(60));
    snapshot_unref(snapshot);
    return TORTURE_WELL;
}

const torture_scenario_t torture_worker_snapshot = {
    .name = "worker.snapshot", .start = start_files, .run = run_snapshot};

/* ---- secrets ------------------------------------------------------------------------------------------- */

static const secrets_subject_t pc1 = {"pc1.example", NULL, "g", NULL, 0};

static secrets_t *open_secrets(const char *source, apr_pool_t *pool)
{
    apr_array_header_t *sources = apr_array_make(pool, 1, sizeof(const char *));
    secrets_t *secrets = NULL;
    const char *error = NULL;

    APR_ARRAY_PUSH(sources, const char *) = source;
    error = secrets_open(&secrets, sources, pool);
    if (error != NULL) {
        TORTURE_SAYS(error);
        TORTURE_HOLDS(secrets == NULL && strstr(error, PASSPHRASE) == NULL);
    }
    return secrets;
}

/* 1: the right one; 0: an error. "Not known" would be a lie: another source would be asked. */
static int has_passphrase(secrets_t *secrets, apr_pool_t *pool)
{
    const char *error = NULL;
    char *passphrase = NULL;
    apr_status_t rv = secrets_disk_passphrase(secrets, &pc1, &passphrase, &error, pool);

    if (rv == APR_SUCCESS) {
        TORTURE_HOLDS(strcmp(passphrase, PASSPHRASE) == 0);
        secrets_free(passphrase);
        return 1;
    }
    TORTURE_HOLDS(passphrase == NULL && !APR_STATUS_IS_ENOENT(rv) && rv != APR_NOTFOUND);
    TORTURE_SAYS(error);
    TORTURE_HOLDS(strstr(error, PASSPHRASE) == NULL);
    return 0;
}

static int has_login(secrets_t *secrets, apr_pool_t *pool)
{
    secrets_login_t login = {.user = NULL};
    const char *error = NULL;

    if (secrets_amt_login(secrets, &pc1, &login, &error, pool) == APR_SUCCESS) {
        TORTURE_HOLDS(strcmp(login.user, "admin") == 0 && strcmp(login.password, "s3cret") == 0);
        secrets_login_free(&login);
        return 1;
    }
    TORTURE_HOLDS(login.user == NULL && login.password == NULL);
    TORTURE_SAYS(error);
    return 0;
}

static torture_verdict_e run_file(apr_pool_t *pool)
{
    size_t used = CRYPTO_secure_used();
    secrets_t *secrets = open_secrets(apr_pstrcat(pool, "file:", secrets_file, NULL), pool);
    int well = secrets != NULL && has_passphrase(secrets, pool) & has_login(secrets, pool);

    TORTURE_HOLDS(CRYPTO_secure_used() == used);
    return well ? TORTURE_WELL : TORTURE_REFUSED;
}

static torture_verdict_e run_helper(apr_pool_t *pool)
{
    size_t used = CRYPTO_secure_used();
    secrets_t *secrets = open_secrets(apr_pstrcat(pool, "exec:", helper_file, NULL), pool);
    int well = secrets != NULL && has_passphrase(secrets, pool);

    TORTURE_HOLDS(CRYPTO_secure_used() == used);
    return well ? TORTURE_WELL : TORTURE_REFUSED;
}

const torture_scenario_t torture_secrets_file = {
    .name = "secrets.file", .start = start_files, .run = run_file};
const torture_scenario_t torture_secrets_helper = {
    .name = "secrets.helper", .start = start_files, .run = run_helper};
