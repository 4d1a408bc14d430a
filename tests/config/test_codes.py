"""Every code that only a configuration can have, each with a file that raises it."""

from __future__ import annotations

from pathlib import Path

import pytest

from policylayer.config import read
from policylayer.config.codes import ConfigCode
from policylayer.policy.codes import Code

SERVER = "servers: {s: {command: [x]}}\n"
RAISES = {
    ConfigCode.UNREADABLE: None,
    ConfigCode.UNSET_VARIABLE: 'servers: {s: {command: ["${NO_SUCH}"]}}\n',
    ConfigCode.BAD_ADDRESS: f"listen: nowhere\n{SERVER}",
    ConfigCode.EXPOSED: f"listen: 0.0.0.0:80\n{SERVER}",
    ConfigCode.BAD_URL: "servers: {s: {url: nowhere}}\n",
    ConfigCode.LOCAL_PRINCIPAL: f"local_principal: agent:a\nbehind_proxy: [10.0.0.0/8]\n{SERVER}",
    ConfigCode.SAME_NAME: "servers: {s: {command: [x]}, S: {command: [x]}}\n",
    ConfigCode.NO_SUCH_FILE: f"policies: ./nowhere\n{SERVER}",
    ConfigCode.BAD_HEADER: 'servers: {s: {url: "http://h/mcp", headers: {Host: x}}}\n',
    ConfigCode.BAD_SIZE: f"limits: {{message: 1MB}}\n{SERVER}",
    ConfigCode.BAD_DATABASE: f"database: oracle\n{SERVER}",
    ConfigCode.BAD_HOST: f"hosts: [a/b]\n{SERVER}",
}


@pytest.mark.parametrize("code", list(ConfigCode), ids=str)
def test_every_code_is_raised_with_its_place(tmp_path: Path, code: ConfigCode) -> None:
    (tmp_path / "policies").mkdir()
    path = tmp_path / "policylayer.yaml"
    text = RAISES[code]
    if text is not None:
        path.write_text(text)
    found = read(path, {})
    assert code in {each.code for each in found.diagnostics}
    assert all(each.line >= 1 and each.column >= 1 and each.message for each in found.diagnostics)


def test_no_code_has_two_meanings() -> None:
    assert {str(code) for code in ConfigCode} & {str(code) for code in Code} == set()
