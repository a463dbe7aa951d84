/* SPDX-License-Identifier: Apache-2.0 */
/* What PCs really show on their console, against the patterns that are built in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "unlock/prompts_priv.h"
#include "unlock/quote_priv.h"

static const struct {
    const char *line;
    phrase_e means;
    const char *name; /* NULL: not looked at */
} lines[] = {
    /* cryptsetup in Debian's initramfs */
    {"Please unlock disk root: ", PHRASE_QUESTION, "root"},
    {"Please unlock disk nvme0n1p3_crypt: ", PHRASE_QUESTION, "nvme0n1p3_crypt"},
    {"Please unlock disk sda3_crypt: :", PHRASE_QUESTION, "sda3_crypt"}, /* Plymouth adds its own colon */
    {"Please unlock disk root: ***", PHRASE_TEXT, NULL},
    {"Please unlock disk root", PHRASE_TEXT, NULL},
    {"cryptsetup: ERROR: root: cryptsetup failed, bad password or options?", PHRASE_REFUSED, "root"},
    {"cryptsetup: ERROR: root: maximum number of tries exceeded", PHRASE_REFUSED, "root"},
    {"No key available with this passphrase.", PHRASE_REFUSED, ""},
    {"cryptsetup: root: set up successfully", PHRASE_OPENED, "root"},
    {"cryptsetup (sda5_crypt): set up successfully", PHRASE_OPENED, "sda5_crypt"},
    {"cryptsetup: Waiting for encrypted source device UUID=...", PHRASE_TEXT, NULL},
    /* systemd-ask-password */
    {"Please enter passphrase for disk root (luks-6f): (press TAB for no echo) ", PHRASE_QUESTION, "luks-6f"},
    {"\xf0\x9f\x94\x90 Please enter passphrase for disk SAMPLE_HARDDISK (root):", PHRASE_QUESTION, "root"},
    {"Please enter passphrase for disk SAMPLE_HARDDISK (luks-6f)! ", PHRASE_QUESTION, "luks-6f"},
    {"Please enter passphrase for disk SAMPLE (R) SSD (root) on /home! ", PHRASE_QUESTION, "root"},
    {"Please enter passphrase for disk vg-swap (cryptswap1) on none! ", PHRASE_QUESTION, "cryptswap1"},
    {"Please enter passphrase for disk data on /srv: ", PHRASE_QUESTION, "data"},
    {"Please enter passphrase or recovery key for disk SAMPLE (luks-6f): (press TAB for no echo) ",
     PHRASE_QUESTION, "luks-6f"},
    {"Please enter passphrase for disk SAMPLE_LONG_NAME_OF_A_DISK (luks-6fa\xe2\x80\xa6", PHRASE_QUESTION,
     "luks-6fa\xe2\x80\xa6"},
    {"Please enter passphrase for disk root: (press TAB for\xe2\x80\xa6", PHRASE_QUESTION, "root"},
    {"StartinPlease enter passphrase for disk md2_crypt! ", PHRASE_QUESTION, "md2_crypt"},
    {"Begin: Running /scripts/local-top ... Please unlock disk root: ", PHRASE_QUESTION, "root"},
    {"Begin: Mounting root file system ... Begin: Running /scripts/local-top ... Please unlock disk root: ",
     PHRASE_QUESTION, "root"},
    {"Welcome. At the start say: Please unlock disk root: ", PHRASE_FOREIGN, NULL},
    {"Welcome. Please enter passphrase for disk root: ", PHRASE_FOREIGN, NULL},
    {"sh-5.2# Please unlock disk root: ", PHRASE_SHELL, NULL},
    {"\xf0\x9f\x94\x90 Please enter passphrase for disk SAMPLE (root): *****", PHRASE_TEXT, NULL},
    {"Please enter passphrase for disk root (verification): ", PHRASE_FOREIGN, NULL},
    {"Please enter recovery key for disk root: ", PHRASE_FOREIGN, NULL},
    {"Password entry required for 'Please enter passphrase for disk data on /mnt:' (PID 8341).", PHRASE_TEXT,
     NULL},
    {"Password entry required for 'Please enter passphrase for disk data:", PHRASE_FOREIGN, NULL},
    {"systemd-cryptsetup[412]: Please enter passphrase for disk data:", PHRASE_FOREIGN, NULL},
    {"Failed to activate with specified passphrase. (Passphrase incorrect?)", PHRASE_REFUSED, ""},
    {"[  OK  ] Finished Cryptography Setup for luks-6f.", PHRASE_OPENED, "luks-6f"},
    {"[  OK  ] Started Cryptography Setup for root.", PHRASE_OPENED, "root"},
    {"[  OK  ] Finished systemd-cryptsetup@root.service - Cryptography Setup for root.", PHRASE_OPENED,
     "root"},
    {"[  OK  ] Finished systemd-cryptsetup@luk\xe2\x80\xa6phy Setup for luks-6f.", PHRASE_OPENED, "luks-6f"},
    {"[  OK  ] Finished systemd-cryptsetup@luks\\x2d6f.service.", PHRASE_OPENED, "luks-6f"},
    {"[FAILED] Failed to start Cryptography Setup for root.", PHRASE_REFUSED, "root"},
    {"         Starting Cryptography Setup for root...", PHRASE_TEXT, NULL},
    {"[  OK  ] Finished hint.service - Cryptography Setup for root.", PHRASE_TEXT, NULL},
    {"[  OK  ] Started Check of Cryptography Setup for root.", PHRASE_TEXT, NULL},
    {"[  OK  ] Started After Reached target Switch Root.", PHRASE_TEXT, NULL},
    {"[  OK  ] Reached target nothing before Multi-User System.", PHRASE_TEXT, NULL},
    {"[  OK  ] Reached target multi-user.target - Multi-User System.", PHRASE_GOES_ON, NULL},
    {"[  OK  ] Mounted backup.mount - /backup/sysroot.", PHRASE_TEXT, NULL},
    {"[  OK  ] Mounted sysroot.mount - /sysroot.", PHRASE_GOES_ON, NULL},
    {"[FAILED] Failed to start hint.service - Cryptography Setup for root.", PHRASE_TEXT, NULL},
    {"[FAILED] Failed to start systemd-cryptsetup@root.service - Cryptography Setup for root.",
     PHRASE_REFUSED, "root"},
    {"[  OK  ] Reached target Local Encrypted Volumes.", PHRASE_HINT, NULL},
    {"[  OK  ] Reached target cryptsetup.target - Local Encrypted Volumes.", PHRASE_HINT, NULL},
    {"[  OK  ] Reached target cryptsetup-pre.target - Local Encrypted Volumes (Pre).", PHRASE_TEXT, NULL},
    {"[  OK  ] Reached target Remote Encrypted Volumes.", PHRASE_TEXT, NULL},
    {"[  OK  ] Started Forward Password Requests to Wall Directory Watch.", PHRASE_TEXT, NULL},
    {"[FAILED] Failed to start Network Time Synchronization.", PHRASE_TEXT, NULL},
    {"[  OK  ] Reached target Switch Root.", PHRASE_WENT_ON, NULL},
    {"archiso login: root (automatic login)", PHRASE_SHELL, NULL},
    {"This will overwrite data on /dev/sda2 irrevocably.", PHRASE_SHELL, NULL},
    {"error: ../../grub-core/disk/cryptodisk.c:1101:Invalid passphrase.", PHRASE_REFUSED, ""},
    {"         Starting initrd-switch-root.service - Switch Root...", PHRASE_WENT_ON, NULL},
    {"[***   ] A start job is running for Cryptography Setup for root (5s / no limit)", PHRASE_TEXT, NULL},
    /* dracut without systemd, mkinitcpio, booster */
    {"Password (/dev/vda3): ", PHRASE_QUESTION, "/dev/vda3"},
    {"Password (/dev/vda3) [2/5]:", PHRASE_QUESTION, "/dev/vda3"},
    {"Password for /dev/vda3 (luks-6f): ", PHRASE_QUESTION, "/dev/vda3"},
    {"Enter passphrase for /dev/vda3: ", PHRASE_QUESTION, "/dev/vda3"},
    {"Enter passphrase for luks-6f:", PHRASE_QUESTION, "luks-6f"},
    {"A password is required to access the cryptroot volume:", PHRASE_QUESTION, "cryptroot"},
    {":: mounting '/dev/mapper/cryptroot' on real root", PHRASE_WENT_ON, NULL},
    {"   Incorrect passphrase, please try again", PHRASE_REFUSED, ""},
    /* ZFS, NixOS, GRUB, sedutil, a token's script */
    {"Enter passphrase for 'rpool/ROOT': ", PHRASE_QUESTION, "rpool/ROOT"},
    {"\xf0\x9f\x94\x90 Enter passphrase for tank: (press TAB for no echo) ", PHRASE_QUESTION, "tank"},
    {"Enter passphrase for rpool/ROOT: (press TAB for no echo) ", PHRASE_QUESTION, "rpool/ROOT"},
    {"\xf0\x9f\x94\x90 Encrypted ZFS password for rpool/ROOT (press TAB for no echo) ", PHRASE_TEXT, NULL},
    {"\xf0\x9f\x94\x90 Encrypted ZFS password for rpool/ROOT: (press TAB for no echo) ", PHRASE_QUESTION,
     "rpool/ROOT"},
    {"Encrypted ZFS password for tank [1/5]:Enter passphrase for 'tank':", PHRASE_QUESTION, "tank"},
    {"Encrypted ZFS password for tank [1/5]:Enter passphrase for key 'tank':", PHRASE_FOREIGN, NULL},
    {"Encrypted ZFS password for rpool/ROOT", PHRASE_QUESTION, "rpool/ROOT"},
    {"1 / 1 key(s) successfully loaded", PHRASE_OPENED, ""},
    {"1 / 2 key(s) successfully loaded", PHRASE_REFUSED, ""},
    {"backup[9]: 1 / 1 key(s) successfully loaded", PHRASE_TEXT, NULL},
    {"Key load error: Incorrect key provided for 'rpool/ROOT'.", PHRASE_REFUSED, ""},
    {"[  OK  ] Finished Load ZFS key for rpool/ROOT.", PHRASE_OPENED, "rpool/ROOT"},
    {"Passphrase for /dev/disk/by-uuid/0a0b: ", PHRASE_QUESTION, "/dev/disk/by-uuid/0a0b"},
    {"Verifying passphrase for /dev/disk/by-uuid/0a0b... - success", PHRASE_OPENED, "/dev/disk/by-uuid/0a0b"},
    {"Verifying passphrase for /dev/disk/by-uuid/0a0b... - failure", PHRASE_REFUSED,
     "/dev/disk/by-uuid/0a0b"},
    {"Enter passphrase for hd0,gpt2 (4f3c0a0b-0000-4000-8000-000000000001): ", PHRASE_QUESTION, "hd0,gpt2"},
    {"error: access denied.", PHRASE_REFUSED, ""},
    {"error: ../../grub-core/disk/cryptodisk.c:1173:Invalid passphrase.", PHRASE_REFUSED, ""},
    {"dracut-pre-mount[622]: Key load error: Incorrect key provided for 'tank'.", PHRASE_REFUSED, ""},
    {"backup[9]: mount error: access denied", PHRASE_TEXT, NULL},
    {"Wrong password attempts since the last login: 3", PHRASE_TEXT, NULL},
    {"Too many attempts to activate; giving up.", PHRASE_REFUSED, ""},
    {"sshd[812]: error: PAM: wrong password for alice", PHRASE_TEXT, NULL},
    {"systemd-cryptsetup[312]: Failed to activate with specified passphrase. (Passphrase incorrect?)",
     PHRASE_REFUSED, ""},
    {"   Unlocking...   Incorrect passphrase, please try again", PHRASE_REFUSED, ""},
    {"Slot \"0\" opened", PHRASE_OPENED, ""},
    {"Please enter pass-phrase to unlock OPAL drives: ", PHRASE_QUESTION, ""},
    {"Please enter pass-phrase to unlock OPAL drives: *******", PHRASE_TEXT, NULL},
    {"Drive /dev/nvme0 Sample SSD 980 PRO 1TB is OPAL Unlocked", PHRASE_OPENED, ""},
    {"Drive /dev/nvme0 Sample SSD 980 PRO 1TB is OPAL NOT LOCKED   ", PHRASE_HINT, NULL},
    {"Drive /dev/nvme0 Sample SSD 980 PRO 1TB is OPAL Failed  ", PHRASE_REFUSED, ""},
    {"Please insert yubikey and press enter or enter a valid passphrase: ", PHRASE_QUESTION, ""},
    /* secrets that are no disk's */
    {"[sudo] password for alice: ", PHRASE_FOREIGN, NULL},
    {"Password for alice@EXAMPLE.COM: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for key '/home/alice/.ssh/id_ed25519': ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for /home/alice/.ssh/id_rsa: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for id_rsa: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for deploy_key: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for deploy_key:", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for deploy: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for backup.ed25519: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for keys/backup: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for .ssh/deploy: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for alice@pc-0002: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for alice@pc-0002:", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for deploy (will confirm each use): ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for /dev/fd/63: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for /dev/shm/deploy: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for deploy_key: (press TAB for no echo) ", PHRASE_FOREIGN, NULL},
    {"Please enter passphrase for deploy: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for \"/root/.ssh/id_rsa\" (empty for no passphrase): ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase: ", PHRASE_FOREIGN, NULL},
    {"Enter Password: ", PHRASE_FOREIGN, NULL},
    {"Enter password: ", PHRASE_FOREIGN, NULL},
    {"Password: ", PHRASE_FOREIGN, NULL},
    {"(current) UNIX password: ", PHRASE_FOREIGN, NULL},
    {"alice@pc-0001's password: ", PHRASE_FOREIGN, NULL},
    {"Enter PEM pass phrase:", PHRASE_FOREIGN, NULL},
    {"Please enter LUKS2 token PIN: ", PHRASE_FOREIGN, NULL},
    {"\xf0\x9f\x94\x90 Please enter security token PIN: (press TAB for no echo) ", PHRASE_FOREIGN, NULL},
    {"Please enter TPM2 PIN:", PHRASE_FOREIGN, NULL},
    {"Please enter passphrase for key id 0123 :", PHRASE_FOREIGN, NULL},
    {"Please enter password for user alice: ", PHRASE_FOREIGN, NULL},
    {"Enter BIOS Password:", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for backup:", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for backup (rsa2048): ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for deadbeef (4f3c0a0b00004000): ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for hd0,gpt2 (4f3c0a0b-0000-4000-8000-000000000001) :", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for ada0p3: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for /dev/vda3:", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for /dev/mqueue/key: ", PHRASE_FOREIGN, NULL},
    {"Enter passphrase for /dev/disk/../../root/id: ", PHRASE_FOREIGN, NULL},
    {"Passphrase for /dev/shm/identity: ", PHRASE_FOREIGN, NULL},
    {"Please enter passphrase for disk encryption of the backup server: ", PHRASE_FOREIGN, NULL},
    {"Please enter passphrase for disk SAMPLE (no such thing): ", PHRASE_FOREIGN, NULL},
    {"Please unlock disk root...", PHRASE_TEXT, NULL},
    {"Please enter passphrase for disk root...", PHRASE_TEXT, NULL},
    {"Enter MOK password: ", PHRASE_FOREIGN, NULL},
    {"Passphrase: ", PHRASE_FOREIGN, NULL},
    {"GELI Passphrase for disk0p4: ", PHRASE_FOREIGN, NULL},
    {"Please enter image passphrase:", PHRASE_FOREIGN, NULL},
    {"Please enter current passphrase for disk sda2: ", PHRASE_FOREIGN, NULL},
    {"Please enter new passphrase for disk sda2: ", PHRASE_FOREIGN, NULL},
    /* shells */
    {"(initramfs) ", PHRASE_SHELL, NULL},
    {"sh-5.2# cat boot.log", PHRASE_SHELL, NULL},
    {"bash-5.1# ", PHRASE_SHELL, NULL},
    {"[root@pc ~]# ls", PHRASE_SHELL, NULL},
    {"[rootfs ]# ", PHRASE_SHELL, NULL},
    {"alice@pc:~$ dmesg", PHRASE_SHELL, NULL},
    {"root@pc ~ # ", PHRASE_SHELL, NULL},
    {"/ # dmesg", PHRASE_SHELL, NULL},
    {"~ # ", PHRASE_SHELL, NULL},
    {"dracut:/# ", PHRASE_SHELL, NULL},
    {":/# ls", PHRASE_SHELL, NULL},
    {"rescueshell:/# ", PHRASE_SHELL, NULL},
    {"grub rescue> ls", PHRASE_SHELL, NULL},
    {"Press Enter for maintenance", PHRASE_SHELL, NULL},
    {"[  OK  ] Reached target emergency.target - Emergency Mode.", PHRASE_SHELL, NULL},
    {"# cat boot.log", PHRASE_SHELL, NULL},
    {"lab-7 recovery> less boot.log", PHRASE_SHELL, NULL},
    {"\xe2\x9d\xaf dmesg", PHRASE_TEXT, NULL}, /* where it stood unfinished, it was known */
    {"# Authorized use only #", PHRASE_TEXT, NULL},
    {"Press <F2> to enter setup, <F12> more boot options", PHRASE_TEXT, NULL},
    {"50% more to load", PHRASE_TEXT, NULL},
    {"############", PHRASE_TEXT, NULL},
    {"Serial# 4711", PHRASE_TEXT, NULL},
    {"Asset Tag # 4711", PHRASE_TEXT, NULL},
    {"<<< NixOS Stage 1 >>>", PHRASE_TEXT, NULL},
    {"==> Running hooks", PHRASE_TEXT, NULL},
    {"[  OK  ] Stopped Emergency Shell.", PHRASE_TEXT, NULL},
    {"pc login: root (automatic login)", PHRASE_WENT_ON, NULL},
    /* what comes before and after */
    {"pc-0001 login: ", PHRASE_LOGIN, NULL},
    {"login: ", PHRASE_LOGIN, NULL},
    {"Last login: Sat Nov 21 on tty1", PHRASE_TEXT, NULL},
    {"Last login: ", PHRASE_FOREIGN, NULL},
    {"type your login: ", PHRASE_FOREIGN, NULL},
    {"Please login: ", PHRASE_FOREIGN, NULL},
    {"Failed login:", PHRASE_FOREIGN, NULL},
    {"er login: ", PHRASE_LOGIN, NULL},
    {"GNU GRUB  version 2.06", PHRASE_TEXT, NULL},
    {"   ", PHRASE_BLANK, NULL},
};

