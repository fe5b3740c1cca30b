"""The names that an Ascender program imports, on top of containers."""

from .. import Inject
from .._declare.providers import Provider, Providers
from .errors import CyclicDependency, NoneInjectorException
from .injector import InjectOptions, Injector
from .lifecycle import LifecycleService, Service, provideLifecycle
from .making import create_injector, create_root_injector, forget_root
from .using import Injectable, inject

__all__ = [
    "CyclicDependency",
    "Inject",
    "InjectOptions",
    "Injectable",
    "Injector",
    "LifecycleService",
    "NoneInjectorException",
    "Provider",
    "Providers",
    "Service",
    "create_injector",
    "create_root_injector",
    "forget_root",
    "inject",
    "provideLifecycle",
]
