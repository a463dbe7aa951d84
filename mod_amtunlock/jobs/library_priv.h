/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis library (the parts in jobs/lua, joined by library.S) that this program was built with. */
#ifndef AMTUNLOCK_JOBS_LIBRARY_PRIV_H
#define AMTUNLOCK_JOBS_LIBRARY_PRIV_H

#define JOBS_SCHEMA 7 /* SCHEMA of lua/core.lua */

extern const char jobs_library[];

#endif
