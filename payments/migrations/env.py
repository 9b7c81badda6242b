"""Alembic's entry of this service: the common one."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).resolve().parents[2] / "foundation" / "migrations" / "env.py"))
