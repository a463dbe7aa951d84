/* SPDX-License-Identifier: Apache-2.0 */
/* The content handlers, each in a file of its own. */
#ifndef AMTUNLOCK_HTTPD_PAGES_PRIV_H
#define AMTUNLOCK_HTTPD_PAGES_PRIV_H

#include <httpd.h>

int amtunlock_handler(request_rec *r);           /* handler.c: WS-Management */
int amtunlock_status_handler(request_rec *r);    /* status_page.c */
int amtunlock_metrics_handler(request_rec *r);   /* metrics.c */
int amtunlock_interface_handler(request_rec *r); /* interface.c */

#endif
