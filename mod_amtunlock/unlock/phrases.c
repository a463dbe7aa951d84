/* SPDX-License-Identifier: Apache-2.0 */
/* See phrases_priv.h. Questions stand in questions.c, shells in shells.c. */
#include "unlock/phrases_priv.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "unlock/questions_priv.h"
#include "unlock/shells_priv.h"
#include "unlock/template_priv.h"

/* ---- other lines --------------------------------------------------------------------------------------- */

/* Of the service manager, without its mark: with a unit's description, its name and description, or what is left of both.
 * Another unit may be described so that it speaks of these. */
static const struct {
    const char *template;
    phrase_e means;
} statuses[] = {
    {"started cryptography setup for %.", PHRASE_OPENED},
    {"finished cryptography setup for %.", PHRASE_OPENED},
    {"started systemd-cryptsetup@*.service - cryptography setup for %.", PHRASE_OPENED},
    {"finished systemd-cryptsetup@*.service - cryptography setup for %.", PHRASE_OPENED},
    {"started systemd-cryptsetup@*" ELLIPSIS "*setup for %.", PHRASE_OPENED},
    {"finished systemd-cryptsetup@*" ELLIPSIS "*setup for %.", PHRASE_OPENED},
    {"finished systemd-cryptsetup@%.service.", PHRASE_OPENED},
    {"finished systemd-cryptsetup@%.", PHRASE_OPENED},
    {"finished load zfs key for %.", PHRASE_OPENED},
    {"finished load zfs key for %", PHRASE_OPENED},
    {"finished zfs-load-key@*.service - load zfs key for %.", PHRASE_OPENED},
    {"failed to start cryptography setup for %.", PHRASE_REFUSED},
    {"failed to start systemd-cryptsetup@*setup for %.", PHRASE_REFUSED},
    {"failed to start load zfs key for %.", PHRASE_REFUSED},
    {"failed to start zfs-load-key@*.service - load zfs key for %.", PHRASE_REFUSED},
    {"reached target switch root.", PHRASE_WENT_ON},
    {"reached target initrd-switch-root.target*", PHRASE_WENT_ON},
    {"starting switch root...", PHRASE_WENT_ON},
    {"starting initrd-switch-root.service*", PHRASE_WENT_ON},
    {"mounted /sysroot.", PHRASE_GOES_ON},
    {"mounted sysroot.mount*", PHRASE_GOES_ON},
    {"reached target emergency mode.", PHRASE_SHELL},
    {"reached target emergency.target*", PHRASE_SHELL},
    {"reached target rescue mode.", PHRASE_SHELL},
    {"reached target rescue.target*", PHRASE_SHELL},
    {"started *emergency shell.", PHRASE_SHELL},
    {"started *rescue shell.", PHRASE_SHELL},
    {"reached target login prompts.", PHRASE_GOES_ON},
    {"reached target getty.target*", PHRASE_GOES_ON},
    {"reached target multi-user system.", PHRASE_GOES_ON},
    {"reached target multi-user.target*", PHRASE_GOES_ON},
    {"reached target *local encrypted volumes.", PHRASE_HINT},
    {"reached target *cryptsetup.target.", PHRASE_HINT},
    {"reached target *initrd root device*", PHRASE_HINT},
};

static const struct {
    const char *template;
    phrase_e means;
} lines[] = {
    {"cryptsetup: %: set up successfully", PHRASE_OPENED},
    {"cryptsetup (%): set up successfully", PHRASE_OPENED},
    {"slot * opened", PHRASE_OPENED}, /* GRUB */
    {"verifying passphrase for %... - success", PHRASE_OPENED},
    {"*drive /dev/* is opal unlocked", PHRASE_OPENED},
    {"*drive /dev/* is opal failed", PHRASE_REFUSED},
    {"*drive /dev/* is opal not locked", PHRASE_HINT},
    {"verifying passphrase for %... - failure", PHRASE_REFUSED},
    {"cryptsetup: error: %: cryptsetup failed, bad password*", PHRASE_REFUSED},
    {"cryptsetup: error: %: maximum number of tries exceeded*", PHRASE_REFUSED},
    {"cryptsetup (%): cryptsetup failed, bad password*", PHRASE_REFUSED},
    {"cryptsetup: %: cryptsetup failed, bad password*", PHRASE_REFUSED},
    {"unlocking...*incorrect pass*", PHRASE_REFUSED}, /* booster */
    {":: mounting * on real root", PHRASE_WENT_ON},
    {"begin: running /scripts/init-bottom*", PHRASE_WENT_ON},
    {"<<< * stage 2 >>>", PHRASE_WENT_ON},
    {"init: version * booting", PHRASE_WENT_ON},
    {"openrc * is starting up *", PHRASE_WENT_ON},
    {"* login: * (automatic login)", PHRASE_WENT_ON}, /* agetty */
    {"broadcast message from *", PHRASE_MESSAGE},
    {"this will overwrite data on *", PHRASE_SHELL}, /* cryptsetup: whoever sets up a disk works there */
    {":: performing fsck on '/dev/mapper/*", PHRASE_HINT},
    {"/dev/mapper/*: clean, * files, * blocks", PHRASE_HINT},
};

