/* SPDX-License-Identifier: Apache-2.0 */
#include "player.h"

#include "log.h"
#include "script.h"
#include "sol.h"

#include <event2/buffer.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_CHARS 512
#define CHECK_MIN 0.1 /* seconds to turn a passphrase into a key */
#define CHECK_MAX 0.3

#define CONTROL_U 21
#define BACKSPACE 8
#define DELETE 127

/* Who takes what is typed. */
enum reader { READER_NOBODY, READER_DISK, READER_OTHER };

struct player {
    struct pc *pc;
    struct script *script;
    unsigned cut;
    unsigned at;                /* the statement that is played */
    struct event step, drawing; /* what comes next; the next frame over a question */
    unsigned drawn;             /* frames of this question */
    struct evbuffer *said;      /* and not sent yet */
    enum reader reader;
    enum echo echo;
    const char *asker;           /* the name of the reader */
    unsigned tries, times;       /* wrong lines; lines to this reader */
    bool playing, asking, right; /* a script is under way; the line that is checked fits */
    bool open[VOLUMES_MAX];
    char key[VOLUMES_MAX][24];
    size_t length;
    char line[LINE_MAX_CHARS + 1];
};

static struct event_base *loop;

static void play(struct player *player);

void player_setup(struct event_base *base)
{
    loop = base;
}

static void arm(struct event *timer, double seconds)
{
    struct timeval tv = {(time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)};

    event_add(timer, &tv);
}

/* ---- what is shown ------------------------------------------------------------------------------------- */

static void flush(struct player *player)
{
    size_t size = evbuffer_get_length(player->said);

    if (size > 0)
        sol_write_in(player->pc, evbuffer_pullup(player->said, -1), size,
                     player->cut ? player->cut : PLAYER_CUT_MAX);
    evbuffer_drain(player->said, size);
}

static void say(struct player *player, const struct statement *statement)
{
    evbuffer_add(player->said, statement->text, statement->size);
    if (!player->cut)
        flush(player);
}

/* Is this statement part of the question before it? */
static bool belongs_to_read(const struct statement *statement)
{
    return statement->word >= SCRIPT_GOOD && statement->word <= SCRIPT_KEY;
}

/* The statement behind a question and all that belongs to it. */
static unsigned behind_read(const struct player *player)
{
    unsigned at = player->at + 1;

    while (at < player->script->count && belongs_to_read(&player->script->statements[at]))
        at++;
    return at;
}

/* Shows what the question at hand says then. Returns how many statements that were. */
static unsigned say_all(struct player *player, enum script_word word)
{
    unsigned found = 0, end = behind_read(player);

    for (unsigned at = player->at + 1; at < end; at++) {
        if (player->script->statements[at].word != word)
            continue;
        say(player, &player->script->statements[at]);
        found++;
    }
    flush(player);
    return found;
}

/* Frame number n of the question at hand, they take turns; NULL: it has none. */
static const struct statement *frame(const struct player *player, unsigned n)
{
    unsigned end = behind_read(player), frames = 0, seen = 0;

    for (unsigned at = player->at + 1; at < end; at++)
        frames += player->script->statements[at].word == SCRIPT_DRAW;
    for (unsigned at = player->at + 1; frames && at < end; at++) {
        if (player->script->statements[at].word == SCRIPT_DRAW && seen++ == n % frames)
            return &player->script->statements[at];
    }
    return NULL;
}

static void draw_later(struct player *player)
{
    const struct statement *next = frame(player, player->drawn);

    if (next)
        arm(&player->drawing, next->seconds);
}

static void on_draw(evutil_socket_t fd, short what, void *arg)
{
    struct player *player = arg;

    (void)fd;
    (void)what;
    say(player, frame(player, player->drawn++));
    flush(player);
    draw_later(player);
}

/* ---- who reads ----------------------------------------------------------------------------------------- */

static void read_as(struct player *player, enum reader reader, const char *asker)
{
    player->reader = reader;
    player->asker = asker;
    player->length = 0;
    player->times = 0;
    memset(player->line, 0, sizeof(player->line));
}

static void read_no_more(struct player *player)
{
    event_del(&player->drawing);
    read_as(player, READER_NOBODY, "nobody");
}

static void ask(struct player *player, const struct statement *question)
{
    read_as(player, READER_DISK, player->script->volumes[question->which].name);
    player->tries = 0;
    player->drawn = 0;
    player->asking = true;
    draw_later(player);
    if (question->seconds > 0)
        arm(&player->step, question->seconds);
}

static void open_volume(struct player *player, unsigned which)
{
    player->open[which] = true;
    for (unsigned i = 0; i < player->script->volume_count; i++) {
        if (!player->open[i])
            return;
    }
    pc_unlock(player->pc);
}

/* ---- the play ------------------------------------------------------------------------------------------ */

static void come_up(struct player *player, const struct statement *login)
{
    say(player, login);
    flush(player);
    player->echo = ECHO_ON;
    read_as(player, READER_OTHER, "login");
    pc_reach(player->pc, STAGE_UP);
}

