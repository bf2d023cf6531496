"""Inference on LightGBM's text format through its C library, without its Python package.

That package imports scikit-learn and pandas; this takes a tenth of its time to load. The C API is
documented at https://lightgbm.readthedocs.io/en/latest/C-API.html.
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

# Constants of the C API.
FLOAT32 = ctypes.c_int(0)
ROW_MAJOR = ctypes.c_int(1)
PREDICT_NORMAL = ctypes.c_int(0)
START_ITERATION = ctypes.c_int(0)
ALL_ITERATIONS = ctypes.c_int(-1)
ONE_THREAD = b"num_threads=1"  # concurrent requests already use all cores


class Booster:
    """A regression model in text format, with `width` features.

    Raises RegistryError if LightGBM rejects the file or it has several outputs. A damaged file may
    end the process: load it with `runtime.check_in_child` first.
    """

    def __init__(self, file: Path) -> None:
        self._library = _load_library()
        self._handle = ctypes.c_void_p()
        iterations = ctypes.c_int()
        width = ctypes.c_int()
        outputs = ctypes.c_int()
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
                f"{file} has {outputs.value} outputs per row, not one",
                "export a regression model",
            )
        self.width = width.value
        # Prepared once for single rows: a prediction then takes 5 µs instead of 100 µs. The
        # prepared buffers are shared, hence the lock.
        self._fast_config = ctypes.c_void_p()
        self._lock = threading.Lock()
        self._length = ctypes.c_int64()
        self._forecast = ctypes.c_double()
        self._call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            self._handle,
            PREDICT_NORMAL,
            START_ITERATION,
            ALL_ITERATIONS,
            FLOAT32,
            width,
            ONE_THREAD,
            ctypes.byref(self._fast_config),
        )

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Forecast each row of a C-contiguous (rows × width) matrix; shape (rows,). Thread-safe."""
        if len(rows) == 1:
            return np.array([self._predict_single(rows)])
        forecasts = np.empty(len(rows))
        length = ctypes.c_int64()
        self._call(
            "LGBM_BoosterPredictForMat",
            self._handle,
            rows.ctypes.data_as(ctypes.c_void_p),
            FLOAT32,
            ctypes.c_int32(rows.shape[0]),
            ctypes.c_int32(rows.shape[1]),
            ROW_MAJOR,
            PREDICT_NORMAL,
            START_ITERATION,
            ALL_ITERATIONS,
            ONE_THREAD,
            ctypes.byref(length),
            forecasts.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )
        return forecasts

    def _predict_single(self, row: NDArray[np.float32]) -> float:
        with self._lock:
            self._call(
                "LGBM_BoosterPredictForMatSingleRowFast",
                self._fast_config,
                ctypes.c_void_p(row.ctypes.data),
                ctypes.byref(self._length),
                ctypes.byref(self._forecast),
            )
            return self._forecast.value

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            raise RegistryError(
                f"LightGBM: {self._library.LGBM_GetLastError().decode(errors='replace')}",
                "train and register again",
            )

    def __del__(self) -> None:
        # Attributes are missing if `__init__` raised before it set them.
        if getattr(self, "_fast_config", None):
            self._library.LGBM_FastConfigFree(self._fast_config)
        if getattr(self, "_handle", None):
            self._library.LGBM_BoosterFree(self._handle)


@lru_cache(maxsize=1)
def _load_library() -> ctypes.CDLL:
    spec = find_spec("lightgbm")
    if spec is None or not spec.submodule_search_locations:
        raise RegistryError("the Python package lightgbm is not installed", "run `uv sync`")
    folder = Path(spec.submodule_search_locations[0])
    library = ctypes.CDLL(str(folder / "lib" / "lib_lightgbm.so"))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library
