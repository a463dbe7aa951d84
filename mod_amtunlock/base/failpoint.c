/* SPDX-License-Identifier: Apache-2.0 */
/* See failpoint.h. In the faults build only. */
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

/* An order that this process has seen. */
typedef struct {
    char id[WORD_MAX];
    int passed;
    int done;
} progress_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static progress_t known[ORDERS_MAX];
static unsigned int known_next;

/* Asked of the kernel: a test may preload a libc clock that shows another time. */
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
    ssize_t length;
    int fd;

    if (!in_folder("orders", path)) {
        return 0;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    length = read(fd, text, FILE_MAX - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* An order is carried out once, by the process that creates its file. */
static int claim_order(const order_t *order)
{
    char name[WORD_MAX + 8], path[PATH_MAX];
    int fd;

    snprintf(name, sizeof(name), "fired.%s", order->id);
    if (!in_folder(name, path)) {
        return 0;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* A strike whose line is missing would not be counted, so a write that fails ends the process. */
static void append_line(const char *file, const char *line, int length)
{
    char path[PATH_MAX];
    int fd;

    if (!in_folder(file, path)) {
        return;
    }
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || length < 0 || write(fd, line, (size_t)length) != length) {
        abort();
    }
    close(fd);
}

static void record_hit(const order_t *order, const char *action, const char *point)
{
    char line[4 * WORD_MAX];
    const long long now = failpoint_clock();

    append_line("hits", line,
                snprintf(line, sizeof(line), "%s %s %s %d %lld.%06lld\n", order->id, point, action,
                         (int)getpid(), now / MICRO, now % MICRO));
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
    raise(SIGSTOP); /* a signal to the process might stop another thread first, and this one would run on */
    record_hit(order, "resumed", order->point);
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

/* The process as a whole. */
static void *stop_later(void *data)
{
    order_t *order = data;

    sleep_ms(order->number);
    record_hit(order, "stopped", order->point);
    kill(getpid(), SIGSTOP);
    record_hit(order, "resumed", order->point);
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
static int strike_order(order_t *order, const char *point)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, order->action) != 0) {
            continue;
        }
        snprintf(order->point, sizeof(order->point), "%s", point);
        record_hit(order, order->action, point);
        actions[i].act(order);
        return actions[i].fails;
    }
    abort(); /* the test names an action that does not exist */
}

/* ---- passing a point ----------------------------------------------------------------------------------- */

static progress_t *progress_of(const char *id)
{
    progress_t *made;

    for (int i = 0; i < ORDERS_MAX; i++) {
        if (strcmp(known[i].id, id) == 0) {
            return &known[i];
        }
    }
    made = &known[known_next++ % ORDERS_MAX]; /* a test has few orders at a time: the oldest goes */
    memset(made, 0, sizeof(*made));
    snprintf(made->id, sizeof(made->id), "%s", id);
    return made;
}

/* Nonzero: the order is for this passing. */
static int is_due(const order_t *order, const char *point)
{
    progress_t *progress;
    int due;

    if (strcmp(order->point, "*") != 0 && strcmp(order->point, point) != 0) {
        return 0;
    }
    pthread_mutex_lock(&lock);
    progress = progress_of(order->id);
    due = !progress->done && ++progress->passed >= order->nth;
    progress->done |= due;
    pthread_mutex_unlock(&lock);
    return due && claim_order(order);
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
            fails |= strike_order(&order, point);
        }
    }
    return fails;
}

void failpoint_passed(const char *step, long long asked, const char *job, const char *system)
{
    char line[LINE_MAX_LENGTH];

    append_line("gates", line,
                snprintf(line, sizeof(line), "%s %d %lld.%06lld %s %s\n", step, (int)getpid(), asked / MICRO,
                         asked % MICRO, job, system));
}
