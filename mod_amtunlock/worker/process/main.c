/* SPDX-License-Identifier: Apache-2.0 */
/* amtunlockd: see command_priv.h. */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_general.h>

#include "base/oom.h"
#include "worker/process/command_priv.h"

/* When a library function is first called, the dynamic linker binds it and saves all vector registers on the
 * stack. One of them may hold a password that was just copied or compared, and that copy is never wiped. So
 * all functions are bound before anything is read: LD_BIND_NOW asks the linker for that, but only at the start
 * of a program. If the program cannot be executed again, it goes on without.
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
