/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2

static const char usage[] =
    "usage: amtsim --systems N --dir DIR --log FILE --control SOCKET\n"
    "  --domain NAME          domain of the PCs' names (fleet.test)\n"
    "  --block auto|A.B/16    loopback block (auto: the first free one from 127.16.0.0/16 on)\n"
    "  --wide                 all of 127.0.0.0/8, one socket a port: for more than 2000 PCs; one such fleet "
    "a host\n"
    "  --bind-range A.B.C.D/N addresses that an interface has; from A.B.C.D on, or behind it if it is the "
    "network's\n"
    "  --method wake|sol|image|mix\n"
    "  --tls ca|legacy|none   legacy: TLS 1.0 and 1.1 only; none: port 16992 instead of 16993\n"
    "  --tls13                offer TLS 1.3 too (firmware of this version ends at 1.2)\n"
    "  --key ec|rsa           kind of the CA's and the PCs' keys (ec: P-256)\n"
    "  --key-per-pc           a key pair for each PC, not one for all\n"
    "  --log-bodies           the log has what each request says\n"
    "  --auth digest|kerberos kerberos: Negotiate too, with the keys of HTTP/FQDN:PORT in KRB5_KTNAME\n"
    "  --boot-seconds MIN-MAX (2-4)\n"
    "  --body FQDN=DIR        this PC is a QEMU: DIR has what tests/realdisk/build makes\n"
    "  --power-seconds MIN-MAX from an accepted power request to its effect (0.1-0.3)\n"
    "  --faults NAME=SHARE,.. share of the fleet, 0 to 1\n"
    "  --answer-ms N          what a device needs for an answer (5)\n"
    "  --wake-seconds N       from the first packet for a PC that is asleep (12)\n"
    "  --lockout-seconds N    after 5 bad passwords (60)\n"
    "  --probe-port N         (22022)\n"
    "  --realms N,..          of the account in fleet.csv (2,5,13)\n"
    "  --drive-ms N           a firmware's pause between two commands to a redirected drive, 0 to 999 (0)\n"
    "  --haste N              the unlock image waits only 1/N of its times (1)\n"
    "  --seed N               (1)\n";

static const char *const methods[] = {
    [METHOD_WAKE] = "wake", [METHOD_SOL] = "sol", [METHOD_IMAGE] = "image", [METHOD_MIX] = "mix"};
static const char *const tls_modes[] = {[TLS_CA] = "ca", [TLS_LEGACY] = "legacy", [TLS_NONE] = "none"};
static const char *const keys[] = {"ec", "rsa"};
static const char *const mechanisms[] = {"digest", "kerberos"};

const char *method_name(enum method method)
{
    return methods[method];
}

static bool complain(const char *option, const char *value, const char *expected)
{
    fprintf(stderr, "amtsim: --%s %s: expected %s\n", option, value, expected);
    return false;
}

static bool number(const char *text, unsigned long min, unsigned long max, unsigned long *value)
{
    char *end;

    errno = 0;
    *value = isdigit((unsigned char)text[0]) ? strtoul(text, &end, 10) : (end = NULL, 0);
    return end && !*end && !errno && *value >= min && *value <= max;
}

static bool small_number(const char *text, unsigned min, unsigned max, unsigned *value)
{
    unsigned long n;

    if (!number(text, min, max, &n))
        return false;
    *value = (unsigned)n;
    return true;
}

static bool choice(const char *text, const char *const *words, size_t count, unsigned *value)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(text, words[i])) {
            *value = (unsigned)i;
            return true;
        }
    }
    return false;
}

/* A.B.C.D/LEN; what the range means depends on whether A.B.C.D is the network's own address. */
static bool range(const char *text, struct address_range *range)
{
    char address[INET_ADDRSTRLEN];
    struct in_addr in;
    unsigned length;
    const char *slash = strchr(text, '/');

    if (!slash || (size_t)(slash - text) >= sizeof(address) || !small_number(slash + 1, 8, 30, &length))
        return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    if (inet_pton(AF_INET, address, &in) != 1)
        return false;
    in_addr_t host_bits = UINT32_MAX >> length;
    range->first = ntohl(in.s_addr);
    range->last = (range->first | host_bits) - 1; /* the last one is the network's broadcast address */
    range->lock = 0;
    if (!(range->first & host_bits))
        range->first++;
    return range->first <= range->last;
}

bool options_block(unsigned n, struct address_range *block)
{
    if (n > 254 - 16)
        return false;
    block->lock = (127U << 24) | ((16 + n) << 16);
    block->first = block->lock + 1;
    block->last = block->lock | 0xffff;
    return true;
}

static bool block(struct options *options, const char *text)
{
    options->block_auto = !strcmp(text, "auto");
    if (options->block_auto)
        return options_block(0, &options->range);
    if (!range(text, &options->range) || options->range.first >> 24 != 127)
        return false;
    options->range.lock = options->range.first - 1;
    options->range.last++; /* all of 127/8 is the host's own */
    return true;
}