/* False: it goes on when a timer or somebody who types says so. */
static bool play_one(struct player *player, const struct statement *statement)
{
    if (statement->word != SCRIPT_SEND && statement->word != SCRIPT_ECHO)
        flush(player);
    switch (statement->word) {
    case SCRIPT_SEND:
        say(player, statement);
        break;
    case SCRIPT_PAUSE:
        arm(&player->step, statement->seconds);
        player->at++;
        return false;
    case SCRIPT_ECHO:
        player->echo = (enum echo)statement->which;
        break;
    case SCRIPT_OPEN:
        open_volume(player, statement->which);
        break;
    case SCRIPT_READ:
        ask(player, statement);
        return false;
    case SCRIPT_OTHER:
        read_as(player, READER_OTHER, statement->name);
        break;
    case SCRIPT_LOGIN:
        come_up(player, statement);
        break;
    case SCRIPT_END:
        read_no_more(player);
        player->playing = false;
        return false;
    default:
        break;
    }
    player->at++;
    return true;
}

static void play(struct player *player)
{
    while (player->playing && player->at < player->script->count) {
        if (!play_one(player, &player->script->statements[player->at]))
            return;
    }
    flush(player);
    if (player->playing)
        pc_reach(player->pc, STAGE_UP); /* if all of its volumes are open */
    player->playing = false;
}

static void go_on_behind_read(struct player *player)
{
    player->asking = false;
    player->at = behind_read(player);
    play(player);
}

static void refuse(struct player *player)
{
    const struct statement *question = &player->script->statements[player->at];

    if (++player->tries < player->script->tries) {
        say_all(player, SCRIPT_BAD);
        player->reader = READER_DISK;
        player->asker = player->script->volumes[question->which].name;
        draw_later(player);
        return;
    }
    if (!say_all(player, SCRIPT_LAST))
        say_all(player, SCRIPT_BAD);
    player->playing = false;
}

/* Nobody typed in time. */
static void answer_itself(struct player *player)
{
    unsigned volume = player->script->statements[player->at].which;

    read_no_more(player);
    say_all(player, SCRIPT_GONE);
    open_volume(player, volume);
    go_on_behind_read(player);
}

static void judge(struct player *player)
{
    if (!player->right) {
        refuse(player);
        return;
    }
    say_all(player, SCRIPT_GOOD);
    open_volume(player, player->script->statements[player->at].which);
    go_on_behind_read(player);
}

/* The timer of the statement: a pause is over, a line was checked, or nobody typed one. */
static void on_step(evutil_socket_t fd, short what, void *arg)
{
    struct player *player = arg;

    (void)fd;
    (void)what;
    if (!player->asking)
        play(player);
    else if (player->reader == READER_DISK)
        answer_itself(player);
    else
        judge(player);
}

/* ---- what is typed ------------------------------------------------------------------------------------- */

static const char *key_of(const struct player *player, unsigned volume)
{
    return player->script->volumes[volume].own ? player->key[volume] : player->pc->passphrase;
}

/* Writes down that a passphrase went to somebody who is no disk's question. What was typed is forgotten then. */
static void look_for_leak(struct player *player)
{
    bool leaked = strstr(player->line, player->pc->passphrase) != NULL;

    for (unsigned i = 0; i < player->script->volume_count; i++)
        leaked |= strstr(player->line, key_of(player, i)) != NULL;
    if (!leaked)
        return;
    log_event(player->pc->fqdn, "leak", json_pack("{s:s}", "to", player->asker));
    player->length = 0;
    memset(player->line, 0, sizeof(player->line));
}

static void log_typed(struct player *player, const char *kind, size_t bytes)
{
    log_event(player->pc->fqdn, "typed",
              json_pack("{s:s, s:s, s:I, s:I}", "to", player->asker, "kind", kind, "bytes", (json_int_t)bytes,
                        "times", (json_int_t)++player->times));
}

static void check_line(struct player *player)
{
    const struct statement *question = &player->script->statements[player->at];

    player->right = !question->never && !pc_has(player->pc, FAULT_WRONG_PASSPHRASE) &&
                    !strcmp(player->line, key_of(player, question->which));
    log_typed(player, "disk", player->length);
    log_event(player->pc->fqdn, "passphrase",
              json_pack("{s:b, s:s}", "ok", player->right, "volume", player->asker));
    unsigned times = player->times;
    read_no_more(player);
    player->times = times;
    arm(&player->step, CHECK_MIN + pc_random(player->pc) * (CHECK_MAX - CHECK_MIN));
}

static void end_line(struct player *player)
{
    if (player->reader == READER_DISK) {
        check_line(player);
        return;
    }
    log_typed(player, "other", player->length);
    player->length = 0;
    memset(player->line, 0, sizeof(player->line));
    if (player->echo != ECHO_OFF)
        evbuffer_add(player->said, "\r\n", 2);
}

