/* SPDX-License-Identifier: Apache-2.0 */
/* See phrases_priv.h. The texts are matched from their first character to their last, so that a sentence which only
 * speaks of a question is none. What is typed at a wrong one is a secret given away; so what is not listed here is not
 * answered, and a group can have patterns of its own. */
#include "unlock/phrases_priv.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define LINE_MAX_READ 1024
#define ELLIPSIS "\xe2\x80\xa6"

/* ---- templates ----------------------------------------------------------------------------------------- */

typedef struct {
    const char *begin, *end; /* NULL: no name */
} span_t;

/* True if `text` is what `template` describes: lower case, '*' is any text, '%' is any that is not empty, the name. */
static int fits(const char *template, const char *text, span_t *name)
{
    for (; *template != '*' && *template != '%'; template ++, text++) {
        if (*template != *text) {
            return 0;
        }
        if (*template == '\0') {
            return 1;
        }
    }
    for (const char *at = text + (*template == '%'); at == text || at[-1] != '\0'; at++) {
        if ((template[1] == '\0' && *at == '\0') ||
            (template[1] != '\0' && (*at == template[1] || strchr("*%", template[1])) &&
             fits(template + 1, at, name))) {
            if (*template == '%') {
                *name = (span_t){text, at};
            }
            return 1;
        }
    }
    return 0;
}

/* ---- names of volumes ---------------------------------------------------------------------------------- */

static int is_made_of(const char *text, const char *others)
{
    for (; *text != '\0'; text++) {
        if (!apr_isalnum(*text) && strchr(others, *text) == NULL) {
            return 0;
        }
    }
    return 1;
}

/* "MODEL (NAME) on /mnt": systemd. */
static int name_of_disk(char *name)
{
    static const char *const places[] = {" on /", " on none", " on swap"};
    char *open = NULL;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *place = strstr(name, places[i]);

        if (place != NULL) {
            *place = '\0';
        }
    }
    open = strrchr(name, '(');
    if (open != NULL && open > name && open[-1] == ' ') {
        memmove(name, open + 1, strlen(open + 1) + 1);
        name[strcspn(name, ")")] = '\0';
    }
    return name[0] != '\0' && strcmp(name, "verification") != 0;
}

/* No file in memory or open elsewhere, which may be somebody's key. */
static int name_of_device(char *name)
{
    return strncmp(name, "/dev/", 5) == 0 && is_made_of(name, "/-_.:+@") &&
           strncmp(name, "/dev/shm/", 9) != 0 && strncmp(name, "/dev/fd/", 8) != 0;
}

static int may_be_a_key(const char *name)
{
    return name[0] == '/' || name[0] == '.' || strstr(name, "id_") != NULL || strcasestr(name, "key") != NULL;
}

static int name_of_dataset(char *name)
{
    return is_made_of(name, "/-_.:") && !may_be_a_key(name);
}

/* "hd0,gpt2 (UUID)": GRUB. */
static int name_of_partition(char *name)
{
    char *open = strstr(name, " (");

    if (open == NULL || open[strcspn(open, ")")] == '\0' || !is_made_of(open + 2, "-)")) {
        return 0;
    }
    *open = '\0';
    return is_made_of(name, ",-_/.+");
}

static int name_of_mapping(char *name)
{
    return is_made_of(name, "-_.:+@#=" ELLIPSIS);
}

/* Where the question is not certain to be about a disk. */
static int plain_name_of_mapping(char *name)
{
    return is_made_of(name, "-_") && !may_be_a_key(name);
}

/* ---- questions ----------------------------------------------------------------------------------------- */

enum {
    TORN = 1,  /* may stand behind the beginning of another program's line */
    PLAIN = 2, /* complete without a colon, too */
    HEADS = 4, /* see phrase_t */
    LOADER = 8,
    RESTARTS = 16,
    SYSTEMD = 32, /* only with the hint of systemd-ask-password: ssh-add asks in the same words */
    BARE = 64     /* only without a blank behind its colon: ssh-add has one */
};

