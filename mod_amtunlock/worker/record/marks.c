/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/marks_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_sha1.h>
#include <apr_strings.h>

#include "audit/audit.h"
#include "worker/record/entries_priv.h"

#define FIRST_CAPACITY 256 /* a power of two, as every other */
/* The last so many ends keep the act of their intent: a refused end falls back to it, and more cannot be
 * waiting for the answer of Redis. */
#define ENDS_WITH_ACT 2048

/* A job and system. */
typedef struct {
    apr_uint64_t digest;  /* 0: the place is free */
    apr_uint32_t at;      /* of its latest intent, seconds of the wall clock */
    apr_uint16_t intents; /* that were not withdrawn */
    apr_byte_t is;        /* marks_state_e of the latest */
    apr_byte_t told;      /* jobs_mark_e that Redis has said it has */
} place_t;

typedef struct {
    apr_pool_t *pool, *scratch;   /* scratch: for one record */
    apr_hash_t *by_name;          /* marks_task_t by the names of name_of() */
    apr_array_header_t *in_order; /* marks_task_t * */
    marks_task_t *ends[ENDS_WITH_ACT];
    unsigned int ended;  /* tasks that passed through `ends` */
    apr_uint64_t before; /* the last record from before this start of the worker */
} whole_t;

struct marks_t {
    place_t *places; /* found by their digests; from malloc: a pool would keep all that this one outgrew */
    apr_size_t count, capacity;
    whole_t *whole; /* used in place of `places`; or NULL */
    int lost;       /* an intent that was read could not be kept */
    apr_uint64_t last;
    char run_id[64], history[64];
};

/* What a line of the record makes of its task. */
typedef struct {
    const char *event;
    marks_state_e is;
    unsigned int from; /* states in which it counts */
} event_t;

#define FROM(state) (1U << (state))
#define FROM_ANY (FROM(MARKS_NONE) | FROM(MARKS_OPEN) | FROM(MARKS_HANDED_OVER) | FROM(MARKS_ENDED))

static const event_t events[] = {
    {AUDIT_INTENT, MARKS_OPEN, FROM(MARKS_NONE)},
    {AUDIT_OUTCOME, MARKS_ENDED, FROM(MARKS_OPEN) | FROM(MARKS_HANDED_OVER)},
    {AUDIT_HANDED_OVER, MARKS_HANDED_OVER, FROM(MARKS_OPEN)},
    {AUDIT_REFUSED, MARKS_HANDED_OVER, FROM_ANY}, /* another end holds, but its intent stands */
    {AUDIT_WITHDRAWN, MARKS_NONE, FROM_ANY},
};

static int event_counts(const event_t *event, unsigned int is)
{
    return (event->from & FROM(is)) != 0;
}

const char *marks_run_id(const marks_t *marks)
{
    return marks->run_id;
}

int marks_name_redis(const marks_t *marks, const char *run_id, const char *history)
{
    return strcmp(marks->run_id, run_id) == 0 && strcmp(marks->history, history) == 0 && history[0] != '\0';
}

apr_uint64_t marks_last(const marks_t *marks)
{
    return marks->last;
}

const apr_array_header_t *marks_tasks(const marks_t *whole)
{
    return whole->whole->in_order;
}

/* ---- tasks as digests ---------------------------------------------------------------------------------- */

static apr_status_t free_places(void *data)
{
    free(((marks_t *)data)->places);
    return APR_SUCCESS;
}

marks_t *marks_create(apr_pool_t *pool)
{
    marks_t *made = apr_pcalloc(pool, sizeof(*made));

    apr_pool_cleanup_register(pool, made, free_places, apr_pool_cleanup_null);
    return made;
}

/* The first bytes of a SHA-1 over both names, each with its NUL, and never 0. A collision gains an attacker nothing,
 * and APR's SHA-1 allocates nothing. */
