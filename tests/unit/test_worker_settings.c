/* SPDX-License-Identifier: Apache-2.0 */
/* amtunlockd.conf as administrators write it: every key, every mistake with its file and line. And the log
 * that tells of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "base/log.h"
#include "worker/settings/settings.h"

typedef struct {
    apr_pool_t *pool;
    char file[64];
    apr_array_header_t *problems;
} fixture_t;

static int setup(void **state)
{
    apr_pool_t *pool = NULL;
    fixture_t *fixture = NULL;

    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    fixture->problems = apr_array_make(pool, 4, sizeof(inventory_problem_t));
    apr_cpystrn(fixture->file, "/tmp/amtu-settings-XXXXXX", sizeof(fixture->file));
    close(mkstemp(fixture->file));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    log_close();
    unlink(fixture->file);
    apr_pool_destroy(fixture->pool);
    return 0;
}

static settings_t *load(fixture_t *fixture, const char *text)
{
    settings_t *settings = NULL;

    FILE *file = fopen(fixture->file, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    apr_array_clear(fixture->problems);
    settings_load(&settings, fixture->file, fixture->problems, fixture->pool);
    return settings;
}

static const inventory_group_t *group(const settings_t *settings, const char *name)
{
    return apr_hash_get(settings->groups, name, APR_HASH_KEY_STRING);
}

/* ---- the digest ---------------------------------------------------------------------------------------- */

typedef struct {
    const char *section, *key, *one, *other;
    int own; /* a host's */
} flip_t;

/* Two values of each key. One that is not here fails the test below. */
static const flip_t flips[] = {
    {"redis", "address", "unix:/a", "unix:/b", 1},
    {"redis", "user", "a", "b", 1},
    {"redis", "password-file", "/a", "/b", 1},
    {"worker", "inventory", "/a", "/b", 1},
    {"worker", "secrets", "exec:/a", "exec:/b", 0},
    {"worker", "ca-file", "/a", "/b", 1},
    {"worker", "crl-file", "/a", "/b", 1},
    {"worker", "tls-certificate", "/a", "/b", 1},
    {"worker", "tls-key", "/a", "/b", 1},
    {"worker", "kerberos-keytab", "/a", "/b", 1},
    {"worker", "kerberos-principal", "a@R", "b@R", 1},
    {"worker", "proof-key", "/a", "/b", 1}, /* workers with different keys work side by side */
    {"worker", "audit", "/a", "/b", 1},
    {"worker", "log", "/a", "/b", 1},
    {"worker", "log-level", "info", "warn", 1},
    {"worker", "state-dir", "/a", "/b", 1},
    {"worker", "threads", "1", "2", 1},
    {"worker", "slots", "1", "2", 1},
    {"worker", "connects", "1", "2", 1},
    {"group x", "method", "sol", "wake", 0},
    {"group x", "auth", "digest", "kerberos", 0},
    {"group x", "tls", "ca", "none", 0},
    {"group x", "tls-max", "1.2", "1.3", 0},
    {"group x", "probe", "22", "23", 0},
    {"group x", "boot-timeout", "60", "61", 0},
    {"group x", "type-running", "yes", "no", 0},
    {"group x", "same-passphrase", "yes", "no", 0},
    {"group x", "reset-running", "yes", "no", 0},
    {"group x", "power-per-second", "1", "2", 0},
    {"group x", "prompt", "a", "b", 0},
    {"group x", "success", "a", "b", 0},
    {"group x", "failure", "a", "b", 0},
    {"group x", "redraw", "\\r", "\\n", 0},
    {"group x", "image", "/a", "/b", 1}, /* its bytes count */
};

static const flip_t *flip_of(const char *section, const char *key)
{
    for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
        if (strncmp(flips[i].section, section, strlen(section)) == 0 && strcmp(flips[i].key, key) == 0) {
            return &flips[i];
        }
    }
    return NULL;
}

/* The table of keys is asked what there is: a setting that decides whom to trust or what to do, and that workers do
 * not compare, would let one go on as before while the others have changed. */
