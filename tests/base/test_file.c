#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "unit.h"

static char *folder;

static int enter(void **state) {
    folder = make_folder();
    return 0;
}

static int leave(void **state) {
    remove_folder(folder);
    return 0;
}

static int entries(void) {
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

static void mapping(void **state) {
    nrw_mapping m;
    nrw_error err;
    const char *path = in_folder(folder, "a");
    put_file(path, "hello", 5);
    assert_ok(nrw_map_file(path, &m, &err), &err);
    assert_int_equal(m.size, 5);
    assert_memory_equal(m.data, "hello", 5);
    nrw_unmap_file(&m);
    assert_null(m.data);
    nrw_unmap_file(&m);
    put_file(path, "", 0);
    assert_ok(nrw_map_file(path, &m, &err), &err);
    assert_null(m.data);
    nrw_unmap_file(&m);
    assert_fails(nrw_map_file(in_folder(folder, "none"), &m, &err), NRW_ERR_IO, &err, "none");
    assert_fails(nrw_map_file(folder, &m, &err), NRW_ERR_IO, &err, "folder");
    const char *pipe_path = in_folder(folder, "pipe");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_fails(nrw_map_file(pipe_path, &m, &err), NRW_ERR_IO, &err, "regular");
}

static void check_file(const char *path, const unsigned char *want, size_t size) {
    nrw_mapping m;
    nrw_error err;
    assert_ok(nrw_map_file(path, &m, &err), &err);
    assert_int_equal(m.size, size);
    if (size) assert_memory_equal(m.data, want, size);
    nrw_unmap_file(&m);
}

static void output_appears_whole(void **state) {
    nrw_output *o;
    nrw_error err;
    static unsigned char data[1 << 20];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7 + i / 1000);
    const char *path = in_folder(folder, "out");
    put_file(path, "old", 3);
    mode_t mask = umask(027);
    assert_ok(nrw_output_open(nrw_system_allocator(), path, &o, &err), &err);
    size_t at = 0;
    for (size_t piece = 1; at < sizeof data; piece = piece * 3 % 400009 + 1) {
        size_t n = piece < sizeof data - at ? piece : sizeof data - at;
        assert_ok(nrw_output_write(o, data + at, n, &err), &err);
        at += n;
        assert_int_equal(nrw_output_tell(o), at);
    }
    check_file(path, (const unsigned char *)"old", 3);
    assert_ok(nrw_output_commit(o, &err), &err);
    check_file(path, data, sizeof data);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    umask(mask);
    assert_int_equal(entries(), 1);
}

static void output_abort_leaves_nothing(void **state) {
    nrw_output *o;
    nrw_error err;
    const char *path = in_folder(folder, "out");
    assert_ok(nrw_output_open(nrw_system_allocator(), path, &o, &err), &err);
    assert_ok(nrw_output_write(o, "x", 1, &err), &err);
    nrw_output_abort(o);
    assert_int_equal(entries(), 0);
    nrw_output_abort(NULL);
    put_file(path, "old", 3);
    assert_ok(nrw_output_open(nrw_system_allocator(), path, &o, &err), &err);
    nrw_output_abort(o);
    check_file(path, (const unsigned char *)"old", 3);
    assert_int_equal(entries(), 1);
}

static void output_refusals(void **state) {
    nrw_output *o;
    nrw_error err;
    const nrw_allocator *heap = nrw_system_allocator();
    assert_fails(nrw_output_open(heap, folder, &o, &err), NRW_ERR_IO, &err, "folder");
    assert_fails(nrw_output_open(heap, in_folder(folder, "no/where"), &o, &err), NRW_ERR_IO, &err,
                 "no/where");
    assert_null(o);
    for (int64_t fail_at = 0;; fail_at++) {
        failing_allocator failing;
        failing_init(&failing, fail_at);
        nrw_status s = nrw_output_open(&failing.allocator, in_folder(folder, "x"), &o, &err);
        if (s == NRW_OK) nrw_output_abort(o);
        assert_int_equal(failing.live, 0);
        assert_int_equal(entries(), 0);
        if (s == NRW_OK) break;
        assert_int_equal(s, NRW_ERR_MEMORY);
    }
}

/* Commit over something that became a folder meanwhile: an error, and no temporary stays. */
static void output_commit_fails_cleanly(void **state) {
    nrw_output *o;
    nrw_error err;
    const char *path = in_folder(folder, "out");
    assert_ok(nrw_output_open(nrw_system_allocator(), path, &o, &err), &err);
    assert_int_equal(mkdir(path, 0700), 0);
    put_file(in_folder(folder, "out/inside"), "x", 1);
    assert_fails(nrw_output_commit(o, &err), NRW_ERR_IO, &err, "out");
    assert_int_equal(entries(), 1);
}