static const struct {
    const char *template; /* what stands behind the name ( : ! ) is taken off before */
    int (*name)(char *name);
    int is;
} questions[] = {
    {"please unlock disk %", name_of_mapping, TORN},                            /* cryptsetup-initramfs */
    {"please enter passphrase for disk %", name_of_disk, TORN},                 /* systemd */
    {"please enter password for disk %", name_of_disk, TORN},                   /* systemd */
    {"please enter passphrase or recovery key for disk %", name_of_disk, TORN}, /* systemd */
    {"enter passphrase for %", name_of_device, 0},                              /* cryptsetup */
    {"password (%)", name_of_device, 0},                                        /* dracut */
    {"password for %", name_of_device, 0},                                      /* dracut */
    {"password for % (*)", name_of_device, 0},                                  /* dracut */
    {"a password is required to access the % volume", name_of_mapping, HEADS},  /* mkinitcpio */
    {"enter passphrase for %", name_of_partition, LOADER},                      /* GRUB */
    {"enter passphrase for '%'", name_of_dataset, 0},                           /* ZFS */
    {"enter passphrase for %", name_of_dataset, SYSTEMD},                       /* zfs-mount-generator */
    {"enter passphrase for %", plain_name_of_mapping, BARE},                    /* booster */
    {"encrypted zfs password for %", name_of_dataset, PLAIN},                   /* ZFS in an initramfs */
    {"passphrase for %", name_of_device, 0},                                    /* NixOS */
    {"please enter pass-phrase to unlock opal drives", NULL, RESTARTS},         /* sedutil */
    {"boot authorization key", NULL, RESTARTS},                                 /* sedutil */
    {"please insert yubikey and press enter or enter a valid passphrase", NULL, PLAIN}, /* yubikey-luks */
};

#define QUESTIONS ((int)(sizeof(questions) / sizeof(questions[0])))

/* "(press TAB for no echo)", behind what ends the question, whole or cut off. */
static void take_hint(char *lower)
{
    static const char hint[] = "(press tab for no echo)";
    char *open = strrchr(lower, '(');
    size_t shown = 0;

    if (open == NULL || open - lower < 2 || strchr(":!", open[-2]) == NULL) {
        return;
    }
    while (hint[shown] != '\0' && open[shown] == hint[shown]) {
        shown++;
    }
    if (open[shown] == '\0' || strncmp(open + shown, ELLIPSIS, 3) == 0 ||
        strncmp(open + shown, "...", 3) == 0) {
        *open = '\0';
    }
}

static void take_blanks(char *lower)
{
    size_t length = strlen(lower);

    while (length > 0 && lower[length - 1] == ' ') {
        lower[--length] = '\0';
    }
}

/* "[2/5]": which try it is. */
static void take_count(char *lower)
{
    char *open = strrchr(lower, '[');

    if (open != NULL && open > lower && is_made_of(open + 1, "/]") && strchr(open, '/') != NULL) {
        *open = '\0';
        take_blanks(lower);
    }
}

static int ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), more = strlen(end);

    return length >= more && strcmp(text + length - more, end) == 0;
}

/* Takes off what ends a question; false where nothing does: it may go on. One that was cut is at its end. */
static int take_end(char *lower)
{
    int ended = 0;

    take_hint(lower);
    take_blanks(lower);
    while (lower[0] != '\0' && strchr(":!", lower[strlen(lower) - 1]) != NULL) {
        lower[strlen(lower) - 1] = '\0';
        take_blanks(lower);
        ended = 1;
    }
    take_count(lower);
    return ended || ends_with(lower, ELLIPSIS) || ends_with(lower, "...");
}

/* What was torn has neither quotes nor a log's colon and adjoins; a sentence does not. Debian's initramfs says what it
 * begins, and goes on in that line. */
static int is_torn(const char *before, const char *begin)
{
    size_t length = (size_t)(begin - before);
    int initramfs = length > 10 && strncmp(before, "begin: ", 7) == 0 && strncmp(begin - 4, "... ", 4) == 0;

    return initramfs || length == 0 || (begin[-1] != ' ' && strcspn(before, "'\"`:") >= length);
}

