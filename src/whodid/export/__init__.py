"""The export: entries as files that other programs read, and the manifest that says what is in one.

`forms` is the table of forms, with a module for each; `file` writes one so that it is whole or not there, and can go on
where it stopped; `manifest` describes and checks it.
"""

from __future__ import annotations

from .file import export
from .forms import FORMS, Form, form_of, pieces
from .manifest import Manifest, check

__all__ = ["FORMS", "Exported", "Form", "Manifest", "check", "export", "form_of", "pieces"]
