/* SPDX-License-Identifier: Apache-2.0 */
/* Where AMT logins and disk passphrases come from: providers, asked in order at the moment of use.
 *
 *   file:PATH   lines `amt PATTERN USER PASSWORD` and `disk PATTERN PASSPHRASE`. PATTERN is an FQDN or UUID
 *               with * and ? (case-insensitive), or VOLUME@ and one of them, for a volume of its own passphrase:
 *               such lines go before the others; the last field runs to the end of the line; '#' begins a
 *               comment line. The first match wins. The file must be a regular file of this process's user
 *               with no permission for anyone else. Lines have at most 4095 bytes. It is read each time.
 *
 *   exec:PATH   a helper process, as git's credential helpers, given 10 s. It reads `need=amt` or
 *               `need=disk`, `fqdn=`, `uuid=` (if known), `group=` and `volume=` (if a volume with a name asks), one a line, and writes `username=` and
 *               `password=`, or `passphrase=`, with `volume=` as it was asked where it is this volume's own. Exit status 0 without these lines, or 1: it does not know the
 *               system, and the next provider is asked. Any other status is a failure, and no other provider
 *               is asked. It runs in / with PATH and LANG as its environment; its standard error is discarded.
 *
 * What is returned lies in OpenSSL's secure heap, belongs to the caller and is given back with the _free
 * call, which wipes it. Nothing here logs. Calls may block (a file, a process): never from an event loop.
 * Thread-safe.
 */
#ifndef AMTUNLOCK_SECRETS_SECRETS_H
#define AMTUNLOCK_SECRETS_SECRETS_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef struct secrets_t secrets_t;

/* What a secret is asked for. uuid may be NULL. */
typedef struct {
    const char *fqdn, *uuid, *group;
    const char *volume; /* of disk passphrases: the one that asks; NULL or "": it has no name */
    int own; /* of disk passphrases: only one that is this volume's, not the system's; without a volume: any one's */
} secrets_subject_t;

typedef struct {
    char *user;
    char *password;
    const char *source; /* the provider, "file:/etc/amtunlock/secrets"; lives with the secrets_t */
} secrets_login_t;

/* Secure heap and core-dump switch of the whole process; once, before threads. Where memory cannot be locked
 * (RLIMIT_MEMLOCK) secrets are kept all the same, and the warning says so. */
apr_status_t secrets_process_init(void);
/* NULL, or a message about what secrets_process_init() could not do; log it once. */
const char *secrets_process_warning(void);

/* `providers`: const char *, as above. Checks each (owner, mode, syntax) now. NULL on success, or an
 * error message that says where (file and line, never content). */
const char *secrets_open(secrets_t **secrets, const apr_array_header_t *providers, apr_pool_t *pool);

/* APR_SUCCESS; APR_NOTFOUND if no provider knows the subject; else *error (in pool) says what went wrong. */
apr_status_t secrets_amt_login(secrets_t *secrets, const secrets_subject_t *subject, secrets_login_t *login,
                               const char **error, apr_pool_t *pool);
apr_status_t secrets_disk_passphrase(secrets_t *secrets, const secrets_subject_t *subject, char **passphrase,
                                     const char **error, apr_pool_t *pool);

/* Notes that this process holds a secret of a system (traces.c); of less than four letters and digits nothing is noted.
 * Never blocks for long. */
void secrets_note(const char *fqdn, const char *secret);
/* Writes * over what in the first 512 letters and digits of `text` is a secret noted for this system: in upper or lower
 * case, and whatever else stands between its letters and digits. For texts with words of a PC, which may repeat what
 * was typed there. */
void secrets_hide(const char *fqdn, char *text);

void secrets_login_free(secrets_login_t *login);
void secrets_free(char *secret);

#endif
