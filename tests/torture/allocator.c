/* SPDX-License-Identifier: Apache-2.0 */
/* malloc() and its family, over the C library's own: each block between two red zones, and filled when it is
 * freed, so that what writes beyond its end or uses it afterwards shows. A block that is made larger always
 * moves.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "failing.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <dlfcn.h>
#include <execinfo.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

#define LIVE UINT64_C(0xa110ca7edb10c4ed)
#define FREED UINT64_C(0xdeadb10cdeadb10c)
#define TAIL 16
#define TAIL_BYTE 0xa5
#define FRESH_BYTE 0xcd
#define FREED_BYTE 0xdd
#define ALIGNMENT 16
/* Freed blocks that are kept back: none larger than this, and so many of them. */
#define KEPT_SIZE 65536
#define KEPT 2048

typedef struct block_t block_t;
struct block_t {
    block_t *before, *after;
    void *base; /* as the C library gave it */
    size_t size;
    const void *caller;
    unsigned long serial;
    uint64_t unused;
    uint64_t mark; /* LIVE or FREED; last, where what writes before its block meets it */
};

void *__libc_malloc(size_t size);
void __libc_free(void *block);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block_t anchor = {&anchor, &anchor, NULL, 0, NULL, 0, 0, 0};
static block_t *kept[KEPT];
static size_t kept_at;
static long live, pages;
static unsigned long serial;

/* ---- red zones ----------------------------------------------------------------------------------------- */

static void say(const char *what, const block_t *block)
{
    char text[200];
    int length =
        snprintf(text, sizeof(text), "%s: a block of %zu bytes, allocated from\n", what, block->size);
    void *frame[1] = {(void *)(uintptr_t)block->caller};

    if (write(STDERR_FILENO, text, (size_t)length) == length) {
        backtrace_symbols_fd(frame, 1, STDERR_FILENO);
    }
}

static void die(const char *what, const block_t *block)
{
    failing_pause();
    say(what, block);
    abort();
}

static unsigned char *bytes_of(const block_t *block)
{
    return (unsigned char *)(uintptr_t)(block + 1);
}

static int all_are(const unsigned char *bytes, size_t length, unsigned char byte)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != byte) {
            return 0;
        }
    }
    return 1;
}

static void look_at_live(const block_t *block)
{
    if (block->mark != LIVE) {
        die("freed twice, or never allocated, or written before its beginning", block);
    }
    if (!all_are(bytes_of(block) + block->size, TAIL, TAIL_BYTE)) {
        die("written behind its end", block);
    }
}

static void look_at_freed(const block_t *block)
{
    if (block->mark != FREED || !all_are(bytes_of(block), block->size, FREED_BYTE)) {
        die("written after it was freed", block);
    }
}

/* ---- blocks -------------------------------------------------------------------------------------------- */

