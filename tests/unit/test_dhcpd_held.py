"""The schemes dhcpd holds, where there are none."""

from __future__ import annotations

import pytest

from daemons.dhcpd.held import Ended, Held


def test_a_scheme_that_nobody_serves_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(tmp_path))
    with pytest.raises(Ended, match="the scheme netcfg is not served: no scheme of this name"):
        Held("netcfg")
