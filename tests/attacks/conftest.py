"""One rig for all attacks of a test process; its end is the last check."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.rig import Rig


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A running proxy over two recording servers."""
    with Rig(tmp_path_factory.mktemp("attacks")) as rig:
        yield rig
