/* Fault points: named places at step boundaries where a test lets a process die, stop, wait or fail.
 *
 * They exist in one build only (VARIANT=faults); in every other they are nothing at all. What happens at a
 * point is said by the file `orders` in the folder that AMTUNLOCK_FAULTS names, read anew at every point, so
 * that a test can arm a point while the process runs. A line of it:
 *
 *     ID POINT NTH ACTION [NUMBER]       the NTH passing of POINT ("*": of any) since this process first saw
 *                                        the line; once, by whichever process gets there first
 *
 *     kill          SIGKILL to itself             stop     SIGSTOP to itself, until somebody continues it
 *     delay MS      waits                         fail     the point says that what it stands for failed
 *     later MS      SIGKILL to itself after MS milliseconds, wherever it is by then
 *     other PID     SIGKILL to that process, then waits for a moment
 *
 * Whatever strikes is written first, in one line of the file `hits`, whose lines are what a campaign counts:
 *
 *     ID POINT ACTION PID SECONDS        wall clock; a stop leaves a second line, with `resumed`, when it is
 * over
 */
#ifndef AMTUNLOCK_FAULT_FAULT_H
#define AMTUNLOCK_FAULT_FAULT_H

/* Nonzero: fail here. Any thread. */
int fault_at(const char *point);

#ifdef AMTUNLOCK_FAULTS
#define FAULT_POINT(point) ((void)fault_at(point))
#define FAULT_FAILS(point) (fault_at(point))
#else
#define FAULT_POINT(point) ((void)0)
#define FAULT_FAILS(point) 0
#endif

#endif
