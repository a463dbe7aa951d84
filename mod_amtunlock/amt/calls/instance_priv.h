/* SPDX-License-Identifier: Apache-2.0 */
/* An instance as a device gave it, kept to be given back: firmware refuses a Put that holds a member it did
 * not name.
 */
#ifndef AMTUNLOCK_AMT_CALLS_INSTANCE_PRIV_H
#define AMTUNLOCK_AMT_CALLS_INSTANCE_PRIV_H

#include <apr_tables.h>

#include "wsman/envelope.h"
#include "wsman/writer.h"

typedef struct {
    const char *name;
    const char *value;
    int nil; /* the device gave no value: it gets none back */
} amt_setting_t;

typedef struct amt_instance_t {
    apr_array_header_t *settings; /* of amt_setting_t, in the order in which they came */
} amt_instance_t;

/* Copies all properties into `pool`: some 1.6 KiB. NULL if one is no plain value. */
amt_instance_t *amt_instance_keep(const wsman_element_t *payload, apr_pool_t *pool);
/* Writes it as it came. */
void amt_setting_write(wsman_writer_t *writer, const amt_setting_t *setting);
/* A property has another value now (which lives as long). */
void amt_instance_set(amt_instance_t *instance, const char *name, const char *value);
/* The value of a property, or NULL. */
const char *amt_instance_value(const amt_instance_t *instance, const char *name);

#endif
