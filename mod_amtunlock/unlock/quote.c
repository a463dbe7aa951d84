/* SPDX-License-Identifier: Apache-2.0 */
/* See quote_priv.h. A console may hold any secret that was ever typed at this PC, whole or in pieces; to look for each
 * of them would mean to keep them. So only words of this list are repeated. */
#include "unlock/quote_priv.h"

#include <string.h>
#include <strings.h>

#include <apr_lib.h>
#include <apr_strings.h>

static const char *const words[] = {
    "a",          "access",     "activate",    "again",     "and",        "arch",      "available",
    "bad",        "begin",      "bios",        "boot",      "booting",    "broadcast", "cannot",
    "centos",     "command",    "console",     "control",   "could",      "crypto",    "cryptography",
    "cryptsetup", "ctrl",       "debian",      "decrypt",   "device",     "disk",      "done",
    "drive",      "drives",     "dropping",    "emergency", "encrypted",  "enter",     "error",
    "exit",       "failed",     "failure",     "fedora",    "filesystem", "finished",  "for",
    "found",      "from",       "gentoo",      "give",      "gnu",        "grub",      "image",
    "in",         "initial",    "initramfs",   "insert",    "is",         "job",       "kernel",
    "key",        "linux",      "loading",     "locked",    "login",      "luks",      "maintenance",
    "maximum",    "menu",       "message",     "mode",      "mounting",   "no",        "not",
    "number",     "of",         "ok",          "on",        "opal",       "or",        "panic",
    "partition",  "passphrase", "pass-phrase", "password",  "pin",        "please",    "pool",
    "pre",        "press",      "prompt",      "ramdisk",   "reached",    "read-only", "reboot",
    "recovery",   "rescue",     "root",        "running",   "scanning",   "security",  "setup",
    "shell",      "start",      "started",     "starting",  "sudo",       "switch",    "systemd",
    "system",     "tab",        "target",      "the",       "this",       "timed",     "to",
    "token",      "tpm",        "tpm2",        "tries",     "try",        "ubuntu",    "uefi",
    "unable",     "unlock",     "unlocking",   "up",        "user",       "valid",     "verifying",
    "version",    "volume",     "volumes",     "waiting",   "warning",    "welcome",   "with",
    "you",        "your",       "zfs",
};

/* What stands between blanks, without signs around it. */
static int is_known_token(const char *token, size_t length)
{
    static const char signs[] = "()[]:!?.,;*";

    while (length > 0 && strchr(signs, token[0]) != NULL) {
        token++;
        length--;
    }
    while (length > 0 && strchr(signs, token[length - 1]) != NULL) {
        length--;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i]) == length && strncasecmp(words[i], token, length) == 0) {
            return 1;
        }
    }
    return 0;
}

const char *quote_line(const char *line, apr_pool_t *pool)
{
    char *quoted = apr_palloc(pool, 4 * strlen(line) + 1), *at = quoted;
    int hidden = 0;

    *at = '\0';
    while (*(line += strspn(line, " ")) != '\0') {
        size_t length = strcspn(line, " ");
        int known = is_known_token(line, length);

        if (known || !hidden) {
            at += at > quoted ? (*at = ' ', 1) : 0;
            at = apr_cpystrn(at, known ? line : "...", known ? length + 1 : 4);
        }
        hidden = !known;
        line += length;
    }
    return quoted;
}