/* Behind nothing, or behind the name of a program that opens disks: others have passwords, too. */
static const char *const refusals[] = {
    "cryptsetup failed, bad password*",
    "bad password or options*",
    "maximum number of tries exceeded*",
    "no key available with this passphrase*",
    "failed to activate with specified passphrase*",
    "too many attempts to activate*",
    "key load error: *",
    "incorrect key provided*",
};

/* Words of an initramfs or a boot loader. Once services start, they may be about anybody's password. */
static const char *const early_refusals[] = {
    "incorrect pass*",        "wrong pass*",          "invalid pass*",
    "passphrase *incorrect*", "password *incorrect*", "access denied*" /* GRUB, behind "error:" */
};

static const char *const speakers[] = {
    "error:",  "warning:", "cryptsetup", "systemd-cryptsetup", "luks", "/dev/", "device ", "zfs", "dracut",
    "booster", "clevis",   "::",         "failed to "};

/* A unit's instance: "luks\x2d6f" is luks-6f. */
static void unescape_name(char *name)
{
    char *to = name;

    for (const char *from = name; *from != '\0'; to++) {
        if (strncmp(from, "\\x2d", 4) == 0) {
            *to = '-';
            from += 4;
        }
        else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static void set_name(phrase_t *phrase, const char *line, const char *lower, span_t name)
{
    size_t length = name.begin != NULL ? (size_t)(name.end - name.begin) : 0;

    length = length < PHRASE_NAME ? length : PHRASE_NAME;
    memcpy(phrase->name, line + (length > 0 ? name.begin - lower : 0), length);
    phrase->name[length] = '\0';
    unescape_name(phrase->name);
}

static void read_status(phrase_t *phrase, const char *line, const char *lower)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        span_t name = {NULL, NULL};

        if (template_fits(statuses[i].template, lower, &name)) {
            phrase->means = statuses[i].means;
            set_name(phrase, line, lower, name);
            return;
        }
    }
}

/* "1 / 2 key(s) successfully loaded": one was not. */
static int loads_all_keys(const char *lower)
{
    int done = 0, all = 0;

    while (apr_isdigit(*lower) && done < 1000) {
        done = done * 10 + (*lower++ - '0');
    }
    lower += strncmp(lower, " / ", 3) == 0 ? 3 : 0;
    while (apr_isdigit(*lower) && all < 1000) {
        all = all * 10 + (*lower++ - '0');
    }
    return done > 0 && done == all;
}

static int is_one_of(const char *const *templates, size_t count, const char *lower)
{
    for (size_t i = 0; i < count; i++) {
        span_t name = {NULL, NULL};

        if (template_fits(templates[i], lower, &name)) {
            return strstr(lower, "attempts") == NULL || strncmp(lower, "too many", 8) == 0;
        }
    }
    return 0;
}

static int is_refusal(phrase_t *phrase, const char *lower)
{
    if (is_one_of(refusals, sizeof(refusals) / sizeof(refusals[0]), lower)) {
        return 1;
    }
    if (is_one_of(early_refusals, sizeof(early_refusals) / sizeof(early_refusals[0]), lower)) {
        phrase->until = STAGE_KERNEL;
        return 1;
    }
    return 0;
}

static int speaks_of_disks(const char *lower)
{
    int speaks = 0;

    for (size_t i = 0; i < sizeof(speakers) / sizeof(speakers[0]); i++) {
        speaks |= strncmp(lower, speakers[i], strlen(speakers[i])) == 0;
    }
    return speaks;
}

/* A current GRUB names a line of its source, without a blank behind its colon. */
static void read_refusal(phrase_t *phrase, const char *lower)
{
    int refused = is_refusal(phrase, lower);

    if (!refused && speaks_of_disks(lower)) {
        for (const char *at = strchr(lower, ':'); at != NULL && !refused; at = strchr(at + 1, ':')) {
            refused = is_refusal(phrase, at + 1 + (at[1] == ' '));
        }
    }
    phrase->means = refused ? PHRASE_REFUSED : phrase->means;
}

