/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/process/user_priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "base/text.h"
#include "worker/settings/settings.h"

#define USUAL_USER "amtunlock"

typedef struct {
    uid_t uid;
    gid_t gid;
    const char *name; /* NULL: there is only a number */
} user_t;

static int find_user(user_t *user, const struct passwd *entry)
{
    if (entry == NULL) {
        return 0;
    }
    *user = (user_t){.uid = entry->pw_uid, .gid = entry->pw_gid, .name = entry->pw_name};
    return 1;
}

/* Whose state-dir it is, or the usual user where there is none yet. 0: root's own, or nobody knows. */
static int find_owner_of_state(user_t *user, const char *settings_file, apr_pool_t *pool)
{
    apr_array_header_t *problems = apr_array_make(pool, 4, sizeof(inventory_problem_t));
    settings_t *settings = NULL;
    struct stat info;

    if (settings_load(&settings, settings_file, problems, pool) != APR_SUCCESS) {
        return 0; /* whoever reads them next says why */
    }
    if (stat(settings->state_dir, &info) != 0) {
        return find_user(user, getpwnam(USUAL_USER));
    }
    if (info.st_uid == 0) {
        return 0;
    }
    if (!find_user(user, getpwuid(info.st_uid))) {
        *user = (user_t){.uid = info.st_uid, .gid = info.st_gid};
    }
    return 1;
}

static const char *become_user(const user_t *user, apr_pool_t *pool)
{
    int failed = user->name != NULL ? initgroups(user->name, user->gid) : setgroups(0, NULL);

    if (failed || setgid(user->gid) != 0 || setuid(user->uid) != 0) {
        return apr_psprintf(pool, "user %d cannot be taken: %s", (int)user->uid, text_strerror(errno, pool));
    }
    return NULL;
}

const char *user_take(const char *name, const char *settings_file, apr_pool_t *pool)
{
    user_t user;

    if (geteuid() != 0) {
        return name != NULL ? "only root can check as another user (-u)" : NULL;
    }
    if (name == NULL) {
        return find_owner_of_state(&user, settings_file, pool) ? become_user(&user, pool) : NULL;
    }
    return find_user(&user, getpwnam(name)) ? become_user(&user, pool)
                                            : apr_psprintf(pool, "there is no user %s", name);
}
