/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/process/watchdog_priv.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "base/log.h"
#include "base/wakeup.h"

/* Rounds in which a loop did not move, after which it counts as stuck. */
#define ROUNDS 30
#ifdef AMTUNLOCK_TEST
#define ROUND (clock_test_interval("AMTUNLOCK_TEST_STUCK_MS", apr_time_from_sec(ROUNDS)) / ROUNDS)
#else
#define ROUND apr_time_from_sec(1)
#endif

/* Seconds for the log; then the kernel ends the process, whatever holds the log up. */
#define LAST_WORDS 5
#define TRACE_WAIT apr_time_from_sec(1)
#define TRACE_SIGNAL SIGURG /* ignored where there is no handler */
#define FRAMES 48

typedef struct {
    watched_t loop;
    apr_time_t seen;
    int rounds; /* since it moved */
} entry_t;

struct watchdog_t {
    entry_t *entries;
    int count;
    wakeup_t wakeup;
    atomic_int stopping;
    apr_thread_t *thread;
};

/* ---- the trace of another thread ---------------------------------------------------------------------- */

/* Written by the signal's handler on the thread that is stuck. */
static struct {
    void *frames[FRAMES];
    atomic_int count;
} trace;

static void on_trace_signal(int number)
{
    (void)number;
    atomic_store(&trace.count, backtrace(trace.frames, FRAMES));
}

/* The first backtrace() of a process allocates, so it is not the handler's. */
static void prepare_trace(void)
{
    struct sigaction action = {.sa_handler = on_trace_signal, .sa_flags = SA_RESTART};

    (void)backtrace(trace.frames, 1);
    atomic_init(&trace.count, 0);
    sigemptyset(&action.sa_mask);
    sigaction(TRACE_SIGNAL, &action, NULL);
}

/* How many frames; 0 if the thread did not answer. */
static int trace_thread(pthread_t thread)
{
    apr_interval_time_t waited = 0;

    if (thread == 0 || pthread_kill(thread, TRACE_SIGNAL) != 0) {
        return 0;
    }
    while (atomic_load(&trace.count) == 0 && waited < TRACE_WAIT) {
        apr_sleep(apr_time_from_msec(10));
        waited += apr_time_from_msec(10);
    }
    return atomic_load(&trace.count);
}

/* Through a pipe, which holds it all: backtrace_symbols() would allocate, and the thread that is stuck may hold the heap.
 */
static void log_trace(int count)
{
    static char text[32768];
    char *line = text, *end = NULL;
    int ends[2];
    ssize_t length = 0;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return;
    }
    backtrace_symbols_fd(trace.frames, count, ends[1]);
    length = read(ends[0], text, sizeof(text) - 1);
    text[length > 0 ? length : 0] = '\0';
    while ((end = strchr(line, '\n')) != NULL) {
        *end = '\0';
        log_error("AMTU0541", "it stands at", "frame", line);
        line = end + 1;
    }
}

__attribute__((noreturn)) static void end_process(const entry_t *entry)
{
    int frames = 0;

    alarm(LAST_WORDS);
    log_error("AMTU0540", "a thread is stuck, so this worker ends; another goes on with what it leaves",
              "thread", entry->loop.name, "seconds",
              log_number(LOG_NUMBER, apr_time_sec(clock_boottime() - entry->seen)));
    frames = trace_thread(atomic_load(&entry->loop.pulse->thread));
    if (frames > 0) {
        log_trace(frames);
    }
    else {
        log_error("AMTU0542", "where it stands cannot be told", "thread", entry->loop.name);
    }
    _exit(1);
}

/* ---- the thread --------------------------------------------------------------------------------------- */

/* However late this round is: what stopped all threads stopped this one too. */
static void look_at(entry_t *entry)
{
    apr_time_t at = atomic_load(&entry->loop.pulse->at);

    if (at != entry->seen || at == 0) {
        entry->seen = at;
        entry->rounds = 0;
    }
    else if (++entry->rounds >= ROUNDS) {
        end_process(entry);
    }
}

static void *APR_THREAD_FUNC run_watchdog(apr_thread_t *thread, void *data)
{
    watchdog_t *watchdog = data;

    (void)thread;
    while (!atomic_load(&watchdog->stopping)) {
        for (int i = 0; i < watchdog->count; i++) {
            look_at(&watchdog->entries[i]);
        }
        wakeup_wait(&watchdog->wakeup, ROUND);
    }
    return NULL;
}

apr_status_t watchdog_start(watchdog_t **watchdog, const watched_t *loops, int count, apr_pool_t *pool)
{
    watchdog_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t status = wakeup_open(&made->wakeup, pool);

    *watchdog = made;
    made->count = count;
    made->entries = apr_pcalloc(pool, sizeof(entry_t) * (apr_size_t)count);
    for (int i = 0; i < count; i++) {
        made->entries[i].loop = loops[i];
    }
    atomic_init(&made->stopping, 0);
    prepare_trace();
    return status == APR_SUCCESS ? apr_thread_create(&made->thread, NULL, run_watchdog, made, pool) : status;
}

void watchdog_stop(watchdog_t *watchdog)
{
    apr_status_t ended;

    atomic_store(&watchdog->stopping, 1);
    wakeup_signal(&watchdog->wakeup);
    apr_thread_join(&ended, watchdog->thread);
}
