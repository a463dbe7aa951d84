/* SPDX-License-Identifier: Apache-2.0 */
#include "manageability/answers_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_ring.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "base/clock.h"

#define BUCKETS 256
#define MOST_SLOTS 1024
#define WAIT_MOST                                                                                            \
    apr_time_from_sec(10) /* for other threads, in all: the pages of a job are read twice in it */

/* Memory of its own for each answer and each slot, since they come and go in any order. */
typedef struct {
    manageability_answer_t answer; /* first, so that a pointer to it is one to this */
    apr_time_t asked;
    apr_size_t size;
    int holders; /* the slot, and threads */
} held_t;

/* What is kept for a key, or who makes it. */
typedef struct slot_t slot_t;
struct slot_t {
    APR_RING_ENTRY(slot_t) link; /* of all, the one used last at the end */
    slot_t *next;                /* in its bucket */
    held_t *held;                /* NULL: none yet */
    int is_made;                 /* by a thread, now */
    int waiting;                 /* threads */
    char key[];
};

typedef APR_RING_HEAD(slot_ring_t, slot_t) slot_ring_t;

struct manageability_answers_t {
    apr_thread_mutex_t *lock; /* guards all; nothing else is waited for with it */
    apr_thread_cond_t *made;  /* an answer was made, or could not be */
    apr_size_t most, size;    /* bytes */
    int slots;
    slot_t *buckets[BUCKETS];
    slot_ring_t ring;
};

/* ---- what is held ------------------------------------------------------------------------------------- */

static held_t *held_create(const manageability_answer_t *answer, apr_time_t asked)
{
    apr_size_t version = strlen(answer->version) + 1, length = answer->written.length;
    held_t *held = calloc(1, sizeof(*held) + version + length);
    char *bytes;

    if (held == NULL) {
        return NULL;
    }
    bytes = (char *)(held + 1);
    memcpy(bytes, answer->version, version);
    memcpy(bytes + version, answer->written.bytes, length);
    held->answer.version = bytes;
    held->answer.written = answer->written;
    held->answer.written.bytes = bytes + version;
    held->asked = asked;
    held->size = sizeof(*held) + version + length;
    held->holders = 1;
    return held;
}

static void held_release(held_t *held)
{
    if (held != NULL && --held->holders == 0) {
        free(held);
    }
}

/* ---- slots -------------------------------------------------------------------------------------------- */

static slot_t **bucket_of(manageability_answers_t *answers, const char *key)
{
    apr_ssize_t length = (apr_ssize_t)strlen(key);

    return &answers->buckets[apr_hashfunc_default(key, &length) % BUCKETS];
}

/* NULL: there is none. One that is found is the one used last. */
static slot_t *slot_find(manageability_answers_t *answers, const char *key)
{
    slot_t *slot = *bucket_of(answers, key);

    while (slot != NULL && strcmp(slot->key, key) != 0) {
        slot = slot->next;
    }
    if (slot != NULL) {
        APR_RING_REMOVE(slot, link);
        APR_RING_INSERT_TAIL(&answers->ring, slot, slot_t, link);
    }
    return slot;
}

static void slot_empty(manageability_answers_t *answers, slot_t *slot)
{
    if (slot->held != NULL) {
        answers->size -= slot->held->size;
        held_release(slot->held);
        slot->held = NULL;
    }
}

static void slot_remove(manageability_answers_t *answers, slot_t *slot)
{
    slot_t **at = bucket_of(answers, slot->key);

    while (*at != slot) {
        at = &(*at)->next;
    }
    *at = slot->next;
    APR_RING_REMOVE(slot, link);
    slot_empty(answers, slot);
    answers->slots--;
    free(slot);
}

/* Removes what was used longest ago, until there is room for so much more. A slot that a thread waits at or works for
 * stays. */
static void make_room(manageability_answers_t *answers, apr_size_t size, int slots)
{
    slot_t *slot = APR_RING_FIRST(&answers->ring);

    while (slot != APR_RING_SENTINEL(&answers->ring, slot_t, link) &&
           (answers->size + size > answers->most || answers->slots + slots > MOST_SLOTS)) {
        slot_t *next = APR_RING_NEXT(slot, link);

        if (!slot->is_made && !slot->waiting) {
            slot_remove(answers, slot);
        }
        slot = next;
    }
}

/* The slot of this key, which may be new; NULL without memory. */
static slot_t *slot_of(manageability_answers_t *answers, const char *key)
{
    slot_t *slot = slot_find(answers, key);
    slot_t **bucket = bucket_of(answers, key);
    apr_size_t length = strlen(key) + 1;

    if (slot != NULL) {
        return slot;
    }
    make_room(answers, 0, 1);
    slot = calloc(1, sizeof(*slot) + length);
    if (slot != NULL) {
        memcpy(slot->key, key, length);
        APR_RING_ELEM_INIT(slot, link);
        APR_RING_INSERT_TAIL(&answers->ring, slot, slot_t, link);
        slot->next = *bucket;
        *bucket = slot;
        answers->slots++;
    }
    return slot;
}

