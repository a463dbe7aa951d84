/* amtunlockd: see worker/command.h. */
#include <stdlib.h>

#include <apr_general.h>

#include "worker/command.h"

int main(int argc, const char *const *argv)
{
    if (apr_app_initialize(&argc, &argv, NULL) != APR_SUCCESS)
        return EXIT_FAILURE;
    atexit(apr_terminate);
    return command_run(argc, argv);
}
