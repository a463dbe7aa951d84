/* SPDX-License-Identifier: Apache-2.0 */
/* Which call fails: between the driver and the calls that replace the C library's. */
#ifndef AMTUNLOCK_TESTS_TORTURE_FAILING_H
#define AMTUNLOCK_TESTS_TORTURE_FAILING_H

#define FAILING_FRAMES 24

/* Faults of libraries that nothing we do can mend, each as narrow as it is. */
enum { FAILING_LOST_CRASHES = 1, FAILING_LOST_LEAKS = 2, FAILING_LOST_ACCUSES = 4, FAILING_LOST_DIVIDES = 8 };

/* What failed, for the driver: in memory that both processes share. */
typedef struct {
    int reached;
    int lost;    /* FAILING_LOST_*: what the function of a library that asked does then, whatever we do */
    int may_end; /* memory for an APR pool or for jansson: the process may end (base/oom.h) */
    char call[32], way[32];
    int frame_count;
    void *frames[FAILING_FRAMES];
} failing_hit_t;

extern failing_hit_t *failing_hit;

/* Counts from now on, and fails number `target` (from 1; 0: none). */
void failing_begin(long target);
/* Ends it; how many ways there were to fail. */
long failing_end(void);
/* Stops and goes on with counting on this thread: what is called in between is the test's own. */
void failing_pause(void);
void failing_resume(void);

/* -1: nothing fails now; else the index, below `ways`, of the way in which this call must fail. */
int failing_way(const char *call, const char *const *names, int ways, const void *caller);
/* Nonzero: the address lies in libapr. */
int failing_is_apr(const void *address);

/* ---- allocator.c --------------------------------------------------------------------------------------- */

/* Blocks that are not freed, and pages that pools hold. */
long allocator_live(void);
/* Looks at the red zones of all blocks, freed ones too; ends the process where one was written to. */
void allocator_look(void);
/* Of those made after this one: what the dynamic loader keeps for a thread whose stack the C library keeps.
 */
long allocator_of_loader_since(unsigned long serial);
/* Names where the blocks came from that were made after this one. */
unsigned long allocator_serial(void);
void allocator_print_since(unsigned long serial);

#endif
