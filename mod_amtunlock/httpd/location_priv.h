/* SPDX-License-Identifier: Apache-2.0 */
/* What a Location of ours is asked for goes past everything else that translates names. */
#ifndef AMTUNLOCK_HTTPD_LOCATION_PRIV_H
#define AMTUNLOCK_HTTPD_LOCATION_PRIV_H

void amtunlock_location_register_hooks(void);

#endif