static bool seconds(const char *text, double *min, double *max)
{
    char *end;

    *min = strtod(text, &end);
    if (end == text || *end != '-')
        return false;
    const char *second = end + 1;
    *max = strtod(second, &end);
    return end != second && !*end && *min >= 0 && *max >= *min && *max <= 3600;
}

static bool one_fault(struct options *options, char *item)
{
    char *end, *equals = strchr(item, '=');

    if (!equals)
        return false;
    *equals = '\0';
    enum fault fault = fault_by_name(item);
    double share = strtod(equals + 1, &end);
    if (fault == FAULT_COUNT || end == equals + 1 || *end || !(share >= 0 && share <= 1))
        return false;
    options->share[fault] = share;
    return true;
}

static bool faults(struct options *options, const char *text)
{
    char *copy = strdup(text), *save = NULL;
    double sum = 0;
    bool ok = copy != NULL;

    for (char *item = ok ? strtok_r(copy, ",", &save) : NULL; item && ok; item = strtok_r(NULL, ",", &save))
        ok = one_fault(options, item);
    free(copy);
    for (int i = 0; i < FAULT_COUNT; i++)
        sum += options->share[i];
    return ok && sum <= 1.000001;
}

/* "2,5,13" to bits; each once. */
static bool realms(const char *text, unsigned long *realms)
{
    unsigned realm;
    char item[4];

    for (*realms = 0; *text; text += *text == ',') {
        size_t length = strcspn(text, ",");
        if (length >= sizeof(item) || (text[length] && !text[length + 1]))
            return false;
        memcpy(item, text, length);
        item[length] = '\0';
        if (!small_number(item, 2, 24, &realm) || (*realms & 1UL << realm))
            return false;
        *realms |= 1UL << realm;
        text += length;
    }
    return *realms != 0;
}

static bool body(struct options *options, const char *text)
{
    struct body_option *one = &options->body[options->bodies];
    const char *equals = strchr(text, '=');

    if (!equals || options->bodies == BODIES_MAX || (size_t)(equals - text) >= sizeof(one->fqdn))
        return false;
    memcpy(one->fqdn, text, (size_t)(equals - text));
    one->folder = equals + 1;
    options->bodies++;
    return *one->folder != '\0';
}

static bool set_fleet(struct options *o, const char *name, const char *value)
{
    unsigned word = 0;

    if (!strcmp(name, "systems"))
        return small_number(value, 1, 65535, &o->systems) || complain(name, value, "1 to 65535");
    if (!strcmp(name, "block"))
        return block(o, value) ||
               complain(name, value, "auto or a block of 127.0.0.0/8 such as 127.16.0.0/16");
    if (!strcmp(name, "bind-range"))
        return range(value, &o->range) || complain(name, value, "A.B.C.D/LEN, LEN 8 to 30");
    if (!strcmp(name, "boot-seconds"))
        return seconds(value, &o->boot_min, &o->boot_max) || complain(name, value, "MIN-MAX, up to 3600");
    if (!strcmp(name, "power-seconds"))
        return seconds(value, &o->power_min, &o->power_max) || complain(name, value, "MIN-MAX, up to 3600");
    if (!strcmp(name, "faults"))
        return faults(o, value) || complain(name, value, "NAME=SHARE,... with known names and a sum up to 1");
    if (!strcmp(name, "realms"))
        return realms(value, &o->realms) || complain(name, value, "numbers from 2 to 24, each once: 2,5,13");
    if (!strcmp(name, "body"))
        return body(o, value) || complain(name, value, "FQDN=DIR, for at most 8 PCs");
    if (!strcmp(name, "method")) {
        bool ok = choice(value, methods, sizeof(methods) / sizeof(*methods), &word);
        o->method = (enum method)word;
        return ok || complain(name, value, "wake, sol, image or mix");
    }
    if (!strcmp(name, "tls")) {
        bool ok = choice(value, tls_modes, sizeof(tls_modes) / sizeof(*tls_modes), &word);
        o->tls = (enum tls_mode)word;
        return ok || complain(name, value, "ca, legacy or none");
    }
    if (!strcmp(name, "key")) {
        bool ok = choice(value, keys, 2, &word);
        o->rsa = word == 1;
        return ok || complain(name, value, "ec or rsa");
    }
    bool ok = choice(value, mechanisms, 2, &word);
    o->kerberos = word == 1;
    return ok || complain(name, value, "digest or kerberos");
}

static bool set_number(struct options *o, const char *name, const char *value)
{
    if (!strcmp(name, "probe-port"))
        return small_number(value, 1, 65535, &o->probe_port) || complain(name, value, "a port");
    if (!strcmp(name, "answer-ms"))
        return small_number(value, 0, 60000, &o->answer_ms) || complain(name, value, "0 to 60000");
    if (!strcmp(name, "wake-seconds"))
        return small_number(value, 0, 3600, &o->wake_seconds) || complain(name, value, "0 to 3600");
    if (!strcmp(name, "lockout-seconds"))
        return small_number(value, 0, 3600, &o->lockout_seconds) || complain(name, value, "0 to 3600");
    if (!strcmp(name, "drive-ms"))
        return small_number(value, 0, 999, &o->drive_ms) || complain(name, value, "0 to 999");
    if (!strcmp(name, "haste"))
        return small_number(value, 1, 1000, &o->haste) || complain(name, value, "1 to 1000");
    return number(value, 0, UINT32_MAX, &o->seed) || complain(name, value, "a number below 2^32");
}

