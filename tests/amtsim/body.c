/* SPDX-License-Identifier: Apache-2.0 */
#include "body.h"

#include "drive.h"
#include "qemu.h"
#include "sol.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAIL 32             /* longer than any sign */
#define ASK_AGAIN_US 250000 /* between two looks at the probe port */

struct body {
    const char *folder;
    char accelerator[8];
    struct qemu *qemu; /* NULL: off */
    FILE *transcript;
    struct event ask_again;
    struct event start_again;  /* another machine takes its place, as soon as this one has had its say */
    struct bufferevent *asked; /* the connection to the probe port, while it is asked */
    char tail[TAIL];           /* what it wrote last */
    bool reachable;            /* its probe port is forwarded */
    bool restarts_itself;
    bool kernel;         /* its folder has one to boot */
    bool started_kernel; /* the machine that runs did */
    bool drive;          /* the machine has the redirected one */
};

/* What a Debian with an encrypted disk says on its console, and how far it has got then. */
static const struct {
    const char *text;
    enum stage stage;
} signs[] = {
    {"Please unlock disk ", STAGE_PROMPT},
    {": set up successfully", STAGE_STARTING},
    {" login: ", STAGE_UP},
};

static struct event_base *loop;

void body_setup(struct event_base *base)
{
    loop = base;
}

/* ---- is it up?
 * --------------------------------------------------------------------------------------------- */

static void stop_asking(struct body *body)
{
    event_del(&body->ask_again);
    if (body->asked)
        bufferevent_free(body->asked);
    body->asked = NULL;
}

static void later(struct body *body)
{
    const struct timeval wait = {0, ASK_AGAIN_US};

    stop_asking(body);
    event_add(&body->ask_again, &wait);
}

static void on_word(struct bufferevent *stream, void *arg)
{
    struct pc *pc = arg;

    (void)stream;
    stop_asking(pc->body);
    pc_reach(pc, STAGE_UP);
}

static void on_no_word(struct bufferevent *stream, short what, void *arg)
{
    const struct pc *pc = arg;

    (void)stream;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
        later(pc->body);
}

/* The port is open at once, so what counts is that the system within says something. */
static void ask(struct pc *pc)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)pc->options->probe_port), .sin_addr = pc->address};
    const struct timeval patience = {2, 0};

    pc->body->asked = bufferevent_socket_new(loop, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!pc->body->asked)
        return;
    bufferevent_setcb(pc->body->asked, on_word, NULL, on_no_word, pc);
    bufferevent_set_timeouts(pc->body->asked, &patience, NULL);
    bufferevent_enable(pc->body->asked, EV_READ);
    if (bufferevent_socket_connect(pc->body->asked, (struct sockaddr *)&address, sizeof(address)) != 0)
        later(pc->body);
}

static void on_ask_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ask(arg);
}

/* Its login is there. Only now does its probe port lead to it: while it waits for its passphrase, nobody may
 * take QEMU's answer for the system's. */
static void has_login(struct pc *pc)
{
    struct body *body = pc->body;

    if (pc->stage != STAGE_STARTING || body->reachable)
        return;
    body->reachable = true;
    qemu_forward(body->qemu, pc->address, pc->options->probe_port);
    later(body);
}

static void is_not_up(struct pc *pc)
{
    struct body *body = pc->body;

    stop_asking(body);
    if (body->reachable && body->qemu)
        qemu_forward_no_more(body->qemu, pc->address, pc->options->probe_port);
    body->reachable = false;
    memset(body->tail, 0, sizeof(body->tail));
}

/* ---- what it shows
 * ----------------------------------------------------------------------------------------- */

static bool ends_with(const struct body *body, const char *text)
{
    size_t length = strlen(text);

    return memcmp(body->tail + TAIL - length, text, length) == 0;
}

static void look_for_signs(struct pc *pc)
{
    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
        if (!ends_with(pc->body, signs[i].text))
            continue;
        if (signs[i].stage == STAGE_UP)
            has_login(pc);
        else
            pc_reach(pc, signs[i].stage);
    }
}

static void on_serial(void *owner, const char *data, size_t size)
{
    struct pc *pc = owner;
    struct body *body = pc->body;

    fwrite(data, 1, size, body->transcript);
    fflush(body->transcript);
    sol_write(pc, data, size);
    for (size_t i = 0; i < size; i++) {
        memmove(body->tail, body->tail + 1, TAIL - 1);
        body->tail[TAIL - 1] = data[i];
        look_for_signs(pc);
    }
}

static void on_restarted(void *owner)
{
    struct pc *pc = owner;

    if (pc->stage == STAGE_FIRMWARE)
        return; /* the firmware resets once or twice more until it likes what it sees */
    pc->body->restarts_itself = true;
    pc_restart_warm(pc);
    pc->body->restarts_itself = false;
}