static void every_setting_is_flipped_below(void **state)
{
    FILE *file = fopen("mod_amtunlock/worker/settings/settings.c", "r");
    char line[256], section[32], key[64];
    int count = 0;

    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, " {\"%31[a-z]\", \"%63[a-z-]\", take_", section, key) != 2) {
            strcpy(section, "group ");
            if (sscanf(line, " {GROUP_PREFIX, \"%63[a-z-]\", take_", key) != 1) {
                continue;
            }
        }
        count++;
        if (flip_of(section, key) == NULL) {
            fail_msg(
                "%s %s has no line in flips[]: give it two values, and say whether workers must agree on it",
                section, key);
        }
    }
    fclose(file);
    assert_true(count >= (int)(sizeof(flips) / sizeof(flips[0])));
}

static const char *digest_of(fixture_t *fixture, const char *text)
{
    const settings_t *settings = load(fixture, text);

    if (settings == NULL) {
        fail_msg("%s: %s", text, APR_ARRAY_IDX(fixture->problems, 0, inventory_problem_t).reason);
    }
    return settings != NULL ? settings->digest : NULL;
}

static void each_setting_is_in_the_digest(void **state)
{
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
        const flip_t *flip = &flips[i];
        const char *one = digest_of(
            fixture, apr_psprintf(fixture->pool, "[%s]\n%s = %s\n", flip->section, flip->key, flip->one));
        const char *other = digest_of(
            fixture, apr_psprintf(fixture->pool, "[%s]\n%s = %s\n", flip->section, flip->key, flip->other));

        if ((strcmp(one, other) == 0) != flip->own) {
            fail_msg("%s: the digest says otherwise", flip->key);
        }
    }
}

static void the_digest_is_of_what_is_said(void **state)
{
    fixture_t *fixture = *state;
    const char *one = digest_of(fixture, "[group a]\nprompt = x\nprompt = y\ntls = ca\n[worker]\nslots = 7\n"
                                         "secrets = file:/a\nsecrets = exec:/b\n[group b]\ntls = none\n");

    assert_string_equal(one,
                        digest_of(fixture, "# words\n[group b]\ntls=none\n[group a]\ntls=ca\nprompt=x\n"
                                           "prompt=y\n[worker]\nsecrets=file:/other\nsecrets=exec:/b\n"));
    assert_string_not_equal(one, digest_of(fixture,
                                           "[group a]\nprompt = y\nprompt = x\ntls = ca\n[worker]\n"
                                           "secrets = file:/a\nsecrets = exec:/b\n[group b]\ntls = none\n"));
    assert_string_not_equal(one, digest_of(fixture,
                                           "[group a]\nprompt = x\nprompt = y\ntls = none\n[worker]\n"
                                           "secrets = file:/a\nsecrets = exec:/b\n[group b]\ntls = ca\n"));
}

/* ---- what is read -------------------------------------------------------------------------------------- */

static void an_empty_file_is_the_defaults(void **state)
{
    settings_t *settings = load(*state, "");
    const inventory_group_t *standard = NULL;

    assert_non_null(settings);
    assert_string_equal(settings->redis.socket, "/run/redis-amtunlock/redis.sock");
    assert_string_equal(settings->redis.user, "amtunlockd");
    assert_string_equal(settings->inventory, "/etc/amtunlock/systems.csv");
    assert_int_equal(settings->secrets->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(settings->secrets, 0, const char *), "file:/etc/amtunlock/secrets");
    assert_string_equal(settings->audit, "/var/lib/amtunlock/audit.jsonl");
    assert_string_equal(settings->log, "-");
    assert_int_equal(settings->log_level, LOG_LEVEL_INFO);
    assert_int_equal(settings->slots, 0);
    assert_int_equal(settings->connects, 100);
    assert_true(settings->threads >= 1);
    standard = group(settings, "default");
    assert_string_equal(standard->auth, "digest");
    assert_string_equal(standard->tls, "ca");
    assert_null(standard->method);
    assert_true(standard->boot_timeout == apr_time_from_sec(600));
    assert_int_equal(standard->reset_running, 0);
    assert_int_equal(standard->tls_max, 0);
    assert_int_equal(standard->type_running, 0);
    assert_int_equal(standard->same_passphrase, 0);
}

