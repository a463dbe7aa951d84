/* SPDX-License-Identifier: Apache-2.0 */
/* Marks as words. */
#include "jobs/jobs.h"

#include <string.h>

#include <apr_strings.h>

static const struct {
    jobs_mark_e mark;
    const char *word;
} marks_words[] = {{JOBS_MARK_POWER, "power"}, {JOBS_MARK_TYPED, "typed"}, {JOBS_MARKS_UNKNOWN, "unknown"}};

#define WORDS (sizeof(marks_words) / sizeof(marks_words[0]))

static unsigned int mark_of_word(const char *word)
{
    for (size_t i = 0; i < WORDS; i++) {
        if (strcmp(marks_words[i].word, word) == 0) {
            return marks_words[i].mark;
        }
    }
    return JOBS_MARKS_UNKNOWN;
}

unsigned int jobs_marks_parse(const char *words, apr_pool_t *pool)
{
    unsigned int marks = 0;
    char *state = NULL;

    if (words == NULL) {
        return JOBS_MARKS_UNKNOWN;
    }
    for (char *word = apr_strtok(apr_pstrdup(pool, words), " ", &state); word != NULL;
         word = apr_strtok(NULL, " ", &state)) {
        marks |= mark_of_word(word);
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