static void output_to_links_and_devices(void **state) {
    nrw_output *o;
    nrw_error err;
    const char *link = in_folder(folder, "link"), *target = in_folder(folder, "target");
    put_file(target, "old", 3);
    assert_int_equal(symlink("target", link), 0);
    assert_ok(nrw_output_open(nrw_system_allocator(), link, &o, &err), &err);
    assert_ok(nrw_output_write(o, "new!", 4, &err), &err);
    assert_ok(nrw_output_commit(o, &err), &err);
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    check_file(target, (const unsigned char *)"new!", 4);
    assert_ok(nrw_output_open(nrw_system_allocator(), "/dev/null", &o, &err), &err);
    assert_ok(nrw_output_write(o, "x", 1, &err), &err);
    assert_ok(nrw_output_commit(o, &err), &err);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static nrw_status beside(const char *base, const char *name, nrw_error *err) {
    static char found[1024];
    nrw_arena a;
    nrw_arena_init(&a, nrw_system_allocator());
    const char *path;
    nrw_status s = nrw_path_beside(&a, base, name, strlen(name), &path, err);
    if (s == NRW_OK) {
        snprintf(found, sizeof found, "%s", path);
        assert_non_null(strstr(found, name));
    }
    nrw_arena_free(&a);
    return s;
}

static void paths_beside(void **state) {
    nrw_error err;
    const char *base = in_folder(folder, "model.onnx");
    put_file(in_folder(folder, "weights"), "w", 1);
    assert_int_equal(mkdir(in_folder(folder, "sub"), 0700), 0);
    put_file(in_folder(folder, "sub/w"), "w", 1);
    assert_ok(beside(base, "weights", &err), &err);
    assert_ok(beside(base, "./weights", &err), &err);
    assert_ok(beside(base, "sub/w", &err), &err);
    assert_ok(beside(base, "new", &err), &err); /* to be written */
    assert_ok(beside(base, "sub/new", &err), &err);
    assert_ok(beside(base, "..weights", &err), &err);
    assert_fails(beside(base, "/etc/passwd", &err), NRW_ERR_FORMAT, &err, "outside");
    assert_fails(beside(base, "../x", &err), NRW_ERR_FORMAT, &err, "outside");
    assert_fails(beside(base, "sub/../../x", &err), NRW_ERR_FORMAT, &err, "outside");
    assert_fails(beside(base, "sub/..", &err), NRW_ERR_FORMAT, &err, "outside");
    assert_fails(beside(base, "", &err), NRW_ERR_FORMAT, &err, "empty");
    assert_fails(beside(base, "none/x", &err), NRW_ERR_IO, &err, "none");
    assert_int_equal(symlink("/etc", in_folder(folder, "etc")), 0);
    assert_int_equal(symlink("/etc/passwd", in_folder(folder, "pw")), 0);
    assert_int_equal(symlink("sub/w", in_folder(folder, "fine")), 0);
    assert_int_equal(symlink("/nowhere/at/all", in_folder(folder, "broken")), 0);
    assert_fails(beside(base, "etc/passwd", &err), NRW_ERR_FORMAT, &err, "symbolic");
    assert_fails(beside(base, "etc/new-file", &err), NRW_ERR_FORMAT, &err, "symbolic");
    assert_fails(beside(base, "pw", &err), NRW_ERR_FORMAT, &err, "symbolic");
    assert_fails(beside(base, "broken", &err), NRW_ERR_FORMAT, &err, "symbolic");
    assert_ok(beside(base, "fine", &err), &err);

    nrw_arena a;
    const char *path;
    nrw_arena_init(&a, nrw_system_allocator());
    assert_fails(nrw_path_beside(&a, base, "we\0ights", 8, &path, &err), NRW_ERR_FORMAT, &err,
                 "malformed");
    assert_ok(nrw_path_beside(&a, "model.onnx", "meson.buildings", 11, &path, &err), &err);
    assert_string_equal(path, "meson.build"); /* the current folder */
    nrw_arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mapping, enter, leave),
        cmocka_unit_test_setup_teardown(output_appears_whole, enter, leave),
        cmocka_unit_test_setup_teardown(output_abort_leaves_nothing, enter, leave),
        cmocka_unit_test_setup_teardown(output_refusals, enter, leave),
        cmocka_unit_test_setup_teardown(output_commit_fails_cleanly, enter, leave),
        cmocka_unit_test_setup_teardown(output_to_links_and_devices, enter, leave),
        cmocka_unit_test_setup_teardown(paths_beside, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
