/* SPDX-License-Identifier: Apache-2.0 */
#include "preflight/start.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/owned_file.h"
#include "base/text.h"
#include "jobs/jobs.h"
#include "worker/peer_keys.h"
#include "worker/settings/fingerprint.h"

#define REDIS_WAIT apr_time_from_sec(5)
#define HOST_MAX 65

typedef struct {
    const snapshot_t *snapshot;
    const settings_t *settings;
    apr_array_header_t *problems, *warnings;
    apr_pool_t *pool;
} start_t;

static void start_add(apr_array_header_t *list, const char *file, const char *reason)
{
    inventory_problem_t *problem = apr_array_push(list);

    *problem = (inventory_problem_t){.file = file, .line = 0, .reason = reason};
}

static void start_report(const start_t *start, const char *file, const char *reason)
{
    start_add(start->problems, file, reason);
}

/* ---- what it writes ------------------------------------------------------------------------------------ */

static void start_check_folder(const start_t *start, const char *setting, const char *folder)
{
    struct stat info;

    if (stat(folder, &info) != 0) {
        start_report(start, folder,
                     apr_psprintf(start->pool, "%s: %s", setting, text_strerror(errno, start->pool)));
    }
    else if (!S_ISDIR(info.st_mode)) {
        start_report(start, folder, apr_psprintf(start->pool, "%s is no folder", setting));
    }
    else if (eaccess(folder, W_OK | X_OK) != 0) {
        start_report(start, folder,
                     apr_psprintf(start->pool, "%s: user %d may not write there: %s", setting, (int)geteuid(),
                                  text_strerror(errno, start->pool)));
    }
}

/* A file that is there or can be made. */
static void start_check_written(const start_t *start, const char *setting, const char *file)
{
    const char *slash = strrchr(file, '/');
    struct stat info;

    if (stat(file, &info) != 0 && errno == ENOENT) {
        start_check_folder(start, setting,
                           slash == NULL   ? "."
                           : slash == file ? "/"
                                           : apr_pstrmemdup(start->pool, file, (apr_size_t)(slash - file)));
    }
    else if (eaccess(file, R_OK | W_OK) != 0) {
        start_report(start, file,
                     apr_psprintf(start->pool, "%s: user %d may not write it: %s", setting, (int)geteuid(),
                                  text_strerror(errno, start->pool)));
    }
}

/* The record, where there is one, by the rule by which a worker opens it. */
static void start_check_record(const start_t *start, const char *file)
{
    struct stat info;

    if (lstat(file, &info) != 0 || owned_file_judge(&info, 022) == OWNED_FILE_GOOD) {
        start_check_written(start, "audit", file);
        return;
    }
    start_report(start, file,
                 apr_psprintf(start->pool,
                              "audit: must be a regular file of user %d which nobody else may write (owner "
                              "%d, mode %04o): chown it, chmod 0600",
                              (int)geteuid(), (int)info.st_uid, (unsigned int)(info.st_mode & 07777)));
}

static void start_check_files(const start_t *start)
{
    const settings_t *settings = start->settings;
    const char *lock = apr_pstrcat(start->pool, settings->state_dir, "/worker.lock", NULL);

    start_check_folder(start, "state-dir", settings->state_dir);
    if (access(lock, F_OK) == 0) {
        start_check_written(start, "state-dir", lock);
    }
    start_check_record(start, settings->audit);
    if (snapshot_needs_proof_key(start->snapshot) && snapshot_proof_key(start->snapshot) == NULL) {
        start_check_written(start, "proof-key", settings->proof_key);
    }
    if (strcmp(settings->log, "-") != 0) {
        start_check_written(start, "log", settings->log);
    }
}

/* ---- Redis --------------------------------------------------------------------------------------------- */

static void start_check_inventory(const start_t *start, jobs_client_t *client)
{
    const fingerprint_t *fingerprint = fingerprint_create(start->snapshot, start->pool);
    char host[HOST_MAX] = "";
    const jobs_edition_t edition = {fingerprint_digest(fingerprint), fingerprint_written(fingerprint), host};
    jobs_result_t result;

    gethostname(host, sizeof(host) - 1);
    result = jobs_publish_ask(client, &edition, start->pool);
    if (result.outcome == JOBS_REFUSED) {
        start_report(
            start, start->settings->inventory,
            apr_psprintf(start->pool,
                         "another inventory is published: %s; a worker with these files claims nothing",
                         result.text));
    }
}

static void start_compare_keys(const start_t *start, jobs_client_t *client)
{
    const proof_key_t *key = snapshot_proof_key(start->snapshot);
    const char *text = key != NULL
                           ? "has another proof key: neither can go on with an unlock image of the other; "
                             "copy one file to all"
                           : "has a proof key: copy its file here before the first start, which would "
                             "make another one";
    apr_array_header_t *hosts = NULL;

    if (!snapshot_needs_proof_key(start->snapshot)) {
        return;
    }
    hosts = peer_keys_differ(client, key, start->pool);
    for (int i = 0; i < hosts->nelts; i++) {
        start_add(
            start->warnings, start->settings->proof_key,
            apr_psprintf(start->pool, "the worker on %s %s", APR_ARRAY_IDX(hosts, i, const char *), text));
    }
}

static void start_check_redis(const start_t *start)
{
    const char *address = start->settings->redis_address, *weakness = NULL;
    jobs_client_t *client = NULL;
    jobs_result_t result = {JOBS_UNAVAILABLE, "no memory for a connection"};

    if (jobs_client_create(&client, &start->settings->redis, REDIS_WAIT, start->pool) == APR_SUCCESS) {
        result = jobs_library_look(client);
    }
    if (result.outcome == JOBS_OK) {
        result = jobs_library_try(client, start->pool);
    }
    if (result.outcome == JOBS_OK) {
        result = jobs_durability(client, &weakness, start->pool);
    }
    if (result.outcome != JOBS_OK) {
        start_report(start, address, apr_pstrcat(start->pool, "redis: ", result.text, NULL));
        return;
    }
    if (weakness != NULL) {
        start_report(start, address, apr_pstrcat(start->pool, "redis: ", weakness, NULL));
    }
    start_check_inventory(start, client);
    start_compare_keys(start, client);
}

void check_start(const snapshot_t *snapshot, int offline, apr_array_header_t *problems,
                 apr_array_header_t *warnings, apr_pool_t *pool)
{
    const start_t start = {.snapshot = snapshot,
                           .settings = snapshot_settings(snapshot),
                           .problems = problems,
                           .warnings = warnings,
                           .pool = pool};

    start_check_files(&start);
    if (!offline) {
        start_check_redis(&start);
    }
}