static apr_uint64_t digest_of(const jobs_task_ref_t *task)
{
    unsigned char hash[APR_SHA1_DIGESTSIZE];
    apr_sha1_ctx_t context;
    apr_uint64_t digest;

    apr_sha1_init(&context);
    apr_sha1_update(&context, task->job, (unsigned int)strlen(task->job) + 1);
    apr_sha1_update(&context, task->system, (unsigned int)strlen(task->system) + 1);
    apr_sha1_final(hash, &context);
    memcpy(&digest, hash, sizeof(digest));
    return digest | 1;
}

/* Its place, or the free one where it belongs. There is always a free one. */
static place_t *find_place(place_t *places, apr_size_t capacity, apr_uint64_t digest)
{
    apr_size_t at = (digest >> 1) & (capacity - 1);

    while (places[at].digest != 0 && places[at].digest != digest) {
        at = (at + 1) & (capacity - 1);
    }
    return &places[at];
}

static int is_kept(const place_t *place, apr_uint32_t since)
{
    return place->intents > 0 && place->at >= since;
}

/* Moves all that are kept yet into an array of their own. */
static int move_places(marks_t *marks, apr_size_t capacity, apr_uint32_t since)
{
    place_t *places = calloc(capacity, sizeof(*places));

    if (places == NULL) {
        return 0;
    }
    marks->count = 0;
    for (apr_size_t i = 0; i < marks->capacity; i++) {
        if (is_kept(&marks->places[i], since)) {
            *find_place(places, capacity, marks->places[i].digest) = marks->places[i];
            marks->count++;
        }
    }
    free(marks->places);
    marks->places = places;
    marks->capacity = capacity;
    return 1;
}

/* Where it is nearly full it is made anew without those that were kept for long enough, and as large as the rest needs. */
int marks_make_room(marks_t *marks)
{
    const apr_uint32_t since = (apr_uint32_t)apr_time_sec(apr_time_now() - MARKS_KEPT);
    apr_size_t kept = 0, capacity = FIRST_CAPACITY;

    if (marks->whole != NULL || marks->count < marks->capacity / 8 * 7) {
        return 1;
    }
    for (apr_size_t i = 0; i < marks->capacity; i++) {
        kept += is_kept(&marks->places[i], since);
    }
    while (capacity / 2 < kept) {
        capacity *= 2;
    }
    return move_places(marks, capacity, since);
}

/* An intent counts from now, not from when it was written: it is only kept for longer than it must be. */
static int take_intent(marks_t *marks, apr_uint64_t digest, const json_t *fields)
{
    place_t *place = NULL;

    if (!marks_make_room(marks)) {
        return 0;
    }
    place = find_place(marks->places, marks->capacity, digest);
    marks->count += place->digest == 0;
    place->digest = digest;
    place->at = (apr_uint32_t)apr_time_sec(apr_time_now());
    place->intents++;
    place->is = MARKS_OPEN;
    place->told |=
        (apr_byte_t)jobs_marks_parse(entry_text(fields, "marks")); /* as they came with the claim */
    return 1;
}

/* NULL: there is none yet. */
static place_t *place_of(const marks_t *marks, apr_uint64_t digest)
{
    place_t *place = marks->capacity > 0 ? find_place(marks->places, marks->capacity, digest) : NULL;

    return place != NULL && place->intents > 0 ? place : NULL;
}

static int take_place(marks_t *marks, const event_t *event, const json_t *fields)
{
    const jobs_task_ref_t task = entry_task(fields);
    apr_uint64_t digest = digest_of(&task);
    place_t *place = place_of(marks, digest);

    if (event->is == MARKS_OPEN) {
        return take_intent(marks, digest, fields);
    }
    if (place != NULL && event_counts(event, place->is)) {
        place->intents -= event->is == MARKS_NONE; /* an earlier one of the task, with another fence, stays */
        place->is = event->is == MARKS_NONE ? MARKS_HANDED_OVER : event->is;
    }
    return 1;
}

marks_state_e marks_state(const marks_t *marks, const jobs_task_ref_t *task)
{
    const place_t *place = place_of(marks, digest_of(task));

    return place != NULL ? (marks_state_e)place->is : MARKS_NONE;
}

