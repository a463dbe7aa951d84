/* SPDX-License-Identifier: Apache-2.0 */
/* Failpoints: named places at step boundaries where a test lets a process die, stop, wait or fail.
 *
 * They exist in one build only (VARIANT=faults); in every other the macros expand to nothing. The file
 * `orders` in the folder that AMTUNLOCK_FAULTS names says what happens at a point. It is read at every point,
 * so that a test can arm one while the process runs. A line of it:
 *
 *     ID POINT NTH ACTION [NUMBER]       the NTH passing of POINT ("*": of any) since this process first saw
 *                                        the line; once, by the first process that gets there
 *
 *     kill          SIGKILL to itself             stop     SIGSTOP to itself, until it is continued
 *     delay MS      waits                         fail     the point says that what it stands for failed
 *     later MS      SIGKILL to itself after MS milliseconds, wherever it is then
 *     doze MS       SIGSTOP to itself after MS milliseconds, likewise
 *     other PID     SIGKILL to that process, then waits for a moment
 *
 * Each strike is written before it happens, as one line of the file `hits`, which a campaign counts:
 *
 *     ID POINT ACTION PID SECONDS        a stop leaves a second line, with `resumed`, when it is over, and a
 *                                        doze one more before that, with `stopped`, when it begins
 *
 * A gate that let an act pass is one line of the file `gates`. Its time is taken before the gate looks at a
 * clock, so that a sleep in between shows:
 *
 *     STEP PID SECONDS JOB SYSTEM
 *
 * All times are the host's wall clock, also where a test shows this process another one.
 */
#ifndef AMTUNLOCK_BASE_FAILPOINT_H
#define AMTUNLOCK_BASE_FAILPOINT_H

/* Nonzero: fail here. Any thread. */
int failpoint_at(const char *point);
/* Microseconds of the host's wall clock. Any thread. */
long long failpoint_clock(void);
/* A gate that began to look at `asked` let this step of this task act. Any thread. */
void failpoint_passed(const char *step, long long asked, const char *job, const char *system);

#ifdef AMTUNLOCK_FAULTS
#define FAILPOINT(point) ((void)failpoint_at(point))
#define FAILPOINT_FAILS(point) (failpoint_at(point))
#define FAILPOINT_ASKED(asked) const long long asked = failpoint_clock()
#define FAILPOINT_PASSED(step, asked, job, system) (failpoint_passed(step, asked, job, system))
#else
#define FAILPOINT(point) ((void)0)
#define FAILPOINT_FAILS(point) 0
#define FAILPOINT_ASKED(asked) ((void)0)
#define FAILPOINT_PASSED(step, asked, job, system) ((void)0)
#endif

#endif
