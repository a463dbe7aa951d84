/* SPDX-License-Identifier: Apache-2.0 */
/* One table of keys; each row knows how its value is read and where it goes. */
#include "worker/settings/settings.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <ini.h>

#include "base/owned_file.h"
#include "base/text.h"
#include "worker/settings/lines_priv.h"

#define GROUP_PREFIX "group "
#define NOT_SET (-1)

/* A group, with what the inventory need not know of it. */
typedef struct {
    inventory_group_t inventory;                    /* first: settings_t's groups point to it */
    apr_array_header_t *prompt, *success, *failure; /* const char *; NULL: no lines */
    const char *redraw;                             /* as written; NULL: no line */
    const char *image;                              /* path; NULL: no line */
    prompts_t prompts;
} group_t;

/* One reading of a file. */
typedef struct {
    apr_file_t *file;
    const char *name;
    unsigned int line;  /* that libinih was given last */
    apr_status_t ended; /* APR_EOF: all was read */
    settings_t *settings;
    apr_array_header_t *problems, *secrets;
    apr_array_header_t *lines; /* lines_priv.h */
    apr_hash_t *seen;          /* "section key" -> itself */
    apr_pool_t *pool;
} reading_t;

typedef struct settings_key_t settings_key_t;

/* Puts `value` at `field`. NULL, or what is wrong with it. */
typedef const char *(*take_fn)(reading_t *reading, const settings_key_t *key, const char *value, void *field);

struct settings_key_t {
    const char *section; /* GROUP_PREFIX: any group, and offset counts in group_t */
    const char *name;
    take_fn take;
    size_t offset;
    int min, max; /* of numbers */
    int repeats;
};

static void report_problem(reading_t *reading, unsigned int line, const char *reason)
{
    inventory_problem_t *p = apr_array_push(reading->problems);

    p->file = reading->name;
    p->line = line;
    p->reason = reason;
}

/* ---- values -------------------------------------------------------------------------------------------- */

static const char *take_text(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    (void)key;
    *(const char **)field = apr_pstrdup(reading->pool, value);
    return NULL;
}

/* The worker changes directory, so a relative path would mean another file than to whoever wrote it. */
static const char *take_path(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    if (value[0] != '/') {
        return apr_psprintf(reading->pool, "%s must be an absolute path, not \"%s\"", key->name, value);
    }
    return take_text(reading, key, value, field);
}

static const char *take_path_or_none(reading_t *reading, const settings_key_t *key, const char *value,
                                     void *field)
{
    return value[0] ? take_path(reading, key, value, field) : take_text(reading, key, value, field);
}

static const char *take_path_or_dash(reading_t *reading, const settings_key_t *key, const char *value,
                                     void *field)
{
    return strcmp(value, "-") == 0 ? take_text(reading, key, value, field)
                                   : take_path(reading, key, value, field);
}

static const char *take_address(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    jobs_redis_t parsed = {0};
    const char *error = jobs_redis_parse(value, &parsed, reading->pool);

    return error ? error : take_text(reading, key, value, field);
}

static const char *take_user(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    *(const char **)field = NULL;
    return value[0] ? take_text(reading, key, value, field) : NULL;
}

static const char *read_number(reading_t *reading, const settings_key_t *key, const char *value, int *number)
{
    char *end = NULL;
    long n = 0;

    errno = 0;
    n = strtol(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || n < key->min || n > key->max) {
        return apr_psprintf(reading->pool, "%s must be a whole number from %d to %d, not \"%s\"", key->name,
                            key->min, key->max, value);
    }
    *number = (int)n;
    return NULL;
}

static const char *take_number(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    return read_number(reading, key, value, field);
}

static const char *take_seconds(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    int seconds = 0;
    const char *error = read_number(reading, key, value, &seconds);

    if (error == NULL) {
        *(apr_interval_time_t *)field = apr_time_from_sec(seconds);
    }
    return error;
}

/* Requests a second; stored as the time from one to the next. */
static const char *take_rate(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    char *end = NULL;
    double rate = 0;

    errno = 0;
    rate = strtod(value, &end);
    if (errno != 0 || end == value || *end != '\0' || !(rate == 0 || (rate >= 0.01 && rate <= 1000))) {
        return apr_psprintf(reading->pool, "%s must be 0 or a number from 0.01 to 1000, not \"%s\"",
                            key->name, value);
    }
    *(apr_interval_time_t *)field = rate > 0 ? (apr_interval_time_t)(APR_USEC_PER_SEC / rate) : 0;
    return NULL;
}

