/* SPDX-License-Identifier: Apache-2.0 */
/* The directives, for the module record. */
#ifndef AMTUNLOCK_HTTPD_DIRECTIVES_PRIV_H
#define AMTUNLOCK_HTTPD_DIRECTIVES_PRIV_H

#include <httpd.h>

#include <http_config.h> /* needs httpd.h */

extern const command_rec amtunlock_directives[];

#endif
