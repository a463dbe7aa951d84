/* SPDX-License-Identifier: Apache-2.0 */
/* A race on purpose: what does not report this would not report any. */
#include <pthread.h>
#include <stdio.h>

static int shared;

static void *count(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000; i++)
        shared++;
    return NULL;
}

int main(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, count, NULL) != 0)
        return 1;
    count(NULL);
    pthread_join(other, NULL);
    return printf("%d\n", shared) < 0;
}
