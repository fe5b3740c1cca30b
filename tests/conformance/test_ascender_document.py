"""The second document, example by example, and what it says about each key of a provider."""

import re
from typing import Annotated

import pytest

from asyncmeta import AsyncServiceBase, Container, DeclarationError
from asyncmeta.ascender import Inject, Injectable, Injector, create_injector

__version__ = "1.2.3"


class Config:
    def __init__(self):
        self.setting = "fast"


class DataService:
    def load(self):
        return "data"


class ExtendedFileManager(DataService):
    def __init__(self, config: Config):
        self.config = config

    def load(self):
        return f"file, {self.config.setting}"


class CustomDataService:
    def __init__(self, setting):
        self.setting = setting


def custom_data_service_factory(config: Config):
    return CustomDataService(config.setting)


@Injectable()
class ExampleService:
    # As printed, without the colon that the document forgets.
    def __init__(self, app_config: Annotated[dict, Inject("AppConfig")]):
        self.app_config = app_config

    def get_app_config(self) -> dict:
        return self.app_config


@Injectable()
class Consumer:
    def __init__(self, data: DataService):
        self.data = data


def as_injector(providers):
    """Let an injector give what *providers* say."""
    return create_injector(providers).get


def as_container(providers):
    """Let a container do."""
    return Container(providers=providers).get_nowait


def as_class(providers):
    """Let a service class that lists them do."""

    class App(AsyncServiceBase, providers=providers):
        pass

    return Container(App).get_nowait


def as_registered(providers):
    """Let a service class on which they are registered afterwards do."""

    class App(AsyncServiceBase):
        pass

    App.register_providers(providers)
    return Container(App).get_nowait


@pytest.fixture(params=[as_injector, as_container, as_class, as_registered])
def given(request):
    """Each place where a provider list can be written."""
    return request.param


def test_a_class_is_its_own_token(given):
    """
    "DataService type is the token associated with DataService() object."
    """
    get = given([DataService])

    assert type(get(DataService)) is DataService
    assert get(DataService) is get(DataService)


def test_use_class(given):
    """
    "Whenever DataService is injected into another injectable, an instance of ExtendedFileManager is provided."
    """
    get = given([Config, Consumer, {"provide": DataService, "use_class": ExtendedFileManager}])

    assert get(Consumer).data is get(DataService)
    assert get(DataService).load() == "file, fast"


def test_use_factory_with_deps(given):
    """
    "Any dependencies required by the factory function can be manually specified in the deps property."
    """
    get = given([Config, {"provide": DataService, "use_factory": custom_data_service_factory, "deps": [Config]}])

    assert type(get(DataService)) is CustomDataService
    assert get(DataService).setting == "fast"


def test_a_value_is_the_same_object(given):
    """
    "Whenever AppConfig is injected, the same value is returned."
    """
    config = {"debug": True, "version": __version__}
    get = given([ExampleService, {"provide": "AppConfig", "value": config}])

    assert get("AppConfig") is config
    assert get(ExampleService).get_app_config() is config


@pytest.mark.parametrize("value", ["text", 3, True, (1, 2), [1], None, 0, False, "", [], {}, (), print, dict, ExampleService])
def test_plain_values_are_dependencies(given, value):
    """
    "str, int, bool, tuple, list and other objects": falsy ones, callables and classes too, none of them touched.
    """
    assert given([{"provide": "value", "value": value}])("value") is value


def test_deps_of_a_class(given):
    """
    "These dependencies then will be injected into their constructors": each as an argument of its own.
    """

    class Pair:
        def __init__(self, one, two):
            self.both = (one, two)

    get = given([Config, {"provide": "two", "value": 2}, {"provide": Pair, "use_class": Pair, "deps": [Config, "two"]}])

    assert get(Pair).both == (get(Config), 2)


def test_multi_collects_in_order(given):
    """
    "multi allows to associate multiple dependencies with one single token": a list, in order, nothing lost.
    """
    get = given(
        [
            Config,
            {"provide": "all", "value": 1, "multi": True},
            {"provide": "all", "use_class": Config, "multi": True},
            {"provide": "all", "value": 1, "multi": True},
            {"provide": "all", "use_factory": lambda: [2], "multi": True},
            {"provide": "user", "use_factory": lambda them: them, "deps": ["all"]},
        ]
    )

    first, config, again, listed = get("user")

    assert (first, again, listed) == (1, 1, [2])
    assert type(config) is Config


