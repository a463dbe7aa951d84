#include "redirection.h"

void redirection_changed(struct pc *pc)
{
    (void)pc;
}
