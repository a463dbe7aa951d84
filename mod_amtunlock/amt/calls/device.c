/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/calls/call_priv.h"
#include "amt/calls/device_priv.h"

static apr_status_t device_cleanup(void *baton)
{
    amt_device_t *device = baton;

    amt_http_close(&device->http);
    amt_call_drop(device);
    return APR_SUCCESS;
}

apr_status_t amt_device_create(amt_device_t **out, amt_loop_t *loop, const amt_target_t *target,
                               apr_pool_t *parent)
{
    amt_device_t *device;
    apr_pool_t *pool;
    apr_status_t status;

    apr_pool_create(&pool, parent);
    device = apr_pcalloc(pool, sizeof(*device));
    device->pool = pool;
    device->loop = loop;
    /* before the pool's children are destroyed: a call's pool is one of them */
    apr_pool_pre_cleanup_register(pool, device, device_cleanup);
    status = amt_http_open(&device->http, loop, target, pool);
    if (status == APR_SUCCESS) {
        status = amt_call_init(device);
    }
    if (status != APR_SUCCESS) {
        amt_device_destroy(device);
        return status;
    }
    *out = device;
    return APR_SUCCESS;
}

int amt_device_tls_minor(const amt_device_t *device)
{
    return device->http.tls.version ? device->http.tls.version - TLS1_VERSION : -1;
}

void amt_device_destroy(amt_device_t *device)
{
    apr_pool_destroy(device->pool);
}