/* ---- life --------------------------------------------------------------------------------------------- */

static apr_status_t answers_destroy(void *data)
{
    manageability_answers_t *answers = data;

    while (!APR_RING_EMPTY(&answers->ring, slot_t, link)) {
        slot_remove(answers, APR_RING_FIRST(&answers->ring));
    }
    return APR_SUCCESS;
}

apr_status_t manageability_answers_create(manageability_answers_t **answers, apr_size_t bytes,
                                          apr_pool_t *pool)
{
    manageability_answers_t *created = apr_pcalloc(pool, sizeof(*created));
    apr_status_t status;

    created->most = bytes;
    APR_RING_INIT(&created->ring, slot_t, link);
    if ((status = apr_thread_mutex_create(&created->lock, APR_THREAD_MUTEX_DEFAULT, pool)) != APR_SUCCESS ||
        (status = apr_thread_cond_create(&created->made, pool)) != APR_SUCCESS) {
        return status;
    }
    apr_pool_cleanup_register(pool, created, answers_destroy, apr_pool_cleanup_null);
    *answers = created;
    return APR_SUCCESS;
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static const manageability_answer_t *hold(slot_t *slot)
{
    slot->held->holders++;
    return &slot->held->answer;
}

const manageability_answer_t *manageability_answer_hold(manageability_answers_t *answers, const char *key)
{
    const manageability_answer_t *answer;
    slot_t *slot;

    apr_thread_mutex_lock(answers->lock);
    slot = slot_find(answers, key);
    answer = slot != NULL && slot->held != NULL ? hold(slot) : NULL;
    apr_thread_mutex_unlock(answers->lock);
    return answer;
}

void manageability_answer_release(manageability_answers_t *answers, const manageability_answer_t *answer)
{
    if (answer != NULL) {
        apr_thread_mutex_lock(answers->lock);
        held_release((held_t *)answer);
        apr_thread_mutex_unlock(answers->lock);
    }
}

void manageability_answer_keep(manageability_answers_t *answers, const char *key, apr_time_t asked,
                               const manageability_answer_t *answer)
{
    held_t *held = held_create(answer, asked);
    slot_t *slot;

    apr_thread_mutex_lock(answers->lock);
    slot = held != NULL && held->size <= answers->most ? slot_of(answers, key) : NULL;
    if (slot != NULL && (slot->held == NULL || slot->held->asked < asked)) {
        slot_empty(answers, slot);
        slot->waiting++; /* it stays */
        make_room(answers, held->size, 0);
        slot->waiting--;
        answers->size += held->size;
        slot->held = held;
        held = NULL;
    }
    held_release(held);
    apr_thread_mutex_unlock(answers->lock);
}

void manageability_answer_drop(manageability_answers_t *answers, const char *key)
{
    slot_t *slot;

    apr_thread_mutex_lock(answers->lock);
    slot = slot_find(answers, key);
    if (slot != NULL) {
        slot_empty(answers, slot);
    }
    apr_thread_mutex_unlock(answers->lock);
}

/* Whether what is kept there will do. */
static int slot_has(const slot_t *slot, const char *version, apr_time_t since)
{
    return slot->held != NULL &&
           (slot->held->asked > since || strcmp(slot->held->answer.version, version) == 0);
}

/* Waits until nobody makes it, or it has taken too long since then. True: it has. */
static int slot_await(manageability_answers_t *answers, slot_t *slot, apr_time_t since)
{
    apr_interval_time_t left;

    slot->waiting++;
    while (slot->is_made && (left = since + WAIT_MOST - clock_boottime()) > 0) {
        apr_thread_cond_timedwait(answers->made, answers->lock, left);
    }
    slot->waiting--;
    return slot->is_made;
}

manageability_turn_e manageability_answer_turn(manageability_answers_t *answers, const char *key,
                                               const char *version, apr_time_t since,
                                               const manageability_answer_t **answer)
{
    manageability_turn_e turn = ANSWER_ALONE;
    slot_t *slot;

    apr_thread_mutex_lock(answers->lock);
    slot = slot_of(answers, key);
    if (slot != NULL && !slot_has(slot, version, since) && slot->is_made) {
        turn = slot_await(answers, slot, since) ? ANSWER_LATE : ANSWER_AGAIN;
    }
    else if (slot != NULL) {
        turn = ANSWER_MINE;
    }
    if (slot != NULL && slot_has(slot, version, since)) {
        turn = ANSWER_KEPT;
        *answer = hold(slot);
    }
    if (turn == ANSWER_MINE) {
        slot->is_made = 1;
    }
    apr_thread_mutex_unlock(answers->lock);
    return turn;
}

void manageability_answer_done(manageability_answers_t *answers, const char *key)
{
    slot_t *slot;

    apr_thread_mutex_lock(answers->lock);
    slot = slot_find(answers, key);
    if (slot != NULL) {
        slot->is_made = 0;
    }
    apr_thread_cond_broadcast(answers->made);
    apr_thread_mutex_unlock(answers->lock);
}
