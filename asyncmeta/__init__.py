"""
An async-first dependency-injection framework: a class declares, a container holds.

Start with `AsyncServiceBase`, `inject_dependency` and `Container`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ._declare.keys import INJECTED, All, Factory, From, Inject, Lazy, Named, Token
from ._declare.lifetimes import Lifetime
from ._decorators import inject_dependency, injected
from ._service import AsyncMeta, AsyncServiceBase
from .errors import (
    AmbiguousDependencyError,
    AsyncDependencyError,
    AsyncMetaError,
    BuildTimeoutError,
    CaptiveDependencyError,
    CircularDependencyError,
    ClosedError,
    ContainerError,
    DeclarationError,
    FactoryError,
    FinalizationErrors,
    GraphError,
    GraphErrors,
    MissingDependencyError,
    ScopeError,
    WrongLoopError,
)

if TYPE_CHECKING:  # loaded when they are asked for, see below
    from ._declare.providers import Overrides, Provider, ProviderGroup, Providers
    from ._descriptor import AsyncDependencyDescriptor
    from ._run.container.container import Container, Scope
    from ._run.observe.cause import Build
    from ._run.observe.middleware import Middleware, Next
    from ._run.observe.watch import Event, Observation, Observer
    from .report import CheckReport, HealthReport, StartReport, Timing

__version__: Final = "0.1.0"

__all__ = [  # in the plain order of text
    "All",
    "AmbiguousDependencyError",
    "AsyncDependencyDescriptor",
    "AsyncDependencyError",
    "AsyncMeta",
    "AsyncMetaError",
    "AsyncServiceBase",
    "Build",
    "BuildTimeoutError",
    "CaptiveDependencyError",
    "CheckReport",
    "CircularDependencyError",
    "ClosedError",
    "Container",
    "ContainerError",
    "DeclarationError",
    "Event",
    "Factory",
    "FactoryError",
    "FinalizationErrors",
    "From",
    "GraphError",
    "GraphErrors",
    "HealthReport",
    "INJECTED",
    "Inject",
    "Lazy",
    "Lifetime",
    "Middleware",
    "MissingDependencyError",
    "Named",
    "Next",
    "Observation",
    "Observer",
    "Overrides",
    "Provider",
    "ProviderGroup",
    "Providers",
    "Scope",
    "ScopeError",
    "StartReport",
    "Timing",
    "Token",
    "WrongLoopError",
    "inject_dependency",
    "injected",
]

# A module that declares needs nothing that holds, and many programs never enter some other wing: each is loaded when a name of
# it is first asked for.  See _run/__init__.
_LATE: Final = {
    "_declare.providers": ("Overrides", "Provider", "ProviderGroup", "Providers"),
    "_descriptor": ("AsyncDependencyDescriptor",),
    "_run.container.container": ("Container", "Scope"),
    "_run.observe.cause": ("Build",),
    "_run.observe.middleware": ("Middleware", "Next"),
    "_run.observe.watch": ("Event", "Observation", "Observer"),
    "report": ("CheckReport", "HealthReport", "StartReport", "Timing"),
}

if not TYPE_CHECKING:  # to checkers every name would be there

    def __getattr__(name: str) -> object:
        for room, names in _LATE.items():
            if name in names:
                found = globals()[name] = getattr(import_module(f".{room}", __name__), name)
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
