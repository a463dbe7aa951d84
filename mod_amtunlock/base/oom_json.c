/* SPDX-License-Identifier: Apache-2.0 */
#include "base/oom_json.h"

#include <pthread.h>
#include <stdlib.h>

#include <jansson.h>

static _Thread_local unsigned int losses;

static void *get(size_t size)
{
    void *block = malloc(size);

    losses += block == NULL;
    return block;
}

/* It is the C library's memory as before, so what was allocated earlier may be freed later. */
static void look_on(void)
{
    json_set_alloc_funcs(get, free);
}

unsigned int oom_json_losses(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, look_on);
    return losses;
}
