"""The functions of the C library for which Python has no names of its own: Linux's."""

import ctypes
import sys

#: None elsewhere. Loaded beforehand: a child that is about to run another program may do nothing but call it.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
