#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Length of the UTF-8 sequence at s (RFC 3629, section 4), or 0 if there is none. */
static size_t utf8_length(const unsigned char *s) {
    static const unsigned char low[] = {0xA0, 0x80, 0x90, 0x80}, high[] = {0xBF, 0x9F, 0xBF, 0x8F};
    if (s[0] < 0x80) return 1;
    size_t n = s[0] >= 0xC2 && s[0] < 0xE0 ? 2
               : s[0] < 0xE0               ? 0
               : s[0] < 0xF0               ? 3
               : s[0] < 0xF5               ? 4
                                           : 0;
    int special = s[0] == 0xE0 ? 0 : s[0] == 0xED ? 1 : s[0] == 0xF0 ? 2 : s[0] == 0xF4 ? 3 : -1;
    for (size_t i = 1; i < n; i++) {
        if (s[i] < 0x80 || s[i] > 0xBF) return 0;
    }
    if (special >= 0 && (s[1] < low[special] || s[1] > high[special])) return 0;
    return n;
}

/* Messages quote names from files: whatever these hold, a message is one line of text. */
static void make_printable(char *text) {
    for (unsigned char *s = (unsigned char *)text; *s != '\0';) {
        size_t n = utf8_length(s);
        if (n == 0 || *s < 0x20 || *s == 0x7F) {
            *s = '?';
            n = 1;
        }
        s += n;
    }
}

nrw_status nrw_error_set(nrw_error *err, nrw_status code, const char *fmt, ...) {
    if (!err) return code;
    /* Formatted aside: the arguments may point into the old message. */
    char text[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    make_printable(text);
    err->code = code;
    memcpy(err->message, text, strlen(text) + 1);
    return code;
}

nrw_status nrw_error_prefix(nrw_error *err, nrw_status code, const char *fmt, ...) {
    if (!err) return code;
    char text[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t n = strlen(text);
    snprintf(text + n, sizeof text - n, ": %s", err->message);
    make_printable(text);
    memcpy(err->message, text, strlen(text) + 1);
    return code;
}

const char *nrw_status_name(nrw_status s) {
    switch (s) {
    case NRW_OK:
        return "ok";
    case NRW_ERR_MEMORY:
        return "out of memory";
    case NRW_ERR_IO:
        return "input/output error";
    case NRW_ERR_FORMAT:
        return "malformed file";
    case NRW_ERR_UNSUPPORTED:
        return "not supported";
    case NRW_ERR_ARGUMENT:
        return "invalid argument";
    case NRW_ERR_SHAPE:
        return "shapes or types do not fit";
    case NRW_ERR_DATA:
        return "unusable data";
    case NRW_ERR_CANCELLED:
        return "cancelled";
    case NRW_ERR_INTERNAL:
        return "internal error";
    }
    return "unknown status";
}
