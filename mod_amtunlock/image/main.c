/* SPDX-License-Identifier: Apache-2.0 */
/* /init of the unlock image: finds AMT's serial port and the sector of this boot, gets the passphrase, opens the disk, says
 * what became of it, and leaves by one of two ways: a warm restart, or the disk's own system in memory. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "image/attempt_priv.h"
#include "image/console_priv.h"
#include "image/disc_priv.h"
#include "image/modules_priv.h"
#include "image/takeover_priv.h"
#include "image/talk_priv.h"

#define DISC_MS 30000 /* for the drive to appear and answer */
#define DISK_MS 10000 /* for the disks: they are there long before, as a rule */
#define AGAIN_MS 100
#define SHOWN_MS 5000 /* that a sentence stays on the screen before a restart */

/* All that is secret, in memory that is locked and wiped. */
static struct {
    keys_t keys;
    talk_t talk;
    image_passphrase_t passphrase;
} boot;

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_ms(long ms)
{
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&span, NULL);
}

/* Does not return: where even a restart fails, process 1 ends, and the kernel restarts as `panic` says. */
static void leave(attempt_way_e way)
{
    keys_wipe(&boot, sizeof(boot));
    sync();
    if (way == ATTEMPT_TAKEOVER) {
        takeover_start();
    }
    reboot(RB_AUTOBOOT);
    _exit(1);
}

static void prepare(void)
{
    static const char *const folders[][2] = {{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        mkdir(folders[i][1], 0755);
        if (mount(folders[i][0], folders[i][1], folders[i][0], MS_NOSUID | MS_NOEXEC, NULL) != 0 &&
            errno != EBUSY) {
            image_say("%s: %s", folders[i][1], strerror(errno));
        }
    }
    signal(SIGPIPE, SIG_IGN);
    reboot(RB_DISABLE_CAD);
    if (mlockall(MCL_CURRENT) != 0) {
        image_say("memory cannot be locked: %s", strerror(errno));
    }
}

/* The sector; without it there is nobody to talk to. */
static void find_sector(void)
{
    long until = now_ms() + DISC_MS;
    disc_e found = disc_find(&boot.keys);

    while (found != DISC_FOUND && now_ms() < until) {
        sleep_ms(AGAIN_MS);
        found = disc_find(&boot.keys);
    }
    if (found != DISC_FOUND) {
        image_say(found == DISC_NONE ? "the drive that this was booted from is not found"
                                     : "this was not booted by a worker, or its sector is damaged");
        sleep_ms(SHOWN_MS);
        leave(ATTEMPT_RESTART);
    }
    image_say("booted for %s", boot.keys.id);
}

/* Why there is nothing to try, or NULL. */
static const char *find_disks(void)
{
    long until = now_ms() + DISK_MS;
    const char *reason = attempt_look();

    while (reason != NULL && now_ms() < until) {
        sleep_ms(AGAIN_MS);
        reason = attempt_look();
    }
    return reason;
}

static attempt_way_e try_it(void)
{
    attempt_way_e way = ATTEMPT_RESTART;
    image_result_t result;

    image_say("trying the passphrase");
    result = attempt_make(&boot.passphrase, &way);
    keys_wipe(&boot.passphrase, sizeof(boot.passphrase));
    talk_result(&boot.talk, &result);
    if (result.outcome == IMAGE_FAILED) {
        image_say("failed: %s", result.reason);
    }
    return result.outcome == IMAGE_UNLOCKED ? way : ATTEMPT_RESTART;
}

/* A port that went away comes back: management firmware resets it now and then. What it gave meanwhile is lost. */
static void port_again(int *port, const char *name)
{
    if (*port >= 0) {
        close(*port);
    }
    sleep_ms(AGAIN_MS);
    *port = console_open(name);
}

/* The dialogue to its end; how to leave. */
static attempt_way_e talk_through(const char *name)
{
    attempt_way_e way = ATTEMPT_RESTART;
    int port = console_open(name);
    const char *line;
    char bytes[256];
    long wait;

    while (boot.talk.state != TALK_OVER) {
        int length;

        line = talk_due(&boot.talk, now_ms(), &wait);
        if (line != NULL) {
            console_write(port, line);
        }
        length =
            boot.talk.state != TALK_OVER && port >= 0 ? console_read(port, wait, bytes, sizeof(bytes)) : -1;
        if (length < 0) {
            port_again(&port, name);
            continue;
        }
        talk_take(&boot.talk, bytes, (size_t)length, &boot.passphrase);
        if (boot.talk.state == TALK_TRYING) {
            way = try_it();
        }
    }
    return way;
}

int main(void)
{
    char name[CONSOLE_NAME_MAX];
    attempt_way_e way;
    const char *reason;

    prepare();
    modules_load();
    console_find("/sys", name);
    image_say("the worker's line is %s", name);
    find_sector();
    reason = find_disks();
    if (!keys_make(&boot.keys)) {
        leave(ATTEMPT_RESTART);
    }
    talk_begin(&boot.talk, &boot.keys);
    if (reason != NULL) {
        image_say("nothing to unlock: %s", reason);
        talk_refuse(&boot.talk, reason);
    }
    way = talk_through(name);
    image_say(way == ATTEMPT_TAKEOVER ? "starting the disk's system" : "restarting");
    leave(way);
    return 1;
}
