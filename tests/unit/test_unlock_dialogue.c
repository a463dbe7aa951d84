/* SPDX-License-Identifier: Apache-2.0 */
/* What is typed at which question, and what is believed of the console afterwards: talks with PCs on a clock of their
 * own, each in messages of 1, 7, 80 and 4,000 bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "unlock/dialogue.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define LOCK "\xf0\x9f\x94\x90 "
#define ELLIPSIS "\xe2\x80\xa6"
#define TAB "(press TAB for no echo) "
#define OPENED(name) "\r\n[  OK  ] Finished Cryptography Setup for " name ".\r\n"
#define SET_UP(name) "\r\ncryptsetup: " name ": set up successfully\r\n"
#define MS(n) apr_time_from_msec(n)

typedef struct {
    int after; /* milliseconds after what was said before */
    const char *text;
} say_t;

enum { SAYS = 8, ANSWERS = 3 };

static const char *const verdicts[] = {"nothing", "asks", "asks again",   "asks, unsure",
                                       "refused", "open", "started again"};

static const struct {
    const char *name;
    say_t start[SAYS];
    int fetch; /* milliseconds that the passphrase takes */
    say_t answered[ANSWERS][SAYS];
    int typed;
    dialogue_e verdict; /* in the end */
    const char *volume; /* that asked last */
} talks[] = {
    /* ---- who gets it ---- */
    {"plain", {{0, "Please unlock disk root: "}}, 0, {{{2000, SET_UP("root")}}}, 1, DIALOGUE_OPEN, "root"},
    {"one that goes on",
     {{0, "Please unlock disk root: "}, {200, "not really\r\n"}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"stars of somebody else",
     {{0, "Please unlock disk root: "}, {250, "***"}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"answered by somebody while it is fetched",
     {{0, "Please unlock disk root: "}, {1500, "\r\n"}},
     4000,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     "root"},
    {"stars while it is fetched",
     {{0, "Please unlock disk root: "}, {1500, "**"}},
     4000,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     "root"},
    {"opened by another key while it is fetched",
     {{0, "Please unlock disk root: "},
      {1500, SET_UP("root")},
      {500, "Debian GNU/Linux 12 pc ttyS0\r\n\r\npc login: "}},
     4000,
     {{{0}}},
     0,
     DIALOGUE_OPEN,
     "root"},
    {"opened by another key, and no word but the login",
     {{0, "Please unlock disk root: "}, {1500, "\r\n\r\npc login: "}},
     4000,
     {{{0}}},
     0,
     DIALOGUE_OPEN,
     "root"},
    {"opened by another key, the next asks",
     {{0, "Please unlock disk root: "}, {1500, SET_UP("root") "Please unlock disk data: "}},
     4000,
     {{{1000, SET_UP("data")}}},
     1,
     DIALOGUE_OPEN,
     "data"},
    {"erased while it is fetched",
     {{0, "Please unlock disk root: "}, {1500, "\r\033[K"}},
     4000,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     "root"},
    {"erased, and asked again",
     {{0, "Please unlock disk root: "}, {1500, "\r\033[K"}, {9000, "Please unlock disk root: "}},
     4000,
     {{{0, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"another program asks while it is fetched",
     {{0, "Please unlock disk root: "}, {1500, "\r\n[sudo] password for alice: "}},
     4000,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     "root"},
    {"switched root while it is fetched",
     {{0, "Please enter passphrase for disk root: "}, {1500, "[  OK  ] Reached target Switch Root.\r\n"}},
     4000,
     {{{0}}},
     0,
     DIALOGUE_OPEN,
     "root"},
    {"sudo", {{0, "[sudo] password for alice: "}}, 0, {{{0}}}, 0, DIALOGUE_NOTHING, ""},
    {"a PIN first",
     {{0, LOCK "Please enter LUKS2 token PIN: "},
      {2000, "\r\nFailed to open session in TPM\r\n" LOCK "Please enter passphrase for disk test: " TAB}},
     0,
     {{{0, OPENED("test")}}},
     1,
     DIALOGUE_OPEN,
     "test"},
    {"a broadcast, then the question",
     {{0,
       "\r\nBroadcast message from root@pc:\r\n\r\nPassword entry required for 'Please enter passphrase for disk data "
       "on /mnt:' (PID 834).\r\n"},
      {2000, "Please enter passphrase for disk root (root): "}},
     0,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a broadcast that looks like a question",
     {{0, "\r\nBroadcast message from alice@pc (pts/0):\r\n\r\nPlease unlock disk home: \r\n\r\n"}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"a broadcast that says it is open",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\nBroadcast message from alice@pc (pts/0):\r\n" SET_UP("root")}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"a log that quotes it",
     {{0, "ask[1]: Please enter passphrase for disk root: "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},

    /* ---- what quotes ---- */
    {"a log's line that quotes a status",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\npc kernel: [  OK  ] Finished Cryptography Setup for root.\r\n"}, {100, "more\r\n"}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"a log's line that quotes the system's start",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\nNov 30 03:00:01 pc systemd[1]: [  OK  ] Reached target Multi-User System.\r\n"},
       {100, "more\r\n"}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"a log's line that quotes a failure",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\npc kernel: [FAILED] Failed to start Cryptography Setup for root.\r\n"}, {500, "pc login: "}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"the service manager's line in a log",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\n[    9.100000] systemd[1]: Finished Cryptography Setup for root.\r\n"
           "systemd[1]: Finished systemd-cryptsetup@root.service - Cryptography Setup for root.\r\n"
           "pc cryptsetup: root: set up successfully\r\n"}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"another program's wrong password",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\nsshd[812]: error: PAM: wrong password for alice\r\n"
           "backup[9]: mount error: access denied\r\nsmbd: invalid password\r\n"},
       {500, "pc login: "}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a service's wrong password",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\n[  OK  ] Started Backup.\r\nWrong password.\r\nerror: access denied\r\n"},
       {500, "pc login: "}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"an initramfs' wrong password",
     {{0, "[    2.1] sd\r\nPassword (/dev/vda3) [1/5]:"}},
     0,
     {{{2000, "\r\nWrong password\r\n"}}},
     1,
     DIALOGUE_REFUSED,
     "/dev/vda3"},
    {"stars, and the status behind them",
     {{0, "Please enter passphrase for disk root: " TAB}},
     0,
     {{{0, "********[  OK  ] Finished Cryptography Setup for root.\r\n"}}},
     1,
     DIALOGUE_OPEN,
     "root"},

    /* ---- a shell ---- */
    {"a shell, and an old log",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\ncryptsetup: ERROR: root: unknown error setting up device mapping\r\n"},
       {500, "(initramfs) cat boot.log\r\n[  OK  ] Finished Cryptography Setup for root.\r\n(initramfs) "}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"an emergency shell, a log and a login in it",
     {{0, "Please enter passphrase for disk root: " TAB}},
     0,
     {{{0, "\r\nsh-5.2# cat boot.log\r\n[  OK  ] Reached target Multi-User System.\r\npc login: "}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"root's shell, and a refusal in an old log",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\n[root@pc ~]# journalctl -b -1 -o cat\r\nNo key available with this passphrase.\r\n"}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"a shell's prompt that the kernel writes behind",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\n/ # [   20.100000] usb 1-1: new device\r\ncat log\r\n" SET_UP("root")}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"a shell's prompt that nobody knows",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\npc recovery> "}, {800, "show log\r\n" SET_UP("root")}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"a password for maintenance, and the kernel's old log",
     {{0, "[    4.000000] a\r\nPlease enter passphrase for disk root: "}},
     0,
     {{{0, "\r\nGive root password for maintenance\r\n(or press Control-D to continue): "},
       {500, "\r\n[    0.000000] Linux version 6.1\r\n"},
       {500, "[  OK  ] Finished Cryptography Setup for root.\r\n"}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"the service manager's emergency shell",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\n[  OK  ] Started Emergency Shell.\r\n[  OK  ] Reached target Emergency Mode.\r\n"},
       {500, "[  OK  ] Finished Cryptography Setup for root.\r\n"}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"opened, and a shell because of something else",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, SET_UP("root")}, {900, "(initramfs) "}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a shell prints a question",
     {{0, "root@pc:~# cat issue\r\n"}, {100, "Please unlock disk root: "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"an old log without any question",
     {{0, "Press Enter for maintenance\r\n"}, {900, OPENED("root") "pc login: "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"a firmware's keys",
     {{0, "Press <F2> to enter setup, <F12>"}, {900, "\r\nPlease unlock disk root: "}},
     0,
     {{{0, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a unit that is described as if it were open",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\n[  OK  ] Finished hint.service - Cryptography Setup for root.\r\n"
           "[  OK  ] Started hint of Reached target Switch Root.\r\n"}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"what was typed ends like a prompt",
     {{0, "Enter passphrase for /dev/sda2: "}},
     0,
     {{{0, "correct horse$"}, {5000, "\r\npc login: "}}},
     1,
     DIALOGUE_OPEN,
     "/dev/sda2"},
    {"a bar that grows",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\nfsck 45%"}, {900, "\r[#####"}, {900, "\r[======>"}, {900, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"logged in by itself",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\npc login: root (automatic login)\r\n\r\nroot@pc:~# "}}},
     1,
     DIALOGUE_OPEN,
     "root"},

    /* ---- questions of others, and at another time ---- */
    {"behind a login",
     {{0, "pc login: "}, {100, "\r\nPlease unlock disk root: "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"behind a login, and the kernel between",
     {{0, "pc login: [   20.100000] usb 1-1: new device\r\n"}, {10, "Please unlock disk root: "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"drawn again over a login",
     {{0, "pc login: "}, {100, "\r\033[KPlease unlock disk root: "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"a heading that names a login",
     {{0, "Company login:\r\nPlease unlock disk root: "}},
     0,
     {{{0, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a service asks in booster's words",
     {{0, "[  OK  ] Started Backup.\r\nEnter passphrase for luks-backup:"}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"a name that is no volume's",
     {{0, "Enter passphrase for backup:"}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"a program asks in the boot loader's words",
     {{0, "[    1.000000] a\r\nEnter passphrase for hd0,gpt2 (4f3c0a0b-0000-4000-8000-0000000000aa): "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"booster, and then a service manager's line",
     {{0, "Enter passphrase for cryptroot:"}, {600, "[  OK  ] Started Backup.\r\n"}},
     2000,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     "cryptroot"},
    {"the next start asks as early as ever",
     {{0,
       "[  OK  ] Started Update.\r\n[    9.0] reboot: Restarting system\r\nEnter passphrase for cryptroot:"}},
     0,
     {{{0, "   Unlocking...\r\npc login: "}}},
     1,
     DIALOGUE_OPEN,
     "cryptroot"},
    {"an issue file that quotes it",
     {{0, "Sample Linux 9\r\nPlease unlock disk root: \r\n"}, {900, "\r\npc login: "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_OPEN,
     ""},
    {"a unit whose description quotes it",
     {{0, "[  OK  ] Started Please unlock disk root: \r\n         Starting Please unlock disk root: ...\r\n"},
      {400, "\r\033[K[***   ] A start job is running for Please unlock disk root: "}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},

    /* ---- another start ---- */
    {"right, a panic, and the next start asks",
     {{0, "[    4.100000] sd 0:0:0:0: ready\r\nPlease unlock disk root: "}},
     0,
     {{{0, SET_UP("root") "[    9.800000] Kernel panic - not syncing: VFS: no root\r\n"},
       {4000, "\r\n\r\nPlease unlock disk root: "}}},
     1,
     DIALOGUE_STARTED_AGAIN,
     "root"},
    {"right, and the next kernel's first line",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\n"}, {4000, "[    0.000000] Linux version 6.1.0-21-amd64\r\nPlease unlock disk root: "}}},
     1,
     DIALOGUE_STARTED_AGAIN,
     "root"},
    {"right, and the kernel's time goes back",
     {{0, "[    9.000000] a\r\nPlease unlock disk root: "}},
     0,
     {{{0, "\r\n"}, {4000, "[    3.100000] b\r\nPlease unlock disk root: "}}},
     1,
     DIALOGUE_STARTED_AGAIN,
     "root"},
    {"right, and the boot loader",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\n"}, {4000, "\033[2J\033[HGNU GRUB  version 2.06\r\n\r\nPlease unlock disk root: "}}},
     1,
     DIALOGUE_STARTED_AGAIN,
     "root"},
    {"another volume asks at the next start",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\n"}, {4000, "SeaBIOS (version 1.16)\r\nPlease unlock disk data: "}}},
     1,
     DIALOGUE_STARTED_AGAIN,
     "data"},
    {"it starts again, and comes up",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "\r\n[    9.000000] reboot: Restarting system\r\n"}, {4000, "pc login: "}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a log has the kernel's first lines once more",
     {{0, "[    9.000000] a\r\nPlease unlock disk root: "}},
     0,
     {{{0, SET_UP("root") "pc kernel: [    0.000000] Linux version 6.1\r\npc kernel: [    0.1] b\r\nc\r\n"}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"two kernel lines out of order",
     {{0, "[    9.000000] a\r\nPlease unlock disk root: "}},
     0,
     {{{0, "\r\n[    8.900000] b\r\nPlease unlock disk root: "}}},
     1,
     DIALOGUE_ASKS_AGAIN,
     "root"},
    {"GRUB, then the kernel starts",
     {{0, "Welcome to GRUB!\r\nEnter passphrase for hd0,gpt2 (4f3c0a0b-0000-4000-8000-0000000000aa): "}},
     0,
     {{{0, "\r\nSlot \"0\" opened\r\nGNU GRUB  version 2.06\r\nLoading Linux 6.1\r\n"
           "[    0.000000] Linux version 6.1\r\nPlease unlock disk root: "},
       {0}},
      {{0, SET_UP("root")}}},
     2,
     DIALOGUE_OPEN,
     "root"},

    /* ---- other writers ---- */
    {"the kernel behind it",
     {{0, "Please unlock disk root: [    9.13] random: crng init done\r\n"}},
     0,
     {{{0, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"the kernel in it",
     {{0,
       "StartinPlease en[   47.067120] EXT4-fs (dm-2): mounted\r\nter passphrase f[   47.075570] EXT4-fs (md0): "
       "mounted\r\nor disk md2_crypt! [   47.130628] A"}},
     0,
     {{{0, "\r\n[  OK  ] Started Cryptography Setup for md2_crypt.\r\n"}}},
     1,
     DIALOGUE_OPEN,
     "md2_crypt"},
    {"the kernel, again and again",
     {{0, "Enter passphrase for /dev/sda2: "},
      {100, "[    9.1300] a\r\n"},
      {100, "[    9.2300] b\r\n"},
      {100, "[    9.3300] c\r\n"},
      {100, "[    9.4300] d\r\n"}},
     200,
     {{{0, "\r\npc login: "}}},
     1,
     DIALOGUE_OPEN,
     "/dev/sda2"},
    {"the kernel, before it stood still",
     {{0, "Please unlock disk root: "},
      {150, "[    9.1] a\r\n"},
      {150, "[    9.3] b\r\n"},
      {150, "[    9.4] c\r\n"},
      {150, "[    9.6] d\r\n"},
      {150, "[    9.7] e\r\n"},
      {150, "[    9.9] f\r\n"}},
     0,
     {{{0, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"behind a line that the kernel tore",
     {{0, "Loading ...[    0.130000] Linux version 6\r\nEnter passphrase for "
          "/dev/sda2: "}},
     0,
     {{{0, "\r\npc login: "}}},
     1,
     DIALOGUE_OPEN,
     "/dev/sda2"},
    {"a status behind it",
     {{0, "Please enter passphrase for disk root: " TAB "[  OK  ] Found device x.\r\n"}},
     0,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a job drawn over it",
     {{0, "Please enter passphrase for disk root: "},
      {330, "\r\033[K[***   ] A start job is running (1s / no limit)"},
      {330, "\r\033[K[ ***  ] A start job is running (2s / no limit)"},
      {330, "\r\033[K[  *** ] A start job is running (3s / no limit)"}},
     400,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a job drawn over it at once",
     {{0, "Please enter passphrase for disk root: \r\033[K[***   ] A start job"}},
     0,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"its place saved, and asked for",
     {{0, "Please enter passphrase for disk root: \0337\033[999;999H\033[6n\0338"}},
     0,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a clock drawn above it",
     {{0, "Please enter passphrase for disk root: "},
      {400, "\0337\033[1;70H12:00:01\0338"},
      {1000, "\0337\033[1;70H12:00:02\0338"}},
     1200,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"Plymouth draws it again",
     {{0, "Please unlock disk root: :"}, {400, "\r\033[KPlease unlock disk root: :"}},
     300,
     {{{0, "\r\033[KPlease unlock disk root: :*\r\033[KPlease unlock disk root: :**"},
       {500, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"colours, and an end behind",
     {{0, "\r\n" LOCK "\033[0;1;39mPlease enter passphrase for disk NVME (root):\033[0m "
          "\033[0;2m" TAB "\033[0m"}},
     0,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"cut at 80 columns",
     {{0, "Please enter passphrase for disk SAMPLE-WITH-A-LONG-NAME_OF_A_DISK (luks-4f3c" ELLIPSIS}},
     0,
     {{{0, "\r\n[  OK  ] Finished systemd-cryptsetup@luks" ELLIPSIS "phy Setup for luks-4f3c0a.\r\n"}}},
     1,
     DIALOGUE_OPEN,
     ""},
    {"broken at 80 columns",
     {{0,
       "Please enter passphrase for disk A-DISK-WITH-A-NAME-THAT-NO-TERMINAL-HAS-A-LINE-\r\nFOR (root): "}},
     0,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a line end behind it",
     {{0, "\r\n\r\nPlease enter passphrase for disk NVME (root)!:\r\n"}},
     0,
     {{{0, OPENED("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"a heading, and the question",
     {{0, "\r\nA password is required to access the root volume:\r\n"},
      {900, "Enter passphrase for /dev/sda2: "}},
     0,
     {{{0, "\r\n"}, {2000, ":: mounting '/dev/mapper/root' on real root\r\n"}}},
     1,
     DIALOGUE_OPEN,
     "/dev/sda2"},

    /* ---- what is believed ---- */
    {"targets before the question",
     {{0,
       "[  OK  ] Reached target Remote Encrypted Volumes.\r\n[  OK  ] Reached target Local Encrypted Volumes "
       "(Pre).\r\n[  OK  ] Reached target Local Encrypted Volumes.\r\n"}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"another volume opened before the question",
     {{0, "[  OK  ] Finished Cryptography Setup for swap.\r\n"}},
     0,
     {{{0}}},
     0,
     DIALOGUE_NOTHING,
     ""},
    {"a volume that did not ask opened after the answer",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, OPENED("swap")}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"only targets after the answer",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\n[  OK  ] Reached target Local Encrypted Volumes.\r\n"}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"clevis answers by itself",
     {{0, "Please enter passphrase for disk root: "}, {200, OPENED("root")}},
     0,
     {{{0}}},
     0,
     DIALOGUE_OPEN,
     ""},
    {"comes up without a question", {{0, "Starting\r\nvoid login: "}}, 0, {{{0}}}, 0, DIALOGUE_OPEN, ""},
    {"a PIN that nobody gives",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, SET_UP("root") LOCK "Please enter security token PIN: "}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"two volumes",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, SET_UP("root") "Please unlock disk data: "}}, {{0, SET_UP("data")}}},
     2,
     DIALOGUE_OPEN,
     "data"},
    {"a volume that asks with a name that no volume has",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, SET_UP("root") "Please unlock disk what is this: "}}},
     1,
     DIALOGUE_NOTHING,
     "root"},
    {"two volumes, the second a while later",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, SET_UP("root")}, {2500, "Please unlock disk data: "}}, {{0, SET_UP("data")}}},
     2,
     DIALOGUE_OPEN,
     "data"},
    {"two volumes, the second's answer does not fit",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, SET_UP("root") "Please unlock disk data: "}},
      {{0, "\r\ncryptsetup failed, bad password or options?\r\nPlease unlock disk data: "}}},
     2,
     DIALOGUE_REFUSED,
     "data"},
    {"two at once, the first is refused late",
     {{0, "Please enter passphrase for disk a: "}},
     0,
     {{{400, "\r\nPlease enter passphrase for disk b: "}},
      {{0, OPENED("b")}, {9000, "Please enter passphrase for disk a: "}}},
     2,
     DIALOGUE_ASKS_AGAIN,
     "a"},
    {"GRUB, and the kernel's volume",
     {{0, "Enter passphrase for hd0,gpt2 (4f3c0a0b-0000-4000-8000-0000000000aa): "}},
     0,
     {{{5000, "\r\nSlot \"0\" opened\r\n"},
       {100, "\033[2J\033[HLoading Linux 6.1 ...\r\n"},
       {4000, "Please unlock disk root: "}},
      {{0, SET_UP("root")}}},
     2,
     DIALOGUE_OPEN,
     "root"},
    {"asks again",
     {{0, "Please unlock disk root: "}},
     0,
     {{{3000, "\r\nPlease unlock disk root: "}}},
     1,
     DIALOGUE_ASKS_AGAIN,
     "root"},
    {"asks again, with a count",
     {{0, "Password (/dev/sda2) [1/5]:"}},
     0,
     {{{3000, "\r\nPassword (/dev/sda2) [2/5]:"}}},
     1,
     DIALOGUE_ASKS_AGAIN,
     "/dev/sda2"},
    {"says no, and asks again",
     {{0, "Please unlock disk root: "}},
     0,
     {{{3000, "\r\nNo key available with this passphrase.\r\nPlease unlock disk root: "}}},
     1,
     DIALOGUE_REFUSED,
     "root"},
    {"opened, and then a failure",
     {{0, "Please enter pass-phrase to unlock OPAL drives: "}},
     0,
     {{{0, "****\r\nScanning....\r\nDrive /dev/nvme0 Sample is OPAL Unlocked\r\n"},
       {500, "Drive /dev/sda   Sample is OPAL Failed  \r\n"}}},
     1,
     DIALOGUE_REFUSED,
     ""},
    {"one drive that was not locked, one that failed",
     {{0, "Please enter pass-phrase to unlock OPAL drives: "}},
     0,
     {{{0,
        "****\r\nScanning....\r\nDrive /dev/nvme0 Sample is OPAL NOT LOCKED   \r\nDrive /dev/sda   Sample is OPAL "
        "Failed  \r\n"}}},
     1,
     DIALOGUE_REFUSED,
     ""},
    {"no drive was locked",
     {{0, "Please enter pass-phrase to unlock OPAL drives: "}},
     0,
     {{{0, "****\r\nScanning....\r\nDrive /dev/nvme0 Sample is OPAL NOT LOCKED   \r\n"}}},
     1,
     DIALOGUE_NOTHING,
     ""},
    {"one of two keys",
     {{0, "Enter passphrase for 'rpool': "}},
     0,
     {{{0, "\r\n1 / 2 key(s) successfully loaded\r\n"}}},
     1,
     DIALOGUE_REFUSED,
     "rpool"},
    {"a failure before the answer",
     {{0, "No key available with this passphrase.\r\nPlease unlock disk root: "}},
     0,
     {{{0, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"echoed, and it looks like a word",
     {{0, "Please unlock disk root: "}},
     0,
     {{{0, "wrong horse\r\n"}, {900, SET_UP("root")}}},
     1,
     DIALOGUE_OPEN,
     "root"},
    {"queries of a terminal behind a login",
     {{0, "Enter passphrase for /dev/sda2: "}},
     0,
     {{{0, "\r\n\033]104\007\033[?2004h\033[38;2;1;2;3mvoid login:\033[0m \033[?25h\033]11;?\007"}}},
     1,
     DIALOGUE_OPEN,
     "/dev/sda2"},
    {"the kernel tears the word",
     {{0, "Please enter passphrase for disk root: "}},
     0,
     {{{0, "\r\n[  OK  ] Finished Cryptogra[   50.1000] md: x\r\nphy Setup for root.\r\n"}}},
     1,
     DIALOGUE_OPEN,
     "root"},
};

/* ---- a talk on its own clock --------------------------------------------------------------------------- */

typedef struct {
    dialogue_t *dialogue;
    apr_time_t now;
    const say_t *say;
    apr_time_t say_at;  /* 0: there is no more to say */
    apr_time_t type_at; /* 0: nothing is fetched */
    int cut;
    int typed;
    dialogue_e verdict;
} talk_t;

static void speak_from(talk_t *talk, const say_t *says)
{
    talk->say = says;
    talk->say_at = says->text != NULL ? talk->now + MS(says->after) : 0;
}

static void speak(talk_t *talk)
{
    const char *text = talk->say->text;
    size_t length = strlen(text);

    for (size_t at = 0; at < length; at += (size_t)talk->cut) {
        size_t piece = length - at < (size_t)talk->cut ? length - at : (size_t)talk->cut;

        dialogue_feed(talk->dialogue, text + at, piece, talk->now);
        if (talk->type_at == 0)
            talk->verdict = dialogue_look(talk->dialogue, talk->now);
    }
    talk->say_at = 0;
    if ((++talk->say)->text != NULL)
        talk->say_at = talk->now + MS(talk->say->after);
}

static void type(talk_t *talk, int number)
{
    talk->type_at = 0;
    if (!dialogue_still_asks(talk->dialogue)) {
        talk->verdict = dialogue_look(talk->dialogue, talk->now);
        return;
    }
    dialogue_answered(talk->dialogue);
    assert_true(talk->typed < ANSWERS);
    speak_from(talk, talks[number].answered[talk->typed++]);
    talk->verdict = DIALOGUE_NOTHING;
}

static apr_time_t next_time(const talk_t *talk)
{
    apr_time_t look = talk->type_at != 0 ? talk->type_at : dialogue_look_at(talk->dialogue);

    if (talk->say_at != 0 && (look == 0 || talk->say_at <= look))
        return talk->say_at;
    return look;
}

/* A minute is as long as anybody waits for a verdict. */
static dialogue_e hold(talk_t *talk, int number, apr_pool_t *pool)
{
    const prompts_texts_t built_in = {0};
    prompts_t *prompts = apr_pcalloc(pool, sizeof(*prompts));
    apr_time_t until = 0, next = 0;

    assert_null(prompts_make(prompts, &built_in, pool));
    talk->dialogue = dialogue_create(prompts, pool);
    talk->now = apr_time_from_sec(1000);
    until = talk->now + apr_time_from_sec(60);
    dialogue_starts(talk->dialogue, 1);
    speak_from(talk, talks[number].start);
    while ((next = next_time(talk)) != 0 && next < until) {
        talk->now = next > talk->now ? next : talk->now;
        if (talk->say_at != 0 && talk->now >= talk->say_at)
            speak(talk);
        else if (talk->type_at != 0)
            type(talk, number);
        else
            talk->verdict = dialogue_look(talk->dialogue, talk->now);
        if (talk->verdict == DIALOGUE_ASKS && talk->type_at == 0)
            talk->type_at = talk->now + MS(talks[number].fetch + 300);
        else if (talk->verdict != DIALOGUE_NOTHING && talk->type_at == 0)
            break;
    }
    return talk->verdict;
}

static void test_talks(void **state)
{
    static const int cuts[] = {1, 7, 80, 4000};

    for (int i = 0; i < COUNT(talks); i++) {
        for (int c = 0; c < COUNT(cuts); c++) {
            apr_pool_t *pool = NULL;
            talk_t talk = {.cut = cuts[c]};
            dialogue_e verdict;

            apr_pool_create(&pool, *state);
            verdict = hold(&talk, i, pool);
            if (talk.typed != talks[i].typed || verdict != talks[i].verdict)
                fail_msg("%s, messages of %d: typed %d times, %s (volume \"%s\")", talks[i].name, cuts[c],
                         talk.typed, verdicts[verdict], dialogue_volume(talk.dialogue));
            assert_string_equal(dialogue_volume(talk.dialogue), talks[i].volume);
            apr_pool_destroy(pool);
        }
    }
}

/* ---- by itself ----------------------------------------------------------------------------------------- */

static dialogue_t *begin(void **state, int by_itself)
{
    static prompts_t prompts;
    dialogue_t *dialogue = dialogue_create(&prompts, *state);

    if (by_itself >= 0)
        dialogue_starts(dialogue, by_itself);
    return dialogue;
}

static void say(dialogue_t *dialogue, const char *text, apr_time_t now)
{
    dialogue_feed(dialogue, text, strlen(text), now);
}

/* A PC that ran before: what it shows is no evidence until it was answered. */
static void test_a_running_pc(void **state)
{
    dialogue_t *dialogue = begin(state, -1);

    say(dialogue, SET_UP("root"), MS(1000));
    assert_int_equal(dialogue_look(dialogue, MS(60000)), DIALOGUE_NOTHING);
    say(dialogue, "\r\nPlease unlock disk root: ", MS(60000));
    assert_int_equal(dialogue_look(dialogue, MS(60100)), DIALOGUE_NOTHING);
    assert_int_equal(dialogue_look_at(dialogue), MS(60300));
    assert_int_equal(dialogue_look(dialogue, MS(60300)), DIALOGUE_ASKS);
    dialogue_answered(dialogue);
    say(dialogue, SET_UP("root"), MS(61000));
    assert_int_equal(dialogue_look(dialogue, MS(61300)), DIALOGUE_NOTHING);
    say(dialogue, "[  OK  ] Listening on Journal Socket.\r\n", MS(65000)); /* and may ask for another yet */
    assert_int_equal(dialogue_look(dialogue, MS(74900)), DIALOGUE_NOTHING);
    assert_int_equal(dialogue_look(dialogue, MS(75000)), DIALOGUE_OPEN);
}

static void test_a_start_forgets(void **state)
{
    dialogue_t *dialogue = begin(state, -1);

    say(dialogue, "Please unlock disk old: ", MS(1000));
    assert_int_equal(dialogue_look(dialogue, MS(2000)), DIALOGUE_ASKS);
    dialogue_starts(dialogue, 1);
    assert_false(dialogue_still_asks(dialogue));
    assert_string_equal(dialogue_volume(dialogue), "");
    assert_int_equal(dialogue_look(dialogue, MS(60000)), DIALOGUE_NOTHING);
}

/* Where nothing certain is said, what is left when nothing contradicts. */
static void test_hints(void **state)
{
    dialogue_t *dialogue = begin(state, 1);

    say(dialogue, "Please enter passphrase for disk root: ", MS(1000));
    assert_int_equal(dialogue_look(dialogue, MS(2000)), DIALOGUE_ASKS);
    dialogue_answered(dialogue);
    assert_false(dialogue_hints_at_open(dialogue));
    say(dialogue, "\r\n[  OK  ] Reached target Local Encrypted Volumes.\r\n", MS(3000));
    assert_int_equal(dialogue_look(dialogue, MS(60000)), DIALOGUE_NOTHING);
    assert_true(dialogue_hints_at_open(dialogue));
    say(dialogue, "Please enter LUKS2 token PIN: ", MS(60000));
    assert_int_equal(dialogue_look(dialogue, MS(61000)), DIALOGUE_NOTHING);
    assert_false(dialogue_hints_at_open(dialogue));
}

/* Nobody knows whether what was typed before the console was cut off arrived. */
static void test_a_question_behind_a_gap(void **state)
{
    for (int missed = 0; missed < 2; missed++) {
        dialogue_t *dialogue = begin(state, 1);

        say(dialogue, "Please unlock disk root: ", MS(1000));
        assert_int_equal(dialogue_look(dialogue, MS(2000)), DIALOGUE_ASKS);
        dialogue_answered(dialogue);
        dialogue_resumed(dialogue, missed, MS(9000));
        say(dialogue, "\r\nPlease unlock disk root: ", MS(9100));
        assert_int_equal(dialogue_look(dialogue, MS(12000)), DIALOGUE_ASKS_UNSURE);
    }
}

/* Of a PC that runs, too: somebody has its console. */
static void test_a_running_pc_with_a_login(void **state)
{
    dialogue_t *dialogue = begin(state, -1);

    say(dialogue, "pc login: ", MS(1000));
    assert_int_equal(dialogue_look(dialogue, MS(2000)), DIALOGUE_NOTHING);
    say(dialogue, "\r\nPlease unlock disk root: ", MS(3000));
    assert_int_equal(dialogue_look(dialogue, MS(9000)), DIALOGUE_NOTHING);
    assert_false(dialogue_still_asks(dialogue));
    dialogue_starts(dialogue, 1);
    say(dialogue, "Please unlock disk root: ", MS(10000));
    assert_int_equal(dialogue_look(dialogue, MS(11000)), DIALOGUE_ASKS);
}

static void test_a_shell(void **state)
{
    dialogue_t *dialogue = begin(state, 1);

    say(dialogue, "Please enter passphrase for disk root: ", MS(1000));
    assert_int_equal(dialogue_look(dialogue, MS(2000)), DIALOGUE_ASKS);
    dialogue_answered(dialogue);
    say(dialogue, "\r\n[  OK  ] Reached target Local Encrypted Volumes.\r\n", MS(3000));
    assert_false(dialogue_shell(dialogue));
    assert_true(dialogue_hints_at_open(dialogue));
    say(dialogue, "sh-5.2# ", MS(4000));
    assert_int_equal(dialogue_look(dialogue, MS(5000)), DIALOGUE_NOTHING);
    assert_true(dialogue_shell(dialogue));
    assert_false(dialogue_hints_at_open(dialogue));
}

/* Volumes without end: none of those that were answered is forgotten, so none is answered twice. */
static void test_many_volumes(void **state)
{
    dialogue_t *dialogue = begin(state, 1);
    apr_time_t now = MS(1000);
    int answered = 0;

    for (int i = 0; i < 3 * DIALOGUE_VOLUMES; i++) {
        say(dialogue, apr_psprintf(*state, "\r\nPlease unlock disk d%d: ", i), now);
        if (dialogue_look(dialogue, now + MS(400)) == DIALOGUE_ASKS) {
            dialogue_answered(dialogue);
            answered++;
        }
        now += MS(1000);
    }
    assert_int_equal(answered, DIALOGUE_VOLUMES);
    say(dialogue, "\r\nPlease unlock disk d0: ", now);
    assert_int_equal(dialogue_look(dialogue, now + MS(400)), DIALOGUE_ASKS_AGAIN);
}

/* 88 KB a second, a byte a message, of the worst that is known: a second of it takes a small part of a second. And what
 * went unread is not held for good news. */
static void test_a_flood_is_bounded(void **state)
{
    static const char *const floods[] = {"cryptsetup: : set up successfull",
                                         "\r\n",
                                         "\0337\033[9H\0338",
                                         "x\r\033[K",
                                         "[  OK  ] finished cryptography setup for ",
                                         "Please enter passphrase for disk (((((",
                                         "a\b\033[1K"};

    for (int f = 0; f < COUNT(floods); f++) {
        dialogue_t *dialogue = begin(state, 1);
        apr_time_t now = MS(1000);
        clock_t began = clock();
        double seconds;

        say(dialogue, "Please unlock disk root: ", now);
        assert_int_equal(dialogue_look(dialogue, now += MS(400)), DIALOGUE_ASKS);
        dialogue_answered(dialogue);
        for (int i = 0; i < 88000 * 5; i++) {
            now += 11;
            dialogue_feed(dialogue, floods[f] + i % (int)strlen(floods[f]), 1, now);
            (void)dialogue_look(dialogue, now);
        }
        seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
        if (seconds > 2.5)
            fail_msg("five seconds of flood %d took %.2f s", f, seconds);
        say(dialogue, "\r\n\r\n\r\n", now);
    }
}

static void test_what_went_unread_is_no_evidence(void **state)
{
    dialogue_t *dialogue = begin(state, 1);
    apr_time_t now = MS(1000);

    say(dialogue, "Please unlock disk root: ", now);
    assert_int_equal(dialogue_look(dialogue, now += MS(400)), DIALOGUE_ASKS);
    dialogue_answered(dialogue);
    for (int i = 0; i < 5000; i++)
        say(dialogue, "nothing that matters to anybody at all\r\n", now);
    now += MS(5000);
    say(dialogue, SET_UP("root"), now);
    assert_int_equal(dialogue_look(dialogue, now + MS(9000)), DIALOGUE_NOTHING);
    assert_false(dialogue_hints_at_open(dialogue));
    say(dialogue, "\r\npc login: ", now + MS(10000));
    assert_int_equal(dialogue_look(dialogue, now + MS(11000)), DIALOGUE_OPEN);
}

/* An echo, in this start or left from the one before, whole or in pieces. */
static void test_the_last_line_keeps_secrets(void **state)
{
    static const char *const echoes[] = {"pc login: correct horse",
                                         "correct horse: command not found",
                                         "Please unlock disk root: c*o*r*r*e*c*t h-o-r-s-e",
                                         "CORRECT HORSE",
                                         "corr\033[Dect\thorse",
                                         "Welcome, correct horse!"};

    for (int i = 0; i < COUNT(echoes); i++) {
        dialogue_t *dialogue = begin(state, 1);
        const char *line;

        say(dialogue, echoes[i], MS(1000));
        line = dialogue_last_line(dialogue, *state);
        assert_true(line[0] != '\0');
        assert_null(strcasestr(line, "horse"));
        assert_null(strcasestr(line, "h-o-r"));
        assert_null(strcasestr(line, "corr"));
    }
}

static int setup(void **state)
{
    return apr_pool_create((apr_pool_t **)state, NULL) == APR_SUCCESS ? 0 : -1;
}

static int teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    int failed = 0;
    const struct CMUnitTest tests[] = {
        TEST(test_talks),
        TEST(test_a_running_pc),
        TEST(test_a_start_forgets),
        TEST(test_hints),
        TEST(test_a_question_behind_a_gap),
        TEST(test_a_running_pc_with_a_login),
        TEST(test_a_shell),
        TEST(test_many_volumes),
        TEST(test_a_flood_is_bounded),
        TEST(test_what_went_unread_is_no_evidence),
        TEST(test_the_last_line_keeps_secrets),
    };

    apr_initialize();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
