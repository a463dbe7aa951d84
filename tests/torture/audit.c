/* SPDX-License-Identifier: Apache-2.0 */
/* The audit record: what a commit acknowledged stands in the file, whole and in the chain; what was not
 * acknowledged may be missing, but damages nothing.
 */
#include "audit/audit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "scenarios.h"

#define ROOM 96

static char file[ROOM], before[ROOM], second[ROOM];
static char head[100];            /* of what was acknowledged last: "HASH:COUNT"; "" for nothing */
static apr_uint64_t acknowledged; /* its count */
static char error[640];           /* what was said last; "" for nothing */

/* ---- what all share ------------------------------------------------------------------------------------ */

static void name_files(void)
{
    snprintf(file, sizeof(file), "%s/audit.jsonl", torture_folder());
    snprintf(before, sizeof(before), "%s/audit.jsonl.1", torture_folder());
    snprintf(second, sizeof(second), "%s/audit.jsonl.2", torture_folder());
    unlink(file);
    unlink(before);
    unlink(second);
    head[0] = '\0';
    acknowledged = 0;
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
    audit_head(audit, &hash, &acknowledged);
    snprintf(head, sizeof(head), "%s:%llu", hash, (unsigned long long)acknowledged);
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

/* Whoever comes after us finds a record that it can go on with, and that holds all that was acknowledged. */
static void check_record(torture_verdict_e said, apr_pool_t *pool)
{
    audit_t *audit = NULL;
    apr_uint64_t lines = 0;
    if (said == TORTURE_REFUSED) {
        TORTURE_SAYS(error);
    }
    const char *wrong = audit_open(&audit, file, pool);
    if (wrong != NULL) {
        TORTURE_BROKEN("cannot be opened afterwards: %s", wrong);
    }
    wrong = audit_verify(file, acknowledged ? head : NULL, &lines, pool);
    if (wrong != NULL) {
        TORTURE_BROKEN("what was acknowledged is not there: %s", wrong);
    }
    TORTURE_HOLDS(said == TORTURE_REFUSED || lines >= acknowledged);
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
    if (is_error(audit_open(&audit, file, pool))) {
        return TORTURE_REFUSED;
    }
    int well = write_one(audit, "pc1.example");
    well &= write_one(audit, "pc2.example");
    well &= write_one(audit, "pc3.example");
    return well ? TORTURE_WELL : TORTURE_REFUSED;
}

const torture_scenario_t torture_audit_write = {
    .name = "audit.write", .reset = reset_empty, .run = write_record, .check = check_record};

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
    TORTURE_HOLDS(said == TORTURE_REFUSED || acknowledged == 5);
}

const torture_scenario_t torture_audit_torn = {
    .name = "audit.torn", .reset = reset_torn, .run = go_on, .check = check_torn};

/* ---- rotation ------------------------------------------------------------------------------------------ */

static void reset_rotated(apr_pool_t *pool)
{
    reset_torn(pool);
    TORTURE_HOLDS(rename(file, before) == 0);
}

/* A worker that starts in an empty place, and one that is told of a rotation while it runs. */
static torture_verdict_e rotate(apr_pool_t *pool)
{
    audit_t *audit = NULL;
    if (is_error(audit_open(&audit, file, pool))) {
        return TORTURE_REFUSED;
    }
    int well = write_one(audit, "pc5.example");
    if (rename(file, second) != 0) {
        is_error("not moved");
        return TORTURE_REFUSED;
    }
    well &= !is_error(audit_reopen(audit));
    well &= write_one(audit, "pc6.example");
    return well ? TORTURE_WELL : TORTURE_REFUSED;
}

/* The numbers go on across all three files. */
static void check_rotated(torture_verdict_e said, apr_pool_t *pool)
{
    audit_t *audit = NULL;
    apr_uint64_t count = 0;
    const char *hash = "";
    const char *wrong = audit_open(&audit, file, pool);
    if (wrong != NULL) {
        TORTURE_BROKEN("cannot be opened afterwards: %s", wrong);
    }
    audit_head(audit, &hash, &count);
    if (count < acknowledged || count < 4) {
        TORTURE_BROKEN("the chain begins anew: record %d is the last, %d was acknowledged", (int)count,
                       (int)acknowledged);
    }
    TORTURE_HOLDS(said == TORTURE_REFUSED || count == 6);
}

const torture_scenario_t torture_audit_rotate = {
    .name = "audit.rotate", .reset = reset_rotated, .run = rotate, .check = check_rotated};

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
    return is_error(audit_verify(file, head, &lines, pool)) ? TORTURE_REFUSED : TORTURE_WELL;
}

/* A record that is well must never be said to be tampered with: such a sentence names a line. */
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

const torture_scenario_t torture_audit_verify = {
    .name = "audit.verify", .reset = reset_whole, .run = verify, .check = check_verified};

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
    replayed = 0;
    apr_time_t since = apr_time_now() - apr_time_from_sec(3600);
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

const torture_scenario_t torture_audit_replay = {
    .name = "audit.replay", .reset = reset_replay, .run = replay, .check = check_replayed};
