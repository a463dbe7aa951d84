/* SPDX-License-Identifier: Apache-2.0 */
/* The record of what happened: one JSON object a line, written when it happens. */
#ifndef AMTSIM_LOG_H
#define AMTSIM_LOG_H

#include <jansson.h>

/* Opens FILE for appending (created 0600) and starts the clock. Returns 0, or -1 with the reason on stderr.
 */
int log_open(const char *file);

/* Writes {"t":seconds since log_open,"system":system,"event":event, and fields}. Takes over the reference to
 * fields, which may be NULL (also when json_pack() failed). */
void log_event(const char *system, const char *event, json_t *fields);

/* Seconds since log_open(). */
double log_clock(void);

void log_close(void);

#endif
