/* SPDX-License-Identifier: Apache-2.0 */
/* Locations apply in their order, and those of a virtual host behind the server's: a later one may take our path. */
#ifndef AMTUNLOCK_HTTPD_SECTION_ORDER_PRIV_H
#define AMTUNLOCK_HTTPD_SECTION_ORDER_PRIV_H

#include <httpd.h>

/* Warns of each Location of ours whose path another one takes. Before the configuration tree is gone. */
void amtunlock_section_order_check(server_rec *s, apr_pool_t *ptemp);

#endif
