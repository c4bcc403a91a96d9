"""Functions compiled to machine code, which is kept between processes for as long as no source of theirs changes.

numba compiles.  Loading numba takes a second of every process, so a later one loads the machine code by llvmlite alone,
which takes a twentieth of that, and calls it as numba does: an array is passed as its owner (none: every array is the
caller's, who holds it), its sizes, its data, shape and strides; a tuple as its fields.  What is kept lies in a folder
named by a digest of every file that holds such functions, of the compiler and of the processor.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding as llvm

from hopperbook import prepared

#: The files of the library that hold compiled functions, and this one, which says how.
SOURCES = ("compiled.py", "kernels/between.py", "serving/ticker.py", "serving/batching.py", "serving/events.py")
#: Divisions as NumPy makes them; and no counts of references, which would take two thirds of the time: a function that
#: made an array itself would be refused by the compiler.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
#: Where machine code puts what a function returns, by the name of its type; an empty place is None.
RETURNED: dict[str, Any] = {"None": ctypes.c_void_p, "int": ctypes.c_int64}
#: What numba calls functions of the C library that it names itself.
OF_C = {"numba_frexp": "frexp"}
#: What tells apart arguments that need machine code of their own.
Kind = tuple[Any, ...]


class Ready:
    """A named tuple as machine code takes it, made once for many calls; its arrays must stay where they are.

    Parameters
    ----------
    value : tuple
        Arrays in one piece, and numbers.
    """

    def __init__(self, value: tuple[Any, ...]) -> None:
        self.value, self.types = value, list[Any]()
        values: list[Any] = []
        self.kind = _pass(value, self.types, values)
        self.values = [type_(each) for type_, each in zip(self.types, values, strict=True)]


class Compiled:
    """A function that is machine code when it is called, and part of the code of another that calls it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.loaded: dict[Kind, Callable[..., int]] = {}

    @cached_property
    def dispatcher(self) -> Any:
        """The same as numba compiles it for one process."""
        from numba import njit

        return njit(**OPTIONS)(self.function)

    @property
    def _numba_type_(self) -> Any:
        """How numba sees it within the code of another."""
        return self.dispatcher._numba_type_

    def __call__(self, *arguments: Any) -> Any:
        """Call machine code, kept from an earlier process where it can be; what returns no number is not kept."""
        returned = RETURNED.get(self.function.__annotations__["return"])
        if returned is None:
            return self.dispatcher(*map(_plain, arguments))
        types: list[Any] = []
        values: list[Any] = []
        kind = tuple(_pass(each, types, values) for each in arguments)
        if kind not in self.loaded:
            self.loaded[kind] = self._load(arguments, kind, types)
        answer, error = returned(), ctypes.c_void_p()
        if self.loaded[kind](ctypes.byref(answer), ctypes.byref(error), *values) != 0:
            raise RuntimeError(f"{self.function.__qualname__} failed in compiled code")
        return answer.value

    def _load(self, arguments: Sequence[Any], kind: Kind, types: Sequence[Any]) -> Callable[..., int]:
        """Return machine code for such arguments: what is kept, else compiled now and kept where that can be."""
        name = f"{self.function.__name__}-{prepared.digest(repr((self.function.__module__, kind)).encode())}.o"
        content = prepared.get(sources(), name)
        if content is None:
            content = b"\n".join(self._compile(arguments))
            prepared.put(sources(), name, content)
        symbol, _, code = content.partition(b"\n")
        engine = _engine()
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        prototype = ctypes.PYFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *types)
        return prototype(engine.get_function_address(symbol.decode()))

    def _compile(self, arguments: Sequence[Any]) -> tuple[bytes, bytes]:
        """Return the name and the machine code of the function for arguments of such types."""
        from numba import typeof, types
        from numba.core import compiler
        from numba.core.registry import cpu_target

        flags: Any = compiler.Flags()
        flags.error_model, flags.nrt = OPTIONS["error_model"], OPTIONS["_nrt"]
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        target = cpu_target.typing_context, cpu_target.target_context
        taken = tuple(typeof(_plain(each)) for each in arguments)
        returned = {"None": types.none, "int": types.int64}[self.function.__annotations__["return"]]
        made = compiler.compile_extra(*target, self.function, taken, returned, flags, {})
        return made.fndesc.llvm_func_name.encode(), made.library.serialize_using_object_code()[2][0]


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function of numbers, arrays in one piece, and named tuples of both, when it is first called.

    Parameters
    ----------
    function : callable
        In one of ``SOURCES``.

    Returns
    -------
    callable
        The same, compiled; kept for later processes where something may be written.
    """
    return Compiled(function)


@cache
def sources() -> str:
    """Return the digest of all that machine code is made from: a folder holds what is made from the same."""
    here = Path(__file__).parent
    compiler = find_spec("numba")  # its version stands in a file; loading the list of all packages takes longer
    text = b"".join((here / name).read_bytes() for name in SOURCES) + sys.version.encode()
    if compiler and compiler.origin:
        text += Path(compiler.origin).with_name("_version.py").read_bytes()
    return prepared.digest(text, f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode())


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Ready) else value


def _pass(value: Any, types: list[Any], values: list[Any]) -> Kind:
    """Add an argument to those that machine code takes, and return what kind of argument it is."""
    if isinstance(value, Ready):
        types += value.types
        values += value.values
        return value.kind
    if isinstance(value, tuple):
        return (type(value).__name__, *(_pass(each, types, values) for each in value))
    if isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise ValueError("compiled code takes arrays in one piece")
        address = value.__array_interface__["data"][0]
        types += (ctypes.c_void_p,) * 2 + (ctypes.c_ssize_t,) * 2 + (ctypes.c_void_p,)
        types += (ctypes.c_ssize_t,) * (2 * value.ndim)
        values += (None, None, value.size, value.itemsize, address, *value.shape, *value.strides)
        return (value.dtype.char, value.ndim)
    whole = isinstance(value, int | np.integer)
    types.append(ctypes.c_int64 if whole else ctypes.c_double)
    values.append(int(value) if whole else float(value))
    return ("int" if whole else "float",)


@cache
def _engine() -> Any:
    """Return what machine code is loaded into."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name, known in OF_C.items():
        llvm.add_symbol(name, ctypes.cast(getattr(ctypes.CDLL(None), known), ctypes.c_void_p).value)
    machine = llvm.Target.from_default_triple().create_target_machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
