/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/claimed_priv.h"

#include <stddef.h>
#include <string.h>

#include <apr_lib.h>

#define UNKNOWN "(cannot be recorded)"

static int is_word(unsigned char c)
{
    return apr_isalnum(c) || strchr("-_.:", c) != NULL;
}

static int is_digit(unsigned char c)
{
    return apr_isdigit(c);
}

static int is_text(unsigned char c)
{
    return c >= ' ' && c != 0x7f;
}

static const struct {
    size_t at; /* in jobs_task_t */
    size_t most;
    int (*allows)(unsigned char c);
    int may_be_empty;
    int may_be_unknown; /* the PC can be verified without it */
    const char *fault;
} fields[] = {
    {offsetof(jobs_task_t, ref.job), 64, is_word, 0, 0, "its job's id is none of this service"},
    {offsetof(jobs_task_t, ref.system), 255, is_word, 0, 0, "its system's name is no host name"},
    {offsetof(jobs_task_t, ref.fence), 20, is_digit, 0, 0, "its fence is no number"},
    {offsetof(jobs_task_t, caller), CLAIMED_CALLER_MAX, is_text, 0, 1,
     "its caller's name is empty, longer than 1024 bytes or has control characters, so it cannot be recorded"},
    {offsetof(jobs_task_t, peer), 255, is_text, 1, 1,
     "its caller's address is longer than 255 bytes or has control characters, so it cannot be recorded"},
    {offsetof(jobs_task_t, mechanism), 64, is_word, 1, 1,
     "how its caller was authenticated is longer than 64 bytes or no word, so it cannot be recorded"},
};

static int is_well(size_t field, const char *text)
{
    size_t length = strnlen(text, fields[field].most + 1);

    for (size_t i = 0; i < length; i++) {
        if (!fields[field].allows((unsigned char)text[i])) {
            return 0;
        }
    }
    return length <= fields[field].most && (length > 0 || fields[field].may_be_empty);
}

const char *claimed_judge(jobs_task_t *task)
{
    if (task->intent != NULL && strnlen(task->intent, CLAIMED_INTENT_MAX + 1) > CLAIMED_INTENT_MAX) {
        task->intent = NULL;
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char **text = (const char **)(void *)((char *)task + fields[i].at);

        if (is_well(i, *text)) {
            continue;
        }
        if (!task->taken_over || !fields[i].may_be_unknown) {
            return fields[i].fault;
        }
        *text = UNKNOWN;
    }
    return NULL;
}
