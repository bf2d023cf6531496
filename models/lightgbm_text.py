"""LightGBM's own text model read through its C library alone: no scikit-learn, no pandas, a tenth
of the time to load.

The functions are those of LightGBM's C API; the Python package is only where the library lies.
"""

import ctypes
import threading
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RegistryError

FLOAT32, ROW_MAJOR, NORMAL, FIRST, ALL = 0, 1, 0, 0, -1
ONE_THREAD = b"num_threads=1"  # a request must not fan out over the cores


class Booster:
    """A loaded text model with one output. Raises RegistryError; a damaged file ends the process,
    hence `runtime.check`.
    """

    def __init__(self, file: Path) -> None:
        self._library, self._handle = _library(), ctypes.c_void_p()
        iterations, width, outputs = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._call(
            "LGBM_BoosterCreateFromModelfile",
            str(file).encode(),
            ctypes.byref(iterations),
            ctypes.byref(self._handle),
        )
        self._call("LGBM_BoosterGetNumFeature", self._handle, ctypes.byref(width))
        self._call("LGBM_BoosterGetNumClasses", self._handle, ctypes.byref(outputs))
        if outputs.value != 1:
            raise RegistryError(
                f"{file} answers {outputs.value} numbers a row, not one",
                "only regressions are read",
            )
        self.width = width.value
        # What a single row needs every time, laid out once: a call costs 5 µs so, 100 µs otherwise.
        # One caller at a time.
        self._fast, self._alone = ctypes.c_void_p(), threading.Lock()
        self._length, self._answer = ctypes.c_int64(), ctypes.c_double()
        how = (*map(ctypes.c_int, (NORMAL, FIRST, ALL, FLOAT32)), width, ONE_THREAD)
        self._call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            self._handle,
            *how,
            ctypes.byref(self._fast),
        )

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """An answer per row of a C-contiguous (rows × width) matrix. Safe to call from several
        threads.
        """
        if len(rows) == 1:
            return np.array([self._single(rows)])
        answers, length = np.empty(len(rows)), ctypes.c_int64()
        shape = ctypes.c_int32(rows.shape[0]), ctypes.c_int32(rows.shape[1])
        how = (*map(ctypes.c_int, (ROW_MAJOR, NORMAL, FIRST, ALL)), ONE_THREAD)
        target = answers.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        data = rows.ctypes.data_as(ctypes.c_void_p)
        self._call(
            "LGBM_BoosterPredictForMat",
            self._handle,
            data,
            ctypes.c_int(FLOAT32),
            *shape,
            *how,
            ctypes.byref(length),
            target,
        )
        return answers

    def _single(self, row: NDArray[np.float32]) -> float:
        data = ctypes.c_void_p(row.ctypes.data)
        with self._alone:
            answer = ctypes.byref(self._length), ctypes.byref(self._answer)
            self._call("LGBM_BoosterPredictForMatSingleRowFast", self._fast, data, *answer)
            return self._answer.value

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            raise RegistryError(
                f"LightGBM: {self._library.LGBM_GetLastError().decode(errors='replace')}",
                "train and register again",
            )

    def __del__(self) -> None:
        if getattr(self, "_fast", None):
            self._library.LGBM_FastConfigFree(self._fast)
        if getattr(self, "_handle", None):  # None when the library itself was missing
            self._library.LGBM_BoosterFree(self._handle)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    spec = find_spec("lightgbm")
    if spec is None or not spec.submodule_search_locations:
        raise RegistryError("the Python package lightgbm is not installed", "run `uv sync`")
    library = ctypes.CDLL(str(Path(spec.submodule_search_locations[0]) / "lib" / "lib_lightgbm.so"))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library
