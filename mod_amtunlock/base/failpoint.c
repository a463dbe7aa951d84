/* SPDX-License-Identifier: Apache-2.0 */
/* See fault.h. In the faults build only. */
#include "base/failpoint.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX 4096
#define ORDERS_MAX 32
#define WORD_MAX 40
#define LINE_MAX_LENGTH 400
#define MICRO 1000000LL
#define OTHER_DIES_WITHIN_MS 100

typedef struct {
    char id[WORD_MAX], point[WORD_MAX], action[WORD_MAX];
    int nth;
    int number;
} order_t;

/* What this process knows of an order that it has seen. */
typedef struct {
    char id[WORD_MAX];
    int passed;
    int done;
} progress_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static progress_t known[ORDERS_MAX];
static unsigned int known_next;

/* Asked of the kernel: libc's may be told by a test to show another time. */
long long failpoint_clock(void)
{
    struct timespec now;

    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * MICRO + now.tv_nsec / 1000;
}

/* ---- files --------------------------------------------------------------------------------------------- */

static int in_folder(const char *name, char path[PATH_MAX])
{
    const char *folder = getenv("AMTUNLOCK_FAULTS");

    return folder != NULL && snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

static int read_orders(char text[FILE_MAX])
{
    char path[PATH_MAX];

    if (!in_folder("orders", path)) {
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t length = read(fd, text, FILE_MAX - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* One order, one strike, whatever number of processes may carry it out. */
static int take(const order_t *order)
{
    char name[WORD_MAX + 8], path[PATH_MAX];

    snprintf(name, sizeof(name), "fired.%s", order->id);
    if (!in_folder(name, path)) {
        return 0;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* A line that cannot be written would be a strike that nobody counts. */
static void append(const char *file, const char *line, int length)
{
    char path[PATH_MAX];

    if (!in_folder(file, path)) {
        return;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || length < 0 || write(fd, line, (size_t)length) != length) {
        abort();
    }
    close(fd);
}

static void record(const order_t *order, const char *action, const char *point)
{
    char line[4 * WORD_MAX];
    const long long now = failpoint_clock();

    append("hits", line,
           snprintf(line, sizeof(line), "%s %s %s %d %lld.%06lld\n", order->id, point, action, (int)getpid(),
                    now / MICRO, now % MICRO));
}

/* ---- actions ------------------------------------------------------------------------------------------- */

static void sleep_ms(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    int is_early = 0;

    do {
        is_early = nanosleep(&left, &left) != 0;
    } while (is_early);
}

static void do_kill(const order_t *order)
{
    (void)order;
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

static void do_stop(const order_t *order)
{
    raise(SIGSTOP); /* to this thread: one for the process might be taken by another, and this one run on */
    record(order, "resumed", order->point);
}

static void do_delay(const order_t *order)
{
    sleep_ms(order->number);
}

static void do_nothing(const order_t *order)
{
    (void)order;
}

static void *kill_later(void *data)
{
    order_t *order = data;

    sleep_ms(order->number);
    do_kill(order);
    return NULL;
}

/* The process as a whole: no thread of it meant this one to stop. */
static void *stop_later(void *data)
{
    order_t *order = data;

    sleep_ms(order->number);
    record(order, "stopped", order->point);
    kill(getpid(), SIGSTOP);
    record(order, "resumed", order->point);
    free(order);
    return NULL;
}

/* The thread owns a copy of the order. */
static void in_a_thread(void *(*act)(void *order), const order_t *order)
{
    pthread_t thread;
    order_t *copy = malloc(sizeof(*copy));

    if (copy == NULL) {
        abort();
    }
    *copy = *order;
    if (pthread_create(&thread, NULL, act, copy) != 0) {
        abort();
    }
    pthread_detach(thread);
}

static void do_later(const order_t *order)
{
    in_a_thread(kill_later, order);
}

static void do_doze(const order_t *order)
{
    in_a_thread(stop_later, order);
}

static void do_other(const order_t *order)
{
    kill((pid_t)order->number, SIGKILL);
    sleep_ms(OTHER_DIES_WITHIN_MS);
}

static const struct {
    const char *name;
    void (*act)(const order_t *order);
    int fails;
} actions[] = {
    {"kill", do_kill, 0},   {"stop", do_stop, 0}, {"delay", do_delay, 0}, {"fail", do_nothing, 1},
    {"later", do_later, 0}, {"doze", do_doze, 0}, {"other", do_other, 0},
};

/* Returns whether the point fails. */
static int strike(order_t *order, const char *point)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, order->action) != 0) {
            continue;
        }
        snprintf(order->point, sizeof(order->point), "%s", point);
        record(order, order->action, point);
        actions[i].act(order);
        return actions[i].fails;
    }
    abort(); /* an order that nobody can carry out is a mistake of the test */
}

/* ---- passing a point ----------------------------------------------------------------------------------- */

static progress_t *progress_of(const char *id)
{
    for (int i = 0; i < ORDERS_MAX; i++) {
        if (strcmp(known[i].id, id) == 0) {
            return &known[i];
        }
    }
    progress_t *made =
        &known[known_next++ % ORDERS_MAX]; /* a test has few orders at a time: the oldest goes */
    memset(made, 0, sizeof(*made));
    snprintf(made->id, sizeof(made->id), "%s", id);
    return made;
}

/* Nonzero: this passing is the one that the order means. */
static int is_due(const order_t *order, const char *point)
{
    if (strcmp(order->point, "*") != 0 && strcmp(order->point, point) != 0) {
        return 0;
    }
    pthread_mutex_lock(&lock);
    progress_t *progress = progress_of(order->id);
    int due = !progress->done && ++progress->passed >= order->nth;
    progress->done |= due;
    pthread_mutex_unlock(&lock);
    return due && take(order);
}

static int read_order(char *line, order_t *order)
{
    const char *words[] = {NULL, NULL, NULL, NULL, "0"};
    const size_t most = sizeof(words) / sizeof(words[0]);
    size_t count = 0;
    char *rest = NULL;

    for (char *word = strtok_r(line, " ", &rest); word != NULL && count < most;
         word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    if (count < most - 1) {
        return 0;
    }
    snprintf(order->id, sizeof(order->id), "%s", words[0]);
    snprintf(order->point, sizeof(order->point), "%s", words[1]);
    snprintf(order->action, sizeof(order->action), "%s", words[3]);
    order->nth = (int)strtol(words[2], NULL, 10);
    order->number = (int)strtol(words[4], NULL, 10);
    return 1;
}

int failpoint_at(const char *point)
{
    char text[FILE_MAX];
    int fails = 0;
    char *rest = NULL;

    if (!read_orders(text)) {
        return 0;
    }
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        order_t order;

        if (read_order(line, &order) && is_due(&order, point)) {
            fails |= strike(&order, point);
        }
    }
    return fails;
}

void failpoint_passed(const char *step, long long asked, const char *job, const char *system)
{
    char line[LINE_MAX_LENGTH];

    append("gates", line,
           snprintf(line, sizeof(line), "%s %d %lld.%06lld %s %s\n", step, (int)getpid(), asked / MICRO,
                    asked % MICRO, job, system));
}