/* The sample that is installed says of itself that it shows the defaults. */
static void the_sample_is_the_defaults(void **state)
{
    fixture_t *fixture = *state;
    settings_t *sample = NULL;
    settings_t *defaults = load(fixture, "");

    settings_load(&sample, "conf/amtunlockd.conf", fixture->problems, fixture->pool);
    assert_int_equal(fixture->problems->nelts, 0);
    assert_non_null(sample);
    assert_string_equal(sample->redis_address, defaults->redis_address);
    assert_string_equal(sample->redis.user, defaults->redis.user);
    assert_string_equal(sample->password_file, defaults->password_file);
    assert_string_equal(sample->inventory, defaults->inventory);
    assert_string_equal(sample->ca_file, defaults->ca_file);
    assert_string_equal(sample->crl_file, defaults->crl_file);
    assert_string_equal(sample->tls_certificate, defaults->tls_certificate);
    assert_string_equal(sample->tls_key, defaults->tls_key);
    assert_string_equal(sample->keytab, defaults->keytab);
    assert_null(sample->principal);
    assert_string_equal(sample->proof_key, defaults->proof_key);
    assert_string_equal(sample->audit, defaults->audit);
    assert_string_equal(sample->log, defaults->log);
    assert_string_equal(sample->state_dir, defaults->state_dir);
    assert_int_equal(sample->log_level, defaults->log_level);
    assert_int_equal(sample->slots, defaults->slots);
    assert_int_equal(sample->threads, defaults->threads);
    assert_int_equal(sample->connects, defaults->connects);
    assert_string_equal(APR_ARRAY_IDX(sample->secrets, 0, const char *),
                        APR_ARRAY_IDX(defaults->secrets, 0, const char *));
    assert_true(group(sample, "default")->boot_timeout == group(defaults, "default")->boot_timeout);
}

