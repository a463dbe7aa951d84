/* SPDX-License-Identifier: Apache-2.0 */
/* How a child of httpd becomes the worker: user, groups, environment, program. */
#ifndef AMTUNLOCK_HTTPD_LAUNCH_PRIV_H
#define AMTUNLOCK_HTTPD_LAUNCH_PRIV_H

#include <sys/types.h>

#include <httpd.h>

#include "httpd/config_priv.h"

/* What the child needs, looked up before the fork: between fork and exec only system calls are safe. */
typedef struct {
    const char *program;
    char *const *argv;
    char *const *environment;
    int log_channel; /* the worker's end of the channel; -1: there is none */
    int drop;        /* privileges, because httpd runs as root; then the four below hold */
    uid_t uid;
    gid_t gid;
    gid_t groups[64];
    int group_count;
} launch_t;

/* Numeric ids of "NAME", "#UID" or "#UID:#GID" in *uid and *gid; *name gets the login name, or NULL where
 * there is none. NULL, or the error message. */
const char *amtunlock_worker_identity(const char *user, uid_t *uid, gid_t *gid, const char **name,
                                      apr_pool_t *pool);

/* Fills *launch, which lives as long as the pool. False if the worker cannot be started; logged. */
int amtunlock_launch_prepare(launch_t *launch, const amtunlock_server_t *conf, server_rec *s,
                             apr_pool_t *pool);

/* In the child: becomes the worker. Does not return; what fails is written to stderr, httpd's error log. */
void amtunlock_launch_exec(const launch_t *launch) __attribute__((noreturn));

#endif
