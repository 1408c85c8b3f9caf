"""Where settings come from: the environment, then `.env`, then `projector.toml`, each checked.

Every name that starts with PROJECTOR_ is ours, so an unknown one is a typing error and is refused with
the nearest known name, wherever it stands. A file that somebody else can write decides where the carts
go, so it is refused.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from projector.core.errors import SettingsError
from projector.settings.model import PREFIX, Settings, variable

DOTENV_FILE = ".env"
TOML_FILE = "projector.toml"
ROOT = 0


def load_settings(folder: Path | None = None) -> Settings:
    """Reads the settings of this process; `.env` and `projector.toml` are looked for in `folder`.

    Raises:
        SettingsError: One line: the name, what is wrong and what would be right.
    """
    folder = folder or Path()
    dotenv_file, toml_file = folder / DOTENV_FILE, folder / TOML_FILE
    for file in (dotenv_file, toml_file):
        _refuse_untrusted(file)
    _refuse_unknown(os.environ, place="the environment")
    _refuse_unknown(_dotenv_names(dotenv_file), place=DOTENV_FILE)
    _refuse_unknown_fields(_toml_names(toml_file))

    class Sources(Settings):
        @override
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                EnvSettingsSource(settings_cls),
                DotEnvSettingsSource(settings_cls, env_file=dotenv_file),
                TomlConfigSettingsSource(settings_cls, toml_file=toml_file),
            )

    try:
        return Settings(**dict(Sources()))
    except ValidationError as error:
        raise SettingsError(_first_line(error)) from None


def _refuse_untrusted(file: Path) -> None:
    """Refuse a file that everybody can write, or that another user put where everybody can."""
    try:
        found, folder = file.stat(), file.absolute().parent.stat()
    except FileNotFoundError:
        return
    if found.st_mode & stat.S_IWOTH:
        raise SettingsError(
            f"everybody may write to {file.name}: type: chmod o-w {file.absolute()}"
        )
    if folder.st_mode & stat.S_IWOTH and found.st_uid not in {os.geteuid(), ROOT}:
        raise SettingsError(
            f"another user owns {file.absolute()}, in a folder where everybody may create files:"
            " start in a folder of your own, or make the file yours"
        )


def _refuse_unknown(names: Iterable[str], *, place: str) -> None:
    known = [variable(name) for name in Settings.model_fields]
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise _unknown(name, nearest=_nearest(name.upper(), known), place=place)


def _refuse_unknown_fields(names: Iterable[str]) -> None:
    known = list(Settings.model_fields)
    for name in names:
        if name not in known:
            nearest = _nearest(name.lower().removeprefix(PREFIX.lower()), known)
            raise _unknown(name, nearest=nearest, place=TOML_FILE)


def _nearest(name: str, known: Sequence[str]) -> str:
    return difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]


def _unknown(name: str, *, nearest: str, place: str) -> SettingsError:
    return SettingsError(f"unknown setting {name} in {place}; the nearest known name is {nearest}")


def _dotenv_names(path: Path) -> Iterable[str]:
    return dotenv_values(path) if path.is_file() else ()


def _toml_names(path: Path) -> Iterable[str]:
    if not path.is_file():
        return ()
    try:
        content: Mapping[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}") from None
    return tuple(content)


def _first_line(error: ValidationError) -> str:
    """The first complaint on one line, without the value: it may be a secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    return f"{variable(str(first['loc'][0]))}: {message[:1].lower()}{message[1:]}"