void marks_tell(marks_t *marks, const jobs_task_ref_t *task, unsigned int told)
{
    place_t *place = place_of(marks, digest_of(task));

    if (place != NULL) {
        place->told |= (apr_byte_t)told;
    }
}

unsigned int marks_told(const marks_t *marks, const jobs_task_ref_t *task)
{
    const place_t *place = place_of(marks, digest_of(task));

    return place != NULL ? place->told : 0;
}

/* ---- tasks as a whole ---------------------------------------------------------------------------------- */

marks_state_e marks_without_end(const marks_task_t *task)
{
    return task->intended ? MARKS_HANDED_OVER : MARKS_NONE;
}

static apr_status_t free_acts(void *data)
{
    const apr_array_header_t *tasks = marks_tasks(data);

    for (int i = 0; i < tasks->nelts; i++) {
        free(APR_ARRAY_IDX(tasks, i, marks_task_t *)->act);
    }
    return APR_SUCCESS;
}

marks_t *marks_create_whole(const marks_t *worker, apr_pool_t *pool)
{
    marks_t *made = apr_pcalloc(pool, sizeof(*made));

    made->whole = apr_pcalloc(pool, sizeof(*made->whole));
    made->whole->pool = pool;
    made->whole->by_name = apr_hash_make(pool);
    made->whole->in_order = apr_array_make(pool, 256, sizeof(marks_task_t *));
    made->whole->before = worker->last;
    apr_pool_create(&made->whole->scratch, pool);
    apr_pool_cleanup_register(pool, made, free_acts, apr_pool_cleanup_null);
    return made;
}

/* Job, system and fence, each with its NUL, in `pool`. */
static char *name_of(const jobs_task_ref_t *task, apr_ssize_t *length, apr_pool_t *pool)
{
    const char *const parts[] = {task->job, task->system, task->fence};
    char *name, *at;

    *length = 0;
    for (int i = 0; i < 3; i++) {
        *length += (apr_ssize_t)strlen(parts[i]) + 1;
    }
    name = at = apr_palloc(pool, (apr_size_t)*length);
    for (int i = 0; i < 3; i++) {
        at = apr_cpystrn(at, parts[i], (apr_size_t)(name + *length - at)) + 1;
    }
    return name;
}

static marks_task_t *find_task(const whole_t *whole, const jobs_task_ref_t *ref)
{
    apr_ssize_t length;
    const char *name = name_of(ref, &length, whole->scratch);

    return apr_hash_get(whole->by_name, name, length);
}

static marks_task_t *add_task(whole_t *whole, const jobs_task_ref_t *ref)
{
    apr_ssize_t length;
    const char *name = name_of(ref, &length, whole->pool);
    marks_task_t *added = apr_pcalloc(whole->pool, sizeof(*added));

    added->ref.job = name;
    added->ref.system = name + strlen(name) + 1;
    added->ref.fence = added->ref.system + strlen(added->ref.system) + 1;
    apr_hash_set(whole->by_name, name, length, added);
    APR_ARRAY_PUSH(whole->in_order, marks_task_t *) = added;
    return added;
}

static void keep_intent(const marks_t *marks, marks_task_t *task, const json_t *record)
{
    const json_t *act = json_object_get(record, "act");

    free(task->act);
    task->act = act != NULL ? json_dumps(act, JSON_COMPACT) : NULL;
    task->step = apr_pstrdup(marks->whole->pool, entry_text(record, "step"));
    /* What was done before this intent. An older version wrote no such field, and no marks either. */
    task->marks |= jobs_marks_parse(json_string_value(json_object_get(record, "marks")));
    task->intended = 1;
    task->earlier = marks->last <= marks->whole->before;
}

/* Keeps the act of its intent, in place of one so old that Redis has answered its end. */
static void keep_end(whole_t *whole, marks_task_t *task, const json_t *record)
{
    marks_task_t **place = &whole->ends[whole->ended++ % ENDS_WITH_ACT];

    if (*place != NULL && (*place)->is == MARKS_ENDED) {
        free((*place)->act);
        (*place)->act = NULL;
    }
    *place = task;
    task->state = strcmp(entry_text(record, "result"), "unlocked") == 0 ? 'U' : 'F';
    task->reason = jobs_reason_of_code(entry_text(record, "reason"));
    task->step = apr_pstrdup(whole->pool, entry_text(record, "step"));
}

