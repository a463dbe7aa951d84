/* SPDX-License-Identifier: Apache-2.0 */
/* See budget_priv.h. */
#include "unlock/budget_priv.h"

/* A serial port at 115200 baud has 11,520 bytes a second. */
#define READ_A_SECOND 65536
#define READ_AT_ONCE 131072
#define LINE_COST 64

void budget_begin(budget_t *budget)
{
    *budget = (budget_t){.bytes = READ_AT_ONCE};
}

void budget_note_text(budget_t *budget, apr_time_t now)
{
    budget->paid_at = budget->paid_at != 0 ? budget->paid_at : now;
}

int budget_take_line(budget_t *budget, apr_size_t length, apr_time_t now)
{
    apr_int64_t earned = (now - budget->paid_at) * READ_A_SECOND / APR_USEC_PER_SEC;
    apr_int64_t cost = (apr_int64_t)length + LINE_COST;

    if (earned > 0) {
        budget->bytes = budget->bytes + earned < READ_AT_ONCE ? budget->bytes + earned : READ_AT_ONCE;
        budget->paid_at = now;
    }
    if (budget->bytes < cost) {
        return 0;
    }
    budget->bytes -= cost;
    return 1;
}
