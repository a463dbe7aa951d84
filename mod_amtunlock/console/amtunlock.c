/* SPDX-License-Identifier: Apache-2.0 */
/* The command `amtunlock`: what belongs to the process. Everything else is console_run(). */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <apr_general.h>
#include <curl/curl.h>

#include "base/oom.h"
#include "console/console_priv.h"
#include "wsman/envelope.h"

static void on_interrupt(int number)
{
    (void)number;
    console_interrupted = 1;
}

/* The first Ctrl-C lets the command say how to go on; a second one ends it at once. */
static void catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

int main(int argc, char *argv[])
{
    const console_t console = {.out = stdout, .err = stderr, .live = isatty(STDERR_FILENO)};
    apr_pool_t *pool;
    console_exit_e status;

    if (apr_initialize() != APR_SUCCESS || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fputs("amtunlock: no memory\n", stderr);
        return CONSOLE_SERVICE;
    }
    oom_init("amtunlock", CONSOLE_SERVICE);
    apr_pool_create(&pool, NULL);
    wsman_library_init();
    catch_interrupt();
    status = console_run(argc, argv, &console, pool);
    apr_pool_destroy(pool);
    curl_global_cleanup();
    apr_terminate();
    if (status == CONSOLE_INTERRUPTED) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    if (ferror(stdout) || fflush(stdout) != 0) {
        fputs("amtunlock: standard output cannot be written\n", stderr);
        return CONSOLE_SERVICE;
    }
    return (int)status;
}
