/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/calls/instance_priv.h"

#include <apr_strings.h>
#include <string.h>

amt_instance_t *amt_instance_keep(const wsman_element_t *payload, apr_pool_t *pool)
{
    amt_instance_t *instance = apr_pcalloc(pool, sizeof(*instance));

    instance->settings = apr_array_make(pool, 40, sizeof(amt_setting_t));
    for (const wsman_element_t *element = payload->child; element; element = element->next) {
        amt_setting_t *setting = apr_array_push(instance->settings);

        if (element->child != NULL) {
            return NULL;
        }
        setting->name = apr_pstrdup(pool, element->name);
        setting->value = apr_pstrdup(pool, wsman_text(element, pool)); /* may be the answer's own */
        setting->nil = wsman_is_nil(element);
    }
    return instance;
}

void amt_setting_write(wsman_writer_t *writer, const amt_setting_t *setting)
{
    if (setting->nil) {
        wsman_property_nil(writer, setting->name);
    }
    else {
        wsman_property(writer, setting->name, setting->value);
    }
}

static amt_setting_t *find_setting(const amt_instance_t *instance, const char *name)
{
    for (int i = 0; i < instance->settings->nelts; i++) {
        amt_setting_t *setting = &APR_ARRAY_IDX(instance->settings, i, amt_setting_t);

        if (!strcmp(setting->name, name)) {
            return setting;
        }
    }
    return NULL;
}

const char *amt_instance_value(const amt_instance_t *instance, const char *name)
{
    const amt_setting_t *setting = find_setting(instance, name);

    return setting != NULL ? setting->value : NULL;
}

void amt_instance_set(amt_instance_t *instance, const char *name, const char *value)
{
    amt_setting_t *setting = find_setting(instance, name);

    if (setting != NULL) {
        setting->value = value;
        setting->nil = 0;
    }
}