static int setup(void **state)
{
    return apr_pool_create((apr_pool_t **)state, NULL) == APR_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

static void test_what_pcs_show(void **state)
{
    const prompts_texts_t built_in = {0};
    prompts_t prompts;

    assert_null(prompts_make(&prompts, &built_in, *state));
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        phrase_t phrase;

        prompts_read(&prompts, &phrase, lines[i].line);
        if (phrase.means != lines[i].means)
            fail_msg("\"%s\" means %d, expected %d", lines[i].line, phrase.means, lines[i].means);
        if (lines[i].name != NULL)
            assert_string_equal(phrase.name, lines[i].name);
    }
    assert_string_equal(prompts.redraw, "");
}

/* A question that another text is around is none: of all that may be answered, in all that quotes. */
static void test_what_only_quotes(void **state)
{
    static const char *const questions[] = {
        "Please unlock disk root: ",
        "Please enter passphrase for disk SAMPLE (root): ",
        "Please enter passphrase or recovery key for disk root: (press TAB for no echo) ",
        "Enter passphrase for /dev/sda2: ",
        "Password (/dev/vda3) [1/5]:",
        "Password for /dev/vda3 (luks-6f): ",
        "A password is required to access the cryptroot volume:",
        "Enter passphrase for hd0,gpt2 (4f3c0a0b-0000-4000-8000-000000000001): ",
        "Enter passphrase for 'rpool/ROOT': ",
        "Enter passphrase for tank: (press TAB for no echo) ",
        "Enter passphrase for cryptroot:",
        "Encrypted ZFS password for rpool/ROOT: ",
        "Passphrase for /dev/disk/by-uuid/0a0b: ",
        "Please enter pass-phrase to unlock OPAL drives: ",
        "Boot Authorization Key: ",
        "Please insert yubikey and press enter or enter a valid passphrase: ",
    };
    static const char *const around[] = {"At boot: %s",
                                         "Hint (%s",
                                         "Backup/%s",
                                         "Starting %s",
                                         "Started %s.",
                                         "Started unlock.service - %s",
                                         "systemd[1]: Starting %s...",
                                         "'%s'",
                                         "> %s",
                                         "pc login: %s",
                                         "alice@pc:~$ %s",
                                         "%sis asked",
                                         "%s?",
                                         "%s *",
                                         "%s- enter it",
                                         "[  OK  ] Started %s",
                                         "[***   ] A start job is running for %s"};

    for (size_t q = 0; q < sizeof(questions) / sizeof(questions[0]); q++) {
        phrase_t phrase;

        phrase_read(&phrase, questions[q]);
        if (phrase.means != PHRASE_QUESTION)
            fail_msg("\"%s\" means %d", questions[q], phrase.means);
        for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
            const char *at = strchr(around[i], '%');
            const char *line =
                apr_psprintf(*state, "%.*s%s%s", (int)(at - around[i]), around[i], questions[q], at + 2);

            phrase_read(&phrase, line);
            if (phrase.means == PHRASE_QUESTION)
                fail_msg("\"%s\" is taken for a question", line);
        }
    }
}

