/* SPDX-License-Identifier: Apache-2.0 */
#include "httpd/section_order_priv.h"

#include <string.h>

#include <apr_fnmatch.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <util_cfgtree.h>

#include "httpd/config_priv.h"
#include "httpd/module_priv.h"

APLOG_USE_MODULE(amtunlock);

/* A <Location> or <LocationMatch> that sets a handler. */
typedef struct {
    const ap_directive_t *line, *host; /* host: its virtual host, NULL: the server's own */
    const char *path, *handler;
    const ap_regex_t *pattern; /* NULL: path is one */
} location_t;

static const char *handler_set_in(const ap_directive_t *line, apr_pool_t *pool)
{
    const char *handler = NULL;

    for (; line != NULL; line = line->next) {
        const char *args = line->args;

        handler = strcasecmp(line->directive, "SetHandler") == 0 ? ap_getword_conf(pool, &args) : handler;
    }
    return handler;
}

static void note_location(apr_array_header_t *locations, const ap_directive_t *line,
                          const ap_directive_t *host, apr_pool_t *pool)
{
    const char *args = apr_pstrndup(pool, line->args, strcspn(line->args, ">"));
    const char *path = ap_getword_conf(pool, &args);
    const char *handler = handler_set_in(line->first_child, pool);
    int is_pattern = strcasecmp(line->directive, "<LocationMatch") == 0;

    if (strcmp(path, "~") == 0) {
        path = ap_getword_conf(pool, &args);
        is_pattern = 1;
    }
    if (handler != NULL) {
        *(location_t *)apr_array_push(locations) =
            (location_t){line, host, path, handler, is_pattern ? ap_pregcomp(pool, path, 0) : NULL};
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): virtual hosts hold none */
static void note_locations(apr_array_header_t *locations, const ap_directive_t *line,
                           const ap_directive_t *host, apr_pool_t *pool)
{
    for (; line != NULL; line = line->next) {
        if (strcasecmp(line->directive, "<VirtualHost") == 0) {
            note_locations(locations, line->first_child, line, pool);
        }
        else if (strncasecmp(line->directive, "<Location", strlen("<Location")) == 0) {
            note_location(locations, line, host, pool);
        }
    }
}

static int location_covers(const location_t *location, const char *path)
{
    apr_size_t length = strlen(location->path);

    if (location->pattern != NULL) {
        return ap_regexec(location->pattern, path, 0, NULL, 0) == 0;
    }
    if (apr_fnmatch_test(location->path)) {
        return apr_fnmatch(location->path, path, APR_FNM_PATHNAME) == APR_SUCCESS;
    }
    return length > 0 && strncmp(location->path, path, length) == 0 &&
           (location->path[length - 1] == '/' || path[length] == '/' || path[length] == '\0');
}

static void check_location(const location_t *ours, const apr_array_header_t *locations, server_rec *s)
{
    for (int i = 0; i < locations->nelts; i++) {
        const location_t *later = &APR_ARRAY_IDX(locations, i, location_t);
        int applies_later = later->host == ours->host ? later > ours : ours->host == NULL;

        if (applies_later && strcmp(later->handler, ours->handler) != 0 &&
            location_covers(later, ours->path)) {
            ap_log_error(
                APLOG_MARK, APLOG_WARNING, 0, s,
                "AMTU0640: %s line %d: \"SetHandler %s\" of \"%s\" is not served where %s line %d holds: "
                "httpd applies that section later, and it sets another handler; put ours behind it, "
                "into the same virtual host",
                ours->line->filename, ours->line->line_num, ours->handler, ours->path, later->line->filename,
                later->line->line_num);
        }
    }
}

void amtunlock_section_order_check(server_rec *s, apr_pool_t *ptemp)
{
    apr_array_header_t *locations = apr_array_make(ptemp, 16, sizeof(location_t));

    note_locations(locations, ap_conftree, NULL, ptemp);
    for (int i = 0; i < locations->nelts; i++) {
        const location_t *each = &APR_ARRAY_IDX(locations, i, location_t);

        if (strncmp(each->handler, AMTUNLOCK_HANDLER, strlen(AMTUNLOCK_HANDLER)) == 0 &&
            each->pattern == NULL) {
            check_location(each, locations, s);
        }
    }
}
