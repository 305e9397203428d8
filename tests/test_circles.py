"""The imports of src/whodid: no module leads back to itself; and the tool that says so sees every form of import."""

from __future__ import annotations

from pathlib import Path

from tools.circles import SOURCE, circles, imports


def test_no_modules_import_each_other() -> None:
    assert circles(imports(SOURCE / "whodid")) == []


def test_an_import_counts_wherever_it_stands_and_however_it_is_written(tmp_path: Path) -> None:
    package = tmp_path / "p"
    (package / "q").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def late():\n    from .q import b\n")
    (package / "q" / "__init__.py").write_text("")
    (package / "q" / "b.py").write_text("if TYPE_CHECKING:\n    from ..c import Name\n")
    (package / "c.py").write_text("import p.a\n")
    (package / "d.py").write_text("from .a import late\n")
    assert imports(package)["p.d"] == {"p.a"}
    assert circles(imports(package)) == [["p.a", "p.c", "p.q.b"]]
