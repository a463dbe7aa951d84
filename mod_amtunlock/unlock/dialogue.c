/* SPDX-License-Identifier: Apache-2.0 */
/* See dialogue.h. The console gives lines; other writers' text is cut out of them, and what stood before it is joined
 * with what follows: `begun` is that beginning. Complete lines are judged as they come, the line with the cursor when
 * it is looked at. */
#include "unlock/dialogue.h"

#include <string.h>

#include <apr_strings.h>

#include "amt/redirection/console.h"
#include "base/clock.h"
#include "unlock/budget_priv.h"
#include "unlock/phrases_priv.h"
#include "unlock/prompts_priv.h"
#include "unlock/quote_priv.h"
#include "unlock/shells_priv.h"
#include "unlock/starts_priv.h"
#include "unlock/volumes_priv.h"

/* A question is complete when nothing changed it for so long: AMT sends text in pieces. */
#define STILL apr_time_from_msec(300)
/* After a volume opened, the next may ask: for so long nothing more is said. */
#ifdef AMTUNLOCK_TEST
#define NEXT_QUESTION clock_test_interval("AMTUNLOCK_TEST_NEXT_MS", apr_time_from_sec(10))
#else
#define NEXT_QUESTION apr_time_from_sec(10)
#endif
/* The same where nobody answered: what opened it may be at the next. */
#define BY_ITSELF apr_time_from_sec(15)
/* A question that stood when the console was cut off stands still if nothing follows it for so long. */
#define AFTER_GAP apr_time_from_sec(2)
/* Where programs break a line that they think does not fit. */
#define TERMINAL_WIDTH 80

/* What the last question is, besides its text. */
typedef enum {
    GONE,
    STANDS, /* it has left the cursor's line, and nothing else was said since */
    COVERED /* it was erased: it stands if something else is drawn in its place */
} standing_e;

struct dialogue_t {
    const prompts_t *prompts;
    amt_console_t *console;
    apr_time_t now;

    char begun[AMT_CONSOLE_LINE + 1];   /* of a line, before another writer's text */
    char joined[AMT_CONSOLE_LINE + 1];  /* a line without other writers' text */
    char current[AMT_CONSOLE_LINE + 1]; /* the cursor's line, joined, as of the last look */
    phrase_t current_phrase;            /* what it means */
    apr_time_t current_since;           /* and since when it has been so; 0: it was not read */
    apr_time_t changed_at;              /* something was shown last */

    standing_e standing; /* of a question that has left the cursor's line */
    phrase_t standing_phrase;
    apr_time_t standing_since;
    int stood;   /* the last question was seen standing still */
    int message; /* lines are a user's words until a program has its say again */
    int echoes;  /* since the answer no line has ended */

    volumes_t volumes;
    int answers;
    int answered_before; /* by somebody else */
    int by_itself;
    starts_t starts;
    int started_again; /* since an answer */
    int refused;
    int hints;
    apr_time_t opened_at; /* 0: no evidence */
    apr_time_t look_at;

    budget_t budget;
    int overrun; /* text went unread */
};

/* ---- texts --------------------------------------------------------------------------------------------- */

/* What begins before another writer's text may belong to something else than what follows: where both say nothing,
 * what follows is read by itself. */
static void read_joined(const dialogue_t *dialogue, phrase_t *phrase)
{
    size_t begun = strlen(dialogue->begun);
    phrase_t rest;

    prompts_read(dialogue->prompts, phrase, dialogue->joined);
    if (begun == 0 || (phrase->means != PHRASE_TEXT && phrase->means != PHRASE_FOREIGN) ||
        strlen(dialogue->joined) < begun) {
        return;
    }
    prompts_read(dialogue->prompts, &rest, dialogue->joined + begun);
    if (rest.means != PHRASE_TEXT && rest.means != PHRASE_BLANK) {
        *phrase = rest;
    }
}

static void join(dialogue_t *dialogue, const char *begun, const char *rest, size_t length)
{
    char *at = apr_cpystrn(dialogue->joined, begun, sizeof(dialogue->joined));
    size_t room = sizeof(dialogue->joined) - (size_t)(at - dialogue->joined);

    apr_cpystrn(at, rest, length + 1 < room ? length + 1 : room);
}

/* ---- evidence ------------------------------------------------------------------------------------------ */

/* Without an answer, and without a start that may do without one, nothing is evidence; hints are none before one. */
static int may_be_evident(const dialogue_t *dialogue)
{
    return dialogue->answers > 0 || dialogue->by_itself;
}

