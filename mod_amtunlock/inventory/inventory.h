/* SPDX-License-Identifier: Apache-2.0 */
/* Which systems exist, how each is reached and how it is unlocked: systems.csv (RFC 4180, a header line) and
 * the groups' defaults. Read as a whole or refused as a whole, with every problem named by file, line and
 * reason. An inventory is read-only once loaded and may be shared by threads; it lives in its pool.
 */
#ifndef AMTUNLOCK_INVENTORY_INVENTORY_H
#define AMTUNLOCK_INVENTORY_INVENTORY_H

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>

#include "jobs/jobs.h"

typedef enum {
    INVENTORY_SOL,
    INVENTORY_IMAGE,
    INVENTORY_HTTPS_BOOT,
    INVENTORY_WAKE,
    INVENTORY_METHODS
} inventory_method_e;
typedef enum { INVENTORY_DIGEST, INVENTORY_KERBEROS, INVENTORY_AUTHS } inventory_auth_e;
/* ca: chain and name verified; pin: SHA-256 of the certificate; legacy: as ca, TLS below 1.2 allowed; none:
 * plain ports 16992/16994, no disk secret ever. */
typedef enum {
    INVENTORY_TLS_CA,
    INVENTORY_TLS_PIN,
    INVENTORY_TLS_LEGACY,
    INVENTORY_TLS_NONE,
    INVENTORY_TLS_KINDS
} inventory_tls_e;

/* Defaults of a group, from amtunlockd.conf: text of the cells that may stay empty, and how its PCs behave.
 */
typedef struct {
    const char *name;
    const char *method, *auth, *tls, *probe; /* NULL: no default of its own */
    apr_interval_time_t boot_timeout;        /* from power-on to evidence; default 10 min */
    int type_running;                        /* default 0: nothing is typed into a PC that ran before */
    int same_passphrase;                     /* default 0: each further volume has its own */
    int reset_running;                  /* default 0: a running PC is never reset; else it needs a probe */
    int tls_max;                        /* the newest TLS 1.x that is offered; default 0: as new as can be */
    apr_interval_time_t power_interval; /* at least so long from one power request to the next; default 0 */
} inventory_group_t;

typedef struct {
    const char *fqdn;    /* lower case, no trailing dot: the system's id */
    const char *address; /* numeric, or NULL: resolve fqdn at the moment of use */
    const char *uuid;    /* lower case with dashes, one that names a single PC; or NULL */
    const inventory_group_t *group;
    inventory_method_e method;
    inventory_auth_e auth;
    inventory_tls_e tls;
    const char *pin;        /* 64 lower-case hex digits, with INVENTORY_TLS_PIN */
    const char *probe_host; /* NULL: the address that the system was pinned to */
    int probe_port;         /* 0: no probe */
    unsigned int line;
} inventory_system_t;

typedef struct {
    const char *file;
    unsigned int line; /* 0: the file as a whole */
    const char *reason;
} inventory_problem_t;

typedef struct inventory_t inventory_t;

/* `groups`: inventory_group_t * by name; the group "default" stands in where a cell is empty. On APR_SUCCESS
 * *inventory is whole and problems is empty; on APR_EGENERAL *inventory is NULL and problems
 * (inventory_problem_t) says why; any other status is the file's, also in problems. */
apr_status_t inventory_load(inventory_t **inventory, const char *file, apr_hash_t *groups,
                            apr_array_header_t *problems, apr_pool_t *pool);

/* By FQDN, lower case. NULL if there is none. */
const inventory_system_t *inventory_find(const inventory_t *inventory, const char *system);
int inventory_count(const inventory_t *inventory);
const inventory_system_t *inventory_at(const inventory_t *inventory, int index);
/* The system to which the inventory gives this UUID, in either byte order; NULL if there is none. */
const inventory_system_t *inventory_find_device(const inventory_t *inventory, const char *uuid);
/* inventory_problem_t: what was read, but is probably not meant. Never NULL. */
const apr_array_header_t *inventory_warnings(const inventory_t *inventory);
/* Hex SHA-256 over all that the lines say, with what their groups say in place of empty cells: equal digests mean
 * equal inventories. */
const char *inventory_digest(const inventory_t *inventory);
/* When the file was last changed. */
apr_time_t inventory_written(const inventory_t *inventory);

const char *inventory_method_name(inventory_method_e method);

/* ---- UUIDs: lower case with dashes --------------------------------------------------------------------- */

#define INVENTORY_UUID_SIZE 37

/* Nonzero: it names one PC. Zeros, ones and what makers of boards leave in their firmware name none. */
int inventory_uuid_is_unique(const char *uuid);
/* Nonzero: both are one UUID. Tools write its first three groups in the order of the bytes (RFC 4122) or little
 * endian (SMBIOS 2.6), so that one device has two spellings. */
int inventory_uuid_is(const char *uuid, const char *other);
/* The other spelling. */
void inventory_uuid_swap(const char *uuid, char swapped[INVENTORY_UUID_SIZE]);
/* One text for both spellings. */
void inventory_uuid_key(const char *uuid, char key[INVENTORY_UUID_SIZE]);

/* Hands names, groups and methods (no address of AMT's transport, no secret) to Redis. */
jobs_result_t inventory_publish(const inventory_t *inventory, const jobs_edition_t *edition,
                                jobs_client_t *connection, const char *worker, apr_pool_t *pool);

#endif
