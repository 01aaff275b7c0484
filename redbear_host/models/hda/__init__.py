"""A High Definition Audio controller with codecs in Python, with faults.

Ref: Intel High Definition Audio Specification, revision 1.0a; it is written apart from the driver's
tables, so that a slip in one of them shows.
"""

from __future__ import annotations

from redbear_host.models.hda.codec import CodecModel, NodeModel
from redbear_host.models.hda.controller import HdaModel
from redbear_host.models.hda.faults import Fault, Misdeed

__all__ = ["CodecModel", "Fault", "HdaModel", "Misdeed", "NodeModel"]
