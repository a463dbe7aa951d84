/* SPDX-License-Identifier: Apache-2.0 */
/* amtunlockd.conf: INI, read by libinih and checked as a whole. conf/amtunlockd.conf shows every key with its
 * default.
 *
 * An unknown key or section, a value out of range and a key given twice are problems, reported with file, line
 * and reason; with any problem there are no settings. Read-only once loaded; may be shared by threads; lives in
 * its pool.
 */
#ifndef AMTUNLOCK_WORKER_SETTINGS_SETTINGS_H
#define AMTUNLOCK_WORKER_SETTINGS_SETTINGS_H

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_tables.h>

#include "base/log.h"
#include "inventory/inventory.h"
#include "jobs/jobs.h"
#include "unlock/prompts.h"

#define SETTINGS_FILE AMTUNLOCK_SYSCONFDIR "/amtunlock/amtunlockd.conf"

typedef struct {
    const char *file;
    const char *redis_address, *password_file; /* as written; password_file "" is none */
    jobs_redis_t redis;                        /* password is not read here: settings_read_password() */
    const char *inventory;
    const apr_array_header_t *secrets; /* const char *, in the order in which they are asked */
    const char *ca_file;
    const char *crl_file;                  /* "" is none */
    const char *tls_certificate, *tls_key; /* for devices that ask for one; "" is none */
    const char *keytab;                    /* of the worker's Kerberos account; "" is none */
    const char *principal;                 /* NULL: the only one in the keytab */
    const char *proof_key;                 /* file of the key to the proof of unlock images */
    const char *audit;
    const char *log; /* "-": standard error */
    log_level_e log_level;
    const char *state_dir;
    int threads;  /* 1 or more: 0 in the file became the number of cores */
    int slots;    /* unlocks at a time, over all threads; 0: as many as open files allow, at most 8,000 */
    int connects; /* first connections to PCs under way at a time, a thread */
    apr_hash_t *groups; /* inventory_group_t * by name; "default" is always there */
    const char *digest; /* hex SHA-256 over every line that was read, but for what each host has of its own */
    apr_time_t written; /* when the file was last changed */
} settings_t;

/* APR_SUCCESS, or *settings is NULL and `problems` (inventory_problem_t) says why. */
apr_status_t settings_load(settings_t **settings, const char *file, apr_array_header_t *problems,
                           apr_pool_t *pool);

/* Of a group; those of "default" for a group without a section. Never NULL. */
const prompts_t *settings_prompts(const settings_t *settings, const char *group);

/* Path of its unlock image, the default group's where it has none; NULL: neither has one. */
const char *settings_image(const settings_t *settings, const char *group);

/* Reads redis.password from password_file. NULL, or an error message. */
const char *settings_read_password(settings_t *settings, apr_pool_t *pool);

#endif
