/* SPDX-License-Identifier: Apache-2.0 */
/* Ids that cannot be guessed, and digests that stand for names in keys. */
#ifndef AMTUNLOCK_JOBS_ID_PRIV_H
#define AMTUNLOCK_JOBS_ID_PRIV_H

#include <apr_pools.h>
#include <apr_tables.h>

#define JOBS_ID_LENGTH 26

/* 128 random bits as lower-case base32. NULL: the system has no randomness. */
const char *jobs_new_id(apr_pool_t *pool);
/* Whether a job can have this id. */
int jobs_is_id(const char *id);
/* Lower-case hex SHA-256. NULL: OpenSSL has no memory. */
const char *jobs_sha256(const char *text, apr_pool_t *pool);
/* SHA-256 over the texts (const char *), each with its end; NULL as above. */
const char *jobs_sha256_all(const apr_array_header_t *texts, apr_pool_t *pool);

#endif