static void every_key_is_read(void **state)
{
    const inventory_group_t *floor = NULL;
    settings_t *settings = load(
        *state,
        "[redis]\naddress = [::1]:7000\nuser =\npassword-file =\n"
        "[worker]\ninventory=/a\nsecrets=file:/b\nsecrets=exec:/c\nca-file=/d\n"
        "audit=/e\nlog=/f\nlog-level=debug\nstate-dir=/g\nthreads=3\nslots=7\n"
        "crl-file=/i\nproof-key=/l\ntls-certificate=/j\ntls-key=/k\n"
        "kerberos-keytab=/h\nkerberos-principal=worker@R\nconnects=9\n[group "
        "floor.1]\nmethod=wake\nauth=kerberos\ntls=none\n"
        "probe=22\nboot-timeout=30\nreset-running=yes\ntype-running=yes\nsame-passphrase=yes\ntls-max=1.2\n"
        "power-per-second=0.5\n");

    assert_non_null(settings);
    assert_string_equal(settings->redis.host, "::1");
    assert_int_equal(settings->redis.port, 7000);
    assert_null(settings->redis.user);
    assert_string_equal(settings->password_file, "");
    assert_null(settings_read_password(settings, ((fixture_t *)*state)->pool));
    assert_null(settings->redis.password);
    assert_int_equal(settings->secrets->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(settings->secrets, 1, const char *), "exec:/c");
    assert_int_equal(settings->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(settings->threads, 3);
    assert_string_equal(settings->crl_file, "/i");
    assert_string_equal(settings->proof_key, "/l");
    assert_string_equal(settings->tls_certificate, "/j");
    assert_string_equal(settings->tls_key, "/k");
    assert_string_equal(settings->keytab, "/h");
    assert_string_equal(settings->principal, "worker@R");
    floor = group(settings, "floor.1");
    assert_string_equal(floor->method, "wake");
    assert_string_equal(floor->auth, "kerberos");
    assert_string_equal(floor->tls, "none");
    assert_string_equal(floor->probe, "22");
    assert_true(floor->boot_timeout == apr_time_from_sec(30));
    assert_int_equal(floor->reset_running, 1);
    assert_int_equal(floor->tls_max, 2);
    assert_int_equal(floor->type_running, 1);
    assert_int_equal(floor->same_passphrase, 1);
    assert_int_equal(floor->power_interval, apr_time_from_sec(2));
    assert_int_equal(group(settings, "default")->reset_running, 0);
    assert_int_equal(group(settings, "default")->power_interval, 0);
}

/* Whichever stands first in the file. */
static void a_group_takes_numbers_from_default(void **state)
{
    settings_t *settings =
        load(*state, "[group a]\nmethod=wake\n[group default]\nboot-timeout=77\nreset-running=yes\n"
                     "power-per-second=4\ntls-max=1.2\n[group b]\npower-per-second=0\ntls-max=1.3\n");

    assert_non_null(settings);
    assert_int_equal(group(settings, "a")->power_interval, apr_time_from_msec(250));
    assert_int_equal(group(settings, "b")->power_interval, 0);
    assert_true(group(settings, "a")->boot_timeout == apr_time_from_sec(77));
    assert_int_equal(group(settings, "a")->reset_running, 1);
    assert_int_equal(group(settings, "a")->tls_max, 2);
    assert_int_equal(group(settings, "b")->tls_max, 3);
    assert_null(group(settings, "a")->auth); /* the inventory looks into default itself */
}

static void a_group_has_its_prompts_or_those_of_default(void **state)
{
    fixture_t *fixture = *state;
    settings_t *settings = load(fixture, "[group a]\nprompt = ^one$\nprompt = ^two$\nimage = /a.iso\n"
                                         "[group default]\nprompt = ^three$\nredraw = \\x15\\r\n"
                                         "[group b]\nmethod = sol\n");
    const prompts_t *a = NULL, *b = NULL;

    assert_non_null(settings);
    a = settings_prompts(settings, "a");
    b = settings_prompts(settings, "b");
    assert_true(amt_patterns_match(a->prompt, "one") && amt_patterns_match(a->prompt, "two"));
    assert_false(amt_patterns_match(a->prompt, "three"));
    assert_true(amt_patterns_match(b->prompt, "three"));
    assert_null(b->success); /* what is built in */
    assert_string_equal(a->redraw, "\x15\r");
    assert_ptr_equal(settings_prompts(settings, "nobody"), settings_prompts(settings, "default"));
    assert_string_equal(settings_image(settings, "a"), "/a.iso");
    assert_null(settings_image(settings, "b"));
}

static void a_password_is_read_from_its_file(void **state)
{
    fixture_t *fixture = *state;
    char path[64] = "/tmp/amtu-password-XXXXXX";
    int fd = mkstemp(path);
    settings_t *settings = NULL;
    const char *error = NULL;

    assert_int_equal(write(fd, "s3cret\nmore\n", 12), 12);
    close(fd);
    settings = load(fixture, apr_psprintf(fixture->pool, "[redis]\npassword-file=%s\n", path));
    assert_null(settings_read_password(settings, fixture->pool));
    assert_string_equal(settings->redis.password, "s3cret");
    unlink(path);
    error = settings_read_password(settings, fixture->pool);
    assert_non_null(error);
    assert_non_null(strstr(error, path));
}

/* ---- what is refused ----------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    unsigned int line;
    const char *reason; /* part of it */
} mistakes[] = {
    {"[worker]\nslot = 5\n", 2, "\"slot\" is not known in section [worker]"},
    {"\n[wroker]\nslots = 5\n", 3, "[wroker] is not known"},
    {"slots = 5\n", 1, "before any [section]"},
    {"[worker]\nslots = 5\nslots = 6\n", 3, "given twice"},
    {"[group a]\ntls = ca\n[group a]\ntls = ca\n", 4, "given twice"},
    {"[worker]\nslots = -1\n", 2, "from 0 to 20000"},
    {"[worker]\nslots = 20001\n", 2, "from 0 to 20000"},
    {"[worker]\nslots = 5x\n", 2, "whole number"},
    {"[worker]\nslots =\n", 2, "whole number"},
    {"[worker]\nslots = 99999999999999999999\n", 2, "whole number"},
    {"[worker]\nthreads = -1\n", 2, "from 0 to 64"},
    {"[worker]\ninventory = systems.csv\n", 2, "absolute path"},
    {"[worker]\naudit =\n", 2, "absolute path"},
    {"[worker]\nproof-key = proof.key\n", 2, "absolute path"},
    {"[worker]\nproof-key =\n", 2, "absolute path"},
    {"[worker]\nlog = here\n", 2, "absolute path"},
    {"[worker]\nlog-level = loud\n", 2, "error, warn, info or debug"},
    {"[worker]\nsecrets = /etc/secrets\n", 2, "file:/PATH or exec:/PATH"},
    {"[worker]\nsecrets = file:relative\n", 2, "file:/PATH or exec:/PATH"},
    {"[redis]\naddress = nonsense\n", 2, ""},
    {"[group a]\nboot-timeout = 4\n", 2, "from 5 to 7200"},
    {"[group a]\nreset-running = maybe\n", 2, "yes or no"},
    {"[group a]\ntls-max = 1.1\n", 2, "must be 1.2 or 1.3"},
    {"[group a]\npower-per-second = 0.001\n", 2, "0 or a number from 0.01 to 1000"},
    {"[group a]\npower-per-second = -1\n", 2, "0 or a number from 0.01 to 1000"},
    {"[group a]\npower-per-second = nan\n", 2, "0 or a number from 0.01 to 1000"},
    {"[group a]\npower-per-second = 2/s\n", 2, "0 or a number from 0.01 to 1000"},
    {"[group a]\npower-per-second =\n", 2, "0 or a number from 0.01 to 1000"},
    {"[group a]\nmethod =\n", 2, "has no value"},
    {"[group a]\nprompt =\n", 2, "has no pattern"},
    {"[group a]\nprompt = ok\nprompt = (\n", 3, "\"(\" is no POSIX extended regular expression"},
    {"[group a]\nfailure = [\n", 2, "is no POSIX extended regular expression"},
    {"[group a]\nredraw = \\q\n", 2, "after \\ stands"},
    {"[group a]\nredraw = a\nredraw = b\n", 3, "given twice"},
    {"[group a]\nimage = unlock.iso\n", 2, "absolute path"},
    {"[group a b]\ntls = ca\n", 2, "letters, digits"},
    {"[group ]\ntls = ca\n", 2, ""},
    {"[worker]\rslots = 5\r", 1, "the line holds a carriage return; lines must end in LF or CRLF"},
    {"[worker]\nlog-level = info\rslots = 5\n", 2, "the line holds a carriage return"},
    {"\xff\xfe[", 1, "the file is UTF-16; save it as UTF-8"},
    {"\xef\xbb\xbf[group aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\ntls = ca\n", 1,
     "longer than"},
    {"[worker]\nnonsense\n", 2, "neither [section] nor NAME = VALUE"},
    {"[group aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\ntls = ca\n", 1, "longer than"},
};

