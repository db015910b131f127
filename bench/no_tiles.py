"""Takes AMX away from this thread and what it starts, whatever library asks for it.

Linux hands out the state of tiles on request (arch_prctl, ARCH_REQ_XCOMP_PERM); a seccomp filter
refuses it. Runtimes then run what they have for AVX-512 VNNI, also those that no variable caps.
"""
import ctypes
import errno
import os
import struct

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ARCH_X86_64, ARCH_PRCTL, REQ_XCOMP_PERM = 0xC000003E, 158, 0x1023
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06


def deny_tiles():
    """For good, so before anything that may want tiles is loaded. Raises OSError."""
    program = [(LOAD, 0, 0, 4), (EQUAL, 0, 5, ARCH_X86_64),  # fields of struct seccomp_data by offset
               (LOAD, 0, 0, 0), (EQUAL, 0, 3, ARCH_PRCTL),
               (LOAD, 0, 0, 16), (EQUAL, 0, 1, REQ_XCOMP_PERM),
               (RETURN, 0, 0, ERRNO | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog, 0, 0) != 0):
        raise OSError(ctypes.get_errno(), f"no filter: {os.strerror(ctypes.get_errno())}")
