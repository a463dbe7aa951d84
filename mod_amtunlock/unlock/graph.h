/* SPDX-License-Identifier: Apache-2.0 */
/* The table of steps as a picture. */
#ifndef AMTUNLOCK_UNLOCK_GRAPH_H
#define AMTUNLOCK_UNLOCK_GRAPH_H

#include <stdio.h>

/* Writes a directed graph for Graphviz: a node each step, an edge each step that may follow. */
void graph_write(FILE *out);

#endif
