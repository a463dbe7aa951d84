/* SPDX-License-Identifier: Apache-2.0 */
/* The audit record: what a commit acknowledged stands in the file, whole and in the chain; what was not
 * acknowledged may be missing, but damages nothing.
 */
#include "audit/audit.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <apr_strings.h>

#include "scenarios.h"

#define PATH_SIZE 96

static char file[PATH_SIZE], before[PATH_SIZE], second[PATH_SIZE];
static char error[640]; /* the last message; "": none */

/* What was acknowledged last, in memory that outlives the process of a run. */
static struct {
    char head[100];     /* "HASH:COUNT"; "": nothing */
    apr_uint64_t count; /* that one */
} * acknowledged;

/* ---- what all share ------------------------------------------------------------------------------------ */

static int start_audit(apr_pool_t *pool)
{
    (void)pool;
    acknowledged =
        mmap(NULL, sizeof(*acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return acknowledged == MAP_FAILED ? -1 : 0;
}

static void stop_audit(void)
{
    munmap(acknowledged, sizeof(*acknowledged));
}

static void name_files(void)
{
    snprintf(file, sizeof(file), "%s/audit.jsonl", torture_folder());
    snprintf(before, sizeof(before), "%s/audit.jsonl.1", torture_folder());
    snprintf(second, sizeof(second), "%s/audit.jsonl.2", torture_folder());
    unlink(file);
    unlink(before);
    unlink(second);
    acknowledged->head[0] = '\0';
    acknowledged->count = 0;
    error[0] = '\0';
}

/* Nonzero, and kept, if something was said. */
static int is_error(const char *text)
{
    if (text != NULL) {
        TORTURE_SAYS(text);
        apr_cpystrn(error, text, sizeof(error));
    }
    return text != NULL;
}

static void note_head(const audit_t *audit)
{
    const char *hash = "";

    audit_head(audit, &hash, &acknowledged->count);
    snprintf(acknowledged->head, sizeof(acknowledged->head), "%s:%llu", hash,
             (unsigned long long)acknowledged->count);
}

static apr_status_t add(audit_t *audit, const char *system)
{
    return audit_add(audit, "intent",
                     json_pack("{s:s, s:s, s:{s:i}}", "system", system, "job", "j1", "act", "power", 10));
}

/* One line and its commit; 1 if it is acknowledged. */
static int write_one(audit_t *audit, const char *system)
{
    const char *text = NULL;

    if (add(audit, system) != APR_SUCCESS) {
        is_error("not added");
        return 0;
    }
    if (audit_commit(audit, &text) != APR_SUCCESS) {
        TORTURE_HOLDS(is_error(text));
        return 0;
    }
    note_head(audit);
    return 1;
}

/* The next process finds a record that it can go on with, and that holds all that was acknowledged. */
static apr_uint64_t count_lines(apr_pool_t *pool)
{
    audit_t *audit = NULL;
    apr_uint64_t lines = 0;
    const char *wrong = audit_open(&audit, file, pool);

    if (wrong != NULL) {
        TORTURE_BROKEN("cannot be opened afterwards: %s", wrong);
    }
    wrong = audit_verify(file, acknowledged->count ? acknowledged->head : NULL, &lines, pool);
    if (wrong != NULL) {
        TORTURE_BROKEN("what was acknowledged is not there: %s", wrong);
    }
    return lines;
}

static void check_record(torture_verdict_e said, apr_pool_t *pool)
{
    apr_uint64_t lines;

    if (said == TORTURE_REFUSED) {
        TORTURE_SAYS(error);
    }
    lines = count_lines(pool);
    TORTURE_HOLDS(said == TORTURE_REFUSED || lines >= acknowledged->count);
}

static void ended_record(apr_pool_t *pool)
{
    count_lines(pool);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static void reset_empty(apr_pool_t *pool)
{
    (void)pool;
    name_files();
}

/* As the store thread does: what failed is tried again. */
static torture_verdict_e write_record(apr_pool_t *pool)
{
    audit_t *audit = NULL;
    int well;

    if (is_error(audit_open(&audit, file, pool))) {
        return TORTURE_REFUSED;
    }
    well = write_one(audit, "pc1.example");
    well &= write_one(audit, "pc2.example");
    well &= write_one(audit, "pc3.example");
    return well ? TORTURE_WELL : TORTURE_REFUSED;
}

const torture_scenario_t torture_audit_write = {.name = "audit.write",
                                                .start = start_audit,
                                                .stop = stop_audit,
                                                .reset = reset_empty,
                                                .run = write_record,
                                                .check = check_record,
                                                .ended = ended_record};

/* ---- going on after a torn line ------------------------------------------------------------------------ */

static void append(const char *bytes)
{
    FILE *stream = fopen(file, "a");

    if (stream == NULL || fputs(bytes, stream) == EOF || fclose(stream) != 0) {
        TORTURE_BROKEN("%s cannot be written", file);
    }
}

static void reset_torn(apr_pool_t *pool)
{
    apr_pool_t *life = NULL;

    name_files();
    apr_pool_create(&life, pool);
    TORTURE_HOLDS(write_record(life) == TORTURE_WELL);
    apr_pool_destroy(life);
    append("{\"n\":4,\"t\":\"the power w");
}

static torture_verdict_e go_on(apr_pool_t *pool)
{
    audit_t *audit = NULL;

    if (is_error(audit_open(&audit, file, pool))) {
        return TORTURE_REFUSED;
    }
    return write_one(audit, "pc4.example") ? TORTURE_WELL : TORTURE_REFUSED;
}

static void check_torn(torture_verdict_e said, apr_pool_t *pool)
{
    check_record(said, pool);
    TORTURE_HOLDS(said == TORTURE_REFUSED || acknowledged->count == 5);
}

const torture_scenario_t torture_audit_torn = {.name = "audit.torn",
                                               .start = start_audit,
                                               .stop = stop_audit,
                                               .reset = reset_torn,
                                               .run = go_on,
                                               .check = check_torn,
                                               .ended = ended_record};

/* ---- rotation ------------------------------------------------------------------------------------------ */

static void reset_rotated(apr_pool_t *pool)
{
    reset_torn(pool);
    TORTURE_HOLDS(rename(file, before) == 0);
}

/* A worker that starts without a file, and one that must open a new file while it runs. */
static torture_verdict_e rotate(apr_pool_t *pool)
{
    audit_t *audit = NULL;
    int well;

    if (is_error(audit_open(&audit, file, pool))) {
        return TORTURE_REFUSED;
    }
    well = write_one(audit, "pc5.example");
    if (rename(file, second) != 0) {
        is_error("not moved");
        return TORTURE_REFUSED;
    }
    well &= !is_error(audit_reopen(audit));
    well &= write_one(audit, "pc6.example");
    return well ? TORTURE_WELL : TORTURE_REFUSED;
}

/* The numbers go on across all three files. */
static apr_uint64_t count_rotated(apr_pool_t *pool)
{
    audit_t *audit = NULL;
    apr_uint64_t count = 0;
    const char *hash = "";
    const char *wrong = audit_open(&audit, file, pool);

    if (wrong != NULL) {
        TORTURE_BROKEN("cannot be opened afterwards: %s", wrong);
    }
    audit_head(audit, &hash, &count);
    if (count < acknowledged->count || count < 4) {
        TORTURE_BROKEN("the chain starts over: record %d is the last, %d was acknowledged", (int)count,
                       (int)acknowledged->count);
    }
    return count;
}

static void check_rotated(torture_verdict_e said, apr_pool_t *pool)
{
    apr_uint64_t count = count_rotated(pool);

    TORTURE_HOLDS(said == TORTURE_REFUSED || count == 6);
}

static void ended_rotated(apr_pool_t *pool)
{
    count_rotated(pool);
}

const torture_scenario_t torture_audit_rotate = {.name = "audit.rotate",
                                                 .start = start_audit,
                                                 .stop = stop_audit,
                                                 .reset = reset_rotated,
                                                 .run = rotate,
                                                 .check = check_rotated,
                                                 .ended = ended_rotated};

/* ---- verifying ----------------------------------------------------------------------------------------- */

static void reset_whole(apr_pool_t *pool)
{
    apr_pool_t *life = NULL;

    reset_torn(pool);
    apr_pool_create(&life, pool);
    TORTURE_HOLDS(go_on(life) == TORTURE_WELL);
    apr_pool_destroy(life);
}

static torture_verdict_e verify(apr_pool_t *pool)
{
    apr_uint64_t lines = 0;

    return is_error(audit_verify(file, acknowledged->head, &lines, pool)) ? TORTURE_REFUSED : TORTURE_WELL;
}

/* A record that is well must not be called tampered with: such a message names a line. */
static void check_verified(torture_verdict_e said, apr_pool_t *pool)
{
    (void)pool;
    if (said == TORTURE_REFUSED) {
        TORTURE_SAYS(error);
        if (strstr(error, ": line ") != NULL) {
            TORTURE_BROKEN("accuses: %s", error);
        }
    }
}

const torture_scenario_t torture_audit_verify = {.name = "audit.verify",
                                                 .start = start_audit,
                                                 .stop = stop_audit,
                                                 .reset = reset_whole,
                                                 .run = verify,
                                                 .check = check_verified};

/* ---- reading back -------------------------------------------------------------------------------------- */

static int replayed;

static void count_record(void *baton, const json_t *record)
{
    (void)baton;
    replayed += json_is_string(json_object_get(record, "system"));
}

static void reset_replay(apr_pool_t *pool)
{
    apr_pool_t *life = NULL;

    reset_rotated(pool);
    apr_pool_create(&life, pool);
    TORTURE_HOLDS(go_on(life) == TORTURE_WELL);
    apr_pool_destroy(life);
}

static torture_verdict_e replay(apr_pool_t *pool)
{
    apr_time_t since;

    replayed = 0;
    since = apr_time_now() - apr_time_from_sec(3600);
    return is_error(audit_replay(file, since, count_record, NULL, pool)) ? TORTURE_REFUSED : TORTURE_WELL;
}

/* None of the four records is left out in silence. */
static void check_replayed(torture_verdict_e said, apr_pool_t *pool)
{
    (void)pool;
    if (said == TORTURE_REFUSED) {
        TORTURE_SAYS(error);
    }
    else if (replayed != 4) {
        TORTURE_BROKEN("%d records of 4 were read back, and nothing was said", replayed);
    }
}

const torture_scenario_t torture_audit_replay = {.name = "audit.replay",
                                                 .start = start_audit,
                                                 .stop = stop_audit,
                                                 .reset = reset_replay,
                                                 .run = replay,
                                                 .check = check_replayed};
