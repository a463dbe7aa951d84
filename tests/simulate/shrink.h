/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a list of elements smaller as long as what was seen with all of them is seen. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_SHRINK_H
#define AMTUNLOCK_TESTS_SIMULATE_SHRINK_H

/* Nonzero: it still fails with these. */
typedef int (*shrink_fails_fn)(void *baton, const int *elements, int count);

/* Of `elements`, all of which fail together, keeps a part from which no single one can be left out; the others are
 * gone, the order stays. At most `tries` times `fails` is asked. Returns how many are left. */
int shrink(int *elements, int count, int tries, shrink_fails_fn fails, void *baton);

#endif
