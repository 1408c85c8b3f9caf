"""The shell completes commands and options, and nothing heavy is loaded for it."""

from __future__ import annotations

import pytest

from projector.cli.app import run_line


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("projector lea", "leases"),
        ("projector timeline --si", "--since"),
        ("projector db u", "upgrade"),
    ],
)
def test_what_was_begun_is_completed(
    typed: str,
    offered: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_PROJECTOR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        run_line([])
    assert ended.value.code in (0, None)
    assert offered in capsys.readouterr().out.split()
