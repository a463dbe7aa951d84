/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/redirection/event_priv.h"

void amt_event_clear(struct event **event)
{
    if (*event != NULL) {
        event_free(*event);
        *event = NULL;
    }
}
