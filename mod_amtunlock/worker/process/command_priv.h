/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of amtunlockd. */
#ifndef AMTUNLOCK_WORKER_PROCESS_COMMAND_PRIV_H
#define AMTUNLOCK_WORKER_PROCESS_COMMAND_PRIV_H

/* Runs the command of these arguments. Returns the exit status: 0 success, 1 something is wrong (printed on
 * standard error), 2 usage. APR is initialised. */
int command_run(int argc, const char *const *argv);

#endif
