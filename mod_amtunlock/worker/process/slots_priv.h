/* SPDX-License-Identifier: Apache-2.0 */
/* How many unlocks a worker has at a time, by the files that it may have open. */
#ifndef AMTUNLOCK_WORKER_PROCESS_SLOTS_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_SLOTS_PRIV_H

/* As many as are `set`, with a warning where these need more open files than there may be; 0: as many as these allow, at
 * most 8,000. Raises the limit of open files as far as it goes. Before there are threads. */
int slots_choose(int set);

#endif
