"""Parameters of a model in a file: arrays under names, never pickled."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantum_monitor.names import text
from quantum_monitor.store.artifact_writer import MEMORY_LIMIT, Written
from quantum_monitor.store.runfile import replacing

PARAMETERS = "parameters.npz"
METADATA = "metadata.json"

_ALONE = "parameters"
_DEEPEST = 20
_ARRAYS_AT_MOST = 100_000
_KEYS_IN_THE_INDEX = 100
_LONGEST_KEY = 4_000
_SCALARS = (bool, int, float, complex, np.number, np.bool_)
_SPECIAL = re.compile(r"[%/\\:\x00-\x1f\x7f\ud800-\udfff]|^\.+\Z")
_NUMBERS = "biufc"
_SMALL_FLOATS = re.compile(r"(bfloat16|float8_\w+)\Z")
"""Types that NumPy does not know: their bits are kept as whole numbers, their names in the metadata."""


class Stored(NamedTuple):
    """One array as it will stand in the file.

    Attributes:
        array: its numbers, or the bits of them.
        dtype: the name of its type.
    """

    array: NDArray[Any]
    dtype: str


def take(parameters: Any) -> dict[str, Stored]:
    """Copies of all arrays of a model, each under the path that leads to it, such as ``layers/0/weight``.

    Args:
        parameters: a NumPy array, a PyTorch, JAX, TensorFlow or PennyLane tensor, a list of numbers, or lists, tuples
            and mappings of these (a ``state_dict``, a pytree); None in them is passed over. An array that stands
            alone is called ``parameters``.

    Returns:
        Path to array. Slashes, percent signs, control characters and the like in a key are written as ``%2F``, so
        that two paths never look the same.

    Raises:
        ValueError: it holds something else than numbers, nothing at all, more than 1 GiB, or two equal keys.
    """
    found: dict[str, Any] = {}
    size = 0
    for path, value in _leaves(parameters, (), 0):
        key = "/".join(_escaped(part) for part in path) or _ALONE
        if len(key) > _LONGEST_KEY:
            raise ValueError(f"parameters has a key of {len(key):,} characters; {_LONGEST_KEY:,} are enough")
        if key in found:
            raise ValueError(f"parameters has two keys whose text is {key!r}: rename one")
        found[key] = _stored(key, value)
        size += found[key].array.nbytes
        if size > MEMORY_LIMIT or len(found) > _ARRAYS_AT_MOST:
            raise ValueError(
                f"parameters holds more than {MEMORY_LIMIT >> 20} MiB or {_ARRAYS_AT_MOST:,} arrays: "
                "save them to a file of your own and hand that to log_artifact"
            )
    if not found:
        raise ValueError("parameters is empty: hand over at least one array")
    return {key: Stored(_copied(stored.array), stored.dtype) for key, stored in found.items()}


class Model:
    """The content of a model's artifact: ``parameters.npz`` and ``metadata.json``.

    Args:
        name: the model's name.
        arrays: its parameters, which nobody else changes.
        facts: what else ``metadata.json`` shall say, as strict JSON.
    """

    def __init__(self, name: str, arrays: Mapping[str, Stored], facts: Mapping[str, Any]) -> None:
        self._name, self._arrays, self._facts = name, arrays, facts
        self.size = sum(stored.array.nbytes for stored in arrays.values())

    def write(self, folder: Path, version: int) -> Written:
        """Write both files."""
        with zipfile.ZipFile(folder / PARAMETERS, "w", zipfile.ZIP_STORED) as archive:
            for key, stored in self._arrays.items():
                # Without a time of day, so that the same parameters give the same file.
                with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, stored.array, allow_pickle=False)
        keys = {key: {"shape": list(stored.array.shape), "dtype": stored.dtype} for key, stored in self._arrays.items()}
        facts = {
            "name": self._name,
            "version": version,
            **self._facts,
            "sha256": _sha256(folder / PARAMETERS),
            "parameters": sum(stored.array.size for stored in self._arrays.values()),
        }
        with replacing(folder / METADATA) as file_of_facts:
            json.dump({**facts, "keys": keys}, file_of_facts, indent=2, allow_nan=False)
        # A large model's keys stand in its own metadata only.
        return Written("", {**facts, "keys": keys} if len(keys) <= _KEYS_IN_THE_INDEX else facts)

    def discard(self) -> None:
        """Let go of the arrays."""
        self._arrays = {}


def read_model(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read back what `QuantumMonitor.log_model` wrote.

    Args:
        path: the model's folder, ``RUN/artifacts/models/NAME/VERSION``.

    Returns:
        The arrays under their paths, in the shape and type they had, and the metadata. Types that NumPy does not
        know come as they were where ``ml_dtypes`` is installed; else ``bfloat16`` comes as ``float32`` with the same
        values, and 8-bit floats as their bits.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: the files do not belong together, or are damaged.

    Example:
        >>> parameters, metadata = read_model("runs/h2/3f2a/artifacts/models/ansatz/1")  # doctest: +SKIP
    """
    folder = Path(path)
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    keys = metadata.get("keys") if isinstance(metadata, dict) else None
    if not isinstance(keys, dict):
        raise ValueError(  # noqa: TRY004 - the file's content is wrong, not the type of an argument
            f"{folder / METADATA} does not describe a model: restore it from a copy"
        )
    found = _sha256(folder / PARAMETERS)
    if found != metadata.get("sha256"):
        raise ValueError(
            f"{folder / PARAMETERS} is not the file that {METADATA} describes: its SHA-256 is {found}, "
            f"not {metadata.get('sha256')}; restore it from a copy"
        )
    arrays = {}
    try:
        with zipfile.ZipFile(folder / PARAMETERS) as archive:
            for key, described in keys.items():
                with archive.open(f"{key}.npy") as file:
                    arrays[key] = _restored(np.lib.format.read_array(file, allow_pickle=False), described["dtype"])
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder} does not hold what its {METADATA} says: {error}; restore it from a copy") from error
    return arrays, metadata


