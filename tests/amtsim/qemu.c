/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "qemu-system-x86_64"
#define ARGUMENT_MAX 64

struct qemu {
    pid_t pid;
    struct bufferevent *serial, *monitor;
    const struct qemu_events *events;
    void *owner;
    char name[128];
};

/* ---- the process
 * ------------------------------------------------------------------------------------------- */

/* What differs from machine to machine. */
struct words {
    const char *machine, *accelerator, *name, *uuid;
    char serial[ARGUMENT_MAX], monitor[ARGUMENT_MAX];
};

/* The network leads nowhere (restrict): what is forwarded leads in. */
static void execute(const struct words *words)
{
    /* an option and its value on one line */
    /* clang-format off */
    const char *const argv[] = {
        PROGRAM, "-nodefaults", "-no-user-config",
        "-display", "none",
        "-machine", words->machine,
        "-accel", words->accelerator,
        "-m", "512",
        "-name", words->name,
        "-uuid", words->uuid,
        "-kernel", "kernel",
        "-initrd", "initrd",
        "-append", "root=/dev/mapper/root ro console=ttyS0,115200 quiet",
        "-drive", "file=disk,format=raw,if=virtio,snapshot=on",
        "-netdev", "user,id=net,restrict=on",
        "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "virtio-rng-pci",
        "-chardev", words->serial, "-serial", "chardev:serial",
        "-chardev", words->monitor, "-mon", "chardev=monitor,mode=control",
        NULL,
    };
    /* clang-format on */

    execvp(PROGRAM, (char *const *)argv);
}

/* The child's half of fork(): never returns. */
static void become_machine(const struct qemu_machine *machine, pid_t parent, int serial, int monitor)
{
    static const char failed[] = "amtsim: " PROGRAM " or its folder is not there\n";
    struct words words = {.machine = machine->serial_console ? "pc,graphics=off" : "pc",
                          .accelerator = machine->accelerator,
                          .name = machine->name,
                          .uuid = machine->uuid};

    snprintf(words.serial, sizeof(words.serial), "socket,id=serial,fd=%d", serial);
    snprintf(words.monitor, sizeof(words.monitor), "socket,id=monitor,fd=%d", monitor);
    /* whoever is killed without a chance to clean up takes the machine along */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && chdir(machine->folder) == 0 &&
        dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 && fcntl(serial, F_SETFD, 0) == 0 &&
        fcntl(monitor, F_SETFD, 0) == 0)
        execute(&words);
    if (write(STDERR_FILENO, failed, sizeof(failed) - 1) < 0)
        _exit(126);
    _exit(127);
}

static bool pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0;
}

static void close_pair(const int fds[2])
{
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* Leaves this side's ends in serial[0] and monitor[0]. Returns its pid, or -1. */
static pid_t spawn(const struct qemu_machine *machine, int serial[2], int monitor[2])
{
    pid_t parent = getpid(), pid = -1;

    if (pair(serial) && pair(monitor))
        pid = fork();
    if (pid == 0)
        become_machine(machine, parent, serial[1], monitor[1]);
    if (pid < 0) {
        fprintf(stderr, "amtsim: no emulator for %s: %s\n", machine->name, strerror(errno));
        close_pair(serial);
        close_pair(monitor);
        return -1;
    }
    close(serial[1]);
    close(monitor[1]);
    return pid;
}

static void reap(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- the monitor
 * ------------------------------------------------------------------------------------------- */

/* Takes over the reference to `arguments`, which may be NULL. */
static void ask(const struct qemu *qemu, const char *what, json_t *arguments)
{
    json_t *request = json_pack("{s:s, s:o*}", "execute", what, "arguments", arguments);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;

    if (text)
        evbuffer_add_printf(bufferevent_get_output(qemu->monitor), "%s\n", text);
    free(text);
    json_decref(request);
}

static void complain(const struct qemu *qemu, const char *what)
{
    fprintf(stderr, "amtsim: the emulator of %s: %s\n", qemu->name, what);
}

/* The name of the event that the system within caused, or "". What we asked for ourselves is no news. */
static const char *event_of_guest(const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "event"));
    bool guest = json_is_true(json_object_get(json_object_get(line, "data"), "guest"));

    return name && guest ? name : "";
}

