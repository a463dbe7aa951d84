/* SPDX-License-Identifier: Apache-2.0 */
/* A body: a PC whose host is no model but a machine under QEMU, with a system and an encrypted disk of its
 * own. The AMT device in front of it stays the simulator's.
 *
 * What the host does is learned from what can be seen of it: that its disk is open, from the words of its
 * system on the serial port; that it is up, from its login there and the answer at its probe port; that it
 * went off or restarted, from QEMU. Whether a passphrase was right cannot be seen, and no `passphrase` is
 * logged. That an unlock image runs is seen from what is read of the redirected drive (drive.h); what it says
 * goes over the serial port to the console, and is read by nobody here. */
#ifndef AMTSIM_BODY_H
#define AMTSIM_BODY_H

#include "pc.h"

/* Which loop the bodies live on. */
void body_setup(struct event_base *base);

/* Gives the PC the body in this folder: disk, accelerator (kvm or tcg), and the passphrase that opens the
 * disk, which becomes the PC's; kernel and initrd where the disk has no boot loader. What it writes to its serial port is kept in the simulator's
 * folder, as FQDN.serial. Returns 0, or -1 with the reason on stderr. */
int body_give(struct pc *pc, const char *folder);

/* For struct pc_hooks: power came or the PC was reset; it went. */
void body_boot(struct pc *pc);
void body_power_gone(struct pc *pc);

/* The redirected drive is not there any more. */
void body_drive_gone(struct pc *pc);

/* Somebody types at its serial port. */
void body_input(struct pc *pc, const char *data, size_t size);

void body_free(struct pc *pc);

#endif
