/* SPDX-License-Identifier: Apache-2.0 */
/* Redis' functions: the library jobs/lua of the product, in a Lua interpreter of the version that Redis has, over a
 * store. */
#ifndef AMTUNLOCK_TESTS_SIMULATE_FUNCTIONS_H
#define AMTUNLOCK_TESTS_SIMULATE_FUNCTIONS_H

#include "store.h"

typedef struct functions_t functions_t;

/* Loads this library: jobs_library of jobs/library_priv.h, or a text for a test. Ends the process where it cannot be
 * loaded. */
functions_t *functions_create(const char *library);

/* FCALL: words[0] is that word, words[1] the name, words[2] how many keys follow. `writable` 0: as a Redis that cannot
 * write to its disk. */
reply_t functions_run(functions_t *functions, store_t *store, int count, const text_t *words, int writable,
                      apr_pool_t *pool);

#endif
