/* SPDX-License-Identifier: Apache-2.0 */
/* The tamper-evident record: JSON lines, each carrying the SHA-256 of the line before it, on disk before the
 * act.
 *
 * A line is {"n":7,"t":"...","prev":"<64 hex>","event":"...", ... ,"hash":"<64 hex>"}; hash covers the bytes
 * of the line without its own hash member. The first line of all has prev of 64 zeros; a new file begins with
 * the last hash and count of the old one. One thread writes; one process, held by a lock on the file.
 */
#ifndef AMTUNLOCK_AUDIT_AUDIT_H
#define AMTUNLOCK_AUDIT_AUDIT_H

#include <apr_pools.h>
#include <apr_time.h>
#include <jansson.h>

typedef struct audit_t audit_t;

/* Opens or creates `file` (0600), checks its last line and goes on from there. A last line that a power
 * failure tore is kept, and a record {"event":"torn","bytes":...,"sha256":...} behind it says so. A new or empty
 * file goes on where the newest file beside it ended that is named like it with '.' or '-' and anything
 * behind it, as rotations name them (not compressed ones: their records cannot be read). NULL on success, or
 * an error message. The file is closed with `pool`. */
const char *audit_open(audit_t **audit, const char *file, apr_pool_t *pool);

/* Adds one record; `event` is what happened, `fields` a JSON object (its reference is taken, also on
 * failure). Not on disk until audit_commit(). APR_EINVAL: not an object, a name that the record itself uses, or a
 * line over 64 KiB: it is never taken; APR_ENOMEM: no memory, or too much waits for a commit that keeps failing. */
apr_status_t audit_add(audit_t *audit, const char *event, json_t *fields);

/* One write and one fdatasync for all that was added since, in a file that is, before and after, the one of this
 * name, with no other name, and as long as it should be; with nothing added only that is looked at. On failure
 * nothing that was added may be acted on; *error says why (valid until the next call). The next call tries
 * again with the same lines first. A process that may meet a file size limit must ignore SIGXFSZ. */
apr_status_t audit_commit(audit_t *audit, const char **error);

/* Hash and count of the last committed line; *hash is valid until the next commit. */
void audit_head(const audit_t *audit, const char **hash, apr_uint64_t *count);

/* SIGHUP: go on in a new file of the same name if the old one was moved away. If that was removed, or is not as
 * long as it was written, a record {"event":"file-lost","records":...,"text":...} in the new one says so. */
const char *audit_reopen(audit_t *audit);

/* Checks a whole file: chain, hashes, numbering. `head` ("HASH:COUNT" or NULL) must be reached too, so that a
 * cut tail shows. NULL if all is well, else an error message with the line number. *count gets the number of
 * lines. */
const char *audit_verify(const char *file, const char *head, apr_uint64_t *count, apr_pool_t *pool);

/* Whether the file, or one of those that it was before its rotations, holds the record of a head that was sealed
 * elsewhere ("HASH:COUNT"). NULL: it does, or the seal is none; or a sentence that says what is wrong. Reads all
 * of them. */
const char *audit_judge_seal(const char *file, const char *seal, apr_pool_t *pool);

/* A record as it was written, with all its members. Valid during the call. */
typedef void (*audit_replay_fn)(void *baton, const json_t *record);

/* Hands over every record that was written at or after `since` (wall clock), in the order written: of `file`
 * and, as far back as that takes, of the files that it was before its rotations. Torn lines are left out;
 * nothing is verified. NULL, or an error message: then records may have been handed over,
 * and a rotation may have been under way, after which it goes well. */
const char *audit_replay(const char *file, apr_time_t since, audit_replay_fn each, void *baton,
                         apr_pool_t *pool);

#endif