static void read_line(phrase_t *phrase, const char *line, const char *lower)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        span_t name = {NULL, NULL};

        if (template_fits(lines[i].template, lower, &name)) {
            phrase->means = lines[i].means;
            set_name(phrase, line, lower, name);
            return;
        }
    }
    read_refusal(phrase, lower);
    if (apr_isdigit(lower[0]) && template_ends_with(lower, " key(s) successfully loaded")) {
        phrase->means = loads_all_keys(lower) ? PHRASE_OPENED : PHRASE_REFUSED;
    }
}

/* "pc login:", with nothing before the host's name. */
static int is_login(const char *lower)
{
    static const char others[] = " last please enter your user password failed invalid ";
    size_t host = strcspn(lower, " ");
    char word[32];

    apr_snprintf(word, sizeof(word), " %.*s ", (int)host, lower);
    return strcmp(lower, "login:") == 0 ||
           (strcmp(lower + host, " login:") == 0 && strstr(others, word) == NULL);
}

/* A line that waits for an answer, whatever it is about. */
static int is_foreign(const char *line)
{
    char lower[LINE_MAX_READ + 1];
    size_t length;

    apr_cpystrn(lower, line, sizeof(lower));
    questions_take_hint(lower);
    template_take_blanks(lower);
    length = strlen(lower);
    return length > 0 && strchr(":?", lower[length - 1]) != NULL;
}

/* ---- for callers --------------------------------------------------------------------------------------- */

/* Blanks, and signs that are no ASCII: a lock stands before some questions. */
static const char *skip_signs(const char *line)
{
    while (*line == ' ' || (unsigned char)*line >= 0x80) {
        line++;
    }
    return line;
}

static void copy_lower(char lower[LINE_MAX_READ + 1], const char *line)
{
    apr_cpystrn(lower, line, LINE_MAX_READ + 1);
    for (char *at = lower; *at != '\0'; at++) {
        *at = (char)apr_tolower(*at);
    }
    template_take_blanks(lower);
}

void phrase_read(phrase_t *phrase, const char *line)
{
    char lower[LINE_MAX_READ + 1];
    int status = phrase_status_at(line, 0) == 0 && *line != '\0';

    memset(phrase, 0, sizeof(*phrase));
    phrase->until = STAGE_SERVICES;
    line = status && *line == '[' ? strchr(line, ']') + 1 : line;
    line = skip_signs(line);
    copy_lower(lower, line);
    if (lower[0] == '\0') {
        phrase->means = status ? PHRASE_TEXT : PHRASE_BLANK;
    }
    else if (status) {
        read_status(phrase, line, lower);
    }
    else if (shells_line(line)) {
        phrase->means = PHRASE_SHELL;
    }
    else if (is_login(lower)) {
        phrase->means = PHRASE_LOGIN;
    }
    else {
        int foreign = is_foreign(lower);

        read_line(phrase, line, lower);
        if (phrase->means == PHRASE_TEXT && !questions_read(phrase, line, lower) && foreign) {
            phrase->means = PHRASE_FOREIGN;
        }
    }
}

/* A name of which the middle or the end was left out is as good as its beginning. */
static int same_name(const char *one, const char *other)
{
    const char *cut_one = strstr(one, ELLIPSIS), *cut_other = strstr(other, ELLIPSIS);
    size_t most_one = cut_one != NULL ? (size_t)(cut_one - one) : strlen(one);
    size_t most_other = cut_other != NULL ? (size_t)(cut_other - other) : strlen(other);
    size_t length = cut_one != NULL && (cut_other == NULL || most_one < most_other) ? most_one : most_other;

    if (cut_one == NULL && cut_other == NULL) {
        return strcmp(one, other) == 0;
    }
    return length > 2 && strncmp(one, other, length) == 0;
}

int phrase_same_question(const phrase_t *one, const phrase_t *other)
{
    return one->name[0] == '\0' && other->name[0] == '\0' ? one->form == other->form
                                                          : same_name(one->name, other->name);
}

/* A question that names a device and what names a mapping cannot be compared: if it opened, it is that one. What failed
 * may be another, for programs that ask for a device say it of that, or of nothing by name. */
int phrase_is_about(const phrase_t *said, const phrase_t *question)
{
    return said->name[0] == '\0' || question->name[0] == '\0' ||
           (said->means != PHRASE_REFUSED && strchr(question->name, '/') != NULL) ||
           same_name(said->name, question->name);
}
