"""Finding the application that a text like "shop.wsgi:create_app()" names."""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, TracebackType
from typing import Any

from millpond._config import ConfigError

DEFAULT_ATTRIBUTE = "application"
USUAL_NAMES = ("application", "app", "wsgi", "wsgi_app", "create_app", "make_app", "get_app")


class LoadError(Exception):
    """The application cannot be found; the text says all that there is to say."""


class LoadFailed(Exception):
    """The application's own code has raised; `cause` is what it has raised."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True)
class Target:
    """A parsed name of an application."""

    text: str
    module: str
    attribute: str
    explicit: bool = True
    call: bool = False
    positional: list[Any] = field(default_factory=list)
    keywords: dict[str, Any] = field(default_factory=dict)


def _is_path(text: str) -> bool:
    return bool(text) and all(part.isidentifier() for part in text.split("."))


def _attribute_path(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_attribute_path(node.value)}.{node.attr}"
    raise ValueError


def _parse_expression(text: str, expression: str) -> tuple[str, ast.Call | None]:
    try:
        node = ast.parse(expression, mode="eval").body
        if isinstance(node, ast.Call):
            return _attribute_path(node.func), node
        return _attribute_path(node), None
    except (SyntaxError, ValueError):
        raise ConfigError(
            f"{text!r}: {expression!r} is neither an attribute nor a call of one"
        ) from None


def parse_target(text: str) -> Target:
    """Reads MODULE, MODULE:ATTRIBUTE or MODULE:FACTORY(LITERALS); raises ConfigError."""
    module, colon, expression = text.partition(":")
    if not _is_path(module):
        raise ConfigError(
            f"{text!r} names no application. It is MODULE:ATTRIBUTE, such as shop.wsgi:application"
            + (", not a file's name" if "/" in module or module.endswith(".py") else "")
        )
    if not colon:
        return Target(text, module, DEFAULT_ATTRIBUTE, explicit=False)
    path, call = _parse_expression(text, expression)
    if call is None:
        return Target(text, module, path)
    try:
        positional = [ast.literal_eval(argument) for argument in call.args]
        keywords = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg}
    except (ValueError, TypeError):
        raise ConfigError(f"{text!r}: the arguments of a factory must be literals") from None
    if len(keywords) != len(call.keywords):
        raise ConfigError(f"{text!r}: the arguments of a factory must be literals")
    return Target(text, module, path, True, True, positional, keywords)


def _is_missing(error: ModuleNotFoundError, module: str) -> bool:
    """Whether the module itself, or a package around it, is what was not found."""
    return error.name is not None and (module == error.name or module.startswith(error.name + "."))


def _missing_module(target: Target, error: ModuleNotFoundError) -> LoadError:
    names = [found.name for found in pkgutil.iter_modules([os.getcwd()])]
    close = difflib.get_close_matches(target.module, names, n=1)
    text = f"no module named {error.name!r} (looked for in {os.getcwd()} and the Python path)"
    if error.name != target.module:
        text = f"cannot import {target.module!r}: {text}"
    return LoadError(text + (f". Did you mean {close[0]!r}?" if close else ""))


def _import(target: Target) -> ModuleType:
    try:
        return importlib.import_module(target.module)
    except ModuleNotFoundError as error:
        if _is_missing(error, target.module):
            raise _missing_module(target, error) from None
        raise LoadFailed(error) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise LoadFailed(error) from None


def _candidates(module: ModuleType) -> list[str]:
    """Names in a module that look like applications, factories with parentheses."""
    found = []
    for name in USUAL_NAMES:
        value = getattr(module, name, None)
        if callable(value):
            is_factory = name.partition("_")[0] in ("create", "make", "get")
            found.append(f"{name}()" if is_factory else name)
    return found


def _no_attribute(target: Target, module: ModuleType, holder: Any, name: str) -> LoadError:
    if not target.explicit:
        candidates = _candidates(module)
        text = f"{target.module}: no {DEFAULT_ATTRIBUTE!r} in it."
        if not candidates:
            return LoadError(f"{text} Name one: millpond {target.module}:NAME")
        listed = ", ".join(repr(one) for one in candidates)
        return LoadError(
            f"{text} Candidates: {listed}. Name one: millpond {target.module}:{candidates[0]}"
        )
    where = target.module if holder is module else f"{target.module}:{target.attribute}"
    close = difflib.get_close_matches(name, dir(holder), n=1)
    text = f"{where} has no attribute {name!r}."
    return LoadError(text + (f" Did you mean {close[0]!r}?" if close else ""))


def _find(target: Target, module: ModuleType) -> Any:
    holder: Any = module
    for name in target.attribute.split("."):
        try:
            holder = getattr(holder, name)
        except AttributeError:
            raise _no_attribute(target, module, holder, name) from None
        except Exception as error:  # a property, a module's __getattr__
            raise LoadFailed(error) from None
    return holder


def _call(target: Target, factory: Any) -> Any:
    name = f"{target.module}:{target.attribute}"
    if not callable(factory):
        raise LoadError(f"{name} cannot be called: it is of type {type(factory).__name__}")
    try:
        made = factory(*target.positional, **target.keywords)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise LoadFailed(error) from None
    if not callable(made):
        raise LoadError(
            f"{name}() has returned no application: {type(made).__name__} is not callable"
        )
    return made


def load(target: Target) -> Callable[..., Any]:
    """Imports and finds the application. Raises LoadError or LoadFailed."""
    module = _import(target)
    found = _find(target, module)
    if target.call:
        found = _call(target, found)
    elif not callable(found):
        raise LoadError(
            f"{target.module}:{target.attribute} is not callable: it is of type "
            f"{type(found).__name__}"
        )
    application: Callable[..., Any] = found
    return application


def _is_ours(filename: str) -> bool:
    here = os.path.dirname(os.path.abspath(__file__))
    return (
        filename.startswith("<frozen importlib")
        or os.path.dirname(os.path.abspath(filename)) == here
        or filename == importlib.__file__
    )


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def explain(error: LoadError | LoadFailed) -> str:
    """What is told about an application that cannot be loaded."""
    if isinstance(error, LoadError):
        return f"millpond: {error}\n"
    cause = error.cause
    if isinstance(cause, SystemExit):
        return f"millpond: the application has exited while it was loaded: {cause.code}\n"
    lines = traceback.format_exception(type(cause), cause, without_our_frames(cause.__traceback__))
    return "".join(lines)


def describe(application: object) -> str:
    """How the banner calls an application that was given as an object."""
    module = getattr(application, "__module__", None) or type(application).__module__
    name = getattr(application, "__qualname__", None) or type(application).__qualname__
    if module == "__main__":
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        module = os.path.basename(main) if main else module
    return f"{module}:{name}"