static void on_ended(void *owner)
{
    pc_switch_itself_off(owner);
}

/* ---- power
 * ------------------------------------------------------------------------------------------------- */

static void end_machine(struct body *body)
{
    if (body->qemu)
        qemu_kill(body->qemu);
    body->qemu = NULL;
    body->drive = false;
}

static void start(struct pc *pc, bool drive)
{
    static const struct qemu_events events = {on_serial, on_restarted, on_ended};
    struct body *body = pc->body;
    const struct qemu_machine machine = {.name = pc->fqdn,
                                         .uuid = pc->uuid,
                                         .accelerator = body->accelerator,
                                         .folder = body->folder,
                                         .kernel = body->kernel && !drive,
                                         .drive = drive,
                                         .serial_console = pc->booted.use_sol != 0};

    end_machine(body);
    body->qemu = qemu_start(loop, &machine, &events, pc);
    body->started_kernel = machine.kernel;
    body->drive = drive && body->qemu;
    if (body->drive)
        drive_serve(pc, qemu_drive(body->qemu));
}

static void on_drive(struct pc *pc, bool there)
{
    if (!there) {
        drive_stop(pc);
        pc_boot_from_disk(pc);
    }
    start(pc, there);
}

static void on_image(struct pc *pc)
{
    pc_reach(pc, STAGE_IMAGE);
    qemu_drive_was_booted(pc->body->qemu);
}

static void on_start_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    drive_stop(arg);
    start(arg, false);
}

/* What the machine has now cannot be booted from: it needs its drive, or had one instead of its kernel. */
static bool needs_another(const struct body *body)
{
    return !body->qemu || (body->kernel && !body->started_kernel);
}

void body_boot(struct pc *pc)
{
    static const struct drive_events events = {on_drive, on_image};
    struct body *body = pc->body;

    is_not_up(pc);
    sol_tell_power(pc);
    event_del(&body->start_again);
    if (!body->drive)
        drive_stop(pc); /* it was still looked for */
    if (pc->booted.use_ider && pc->booted.ider_boot_device) {
        if (!body->restarts_itself)
            end_machine(body);
        drive_find(loop, pc, &events);
    }
    else if (needs_another(body)) {
        event_active(&body->start_again, EV_TIMEOUT, 1);
    }
    else if (!body->restarts_itself) {
        qemu_reset(body->qemu);
    }
}

void body_drive_gone(struct pc *pc)
{
    if (pc->body->drive && pc->body->qemu)
        qemu_pull_drive(pc->body->qemu);
    pc->body->drive = false;
}

void body_power_gone(struct pc *pc)
{
    struct body *body = pc->body;

    is_not_up(pc);
    event_del(&body->start_again);
    drive_stop(pc);
    end_machine(body);
    sol_tell_power(pc);
}

void body_input(struct pc *pc, const char *data, size_t size)
{
    if (pc->body->qemu)
        qemu_type(pc->body->qemu, data, size);
}

/* ---- made and ended
 * ---------------------------------------------------------------------------------------- */

/* The one line of a file. */
static bool read_word(const char *folder, const char *name, char *word, int size)
{
    char path[4096];
    FILE *file;
    bool ok;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "re");
    ok = file && fgets(word, size, file);
    if (file)
        fclose(file);
    if (ok)
        word[strcspn(word, "\n")] = '\0';
    return ok;
}

static bool has_file(const char *folder, const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return access(path, R_OK) == 0;
}

static FILE *open_transcript(const struct pc *pc)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/%s.serial", pc->options->dir, pc->fqdn);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd < 0 ? NULL : fdopen(fd, "a");
}

int body_give(struct pc *pc, const char *folder)
{
    struct body *body = calloc(1, sizeof(*body));

    if (!body || !read_word(folder, "passphrase", pc->passphrase, sizeof(pc->passphrase)) ||
        !read_word(folder, "accelerator", body->accelerator, sizeof(body->accelerator)) ||
        !(body->transcript = open_transcript(pc))) {
        fprintf(stderr, "amtsim: no body for %s in %s: %s\n", pc->fqdn, folder, strerror(errno));
        free(body);
        return -1;
    }
    body->folder = folder;
    body->kernel = has_file(folder, "kernel");
    event_assign(&body->ask_again, loop, -1, 0, on_ask_again, pc);
    event_assign(&body->start_again, loop, -1, 0, on_start_again, pc);
    pc->body = body;
    if (pc->method == METHOD_WAKE)
        pc->method = METHOD_SOL; /* its disk wants a passphrase */
    return 0;
}

void body_free(struct pc *pc)
{
    if (!pc->body)
        return;
    body_power_gone(pc);
    fclose(pc->body->transcript);
    free(pc->body);
    pc->body = NULL;
}
