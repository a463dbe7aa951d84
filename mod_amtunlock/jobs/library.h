/* The Redis library (jobs.lua and its parts) as it was when this program was built, as one text (library.S).
 */
#ifndef AMTUNLOCK_JOBS_LIBRARY_H
#define AMTUNLOCK_JOBS_LIBRARY_H

extern const char jobs_library[];

#endif
