/* SPDX-License-Identifier: Apache-2.0 */
/* Which UUIDs tell one PC from another. Firmware that was never given one says zeros, ones, or what the maker of
 * the board left in its tools; two such PCs are not one device. */
#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "inventory/inventory.h"

enum { UUID_LENGTH = 36, UUID_DIGITS = 32 };

/* What boards were sold with; each as SMBIOS says it. The other byte order is known by it, too. */
static const char *const placeholders[] = {
    "03000200-0400-0500-0006-000700080009", /* the template of the BIOS kits */
    "12345678-1234-5678-90ab-cddeefaabbcc", "12345678-1234-5678-9012-123456789012",
    "12345678-1234-1234-1234-123456789012", "12345678-1234-1234-1234-123456789abc",
    "11111111-2222-3333-4444-555555555555", "01010101-0101-0101-0101-010101010101",
    "4c4c4544-0000-2010-8020-80c04f202020", /* made of a service tag that was never set */
    "4c4c4544-0000-2010-8000-80c04f202020", "aabbccdd-eeff-0011-2233-445566778899",
    "deadbeef-dead-beef-dead-beefdeadbeef",
};

void inventory_uuid_swap(const char *uuid, char swapped[INVENTORY_UUID_SIZE])
{
    static const signed char from[UUID_LENGTH] = {6,  7,  4,  5,  2,  3,  0,  1,  8,  11, 12, 9,
                                                  10, 13, 16, 17, 14, 15, 18, 19, 20, 21, 22, 23,
                                                  24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35};

    for (int i = 0; i < UUID_LENGTH; i++) {
        swapped[i] = uuid[from[i]];
    }
    swapped[UUID_LENGTH] = '\0';
}

void inventory_uuid_key(const char *uuid, char key[INVENTORY_UUID_SIZE])
{
    char swapped[INVENTORY_UUID_SIZE];

    inventory_uuid_swap(uuid, swapped);
    apr_cpystrn(key, strcmp(uuid, swapped) < 0 ? uuid : swapped, INVENTORY_UUID_SIZE);
}

int inventory_uuid_is(const char *uuid, const char *other)
{
    char swapped[INVENTORY_UUID_SIZE];

    if (strlen(uuid) != UUID_LENGTH || strlen(other) != UUID_LENGTH) {
        return 0;
    }
    inventory_uuid_swap(other, swapped);
    return strcmp(uuid, other) == 0 || strcmp(uuid, swapped) == 0;
}

/* Its digits; 0 if it is no UUID. */
static int read_digits(const char *uuid, int digits[UUID_DIGITS])
{
    int count = 0;

    if (strlen(uuid) != UUID_LENGTH) {
        return 0;
    }
    for (; *uuid != '\0'; uuid++) {
        if (*uuid != '-' && (!apr_isxdigit(*uuid) || count == UUID_DIGITS)) {
            return 0;
        }
        if (*uuid != '-') {
            digits[count++] = apr_isdigit(*uuid) ? *uuid - '0' : *uuid - 'a' + 10;
        }
    }
    return count == UUID_DIGITS;
}

/* The same step from each digit to the next (000..., fff..., 0123...), or from each byte to the next (fefe...,
 * 001122...). */
static int is_a_row(const int digits[UUID_DIGITS])
{
    int by_digit = 1, by_byte = 1;

    for (int i = 2; i < UUID_DIGITS; i++) {
        by_digit &= ((digits[i] - digits[i - 1] - digits[1] + digits[0]) & 15) == 0;
    }
    for (int i = 4; i < UUID_DIGITS; i += 2) {
        int step = 16 * (digits[2] - digits[0]) + digits[3] - digits[1];

        by_byte &= ((16 * (digits[i] - digits[i - 2]) + digits[i + 1] - digits[i - 1] - step) & 255) == 0;
    }
    return by_digit || by_byte;
}

int inventory_uuid_is_unique(const char *uuid)
{
    char swapped[INVENTORY_UUID_SIZE];
    int digits[UUID_DIGITS];

    if (!read_digits(uuid, digits) || is_a_row(digits)) {
        return 0;
    }
    inventory_uuid_swap(uuid, swapped);
    if (!read_digits(swapped, digits) || is_a_row(digits)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(placeholders) / sizeof(placeholders[0]); i++) {
        if (inventory_uuid_is(uuid, placeholders[i])) {
            return 0;
        }
    }
    return 1;
}
