/* SPDX-License-Identifier: Apache-2.0 */
/* The sign of life of a loop: when it last came round, and which thread it runs on. Written by that thread, read by
 * any.
 */
#ifndef AMTUNLOCK_BASE_PULSE_H
#define AMTUNLOCK_BASE_PULSE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"

typedef struct {
    _Atomic apr_time_t at;    /* clock_boottime(); 0: the loop has ended, or pauses */
    _Atomic pthread_t thread; /* 0: it did not come round yet */
} pulse_t;

/* Before its thread runs: as if it had come round just now. */
void pulse_init(pulse_t *pulse);
/* From its thread: the loop came round. */
void pulse_beat(pulse_t *pulse);
/* From its thread: the loop has ended. */
void pulse_end(pulse_t *pulse);
/* From any code that a loop may run: its round takes long by right (a record of years is read, a slow Redis answers call
 * after call), and has come on by one bounded part. Nothing on a thread without a pulse. */
void pulse_go_on(void);
/* In the same way: until pulse_go_on() its thread waits for a disk, which no new process would make faster. */
void pulse_pause(void);
/* The older of a time and of when the loop last came round; a loop that has ended or pauses does not count. */
apr_time_t pulse_older(const pulse_t *pulse, apr_time_t time);

#endif
