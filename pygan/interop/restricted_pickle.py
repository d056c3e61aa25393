"""Reads pickles of plain data without running what they ask for.

A pickle is a program that may call anything that Python can import. :class:`RestrictedUnpickler`
imports nothing: each global that a pickle names is looked up in a table of replacements (containers
and numpy's numbers and arrays, plus what the caller allows) and refused by name if it is not there.
Nothing but these replacements is ever called, and state is set only on objects made for it, so that
a pickle cannot reach the interpreter through an allowed object either.

Use :func:`read_pickle` for files of plain data and :mod:`pygan.interop.torch_file` for PyTorch's.
Format: PEP 307, PEP 574 and Lib/pickletools.py of Python.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Callable, ClassVar, Optional, Union

import numpy as np

from pygan.errors import InputError

#: Replacements of globals: (module, name) -> what is called in their place.
Allowed = Mapping[tuple[str, str], Callable[..., Any]]

_MAX_DEPTH = 64
_MAX_COPIES = 4
_MAX_FILE = 8 << 30  # bytes; a StyleGAN2 for 1024 x 1024 images takes 0.4 GB
#: What damaged pickles, and replacements called with nonsense, raise.
FLAWS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    UnicodeError,
    ValueError,
    struct.error,
)


class Record:
    """Stand-in for an object of a class that is not loaded: what it was made of and its state.

    Replacements return records where a value is not known before its state is. A subclass may
    define ``resolve()``, the value that takes the record's place when all is read.

    Attributes:
        name: the class as the pickle names it, ``module.name``.
        args: what the class was called with.
        state: what the pickle set as the object's state, usually its ``__dict__``; or None.
    """

    def __init__(self, name: str, args: Sequence[Any] = (), state: Any = None) -> None:
        self.name = name
        self.args = tuple(args)
        self.state = state

    @classmethod
    def of(cls, module: str, name: str) -> Callable[..., Record]:
        """A replacement for the global ``module.name`` that makes records."""
        return lambda *args: cls(f"{module}.{name}", args)

    def resolve(self) -> Any:
        """The value itself; by default the record, with its contents left as they are."""
        return self


class _Global:
    """A global that the pickle named: may be called, and nothing else."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self.call = call


class Budget:
    """What the calls of a file may be given in all, in bytes, characters and elements.

    A call may copy its arguments, and a pickle may repeat it at five bytes a time: without a limit,
    a small file could fill the memory.

    Args:
        size: bytes of the file; files of weights use each about twice.
    """

    def __init__(self, size: int) -> None:
        self._left = _MAX_COPIES * size + (1 << 20)

    def spend(self, arguments: Iterable[Any]) -> None:
        """Raises ValueError if these are more than is left."""
        self._left -= sum(len(each) for each in arguments if isinstance(each, _SIZED))
        if self._left < 0:
            raise ValueError("it copies far more than the file holds")


_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


class RestrictedUnpickler:
    """Runs one pickle; see the module for what it may do.

    Args:
        file: where the pickle starts; afterwards just behind its end.
        name: the file in messages.
        allow: replacements beside (and before) the built-in ones.
        persistent_load: makes objects of persistent ids; without it they are refused.
        budget: shared with other pickles of the same file; by default one of its own.
    """

    def __init__(
        self,
        file: IO[bytes],
        name: str,
        allow: Optional[Allowed] = None,
        persistent_load: Optional[Callable[[Any], Any]] = None,
        budget: Optional[Budget] = None,
    ) -> None:
        self._name = name
        if budget is None:
            here, end = file.tell(), file.seek(0, io.SEEK_END)
            file.seek(here)
            budget = Budget(end - here)
        table = {**BASIC, **(allow or {})}
        self._machine = _Machine(file, name, table, persistent_load, budget)

    def load(self) -> Any:
        """The object, with records still in it: see :func:`resolve`.

        Raises:
            InputError: if the pickle is damaged or names what is not allowed.
        """
        try:
            return self._machine.load()
        except InputError:
            raise
        except FLAWS as error:
            raise InputError(f"{self._name}: not a readable pickle ({brief(error)})") from None


_PythonUnpickler: Any = pickle._Unpickler  # private in name, and as old as Python 3


