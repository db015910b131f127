#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

nrw_status nrw_map_file(const char *path, nrw_mapping *out, nrw_error *err) {
    *out = (nrw_mapping){0};
    /* Without O_NONBLOCK, opening a pipe would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) NRW_FAIL(err, NRW_ERR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    nrw_status status = NRW_OK;
    if (fstat(fd, &st) != 0) {
        status = nrw_error_set(err, NRW_ERR_IO, "%s: %s", path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        status = nrw_error_set(err, NRW_ERR_IO, "%s: is a folder", path);
    } else if (!S_ISREG(st.st_mode)) {
        status = nrw_error_set(err, NRW_ERR_IO, "%s: not a regular file", path);
    } else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            status = nrw_error_set(err, NRW_ERR_IO, "%s: %s", path, strerror(errno));
        } else {
            *out = (nrw_mapping){p, (size_t)st.st_size};
        }
    }
    close(fd);
    return status;
}

void nrw_unmap_file(nrw_mapping *m) {
    if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
    *m = (nrw_mapping){0};
}

void nrw_mapping_forget(const nrw_mapping *m) {
    if (m->size > 0) madvise((void *)(uintptr_t)m->data, m->size, MADV_DONTNEED);
}

/* Output ------------------------------------------------------------------------------------ */

enum { BUFFER = 256 * 1024, ATTEMPTS = 16 };

struct nrw_output {
    const nrw_allocator *allocator;
    char *path;      /* where the file goes */
    char *temporary; /* NULL: a device or pipe, written to directly */
    size_t path_bytes, temporary_bytes;
    int fd;
    uint64_t written; /* handed over by the caller */
    size_t buffered;
    unsigned char buffer[BUFFER];
};

static char *copy_text(const nrw_allocator *a, const char *s, size_t *bytes) {
    *bytes = strlen(s) + 1;
    char *p = nrw_mem_alloc(a, *bytes);
    if (p) memcpy(p, s, *bytes);
    return p;
}

/* Length of the folder part of path, with its last slash; 0 if there is none. */
static size_t folder_size(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Creates a new file beside o->path. The mode is left to the umask, as with any plain open. */
static nrw_status open_temporary(nrw_output *o, nrw_error *err) {
    static const char pattern[] = ".narrow-0123456789abcdef";
    size_t folder = folder_size(o->path);
    o->temporary_bytes = folder + sizeof pattern;
    o->temporary = nrw_mem_alloc(o->allocator, o->temporary_bytes);
    if (!o->temporary) NRW_OOM(err);
    memcpy(o->temporary, o->path, folder);
    for (int i = 0; i < ATTEMPTS; i++) {
        uint64_t r = 0;
        if (getentropy(&r, sizeof r) != 0) r = (uint64_t)getpid() * ATTEMPTS + (uint64_t)i;
        snprintf(o->temporary + folder, sizeof pattern, ".narrow-%016llx", (unsigned long long)r);
        o->fd = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (o->fd >= 0) return NRW_OK;
        if (errno != EEXIST) break;
    }
    int why = errno;
    nrw_mem_free(o->allocator, o->temporary, o->temporary_bytes);
    o->temporary = NULL; /* nothing to remove */
    NRW_FAIL(err, NRW_ERR_IO, "%s: %s", o->path, strerror(why));
}

static nrw_status open_output(nrw_output *o, const char *path, nrw_error *err) {
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) NRW_FAIL(err, NRW_ERR_IO, "%s: is a folder", path);
    if (exists && !S_ISREG(st.st_mode)) {
        o->path = copy_text(o->allocator, path, &o->path_bytes);
        if (!o->path) NRW_OOM(err);
        o->fd = open(path, O_WRONLY | O_CLOEXEC);
        if (o->fd < 0) NRW_FAIL(err, NRW_ERR_IO, "%s: %s", path, strerror(errno));
        return NRW_OK;
    }
    /* A symbolic link stays one: what it points to is replaced. */
    char resolved[PATH_MAX];
    const char *target = exists && realpath(path, resolved) ? resolved : path;
    o->path = copy_text(o->allocator, target, &o->path_bytes);
    if (!o->path) NRW_OOM(err);
    return open_temporary(o, err);
}

nrw_status nrw_output_open(const nrw_allocator *a, const char *path, nrw_output **out,
                           nrw_error *err) {
    *out = NULL;
    nrw_output *o = nrw_mem_alloc(a, sizeof *o);
    if (!o) NRW_OOM(err);
    o->allocator = a;
    o->path = o->temporary = NULL;
    o->fd = -1;
    o->written = 0;
    o->buffered = 0;
    nrw_status status = open_output(o, path, err);
    if (status != NRW_OK) {
        nrw_output_abort(o);
        return status;
    }
    *out = o;
    return NRW_OK;
}

static nrw_status write_all(nrw_output *o, const unsigned char *p, size_t n, nrw_error *err) {
    while (n) {
        ssize_t done = write(o->fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) NRW_FAIL(err, NRW_ERR_IO, "%s: %s", o->path, strerror(errno));
        p += done;
        n -= (size_t)done;
    }
    return NRW_OK;
}

static nrw_status flush(nrw_output *o, nrw_error *err) {
    size_t n = o->buffered;
    o->buffered = 0;
    return write_all(o, o->buffer, n, err);
}

nrw_status nrw_output_write(nrw_output *o, const void *p, size_t n, nrw_error *err) {
    if (!n) return NRW_OK;
    o->written += n;
    if (n > BUFFER - o->buffered) NRW_TRY(flush(o, err));
    if (n >= BUFFER) return write_all(o, p, n, err);
    memcpy(o->buffer + o->buffered, p, n);
    o->buffered += n;
    return NRW_OK;
}

uint64_t nrw_output_tell(const nrw_output *o) {
    return o->written;
}

static void release(nrw_output *o) {
    nrw_mem_free(o->allocator, o->path, o->path_bytes);
    nrw_mem_free(o->allocator, o->temporary, o->temporary_bytes);
    nrw_mem_free(o->allocator, o, sizeof *o);
}

nrw_status nrw_output_commit(nrw_output *o, nrw_error *err) {
    nrw_status status = flush(o, err);
    /* Network file systems report failed writes at close. */
    if (close(o->fd) != 0 && status == NRW_OK) {
        status = nrw_error_set(err, NRW_ERR_IO, "%s: %s", o->path, strerror(errno));
    }
    if (o->temporary && status == NRW_OK && rename(o->temporary, o->path) != 0) {
        status = nrw_error_set(err, NRW_ERR_IO, "%s: %s", o->path, strerror(errno));
    }
    if (o->temporary && status != NRW_OK) unlink(o->temporary);
    release(o);
    return status;
}

void nrw_output_abort(nrw_output *o) {
    if (!o) return;
    if (o->fd >= 0) close(o->fd);
    if (o->temporary) unlink(o->temporary);
    release(o);
}

/* Names beside a file ----------------------------------------------------------------------- */

static bool has_dotdot(const char *name) {
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.') return true;
        p += n + (p[n] == '/');
    }
    return false;
}

