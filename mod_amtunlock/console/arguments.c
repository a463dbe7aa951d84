/* SPDX-License-Identifier: Apache-2.0 */
/* The command line and the environment. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "console/console_priv.h"

enum { OPTION_URL = 256, OPTION_CACERT, OPTION_WAIT, OPTION_JSON, OPTION_VERSION };

static const struct option long_options[] = {
    {"url", required_argument, NULL, OPTION_URL},   {"cacert", required_argument, NULL, OPTION_CACERT},
    {"wait", no_argument, NULL, OPTION_WAIT},       {"json", no_argument, NULL, OPTION_JSON},
    {"file", required_argument, NULL, 'f'},         {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION}, {NULL, 0, NULL, 0},
};

static const char try_help[] = "try: amtunlock --help";

/* An environment variable that is set to something, or NULL. */
static const char *environment(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): one thread */

    return value != NULL && *value ? value : NULL;
}

/* False for what is no option. */
static int take_option(console_options_t *options, int option)
{
    switch (option) {
    case OPTION_URL:
        options->url = optarg;
        return 1;
    case OPTION_CACERT:
        options->cacert = optarg;
        return 1;
    case OPTION_WAIT:
        return options->wait = 1;
    case OPTION_JSON:
        return options->json = 1;
    case OPTION_VERSION:
        return options->version = 1;
    case 'f':
        options->file = optarg;
        return 1;
    case 'h':
        return options->help = 1;
    default:
        return 0;
    }
}

const console_problem_t *console_arguments(int argc, char *const argv[], console_options_t *options,
                                           apr_pool_t *pool)
{
    int option;

    memset(options, 0, sizeof(*options));
    options->url = environment("AMTU_URL");
    options->cacert = environment("AMTU_CA");
    options->operands = apr_array_make(pool, argc, sizeof(const char *));
    optind = 0; /* from the start, however often this is called */
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":f:h", long_options, NULL)) != -1) {
        if (!take_option(options, option)) {
            return console_problem(pool, CONSOLE_USAGE, try_help,
                                   option == ':' ? "%s needs a value"
                                                 : "%s is not an option, or takes no value",
                                   argv[optind - 1]);
        }
    }
    for (; optind < argc; optind++) {
        if (options->command == NULL) {
            options->command = argv[optind];
        }
        else {
            APR_ARRAY_PUSH(options->operands, const char *) = argv[optind];
        }
    }
    if (options->command == NULL && !options->help && !options->version) {
        return console_problem(pool, CONSOLE_USAGE, try_help, "no command given");
    }
    return NULL;
}
