/* SPDX-License-Identifier: Apache-2.0 */
/* The methods that list names of a job: GetUnlockedSystems and GetErrors. */
#ifndef AMTUNLOCK_MANAGEABILITY_LISTS_PRIV_H
#define AMTUNLOCK_MANAGEABILITY_LISTS_PRIV_H

#include "manageability/manageability.h"

/* Writes the method's output for what the look found; reads the names. */
typedef const wsman_fault_t *(manageability_write_list_fn)(wsman_request_t *request, const jobs_look_t *look,
                                                           wsman_writer_t *answer);

/* Answers with a list of names: with what is kept of an earlier answer, if the job is as it was, else anew. */
const wsman_fault_t *manageability_list(wsman_request_t *request, jobs_list_e list,
                                        const jobs_window_t *window, manageability_write_list_fn *write,
                                        wsman_writer_t *answer);

#endif
