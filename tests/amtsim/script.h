/* SPDX-License-Identifier: Apache-2.0 */
/* What a PC shows on its serial port while it boots, read from a file: tests/consoles/README.md has the words.
 */
#ifndef AMTSIM_SCRIPT_H
#define AMTSIM_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#define VOLUMES_MAX 8
#define NAME_MAX_CHARS 63

enum script_word {
    SCRIPT_SEND,    /* text goes out */
    SCRIPT_MESSAGE, /* what was sent so far is a message of its own, at whatever size messages are cut */
    SCRIPT_PAUSE,   /* seconds */
    SCRIPT_ECHO,    /* enum echo */
    SCRIPT_OPEN,    /* a volume is opened by another key than ours */
    SCRIPT_READ,    /* a disk's question waits; GOOD, BAD, LAST, GONE, DRAW and KEY behind it belong to it */
    SCRIPT_GOOD,    /* shown when the passphrase fits */
    SCRIPT_BAD,     /* when it does not, and the question stands again */
    SCRIPT_LAST,    /* when it does not for the last time */
    SCRIPT_GONE,    /* when nobody typed in time: another key opened the volume */
    SCRIPT_DRAW,    /* shown every so many seconds while the question waits */
    SCRIPT_KEY,     /* shown with each key, and a star behind it for each character */
    SCRIPT_OTHER,   /* from here on somebody reads who is no disk's question */
    SCRIPT_LOGIN,   /* the system is up, and so somebody else reads */
    SCRIPT_END,     /* nothing more is shown, and nobody reads */
};

/* ECHO_HINT: stars, which take the place of systemd's hint */
enum echo { ECHO_OFF, ECHO_ON, ECHO_STARS, ECHO_HINT };

struct statement {
    enum script_word word;
    char *text; /* NULL: none */
    size_t size;
    double seconds;                /* of READ: 0 is for ever */
    unsigned which;                /* a volume, enum echo */
    bool never;                    /* of READ: no passphrase fits */
    char name[NAME_MAX_CHARS + 1]; /* of OTHER: who reads */
};

struct volume {
    char name[NAME_MAX_CHARS + 1];
    bool own; /* it has a passphrase of its own */
};

/* Where the PC stands when a job meets it. */
enum script_start { SCRIPT_FROM_BOOT, SCRIPT_RUNNING_UP, SCRIPT_RUNNING_LOCKED };

struct script {
    struct statement *statements;
    unsigned count;
    struct volume volumes[VOLUMES_MAX];
    unsigned volume_count;
    unsigned tries;          /* wrong lines that a question takes */
    enum script_start start; /* RUNNING_*: it plays whenever a session opens, not when the PC boots */
};

/* NULL with the reason in `why`. */
struct script *script_read(const char *path, char why[256]);

void script_free(struct script *script);

#endif
