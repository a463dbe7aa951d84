/* SPDX-License-Identifier: Apache-2.0 */
/* See questions_priv.h. A text is matched from its first character to its last, so that a sentence which only speaks of
 * a question is none. What is typed at a wrong one is a secret given away; so what is not listed here is not answered,
 * and a group can have patterns of its own. */
#include "unlock/questions_priv.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "unlock/template_priv.h"

/* ---- names of volumes ---------------------------------------------------------------------------------- */

static int name_of_mapping(char *name)
{
    return template_is_made_of(name, "-_.:+@#=" ELLIPSIS);
}

/* "MODEL (NAME) on /mnt": systemd. A name has no blanks, a model has. */
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
    return name[0] != '\0' && strcmp(name, "verification") != 0 && name_of_mapping(name);
}

/* No file in memory or open elsewhere, which may be somebody's key. */
static int name_of_device(char *name)
{
    static const char *const others[] = {"shm/", "fd/", "mqueue/", "hugepages/", "pts/", "tty", "std"};

    if (strncmp(name, "/dev/", 5) != 0 || !template_is_made_of(name, "/-_.:+@") ||
        strstr(name, "..") != NULL) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strncmp(name + 5, others[i], strlen(others[i])) == 0) {
            return 0;
        }
    }
    return 1;
}

static int may_be_a_key(const char *name)
{
    return name[0] == '/' || name[0] == '.' || strstr(name, "id_") != NULL || strcasestr(name, "key") != NULL;
}

static int name_of_dataset(char *name)
{
    return template_is_made_of(name, "/-_.:") && !may_be_a_key(name);
}

/* "hd0,gpt2 (UUID)": GRUB, with its own names of disks, and the UUID with dashes or without. */
static int name_of_partition(char *name)
{
    static const char *const disks[] = {"hd", "ahci", "ata", "usb", "md", "lvm", "ieee1275", "fd", "scsi"};
    char *open = strstr(name, " (");
    size_t digits = open != NULL ? strspn(open + 2, "0123456789abcdefABCDEF-") : 0;
    int known = 0;

    if (digits < 8 || strcmp(open + 2 + digits, ")") != 0) {
        return 0;
    }
    *open = '\0';
    for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
        known |= strncmp(name, disks[i], strlen(disks[i])) == 0;
    }
    return known && template_is_made_of(name, ",-_/.+");
}

/* Where the question is not certain to be about a disk, the name must be. */
static int certain_name_of_mapping(char *name)
{
    int tells =
        strcasestr(name, "crypt") != NULL || strcasestr(name, "luks") != NULL || strcmp(name, "root") == 0;

    return tells && template_is_made_of(name, "-_") && !may_be_a_key(name);
}

/* ---- questions ----------------------------------------------------------------------------------------- */

enum {
    TORN = 1,   /* may stand behind the beginning of another program's line */
    PLAIN = 2,  /* complete without a colon, too */
    EARLY = 4,  /* asked before the service manager has a word, if there is one at all */
    LOADER = 8, /* by the boot loader */
    RESTARTS = 16,
    SYSTEMD = 32, /* only with the hint of systemd-ask-password: ssh-add asks in the same words */
    BARE = 64,    /* only without a blank behind its colon */
    BLANK = 128,  /* only with one */
    CUT = 256     /* may be cut off where a line of 80 columns ends */
};

#define AGENT (TORN | CUT)

static const struct {
    const char *template; /* what stands behind the name ( : ! ) is taken off before */
    int (*name)(char *name);
    int is;
} questions[] = {
    {"please unlock disk %", name_of_mapping, TORN},                             /* cryptsetup-initramfs */
    {"please enter passphrase for disk %", name_of_disk, AGENT},                 /* systemd */
    {"please enter password for disk %", name_of_disk, AGENT},                   /* systemd */
    {"please enter passphrase or recovery key for disk %", name_of_disk, AGENT}, /* systemd */
    {"enter passphrase for %", name_of_device, TORN | BLANK},                    /* cryptsetup */
    {"password (%)", name_of_device, EARLY},                                     /* dracut */
    {"password for %", name_of_device, EARLY},                                   /* dracut */
    {"password for % (*)", name_of_device, EARLY},                               /* dracut */
    {"a password is required to access the % volume", name_of_mapping, EARLY},   /* mkinitcpio */
    {"enter passphrase for %", name_of_partition, LOADER | BLANK},               /* GRUB */
    {"enter passphrase for '%'", name_of_dataset, 0},                            /* ZFS */
    {"enter passphrase for %", name_of_dataset, SYSTEMD},                        /* zfs-mount-generator */
    {"enter passphrase for %", certain_name_of_mapping, BARE | EARLY},           /* booster */
    {"encrypted zfs password for %", name_of_dataset, PLAIN},                    /* ZFS in an initramfs */
    {"passphrase for %", name_of_device, EARLY | BLANK},                         /* NixOS */
    {"please enter pass-phrase to unlock opal drives", NULL, EARLY | BLANK | RESTARTS}, /* sedutil */
    {"boot authorization key", NULL, EARLY | BLANK | RESTARTS},                         /* sedutil */
    {"please insert yubikey and press enter or enter a valid passphrase", NULL,
     EARLY | PLAIN}, /* yubikey-luks */
};