static void note_evidence(dialogue_t *dialogue, const phrase_t *said, apr_time_t at)
{
    if (!may_be_evident(dialogue) || dialogue->starts.shell) {
        return;
    }
    if (said->means == PHRASE_REFUSED) {
        dialogue->refused |=
            said->until >= dialogue->starts.stage && volumes_refused(&dialogue->volumes, said);
    }
    else if (said->means == PHRASE_OPENED) {
        dialogue->hints |= volumes_opened(&dialogue->volumes, said);
        dialogue->opened_at = volumes_all_opened(&dialogue->volumes) ? at : dialogue->opened_at;
    }
    else if (said->means == PHRASE_WENT_ON || said->means == PHRASE_GOES_ON) {
        dialogue->opened_at = at;
    }
    dialogue->hints |= said->means == PHRASE_HINT && dialogue->answers > 0;
}

/* Whoever was answered is gone after it, and so is what it opened. */
static void look_for_start(dialogue_t *dialogue, const char *line, const char *kernel)
{
    if (starts_with_line(&dialogue->starts, line, kernel) && volumes_lost_by_start(&dialogue->volumes)) {
        dialogue->started_again = 1;
        dialogue->opened_at = 0;
        dialogue->hints = 0;
    }
}

/* What opened before a shell stood there is open. */
static void note_stage(dialogue_t *dialogue, const char *line, phrase_e means)
{
    starts_go_on(&dialogue->starts, line, means);
    dialogue->hints |= means == PHRASE_LOGIN && dialogue->starts.stage == STAGE_USERS;
    dialogue->hints &= !dialogue->starts.shell;
}

/* ---- the question -------------------------------------------------------------------------------------- */

static void let_stand(dialogue_t *dialogue, const phrase_t *question, standing_e how)
{
    if (dialogue->standing == GONE || !phrase_same_question(question, &dialogue->standing_phrase)) {
        dialogue->standing_since = dialogue->now;
    }
    dialogue->standing = how;
    dialogue->standing_phrase = *question;
    volumes_note(&dialogue->volumes, question);
}

static void take_away(dialogue_t *dialogue)
{
    dialogue->standing = GONE;
    dialogue->stood = 0;
}

/* A line that ends, or is erased or left as it stands. One that stood still and then ended was answered; one that ended at
 * once was quoted, or the heading of another, for the cursor stands behind a question. */
static void take_question(dialogue_t *dialogue, const phrase_t *question, amt_line_e how)
{
    volumes_note(&dialogue->volumes, question);
    if (how == AMT_LINE_ENDED && (!question->ends_line || dialogue->stood || dialogue->message)) {
        take_away(dialogue);
    }
    else {
        let_stand(dialogue, question, how == AMT_LINE_ERASED ? COVERED : STANDS);
    }
}

static void take_phrase(dialogue_t *dialogue, const phrase_t *phrase, amt_line_e how)
{
    if (phrase->means == PHRASE_QUESTION) {
        take_question(dialogue, phrase, how);
    }
    else if (phrase->means != PHRASE_BLANK) {
        if (!dialogue->message) {
            note_evidence(dialogue, phrase, dialogue->now);
            note_stage(dialogue, dialogue->joined, phrase->means);
        }
        dialogue->message |= phrase->means == PHRASE_MESSAGE;
        take_away(dialogue);
    }
    else if (how == AMT_LINE_ENDED && dialogue->stood) {
        take_away(dialogue); /* somebody pressed the key that ends a line */
    }
}

/* What is drawn over a question does not take it away. */
static void cover_question(dialogue_t *dialogue)
{
    dialogue->standing = dialogue->standing == COVERED ? STANDS : dialogue->standing;
}

/* Of the service manager. It says that the volume is open or is given up; or its programs that ask end. */
static void take_status(dialogue_t *dialogue, const char *text)
{
    phrase_t phrase;
    int decides = 0;

    dialogue->message = 0;
    prompts_read(dialogue->prompts, &phrase, text);
    cover_question(dialogue);
    note_evidence(dialogue, &phrase, dialogue->now);
    note_stage(dialogue, text, phrase.means);
    decides = (phrase.means == PHRASE_OPENED || phrase.means == PHRASE_REFUSED) &&
              dialogue->standing != GONE && phrase_is_about(&phrase, &dialogue->standing_phrase);
    if (phrase.means == PHRASE_GOES_ON && dialogue->standing != GONE) {
        take_away(dialogue);
        dialogue->opened_at = 0; /* that was said of others than the volume that asks */
        dialogue->hints = 0;
    }
    else if (phrase.means == PHRASE_WENT_ON || phrase.means == PHRASE_SHELL || decides) {
        take_away(dialogue);
    }
}

