/* SPDX-License-Identifier: Apache-2.0 */
/* A verb's answer becomes an outcome; an error of Redis becomes a message that an operator can act on. */
#include "jobs/answer_priv.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "jobs/library_priv.h"

#define SIGN_KILLED "Script killed by user"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *word;
    jobs_outcome_e outcome;
} words[] = {
    {"ok", JOBS_OK},
    {"already", JOBS_ALREADY},
    {"refused", JOBS_REFUSED},
    {"none", JOBS_NOT_FOUND},
    {"quota", JOBS_QUOTA},
    {"conflict", JOBS_CONFLICT},
    {"cancelled", JOBS_CANCELLED},
    {"again", JOBS_UNAVAILABLE},
};

/* Errors that an operator can mend. `sign` may stand anywhere in the error, since Redis wraps an error inside
 * a function in others; the first row that fits is taken. */
static const struct {
    const char *sign;
    const char *message;
} errors[] = {
    {"NOAUTH",
     "Redis wants a user and a password: give the user and the password file of conf/redis-users.acl"},
    {"WRONGPASS", "Redis refuses the user or the password: compare the password file with Redis' ACL file"},
    {"Function not found", "Redis holds no amtunlock functions: start amtunlockd, which loads them"},
    {"NOPERM", "Redis' ACL forbids this to the user: compare it with conf/redis-users.acl"},
    {"can't run this command", "Redis' ACL forbids this to the user: compare it with conf/redis-users.acl"},
    {"can't access at least one",
     "Redis' ACL forbids this to the user: compare it with conf/redis-users.acl"},
    {"ACL failure", "Redis' ACL forbids this to the user: compare it with conf/redis-users.acl"},
    {"LOADING", "Redis is still reading its data after a start: wait"},
    {"MISCONF", "Redis cannot write to its disk and so takes no changes: see Redis' log, free space"},
    {"OOM", "Redis has reached maxmemory: raise it, or find out what fills it"},
    {"READONLY", "this Redis is a read-only replica: name the primary"},
    {"readonly replica", "this Redis is a read-only replica: name the primary"},
    {"read only replica", "this Redis is a read-only replica: name the primary"},
    {"MASTERDOWN", "this Redis is a replica that lost its primary: name the primary"},
    {"NOREPLICAS", "Redis has too few replicas to take changes: see min-replicas-to-write"},
    {"BUSY", "Redis is busy with a long script or function: see its slow log"},
    {"max number of clients", "Redis has reached maxclients: raise it, or find out who connects so often"},
    {"unknown command", "this is no Redis 7 or later, or a command is renamed"},
    {SIGN_KILLED, "somebody ended the function with FUNCTION KILL before it had written anything"},
};

jobs_result_t jobs_result(jobs_outcome_e outcome, const char *text)
{
    jobs_result_t result = {outcome, text};

    return result;
}

static jobs_result_t error_result(const redisReply *reply, apr_pool_t *pool)
{
    for (size_t i = 0; i < LENGTH(errors); i++) {
        if (strstr(reply->str, errors[i].sign) != NULL) {
            return jobs_result(JOBS_UNAVAILABLE,
                               apr_psprintf(pool, "%s (%s)", errors[i].message, reply->str));
        }
    }
    return jobs_result(JOBS_BROKEN, apr_psprintf(pool, "Redis answered with an error: %s", reply->str));
}

static jobs_result_t outdated_result(const redisReply *reply, apr_pool_t *pool)
{
    apr_int64_t theirs = jobs_number_at(reply, 1);

    if (theirs > JOBS_SCHEMA) {
        return jobs_result(
            JOBS_OUTDATED,
            apr_psprintf(pool,
                         "Redis holds version %" APR_INT64_T_FMT
                         " of the amtunlock functions, this program knows version %d: upgrade it",
                         theirs, JOBS_SCHEMA));
    }
    return jobs_result(JOBS_UNAVAILABLE,
                       apr_psprintf(pool,
                                    "Redis holds version %" APR_INT64_T_FMT
                                    " of the amtunlock functions, this program needs version %d: restart "
                                    "amtunlockd, which loads it",
                                    theirs, JOBS_SCHEMA));
}

int jobs_is_from_replica(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR &&
           (strstr(reply->str, "READONLY") != NULL || strstr(reply->str, "readonly replica") != NULL ||
            strstr(reply->str, "MASTERDOWN") != NULL);
}

jobs_result_t jobs_answer(const redisReply *reply, int *late, apr_pool_t *pool)
{
    const char *word = jobs_text_at(reply, 0);
    int is_late = !strcmp(word, "late");

    if (late != NULL) {
        *late = is_late;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        return error_result(reply, pool);
    }
    if (is_late) {
        return jobs_result(JOBS_REFUSED, "the request reached Redis too late and was not done");
    }
    if (!strcmp(word, "outdated")) {
        return outdated_result(reply, pool);
    }
    for (size_t i = 0; i < LENGTH(words); i++) {
        if (!strcmp(word, words[i].word)) {
            return jobs_result(words[i].outcome, words[i].outcome == JOBS_OK ? "" : jobs_text_at(reply, 1));
        }
    }
    return jobs_result(JOBS_BROKEN, "Redis gave an answer that no amtunlock function gives");
}

int jobs_is_again(const redisReply *reply)
{
    return strcmp(jobs_text_at(reply, 0), "again") == 0;
}

/* Redis names the function in an error that was raised while it ran. It kills none that has written. */
int jobs_is_halfway(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strstr(reply->str, " script: ") != NULL &&
           strstr(reply->str, SIGN_KILLED) == NULL;
}

const redisReply *jobs_element(const redisReply *reply, size_t at)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || at >= reply->elements) {
        return NULL;
    }
    return reply->element[at];
}

const char *jobs_text_at(const redisReply *reply, size_t at)
{
    const redisReply *element = jobs_element(reply, at);

    return element != NULL && element->type == REDIS_REPLY_STRING ? element->str : "";
}

apr_int64_t jobs_number_at(const redisReply *reply, size_t at)
{
    const redisReply *element = jobs_element(reply, at);

    if (element != NULL && element->type == REDIS_REPLY_INTEGER) {
        return element->integer;
    }
    return apr_strtoi64(jobs_text_at(reply, at), NULL, 10);
}

apr_array_header_t *jobs_texts(const redisReply *reply, size_t first, apr_pool_t *pool)
{
    size_t count = reply != NULL && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    apr_array_header_t *texts = apr_array_make(pool, (int)count + 1, sizeof(const char *));

    for (size_t i = first; i < count; i++) {
        APR_ARRAY_PUSH(texts, const char *) = jobs_text_at(reply, i);
    }
    return texts;
}