#define QUESTIONS ((int)(sizeof(questions) / sizeof(questions[0])))

/* "(press TAB for no echo)", behind what ends the question, whole or cut off. */
void questions_take_hint(char *lower)
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

/* Takes off what ends a question; false where nothing does: it may go on. */
static int take_end(char *lower)
{
    char *count = NULL;
    int ended = 0;

    questions_take_hint(lower);
    template_take_blanks(lower);
    while (lower[0] != '\0' && strchr(":!", lower[strlen(lower) - 1]) != NULL) {
        lower[strlen(lower) - 1] = '\0';
        template_take_blanks(lower);
        ended = 1;
    }
    count = strrchr(lower, '['); /* "[2/5]": which try it is */
    if (count != NULL && count > lower && template_is_made_of(count + 1, "/]") &&
        strchr(count, '/') != NULL) {
        *count = '\0';
        template_take_blanks(lower);
    }
    return ended;
}

/* "Startin": the first word of a status, and not all of it. */
static int is_begun_word(const char *before, size_t length)
{
    static const char *const words[] = {"starting", "started",   "finished", "mounting", "mounted", "reached",
                                        "stopped",  "listening", "created",  "welcome",  "loading"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (length < strlen(words[i]) && strncmp(before, words[i], length) == 0) {
            return 1;
        }
    }
    return 0;
}

/* What stands before a question: nothing, what it tore, or what the initramfs of Debian or Alpine says that it begins. In
 * a sentence it is no question. */
static int is_torn(const char *before, const char *begin)
{
    static const char alpine[] = "* mounting root: ";
    size_t length = (size_t)(begin - before);
    int debian = length > 10 && strncmp(before, "begin: ", 7) == 0 && strncmp(begin - 4, "... ", 4) == 0;

    return debian || (length == strlen(alpine) && strncmp(before, alpine, length) == 0) ||
           is_begun_word(before, length);
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

/* Columns of a line that was cut to fit a terminal: of no less than it leaves out. */
static int is_cut(const char *line)
{
    return (template_ends_with(line, ELLIPSIS) || template_ends_with(line, "...")) && strlen(line) >= 60;
}

static int is_behind_blank(const char *line)
{
    size_t length = strlen(line);

    return length > 3 && strcmp(line + length - 2, ": ") == 0 && strchr(" :!", line[length - 3]) == NULL;
}

/* Whether a line is written as this question's program does it. */
static int is_written_so(int is, const char *line, int ended)
{
    return (ended || (is & PLAIN) || ((is & CUT) && is_cut(line))) &&
           (!(is & SYSTEMD) || strstr(line, ": (press ") != NULL) &&
           (!(is & BARE) || template_ends_with(line, ":")) && (!(is & BLANK) || is_behind_blank(line));
}

static void set_question(phrase_t *phrase, int question, const char *line)
{
    int is = questions[question].is;

    phrase->means = PHRASE_QUESTION;
    phrase->form = question + 1;
    phrase->until = is & EARLY ? STAGE_KERNEL : STAGE_SERVICES;
    if (is & LOADER) {
        phrase->until = STAGE_LOADER;
    }
    /* Plymouth sets its own colon behind the text's, and some of its splashes end the line. */
    phrase->ends_line = (is & TORN) && (template_ends_with(line, "!:") || template_ends_with(line, "::") ||
                                        template_ends_with(line, ": :"));
    phrase->loader = (is & LOADER) != 0;
    phrase->restarts = (is & (LOADER | RESTARTS)) != 0;
}

static int read_question(phrase_t *phrase, const char *line, char *lower)
{
    int ended = take_end(lower);

    for (int i = 0; i < QUESTIONS; i++) {
        span_t name = {NULL, NULL};

        if (is_written_so(questions[i].is, line, ended) &&
            template_fits(questions[i].template, find_begin(lower, i), &name) &&
            take_name(phrase, i, line, lower, name)) {
            set_question(phrase, i, line);
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

int questions_read(phrase_t *phrase, const char *line, char *lower)
{
    char whole[LINE_MAX_READ + 1];

    apr_cpystrn(whole, lower, sizeof(whole));
    return read_question(phrase, line, lower) || read_second_question(phrase, line, whole);
}