/* The question again with as many stars as characters were typed, as a boot splash in text draws it. */
static void draw_line(struct player *player, const struct statement *statement)
{
    say(player, statement);
    for (size_t i = 0; i < player->length; i++)
        evbuffer_add(player->said, "*", 1);
}

static void show_character(struct player *player, char c)
{
    static const char hint[] = "(press TAB for no echo) ";
    unsigned end = behind_read(player);

    for (unsigned at = player->at + 1; player->reader == READER_DISK && at < end; at++) {
        if (player->script->statements[at].word == SCRIPT_KEY)
            draw_line(player, &player->script->statements[at]);
    }
    if (c < ' ' || player->echo == ECHO_OFF)
        return;
    for (size_t i = 1; player->echo == ECHO_HINT && player->length == 1 && i < sizeof(hint); i++)
        evbuffer_add(player->said, "\b \b", 3);
    evbuffer_add(player->said, player->echo == ECHO_ON ? &c : "*", 1);
}

static void take_character(struct player *player, char c)
{
    if (c == '\r' || c == '\n') {
        end_line(player);
        return;
    }
    if (c == CONTROL_U)
        player->length = 0;
    else if ((c == BACKSPACE || c == DELETE) && player->length > 0)
        player->length--;
    else if (c >= ' ' && c != DELETE && player->length < LINE_MAX_CHARS)
        player->line[player->length++] = c;
    player->line[player->length] = '\0';
    show_character(player, c);
}

/* Nobody reads: it is lost, but not unseen. */
static void lose(struct player *player, const char *data, size_t size)
{
    log_typed(player, "nobody", size);
    for (size_t i = 0; i < size && player->length < LINE_MAX_CHARS; i++)
        player->line[player->length++] = data[i] ? data[i] : ' ';
    look_for_leak(player);
}

void player_input(struct pc *pc, const char *data, size_t size)
{
    struct player *player = pc->player;

    for (size_t i = 0; i < size; i++) {
        if (player->reader == READER_NOBODY) {
            lose(player, data + i, size - i);
            break;
        }
        take_character(player, data[i]);
        if (player->reader == READER_OTHER)
            look_for_leak(player);
    }
    flush(player);
}

/* ---- the PC -------------------------------------------------------------------------------------------- */

static void begin(struct player *player)
{
    event_del(&player->step);
    read_no_more(player);
    player->echo = ECHO_OFF;
    player->at = 0;
    player->asking = false;
    player->playing = true;
    play(player);
}

void player_boot(struct pc *pc)
{
    player_stop(pc);
    memset(pc->player->open, 0, sizeof(pc->player->open));
}

void player_ask(struct pc *pc)
{
    if (pc->player->script->start == SCRIPT_FROM_BOOT) {
        begin(pc->player);
        return;
    }
    if (pc->player->script->start == SCRIPT_RUNNING_LOCKED)
        return;
    pc_unlock(pc);
    pc_reach(pc, STAGE_UP);
}

void player_session_opened(struct pc *pc)
{
    if (pc->player->script->start != SCRIPT_FROM_BOOT && pc->power == POWER_ON)
        begin(pc->player);
}

void player_stop(struct pc *pc)
{
    event_del(&pc->player->step);
    read_no_more(pc->player);
    evbuffer_drain(pc->player->said, evbuffer_get_length(pc->player->said));
    pc->player->playing = false;
    sol_tell_power(pc);
}

/* ---- made and ended ------------------------------------------------------------------------------------ */

static json_t *make_keys(struct player *player)
{
    json_t *keys = json_object();
    unsigned char random[10];

    for (unsigned i = 0; i < player->script->volume_count; i++) {
        if (!player->script->volumes[i].own)
            continue;
        RAND_bytes(random, sizeof(random));
        for (size_t k = 0; k < sizeof(random); k++)
            snprintf(player->key[i] + 2 * k, 3, "%02x", random[k]);
        json_object_set_new(keys, player->script->volumes[i].name, json_string(player->key[i]));
    }
    return keys;
}

json_t *player_give(struct pc *pc, const char *path, unsigned cut, char why[256])
{
    struct script *script = script_read(path, why);
    struct player *player = script ? calloc(1, sizeof(*player)) : NULL;
    struct evbuffer *said = player ? evbuffer_new() : NULL;

    if (!said) {
        script_free(script);
        free(player);
        return NULL;
    }
    player_free(pc);
    player->pc = pc;
    player->script = script;
    player->cut = cut;
    player->said = said;
    event_assign(&player->step, loop, -1, 0, on_step, player);
    event_assign(&player->drawing, loop, -1, 0, on_draw, player);
    pc->player = player;
    return make_keys(player);
}

void player_free(struct pc *pc)
{
    struct player *player = pc->player;

    if (!player)
        return;
    event_del(&player->step);
    event_del(&player->drawing);
    evbuffer_free(player->said);
    script_free(player->script);
    free(player);
    pc->player = NULL;
}
