"""Export: entries as files for other programs, with a manifest that describes each file.

`forms` is the table of formats, `ecs`, `ocsf` and `nested` convert entries, `file` writes an export that is complete or
missing and can resume, and `manifest` describes and checks it.
"""

from __future__ import annotations

from .file import export
from .forms import FORMS, Form, form_of, pieces
from .manifest import Manifest, check

__all__ = ["FORMS", "Form", "Manifest", "check", "export", "form_of", "pieces"]
