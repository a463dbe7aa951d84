/* SPDX-License-Identifier: Apache-2.0 */
/* The figures that the status page and the metrics show. */
#ifndef AMTUNLOCK_HTTPD_OVERVIEW_PRIV_H
#define AMTUNLOCK_HTTPD_OVERVIEW_PRIV_H

#include <httpd.h>

#include "jobs/jobs.h"

/* OK with *overview set; or DONE: an answer that says why there is none was sent; or the HTTP status to return.
 * Only GET is allowed. */
int amtunlock_overview(request_rec *r, jobs_overview_t **overview);

#endif
