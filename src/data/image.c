/* JPEG and PNG files to 8-bit pixels. Colours become grey as Pillow makes them so: ITU-R 601-2 luma
 * in 16-bit fixed point. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>
#include <spng.h>

#include "data/source.h"

/* A picture that claims more than this is taken for an attack on memory. */
enum { MAX_PIXELS = 1 << 27 };

static nrw_status check_size(const char *path, uint64_t width, uint64_t height, nrw_error *err) {
    if (!width || !height || width > MAX_PIXELS || width * height > MAX_PIXELS) {
        NRW_FAIL(err, NRW_ERR_DATA, "%s: refused: an image of %llu x %llu pixels", path,
                 (unsigned long long)width, (unsigned long long)height);
    }
    return NRW_OK;
}

/* n pixels of `from` channels (3 or 4) to `to` channels. In place works when to <= from. */
static void convert(unsigned char *dst, int to, const unsigned char *src, int from, int64_t n) {
    for (int64_t i = 0; i < n; i++, src += from, dst += to) {
        unsigned r = src[0], g = src[1], b = src[2], a = from == 4 ? src[3] : 255;
        if (to == 1) {
            dst[0] = (unsigned char)((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
        } else {
            dst[0] = (unsigned char)r;
            dst[1] = (unsigned char)g;
            dst[2] = (unsigned char)b;
            if (to == 4) dst[3] = (unsigned char)a;
        }
    }
}

typedef struct jpeg_errors {
    struct jpeg_error_mgr base;
    jmp_buf escape;
    char message[JMSG_LENGTH_MAX];
} jpeg_errors;

static void jpeg_fail(j_common_ptr info) {
    jpeg_errors *e = (jpeg_errors *)info->err;
    e->base.format_message(info, e->message);
    longjmp(e->escape, 1);
}

/* Warnings pass, but for a file that ends early: its rest would be grey. */
static void jpeg_message(j_common_ptr info, int level) {
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) jpeg_fail(info);
}

static nrw_status read_jpeg(const char *path, nrw_mapping file, int channels, nrw_buffer *out,
                            int64_t *height, int64_t *width, nrw_error *err) {
    struct jpeg_decompress_struct info = {0};
    jpeg_errors errors;
    nrw_buffer line = {.allocator = out->allocator};
    nrw_buffer *volatile lines = &line; /* survives the jump */
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jpeg_fail;
    errors.base.emit_message = jpeg_message;
    volatile nrw_status status = NRW_OK;
    if (setjmp(errors.escape)) {
        status = nrw_error_set(err, NRW_ERR_DATA, "%s: damaged JPEG: %s", path, errors.message);
        goto done;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, file.data, (unsigned long)file.size);
    jpeg_read_header(&info, TRUE);
    status = check_size(path, info.image_width, info.image_height, err);
    if (status != NRW_OK) goto done;
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    *width = info.output_width;
    *height = info.output_height;
    size_t row_bytes = (size_t)*width * (size_t)channels;
    unsigned char *pixels = nrw_buffer_need(out, row_bytes * (size_t)*height);
    unsigned char *row = nrw_buffer_need(lines, (size_t)*width * 3);
    if (!pixels || !row) {
        status = nrw_error_set(err, NRW_ERR_MEMORY, "%s: out of memory", path);
        goto done;
    }
    while (info.output_scanline < info.output_height) {
        unsigned char *to = pixels + info.output_scanline * row_bytes;
        jpeg_read_scanlines(&info, &row, 1);
        convert(to, channels, row, 3, *width);
    }
    jpeg_finish_decompress(&info);
done:
    jpeg_destroy_decompress(&info);
    nrw_buffer_free(lines);
    return status;
}

static nrw_status decode_png(spng_ctx *png, const char *path, nrw_mapping file, int channels,
                             nrw_buffer *out, int64_t *height, int64_t *width, nrw_error *err) {
    struct spng_ihdr head;
    size_t bytes;
    int code = spng_set_chunk_limits(png, 1 << 24, 1 << 26);
    if (!code) code = spng_set_png_buffer(png, file.data, file.size);
    if (!code) code = spng_get_ihdr(png, &head);
    if (code) NRW_FAIL(err, NRW_ERR_DATA, "%s: damaged PNG: %s", path, spng_strerror(code));
    NRW_TRY(check_size(path, head.width, head.height, err));
    code = spng_decoded_image_size(png, SPNG_FMT_RGBA8, &bytes);
    if (code) NRW_FAIL(err, NRW_ERR_DATA, "%s: damaged PNG: %s", path, spng_strerror(code));
    unsigned char *pixels = nrw_buffer_need(out, bytes);
    if (!pixels) NRW_OOM(err);
    code = spng_decode_image(png, pixels, bytes, SPNG_FMT_RGBA8, 0);
    if (code) NRW_FAIL(err, NRW_ERR_DATA, "%s: damaged PNG: %s", path, spng_strerror(code));
    *width = head.width;
    *height = head.height;
    convert(pixels, channels, pixels, 4, *width * *height);
    return NRW_OK;
}

static nrw_status read_png(const char *path, nrw_mapping file, int channels, nrw_buffer *out,
                           int64_t *height, int64_t *width, nrw_error *err) {
    spng_ctx *png = spng_ctx_new(0);
    if (!png) NRW_OOM(err);
    nrw_status status = decode_png(png, path, file, channels, out, height, width, err);
    spng_ctx_free(png);
    return status;
}

nrw_status nrw_image_read(const char *path, int channels, nrw_buffer *out, int64_t *height,
                          int64_t *width, nrw_error *err) {
    nrw_mapping file;
    nrw_status status;
    NRW_TRY(nrw_map_file(path, &file, err));
    if (file.size > 3 && memcmp(file.data, "\xff\xd8\xff", 3) == 0) {
        status = read_jpeg(path, file, channels, out, height, width, err);
    } else if (file.size > 8 && memcmp(file.data, "\x89PNG\r\n\x1a\n", 8) == 0) {
        status = read_png(path, file, channels, out, height, width, err);
    } else {
        status = nrw_error_set(err, NRW_ERR_DATA, "%s: neither JPEG nor PNG", path);
    }
    nrw_unmap_file(&file);
    return status;
}
