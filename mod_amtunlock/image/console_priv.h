/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port at whose other end the worker listens (Serial-over-LAN). */
#ifndef AMTUNLOCK_IMAGE_CONSOLE_PRIV_H
#define AMTUNLOCK_IMAGE_CONSOLE_PRIV_H

#include <stddef.h>

#define CONSOLE_NAME_MAX 32

/* Its name below /dev: the port of a PCI device of Intel's that is a serial controller (AMT's), else of any such device,
 * else ttyS0. `sys` is where sysfs is mounted. */
void console_find(const char *sys, char name[CONSOLE_NAME_MAX]);

/* Opens it raw, without echo and flow control, 115200 8N1; -1 where that fails. It never blocks. */
int console_open(const char *name);

/* Writes a line, for half a second at most; true if it is out. */
int console_write(int port, const char *line);

/* Waits up to `wait` ms for bytes and reads them; 0 if there are none, -1 if the port is gone. */
int console_read(int port, long wait, char *bytes, size_t size);

#endif
