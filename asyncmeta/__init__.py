"""
An async-first dependency-injection framework: a class declares, a container holds.

Start with `AsyncServiceBase`, `inject_dependency` and `Container`.
"""

from typing import Final

from ._declare.keys import INJECTED, All, Factory, From, Inject, Lazy, Token
from ._declare.lifetimes import Lifetime
from ._declare.providers import Overrides, Provider, Providers
from ._decorators import inject_dependency, injected
from ._descriptor import AsyncDependencyDescriptor
from ._run.asked import Build
from ._run.container import Container
from ._run.middleware import Middleware, Next
from ._run.observing import Event, Observation, Observer
from ._run.scope import Scope
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
    "Next",
    "Observation",
    "Observer",
    "Overrides",
    "Provider",
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
