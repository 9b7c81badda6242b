"""Alembic's entry of this service: the common one."""

from pathlib import Path

common = Path(__file__).resolve().parents[2] / "foundation" / "migrations" / "env.py"
exec(compile(common.read_text("utf-8"), str(common), "exec"))  # noqa: S102
