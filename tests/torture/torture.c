/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the scenarios:  torture [--every K [--offset O]] [--only SCENARIO [--fail N]] [--list]
 *
 * Run from the top of the source tree. Each scenario is run as it is, twice, so that libraries make what they
 * keep; then with everything counted; and then once for each way of each call to fail, in a process of its
 * own. A line for each scenario, every failure in full, and last "N passed, N failed": the ways tried.
 */
#include "torture.h"

#include "failing.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_thread_mutex.h>
#include <apr_time.h>
#include <libxml/xmlerror.h>
#include <openssl/crypto.h>

#include "base/oom.h"
#include "wsman/envelope.h"

#define SECONDS_A_RUN 20
#define FAILURES_SHOWN 12 /* of a scenario */
#define OUTPUT_MAX 8192

/* How a run ended: the exit status of its process, and what that means. */
enum { ENDED_WELL = 0, ENDED_REFUSED = 1, ENDED_BROKEN = 20, ENDED_LEAKING = 21, ENDED_WITHOUT_MEMORY = 71 };

typedef enum { WELL, REFUSED, DIED, LOST, UNREACHED, FAILED, RESULTS } result_e;

typedef struct {
    long every, offset, fail;
    const char *only;
    int list;
} options_t;

static apr_pool_t *own_pool;
static apr_allocator_t *run_allocator;
static char folder[64];
static int output_fd;

static pid_t own_pid;

static void run_words(const char *const *words)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        execvp(words[0], (char *const *)(uintptr_t)words);
        _exit(127);
    }
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
}

static void remove_folder(void)
{
    const char *const words[] = {"rm", "-rf", "--", folder, NULL};

    run_words(words);
}

/* ---- for the scenarios --------------------------------------------------------------------------------- */

void torture_broken(const char *file, int line, const char *format, ...)
{
    va_list arguments;

    failing_end();
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    fflush(stderr);
    if (getpid() == own_pid) { /* where nothing failed yet: the test itself is wrong */
        remove_folder();
        exit(ENDED_BROKEN);
    }
    _exit(ENDED_BROKEN);
}

void torture_spare(void)
{
    failing_end();
}

const char *torture_folder(void)
{
    return folder;
}

void torture_write(const char *file, const char *text, int mode)
{
    int fd;

    unlink(file);
    fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, (mode_t)mode) != 0) {
        TORTURE_BROKEN("%s: %s", file, strerror(errno));
    }
    close(fd);
}

/* ---- one run ------------------------------------------------------------------------------------------- */

/* Errors that libraries remember for this thread are no leak. */
static void forget_errors(void)
{
    xmlResetLastError();
    OPENSSL_thread_stop();
}

static apr_pool_t *make_pool(void)
{
    apr_pool_t *pool = NULL;

    if (apr_pool_create_ex(&pool, own_pool, oom_end, run_allocator) != APR_SUCCESS) {
        abort();
    }
    return pool;
}

/* *left gets how many blocks more there are than before; *ways how many ways there were to fail. */
static torture_verdict_e run_once(const torture_scenario_t *scenario, long target, long *left, long *ways)
{
    apr_pool_t *spared = make_pool();
    long before;
    unsigned long serial;
    apr_pool_t *pool;
    torture_verdict_e verdict;

    if (scenario->reset != NULL) {
        scenario->reset(spared);
    }
    before = allocator_live();
    serial = allocator_serial();
    pool = make_pool();
    failing_begin(target);
    verdict = scenario->run(pool);
    *ways = failing_end();
    apr_pool_destroy(pool);
    forget_errors();
    *left = allocator_live() - before - allocator_of_loader_since(serial);
    if (*left > 0 && target > 0) {
        allocator_print_since(serial);
    }
    if (scenario->check != NULL) {
        scenario->check(verdict, spared);
    }
    apr_pool_destroy(spared);
    allocator_look();
    return verdict;
}

static void say_to_output(void)
{
    dup2(output_fd, STDOUT_FILENO);
    dup2(output_fd, STDERR_FILENO);
}

/* In the child. */
static void run_failing(const torture_scenario_t *scenario, long target, long usual_left)
{
    long left = 0, ways = 0;
    torture_verdict_e verdict;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    say_to_output();
    alarm(SECONDS_A_RUN);
    verdict = run_once(scenario, target, &left, &ways);
    if (left > usual_left) {
        fprintf(stderr, "%ld blocks are left behind\n", left - usual_left);
        fflush(stderr);
        _exit(ENDED_LEAKING);
    }
    _exit(verdict == TORTURE_WELL ? ENDED_WELL : ENDED_REFUSED);
}

/* A library's own fault. */
static int is_lost(int status)
{
    if (WIFSIGNALED(status)) {
        return failing_hit->lost & (WTERMSIG(status) == SIGFPE ? FAILING_LOST_DIVIDES : FAILING_LOST_CRASHES);
    }
    return WEXITSTATUS(status) == ENDED_LEAKING && (failing_hit->lost & FAILING_LOST_LEAKS);
}

