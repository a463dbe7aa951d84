/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers on the wire: little endian, at any address. */
#ifndef AMTUNLOCK_AMT_REDIRECTION_WIRE_PRIV_H
#define AMTUNLOCK_AMT_REDIRECTION_WIRE_PRIV_H

#include <apr.h>

static inline unsigned int wire_get16(const unsigned char *at)
{
    return (unsigned int)at[0] | (unsigned int)at[1] << 8;
}

static inline apr_uint32_t wire_get32(const unsigned char *at)
{
    return wire_get16(at) | (apr_uint32_t)wire_get16(at + 2) << 16;
}

static inline void wire_put16(unsigned char *at, unsigned int value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
}

static inline void wire_put32(unsigned char *at, apr_uint32_t value)
{
    wire_put16(at, value & 0xffff);
    wire_put16(at + 2, value >> 16);
}

#endif