class _Machine(_PythonUnpickler):
    """Python's own pickle machine, the one written in Python, with its openings closed.

    The machine written in C cannot be told to restrict REDUCE and BUILD, and allocates what the
    file claims to need.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)

    def __init__(
        self,
        file: IO[bytes],
        name: str,
        table: Allowed,
        persistent_load: Optional[Callable[[Any], Any]],
        budget: Budget,
    ) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 kept the bytes of arrays in strings
        self._file_name = name
        self._table = table
        self._persistent = persistent_load
        self._budget = budget

    def find_class(self, module: str, name: str) -> Any:
        call = self._table.get((module, name))
        if call is None:
            raise InputError(
                f"{self._file_name}: names {module}.{name}, which is not among the few names that "
                "may occur in a file of weights; it is not loaded, since it could run anything"
            )
        return _Global(f"{module}.{name}", call)

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise InputError(f"{self._file_name}: refers to data outside the pickle")
        return self._persistent(pid)

    def get_extension(self, code: int) -> None:
        raise InputError(f"{self._file_name}: uses the extension registry (code {code})")

    def _call(self, function: Any, args: Any) -> Any:
        if not isinstance(function, _Global) or not isinstance(args, tuple):
            raise InputError(f"{self._file_name}: calls something that is not a name")
        self._budget.spend(args)
        return function.call(*args)

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], args)

    def load_newobj(self) -> None:
        args = self.stack.pop()
        self.append(self._call(self.stack.pop(), args))

    def load_newobj_ex(self) -> None:
        raise InputError(f"{self._file_name}: makes objects with keyword arguments")

    def _instantiate(self, klass: Any, args: Any) -> None:
        self.append(self._call(klass, tuple(args)))

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Record):
            if isinstance(state, tuple):
                self._budget.spend(state)  # arrays of Python 2 encode their text when resolved
            target.state = state
        elif not isinstance(target, OrderedDict):  # whose attributes, such as _metadata, may go
            raise InputError(f"{self._file_name}: sets the state of a {type(target).__name__}")

    def _plain(self, kinds: tuple[type, ...], target: Any) -> None:
        # APPEND and its like call methods of what lies on the stack.
        if not isinstance(target, kinds):
            raise InputError(f"{self._file_name}: adds elements to a {type(target).__name__}")

    def load_append(self) -> None:
        self._plain((list,), self.stack[-2])
        super().load_append()

    def load_appends(self) -> None:
        self._plain((list,), self.metastack[-1][-1])
        super().load_appends()

    def load_setitem(self) -> None:
        self._plain((dict,), self.stack[-3])
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        self._plain((dict,), self.metastack[-1][-1])
        _check_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        _check_keys(self.stack[::2])
        super().load_dict()

    def load_additems(self) -> None:
        self._plain((set,), self.metastack[-1][-1])
        _check_keys(self.stack)
        super().load_additems()

    def load_frozenset(self) -> None:
        _check_keys(self.stack)
        super().load_frozenset()

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.APPEND[0]] = load_append
    dispatch[pickle.APPENDS[0]] = load_appends
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.FROZENSET[0]] = load_frozenset


def _check_keys(keys: Iterable[Any]) -> None:
    """Raises ValueError unless these are plain values or flat tuples of such.

    The interpreter hashes tuples by recursion without end: deep ones overflow its stack.
    """
    for key in keys:
        for part in key if isinstance(key, tuple) else (key,):
            if not isinstance(part, (str, bytes, int, float, complex, type(None))):
                raise ValueError(f"a {type(key).__name__} as key")


class _Dtype(Record):
    """numpy.dtype(code, align, copy), with the byte order in its state."""

    def dtype(self) -> np.dtype:
        code = self.args[0]
        if isinstance(code, _Dtype):
            return code.dtype()
        order = self.state[1] if self.state is not None else "="
        dtype = np.dtype(f"{order}{code}")
        if dtype.kind not in "biufcSU" or dtype.fields or dtype.subdtype:
            raise ValueError(f"numbers of type {code!r}")
        return dtype

    def resolve(self) -> Any:
        return self.dtype()


class _Array(Record):
    """numpy's _reconstruct(ndarray, (0,), b'b'), whose state is all there is to it."""

    def resolve(self) -> Any:
        _, shape, dtype, fortran, data = self.state
        if isinstance(data, str):
            data = data.encode("latin1")
        flat = np.frombuffer(data, _numeric(dtype))
        return flat.reshape(tuple(shape), order="F" if fortran else "C")


def _numeric(dtype: Any) -> np.dtype:
    if not isinstance(dtype, _Dtype):
        raise ValueError("an array whose dtype is not one of numpy's numbers")
    return dtype.dtype()


def _scalar(dtype: Any, data: Union[bytes, str]) -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, _numeric(dtype), count=1)[0]


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Any:
    # numpy's pickles of protocol 5
    return np.frombuffer(bytes(data), _numeric(dtype)).reshape(tuple(shape), order=order)


