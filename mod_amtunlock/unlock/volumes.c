/* SPDX-License-Identifier: Apache-2.0 */
#include "unlock/volumes_priv.h"

#include <string.h>

#include "unlock/template_priv.h"

void volumes_forget(volumes_t *volumes)
{
    volumes->count = 0;
    volumes->asked = -1;
}

int volumes_find(const volumes_t *volumes, const phrase_t *question)
{
    for (int i = 0; i < volumes->count; i++) {
        const volume_t *volume = &volumes->all[i];
        /* What is open does not ask: a question whose name is cut off is then another's of the same beginning. */
        int done = volume->answered && volume->opened && strstr(question->name, ELLIPSIS) != NULL;

        if (!done && phrase_same_question(&volume->question, question)) {
            return i;
        }
    }
    return -1;
}

int volumes_note(volumes_t *volumes, const phrase_t *question)
{
    int found = volumes_find(volumes, question);

    if (found >= 0) {
        volumes->all[found].question = *question;
        return found;
    }
    for (int i = 0; i < DIALOGUE_VOLUMES; i++) {
        if (i >= volumes->count || (!volumes->all[i].answered && i != volumes->asked)) {
            volumes->count += i >= volumes->count;
            volumes->all[i] = (volume_t){.question = *question};
            return i;
        }
    }
    return -1;
}

int volumes_opened(volumes_t *volumes, const phrase_t *said)
{
    int known = 0;

    for (int i = 0; i < volumes->count; i++) {
        volume_t *volume = &volumes->all[i];
        int about = phrase_is_about(said, &volume->question);

        volume->opened |= about && !volume->question.loader;
        known |= about;
    }
    return known;
}

int volumes_refused(const volumes_t *volumes, const phrase_t *said)
{
    int refused = 0;

    for (int i = 0; i < volumes->count; i++) {
        refused |= volumes->all[i].answered && phrase_is_about(said, &volumes->all[i].question);
    }
    return refused;
}

int volumes_all_opened(const volumes_t *volumes)
{
    const volume_t *last = volumes->asked >= 0 ? &volumes->all[volumes->asked] : NULL;
    int opened = 0;

    for (int i = 0; i < volumes->count; i++) {
        const volume_t *volume = &volumes->all[i];
        int counts = volume == last ||
                     (volume->answered && last != NULL && volume->question.form == last->question.form);

        if (counts && !volume->opened) {
            return 0;
        }
        opened |= volume->opened;
    }
    return opened;
}

int volumes_lost_by_start(const volumes_t *volumes)
{
    int lost = 0;

    for (int i = 0; i < volumes->count; i++) {
        lost |= volumes->all[i].answered && !volumes->all[i].question.restarts;
    }
    return lost;
}

void volumes_cut(volumes_t *volumes)
{
    for (int i = 0; i < volumes->count; i++) {
        volumes->all[i].unsure |= volumes->all[i].answered;
    }
}
