/* SPDX-License-Identifier: Apache-2.0 */
/* See firmware_priv.h. One row for each release line of an advisory. */
#include "preflight/firmware_priv.h"

#include <ctype.h>
#include <stdlib.h>

#include <apr_strings.h>
#include <apr_tables.h>

#define PARTS 4
#define HIGHEST_PART 65535

typedef struct {
    int parts[PARTS];
} version_t;

/* From the first version of a line up to, and without, the one that mends it. */
typedef struct {
    const char *advisory;
    version_t from;
    version_t fixed;
    const char *fixed_text;
} row_t;

#define V(...)                                                                                               \
    {                                                                                                        \
        {                                                                                                    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

static const row_t rows[] = {
    /* CVE-2017-5689: anybody may log in */
    {"INTEL-SA-00075", V(6), V(6, 2, 61, 3535), "6.2.61.3535"},
    {"INTEL-SA-00075", V(7), V(7, 1, 91, 3272), "7.1.91.3272"},
    {"INTEL-SA-00075", V(8), V(8, 1, 71, 3608), "8.1.71.3608"},
    {"INTEL-SA-00075", V(9), V(9, 1, 41, 3024), "9.1.41.3024"},
    {"INTEL-SA-00075", V(9, 5), V(9, 5, 61, 3012), "9.5.61.3012"},
    {"INTEL-SA-00075", V(10), V(10, 0, 55, 3000), "10.0.55.3000"},
    {"INTEL-SA-00075", V(11), V(11, 0, 25, 3001), "11.0.25.3001"},
    {"INTEL-SA-00075", V(11, 5), V(11, 6, 27, 3264), "11.6.27.3264"},
    /* CVE-2020-0595 and others */
    {"INTEL-SA-00295", V(11), V(11, 8, 77), "11.8.77"},
    {"INTEL-SA-00295", V(11, 10), V(11, 12, 77), "11.12.77"},
    {"INTEL-SA-00295", V(11, 20), V(11, 22, 77), "11.22.77"},
    {"INTEL-SA-00295", V(12), V(12, 0, 64), "12.0.64"},
    /* CVE-2020-8758 */
    {"INTEL-SA-00404", V(11), V(11, 8, 79), "11.8.79"},
    {"INTEL-SA-00404", V(11, 10), V(11, 12, 79), "11.12.79"},
    {"INTEL-SA-00404", V(11, 20), V(11, 22, 79), "11.22.79"},
    {"INTEL-SA-00404", V(12), V(12, 0, 68), "12.0.68"},
    {"INTEL-SA-00404", V(13), V(14, 0, 39), "14.0.39"},
    /* CVE-2020-8747, -8752, -8753 and others */
    {"INTEL-SA-00391", V(11), V(11, 8, 80), "11.8.80"},
    {"INTEL-SA-00391", V(11, 10), V(11, 12, 80), "11.12.80"},
    {"INTEL-SA-00391", V(11, 20), V(11, 22, 80), "11.22.80"},
    {"INTEL-SA-00391", V(12), V(12, 0, 70), "12.0.70"},
    {"INTEL-SA-00391", V(13), V(14, 0, 45), "14.0.45"},
    /* CVE-2022-26845 and others */
    {"INTEL-SA-00610", V(11), V(11, 8, 93), "11.8.93"},
    {"INTEL-SA-00610", V(11, 10), V(11, 12, 93), "11.12.93"},
    {"INTEL-SA-00610", V(11, 20), V(11, 22, 93), "11.22.93"},
    {"INTEL-SA-00610", V(12), V(12, 0, 92), "12.0.92"},
    {"INTEL-SA-00610", V(13), V(14, 1, 67), "14.1.67"},
    {"INTEL-SA-00610", V(15), V(15, 0, 42), "15.0.42"},
    {"INTEL-SA-00610", V(16), V(16, 1, 25), "16.1.25"},
};

/* Older ones got no more fixes when the advisories of 2020 came, and are not named in them. */
static const version_t oldest_maintained = V(11);

static int compare_versions(const version_t *one, const version_t *other)
{
    for (int i = 0; i < PARTS; i++) {
        if (one->parts[i] != other->parts[i]) {
            return one->parts[i] < other->parts[i] ? -1 : 1;
        }
    }
    return 0;
}

/* What is not said counts as 0. */
static int parse_version(const char *text, version_t *version)
{
    int count = 0;

    *version = (version_t)V(0);
    while (count < PARTS && isdigit((unsigned char)*text)) {
        char *end = NULL;
        long part = strtol(text, &end, 10);

        if (part > HIGHEST_PART) {
            return 0;
        }
        version->parts[count++] = (int)part;
        if (*end != '.') {
            return *end == '\0' && count >= 2;
        }
        text = end + 1;
    }
    return 0;
}

firmware_e firmware_judge(const char *version, const char **open, apr_pool_t *pool)
{
    version_t is;

    *open = "";
    if (!parse_version(version, &is)) {
        return FIRMWARE_UNREADABLE;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (compare_versions(&is, &rows[i].from) >= 0 && compare_versions(&is, &rows[i].fixed) < 0) {
            *open = apr_pstrcat(pool, *open, **open != '\0' ? ", " : "", rows[i].advisory, " (fixed in ",
                                rows[i].fixed_text, ")", NULL);
        }
    }
    if (**open != '\0') {
        return FIRMWARE_OPEN;
    }
    return compare_versions(&is, &oldest_maintained) < 0 ? FIRMWARE_OLD : FIRMWARE_CURRENT;
}