static const char *take_yes_no(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    int yes = strcmp(value, "yes") == 0;

    if (!yes && strcmp(value, "no") != 0) {
        return apr_psprintf(reading->pool, "%s must be yes or no, not \"%s\"", key->name, value);
    }
    *(int *)field = yes;
    return NULL;
}

static const char *take_tls_version(reading_t *reading, const settings_key_t *key, const char *value,
                                    void *field)
{
    if (strcmp(value, "1.2") != 0 && strcmp(value, "1.3") != 0) {
        return apr_psprintf(reading->pool, "%s must be 1.2 or 1.3, not \"%s\"", key->name, value);
    }
    *(int *)field = value[2] - '0';
    return NULL;
}

static const char *take_level(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    int level = log_level_of_name(value);

    if (level < 0) {
        return apr_psprintf(reading->pool, "%s must be error, warn, info or debug, not \"%s\"", key->name,
                            value);
    }
    *(log_level_e *)field = (log_level_e)level;
    return NULL;
}

static const char *take_secret_provider(reading_t *reading, const settings_key_t *key, const char *value,
                                        void *field)
{
    (void)field;
    if (strncmp(value, "file:/", 6) != 0 && strncmp(value, "exec:/", 6) != 0) {
        return apr_psprintf(reading->pool, "%s must be file:/PATH or exec:/PATH, not \"%s\"", key->name,
                            value);
    }
    APR_ARRAY_PUSH(reading->secrets, const char *) = apr_pstrdup(reading->pool, value);
    return NULL;
}

/* The inventory checks the value, and names the line of systems.csv that a bad default breaks. */
static const char *take_cell(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    if (value[0] == '\0') {
        return apr_psprintf(reading->pool, "%s has no value; leave the line out to have no default",
                            key->name);
    }
    return take_text(reading, key, value, field);
}