static void read_output(char text[OUTPUT_MAX + 1])
{
    ssize_t length = pread(output_fd, text, OUTPUT_MAX, 0);

    text[length > 0 ? length : 0] = '\0';
}

/* A process that ends for want of memory says so, on a line of its own. */
static int said_why(void)
{
    char text[OUTPUT_MAX + 1];

    read_output(text);
    return strstr(text, "torture: the system has no memory left, so this process ends here\n") != NULL;
}

/* What the child's end means; *why says it where that is a failure. */
static result_e judge(int status, const char **why)
{
    if (is_lost(status)) {
        return LOST;
    }
    if (!WIFEXITED(status)) {
        *why = WTERMSIG(status) == SIGALRM ? "hung" : strsignal(WTERMSIG(status));
        return FAILED;
    }
    if (WEXITSTATUS(status) == ENDED_WITHOUT_MEMORY && failing_hit->may_end && said_why()) {
        return DIED;
    }
    if (WEXITSTATUS(status) == ENDED_WELL || WEXITSTATUS(status) == ENDED_REFUSED) {
        return !failing_hit->reached ? UNREACHED : WEXITSTATUS(status) == ENDED_WELL ? WELL : REFUSED;
    }
    *why = WEXITSTATUS(status) == ENDED_LEAKING  ? "leaks"
           : WEXITSTATUS(status) == ENDED_BROKEN ? "broke a promise"
                                                 : "died of no memory that was no pool's, or did not say so";
    return FAILED;
}

/* ---- printing ------------------------------------------------------------------------------------------ */

/* The stack: as the C library names it, and our own part of it with lines, where there is an addr2line. */
static void print_frames(void)
{
    const char *words[FAILING_FRAMES + 4] = {"addr2line", "-fpse", "/proc/self/exe"};
    char offsets[FAILING_FRAMES][24], program[PATH_MAX];
    Dl_info own, info;
    int count = 3;
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

    fflush(stdout);
    backtrace_symbols_fd(failing_hit->frames, failing_hit->frame_count, STDOUT_FILENO);
    if (length <= 0 || dladdr((const void *)(uintptr_t)print_frames, &own) == 0) {
        return;
    }
    program[length] = '\0';
    words[2] = program;
    for (int i = 0; i < failing_hit->frame_count; i++) {
        if (dladdr(failing_hit->frames[i], &info) != 0 && info.dli_fbase == own.dli_fbase) {
            snprintf(offsets[i], sizeof(offsets[i]), "%#tx",
                     (char *)failing_hit->frames[i] - (char *)own.dli_fbase - 1);
            words[count++] = offsets[i];
        }
    }
    run_words(words);
}

static void print_output(void)
{
    char text[OUTPUT_MAX + 1];

    read_output(text);
    fputs(text, stdout);
}

static void print_failure(const torture_scenario_t *scenario, long number, const char *why)
{
    printf("---- %s --fail %ld: %s %s: %s\n", scenario->name, number, failing_hit->call, failing_hit->way,
           why);
    print_output();
    print_frames();
}

/* ---- a scenario ---------------------------------------------------------------------------------------- */

/* What a process left that ended for want of memory, as the next process finds it. */
static int is_well_ended(const torture_scenario_t *scenario)
{
    int status = 0;
    pid_t pid;

    if (scenario->ended == NULL) {
        return 1;
    }
    pid = fork();
    if (pid == 0) {
        say_to_output();
        alarm(SECONDS_A_RUN);
        scenario->ended(make_pool());
        _exit(ENDED_WELL);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == ENDED_WELL;
}

static result_e run_child(const torture_scenario_t *scenario, long number, long usual_left, const char **why)
{
    int status = 0;
    result_e result;
    pid_t pid;

    memset(failing_hit, 0, sizeof(*failing_hit));
    if (ftruncate(output_fd, 0) != 0 || lseek(output_fd, 0, SEEK_SET) != 0) {
        abort();
    }
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        run_failing(scenario, number, usual_left);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("a run");
        abort();
    }
    result = judge(status, why);
    if (result == DIED && !is_well_ended(scenario)) {
        *why = "broke a promise when it ended for want of memory";
        return FAILED;
    }
    return result;
}

static void run_numbers(const torture_scenario_t *scenario, const options_t *options, long ways, long left,
                        long results[RESULTS])
{
    long first = options->fail ? options->fail : options->offset + 1;
    long last = options->fail ? options->fail : ways;

    for (long number = first; number <= last; number += options->every) {
        const char *why = "";
        result_e result = run_child(scenario, number, left, &why);

        results[result]++;
        if (options->fail || (result == FAILED && results[FAILED] <= FAILURES_SHOWN)) {
            print_failure(scenario, number, result == FAILED ? why : "as it should");
        }
    }
}

