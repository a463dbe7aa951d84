/* SPDX-License-Identifier: Apache-2.0 */
/* What a line on a PC's console means, before its system starts and while it does: the texts of boot chains that are
 * known. Pure.
 */
#ifndef AMTUNLOCK_UNLOCK_PHRASES_PRIV_H
#define AMTUNLOCK_UNLOCK_PHRASES_PRIV_H

#define PHRASE_NAME 128

typedef enum {
    PHRASE_TEXT,     /* nothing that matters here */
    PHRASE_BLANK,    /* there is nothing on it */
    PHRASE_QUESTION, /* wants the passphrase of a volume */
    PHRASE_FOREIGN,  /* wants something else: a PIN, a user's password, that of a key, any answer */
    PHRASE_LOGIN,    /* wants a user's name: the system is up */
    PHRASE_SHELL,    /* a shell's prompt, and what was typed there; or there will be one */
    PHRASE_OPENED,   /* a volume is open */
    PHRASE_REFUSED,  /* a volume is not: the passphrase did not fit */
    PHRASE_WENT_ON,  /* the system on the disk takes over: who asked before does not ask any more */
    PHRASE_GOES_ON,  /* the system goes on, maybe around a volume that still asks */
    PHRASE_MESSAGE,  /* a user's words to all terminals follow */
    PHRASE_HINT      /* the same, with less certainty: it is also said while a volume is locked */
} phrase_e;

/* How far the PC has come, as far as its console shows it. */
typedef enum {
    STAGE_LOADER,   /* firmware and boot loader, for all that was shown */
    STAGE_KERNEL,   /* the kernel speaks */
    STAGE_SERVICES, /* the service manager does, or the system on the disk */
    STAGE_USERS     /* a login or a shell stood there: what follows is what somebody has a program print */
} stage_e;

typedef struct {
    phrase_e means;
    int form;      /* of a question: which program asks, from 1 */
    stage_e until; /* of a question or a refusal: its program says so at this stage at the latest */
    int ends_line; /* of a question: its program ends the line behind it; behind all others stands the cursor */
    int loader;    /* of a question: the boot loader asks, and opens the volume for itself only */
    int restarts; /* of a question: what follows when it is answered looks like a start of the PC, or is one */
    /* The volume, where it has a name, as far as it was shown: what was left out stands as an ellipsis. */
    char name[PHRASE_NAME + 1];
} phrase_t;

/* A line, as far as it was shown. */
void phrase_read(phrase_t *phrase, const char *line);

/* Two questions about one volume; or what was said of a volume, and the question about it. */
int phrase_same_question(const phrase_t *one, const phrase_t *other);
int phrase_is_about(const phrase_t *said, const phrase_t *question);

/* Where another writer's text begins in a line, or its length: the kernel's, with its time, and that of a hypervisor
 * and of an initramfs' network; the service manager's, with its mark. Both run to the end of the line, and what stands before them goes on after it. `partial`: the line may end
 * within the time or the mark. */
unsigned int phrase_kernel_at(const char *line, int partial);
unsigned int phrase_status_at(const char *line, int partial);

#endif