static void mistakes_are_named(void **state)
{
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        const inventory_problem_t *problem = NULL;
        if (load(fixture, mistakes[i].text) != NULL)
            fail_msg("accepted: %s", mistakes[i].text);
        problem = &APR_ARRAY_IDX(fixture->problems, 0, inventory_problem_t);
        if (problem->line != mistakes[i].line || strstr(problem->reason, mistakes[i].reason) == NULL)
            fail_msg("%s: line %u: %s", mistakes[i].text, problem->line, problem->reason);
        assert_string_equal(problem->file, fixture->file);
    }
}

static void a_file_of_another_system_is_read(void **state)
{
    fixture_t *fixture = *state;
    const settings_t *settings = load(fixture, "\xef\xbb\xbf[worker]\r\nslots = 5\r\nlog-level = warn\r\n");

    assert_non_null(settings);
    assert_int_equal(settings->slots, 5);
    assert_int_equal(settings->log_level, LOG_LEVEL_WARN);
}

static void all_mistakes_are_named_at_once(void **state)
{
    fixture_t *fixture = *state;

    assert_null(load(fixture, "[worker]\nslots = no\nthreads = no\n[redis]\nport = 1\n"));
    assert_int_equal(fixture->problems->nelts, 3);
}

static void a_line_that_is_too_long_is_not_cut(void **state)
{
    fixture_t *fixture = *state;
    char *path = apr_pcalloc(fixture->pool, 400);
    const inventory_problem_t *problem = NULL;

    memset(path, 'a', 399);
    assert_null(load(fixture, apr_psprintf(fixture->pool, "[worker]\ninventory = /%s\n", path)));
    problem = &APR_ARRAY_IDX(fixture->problems, 0, inventory_problem_t);
    assert_int_equal(problem->line, 2);
    assert_non_null(strstr(problem->reason, "longer than"));
}

static void a_file_that_is_not_there(void **state)
{
    fixture_t *fixture = *state;
    settings_t *settings = NULL;

    assert_int_not_equal(settings_load(&settings, "/nowhere/at/all", fixture->problems, fixture->pool),
                         APR_SUCCESS);
    assert_null(settings);
    assert_int_equal(fixture->problems->nelts, 1);
    assert_non_null(
        strstr(APR_ARRAY_IDX(fixture->problems, 0, inventory_problem_t).reason, "cannot be read"));
}

/* ---- the log ------------------------------------------------------------------------------------------- */

