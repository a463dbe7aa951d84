/* SPDX-License-Identifier: Apache-2.0 */
#include "shrink.h"

#include <stdlib.h>
#include <string.h>

/* Leaves out `length` elements from `first` on, if the rest still fails. Returns how many are left. */
static int leave_out(int *elements, int count, int first, int length, shrink_fails_fn fails, void *baton)
{
    int rest = count - length;
    int *tried = malloc(sizeof(int) * (size_t)(count + 1));

    memcpy(tried, elements, sizeof(int) * (size_t)first);
    memcpy(tried + first, elements + first + length, sizeof(int) * (size_t)(rest - first));
    if (fails(baton, tried, rest)) {
        memcpy(elements, tried, sizeof(int) * (size_t)rest);
        count = rest;
    }
    free(tried);
    return count;
}

/* Halves first, then quarters, and in the end single ones, until a whole round leaves out none. */
int shrink(int *elements, int count, int tries, shrink_fails_fn fails, void *baton)
{
    int length = (count + 1) / 2, before = count;

    while (count > 0 && tries > 0) {
        int at = 0;

        before = count;
        while (at < count && tries-- > 0) {
            int part = count - at < length ? count - at : length;
            int left = leave_out(elements, count, at, part, fails, baton);

            at += left == count ? part : 0;
            count = left;
        }
        if (length == 1 && count == before) {
            break;
        }
        length = length > 1 ? (length + 1) / 2 : 1;
    }
    return count;
}