/* What stands before a status in one line: a question, or the beginning of a line. */
static void keep_begun(dialogue_t *dialogue, const char *text)
{
    phrase_t phrase;

    apr_cpystrn(dialogue->begun, text, sizeof(dialogue->begun));
    prompts_read(dialogue->prompts, &phrase, dialogue->begun);
    note_stage(dialogue, dialogue->begun, phrase.means);
    if (phrase.means == PHRASE_QUESTION) {
        let_stand(dialogue, &phrase, STANDS);
        dialogue->begun[0] = '\0';
    }
}

/* What stands before the kernel's text. */
static void keep_before_kernel(dialogue_t *dialogue)
{
    phrase_t phrase;

    apr_cpystrn(dialogue->begun, dialogue->joined, sizeof(dialogue->begun));
    if (dialogue->begun[0] != '\0') {
        prompts_read(dialogue->prompts, &phrase, dialogue->begun);
        note_stage(dialogue, dialogue->begun, phrase.means);
    }
    cover_question(dialogue);
}

/* ---- lines --------------------------------------------------------------------------------------------- */

static void leave_unread(dialogue_t *dialogue)
{
    dialogue->overrun = 1;
    dialogue->begun[0] = '\0';
    take_away(dialogue);
}

static void take_line_with_status(dialogue_t *dialogue, unsigned int status)
{
    char first = dialogue->joined[status];
    int quoted = 0;

    dialogue->joined[status] = '\0';
    quoted = strlen(dialogue->begun) < status && !prompts_may_precede(dialogue->prompts, dialogue->joined);
    keep_begun(dialogue, dialogue->joined);
    dialogue->joined[status] = first;
    if (!quoted) {
        starts_reach(&dialogue->starts, STAGE_SERVICES);
    }
    take_status(dialogue, dialogue->joined + (quoted ? 0 : status));
}

/* A question at its beginning was one, whatever follows. */
static void take_plain_line(dialogue_t *dialogue, const char *line, amt_line_e how)
{
    phrase_t phrase;

    if (dialogue->begun[0] != '\0') {
        prompts_read(dialogue->prompts, &phrase, dialogue->begun);
        if (phrase.means == PHRASE_QUESTION) {
            volumes_note(&dialogue->volumes, &phrase);
        }
    }
    read_joined(dialogue, &phrase);
    dialogue->begun[0] = '\0';
    if (phrase.means == PHRASE_TEXT && how == AMT_LINE_ENDED && strlen(line) == TERMINAL_WIDTH) {
        apr_cpystrn(dialogue->begun, dialogue->joined, sizeof(dialogue->begun));
    }
    take_phrase(dialogue, &phrase, how);
}

static void on_line(void *baton, const char *line, amt_line_e how)
{
    dialogue_t *dialogue = baton;
    unsigned int kernel = phrase_kernel_at(line, 0), status;

    if (!budget_take_line(&dialogue->budget, strlen(line), dialogue->now)) {
        leave_unread(dialogue);
        return;
    }
    dialogue->echoes &= how != AMT_LINE_ENDED;
    look_for_start(dialogue, line, line + kernel);
    join(dialogue, dialogue->begun, line, kernel);
    status = phrase_status_at(dialogue->joined, 0);
    if (line[kernel] != '\0') {
        keep_before_kernel(dialogue);
    }
    else if (dialogue->joined[status] != '\0') {
        take_line_with_status(dialogue, status);
    }
    else {
        take_plain_line(dialogue, line, how);
    }
}

/* ---- looking ------------------------------------------------------------------------------------------- */

/* The cursor's line, without other writers' text. It is the same as before if it reads the same, whatever was drawn
 * over it. */
static void read_current(dialogue_t *dialogue)
{
    const char *line = amt_console_partial(dialogue->console);
    unsigned int kernel = phrase_kernel_at(line, 1), status;

    join(dialogue, dialogue->begun, line, kernel);
    status = phrase_status_at(dialogue->joined, 1);
    if (dialogue->joined[status] != '\0' || line[kernel] != '\0') {
        cover_question(dialogue);
    }
    dialogue->joined[status] = '\0';
    if (strcmp(dialogue->joined, dialogue->current) == 0 && dialogue->current_since != 0) {
        return;
    }
    apr_cpystrn(dialogue->current, dialogue->joined, sizeof(dialogue->current));
    read_joined(dialogue, &dialogue->current_phrase);
    dialogue->current_since = dialogue->changed_at;
    dialogue->stood = dialogue->stood && dialogue->current_phrase.means == PHRASE_BLANK;
}

