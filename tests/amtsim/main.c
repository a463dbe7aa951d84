/* SPDX-License-Identifier: Apache-2.0 */
/* amtsim: a fleet of simulated PCs with Intel AMT. */
#include "bios.h"
#include "body.h"
#include "control.h"
#include "fleet.h"
#include "http.h"
#include "ider.h"
#include "image.h"
#include "listen.h"
#include "log.h"
#include "negotiate.h"
#include "options.h"
#include "player.h"
#include "probe.h"
#include "prompt.h"
#include "redirection.h"
#include "stream.h"
#include "tls.h"

#include <errno.h>
#include <libxml/parser.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct port plain_ports[] = {
    {PORT_PLAIN, false, false, http_accept},
    {PORT_REDIRECTION, false, true, redirection_accept},
};
static const struct port tls_ports[] = {
    {PORT_TLS, true, false, http_accept},
    {PORT_REDIRECTION_TLS, true, true, redirection_accept},
};
#define PORT_COUNT 2

static int open_wide(struct event_base *base, struct fleet *fleet, const struct options *options)
{
    if (!listen_claim_wide())
        return -1;
    fleet_place(fleet, &options->range);
    return listen_open_wide(base, fleet->pcs, fleet->count,
                            options->tls == TLS_NONE ? plain_ports : tls_ports, PORT_COUNT);
}

/* Takes the range, or in auto mode the first block that nobody else has. */
static int open_fleet(struct event_base *base, struct fleet *fleet, struct options *options)
{
    const struct port *ports = options->tls == TLS_NONE ? plain_ports : tls_ports;
    int failure = 1;

    if (options->wide)
        return open_wide(base, fleet, options);
    for (unsigned n = 0; failure == 1; n++) {
        if (options->block_auto && !options_block(n, &options->range)) {
            fputs("amtsim: no free block left in 127.0.0.0/8\n", stderr);
            return -1;
        }
        if (listen_claim(&options->range)) {
            fleet_place(fleet, &options->range);
            failure = listen_open(base, fleet->pcs, fleet->count, ports, PORT_COUNT);
            if (failure)
                listen_close(fleet->pcs, fleet->count);
        }
        else if (!options->block_auto)
            fputs("amtsim: another simulator has this block\n", stderr);
        if (!options->block_auto)
            break;
    }
    return failure ? -1 : 0;
}

static void on_signal(evutil_socket_t number, short what, void *base)
{
    (void)number;
    (void)what;
    event_base_loopbreak(base);
}

static void apply_faults(const struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->count; i++)
        listen_update(&fleet->pcs[i]);
}

static int serve(struct event_base *base)
{
    struct event *term = evsignal_new(base, SIGTERM, on_signal, base);
    struct event *interrupt = evsignal_new(base, SIGINT, on_signal, base);

    if (!term || !interrupt || event_add(term, NULL) != 0 || event_add(interrupt, NULL) != 0)
        return -1;
    puts("ready");
    fflush(stdout);
    event_base_dispatch(base);
    event_free(term);
    event_free(interrupt);
    return 0;
}

static int open_everything(struct event_base *base, struct fleet *fleet, struct options *options)
{
    char ca[4096];

    snprintf(ca, sizeof(ca), "%s/ca.pem", options->dir);
    if (options->kerberos && !negotiate_setup())
        return -1;
    if (!listen_enough_files(options->systems, options->wide ? 0 : PORT_COUNT) ||
        fleet_make(fleet, options) || tls_setup(options, ca) || log_open(options->log) ||
        open_fleet(base, fleet, options) || fleet_write(fleet, options))
        return -1;
    apply_faults(fleet);
    return control_open(base, fleet, options->control);
}

static void on_os_up(struct pc *pc)
{
    if (pc->body)
        return; /* both are its own */
    probe_open(pc);
    if (!pc->player)
        prompt_login(pc);
}

static void on_boot(struct pc *pc)
{
    bios_stop(pc);
    image_stop(pc);
    ider_host_reset(pc);
    (pc->body ? body_boot : pc->player ? player_boot : prompt_boot)(pc);
}

static void on_power_gone(struct pc *pc)
{
    bios_stop(pc);
    image_stop(pc);
    (pc->body ? body_power_gone : pc->player ? player_stop : prompt_stop)(pc);
}

static void on_prompt(struct pc *pc)
{
    (pc->player ? player_ask : prompt_ask)(pc);
}

static void stop_pcs(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->count; i++) {
        probe_close(&fleet->pcs[i]);
        bios_stop(&fleet->pcs[i]);
        image_stop(&fleet->pcs[i]);
        prompt_free(&fleet->pcs[i]);
        player_free(&fleet->pcs[i]);
        body_free(&fleet->pcs[i]);
    }
}

static int run(struct event_base *base, struct options *options)
{
    static const struct pc_hooks hooks = {
        .os_up = on_os_up,
        .os_down = probe_close,
        .redirected = redirection_is_open,
        .booting = on_boot,
        .boot_image = bios_boot,
        .prompt = on_prompt,
        .power_gone = on_power_gone,
    };
    struct fleet fleet = {0};
    int failure;

    pc_setup(base, &hooks);
    probe_setup(base);
    prompt_setup(base);
    player_setup(base);
    bios_setup(base);
    body_setup(base);
    image_setup(base);
    http_setup(base);
    redirection_setup(base);
    failure = open_everything(base, &fleet, options) || serve(base);
    control_close();
    http_close_all();
    redirection_close_all();
    stream_close_all();
    listen_close(fleet.pcs, fleet.count);
    stop_pcs(&fleet);
    tls_free(fleet.pcs, fleet.count);
    fleet_free(&fleet);
    log_close();
    return failure ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct event_base *base;
    int status = options_parse(&options, argc, argv);

    if (status)
        return status;
    signal(SIGPIPE, SIG_IGN);
    LIBXML_TEST_VERSION
    if (mkdir(options.dir, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "amtsim: --dir %s: %s\n", options.dir, strerror(errno));
        return 1;
    }
    base = event_base_new();
    if (!base) {
        fputs("amtsim: no event loop\n", stderr);
        return 1;
    }
    status = run(base, &options);
    event_base_free(base);
    xmlCleanupParser();
    return status;
}
