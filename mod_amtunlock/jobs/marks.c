/* SPDX-License-Identifier: Apache-2.0 */
/* Marks as words. */
#include "jobs/jobs.h"

#include <string.h>

#include <apr_strings.h>

static const struct {
    jobs_mark_e mark;
    const char *word;
} marks_words[] = {{JOBS_MARK_POWER, "power"},
                   {JOBS_MARK_LINE, "line"},
                   {JOBS_MARK_AGAIN, "again"},
                   {JOBS_MARK_TYPED, "typed"},
                   {JOBS_MARKS_UNKNOWN, "unknown"}};

#define WORDS (sizeof(marks_words) / sizeof(marks_words[0]))

static unsigned int mark_of_word(const char *word, size_t length)
{
    for (size_t i = 0; i < WORDS; i++) {
        if (strlen(marks_words[i].word) == length && memcmp(marks_words[i].word, word, length) == 0) {
            return marks_words[i].mark;
        }
    }
    return JOBS_MARKS_UNKNOWN;
}

const char *jobs_mark_word(jobs_mark_e mark)
{
    size_t i = 0;

    while (i < WORDS - 1 && marks_words[i].mark != mark) {
        i++;
    }
    return marks_words[i].word;
}

unsigned int jobs_marks_parse(const char *words)
{
    unsigned int marks = 0;

    if (words == NULL) {
        return JOBS_MARKS_UNKNOWN;
    }
    for (words += strspn(words, " "); words[0] != '\0'; words += strspn(words, " ")) {
        size_t length = strcspn(words, " ");

        marks |= mark_of_word(words, length);
        words += length;
    }
    return marks;
}

const char *jobs_marks_words(unsigned int marks, apr_pool_t *pool)
{
    const char *words = "";

    for (size_t i = 0; i < WORDS; i++) {
        if (marks & marks_words[i].mark) {
            words = apr_pstrcat(pool, words, words[0] != '\0' ? " " : "", marks_words[i].word, NULL);
        }
    }
    return words;
}
