/* SPDX-License-Identifier: Apache-2.0 */
#include "image/attempt_priv.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/disks_priv.h"
#include "image/keys_priv.h"
#include "image/luks_priv.h"
#include "image/opal_priv.h"
#include "image/takeover_priv.h"

#define TRY_MS 58000 /* of the page's 60 s */

/* What the process of the try says to process 1: no pointer. */
typedef struct {
    image_outcome_e outcome;
    attempt_way_e way;
    char reason[32];
} attempt_report_t;

const char *attempt_look(void)
{
    disks_t disks;

    disks_look(&disks);
    if (disks.volume_count > 0 || disks.drive_count > 0) {
        return NULL;
    }
    return disks.unsupported ? IMAGE_UNSUPPORTED_DISK : disks.errors ? IMAGE_DISK_ERROR : IMAGE_NO_DISK;
}

/* Locked drives come first: behind them nothing can be seen. A restart shows what they hold. */
static image_result_t try_drives(const disks_t *disks, const image_passphrase_t *passphrase)
{
    image_result_t result = {IMAGE_FAILED, IMAGE_NO_DISK};

    for (size_t i = 0; i < disks->drive_count; i++) {
        result = opal_unlock(disks->drives[i], passphrase);
        image_say("%s: %s", disks->drives[i], result.outcome == IMAGE_UNLOCKED ? "unlocked" : "not unlocked");
        if (result.outcome != IMAGE_UNLOCKED) {
            break;
        }
    }
    return result;
}

static image_result_t try_volumes(disks_t *disks, const image_passphrase_t *passphrase, attempt_way_e *way)
{
    image_result_t result = luks_test(disks->volumes, disks->volume_count, passphrase);
    const char *reason;

    if (result.outcome != IMAGE_UNLOCKED) {
        return result;
    }
    reason = takeover_prepare(disks->volumes, disks->volume_count, passphrase);
    if (reason != NULL) {
        return (image_result_t){IMAGE_FAILED, reason};
    }
    *way = ATTEMPT_TAKEOVER;
    return result;
}

static image_result_t attempt_try(const image_passphrase_t *passphrase, attempt_way_e *way)
{
    disks_t disks;

    disks_look(&disks);
    if (disks.drive_count > 0) {
        return try_drives(&disks, passphrase);
    }
    if (disks.volume_count > 0) {
        return try_volumes(&disks, passphrase, way);
    }
    return (image_result_t){IMAGE_FAILED, IMAGE_NO_DISK};
}

/* The process of the try. */
static void attempt_run(int pipe, image_passphrase_t *passphrase)
{
    attempt_report_t report = {.way = ATTEMPT_RESTART};
    image_result_t result;

    mlockall(MCL_CURRENT);
    result = attempt_try(passphrase, &report.way);
    keys_wipe(passphrase, sizeof(*passphrase));
    report.outcome = result.outcome;
    strncpy(report.reason, result.reason, sizeof(report.reason) - 1);
    _exit(write(pipe, &report, sizeof(report)) != sizeof(report));
}

/* What the process said, or why it says nothing. */
static const char *attempt_wait(pid_t child, int pipe, attempt_report_t *report)
{
    const char *reason = NULL;

    if (poll(&(struct pollfd){.fd = pipe, .events = POLLIN}, 1, TRY_MS) <= 0) {
        reason = IMAGE_TIME_OUT;
    }
    else if (read(pipe, report, sizeof(*report)) != sizeof(*report)) {
        reason = IMAGE_INTERNAL;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, reason != NULL ? WNOHANG : 0); /* one that hangs in the kernel is not waited for */
    return reason;
}

/* The word of the page that a report holds. */
static const char *reason_literal(const char *word)
{
    static const char *const words[] = {
        "none",           IMAGE_NO_DISK,    IMAGE_NO_SYSTEM, IMAGE_UNSUPPORTED_DISK,
        IMAGE_DISK_ERROR, IMAGE_LOCKED_OUT, IMAGE_TIME_OUT};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            return words[i];
        }
    }
    return IMAGE_INTERNAL;
}

image_result_t attempt_make(const image_passphrase_t *passphrase, attempt_way_e *way)
{
    attempt_report_t report = {.way = ATTEMPT_RESTART};
    const char *reason;
    int ends[2];
    pid_t child;

    *way = ATTEMPT_RESTART;
    if (pipe(ends) != 0 || (child = fork()) < 0) {
        return (image_result_t){IMAGE_FAILED, IMAGE_INTERNAL};
    }
    if (child == 0) {
        image_passphrase_t own = *passphrase;

        attempt_run(ends[1], &own);
    }
    close(ends[1]);
    reason = attempt_wait(child, ends[0], &report);
    close(ends[0]);
    if (reason != NULL) {
        return (image_result_t){IMAGE_FAILED, reason};
    }
    *way = report.way;
    return (image_result_t){report.outcome, reason_literal(report.reason)};
}