/* One that was taken over may have no intent of its own, but its end counts: the record of the worker before may be gone.
 * Any other task that ended without an intent never touched its PC, and may start again. */
static marks_task_t *begin_task(whole_t *whole, const jobs_task_ref_t *ref, const event_t *event,
                                const json_t *record)
{
    marks_task_t *task = NULL;

    if (event->is == MARKS_OPEN || json_is_true(json_object_get(record, "look"))) {
        task = add_task(whole, ref);
        task->is = event->is == MARKS_OPEN ? MARKS_NONE : MARKS_HANDED_OVER;
    }
    return task;
}

/* One that Redis did not take stays, too: it was not acted on, but that is the safe side. Who only looks marks what it sends
 * without an intent of its own: what was done before is known to others. */
static void take_mark(whole_t *whole, const json_t *record)
{
    const jobs_task_ref_t ref = entry_task(record);
    marks_task_t *task = find_task(whole, &ref);

    if (task == NULL) {
        task = add_task(whole, &ref);
        task->is = MARKS_HANDED_OVER;
        task->marks = JOBS_MARKS_UNKNOWN;
        task->step = apr_pstrdup(whole->pool, entry_text(record, "step"));
    }
    task->marks |= jobs_marks_parse(entry_text(record, "mark"));
}

static int take_task(marks_t *marks, const event_t *event, const json_t *record)
{
    whole_t *whole = marks->whole;
    const jobs_task_ref_t ref = entry_task(record);
    marks_task_t *task = find_task(whole, &ref);

    if (task == NULL) {
        task = begin_task(whole, &ref, event, record);
    }
    if (task == NULL || !event_counts(event, task->is)) {
        return 1;
    }
    if (event->is == MARKS_OPEN) {
        keep_intent(marks, task, record);
    }
    if (event->is == MARKS_ENDED) {
        keep_end(whole, task, record);
    }
    task->is = event->is == MARKS_HANDED_OVER ? marks_without_end(task) : event->is;
    return 1;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

int marks_take(marks_t *marks, const char *event, const json_t *fields)
{
    int kept = 1;

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (strcmp(events[i].event, event) == 0) {
            kept = marks->whole != NULL ? take_task(marks, &events[i], fields)
                                        : take_place(marks, &events[i], fields);
        }
    }
    if (marks->whole != NULL && strcmp(event, AUDIT_MARK) == 0) {
        take_mark(marks->whole, fields);
    }
    return kept;
}

/* A Redis that this worker has reconciled since its start is reconciled again only if its data were changed under it:
 * that one did lose something, so it is not named. */
static void take_redis(marks_t *marks, const json_t *record)
{
    int since = marks->whole != NULL && marks->last > marks->whole->before;

    apr_cpystrn(marks->run_id, since ? "" : entry_text(record, "run_id"), sizeof(marks->run_id));
    apr_cpystrn(marks->history, entry_text(record, "history"), sizeof(marks->history));
}

static void take_record(void *baton, const json_t *record)
{
    marks_t *marks = baton;
    const char *event = entry_text(record, "event");

    marks->last = (apr_uint64_t)json_integer_value(json_object_get(record, "n"));
    if (strcmp(event, AUDIT_REDIS) == 0) {
        take_redis(marks, record);
    }
    marks->lost |= !marks_take(marks, event, record);
    if (marks->whole != NULL) {
        apr_pool_clear(marks->whole->scratch);
    }
}

const char *marks_read(marks_t *marks, const char *audit_file, apr_pool_t *pool)
{
    const char *error = NULL;

    marks->lost = 0;
    error = audit_replay(audit_file, apr_time_now() - MARKS_KEPT, take_record, marks, pool);
    if (error == NULL && marks->lost) {
        error = apr_pstrcat(pool, audit_file, ": cannot be read back: no memory for its intents", NULL);
    }
    return error;
}
