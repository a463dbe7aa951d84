/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis library (lua/core.lua and the parts behind it) as it was when this program was built, as one text.
 */
#ifndef AMTUNLOCK_JOBS_LIBRARY_PRIV_H
#define AMTUNLOCK_JOBS_LIBRARY_PRIV_H

extern const char jobs_library[];

#endif
