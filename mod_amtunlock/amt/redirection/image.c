/* SPDX-License-Identifier: Apache-2.0 */
/* An image is copied into sealed memory once: a file that is overwritten or truncated meanwhile neither
 * changes what a PC boots half-way, nor ends this process by a page that is no longer there. */
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "amt/redirection/drive_priv.h"
#include "base/digest.h"
#include "base/text.h"

static const apr_uint64_t max_size = (apr_uint64_t)4 << 30;

struct amt_image_t {
    const unsigned char *bytes;
    size_t size;
    int memory;
};

/* With these nobody changes it any more. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static apr_status_t image_cleanup(void *baton)
{
    amt_image_t *image = baton;

    munmap((void *)image->bytes, image->size);
    close(image->memory);
    return APR_SUCCESS;
}

static const char *check_image(int fd, const char *file, struct stat *info, apr_pool_t *pool)
{
    if (fstat(fd, info)) {
        return apr_psprintf(pool, "the image %s cannot be read: %s", file, text_strerror(errno, pool));
    }
    if (!S_ISREG(info->st_mode)) {
        return apr_psprintf(pool, "the image %s is no regular file", file);
    }
    if (info->st_size <= 0 || info->st_size % AMT_SECTOR != 0) {
        return apr_psprintf(pool,
                            "the image %s is no CD image: its size, %" APR_OFF_T_FMT
                            " bytes, is no whole number of sectors of %d bytes",
                            file, (apr_off_t)info->st_size, AMT_SECTOR);
    }
    if ((apr_uint64_t)info->st_size > max_size) {
        return apr_psprintf(pool, "the image %s is larger than 4 GiB", file);
    }
    return NULL;
}

/* Fills the copy. 0 on success, an errno, or -1 for a file that ends early. */
static int copy_file(int from, int to, off_t size)
{
    off_t copied = 0;

    while (copied < size) {
        off_t left = size - copied;
        char buffer[32768];
        ssize_t got = read(from, buffer, left < (off_t)sizeof(buffer) ? (size_t)left : sizeof(buffer));

        if (got <= 0) {
            return got < 0 ? errno : -1;
        }
        if (pwrite(to, buffer, (size_t)got, copied) != got) {
            return errno ? errno : ENOSPC;
        }
        copied += got;
    }
    return 0;
}

/* 0, or an errno. Takes the descriptor where it succeeds. */
static int map_image(amt_image_t *image, int memory, apr_pool_t *pool)
{
    void *bytes = mmap(NULL, image->size, PROT_READ, MAP_SHARED, memory, 0);

    if (bytes == MAP_FAILED) {
        return errno;
    }
    image->bytes = bytes;
    image->memory = memory;
    apr_pool_cleanup_register(pool, image, image_cleanup, apr_pool_cleanup_null);
    return 0;
}

static const char *copy_image(amt_image_t *image, int fd, const char *file, apr_pool_t *pool)
{
    int memory = memfd_create("amtunlock-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int error = memory < 0 ? errno : copy_file(fd, memory, (off_t)image->size);

    if (error == 0 && fcntl(memory, F_ADD_SEALS, SEALS) != 0) {
        error = errno;
    }
    if (error == 0) {
        error = map_image(image, memory, pool);
    }
    if (error != 0 && memory >= 0) {
        close(memory);
    }
    if (error < 0) {
        return apr_psprintf(pool, "the image %s was cut while it was read: replace images by renaming", file);
    }
    return error == 0 ? NULL
                      : apr_psprintf(pool, "the image %s cannot be read into memory: %s", file,
                                     text_strerror(error, pool));
}

const char *amt_image_open(amt_image_t **out, const char *file, apr_pool_t *pool)
{
    amt_image_t *image = apr_pcalloc(pool, sizeof(*image));
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to wait for a pipe */
    struct stat info;
    const char *problem;

    if (fd < 0) {
        return apr_psprintf(pool, "the image %s cannot be opened: %s", file, text_strerror(errno, pool));
    }
    problem = check_image(fd, file, &info, pool);
    if (problem == NULL) {
        image->size = (size_t)info.st_size;
        problem = copy_image(image, fd, file, pool);
    }
    close(fd);
    if (problem == NULL) {
        *out = image;
    }
    return problem;
}

int amt_image_descriptor(const amt_image_t *image)
{
    return image->memory;
}

const char *amt_image_receive(amt_image_t **out, int descriptor, apr_pool_t *pool)
{
    amt_image_t *image = apr_pcalloc(pool, sizeof(*image));
    const char *problem;
    struct stat info;
    int seals, memory, error;

    seals = fcntl(descriptor, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS) {
        return "an image is no sealed memory";
    }
    problem = check_image(descriptor, "that was received", &info, pool);
    if (problem != NULL) {
        return problem;
    }
    image->size = (size_t)info.st_size;
    memory = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    error = memory >= 0 ? map_image(image, memory, pool) : errno;
    if (error != 0) {
        if (memory >= 0) {
            close(memory);
        }
        return apr_psprintf(pool, "an image cannot be mapped: %s", text_strerror(error, pool));
    }
    *out = image;
    return NULL;
}

int amt_image_digest(const amt_image_t *image, char *digits)
{
    return digest_sha256_hex(image->bytes, image->size, digits);
}

apr_uint32_t amt_image_sectors(const amt_image_t *image)
{
    return (apr_uint32_t)(image->size / AMT_SECTOR);
}

void amt_image_read(const amt_image_t *image, const amt_overlay_t *overlay, apr_uint64_t offset,
                    unsigned char *bytes, apr_size_t length)
{
    apr_uint64_t start = overlay != NULL ? (apr_uint64_t)overlay->lba * AMT_SECTOR : 0;
    apr_uint64_t first = offset > start ? offset : start;
    apr_uint64_t last = offset + length < start + AMT_SECTOR ? offset + length : start + AMT_SECTOR;

    memcpy(bytes, image->bytes + offset, length);
    if (overlay != NULL && first < last) {
        memcpy(bytes + (first - offset), overlay->bytes + (first - start), last - first);
    }
}
