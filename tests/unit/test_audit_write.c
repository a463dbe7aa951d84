/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the record: what is on disk when, what a failed write leaves, going on after a crash and after
 * rotation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "audit/audit.h"
#include "base/pulse.h"

/* A disk that fails on demand: these replace the C library's calls. */
static int failing_sync, failing_truncate, syncs;
static void interfere(void);

int fdatasync(int fd)
{
    syncs++;
    interfere();
    if (failing_sync) {
        errno = failing_sync;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t length)
{
    if (failing_truncate) {
        errno = failing_truncate;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}

typedef struct {
    apr_pool_t *pool;
    apr_pool_t *audit_pool; /* destroyed like a process that ends */
    char folder[64];
    const char *file, *moved;
    audit_t *audit;
} fixture_t;

static int setup(void **state)
{
    fixture_t *fixture;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    apr_cpystrn(fixture->folder, "/tmp/amtu-audit-XXXXXX", sizeof(fixture->folder));
    assert_non_null(mkdtemp(fixture->folder));
    fixture->file = apr_pstrcat(pool, fixture->folder, "/audit.jsonl", NULL);
    fixture->moved = apr_pstrcat(pool, fixture->folder, "/audit.jsonl.1", NULL);
    failing_sync = failing_truncate = syncs = 0;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    if (fixture->audit_pool) {
        apr_pool_destroy(fixture->audit_pool);
    }
    unlink(fixture->file);
    unlink(fixture->moved);
    rmdir(fixture->folder);
    apr_pool_destroy(fixture->pool);
    return 0;
}

static const char *open_audit(fixture_t *fixture)
{
    const char *error;

    if (fixture->audit_pool) {
        apr_pool_destroy(fixture->audit_pool);
    }
    apr_pool_create(&fixture->audit_pool, NULL);
    error = audit_open(&fixture->audit, fixture->file, fixture->audit_pool);
    return error ? apr_pstrdup(fixture->pool, error) : NULL;
}

static void add(fixture_t *fixture, const char *event, int value)
{
    assert_int_equal(audit_add(fixture->audit, event, json_pack("{s:i}", "value", value)), APR_SUCCESS);
}

static void commit(fixture_t *fixture)
{
    const char *error;

    assert_int_equal(audit_commit(fixture->audit, &error), APR_SUCCESS);
    assert_null(error);
}

static const char *commit_fails(fixture_t *fixture)
{
    const char *error;

    assert_int_not_equal(audit_commit(fixture->audit, &error), APR_SUCCESS);
    assert_non_null(error);
    assert_non_null(strstr(error, fixture->file));
    return apr_pstrdup(fixture->pool, error);
}

static const char *content(const fixture_t *fixture, const char *name)
{
    FILE *file = fopen(name, "r");
    char *text = apr_pcalloc(fixture->pool, 100000);

    assert_non_null(file);
    text[fread(text, 1, 99999, file)] = '\0';
    fclose(file);
    return text;
}

static void append(const char *name, const char *text)
{
    FILE *file = fopen(name, "a");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int lines_of(const char *text)
{
    int count = 0;

    for (; (text = strchr(text, '\n')); text++) {
        count++;
    }
    return count;
}

static void assert_verifies(fixture_t *fixture, const char *name, apr_uint64_t lines)
{
    apr_uint64_t count;
    const char *error = audit_verify(name, NULL, &count, fixture->pool);

    if (error) {
        fail_msg("%s", error);
    }
    assert_int_equal(count, lines);
}

static void test_nothing_before_commit(void **state)
{
    fixture_t *fixture = *state;
    struct stat info;
    const char *hash, *text;
    apr_uint64_t count;
    json_t *record;

    assert_null(open_audit(fixture));
    assert_int_equal(stat(fixture->file, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    audit_head(fixture->audit, &hash, &count);
    assert_int_equal(count, 0);
    assert_int_equal(strspn(hash, "0"), 64);

    add(fixture, "intent", 1);
    add(fixture, "outcome", 2);
    assert_int_equal(lines_of(content(fixture, fixture->file)), 0);
    audit_head(fixture->audit, &hash, &count);
    assert_int_equal(count, 0);
    syncs = 0;
    commit(fixture);
    assert_int_equal(syncs, 1);
    commit(fixture);
    assert_int_equal(syncs, 1);

    text = content(fixture, fixture->file);
    assert_int_equal(lines_of(text), 2);
    record = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(record);
    assert_int_equal(json_integer_value(json_object_get(record, "n")), 1);
    assert_string_equal(json_string_value(json_object_get(record, "event")), "intent");
    assert_int_equal(json_integer_value(json_object_get(record, "value")), 1);
    assert_int_equal(strspn(json_string_value(json_object_get(record, "prev")), "0"), 64);
    assert_int_equal(strlen(json_string_value(json_object_get(record, "t"))),
                     strlen("2026-11-21T19:12:52.123456Z"));
    assert_non_null(strstr(strchr(text, '\n'), json_string_value(json_object_get(record, "hash"))));
    json_decref(record);
    audit_head(fixture->audit, &hash, &count);
    assert_int_equal(count, 2);
    assert_non_null(strstr(text, hash));
    assert_verifies(fixture, fixture->file, 2);
}

static void test_what_is_no_record(void **state)
{
    fixture_t *fixture = *state;
    static const char *const own[] = {"n", "t", "prev", "event", "hash"};
    char *big = apr_palloc(fixture->pool, 70000);

    assert_null(open_audit(fixture));
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        assert_int_equal(audit_add(fixture->audit, "x", json_pack("{s:s}", own[i], "forged")), APR_EINVAL);
    }
    assert_int_equal(audit_add(fixture->audit, "x", json_pack("[s]", "x")), APR_EINVAL);
    assert_int_equal(audit_add(fixture->audit, "x", NULL), APR_EINVAL);
    assert_int_equal(audit_add(fixture->audit, "\xff", json_object()), APR_EINVAL);
    memset(big, 'x', 69999);
    big[69999] = '\0';
    assert_int_equal(audit_add(fixture->audit, "x", json_pack("{s:s}", "v", big)), APR_EINVAL);
    big[60000] = '\0';
    assert_int_equal(audit_add(fixture->audit, "x", json_pack("{s:s}", "v", big)), APR_SUCCESS);
    /* what a caller may have put into a name cannot break the line */
    assert_int_equal(audit_add(fixture->audit, "x\n\"", json_pack("{s:s}", "v", "a\nb\"}\r\x01\xc3\xa4")),
                     APR_SUCCESS);
    commit(fixture);
    assert_verifies(fixture, fixture->file, 2);
}

static void test_goes_on_after_restart(void **state)
{
    fixture_t *fixture = *state;
    const char *hash;
    apr_uint64_t count;

    assert_null(open_audit(fixture));
    add(fixture, "a", 1);
    commit(fixture);
    add(fixture, "lost", 2); /* never committed */
    assert_null(open_audit(fixture));
    audit_head(fixture->audit, &hash, &count);
    assert_int_equal(count, 1);
    add(fixture, "b", 3);
    commit(fixture);
    assert_null(strstr(content(fixture, fixture->file), "lost"));
    assert_verifies(fixture, fixture->file, 2);
}

/* What the power left of a batch stays, is said, and verifies; also when saying so was cut off as well. */
static void test_torn_tail(void **state)
{
    static const char *const tails[] = {"{\"n\":2,\"t\":\"2026",
                                        "{",
                                        "{\"n\":2,\"t\":\"20\n",
                                        "{\"n\":2,\"t\":\"20\n{\"n\":2,\"",
                                        "\n",
                                        "\n\n\n"};
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        unlink(fixture->file);
        assert_null(open_audit(fixture));
        add(fixture, "a", 1);
        commit(fixture);
        append(fixture->file, tails[i]);
        assert_null(open_audit(fixture));
        add(fixture, "b", 2);
        commit(fixture);
        assert_non_null(strstr(content(fixture, fixture->file), tails[i]));
        assert_non_null(strstr(content(fixture, fixture->file), "\"event\":\"torn\""));
        assert_verifies(fixture, fixture->file, (apr_uint64_t)lines_of(content(fixture, fixture->file)));
    }
    /* the very first line */
    unlink(fixture->file);
    append(fixture->file, "{\"n\":1,\"t\":\"2");
    assert_int_equal(chmod(fixture->file, 0600), 0);
    assert_null(open_audit(fixture));
    assert_verifies(fixture, fixture->file, 2);
}

static void test_another_kind_of_file(void **state)
{
    fixture_t *fixture = *state;

    append(fixture->file, "root:x:0:0::/root:/bin/sh\n");
    assert_int_equal(chmod(fixture->file, 0600), 0);
    assert_non_null(strstr(open_audit(fixture), "something else than a record"));
    assert_string_equal(content(fixture, fixture->file), "root:x:0:0::/root:/bin/sh\n");
}

static void test_last_line_changed(void **state)
{
    fixture_t *fixture = *state;
    char *text;
    FILE *file;

    assert_null(open_audit(fixture));
    add(fixture, "honest", 1);
    commit(fixture);
    text = apr_pstrdup(fixture->pool, content(fixture, fixture->file));
    strstr(text, "honest")[0] = 'H';
    file = fopen(fixture->file, "w");
    fputs(text, file);
    fclose(file);
    assert_non_null(strstr(open_audit(fixture), "the last record was changed: its hash does not match"));
    assert_string_equal(content(fixture, fixture->file), text);
}

static void test_refused_files(void **state)
{
    fixture_t *fixture = *state;
    const char *other = fixture->moved;

    assert_null(open_audit(fixture));
    apr_pool_destroy(fixture->audit_pool);
    fixture->audit_pool = NULL;
    assert_int_equal(chmod(fixture->file, 0620), 0);
    assert_non_null(strstr(open_audit(fixture), "others may change it"));
    assert_int_equal(chmod(fixture->file, 0640), 0); /* a group may read */
    assert_null(open_audit(fixture));
    apr_pool_destroy(fixture->audit_pool);
    fixture->audit_pool = NULL;

    assert_int_equal(rename(fixture->file, other), 0);
    assert_int_equal(symlink(other, fixture->file), 0);
    assert_non_null(strstr(open_audit(fixture), "cannot be opened"));
    unlink(fixture->file);
    assert_int_equal(mkfifo(fixture->file, 0600), 0);
    assert_non_null(strstr(open_audit(fixture), "is not a regular file"));
    unlink(fixture->file);
    fixture->file = apr_pstrcat(fixture->pool, fixture->folder, "/none/audit.jsonl", NULL);
    assert_non_null(strstr(open_audit(fixture), "No such file"));
}

static void test_one_writer(void **state)
{
    fixture_t *fixture = *state;
    audit_t *second;

    assert_null(open_audit(fixture));
    assert_non_null(strstr(audit_open(&second, fixture->file, fixture->pool), "another process writes it"));
    assert_null(second);
}

/* A full disk, by way of a file size limit: part of a batch gets out, commit says no, and the next one
 * repairs. */
static int child_meets_a_full_disk(fixture_t *fixture)
{
    struct rlimit limit;
    struct stat info;
    const char *error;

    signal(SIGXFSZ, SIG_IGN);
    add(fixture, "fits", 1);
    commit(fixture);
    stat(fixture->file, &info);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = (rlim_t)info.st_size + 300; /* one line and a half */
    setrlimit(RLIMIT_FSIZE, &limit);
    add(fixture, "first", 2);
    add(fixture, "second", 3);
    error = commit_fails(fixture);
    assert_non_null(strstr(error, "no system may be touched"));
    assert_non_null(strstr(error, strerror(EFBIG)));
    stat(fixture->file, &info);
    assert_int_equal(info.st_size, limit.rlim_cur); /* the half line is there */
    commit_fails(fixture);
    add(fixture, "third", 4);

    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    commit(fixture);
    assert_int_equal(lines_of(content(fixture, fixture->file)), 4);
    assert_verifies(fixture, fixture->file, 4);
    return 0;
}

static void test_full_disk(void **state)
{
    fixture_t *fixture = *state;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        /* opened here: a lock is the opening's, and so is the limit the child's */
        _exit(open_audit(fixture) == NULL ? child_meets_a_full_disk(fixture) : 9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* After a failed sync the kernel may have dropped the pages: the lines must be written again, and stand once.
 */
static void test_failed_sync(void **state)
{
    fixture_t *fixture = *state;
    const char *hash, *before;
    apr_uint64_t count;

    assert_null(open_audit(fixture));
    add(fixture, "a", 1);
    commit(fixture);
    audit_head(fixture->audit, &hash, &count);
    before = apr_pstrdup(fixture->pool, hash);
    add(fixture, "b", 2);
    failing_sync = EIO;
    assert_non_null(strstr(commit_fails(fixture), strerror(EIO)));
    assert_non_null(strstr(commit_fails(fixture), strerror(EIO)));
    audit_head(fixture->audit, &hash, &count);
    assert_int_equal(count, 1);
    assert_string_equal(hash, before);
    failing_sync = 0;
    commit(fixture);
    assert_int_equal(lines_of(content(fixture, fixture->file)), 2);
    assert_verifies(fixture, fixture->file, 2);
}

static void test_half_line_that_cannot_be_cut(void **state)
{
    fixture_t *fixture = *state;

    assert_null(open_audit(fixture));
    add(fixture, "a", 1);
    failing_sync = EIO;
    commit_fails(fixture);
    failing_sync = 0;
    failing_truncate = EPERM;
    assert_non_null(strstr(commit_fails(fixture), "half-written line cannot be cut off"));
    failing_truncate = 0;
    commit(fixture);
    assert_verifies(fixture, fixture->file, 1);
}

/* Bytes that someone else put in or took out: nothing more is written there. */
static void test_someone_else_writes(void **state)
{
    fixture_t *fixture = *state;

    assert_null(open_audit(fixture));
    add(fixture, "a", 1);
    commit(fixture);
    append(fixture->file, "x");
    add(fixture, "b", 2);
    assert_non_null(strstr(commit_fails(fixture), "someone else wrote it or cut it"));
    assert_int_equal(truncate(fixture->file, 0), 0);
    assert_non_null(strstr(commit_fails(fixture), "someone else wrote it or cut it"));
    assert_int_equal(rename(fixture->file, fixture->moved), 0);
    assert_null(audit_reopen(fixture->audit));
    commit(fixture);
    assert_verifies(fixture, fixture->file, 2); /* and that there was such a file */
    assert_non_null(strstr(content(fixture, fixture->file), "written or cut by someone else"));
}

static void test_rotation(void **state)
{
    fixture_t *fixture = *state;
    const char *hash, *first;
    apr_uint64_t count;

    assert_null(open_audit(fixture));
    add(fixture, "a", 1);
    commit(fixture);
    assert_null(audit_reopen(fixture->audit)); /* still there: nothing happens */
    add(fixture, "b", 2);
    commit(fixture);
    audit_head(fixture->audit, &hash, &count);
    first = apr_psprintf(fixture->pool, "%s:%d", hash, (int)count);
    add(fixture, "c", 3); /* waits while the file is moved */
    assert_int_equal(rename(fixture->file, fixture->moved), 0);
    assert_null(audit_reopen(fixture->audit));
    commit(fixture);
    assert_verifies(fixture, fixture->moved, 2);
    assert_verifies(fixture, fixture->file, 1);
    assert_non_null(strstr(content(fixture, fixture->file), "{\"n\":3,"));
    /* the head of the old file is what the new one begins with */
    assert_null(audit_verify(fixture->moved, first, &count, fixture->pool));
    assert_null(audit_verify(fixture->file, first, &count, fixture->pool));

    /* a file that is not empty is not the next one; the old one is kept on */
    assert_int_equal(rename(fixture->file, fixture->moved), 0);
    append(fixture->file, "{\"n\":1}\n");
    assert_int_equal(chmod(fixture->file, 0600), 0);
    assert_non_null(strstr(audit_reopen(fixture->audit), "is not empty"));
    add(fixture, "d", 4);
    assert_non_null(strstr(commit_fails(fixture), "is another file"));
    assert_int_equal(unlink(fixture->file), 0);
    assert_null(audit_reopen(fixture->audit));
    commit(fixture);
    assert_verifies(fixture, fixture->file, 1);
    assert_verifies(fixture, fixture->moved, 1);
}

/* ---- the file under a running worker ------------------------------------------------------------------- */

static void copy_over(const fixture_t *fixture)
{
    const char *text = content(fixture, fixture->file);

    assert_int_equal(unlink(fixture->file), 0);
    append(fixture->file, text);
    assert_int_equal(chmod(fixture->file, 0600), 0);
}

static void move_away(const fixture_t *fixture)
{
    assert_int_equal(rename(fixture->file, fixture->moved), 0);
}

static void move_back(const fixture_t *fixture)
{
    assert_int_equal(rename(fixture->moved, fixture->file), 0);
}

static void remove_it(const fixture_t *fixture)
{
    assert_int_equal(unlink(fixture->file), 0);
}

static void replace_it(const fixture_t *fixture)
{
    move_away(fixture);
    append(fixture->file, content(fixture, fixture->moved));
    assert_int_equal(chmod(fixture->file, 0600), 0);
}

static void replace_it_by_a_link(const fixture_t *fixture)
{
    move_away(fixture);
    assert_int_equal(symlink(fixture->moved, fixture->file), 0);
}

static void put_it_back(const fixture_t *fixture)
{
    remove_it(fixture);
    move_back(fixture);
}

static void link_it(const fixture_t *fixture)
{
    assert_int_equal(link(fixture->file, fixture->moved), 0);
}

static void unlink_it(const fixture_t *fixture)
{
    assert_int_equal(unlink(fixture->moved), 0);
}

static void open_it(const fixture_t *fixture)
{
    assert_int_equal(chmod(fixture->file, 0666), 0);
}

static void close_it(const fixture_t *fixture)
{
    assert_int_equal(chmod(fixture->file, 0600), 0);
}

static void swap_folder(const fixture_t *fixture)
{
    assert_int_equal(rename(fixture->folder, "/tmp/amtu-audit-swapped"), 0);
    assert_int_equal(mkdir(fixture->folder, 0700), 0);
}

static void swap_folder_back(const fixture_t *fixture)
{
    assert_int_equal(rmdir(fixture->folder), 0);
    assert_int_equal(rename("/tmp/amtu-audit-swapped", fixture->folder), 0);
}

/* What is not the record any more takes no line, also none that nobody waits for, until it is mended; then it goes
 * on without a gap. */
static void test_tampering(void **state)
{
    static const struct {
        void (*tamper)(const fixture_t *fixture);
        void (*mend)(const fixture_t *fixture);
        const char *words;
    } rows[] = {
        {move_away, move_back, "is not there under its name"},
        {replace_it, put_it_back, "is another file"},
        {replace_it_by_a_link, put_it_back, "is another file"},
        {link_it, unlink_it, "has a second name"},
        {open_it, close_it, "may be changed by others"},
        {swap_folder, swap_folder_back, "is not there under its name"},
    };
    fixture_t *fixture = *state;
    apr_uint64_t lines = 1;

    assert_null(open_audit(fixture));
    add(fixture, "first", 0);
    commit(fixture);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *error = NULL;

        rows[i].tamper(fixture);
        error = commit_fails(fixture); /* with nothing added */
        if (strstr(error, rows[i].words) == NULL) {
            fail_msg("'%s' does not say '%s'", error, rows[i].words);
        }
        add(fixture, "while", (int)i);
        commit_fails(fixture);
        commit_fails(fixture);
        rows[i].mend(fixture);
        commit(fixture);
        assert_verifies(fixture, fixture->file, ++lines);
    }
}

/* Between the look before a line and its sync. */
static void (*while_syncing)(const fixture_t *fixture);
static const fixture_t *syncing;

static void interfere(void)
{
    void (*act)(const fixture_t *fixture) = while_syncing;

    while_syncing = NULL;
    if (act != NULL) {
        act(syncing);
    }
}

static void test_tampering_while_it_is_written(void **state)
{
    fixture_t *fixture = *state;

    assert_null(open_audit(fixture));
    add(fixture, "a", 1);
    commit(fixture);
    add(fixture, "b", 2);
    syncing = fixture;
    while_syncing = move_away;
    assert_non_null(strstr(commit_fails(fixture), "is not there under its name"));
    assert_null(while_syncing);
    move_back(fixture);
    commit(fixture);
    assert_verifies(fixture, fixture->file, 2);
}

static void cut_it(const fixture_t *fixture)
{
    assert_int_equal(truncate(fixture->file, 0), 0);
}

/* Cut while a line is written, the file must not be made longer again with zeros. */
static void test_cut_while_it_is_written(void **state)
{
    fixture_t *fixture = *state;

    assert_null(open_audit(fixture));
    add(fixture, "a", 1);
    commit(fixture);
    add(fixture, "b", 2);
    syncing = fixture;
    while_syncing = cut_it;
    for (int i = 0; i < 3; i++) {
        assert_non_null(strstr(commit_fails(fixture), "someone else wrote it or cut it"));
    }
    move_away(fixture);
    assert_null(audit_reopen(fixture->audit));
    commit(fixture);
    assert_non_null(strstr(content(fixture, fixture->file), "\"event\":\"file-lost\",\"records\":1,"));
}

static pulse_t pulse;

static void see_pulse_paused(const fixture_t *fixture)
{
    (void)fixture;
    assert_true(atomic_load(&pulse.at) == 0);
}

/* A disk that takes a minute is no reason to end a worker that holds PCs at their prompts. */
static void test_a_slow_disk_is_no_stuck_thread(void **state)
{
    fixture_t *fixture = *state;

    pulse_beat(&pulse);
    assert_null(open_audit(fixture));
    add(fixture, "a", 1);
    syncing = fixture;
    while_syncing = see_pulse_paused;
    commit(fixture);
    assert_null(while_syncing);
    assert_true(atomic_load(&pulse.at) != 0);
    pulse_end(&pulse);
}

/* Its lines are gone, but not without a word. */
static void test_removed_and_begun_again(void **state)
{
    static void (*const losses[])(const fixture_t *fixture) = {remove_it, copy_over};
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
        unlink(fixture->file);
        assert_null(open_audit(fixture));
        add(fixture, "a", 1);
        commit(fixture);
        losses[i](fixture);
        assert_non_null(strstr(commit_fails(fixture), "was removed while the worker runs"));
        unlink(fixture->file);
        assert_null(audit_reopen(fixture->audit));
        add(fixture, "b", 2);
        commit(fixture);
        assert_non_null(strstr(content(fixture, fixture->file), "\"event\":\"file-lost\",\"records\":1,"));
        assert_non_null(strstr(content(fixture, fixture->file), "{\"n\":2,"));
        assert_verifies(fixture, fixture->file, 2);
    }
}

/* A record that cannot be written takes no memory without end. */
static void test_pending_is_bounded(void **state)
{
    fixture_t *fixture = *state;
    char *text = apr_palloc(fixture->pool, 60001);
    apr_status_t rv = APR_SUCCESS;
    int added = 0;

    memset(text, 'x', 60000);
    text[60000] = '\0';
    assert_null(open_audit(fixture));
    while (added < 1000 &&
           (rv = audit_add(fixture->audit, "x", json_pack("{s:s}", "v", text))) == APR_SUCCESS) {
        added++;
    }
    assert_int_equal(rv, APR_ENOMEM);
    assert_true(added > 100);
    commit(fixture);
    assert_verifies(fixture, fixture->file, (apr_uint64_t)added);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_before_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_goes_on_after_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_kind_of_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_line_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_line_that_cannot_be_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_someone_else_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tampering, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tampering_while_it_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_while_it_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_disk_is_no_stuck_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_and_begun_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending_is_bounded, setup, teardown),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