/* The question that is the last thing shown, whoever may have written it; NULL: another text is, or nothing. */
static const phrase_t *shown_question(const dialogue_t *dialogue, apr_time_t *since)
{
    if (dialogue->current_phrase.means == PHRASE_QUESTION) {
        *since = dialogue->current_since;
        return &dialogue->current_phrase;
    }
    if (dialogue->current_phrase.means == PHRASE_BLANK && dialogue->standing == STANDS) {
        *since = dialogue->standing_since;
        return &dialogue->standing_phrase;
    }
    return NULL;
}

/* The same, if its program may ask at this stage. */
static const phrase_t *last_question(const dialogue_t *dialogue, apr_time_t *since)
{
    const phrase_t *question = shown_question(dialogue, since);

    return question != NULL && question->until >= dialogue->starts.stage ? question : NULL;
}

/* Whether it stood so long; else it is looked at again. */
static int has_passed(dialogue_t *dialogue, apr_time_t since, apr_interval_time_t wait)
{
    if (dialogue->now >= since + wait) {
        return 1;
    }
    if (dialogue->look_at == 0 || since + wait < dialogue->look_at) {
        dialogue->look_at = since + wait;
    }
    return 0;
}

static dialogue_e what_it_asks(const dialogue_t *dialogue, const volume_t *volume)
{
    int unsure = volume->unsure || dialogue->answered_before;

    return unsure ? DIALOGUE_ASKS_UNSURE : volume->answered ? DIALOGUE_ASKS_AGAIN : DIALOGUE_ASKS;
}

/* What was said before it was said of other volumes. */
static dialogue_e look_at_question(dialogue_t *dialogue, const phrase_t *question, apr_time_t since)
{
    int volume = -1;

    if (!has_passed(dialogue, since, STILL)) {
        return DIALOGUE_NOTHING;
    }
    volume = volumes_note(&dialogue->volumes, question);
    dialogue->stood = 1;
    dialogue->message = 0;
    dialogue->opened_at = 0;
    dialogue->hints = 0;
    if (volume < 0) {
        return DIALOGUE_NOTHING;
    }
    dialogue->volumes.asked = volume;
    dialogue->volumes.all[volume].opened = 0;
    return dialogue->started_again ? DIALOGUE_STARTED_AGAIN
                                   : what_it_asks(dialogue, &dialogue->volumes.all[volume]);
}

/* A login or a shell that stands there. What we typed may be echoed, and end as a prompt does. */
static void note_current(dialogue_t *dialogue)
{
    int prompt = dialogue->current_phrase.means == PHRASE_TEXT && !dialogue->echoes &&
                 shells_prompt(dialogue->current);

    note_stage(dialogue, dialogue->current, prompt ? PHRASE_SHELL : dialogue->current_phrase.means);
}

/* Text that went unread may have been a refusal. What still talks may ask for the next volume. */
static dialogue_e look_at_evidence(dialogue_t *dialogue)
{
    apr_interval_time_t wait = dialogue->answers > 0 ? NEXT_QUESTION : BY_ITSELF;
    phrase_e means = dialogue->current_phrase.means;
    apr_time_t since = 0;

    if (means == PHRASE_FOREIGN || shown_question(dialogue, &since) != NULL) {
        return DIALOGUE_NOTHING;
    }
    if (means != PHRASE_BLANK && !has_passed(dialogue, dialogue->current_since, STILL)) {
        return DIALOGUE_NOTHING;
    }
    note_current(dialogue);
    if (!may_be_evident(dialogue)) {
        return DIALOGUE_NOTHING;
    }
    if (means == PHRASE_LOGIN && !dialogue->starts.shell) {
        return DIALOGUE_OPEN;
    }
    note_evidence(dialogue, &dialogue->current_phrase, dialogue->current_since);
    if (dialogue->refused) {
        return DIALOGUE_REFUSED;
    }
    return dialogue->opened_at != 0 && !dialogue->overrun && has_passed(dialogue, dialogue->changed_at, wait)
               ? DIALOGUE_OPEN
               : DIALOGUE_NOTHING;
}

dialogue_e dialogue_look(dialogue_t *dialogue, apr_time_t now)
{
    const phrase_t *question = NULL;
    apr_time_t since = 0;

    dialogue->now = now;
    if (dialogue->refused) {
        return DIALOGUE_REFUSED;
    }
    if (dialogue->look_at != 0 && now < dialogue->look_at) {
        return DIALOGUE_NOTHING;
    }
    dialogue->look_at = 0;
    read_current(dialogue);
    question = last_question(dialogue, &since);
    return question != NULL ? look_at_question(dialogue, question, since) : look_at_evidence(dialogue);
}