static const char *find_begin(const char *lower, int question)
{
    char head[24];
    const char *begin = NULL;

    if (!(questions[question].is & TORN)) {
        return lower;
    }
    apr_cpystrn(head, questions[question].template, sizeof(head));
    head[strcspn(head, "%")] = '\0';
    begin = strstr(lower, head);
    return begin != NULL && is_torn(lower, begin) ? begin : "";
}

/* As it was written, not in lower case. */
static int take_name(phrase_t *phrase, int question, const char *line, const char *lower, span_t name)
{
    size_t length = (size_t)(name.end - name.begin);

    if (questions[question].name == NULL) {
        return 1;
    }
    if (length > PHRASE_NAME) {
        return 0;
    }
    memcpy(phrase->name, line + (name.begin - lower), length);
    phrase->name[length] = '\0';
    return questions[question].name(phrase->name);
}

/* Whether a line is written as this question's program does it. */
static int is_written_so(int is, const char *line, int ended)
{
    return (ended || (is & PLAIN)) && (!(is & SYSTEMD) || strstr(line, ": (press ") != NULL) &&
           (!(is & BARE) || ends_with(line, ":"));
}

static int read_question(phrase_t *phrase, const char *line, char *lower)
{
    int ended = take_end(lower);

    for (int i = 0; i < QUESTIONS; i++) {
        span_t name = {NULL, NULL};

        if (is_written_so(questions[i].is, line, ended) &&
            fits(questions[i].template, find_begin(lower, i), &name) &&
            take_name(phrase, i, line, lower, name)) {
            phrase->means = PHRASE_QUESTION;
            phrase->form = i + 1;
            phrase->heads = (questions[i].is & HEADS) != 0;
            phrase->loader = (questions[i].is & LOADER) != 0;
            phrase->restarts = (questions[i].is & (LOADER | RESTARTS)) != 0;
            return 1;
        }
    }
    phrase->name[0] = '\0';
    return 0;
}

/* dracut asks, and has another program ask behind it in the same line: the last of both. */
static int read_second_question(phrase_t *phrase, const char *line, const char *lower)
{
    char part[LINE_MAX_READ + 1];
    const char *colon = lower;

    for (int i = 0; i < 4 && (colon = strchr(colon, ':')) != NULL; i++) {
        size_t length = (size_t)(++colon - lower);

        apr_cpystrn(part, lower, length + 1);
        if (*colon == '\0' || !read_question(phrase, line, part)) {
            continue;
        }
        apr_cpystrn(part, colon, sizeof(part));
        if (read_question(phrase, line + length, part)) {
            return 1;
        }
        memset(phrase, 0, sizeof(*phrase));
    }
    return 0;
}

static int read_any_question(phrase_t *phrase, const char *line, char *lower)
{
    char whole[LINE_MAX_READ + 1];

    apr_cpystrn(whole, lower, sizeof(whole));
    return read_question(phrase, line, lower) || read_second_question(phrase, line, whole);
}

/* ---- other lines --------------------------------------------------------------------------------------- */