static const char *take_pattern(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    apr_array_header_t **patterns = field;
    const char *error = NULL;

    if (value[0] == '\0') {
        return apr_psprintf(reading->pool, "%s has no pattern; leave the line out to have those built in",
                            key->name);
    }
    error = prompts_check_pattern(value, reading->pool);
    if (error != NULL) {
        return error;
    }
    if (*patterns == NULL) {
        *patterns = apr_array_make(reading->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*patterns, const char *) = apr_pstrdup(reading->pool, value);
    return NULL;
}

static const char *take_redraw(reading_t *reading, const settings_key_t *key, const char *value, void *field)
{
    const char *error = prompts_check_redraw(value, reading->pool);

    return error ? error : take_text(reading, key, value, field);
}

/* ---- the table ----------------------------------------------------------------------------------------- */

#define IN_SETTINGS(member) offsetof(settings_t, member)
#define IN_GROUP(member) offsetof(group_t, member)

static const settings_key_t keys[] = {
    {"redis", "address", take_address, IN_SETTINGS(redis_address), 0, 0, 0},
    {"redis", "user", take_user, IN_SETTINGS(redis.user), 0, 0, 0},
    {"redis", "password-file", take_path_or_none, IN_SETTINGS(password_file), 0, 0, 0},
    {"worker", "inventory", take_path, IN_SETTINGS(inventory), 0, 0, 0},
    {"worker", "secrets", take_secret_provider, 0, 0, 0, 1},
    {"worker", "ca-file", take_path, IN_SETTINGS(ca_file), 0, 0, 0},
    {"worker", "crl-file", take_path_or_none, IN_SETTINGS(crl_file), 0, 0, 0},
    {"worker", "tls-certificate", take_path_or_none, IN_SETTINGS(tls_certificate), 0, 0, 0},
    {"worker", "tls-key", take_path_or_none, IN_SETTINGS(tls_key), 0, 0, 0},
    {"worker", "kerberos-keytab", take_path_or_none, IN_SETTINGS(keytab), 0, 0, 0},
    {"worker", "kerberos-principal", take_user, IN_SETTINGS(principal), 0, 0, 0},
    {"worker", "proof-key", take_path, IN_SETTINGS(proof_key), 0, 0, 0},
    {"worker", "audit", take_path, IN_SETTINGS(audit), 0, 0, 0},
    {"worker", "log", take_path_or_dash, IN_SETTINGS(log), 0, 0, 0},
    {"worker", "log-level", take_level, IN_SETTINGS(log_level), 0, 0, 0},
    {"worker", "state-dir", take_path, IN_SETTINGS(state_dir), 0, 0, 0},
    {"worker", "threads", take_number, IN_SETTINGS(threads), 0, 64, 0},
    {"worker", "slots", take_number, IN_SETTINGS(slots), 0, 20000, 0},
    {"worker", "connects", take_number, IN_SETTINGS(connects), 1, 10000, 0},
    {GROUP_PREFIX, "method", take_cell, IN_GROUP(inventory.method), 0, 0, 0},
    {GROUP_PREFIX, "auth", take_cell, IN_GROUP(inventory.auth), 0, 0, 0},
    {GROUP_PREFIX, "tls", take_cell, IN_GROUP(inventory.tls), 0, 0, 0},
    {GROUP_PREFIX, "tls-max", take_tls_version, IN_GROUP(inventory.tls_max), 0, 0, 0},
    {GROUP_PREFIX, "probe", take_cell, IN_GROUP(inventory.probe), 0, 0, 0},
    {GROUP_PREFIX, "boot-timeout", take_seconds, IN_GROUP(inventory.boot_timeout), 5, 7200, 0},
    {GROUP_PREFIX, "type-running", take_yes_no, IN_GROUP(inventory.type_running), 0, 0, 0},
    {GROUP_PREFIX, "same-passphrase", take_yes_no, IN_GROUP(inventory.same_passphrase), 0, 0, 0},
    {GROUP_PREFIX, "reset-running", take_yes_no, IN_GROUP(inventory.reset_running), 0, 0, 0},
    {GROUP_PREFIX, "power-per-second", take_rate, IN_GROUP(inventory.power_interval), 0, 0, 0},
    {GROUP_PREFIX, "prompt", take_pattern, IN_GROUP(prompt), 0, 0, 1},
    {GROUP_PREFIX, "success", take_pattern, IN_GROUP(success), 0, 0, 1},
    {GROUP_PREFIX, "failure", take_pattern, IN_GROUP(failure), 0, 0, 1},
    {GROUP_PREFIX, "redraw", take_redraw, IN_GROUP(redraw), 0, 0, 0},
    {GROUP_PREFIX, "image", take_path, IN_GROUP(image), 0, 0, 0},
};

static int is_group(const char *section)
{
    return strncmp(section, GROUP_PREFIX, strlen(GROUP_PREFIX)) == 0;
}

static const settings_key_t *find_key(const char *section, const char *name, int *known_section)
{
    const char *kind = is_group(section) ? GROUP_PREFIX : section;

    *known_section = 0;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(keys[i].section, kind) != 0) {
            continue;
        }
        *known_section = 1;
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

/* ---- groups -------------------------------------------------------------------------------------------- */

static group_t *group_of(reading_t *reading, const char *name)
{
    group_t *group = apr_hash_get(reading->settings->groups, name, APR_HASH_KEY_STRING);

    if (group != NULL) {
        return group;
    }
    group = apr_pcalloc(reading->pool, sizeof(*group));
    group->inventory.name = apr_pstrdup(reading->pool, name);
    group->inventory.boot_timeout = NOT_SET;
    group->inventory.type_running = NOT_SET;
    group->inventory.same_passphrase = NOT_SET;
    group->inventory.reset_running = NOT_SET;
    group->inventory.tls_max = NOT_SET;
    group->inventory.power_interval = NOT_SET;
    apr_hash_set(reading->settings->groups, group->inventory.name, APR_HASH_KEY_STRING, group);
    return group;
}

static int is_group_name(const char *name)
{
    for (const char *p = name; *p; p++) {
        if (!apr_isalnum(*p) && strchr("-_.", *p) == NULL) {
            return 0;
        }
    }
    return *name != '\0';
}

/* Its own line, or what `otherwise` says. */
static void complete_switch(int *own, int otherwise)
{
    *own = *own == NOT_SET ? otherwise : *own;
}

static void complete_switches(inventory_group_t *group, const inventory_group_t *standard)
{
    complete_switch(&group->type_running, standard->type_running);
    complete_switch(&group->same_passphrase, standard->same_passphrase);
    complete_switch(&group->reset_running, standard->reset_running);
    complete_switch(&group->tls_max, standard->tls_max);
}

static void complete_group(reading_t *reading, group_t *group, const group_t *standard)
{
    const prompts_texts_t texts = {.prompt = group->prompt != NULL ? group->prompt : standard->prompt,
                                   .success = group->success != NULL ? group->success : standard->success,
                                   .failure = group->failure != NULL ? group->failure : standard->failure,
                                   .redraw = group->redraw != NULL ? group->redraw : standard->redraw};
    const char *error = prompts_make(&group->prompts, &texts, reading->pool);

    if (error != NULL) {
        report_problem(reading, 0,
                       apr_psprintf(reading->pool, "[group %s]: %s", group->inventory.name, error));
    }
    if (group->inventory.boot_timeout == NOT_SET) {
        group->inventory.boot_timeout = standard->inventory.boot_timeout;
    }
    complete_switches(&group->inventory, &standard->inventory);
    if (group->inventory.power_interval == NOT_SET) {
        group->inventory.power_interval = standard->inventory.power_interval;
    }
    if (group->image == NULL) {
        group->image = standard->image;
    }
}

/* Sets what a group has no line for to the value of "default". The texts of the inventory stay NULL: the
 * inventory itself falls back to "default". */
static void complete_groups(reading_t *reading)
{
    apr_hash_t *groups = reading->settings->groups;
    group_t *standard = group_of(reading, "default");

    if (standard->inventory.boot_timeout == NOT_SET) {
        standard->inventory.boot_timeout = apr_time_from_sec(600);
    }
    complete_switches(&standard->inventory, &(inventory_group_t){0});
    if (standard->inventory.power_interval == NOT_SET) {
        standard->inventory.power_interval = 0;
    }
    for (apr_hash_index_t *i = apr_hash_first(reading->pool, groups); i; i = apr_hash_next(i)) {
        complete_group(reading, apr_hash_this_val(i), standard);
    }
}

static const group_t *find_group(const settings_t *settings, const char *name)
{
    const group_t *group = apr_hash_get(settings->groups, name, APR_HASH_KEY_STRING);

    return group ? group : apr_hash_get(settings->groups, "default", APR_HASH_KEY_STRING);
}

const prompts_t *settings_prompts(const settings_t *settings, const char *group)
{
    return &find_group(settings, group)->prompts;
}

const char *settings_image(const settings_t *settings, const char *group)
{
    return find_group(settings, group)->image;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong with this line. */
static const char *take_setting(reading_t *reading, const char *section, const char *name, const char *value)
{
    const char *id = apr_pstrcat(reading->pool, section, "\n", name, NULL);
    int known_section = 0;
    const settings_key_t *key = find_key(section, name, &known_section);
    char *base = NULL;

    if (section[0] == '\0') {
        return apr_psprintf(reading->pool, "\"%s\" stands before any [section]", name);
    }
    if (!known_section) {
        return apr_psprintf(reading->pool,
                            "section [%s] is not known: there are [redis], [worker] and [group NAME]",
                            section);
    }
    if (key == NULL) {
        return apr_psprintf(reading->pool, "\"%s\" is not known in section [%s]", name, section);
    }
    if (is_group(section) && !is_group_name(section + strlen(GROUP_PREFIX))) {
        return apr_psprintf(reading->pool,
                            "[%s]: a group's name is made of letters, digits, '-', '_' and '.'", section);
    }
    if (!key->repeats && apr_hash_get(reading->seen, id, APR_HASH_KEY_STRING) != NULL) {
        return apr_psprintf(reading->pool, "\"%s\" is given twice in section [%s]", name, section);
    }
    apr_hash_set(reading->seen, id, APR_HASH_KEY_STRING, id);
    settings_lines_keep(reading->lines, section, name, value);
    base = is_group(section) ? (char *)group_of(reading, section + strlen(GROUP_PREFIX))
                             : (char *)reading->settings;
    return key->take(reading, key, value, base + key->offset);
}

/* libinih's handler. Always goes on: problems are collected. */
static int on_value(void *user, const char *section, const char *name, const char *value)
{
    reading_t *reading = user;
    const char *reason = take_setting(reading, section, name, value);

    if (reason != NULL) {
        report_problem(reading, reading->line, reason);
    }
    return 1;
}

/* libinih's reader: like fgets(), and counts the lines. */
static char *next_line(char *line, int size, void *stream)
{
    reading_t *reading = stream;
    const char *fault = NULL;

    reading->ended = apr_file_gets(line, size, reading->file);
    if (reading->ended != APR_SUCCESS) {
        return NULL;
    }
    reading->line++;
    if ((fault = settings_line_fault(line, size, reading->line == 1, reading->pool)) != NULL) {
        report_problem(reading, reading->line, fault);
    }
    return line;
}

static int count_cores(void)
{
    cpu_set_t cores;

    if (sched_getaffinity(0, sizeof(cores), &cores) != 0) {
        return 1;
    }
    return CPU_COUNT(&cores) > 0 ? CPU_COUNT(&cores) : 1;
}

static void set_defaults(reading_t *reading)
{
    settings_t *settings = reading->settings;
    group_t *standard = NULL;

    settings->file = reading->name;
    settings->redis_address = "unix:/run/redis-amtunlock/redis.sock";
    settings->redis.user = "amtunlockd";
    settings->password_file = AMTUNLOCK_SYSCONFDIR "/amtunlock/redis-worker.password";
    settings->inventory = AMTUNLOCK_SYSCONFDIR "/amtunlock/systems.csv";
    settings->ca_file = AMTUNLOCK_SYSCONFDIR "/amtunlock/amt-ca.pem";
    settings->crl_file = "";
    settings->tls_certificate = settings->tls_key = settings->keytab = "";
    settings->proof_key = AMTUNLOCK_LOCALSTATEDIR "/lib/amtunlock/proof.key";
    settings->audit = AMTUNLOCK_LOCALSTATEDIR "/lib/amtunlock/audit.jsonl";
    settings->log = "-";
    settings->log_level = LOG_LEVEL_INFO;
    settings->state_dir = AMTUNLOCK_RUNSTATEDIR "/amtunlock";
    settings->connects = 100;
    settings->groups = apr_hash_make(reading->pool);
    standard = group_of(reading, "default");
    standard->inventory.auth = "digest";
    standard->inventory.tls = "ca";
}

static void complete_settings(reading_t *reading)
{
    settings_t *settings = reading->settings;
    const char *user = settings->redis.user;
    const char *error = jobs_redis_parse(settings->redis_address, &settings->redis, reading->pool);

    settings->redis.user = user;
    if (error != NULL) {
        report_problem(reading, 0, error);
    }
    if (settings->threads == 0) {
        settings->threads = count_cores();
    }
    if (reading->secrets->nelts == 0) {
        APR_ARRAY_PUSH(reading->secrets, const char *) = "file:" AMTUNLOCK_SYSCONFDIR "/amtunlock/secrets";
    }
    settings->secrets = reading->secrets;
    complete_groups(reading);
    settings->digest = settings_lines_digest(reading->lines);
    if (settings->digest == NULL) {
        report_problem(reading, 0, "SHA-256 is not available from OpenSSL");
    }
}

static void cannot_read(reading_t *reading, apr_status_t status)
{
    report_problem(reading, 0,
                   apr_psprintf(reading->pool, "cannot be read: %s", text_strerror(status, reading->pool)));
}

/* The file is open. */
static void begin_reading(reading_t *reading)
{
    apr_finfo_t info;

    reading->settings = apr_pcalloc(reading->pool, sizeof(*reading->settings));
    reading->secrets = apr_array_make(reading->pool, 2, sizeof(const char *));
    reading->seen = apr_hash_make(reading->pool);
    reading->lines = settings_lines_create(reading->pool);
    if (apr_file_info_get(&info, APR_FINFO_MTIME, reading->file) == APR_SUCCESS) {
        reading->settings->written = info.mtime;
    }
    set_defaults(reading);
}

apr_status_t settings_load(settings_t **settings, const char *file, apr_array_header_t *problems,
                           apr_pool_t *pool)
{
    reading_t reading = {.name = file, .problems = problems, .pool = pool};
    int before = problems->nelts, bad_line = 0;
    apr_status_t status;

    *settings = NULL;
    status = apr_file_open(&reading.file, file, APR_FOPEN_READ | APR_FOPEN_BUFFERED, 0, pool);
    if (status != APR_SUCCESS) {
        cannot_read(&reading, status);
        return status;
    }
    begin_reading(&reading);
    bad_line = ini_parse_stream(next_line, &reading, on_value, &reading);
    apr_file_close(reading.file);
    if (bad_line > 0) {
        report_problem(&reading, (unsigned int)bad_line, "is neither [section] nor NAME = VALUE");
    }
    else if (bad_line < 0 ||
             !APR_STATUS_IS_EOF(reading.ended)) { /* what was not read would become defaults */
        cannot_read(&reading, bad_line < 0 ? APR_ENOMEM : reading.ended);
    }
    complete_settings(&reading);
    if (problems->nelts != before) {
        return APR_EGENERAL;
    }
    *settings = reading.settings;
    return APR_SUCCESS;
}

const char *settings_read_password(settings_t *settings, apr_pool_t *pool)
{
    const char *error = NULL;

    if (settings->password_file[0] == '\0') {
        return NULL;
    }
    error = owned_file_check("password-file", settings->password_file, pool);
    return error != NULL ? error
                         : jobs_redis_read_password(settings->password_file, &settings->redis.password, pool);
}
