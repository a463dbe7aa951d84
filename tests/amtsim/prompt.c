/* SPDX-License-Identifier: Apache-2.0 */
#include "prompt.h"

#include "log.h"
#include "sol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_CHARS 512
#define TRIES_MAX 3
#define CHECK_MIN 0.1 /* seconds to turn a passphrase into a key */
#define CHECK_MAX 0.3

#define CONTROL_U 21
#define BACKSPACE 8
#define DELETE 127

enum reading { READING_NOTHING, READING_PASSPHRASE, CHECKING };

struct console {
    struct event check;
    enum reading reading;
    unsigned tries;
    size_t length;
    char line[LINE_MAX_CHARS];
};

/* The question is on its way to the console by then, and nobody has answered it. */
static const struct timeval until_cut = {0, 100000};

static struct event_base *loop;

static void on_checked(evutil_socket_t fd, short what, void *arg);

void prompt_setup(struct event_base *base)
{
    loop = base;
}

static void print(struct pc *pc, const char *text)
{
    sol_write(pc, text, strlen(text));
}

static struct console *console_of(struct pc *pc)
{
    if (!pc->console) {
        pc->console = calloc(1, sizeof(struct console));
        if (pc->console)
            event_assign(&pc->console->check, loop, -1, 0, on_checked, pc);
    }
    return pc->console;
}

static void reset(struct pc *pc)
{
    if (!pc->console)
        return;
    event_del(&pc->console->check);
    pc->console->reading = READING_NOTHING;
    pc->console->tries = 0;
    pc->console->length = 0;
    memset(pc->console->line, 0, sizeof(pc->console->line));
}

void prompt_free(struct pc *pc)
{
    reset(pc);
    free(pc->console);
    pc->console = NULL;
}

/* ---- what is shown ------------------------------------------------------------------------------------- */

void prompt_boot(struct pc *pc)
{
    reset(pc);
    sol_tell_power(pc);
    if (pc_has(pc, FAULT_BABBLE_CONSOLE))
        sol_babble(pc);
    if (pc_has(pc, FAULT_CONSOLE_CUT))
        sol_cut(pc);
    if (!pc->booted.use_sol)
        return; /* only then does the BIOS show itself on the serial port */
    print(pc, "\x1b[2J\x1b[1;1H\x1b[0;37;40mSimulated BIOS 1.0\r\nSerial redirection by Intel(R) AMT\r\n");
    print(pc, "\x1b[2J\x1b[1;1HGNU GRUB  version 2.06\r\n\r\n  Booting `Debian GNU/Linux'\r\n\r\n"
              "Loading Linux 6.1.0-13-amd64 ...\r\nLoading initial ramdisk ...\r\n");
}

static void on_cut(evutil_socket_t fd, short what, void *pc)
{
    (void)fd;
    (void)what;
    sol_cut(pc);
}

static void ask(struct pc *pc)
{
    struct console *console = console_of(pc);

    if (!console)
        return;
    console->reading = READING_PASSPHRASE;
    console->length = 0;
    if (pc_has(pc, FAULT_NOISE))
        sol_make_noise(pc);
    print(pc, "Please unlock disk root: ");
    if (pc_has(pc, FAULT_CONSOLE_CUT_AT_PROMPT) && console->tries == 0)
        event_base_once(loop, -1, EV_TIMEOUT, on_cut, pc, &until_cut);
}

void prompt_ask(struct pc *pc)
{
    print(pc, "[    1.204331] Run /init as init process\r\n");
    if (pc_has(pc, FAULT_NO_PROMPT))
        return;
    ask(pc);
}

void prompt_login(struct pc *pc)
{
    char text[256];
    int host = (int)strcspn(pc->fqdn, ".");

    snprintf(text, sizeof(text), "\r\nDebian GNU/Linux 12 %.*s ttyS0\r\n\r\n%.*s login: ", host, pc->fqdn,
             host, pc->fqdn);
    print(pc, text);
}

void prompt_stop(struct pc *pc)
{
    reset(pc);
    sol_tell_power(pc);
}

/* ---- what is typed ------------------------------------------------------------------------------------- */

static void refuse(struct pc *pc)
{
    struct console *console = pc->console;

    print(pc, "cryptsetup: ERROR: root: cryptsetup failed, bad password or options?\r\n");
    if (++console->tries < TRIES_MAX) {
        ask(pc);
        return;
    }
    console->reading = READING_NOTHING;
    print(pc, "cryptsetup: ERROR: root: maximum number of tries exceeded\r\n(initramfs) ");
}

static void on_checked(evutil_socket_t fd, short what, void *arg)
{
    struct pc *pc = arg;
    struct console *console = pc->console;
    bool good = console->length == strlen(pc->passphrase) &&
                memcmp(console->line, pc->passphrase, console->length) == 0 &&
                !pc_has(pc, FAULT_WRONG_PASSPHRASE);

    (void)fd;
    (void)what;
    log_event(pc->fqdn, "passphrase",
              json_pack("{s:b, s:I}", "ok", good, "bytes", (json_int_t)console->length));
    memset(console->line, 0, sizeof(console->line));
    console->length = 0;
    if (!good) {
        refuse(pc);
        return;
    }
    console->reading = READING_NOTHING;
    print(pc, "cryptsetup: root: set up successfully\r\n");
    pc_unlock(pc);
}

static void check_line(struct pc *pc)
{
    double seconds = CHECK_MIN + pc_random(pc) * (CHECK_MAX - CHECK_MIN);
    struct timeval tv = {0, (suseconds_t)(seconds * 1e6)};

    pc->console->reading = CHECKING;
    print(pc, "\r\n"); /* the passphrase itself is not echoed */
    event_add(&pc->console->check, &tv);
}

static void take_character(struct pc *pc, char c)
{
    struct console *console = pc->console;

    if (c == '\r' || c == '\n')
        check_line(pc);
    else if (c == CONTROL_U)
        console->length = 0;
    else if ((c == BACKSPACE || c == DELETE) && console->length > 0)
        console->length--;
    else if (c != BACKSPACE && c != DELETE && console->length < LINE_MAX_CHARS)
        console->line[console->length++] = c;
}

/* Nobody reads, so it is lost, but not unseen. A console sends a passphrase in one message. */
static void look_for_leak(const struct pc *pc, const char *data, size_t size)
{
    size_t length = strlen(pc->passphrase);

    if (length > 0 && memmem(data, size, pc->passphrase, length))
        log_event(pc->fqdn, "leak", json_pack("{s:s}", "to", "nobody"));
}

void prompt_input(struct pc *pc, const char *data, size_t size)
{
    if (!pc->console || pc->console->reading != READING_PASSPHRASE)
        look_for_leak(pc, data, size);
    if (pc->stage == STAGE_UP && memchr(data, '\r', size))
        prompt_login(pc); /* for a name that is none it asks again */
    for (size_t i = 0; i < size && pc->console && pc->console->reading == READING_PASSPHRASE; i++)
        take_character(pc, data[i]);
}
