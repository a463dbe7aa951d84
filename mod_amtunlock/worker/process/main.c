/* SPDX-License-Identifier: Apache-2.0 */
/* amtunlockd: see worker/command.h. */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_general.h>

#include "base/oom.h"
#include "worker/process/command_priv.h"

/* A library's function is bound when it is first called, and the dynamic linker then puts all vector
 * registers on the stack for a moment. One of them may hold a password that was just copied or compared, in a
 * place that nobody knows of to wipe. So everything is bound before anything is read: the linker takes that
 * wish from the environment, at the start of a program. Where it cannot be started anew it goes on as it is.
 */
static void bind_everything(const char *const *argv)
{
    const char *bound = getenv("LD_BIND_NOW");
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if ((bound != NULL && bound[0] != '\0') || length <= 0) {
        return;
    }
    program[length] = '\0';
    if (setenv("LD_BIND_NOW", "1", 1) == 0) {
        execv(program, (char *const *)argv);
    }
}

int main(int argc, const char *const *argv)
{
    bind_everything(argv);
    if (apr_app_initialize(&argc, &argv, NULL) != APR_SUCCESS) {
        return EXIT_FAILURE;
    }
    atexit(apr_terminate);
    oom_init("amtunlockd", EXIT_FAILURE);
    return command_run(argc, argv);
}
