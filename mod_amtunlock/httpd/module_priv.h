/* SPDX-License-Identifier: Apache-2.0 */
/* The module record, defined in mod_amtunlock.c. Declared apart from it: each file that logs or reads its
 * configuration names the record.
 */
#ifndef AMTUNLOCK_HTTPD_MODULE_PRIV_H
#define AMTUNLOCK_HTTPD_MODULE_PRIV_H

#include <httpd.h>

#include <http_config.h> /* needs httpd.h */

/* The one symbol that the module exports. AP_MODULE_DECLARE_DATA is empty on this platform, and
 * -fvisibility=hidden hides everything else. */
extern module AP_MODULE_DECLARE_DATA __attribute__((visibility("default"))) amtunlock_module;

#endif
