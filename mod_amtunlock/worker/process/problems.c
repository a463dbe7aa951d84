/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/process/problems_priv.h"

#include "base/log.h"

void problems_log(const apr_array_header_t *problems)
{
    for (int i = 0; i < problems->nelts; i++) {
        const inventory_problem_t *problem = &APR_ARRAY_IDX(problems, i, inventory_problem_t);

        log_error("AMTU0311", "not accepted", "file", problem->file, "line",
                  problem->line ? log_number(LOG_NUMBER, problem->line) : NULL, "reason", problem->reason);
    }
}

void problems_log_warnings(const snapshot_t *snapshot)
{
    const apr_array_header_t *warnings = inventory_warnings(snapshot_inventory(snapshot));

    for (int i = 0; i < warnings->nelts; i++) {
        const inventory_problem_t *warning = &APR_ARRAY_IDX(warnings, i, inventory_problem_t);

        log_warn("AMTU0620", "the inventory has a line to look at", "file", warning->file, "line",
                 log_number(LOG_NUMBER, warning->line), "reason", warning->reason);
    }
}