/* As it is: what it says must be that all went well. */
static int warm(const torture_scenario_t *scenario, long *left, long *ways)
{
    for (int i = 0; i < 3; i++) {
        if (run_once(scenario, 0, left, ways) != TORTURE_WELL) {
            printf("---- %s: fails where nothing failed\n", scenario->name);
            return 0;
        }
    }
    return 1;
}

static void run_scenario(const torture_scenario_t *scenario, const options_t *options, long total[RESULTS])
{
    long results[RESULTS] = {0};
    long left = 0, ways = 0;
    apr_time_t started = apr_time_now();
    apr_pool_t *pool = make_pool();

    if ((scenario->start != NULL && scenario->start(pool) != 0) || !warm(scenario, &left, &ways)) {
        printf("---- %s: could not be started\n", scenario->name);
        results[FAILED]++;
    }
    else {
        run_numbers(scenario, options, ways, left, results);
    }
    if (scenario->stop != NULL) {
        scenario->stop();
    }
    apr_pool_destroy(pool);
    printf("%-24s %6ld ways: %5ld well, %5ld refused, %4ld ended of no memory, %3ld lost in a library, %3ld "
           "unreached, %3ld failed"
           "  %6.1f s\n",
           scenario->name, ways, results[WELL], results[REFUSED], results[DIED], results[LOST],
           results[UNREACHED], results[FAILED], (double)(apr_time_now() - started) / APR_USEC_PER_SEC);
    fflush(stdout);
    for (int i = 0; i < RESULTS; i++) {
        total[i] += results[i];
    }
}

/* ---- the program --------------------------------------------------------------------------------------- */

static int prepare(void)
{
    void *frames[4];
    apr_thread_mutex_t *mutex = NULL;

    backtrace(frames, 4); /* loads what it needs */
    tzset();              /* and so does the time of a log line */
    failing_hit = mmap(NULL, sizeof(*failing_hit), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    output_fd = memfd_create("output", MFD_CLOEXEC);
    snprintf(folder, sizeof(folder), "/tmp/amtunlock-torture-XXXXXX");
    if (failing_hit == MAP_FAILED || output_fd < 0 || mkdtemp(folder) == NULL) {
        perror("torture");
        return -1;
    }
    own_pid = getpid();
    signal(SIGPIPE, SIG_IGN);
    apr_initialize();
    wsman_library_init();
    oom_init("torture", ENDED_WITHOUT_MEMORY);
    apr_pool_create(&own_pool, NULL);
    /* Gives back every page at once, so that each use of a pool asks for memory, and a stale pointer shows.
     */
    apr_allocator_create(&run_allocator);
    apr_allocator_max_free_set(run_allocator, 1);
    apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, own_pool);
    apr_allocator_mutex_set(run_allocator, mutex);
    return 0;
}

static int usage(void)
{
    fputs("torture [--every K [--offset O]] [--only SCENARIO [--fail N]] [--list]\n", stderr);
    return 2;
}

static int take_options(options_t *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--list") == 0) {
            options->list = 1;
            continue;
        }
        if (strcmp(argv[i], "--every") == 0) {
            options->every = strtol(value, NULL, 10);
        }
        else if (strcmp(argv[i], "--offset") == 0) {
            options->offset = strtol(value, NULL, 10);
        }
        else if (strcmp(argv[i], "--only") == 0) {
            options->only = value;
        }
        else if (strcmp(argv[i], "--fail") == 0) {
            options->fail = strtol(value, NULL, 10);
        }
        else {
            return 0;
        }
        i++;
    }
    if (options->offset < 0 && options->every > 0) {
        options->offset = (long)(time(NULL) % options->every);
    }
    return options->every > 0 && options->fail >= 0 && (!options->fail || options->only);
}

static int run_all(const options_t *options)
{
    long total[RESULTS] = {0};
    long passed;

    if (options->every > 1) {
        printf("every %ld. way, --offset %ld\n", options->every, options->offset);
    }
    for (const torture_scenario_t *const *next = torture_scenarios; *next; next++) {
        if (options->list) {
            puts((*next)->name);
        }
        else if (options->only == NULL || strcmp(options->only, (*next)->name) == 0) {
            run_scenario(*next, options, total);
        }
    }
    if (options->list) {
        return 0;
    }
    passed = total[WELL] + total[REFUSED] + total[DIED] + total[LOST] + total[UNREACHED];
    printf("%ld passed, %ld failed\n", passed, total[FAILED]);
    return passed > 0 && total[FAILED] == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    options_t options = {.every = 1, .offset = -1};
    int status;

    if (!take_options(&options, argc, argv)) {
        return usage();
    }
    if (prepare() != 0) {
        return 1;
    }
    status = run_all(&options);
    remove_folder();
    return status;
}