def _encode(text: str, encoding: str) -> bytes:
    # Protocol 2 has no bytes; Python 3 writes them as text in this one encoding.
    if encoding != "latin1":
        raise ValueError(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _items(*args: Any) -> OrderedDict:
    pairs: list[Any] = []
    for part in args:
        pairs += part.items() if isinstance(part, dict) else map(tuple, part)
    _check_keys(pair[0] for pair in pairs)
    return OrderedDict(pairs)


def _set(*args: Any) -> set:
    items = [item for part in args for item in part]
    _check_keys(items)
    return set(items)


def _frozenset(*args: Any) -> frozenset:
    return frozenset(_set(*args))


def _numpy_globals() -> dict[tuple[str, str], Callable[..., Any]]:
    table: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "dtype"): _Dtype.of("numpy", "dtype"),
        ("numpy", "ndarray"): Record.of("numpy", "ndarray"),
    }
    for package in ("numpy.core", "numpy._core"):
        table[f"{package}.multiarray", "_reconstruct"] = _Array.of("numpy", "ndarray")
        table[f"{package}.multiarray", "scalar"] = _scalar
        table[f"{package}.numeric", "_frombuffer"] = _from_buffer
    return table


def _bytes(*args: Any) -> bytes:
    # Protocols 0 to 2 have no bytes: () for empty ones, else text or numbers below 256.
    if args and isinstance(args[0], int):
        raise ValueError("bytes by number")
    return bytes(*args)


def _builtins() -> dict[tuple[str, str], Callable[..., Any]]:
    kinds: dict[str, Callable[..., Any]] = {
        "set": _set,
        "frozenset": _frozenset,
        "complex": complex,
        "bytes": _bytes,
        "bytearray": lambda *args: bytearray(_bytes(*args)),
    }
    modules = ("builtins", "__builtin__")  # the latter in Python 2 and protocols up to 2
    return {(module, name): call for module in modules for name, call in kinds.items()}


#: The globals that every pickle may name.
BASIC: Allowed = {
    ("collections", "OrderedDict"): _items,
    ("_codecs", "encode"): _encode,
    **_builtins(),
    **_numpy_globals(),
}


def resolve(value: Any, name: str) -> Any:
    """`value` with every :class:`Record` in it, at any depth, replaced by what it resolves to.

    Containers are built anew as dict, list, tuple and set. What occurs twice is resolved once.

    Raises:
        InputError: if a record cannot be resolved, or containers are nested more than 64 deep.
    """
    try:
        return _Resolver(name).value(value, 0)
    except InputError:
        raise
    except FLAWS as error:
        raise InputError(f"{name}: not readable ({brief(error)})") from None


class _Resolver:
    def __init__(self, name: str) -> None:
        self._name = name
        self._done: dict[int, Any] = {}  # by identity, so that shared parts are not repeated

    def value(self, value: Any, depth: int) -> Any:
        if not isinstance(value, (dict, list, tuple, set, frozenset, Record)):
            return value.name if isinstance(value, _Global) else value
        if id(value) in self._done:
            return self._done[id(value)]
        if depth > _MAX_DEPTH:  # also the end of what contains itself
            raise InputError(f"{self._name}: containers are nested more than {_MAX_DEPTH} deep")
        result = self._container(value, depth + 1)
        self._done[id(value)] = result
        return result

    def _container(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {self.value(k, depth): self.value(v, depth) for k, v in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            kind = next(k for k in (list, tuple, set, frozenset) if isinstance(value, k))
            return kind(self.value(item, depth) for item in value)
        resolved = value.resolve()
        if resolved is value:
            value.args = self.value(value.args, depth)
            value.state = self.value(value.state, depth)
        return resolved


def read_pickle(path: Union[str, Path], allow: Optional[Allowed] = None) -> Any:
    """The object in a pickle of containers, numbers, strings and numpy arrays.

    Args:
        path: the file.
        allow: replacements for further globals, see :class:`Record`.

    Raises:
        InputError: if the file cannot be read, is no pickle, or names a global that is not allowed.
    """
    data = io.BytesIO(read_bytes(Path(path)))
    return resolve(RestrictedUnpickler(data, str(path), allow).load(), str(path))


def read_bytes(path: Path) -> bytes:
    """The file's content; an InputError if it is no readable file or larger than 8 GiB."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a file")
        if path.stat().st_size > _MAX_FILE:
            raise InputError(f"{path}: is larger than {_MAX_FILE >> 30} GiB, as no file of weights")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def brief(error: BaseException) -> str:
    """The beginning of an exception's message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
