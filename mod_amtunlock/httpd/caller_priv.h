/* SPDX-License-Identifier: Apache-2.0 */
/* The caller of a request: name, mechanism, and the groups of systems that it may unlock. */
#ifndef AMTUNLOCK_HTTPD_CALLER_PRIV_H
#define AMTUNLOCK_HTTPD_CALLER_PRIV_H

#include "httpd/config_priv.h"

typedef enum {
    AMTUNLOCK_CALLER_KNOWN,
    AMTUNLOCK_CALLER_ANONYMOUS, /* the request is not authenticated */
    AMTUNLOCK_CALLER_REFUSED    /* authenticated, but not by a mechanism that is accepted here; logged */
} amtunlock_caller_e;

/* Fills *caller for the request's user; it lives as long as the request. */
amtunlock_caller_e amtunlock_caller(request_rec *r, const amtunlock_dir_t *conf, jobs_caller_t *caller);

#endif