enum { FLEET = 1, NUMBER, STRING, FLAG, HELP };

static const struct option table[] = {
    {"systems", required_argument, NULL, FLEET},
    {"block", required_argument, NULL, FLEET},
    {"bind-range", required_argument, NULL, FLEET},
    {"method", required_argument, NULL, FLEET},
    {"tls", required_argument, NULL, FLEET},
    {"auth", required_argument, NULL, FLEET},
    {"boot-seconds", required_argument, NULL, FLEET},
    {"faults", required_argument, NULL, FLEET},
    {"body", required_argument, NULL, FLEET},
    {"realms", required_argument, NULL, FLEET},
    {"key", required_argument, NULL, FLEET},
    {"power-seconds", required_argument, NULL, FLEET},
    {"seed", required_argument, NULL, NUMBER},
    {"probe-port", required_argument, NULL, NUMBER},
    {"answer-ms", required_argument, NULL, NUMBER},
    {"wake-seconds", required_argument, NULL, NUMBER},
    {"lockout-seconds", required_argument, NULL, NUMBER},
    {"drive-ms", required_argument, NULL, NUMBER},
    {"haste", required_argument, NULL, NUMBER},
    {"domain", required_argument, NULL, STRING},
    {"dir", required_argument, NULL, STRING},
    {"log", required_argument, NULL, STRING},
    {"control", required_argument, NULL, STRING},
    {"tls13", no_argument, NULL, FLAG},
    {"key-per-pc", no_argument, NULL, FLAG},
    {"log-bodies", no_argument, NULL, FLAG},
    {"wide", no_argument, NULL, FLAG},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static bool set_string(struct options *o, const char *name, const char *value)
{
    const char **where = !strcmp(name, "domain") ? &o->domain
                         : !strcmp(name, "dir")  ? &o->dir
                         : !strcmp(name, "log")  ? &o->log
                                                 : &o->control;

    *where = value;
    return *value || complain(name, value, "something");
}

static bool set_flag(struct options *o, const char *name)
{
    bool *flag = !strcmp(name, "tls13")        ? &o->tls13
                 : !strcmp(name, "wide")       ? &o->wide
                 : !strcmp(name, "log-bodies") ? &o->log_bodies
                                               : &o->key_per_pc;

    *flag = true;
    return true;
}

static bool set(struct options *o, int kind, const char *name, const char *value)
{
    switch (kind) {
    case FLEET:
        return set_fleet(o, name, value);
    case NUMBER:
        return set_number(o, name, value);
    case STRING:
        return set_string(o, name, value);
    case FLAG:
        return set_flag(o, name);
    default:
        return false;
    }
}

static bool domain_is_good(const char *domain)
{
    size_t length = strlen(domain);

    return length > 0 && length < 100 && domain[0] != '.' && domain[length - 1] != '.' &&
           strspn(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length;
}

#define SOCKET_EACH_MAX 2000 /* PCs, before one socket a PC and port becomes too many */

static int check(struct options *o)
{
    o->wide |= o->systems > SOCKET_EACH_MAX && o->block_auto;
    if (!o->systems || !o->dir || !o->log || !o->control) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!domain_is_good(o->domain)) {
        complain("domain", o->domain, "a domain name in lower case");
        return EXIT_USAGE;
    }
    if (o->wide && o->range.first >> 24 != 127) {
        fputs("amtsim: --wide is for 127.0.0.0/8, not for the addresses of an interface\n", stderr);
        return EXIT_USAGE;
    }
    if (o->range.last - o->range.first + 1 < o->systems) {
        fprintf(stderr, "amtsim: the range has room for %u PCs, not for %u\n",
                (unsigned)(o->range.last - o->range.first + 1), o->systems);
        return EXIT_USAGE;
    }
    return 0;
}

int options_parse(struct options *options, int argc, char **argv)
{
    int kind, which = 0;

    *options = (struct options){.domain = "fleet.test",
                                .block_auto = true,
                                .method = METHOD_WAKE,
                                .boot_min = 2,
                                .boot_max = 4,
                                .power_min = 0.1,
                                .power_max = 0.3,
                                .probe_port = 22022,
                                .wake_seconds = 12,
                                .lockout_seconds = 60,
                                .answer_ms = 5,
                                .realms = 1UL << 2 | 1UL << 5 | 1UL << 13,
                                .haste = 1,
                                .seed = 1};
    options_block(0, &options->range);
    while ((kind = getopt_long(argc, argv, "", table, &which)) != -1) {
        if (kind == HELP) {
            fputs(usage, stdout);
            exit(0);
        }
        if (kind == '?' || !set(options, kind, table[which].name, optarg))
            return EXIT_USAGE;
        if (!strcmp(table[which].name, "bind-range"))
            options->block_auto = false;
    }
    if (optind < argc) {
        fprintf(stderr, "amtsim: what is \"%s\"?\n", argv[optind]);
        return EXIT_USAGE;
    }
    return check(options);
}