static void take_line(const struct qemu *qemu, const json_t *line)
{
    const char *error = json_string_value(json_object_get(json_object_get(line, "error"), "desc"));
    const char *text = json_string_value(json_object_get(line, "return"));

    if (error)
        complain(qemu, error);
    /* of what it is asked here, the human monitor only confirms that a forwarding was removed */
    if (text && *text && !strstr(text, "removed"))
        complain(qemu, text);
    if (strcmp(event_of_guest(line), "RESET") == 0)
        qemu->events->restarted(qemu->owner);
}

static void on_monitor(struct bufferevent *monitor, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(monitor);
    size_t length;
    char *text;

    while ((text = evbuffer_readln(input, &length, EVBUFFER_EOL_CRLF))) {
        json_t *line = json_loadb(text, length, 0, NULL);
        free(text);
        if (line)
            take_line(arg, line);
        json_decref(line);
    }
}

static void on_serial(struct bufferevent *serial, void *arg)
{
    const struct qemu *qemu = arg;
    char data[4096];
    size_t size;

    while ((size = bufferevent_read(serial, data, sizeof(data))) > 0)
        qemu->events->serial(qemu->owner, data, size);
}

static void on_gone(struct bufferevent *stream, short what, void *arg)
{
    const struct qemu *qemu = arg;

    (void)what;
    if (stream == qemu->monitor)
        qemu->events->ended(qemu->owner);
}

/* ---- for the others
 * ---------------------------------------------------------------------------------------- */

static struct bufferevent *channel(struct event_base *loop, struct qemu *qemu, int fd,
                                   bufferevent_data_cb on_read)
{
    struct bufferevent *stream = bufferevent_socket_new(loop, fd, BEV_OPT_CLOSE_ON_FREE);

    if (!stream) {
        close(fd);
        return NULL;
    }
    bufferevent_setcb(stream, on_read, NULL, on_gone, qemu);
    bufferevent_enable(stream, EV_READ | EV_WRITE);
    return stream;
}

struct qemu *qemu_start(struct event_base *loop, const struct qemu_machine *machine,
                        const struct qemu_events *events, void *owner)
{
    int serial[2] = {-1, -1}, monitor[2] = {-1, -1};
    struct qemu *qemu = calloc(1, sizeof(*qemu));

    if (!qemu)
        return NULL;
    qemu->pid = spawn(machine, serial, monitor);
    if (qemu->pid < 0) {
        free(qemu);
        return NULL;
    }
    qemu->events = events;
    qemu->owner = owner;
    snprintf(qemu->name, sizeof(qemu->name), "%s", machine->name);
    qemu->serial = channel(loop, qemu, serial[0], on_serial);
    qemu->monitor = channel(loop, qemu, monitor[0], on_monitor);
    if (!qemu->serial || !qemu->monitor) {
        qemu_kill(qemu);
        return NULL;
    }
    ask(qemu, "qmp_capabilities", NULL);
    return qemu;
}

void qemu_type(struct qemu *qemu, const char *data, size_t size)
{
    bufferevent_write(qemu->serial, data, size);
}

void qemu_reset(struct qemu *qemu)
{
    ask(qemu, "system_reset", NULL);
}

static void forwarding(const struct qemu *qemu, const char *verb, const char *rule)
{
    char line[128];

    snprintf(line, sizeof(line), "%s net %s", verb, rule);
    ask(qemu, "human-monitor-command", json_pack("{s:s}", "command-line", line));
}

void qemu_forward(struct qemu *qemu, struct in_addr address, unsigned port)
{
    char text[INET_ADDRSTRLEN], rule[64];

    inet_ntop(AF_INET, &address, text, sizeof(text));
    snprintf(rule, sizeof(rule), "tcp:%s:%u-:%u", text, port, port);
    forwarding(qemu, "hostfwd_add", rule);
}

void qemu_forward_no_more(struct qemu *qemu, struct in_addr address, unsigned port)
{
    char text[INET_ADDRSTRLEN], rule[64];

    inet_ntop(AF_INET, &address, text, sizeof(text));
    snprintf(rule, sizeof(rule), "tcp:%s:%u", text, port);
    forwarding(qemu, "hostfwd_remove", rule);
}

void qemu_kill(struct qemu *qemu)
{
    reap(qemu->pid);
    if (qemu->serial)
        bufferevent_free(qemu->serial);
    if (qemu->monitor)
        bufferevent_free(qemu->monitor);
    free(qemu);
}
