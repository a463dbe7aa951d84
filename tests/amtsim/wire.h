/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian numbers in the redirection protocol's messages. */
#ifndef AMTSIM_WIRE_H
#define AMTSIM_WIRE_H

#include <stdint.h>

static inline unsigned get16(const uint8_t *at)
{
    return at[0] | (unsigned)at[1] << 8;
}

static inline uint32_t get32(const uint8_t *at)
{
    return get16(at) | (uint32_t)get16(at + 2) << 16;
}

static inline void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void put32(uint8_t *at, uint32_t value)
{
    put16(at, value & 0xffff);
    put16(at + 2, value >> 16);
}

#endif