def _leaves(value: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], Any]]:
    if depth > _DEEPEST:
        raise ValueError(f"parameters is nested more than {_DEEPEST} deep")
    items: list[tuple[str, Any]]
    if value is None:
        return
    if isinstance(value, Mapping):
        items = [(text(key), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)) and not _is_table(value):
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield path, value
        return
    for key, item in items:
        yield from _leaves(item, (*path, key), depth + 1)


def _is_table(values: Sequence[Any]) -> bool:
    """Whether a list is one array written down: numbers, or rows of them of one length."""
    if not _is_numbers(values, 0):
        return False
    try:
        return np.asarray(values).dtype.kind in _NUMBERS
    except ValueError:  # rows of different lengths
        return False


def _is_numbers(value: Any, depth: int) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and depth < _DEEPEST and all(_is_numbers(item, depth + 1) for item in value)
    return isinstance(value, _SCALARS)


def _escaped(key: str) -> str:
    if not key:
        return "%"  # which no other key becomes
    return _SPECIAL.sub(lambda found: "".join(f"%{ord(character):02X}" for character in found[0]), key)


def _stored(key: str, value: Any) -> Stored:
    """An array as it can be kept, still sharing memory with the original where it can."""
    if np.ma.isMaskedArray(value):
        raise ValueError(f"parameters[{key!r}] is a masked array: hand over its .filled(number), or .data and .mask")
    try:
        array, name = _array(value)
    except Exception as error:  # a foreign object's own methods may raise anything
        raise ValueError(
            f"parameters[{key!r}] is a {type(value).__name__}: hand over arrays, tensors or a state_dict()"
        ) from error
    if _SMALL_FLOATS.match(name):
        array = array.view(f"u{array.dtype.itemsize}")
    elif array.dtype.kind not in _NUMBERS:
        raise ValueError(f"parameters[{key!r}] is {type(value).__name__} of type {name}: hand over numbers")
    return Stored(array, name)


def _array(value: Any) -> tuple[NDArray[Any], str]:
    if hasattr(value, "detach"):  # PyTorch, without importing it; resolve_conj: numpy() refuses a lazy conjugate
        tensor = value.detach().cpu().resolve_conj().resolve_neg()
        name = str(tensor.dtype).rpartition(".")[2]
        if _SMALL_FLOATS.match(name):
            torch = sys.modules["torch"]
            bits = tensor.contiguous().view(torch.int16 if tensor.element_size() == 2 else torch.uint8)
            return bits.numpy().view(f"u{tensor.element_size()}"), name
        return tensor.numpy(), name
    array = np.asarray(value)
    return array, array.dtype.name


def _copied(array: NDArray[Any]) -> NDArray[Any]:
    return np.array(array, copy=True, order="C", subok=False)


def _restored(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    if not _SMALL_FLOATS.match(dtype):
        return array
    try:
        ml_dtypes = importlib.import_module("ml_dtypes")
    except ImportError:
        if dtype != "bfloat16":
            return array
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.view(getattr(ml_dtypes, dtype))


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