static const char *log_text(fixture_t *fixture)
{
    char *text = apr_pcalloc(fixture->pool, 65536);

    FILE *file = fopen(fixture->file, "r");
    assert_non_null(file);
    text[fread(text, 1, 65535, file)] = '\0';
    fclose(file);
    return text;
}

static void a_line_has_its_form(void **state)
{
    static const char stamp[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
    fixture_t *fixture = *state;
    const char *text = NULL;

    assert_int_equal(log_open(fixture->file, LOG_LEVEL_INFO), APR_SUCCESS);
    log_info("AMTU0999", "something happened", "plain", "a-b:c/1", "left-out", NULL, "n",
             log_number(LOG_NUMBER, -42));
    text = log_text(fixture);
    for (const char *expected = stamp; *expected; expected++, text++) {
        int as_expected = *expected == 'd' ? *text >= '0' && *text <= '9' : *text == *expected;
        assert_true(as_expected);
    }
    assert_string_equal(text, "info AMTU0999 something happened plain=a-b:c/1 n=-42\n");
}

/* What a device or a caller said cannot begin a line of its own, or a pair. */
static void values_cannot_forge(void **state)
{
    fixture_t *fixture = *state;

    assert_int_equal(log_open(fixture->file, LOG_LEVEL_INFO), APR_SUCCESS);
    log_warn("AMTU0998", "said", "text", "a\nb\"c\\d e=f\x7f\x1b", "empty", "");
    assert_non_null(strstr(log_text(fixture), "said text=\"a\\x0ab\\\"c\\\\d e=f\\x7f\\x1b\" empty=\"\"\n"));
}

static void levels_and_long_lines(void **state)
{
    fixture_t *fixture = *state;
    char *long_text = apr_pcalloc(fixture->pool, 10000);
    const char *text = NULL;

    memset(long_text, 'x', 9999);
    assert_int_equal(log_open(fixture->file, LOG_LEVEL_WARN), APR_SUCCESS);
    log_info("AMTU0997", "not this");
    log_error("AMTU0996", "this", "text", long_text);
    log_error("AMTU0995", "and this");
    text = log_text(fixture);
    assert_null(strstr(text, "AMTU0997"));
    assert_non_null(strstr(text, "x\n")); /* cut, and its newline kept */
    assert_non_null(strstr(text, "AMTU0995 and this\n"));
}

static void a_log_that_moved_is_opened_again(void **state)
{
    fixture_t *fixture = *state;
    const char *old = apr_pstrcat(fixture->pool, fixture->file, ".1", NULL);
    const char *text = NULL;
    struct stat mode;

    assert_int_equal(log_open(fixture->file, LOG_LEVEL_INFO), APR_SUCCESS);
    log_info("AMTU0994", "before");
    assert_int_equal(rename(fixture->file, old), 0);
    assert_int_equal(log_reopen(), APR_SUCCESS);
    log_info("AMTU0993", "after");
    text = log_text(fixture);
    assert_null(strstr(text, "AMTU0994"));
    assert_non_null(strstr(text, "AMTU0993"));
    assert_int_equal(stat(fixture->file, &mode), 0);
    assert_int_equal(mode.st_mode & 0007, 0);
    assert_int_not_equal(log_open("/nowhere/at/all", LOG_LEVEL_INFO), APR_SUCCESS);
    log_info("AMTU0992", "still here");
    assert_non_null(strstr(log_text(fixture), "AMTU0992"));
    unlink(old);
}

int main(void)
{
    int failed = 0;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_file_is_the_defaults),
        TEST(every_setting_is_flipped_below),
        TEST(each_setting_is_in_the_digest),
        TEST(the_digest_is_of_what_is_said),
        TEST(the_sample_is_the_defaults),
        TEST(every_key_is_read),
        TEST(a_group_takes_numbers_from_default),
        TEST(a_group_has_its_prompts_or_those_of_default),
        TEST(a_password_is_read_from_its_file),
        TEST(mistakes_are_named),
        TEST(a_file_of_another_system_is_read),
        TEST(all_mistakes_are_named_at_once),
        TEST(a_line_that_is_too_long_is_not_cut),
        TEST(a_file_that_is_not_there),
        TEST(a_line_has_its_form),
        TEST(values_cannot_forge),
        TEST(levels_and_long_lines),
        TEST(a_log_that_moved_is_opened_again),
    };
    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
