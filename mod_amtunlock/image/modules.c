/* SPDX-License-Identifier: Apache-2.0 */
#include "image/modules_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image/image_priv.h"

#define MODULES_FOLDER "/modules"

static void module_load(const char *name)
{
    char path[256];
    int packed = strcmp(name + strlen(name) - 3, ".ko") != 0;
    int file;

    snprintf(path, sizeof(path), MODULES_FOLDER "/%s", name);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || (syscall(SYS_finit_module, file, "", packed ? MODULE_INIT_COMPRESSED_FILE : 0) != 0 &&
                     errno != EEXIST)) {
        image_say("%s: %s", path, strerror(errno));
    }
    if (file >= 0) {
        close(file);
    }
}

void modules_load(void)
{
    FILE *order = fopen(MODULES_FOLDER "/order", "re");
    char name[128];

    if (order == NULL) {
        image_say(MODULES_FOLDER "/order: %s", strerror(errno));
        return;
    }
    while (fgets(name, sizeof(name), order) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        if (strlen(name) > 3) {
            module_load(name);
        }
    }
    fclose(order);
}
