/* SPDX-License-Identifier: Apache-2.0 */
/* A QEMU process that is a PC: while it runs, the PC has power. Its serial port and its monitor (QMP) are
 * pairs of connected sockets, so there is nothing in the file system to wait for or to clean up; and it dies
 * with whoever started it. */
#ifndef AMTSIM_QEMU_H
#define AMTSIM_QEMU_H

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct qemu;

/* What the machine does by itself. Only in `ended` may qemu_kill() be called. */
struct qemu_events {
    void (*serial)(void *owner, const char *data, size_t size); /* it wrote to its serial port */
    void (*restarted)(void *owner);                             /* its system restarted it */
    void (*ended)(void *owner); /* it switched itself off, or could not start */
};

struct qemu_machine {
    const char *name;
    const char *uuid;
    const char *accelerator; /* kvm, or tcg, which needs nothing of this machine */
    const char *folder;      /* holds the disk, which is never written to; and kernel and initrd */
    bool kernel;             /* boots these two, not what is on the disk */
    bool drive;              /* boots from a CD drive on USB, qemu_drive() */
    bool serial_console;     /* its firmware shows itself on the serial port */
};

/* Starts it, for qemu_kill() to end. NULL, with the reason on stderr, when there is no process to be had;
 * that there is no QEMU shows as `ended`. */
struct qemu *qemu_start(struct event_base *loop, const struct qemu_machine *machine,
                        const struct qemu_events *events, void *owner);

/* The socket that the machine reads its CD drive from, by NBD: it does not start before it is greeted there.
 * The caller's; -1: it has none. */
int qemu_drive(struct qemu *qemu);

/* From the next reset on it does not boot from that drive any more. */
void qemu_drive_was_booted(struct qemu *qemu);

/* Pulls the drive out. */
void qemu_pull_drive(struct qemu *qemu);

/* Somebody types at its serial port. */
void qemu_type(struct qemu *qemu, const char *data, size_t size);

/* The reset button. */
void qemu_reset(struct qemu *qemu);

/* From now on this address and port lead to the machine's own port of that number, or do not any more. That
 * it can be connected to says nothing about the machine: QEMU answers in its place. */
void qemu_forward(struct qemu *qemu, struct in_addr address, unsigned port);
void qemu_forward_no_more(struct qemu *qemu, struct in_addr address, unsigned port);

/* Pulls the plug; the process is gone when this returns. */
void qemu_kill(struct qemu *qemu);

#endif