/* A group's own patterns stand for what is built in, one kind at a time. */
static void test_patterns_of_a_group(void **state)
{
    prompts_texts_t texts = {.prompt = apr_array_make(*state, 1, sizeof(const char *)),
                             .success = apr_array_make(*state, 1, sizeof(const char *))};
    prompts_t prompts;
    phrase_t phrase;

    *(const char **)apr_array_push((apr_array_header_t *)texts.prompt) = "^(Unlock|Please unlock disk) .*: $";
    *(const char **)apr_array_push((apr_array_header_t *)texts.success) = "^ready|login: $";
    assert_null(prompts_make(&prompts, &texts, *state));
    prompts_read(&prompts, &phrase, "Unlock me: ");
    assert_int_equal(phrase.means, PHRASE_QUESTION);
    assert_string_equal(phrase.name, "");
    prompts_read(&prompts, &phrase, "Please unlock disk root: ");
    assert_int_equal(phrase.means, PHRASE_QUESTION);
    assert_string_equal(phrase.name, "root");
    prompts_read(&prompts, &phrase, "Please enter passphrase for disk root: ");
    assert_int_equal(phrase.means, PHRASE_FOREIGN);
    prompts_read(&prompts, &phrase, "cryptsetup: root: set up successfully");
    assert_int_equal(phrase.means, PHRASE_TEXT);
    prompts_read(&prompts, &phrase, "Ready.");
    assert_int_equal(phrase.means, PHRASE_WENT_ON);
    prompts_read(&prompts, &phrase, "pc login: ");
    assert_int_equal(phrase.means, PHRASE_LOGIN);
    prompts_read(&prompts, &phrase, "No key available with this passphrase.");
    assert_int_equal(phrase.means, PHRASE_REFUSED);
}