static void *make(size_t size, size_t alignment, unsigned char fill, const void *caller)
{
    size_t whole = sizeof(block_t) + alignment + size + TAIL;
    char *base = whole < size ? NULL : __libc_malloc(whole);
    uintptr_t at;
    block_t *block;

    if (base == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    at = ((uintptr_t)base + sizeof(block_t) + alignment - 1) / alignment * alignment;
    block = (block_t *)at - 1;
    memset(bytes_of(block), fill, size);
    memset(bytes_of(block) + size, TAIL_BYTE, TAIL);
    pthread_mutex_lock(&lock);
    *block = (block_t){&anchor, anchor.after, base, size, caller, ++serial, 0, LIVE};
    anchor.after->before = block;
    anchor.after = block;
    live++;
    pthread_mutex_unlock(&lock);
    return block + 1;
}

static void unlink_block(block_t *block)
{
    block->before->after = block->after;
    block->after->before = block->before;
    block->mark = FREED;
    live--;
}

static void drop(block_t *block)
{
    block_t *gone = block;

    pthread_mutex_lock(&lock);
    look_at_live(block);
    unlink_block(block);
    memset(bytes_of(block), FREED_BYTE, block->size);
    if (block->size <= KEPT_SIZE) {
        gone = kept[kept_at];
        kept[kept_at] = block;
        kept_at = (kept_at + 1) % KEPT;
    }
    if (gone != NULL) {
        look_at_freed(gone);
        __libc_free(gone->base);
    }
    pthread_mutex_unlock(&lock);
}

static int has_none(const char *call, const void *caller)
{
    static const char *const ways[] = {"ENOMEM"};

    if (failing_way(call, ways, 1, caller) < 0) {
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

EXPORT void *malloc(size_t size)
{
    return has_none("malloc", CALLER) ? NULL : make(size, ALIGNMENT, FRESH_BYTE, CALLER);
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t whole = 0;

    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return has_none("calloc", CALLER) ? NULL : make(whole, ALIGNMENT, 0, CALLER);
}

EXPORT void free(void *bytes)
{
    if (bytes != NULL) {
        int number = errno;

        drop((block_t *)bytes - 1);
        errno = number;
    }
}

static void *resize(void *bytes, size_t size, const void *caller)
{
    block_t *block;
    void *moved;

    if (bytes == NULL) {
        return make(size, ALIGNMENT, FRESH_BYTE, caller);
    }
    block = (block_t *)bytes - 1;
    look_at_live(block);
    if (size == 0) {
        drop(block);
        return NULL;
    }
    moved = make(size, ALIGNMENT, FRESH_BYTE, caller);
    if (moved != NULL) {
        memcpy(moved, bytes, size < block->size ? size : block->size);
        drop(block);
    }
    return moved;
}

EXPORT void *realloc(void *bytes, size_t size)
{
    return has_none("realloc", CALLER) ? NULL : resize(bytes, size, CALLER);
}

EXPORT void *reallocarray(void *bytes, size_t count, size_t size)
{
    size_t whole = 0;

    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return has_none("reallocarray", CALLER) ? NULL : resize(bytes, whole, CALLER);
}

static void *make_aligned(size_t alignment, size_t size, const void *caller)
{
    return has_none("aligned_alloc", caller)
               ? NULL
               : make(size, alignment < ALIGNMENT ? ALIGNMENT : alignment, FRESH_BYTE, caller);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return make_aligned(alignment, size, CALLER);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return make_aligned(alignment, size, CALLER);
}

EXPORT int posix_memalign(void **bytes, size_t alignment, size_t size)
{
    void *made = make_aligned(alignment, size, CALLER);

    if (made == NULL) {
        return ENOMEM;
    }
    *bytes = made;
    return 0;
}

EXPORT size_t malloc_usable_size(void *bytes)
{
    return bytes ? ((block_t *)bytes - 1)->size : 0;
}

/* ---- pages: what APR's pools are made of where it was built so ----------------------------------------- */

typedef void *map_fn(void *address, size_t length, int protection, int flags, int fd, off_t offset);

static void *map(const char *name, void *address, size_t length, int protection, int flags, int fd,
                 off_t offset, const void *caller)
{
    void *mapped;

    static const char *const ways[] = {"ENOMEM"};
    map_fn *real = (map_fn *)dlsym(RTLD_NEXT, name);
    int is_pool = (flags & MAP_ANONYMOUS) && failing_is_apr(caller);
    if (failing_way(name, ways, 1, caller) >= 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    mapped = real(address, length, protection, flags, fd, offset);
    if (is_pool && mapped != MAP_FAILED) {
        __atomic_fetch_add(&pages, 1, __ATOMIC_RELAXED);
    }
    return mapped;
}

EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return map("mmap", address, length, protection, flags, fd, offset, CALLER);
}

EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return map("mmap64", address, length, protection, flags, fd, offset, CALLER);
}

EXPORT int munmap(void *address, size_t length)
{
    static int (*real)(void *, size_t);

    if (real == NULL) {
        real = (int (*)(void *, size_t))dlsym(RTLD_NEXT, "munmap");
    }
    if (failing_is_apr(CALLER)) {
        __atomic_fetch_sub(&pages, 1, __ATOMIC_RELAXED);
    }
    return real(address, length);
}

/* ---- looking ------------------------------------------------------------------------------------------- */

long allocator_live(void)
{
    return live + pages;
}

unsigned long allocator_serial(void)
{
    return serial;
}

void allocator_look(void)
{
    pthread_mutex_lock(&lock);
    for (const block_t *block = anchor.after; block != &anchor; block = block->after) {
        look_at_live(block);
    }
    for (size_t i = 0; i < KEPT; i++) {
        if (kept[i] != NULL) {
            look_at_freed(kept[i]);
        }
    }
    pthread_mutex_unlock(&lock);
}

long allocator_of_loader_since(unsigned long since)
{
    long count = 0;
    Dl_info info;

    failing_pause();
    for (const block_t *block = anchor.after; block != &anchor && block->serial > since;
         block = block->after) {
        count += dladdr(block->caller, &info) != 0 && info.dli_fname != NULL &&
                 strstr(info.dli_fname, "/ld-") != NULL;
    }
    failing_resume();
    return count;
}

void allocator_print_since(unsigned long since)
{
    failing_pause();
    for (const block_t *block = anchor.after; block != &anchor; block = block->after) {
        if (block->serial > since) {
            say("left behind", block);
        }
    }
    failing_resume();
}