/* ---- for callers --------------------------------------------------------------------------------------- */

dialogue_t *dialogue_create(const prompts_t *prompts, apr_pool_t *pool)
{
    dialogue_t *dialogue = apr_pcalloc(pool, sizeof(*dialogue));

    dialogue->prompts = prompts;
    dialogue->console = amt_console_create(on_line, dialogue, pool);
    budget_begin(&dialogue->budget);
    volumes_forget(&dialogue->volumes);
    dialogue->current_phrase.means = PHRASE_BLANK;
    return dialogue;
}

/* What stands there; not what was said before. */
static void forget_screen(dialogue_t *dialogue)
{
    amt_console_forget(dialogue->console);
    dialogue->begun[0] = dialogue->current[0] = '\0';
    memset(&dialogue->current_phrase, 0, sizeof(dialogue->current_phrase));
    dialogue->current_phrase.means = PHRASE_BLANK;
    dialogue->current_since = 0;
    take_away(dialogue);
    dialogue->message = 0;
}

static void forget_shown(dialogue_t *dialogue)
{
    forget_screen(dialogue);
    dialogue->opened_at = 0;
    dialogue->hints = dialogue->overrun = 0;
    dialogue->look_at = 0;
}

void dialogue_starts(dialogue_t *dialogue, int by_itself)
{
    forget_shown(dialogue);
    volumes_forget(&dialogue->volumes);
    memset(&dialogue->starts, 0, sizeof(dialogue->starts));
    dialogue->started_again = 0;
    dialogue->by_itself = by_itself;
}

void dialogue_resumed(dialogue_t *dialogue, int missed, apr_time_t now)
{
    apr_time_t since = now + AFTER_GAP - STILL;

    read_current(dialogue);
    volumes_cut(&dialogue->volumes);
    if (missed) {
        forget_screen(dialogue);
    }
    dialogue->current_since = dialogue->standing_since = since;
    dialogue->look_at = 0;
}

void dialogue_feed(dialogue_t *dialogue, const char *bytes, apr_size_t length, apr_time_t now)
{
    dialogue->now = now;
    dialogue->changed_at = now;
    budget_note_text(&dialogue->budget, now);
    amt_console_feed(dialogue->console, bytes, length);
    if (dialogue->look_at == 0 || dialogue->look_at > now + STILL) {
        dialogue->look_at = now + STILL;
    }
}

apr_time_t dialogue_look_at(const dialogue_t *dialogue)
{
    return dialogue->refused ? dialogue->now : dialogue->look_at;
}

const char *dialogue_volume(const dialogue_t *dialogue)
{
    const volumes_t *volumes = &dialogue->volumes;

    return volumes->asked >= 0 ? prompts_plain_name(volumes->all[volumes->asked].question.name) : "";
}

int dialogue_still_asks(dialogue_t *dialogue)
{
    apr_time_t since = 0;
    const phrase_t *question = NULL;

    read_current(dialogue);
    question = last_question(dialogue, &since);
    return question != NULL && !dialogue->started_again &&
           volumes_find(&dialogue->volumes, question) == dialogue->volumes.asked;
}

void dialogue_answered(dialogue_t *dialogue)
{
    volumes_t *volumes = &dialogue->volumes;

    if (volumes->asked >= 0) {
        volumes->all[volumes->asked].answered = 1;
        volumes->all[volumes->asked].unsure = volumes->all[volumes->asked].opened = 0;
    }
    dialogue->answers++;
    forget_shown(dialogue);
    dialogue->echoes = 1;
}

void dialogue_answered_before(dialogue_t *dialogue)
{
    dialogue->answered_before = 1;
    dialogue->answers++;
}

int dialogue_answers(const dialogue_t *dialogue)
{
    return dialogue->answers;
}

int dialogue_started_again(const dialogue_t *dialogue)
{
    return dialogue->started_again;
}

int dialogue_shell(const dialogue_t *dialogue)
{
    return dialogue->starts.shell;
}

int dialogue_hints_at_open(const dialogue_t *dialogue)
{
    return may_be_evident(dialogue) && !dialogue->refused && !dialogue->overrun &&
           (dialogue->hints || dialogue->opened_at != 0) && dialogue->standing == GONE &&
           dialogue->current_phrase.means != PHRASE_QUESTION &&
           dialogue->current_phrase.means != PHRASE_FOREIGN;
}

const char *dialogue_last_line(dialogue_t *dialogue, apr_pool_t *pool)
{
    return quote_line(amt_console_last(dialogue->console), pool);
}
