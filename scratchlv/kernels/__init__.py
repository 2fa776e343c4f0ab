"""The bridge to ``kernels/``, the folder at the top of the repository that holds one room per operation.

An installed wheel has the rooms right here, as ``scratchlv.kernels.<room>``. In a checkout (or an editable install)
they stand two folders up, in ``kernels/``: that folder joins this package's path, so the same import works.
"""

from pathlib import Path

_checkout = Path(__file__).resolve().parents[2]
if (_checkout / "pyproject.toml").is_file() and (_checkout / "kernels").is_dir():
    __path__.append(str(_checkout / "kernels"))
