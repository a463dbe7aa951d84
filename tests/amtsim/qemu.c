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
#define WORDS_MAX 64
#define REDIRECTED "redirected" /* its CD drive */

struct qemu {
    pid_t pid;
    struct bufferevent *serial, *monitor;
    const struct qemu_events *events;
    void *owner;
    int drive; /* -1: none, or taken */
    char name[128];
};

/* ---- the process
 * ------------------------------------------------------------------------------------------- */

/* Its end of each socket, and ours. */
enum channel { SERIAL, MONITOR, DRIVE, CHANNELS };

struct channels {
    int ours[CHANNELS], its[CHANNELS];
};

/* The words of the command line. */
struct line {
    const char *word[WORDS_MAX];
    size_t count;
    char drive[2 * ARGUMENT_MAX], serial[ARGUMENT_MAX], monitor[ARGUMENT_MAX];
};

static void add(struct line *line, const char *const words[])
{
    for (; *words && line->count < WORDS_MAX - 1; words++)
        line->word[line->count++] = *words;
}

/* an option and its value on one line */
/* clang-format off */

/* The network leads nowhere (restrict): what is forwarded leads in. */
static void add_machine(struct line *line, const struct qemu_machine *machine)
{
    const char *const words[] = {
        PROGRAM, "-nodefaults", "-no-user-config",
        "-display", "none",
        "-machine", machine->serial_console ? "pc,graphics=off" : "pc",
        "-accel", machine->accelerator,
        "-m", "512",
        "-name", machine->name,
        "-uuid", machine->uuid,
        "-drive", "file=disk,format=raw,if=none,id=disk,snapshot=on",
        "-device", "nvme,drive=disk,serial=disk,bootindex=1",
        "-netdev", "user,id=net,restrict=on",
        "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "virtio-rng-pci",
        "-chardev", line->serial, "-serial", "chardev:serial",
        "-chardev", line->monitor, "-mon", "chardev=monitor,mode=control",
        NULL,
    };

    add(line, words);
}

static void add_kernel(struct line *line)
{
    static const char *const words[] = {
        "-kernel", "kernel",
        "-initrd", "initrd",
        "-append", "root=/dev/mapper/root ro console=ttyS0,115200 quiet",
        NULL,
    };

    add(line, words);
}

static void add_drive(struct line *line)
{
    static const char disc[] = "usb-storage,bus=usb.0,id=" REDIRECTED ",drive=medium,bootindex=0";
    const char *const words[] = {
        "-drive", line->drive,
        "-device", "qemu-xhci,id=usb",
        "-device", disc,
        NULL,
    };

    add(line, words);
}
/* clang-format on */

static void execute(const struct qemu_machine *machine, const int its[CHANNELS])
{
    struct line line = {.count = 0};

    snprintf(line.serial, sizeof(line.serial), "socket,id=serial,fd=%d", its[SERIAL]);
    snprintf(line.monitor, sizeof(line.monitor), "socket,id=monitor,fd=%d", its[MONITOR]);
    snprintf(line.drive, sizeof(line.drive),
             "if=none,id=medium,media=cdrom,readonly=on,format=raw,file.driver=nbd,file.server.type=fd,"
             "file.server.str=%d",
             its[DRIVE]);
    add_machine(&line, machine);
    if (machine->kernel)
        add_kernel(&line);
    if (machine->drive)
        add_drive(&line);
    execvp(PROGRAM, (char *const *)line.word);
}

static bool keep_open(const int its[CHANNELS])
{
    for (int i = 0; i < CHANNELS; i++) {
        if (its[i] >= 0 && fcntl(its[i], F_SETFD, 0) != 0)
            return false;
    }
    return true;
}

/* The child's half of fork(): never returns. */
static void become_machine(const struct qemu_machine *machine, pid_t parent, const int its[CHANNELS])
{
    static const char failed[] = "amtsim: " PROGRAM " or its folder is not there\n";

    /* whoever is killed without a chance to clean up takes the machine along */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && chdir(machine->folder) == 0 &&
        dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 && keep_open(its))
        execute(machine, its);
    if (write(STDERR_FILENO, failed, sizeof(failed) - 1) < 0)
        _exit(126);
    _exit(127);
}

static bool open_channels(struct channels *channels, bool drive)
{
    for (int i = 0; i < CHANNELS; i++) {
        int fds[2] = {-1, -1};

        if ((i != DRIVE || drive) &&
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
            return false;
        channels->ours[i] = fds[0];
        channels->its[i] = fds[1];
    }
    return true;
}

static void close_all(const int fds[CHANNELS])
{
    for (int i = 0; i < CHANNELS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* Leaves this side's ends in ours[]. Returns its pid, or -1. */
static pid_t spawn(const struct qemu_machine *machine, int ours[CHANNELS])
{
    struct channels channels = {{-1, -1, -1}, {-1, -1, -1}};
    pid_t parent = getpid(), pid = -1;

    if (open_channels(&channels, machine->drive))
        pid = fork();
    if (pid == 0)
        become_machine(machine, parent, channels.its);
    if (pid < 0) {
        fprintf(stderr, "amtsim: no emulator for %s: %s\n", machine->name, strerror(errno));
        close_all(channels.ours);
    }
    close_all(channels.its);
    memcpy(ours, channels.ours, sizeof(channels.ours));
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

static struct bufferevent *talk(struct event_base *loop, struct qemu *qemu, int fd,
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
    int ours[CHANNELS];
    struct qemu *qemu = calloc(1, sizeof(*qemu));

    if (!qemu)
        return NULL;
    qemu->pid = spawn(machine, ours);
    if (qemu->pid < 0) {
        free(qemu);
        return NULL;
    }
    qemu->events = events;
    qemu->owner = owner;
    snprintf(qemu->name, sizeof(qemu->name), "%s", machine->name);
    qemu->serial = talk(loop, qemu, ours[SERIAL], on_serial);
    qemu->monitor = talk(loop, qemu, ours[MONITOR], on_monitor);
    qemu->drive = ours[DRIVE];
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

int qemu_drive(struct qemu *qemu)
{
    int fd = qemu->drive;

    qemu->drive = -1;
    return fd;
}

void qemu_drive_was_booted(struct qemu *qemu)
{
    ask(qemu, "qom-set",
        json_pack("{s:s, s:s, s:i}", "path", "/machine/peripheral/" REDIRECTED, "property", "bootindex",
                  "value", -1));
}

void qemu_pull_drive(struct qemu *qemu)
{
    ask(qemu, "device_del", json_pack("{s:s}", "id", REDIRECTED));
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
    if (qemu->drive >= 0)
        close(qemu->drive);
    free(qemu);
}
