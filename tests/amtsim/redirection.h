/* SOL and IDE-R sessions on ports 16994 and 16995. */
#ifndef AMTSIM_REDIRECTION_H
#define AMTSIM_REDIRECTION_H

#include "pc.h"

/* A console changed pc->redirection or pc->listener_enabled. */
void redirection_changed(struct pc *pc);

#endif