static void test_names(void **state)
{
    static const struct {
        const char *one, *other;
        int same;
    } names[] = {
        {"root", "root", 1},
        {"root", "data", 0},
        {"luks-6f", "luks-6fa", 0},
        {"luks-6fa\xe2\x80\xa6", "luks-6fab-01", 1},
        {"luks-6fab-01", "luks-6fa\xe2\x80\xa6", 1},
        {"luks-6fa\xe2\x80\xa6", "luks-6f", 0},
        {"l\xe2\x80\xa6", "luks-6f", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        phrase_t one = {.form = 1}, other = {.form = 2};

        apr_cpystrn(one.name, names[i].one, sizeof(one.name));
        apr_cpystrn(other.name, names[i].other, sizeof(other.name));
        assert_int_equal(phrase_same_question(&one, &other), names[i].same);
        assert_int_equal(phrase_is_about(&one, &other), names[i].same);
    }
}

/* Other writers in a line, whole and begun. */
static void test_other_writers(void **state)
{
    static const struct {
        const char *line;
        unsigned int kernel, kernel_partial, status, status_partial;
    } cases[] = {
        {"key: [   47.067120] EXT4-fs", 5, 5, 27, 27},
        {"key: [    9.1] random1", 5, 5, 22, 22},
        {"key: [47.067120][  T12] x", 5, 5, 25, 25},
        {"key: [   47.06", 14, 5, 14, 14},
        {"key: [", 6, 5, 6, 5},
        {"key: [  OK  ] Started", 21, 21, 5, 5},
        {"key: [ *** ", 11, 11, 11, 5},
        {"key: [*** ", 10, 10, 10, 5},
        {"key: [ ***  ] A start job", 25, 25, 5, 5},
        {"key: [FAI", 9, 9, 9, 5},
        {"key: [1/5]", 10, 10, 10, 10},
        {"[sudo] password", 15, 15, 15, 15},
        {"key:          Starting it", 25, 25, 5, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *line = cases[i].line;

        if (phrase_kernel_at(line, 0) != cases[i].kernel ||
            phrase_kernel_at(line, 1) != cases[i].kernel_partial ||
            phrase_status_at(line, 0) != cases[i].status ||
            phrase_status_at(line, 1) != cases[i].status_partial) {
            fail_msg("\"%s\": %u %u %u %u", line, phrase_kernel_at(line, 0), phrase_kernel_at(line, 1),
                     phrase_status_at(line, 0), phrase_status_at(line, 1));
        }
    }
}

static void test_quotes(void **state)
{
    assert_string_equal(quote_line("Please enter passphrase for disk SAMPLE (luks-6f):", *state),
                        "Please enter passphrase for disk ...");
    assert_string_equal(quote_line("pc-1 login: correct horse battery", *state), "... login: ...");
    assert_string_equal(quote_line("c*o*r*r*e*c*t PassWord:", *state), "... PassWord:");
    assert_string_equal(quote_line("   ", *state), "");
    assert_string_equal(quote_line("******", *state), "...");
}

static void test_redraw(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } redraws[] = {
        {"", ""},
        {"abc", "abc"},
        {"\\r", "\r"},
        {"\\x15\\r", "\x15\r"},
        {"\\e[A", "\033[A"},
        {"a\\\\b", "a\\b"},
        {"\\n\\t", "\n\t"},
        {"\\x7F", "\x7f"},
        {"\\x00", NULL},
        {"\\x1", NULL},
        {"\\xg0", NULL},
        {"\\", NULL},
        {"\\q", NULL},
    };
    for (size_t i = 0; i < sizeof(redraws) / sizeof(redraws[0]); i++) {
        const prompts_texts_t texts = {.redraw = redraws[i].text};
        prompts_t prompts = {0};
        const char *error = prompts_make(&prompts, &texts, *state);
        if ((error == NULL) != (redraws[i].bytes != NULL))
            fail_msg("\"%s\": %s", redraws[i].text, error ? error : "accepted");
        if (error == NULL)
            assert_string_equal(prompts.redraw, redraws[i].bytes);
        else
            assert_non_null(strstr(error, redraws[i].text));
        assert_true((prompts_check_redraw(redraws[i].text, *state) == NULL) == (error == NULL));
    }
}

static void test_a_pattern_that_is_none(void **state)
{
    const char *error = NULL;
    assert_null(prompts_check_pattern("^disk .*:$", *state));
    error = prompts_check_pattern("disk (", *state);
    assert_non_null(error);
    assert_non_null(strstr(error, "\"disk (\""));
}

int main(void)
{
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_pcs_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_only_quotes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patterns_of_a_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quotes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redraw, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pattern_that_is_none, setup, teardown),
    };
    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
