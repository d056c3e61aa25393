"""Other projects' files: read without running anything that is in them.

``load(path)`` tells formats apart by their content and returns networks in pygan's names. The
readers underneath, :mod:`.restricted_pickle` and :mod:`.torch_file`, serve other formats too.
"""

from pygan.interop.detect import load
from pygan.interop.foreign import Foreign
from pygan.interop.rosinality import write_rosinality
from pygan.interop.torch_writer import write_torch

#: Formats that networks can be written in.
EXPORTS = {"rosinality": write_rosinality}

__all__ = ["EXPORTS", "Foreign", "load", "write_torch"]
