/* SPDX-License-Identifier: Apache-2.0 */
/* See graph.h. All of it comes from the table itself. */
#include "unlock/graph.h"

#include "unlock/steps_table_priv.h"

/* Two methods have a step of the same name, so nodes are numbered. */
static void write_node(FILE *out, unlock_step_e step)
{
    const step_t *row = steps_row(step);

    fprintf(out, "        s%d [label=\"%s\"", (int)step, row->name);
    if (row->writes) {
        fputs(", style=filled, fillcolor=\"#f4cccc\"", out);
    }
    else if (row->undoes) {
        fputs(", style=filled, fillcolor=\"#fce5cd\"", out);
    }
    fputs("];\n", out);
}

static void write_part(FILE *out, const steps_t *part)
{
    fprintf(out, "    subgraph \"cluster_%s\" {\n        label=\"%s\";\n", part->title, part->title);
    for (int i = 0; i < part->count; i++) {
        write_node(out, (unlock_step_e)((int)part->first + i));
    }
    fputs("    }\n", out);
}

static void write_edges(FILE *out, unlock_step_e step)
{
    const step_t *row = steps_row(step);

    if (row->then != UNLOCK_NO_STEP) {
        fprintf(out, "    s%d -> s%d;\n", (int)step, (int)row->then);
    }
    for (int i = 0; i < STEP_TARGETS && row->targets[i] != UNLOCK_NO_STEP; i++) {
        fprintf(out, "    s%d -> s%d;\n", (int)step, (int)row->targets[i]);
    }
    if (row->every != 0) {
        fprintf(out, "    s%d -> s%d [label=\"every %d s\"];\n", (int)step, (int)step,
                (int)apr_time_sec(row->every));
    }
}

void graph_write(FILE *out)
{
    fputs("digraph steps {\n"
          "    label=\"The steps of an unlock. Red ones write to the PC, after the intent; orange ones take "
          "back.\";\n"
          "    node [shape=box];\n",
          out);
    for (int i = 0; i < steps_part_count; i++) {
        write_part(out, steps_parts[i]);
    }
    for (int step = UNLOCK_NO_STEP + 1; step < UNLOCK_STEPS; step++) {
        write_edges(out, (unlock_step_e)step);
    }
    fputs("    exit [label=\"any step that ends the unlock\", shape=plaintext];\n", out);
    for (int i = 0; i < steps_exit_count; i++) {
        fprintf(out, "    exit -> s%d [style=dashed];\n", (int)steps_exits[i]);
    }
    fputs("}\n", out);
}
