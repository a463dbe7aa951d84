/* SPDX-License-Identifier: Apache-2.0 */
/* Where the handlers may serve: only where the server's own configuration put them. */
#ifndef AMTUNLOCK_HTTPD_PLACE_PRIV_H
#define AMTUNLOCK_HTTPD_PLACE_PRIV_H

#include <httpd.h>

/* The first thing that each handler asks, by its name for SetHandler. OK: serve. DECLINED: the request is another
 * handler's. Anything else is the HTTP status to return; why is in the log. */
int amtunlock_place(request_rec *r, const char *handler);

/* Answers 405 with this header Allow, and nothing else: httpd's own page adds TRACE, which is not served here.
 * Returns OK, for the handler to return. */
int amtunlock_refuse_method(request_rec *r, const char *allow);

#endif