/* Of the service manager, without its mark. */
static const struct {
    const char *template;
    phrase_e means;
} statuses[] = {
    {"started *cryptography setup for %.", PHRASE_OPENED},
    {"finished *cryptography setup for %.", PHRASE_OPENED},
    {"started systemd-cryptsetup@*" ELLIPSIS "*setup for %.", PHRASE_OPENED},
    {"finished systemd-cryptsetup@*" ELLIPSIS "*setup for %.", PHRASE_OPENED},
    {"finished systemd-cryptsetup@%.service.", PHRASE_OPENED},
    {"finished systemd-cryptsetup@%.", PHRASE_OPENED},
    {"finished *load zfs key for %.", PHRASE_OPENED},
    {"finished *load zfs key for %", PHRASE_OPENED},
    {"failed to start *cryptography setup for %.", PHRASE_REFUSED},
    {"failed to start *load zfs key for %.", PHRASE_REFUSED},
    {"reached target *switch root*", PHRASE_WENT_ON},
    {"starting *switch root*", PHRASE_WENT_ON},
    {"mounted */sysroot*", PHRASE_WENT_ON},
    {"reached target *login prompts*", PHRASE_WENT_ON},
    {"reached target *multi-user system*", PHRASE_WENT_ON},
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
    {"*is opal unlocked", PHRASE_OPENED},
    {"*is opal failed", PHRASE_REFUSED},
    {"*is opal not locked", PHRASE_HINT},
    {"verifying passphrase for %... - failure", PHRASE_REFUSED},
    {"unlocking...*incorrect pass*", PHRASE_REFUSED}, /* booster */
    {":: mounting * on real root", PHRASE_WENT_ON},
    {"begin: running /scripts/init-bottom*", PHRASE_WENT_ON},
    {"<<< * stage 2 >>>", PHRASE_WENT_ON},
    {"init: version * booting", PHRASE_WENT_ON},
    {"openrc * is starting up *", PHRASE_WENT_ON},
    {"broadcast message from *", PHRASE_MESSAGE},
    {":: performing fsck on *", PHRASE_HINT},
    {"*: clean, * files, * blocks", PHRASE_HINT},
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
    "incorrect pass*",
    "wrong pass*",
    "invalid pass*",
    "passphrase *incorrect*",
    "password *incorrect*",
    "access denied*" /* GRUB, behind "error:" */
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

        if (fits(statuses[i].template, lower, &name)) {
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

static void read_keys(phrase_t *phrase, const char *lower)
{
    if (apr_isdigit(lower[0]) && ends_with(lower, " key(s) successfully loaded")) {
        phrase->means = loads_all_keys(lower) ? PHRASE_OPENED : PHRASE_REFUSED;
    }
}

static int is_refusal(const char *lower)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        span_t name = {NULL, NULL};

        if (fits(refusals[i], lower, &name)) {
            return strstr(lower, "attempts") == NULL || strncmp(lower, "too many", 8) == 0;
        }
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

static void read_refusal(phrase_t *phrase, const char *lower)
{
    int refused = is_refusal(lower);

    if (!refused && speaks_of_disks(lower)) {
        for (const char *at = strstr(lower, ": "); at != NULL && !refused; at = strstr(at + 2, ": ")) {
            refused = is_refusal(at + 2);
        }
    }
    phrase->means = refused ? PHRASE_REFUSED : phrase->means;
}

static void read_line(phrase_t *phrase, const char *line, const char *lower)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        span_t name = {NULL, NULL};

        if (fits(lines[i].template, lower, &name)) {
            phrase->means = lines[i].means;
            set_name(phrase, line, lower, name);
            return;
        }
    }
    read_refusal(phrase, lower);
    read_keys(phrase, lower);
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
    take_hint(lower);
    take_blanks(lower);
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
    take_blanks(lower);
}

void phrase_read(phrase_t *phrase, const char *line)
{
    char lower[LINE_MAX_READ + 1];
    int status = phrase_status_at(line, 0) == 0 && *line != '\0';

    memset(phrase, 0, sizeof(*phrase));
    line = status && *line == '[' ? strchr(line, ']') + 1 : line;
    line = skip_signs(line);
    copy_lower(lower, line);
    if (lower[0] == '\0') {
        phrase->means = status ? PHRASE_TEXT : PHRASE_BLANK;
    }
    else if (status) {
        read_status(phrase, line, lower);
    }
    else if (is_login(lower)) {
        phrase->means = PHRASE_LOGIN;
    }
    else {
        int foreign = is_foreign(lower);

        read_line(phrase, line, lower);
        if (phrase->means == PHRASE_TEXT && !read_any_question(phrase, line, lower) && foreign) {
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

/* A question that names a device, or nothing, and an answer that names the mapping cannot be compared. */
int phrase_is_about(const phrase_t *said, const phrase_t *question)
{
    return said->name[0] == '\0' || question->name[0] == '\0' || strchr(question->name, '/') != NULL ||
           same_name(said->name, question->name);
}