static bool is_inside(const char *folder, const char *path) {
    size_t n = strlen(folder);
    if (n && folder[n - 1] == '/') n--;
    return strncmp(folder, path, n) == 0 && path[n] == '/';
}

nrw_status nrw_path_beside(nrw_arena *a, const char *base_file, const char *name, size_t name_size,
                           const char **out, nrw_error *err) {
    char *file = nrw_arena_strndup(a, name, name_size);
    if (!file) NRW_OOM(err);
    if (!name_size || strlen(file) != name_size) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "%s: refers to a file by an empty or malformed name",
                 base_file);
    }
    if (file[0] == '/' || has_dotdot(file)) {
        NRW_FAIL(err, NRW_ERR_FORMAT, "%s: refers to '%s', which is outside its folder", base_file,
                 file);
    }
    size_t folder_bytes = folder_size(base_file);
    char *folder =
        folder_bytes ? nrw_arena_strndup(a, base_file, folder_bytes) : nrw_arena_strdup(a, "./");
    char *path = folder ? nrw_arena_printf(a, "%s%s", folder_bytes ? folder : "", file) : NULL;
    if (!path) NRW_OOM(err);

    char real_folder[PATH_MAX], real_path[PATH_MAX];
    if (!realpath(folder, real_folder)) {
        NRW_FAIL(err, NRW_ERR_IO, "%s: %s", folder, strerror(errno));
    }
    if (!realpath(path, real_path)) {
        /* Fine for a file that is about to be written: then its folder must be inside. A link that
         * points nowhere could be made to point anywhere. */
        struct stat st;
        int why = errno;
        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
            NRW_FAIL(err, NRW_ERR_FORMAT, "%s: refers to '%s', a broken symbolic link", base_file,
                     file);
        }
        size_t parent_bytes = folder_size(path);
        char *parent = parent_bytes ? nrw_arena_strndup(a, path, parent_bytes) : folder;
        if (!parent) NRW_OOM(err);
        if (why != ENOENT || !realpath(parent, real_path)) {
            NRW_FAIL(err, NRW_ERR_IO, "%s: %s", path, strerror(why));
        }
        if (strcmp(real_folder, real_path) == 0) {
            *out = path;
            return NRW_OK;
        }
    }
    if (!is_inside(real_folder, real_path)) {
        NRW_FAIL(err, NRW_ERR_FORMAT,
                 "%s: refers to '%s', a symbolic link that leads outside its folder", base_file,
                 file);
    }
    *out = path;
    return NRW_OK;
}