def test_any_hashable_is_a_token(given):
    """
    "Token of provider can be either any type or python string", and whatever else can be a key.
    """
    get = given([{"provide": token, "value": token} for token in (7, ("a", 1), frozenset({2}), ExampleService)])

    assert [get(token) for token in (7, ("a", 1), frozenset({2}), ExampleService)] == [7, ("a", 1), frozenset({2}), ExampleService]


def test_provide_alone_means_the_class(given):
    """
    "use_class by default is taken from provide", as the types say.
    """
    get = given([{"provide": Config}, {"provide": Consumer, "deps": [Config]}])

    assert type(get(Config)) is Config
    assert get(Consumer).data is get(Config)


@pytest.mark.parametrize(
    "provider",
    [
        {"provide": "x", "useClass": Config},
        {"provide": "x", "useFactory": Config},
        {"provide": "x", "useFactory": lambda made: made, "inject": [Config]},
        {"provide": "x", "useExisting": Config},
        {"provide": "x", "use_existing": "Config"},
    ],
)
def test_the_spellings_of_the_reference(given, provider):
    """
    The API reference and other frameworks write camelCase, inject and use_existing.
    """
    assert type(given([Config, provider])("x")) is Config


def test_use_existing_is_another_name(given):
    """
    use_existing gives the very object of another token.
    """
    get = given([Config, {"provide": "old", "use_existing": Config}])

    assert get("old") is get(Config)


def test_helpers_return_lists(given):
    """
    Lists and tuples of providers are taken to any depth, and stay as they are.
    """

    def provide_data():
        return [Config, ({"provide": DataService, "use_class": ExtendedFileManager},)]

    providers = [[provide_data()], [[[Consumer]]]]
    before = repr(providers)

    assert given(providers)(Consumer).data.load() == "file, fast"
    assert repr(providers) == before


def test_a_very_deep_list(given):
    """
    No depth is too deep.
    """
    providers = [Config]
    for _ in range(5000):
        providers = [providers]

    assert type(given(providers)(Config)) is Config


def test_the_last_provider_of_a_token_wins(given):
    """
    A later entry takes the place of an earlier one, whatever kinds they are.
    """
    get = given(
        [
            {"provide": Config, "value": 1},
            Config,
            {"provide": DataService, "use_class": Consumer},
            {"provide": DataService, "value": 2},
        ]
    )

    assert type(get(Config)) is Config
    assert get(DataService) == 2


def test_defaults_of_a_factory_stay_its_own(given):
    """
    `lambda bus, token=t: ...` gets the bus alone; without deps, parameters with defaults are not filled.
    """
    get = given(
        [
            Config,
            {"provide": "given", "use_factory": lambda config, token="mine": (config, token), "deps": [Config]},
            {"provide": "read", "use_factory": with_default},
        ]
    )

    assert get("given") == (get(Config), "mine")
    assert get("read") == (get(Config), None)


def with_default(config: Config, data: DataService = None):
    return config, data


def test_the_injector_is_a_dependency(given):
    """
    `deps: [Injector]` and then injector.get(...) inside of the factory, with all of its arguments.
    """

    def make(injector):
        return injector.get(Config), injector.get("none", not_found_value=5, options={"optional": True})

    get = given([Config, {"provide": "made", "use_factory": make, "deps": [Injector]}])

    assert get("made") == (get(Config), 5)


def test_names_of_classes(given):
    """
    Inject("ClassName") and string deps mean the registered class of that name, where no string token is that name.
    """

    class User:
        def __init__(self, config: Annotated[Config, Inject("Config")], missing: Annotated[object, Inject("Nobody", 3)]):
            self.config, self.missing = config, missing

    get = given([Config, {"provide": User}, {"provide": "user", "use_class": User, "deps": ["Config", "DataService"]},
                 DataService, {"provide": "DataService", "value": "the token"}])  # fmt: skip

    assert get(User).config is get(Config)
    assert get(User).missing == 3
    assert get("user").config is get(Config)
    assert get("user").missing == "the token"


def test_bad_providers_are_refused_everywhere(given):
    """
    A list with a bad entry registers nothing, and says which entry and key it is.
    """
    with pytest.raises(DeclarationError, match=re.escape('provider 1 ("x")') + ".*use_clas.*did you mean use_class"):
        given([Config, {"provide": "x", "use_clas": Config}])
