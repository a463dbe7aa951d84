/* SPDX-License-Identifier: Apache-2.0 */
#include "fleet.h"

#include "body.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 16 bytes that depend on the seed, the PC and what they are for, and on nothing else. */
static void derive(unsigned char bytes[16], unsigned long seed, unsigned index, const char *purpose)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[96];
    int length = snprintf(text, sizeof(text), "%lu/%u/%s", seed, index, purpose);

    EVP_Digest(text, (size_t)length, hash, NULL, EVP_sha256(), NULL);
    memcpy(bytes, hash, 16);
}

static void make_uuid(struct pc *pc, unsigned long seed)
{
    unsigned char b[16];

    derive(b, seed, pc->index, "uuid");
    b[6] = (unsigned char)(0x40 | (b[6] & 0x0f)); /* version 4, variant 1 */
    b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
    snprintf(pc->uuid, sizeof(pc->uuid),
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static void make_realm(struct pc *pc, unsigned long seed)
{
    unsigned char b[16];
    char *at = pc->realm + snprintf(pc->realm, sizeof(pc->realm), "Digest:");

    derive(b, seed, pc->index, "realm");
    for (int i = 0; i < 16; i++)
        at += snprintf(at, 3, "%02X", b[i]);
}

/* Secrets are random whatever the seed: nothing that can be guessed. The first four characters are one of
 * each kind, as AMT's password rule wants it; none of them means anything in CSV. */
static void make_secret(char *secret, size_t length)
{
    static const char *const kinds[] = {"ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz", "23456789",
                                        "@*-+=", "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"};
    unsigned char random[64];

    RAND_bytes(random, sizeof(random));
    for (size_t i = 0; i < length; i++) {
        const char *kind = kinds[i < 4 ? i : 4];
        secret[i] = kind[random[i] % strlen(kind)];
    }
    secret[length] = '\0';
}

static void make_pc(struct pc *pc, const struct options *options)
{
    unsigned char b[16];

    snprintf(pc->fqdn, sizeof(pc->fqdn), "pc-%04u.%s", pc->index + 1, options->domain);
    pc->method = options->method == METHOD_MIX ? (enum method)(pc->index % METHOD_MIX) : options->method;
    make_uuid(pc, options->seed);
    make_realm(pc, options->seed);
    make_secret(pc->password, sizeof(pc->password) - 4);
    make_secret(pc->passphrase, sizeof(pc->passphrase) - 8);
    derive(b, options->seed, pc->index, "random");
    memcpy(&pc->random, b, sizeof(pc->random));
    pc_init(pc, options);
}

/* Deals the faults out: a shuffle of the fleet, cut into one slice a fault. */
static void deal_faults(struct fleet *fleet, const struct options *options, unsigned *order)
{
    struct pc dealer = {.random = options->seed};
    unsigned next = 0;

    for (unsigned i = 0; i < fleet->count; i++)
        order[i] = i;
    for (unsigned i = fleet->count - 1; i > 0; i--) {
        unsigned other = (unsigned)(pc_random(&dealer) * (i + 1)), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (int fault = 0; fault < FAULT_COUNT; fault++) {
        unsigned slice = (unsigned)(options->share[fault] * fleet->count + 0.5);
        for (; slice > 0 && next < fleet->count; slice--)
            pc_set_fault(&fleet->pcs[order[next++]], (enum fault)fault, true);
    }
}

static int give_bodies(const struct fleet *fleet, const struct options *options)
{
    for (unsigned i = 0; i < options->bodies; i++) {
        struct pc *pc = fleet_find(fleet, options->body[i].fqdn);
        if (!pc || pc->body) {
            fprintf(stderr, "amtsim: --body %s: %s\n", options->body[i].fqdn,
                    pc ? "a PC has one body" : "there is no such PC");
            return -1;
        }
        if (body_give(pc, options->body[i].folder))
            return -1;
    }
    return 0;
}

int fleet_make(struct fleet *fleet, const struct options *options)
{
    unsigned *order = calloc(options->systems, sizeof(*order));

    fleet->pcs = calloc(options->systems, sizeof(*fleet->pcs));
    if (!fleet->pcs || !order) {
        free(order);
        fputs("amtsim: no memory for that many PCs\n", stderr);
        return -1;
    }
    fleet->count = options->systems;
    make_secret(fleet->administrator_password, sizeof(fleet->administrator_password) - 4);
    pc_set_administrator(fleet->administrator_password);
    for (unsigned i = 0; i < fleet->count; i++) {
        fleet->pcs[i].index = i;
        make_pc(&fleet->pcs[i], options);
    }
    deal_faults(fleet, options, order);
    free(order);
    return give_bodies(fleet, options);
}

void fleet_place(struct fleet *fleet, const struct address_range *range)
{
    for (unsigned i = 0; i < fleet->count; i++)
        fleet->pcs[i].address.s_addr = htonl(range->first + i);
}

struct pc *fleet_find(const struct fleet *fleet, const char *fqdn)
{
    unsigned long number = strncmp(fqdn, "pc-", 3) == 0 ? strtoul(fqdn + 3, NULL, 10) : 0;

    if (number < 1 || number > fleet->count)
        return NULL;
    return strcmp(fleet->pcs[number - 1].fqdn, fqdn) == 0 ? &fleet->pcs[number - 1] : NULL;
}

/* ---- files --------------------------------------------------------------------------------------------- */

static FILE *create(const char *dir, const char *name)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    unlink(path); /* an old one may be readable for more than this user */
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        fprintf(stderr, "amtsim: %s: %s\n", path, strerror(errno));
    return fd < 0 ? NULL : fdopen(fd, "w");
}

static int finish(FILE *file, const char *name)
{
    if (fclose(file) == 0)
        return 0;
    fprintf(stderr, "amtsim: %s: %s\n", name, strerror(errno));
    return -1;
}

static int write_fleet(const struct fleet *fleet, const struct options *options)
{
    FILE *file = create(options->dir, "fleet.csv");
    char address[INET_ADDRSTRLEN];

    if (!file)
        return -1;
    fputs("fqdn,address,uuid,method,user,password,passphrase,probe\n", file);
    for (unsigned i = 0; i < fleet->count; i++) {
        const struct pc *pc = &fleet->pcs[i];
        inet_ntop(AF_INET, &pc->address, address, sizeof(address));
        fprintf(file, "%s,%s,%s,%s,%s,%s,%s,%u\n", pc->fqdn, address, pc->uuid, method_name(pc->method),
                PC_USER, pc->password, pc->passphrase, options->probe_port);
    }
    return finish(file, "fleet.csv");
}

static int write_systems(const struct fleet *fleet, const struct options *options)
{
    FILE *file = create(options->dir, "systems");
    char address[INET_ADDRSTRLEN];

    if (!file)
        return -1;
    for (unsigned i = 0; i < fleet->count; i++) {
        inet_ntop(AF_INET, &fleet->pcs[i].address, address, sizeof(address));
        fprintf(file, "%s,%s\n", fleet->pcs[i].fqdn, address);
    }
    return finish(file, "systems");
}

static int write_administrator(const struct fleet *fleet, const struct options *options)
{
    FILE *file = create(options->dir, "admin");

    if (!file)
        return -1;
    fprintf(file, "%s\n%s\n", PC_ADMINISTRATOR, fleet->administrator_password);
    return finish(file, "admin");
}

int fleet_write(const struct fleet *fleet, const struct options *options)
{
    if (write_fleet(fleet, options) || write_systems(fleet, options))
        return -1;
    return write_administrator(fleet, options);
}

void fleet_free(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->count; i++)
        pc_stop(&fleet->pcs[i]);
    free(fleet->pcs);
    memset(fleet, 0, sizeof(*fleet));
}
