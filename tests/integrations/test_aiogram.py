"""aiogram: a container with the dispatcher, a scope with each update; the API of Telegram is one of ours, on loopback."""

import asyncio
import datetime

import pytest
from helpers import fresh_app, guarded

from asyncmeta import Container, From, GraphErrors, Scope, ScopeError

from .shops import Pool, Session, shop

pytest.importorskip("aiogram", reason="needs aiogram")

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.dispatcher.event.bases import CancelHandler, SkipHandler
from aiogram.fsm.context import FSMContext
from aiogram.handlers import MessageHandler
from aiogram.types import CallbackQuery, Chat, ErrorEvent, Message, Update, User
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from asyncmeta.integrations.aiogram import ContainerMiddleware, container_of, inject, setup

ADA = User(id=7, is_bot=False, first_name="Ada")


def message(text="tea", number=1):
    """Return an update with a message."""
    date = datetime.datetime.fromtimestamp(0, datetime.UTC)
    return Update(
        update_id=number, message=Message(message_id=1, date=date, chat=Chat(id=7, type="private"), from_user=ADA, text=text)
    )


def query():
    """Return an update with a press of a button."""
    return Update(update_id=1, callback_query=CallbackQuery(id="1", from_user=ADA, chat_instance="1", data="buy"))


async def fed(dispatcher, *updates):
    """Start a dispatcher, feed it, stop it; return what each update gave: a value, or what was raised."""
    bot, given = Bot("42:TOKEN"), []
    await dispatcher.emit_startup(bot=bot)
    for update in updates:
        try:
            given.append(await dispatcher.feed_update(bot, update))
        except Exception as error:
            given.append(error)
    await dispatcher.emit_shutdown(bot=bot)
    return given


@guarded
async def test_the_container_lives_with_the_dispatcher():
    """
    Singletons are built at the start, each update has a scope, and all is closed at the end, after every router has ended.
    """
    app, journal = shop()
    container, router = Container(app), Router()
    dispatcher = setup(Dispatcher(), container)
    dispatcher.include_router(router)

    @dispatcher.startup()
    async def begin():
        journal.append("begun")

    @router.shutdown()
    async def end():
        journal.append("ended")

    @router.message()
    @inject
    async def order(message: Message, session: From[Session], pool: From[Pool]):
        return type(session).__name__, message.text

    assert await fed(dispatcher, message(), message("milk")) == [("Session", "tea"), ("Session", "milk")]
    assert journal == ["+pool", "begun", "begin", "commit", "begin", "commit", "ended", "-pool"]
    assert container.closed and container_of(dispatcher) is container


@guarded
async def test_a_dispatcher_starts_again():
    """
    A dispatcher that has ended may be started again, with routers that came in between.
    """
    app, journal = shop()
    dispatcher = setup(Dispatcher(), Container(app))

    await fed(dispatcher)
    dispatcher.include_router(Router())
    await fed(dispatcher)

    assert journal == ["+pool", "-pool"] * 2


@guarded
async def test_a_start_that_fails():
    """
    What a singleton raises fails the start, and what was built before is closed.
    """
    app, journal = shop()

    def broken(pool: Pool):
        raise OSError("no disk")

    app.register_dependency("broken", broken)
    container = Container(app)

    with pytest.raises(OSError, match="no disk"):
        await setup(Dispatcher(), container).emit_startup(bot=None)
    assert journal == ["+pool", "-pool"] and container.closed


@guarded
async def test_what_handlers_ask_for_is_checked_at_the_start():
    """
    Handlers of all kinds that ask for what nobody provides, or whose marks nobody fills, are told at once, each with its line.
    """

    class Rates: ...

    class Mailer: ...

    dispatcher, router = setup(Dispatcher(), Container(fresh_app())), Router()
    dispatcher.include_router(router)

    @inject
    async def is_rich(event, rates: From[Rates]): ...

    @router.message(is_rich)
    @inject
    async def order(message: Message, mailer: From[Mailer]): ...

    @router.callback_query()
    async def buy(query: CallbackQuery, mailer: From[Mailer]): ...

    @router.message()
    class Help(MessageHandler):
        @inject
        async def handle(self, rates: From[Rates]): ...

    with pytest.raises(GraphErrors) as caught:
        await dispatcher.emit_startup(bot=None)

    text = str(caught.value)
    assert "nobody fills mailer of " in text and "buy, callback_query handler (" in text and "@inject" in text
    assert all(f"{name}" in text for name in ("is_rich.rates", "order.mailer", "Help.handle.rates")), text
    assert text.count("test_aiogram.py:") >= 4


class Basket(MessageHandler):
    """A handler that is a class."""

    @inject
    async def handle(self, session: From[Session]):
        return type(session).__name__, self.event.text


@guarded
async def test_filters_middlewares_and_classes_share_the_scope():
    """
    A filter, a middleware and a handler that is a class see the session of the same update.
    """
    app, _ = shop()
    dispatcher = setup(Dispatcher(), Container(app))
    seen = []

    @inject
    async def known(event, session: From[Session]):
        seen.append(session)
        return True

    @dispatcher.message.middleware()
    @inject
    async def around(handler, event, data, session: From[Session]):
        seen.append(session)
        return await handler(event, data)

    @dispatcher.message(F.text == "class")
    class Handler(Basket): ...

    @dispatcher.message(known)
    @inject
    async def order(message: Message, scope: From[Scope]):
        seen.append(await scope.get(Session))

    assert (await fed(dispatcher, message("class"), message()))[0] == ("Session", "class")
    assert len(seen) == 4 and len(set(map(id, seen[1:]))) == 1 and seen[0] is not seen[1]


@guarded
async def test_a_plain_handler_runs_in_a_thread():
    """
    A handler that is no coroutine function gets values that have to be awaited, and runs in a thread as aiogram lets it.
    """
    app, journal = shop()
    dispatcher = setup(Dispatcher(), Container(app))

    @dispatcher.message()
    @inject
    def order(message: Message, session: From[Session]):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return type(session).__name__

    assert await fed(dispatcher, message()) == ["Session"]
    assert "commit" in journal


@guarded
async def test_data_of_the_same_name_fills_no_mark():
    """
    What a filter or the dispatcher hands on under the name of a marked parameter is not taken for it.
    """
    app, _ = shop()
    dispatcher = setup(Dispatcher(session="of the dispatcher"), Container(app))

    async def found(event):
        return {"session": "of the filter", "number": 3}

    @dispatcher.message(found)
    @inject
    async def order(message: Message, number: int, session: From[Session]):
        return number, type(session)

    assert await fed(dispatcher, message()) == [(3, Session)]


@pytest.mark.parametrize("answered", [True, False])
@guarded
async def test_what_a_handler_raises_rolls_back(answered):
    """
    Finalizers see what the handler raised, whoever answers it; who answers has a scope of its own.
    """
    app, journal = shop()
    dispatcher = setup(Dispatcher(), Container(app))

    @dispatcher.message()
    @inject
    async def order(message: Message, session: From[Session]):
        raise LookupError("no tea")

    if answered:

        @dispatcher.errors()
        @inject
        async def answer(event: ErrorEvent, session: From[Session]):
            return str(event.exception)

    (given,) = await fed(dispatcher, message())

    assert str(given) == "no tea"
    assert journal[1:-1] == ["begin", "rollback LookupError", *(["begin", "commit"] if answered else [])]


@guarded
async def test_a_commit_that_fails_is_an_error_of_the_update():
    """
    What a finalizer raises goes to the error handlers, and the handler's answer is not sent.
    """
    app = fresh_app()

    async def open_session():
        yield 1
        raise OSError("no commit")

    app.register_dependency("session", open_session, lifetime="scoped")
    dispatcher = setup(Dispatcher(), Container(app))

    @dispatcher.message()
    @inject
    async def order(message: Message, scope: From[Scope]):
        await scope.get("session")
        return "well"

    @dispatcher.errors()
    async def answer(event: ErrorEvent):
        return repr(event.exception)

    assert "no commit" in (await fed(dispatcher, message()))[0]


@guarded
async def test_handing_on_is_no_failure():
    """
    `SkipHandler` lets the next handler have the update in the same scope, `CancelHandler` ends it: both commit.
    """
    app, journal = shop()
    dispatcher = setup(Dispatcher(), Container(app))

    @dispatcher.message()
    @inject
    async def skips(message: Message, session: From[Session]):
        raise SkipHandler

    @dispatcher.message()
    @inject
    async def cancels(message: Message, session: From[Session]):
        raise CancelHandler

    (given,) = await fed(dispatcher, message())

    assert isinstance(given, CancelHandler)
    assert journal[1:-1] == ["begin", "commit"]


@guarded
async def test_what_belongs_to_an_update_is_context_where_declared():
    """
    The update, its event, bot, user, chat and state are given to factories of an application that declares them.
    """
    kinds = [Update, Message, Bot, User, Chat, FSMContext]
    app, _ = shop(context=kinds)

    def greet(update: Update, message: Message, bot: Bot, user: User, chat: Chat, state: FSMContext) -> str:
        return f"{update.update_id} {message.text} {bot.id} {user.first_name} {chat.id} {type(state).__name__}"

    app.register_dependency(str, greet, lifetime="scoped")
    dispatcher = setup(Dispatcher(), Container(app))

    @dispatcher.message()
    @inject
    async def order(message: Message, greeting: From[str]):
        return greeting

    @dispatcher.callback_query()
    @inject
    async def buy(query: CallbackQuery, user: From[User]):
        return user.first_name

    assert await fed(dispatcher, message(), query()) == ["1 tea 42 Ada 7 FSMContext", "Ada"]


@guarded
async def test_the_middleware_alone():
    """
    Who enters the container by himself takes the middleware alone, in the level that it names.
    """
    app, _ = shop(scopes=("update", "step"))
    dispatcher = Dispatcher()

    @dispatcher.message()
    @inject
    async def order(message: Message, scope: From[Scope]):
        return scope.level

    with pytest.raises(ScopeError, match=r"setup\(dispatcher, container\)"):
        container_of(dispatcher)
    async with Container(app) as container:
        dispatcher.update.outer_middleware(ContainerMiddleware(container, level="update"))
        assert container_of(dispatcher) is container
        assert await fed(dispatcher, message()) == ["update"]
        assert not container.closed


# --- as it is really run: on loopback ---


class Telegram:
    """The part of Telegram's API that a bot needs to poll."""

    def __init__(self, *updates):
        self.updates, self.sent = list(updates), asyncio.Queue()

    async def answer(self, request):
        method = request.match_info["method"].lower()
        if method == "getme":
            found = {"id": 42, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}
        elif method == "getupdates":
            found = [one.model_dump(mode="json", exclude_none=True, by_alias=True) for one in self.updates]
            self.updates.clear()
            await asyncio.sleep(0 if found else 0.02)
        else:
            form = dict(await request.post())
            found = message(form["text"]).message.model_dump(mode="json", exclude_none=True, by_alias=True)
            self.sent.put_nowait(form["text"])
        return web.json_response({"ok": True, "result": found})

    def serving(self):
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self.answer)
        return TestServer(app)


def bot_of(server):
    return Bot("42:TOKEN", session=AiohttpSession(api=TelegramAPIServer.from_base(str(server.make_url("")).rstrip("/"))))


@pytest.mark.slow
@guarded
async def test_polling():
    """
    A bot that polls answers from its scopes; a handler that still runs when it is stopped is waited for, and commits.
    """
    app, journal = shop()
    dispatcher = setup(Dispatcher(), Container(app))
    begun, go_on = asyncio.Event(), asyncio.Event()

    @dispatcher.message(F.text == "slow")
    @inject
    async def slow(message: Message, session: From[Session]):
        begun.set()
        await go_on.wait()
        journal.append("slow is done")

    @dispatcher.message()
    @inject
    async def order(message: Message, session: From[Session]):
        await message.answer(f"{message.text} for {type(session).__name__}")

    @dispatcher.shutdown()
    async def end():
        go_on.set()

    telegram = Telegram(message("tea"), message("slow", 2))
    async with telegram.serving() as server:
        polling = asyncio.create_task(dispatcher.start_polling(bot_of(server), handle_signals=False))
        assert await telegram.sent.get() == "tea for Session"
        await begun.wait()
        await dispatcher.stop_polling()
        await polling

    assert journal[-3:] == ["slow is done", "commit", "-pool"]


@pytest.mark.slow
@guarded
async def test_a_handler_that_never_ends_is_not_waited_for():
    """
    What still runs after the time of grace has failed, and the container closes.
    """
    app, journal = shop()
    dispatcher = setup(Dispatcher(), Container(app), grace=0.05)
    begun = asyncio.Event()

    @dispatcher.message()
    @inject
    async def order(message: Message, session: From[Session]):
        begun.set()
        await asyncio.Event().wait()

    bot = Bot("42:TOKEN")
    await dispatcher.emit_startup(bot=bot)
    update = asyncio.create_task(dispatcher.feed_update(bot, message()))
    await begun.wait()
    with pytest.warns(ResourceWarning, match="still open"):
        await dispatcher.emit_shutdown(bot=bot)

    assert journal == ["+pool", "begin", "rollback ClosedError", "-pool"]
    update.cancel()
    await asyncio.wait([update])


@guarded
async def test_webhooks():
    """
    A bot that aiohttp serves has its container as long as that application lives.
    """
    app, journal = shop()
    dispatcher = setup(Dispatcher(), Container(app))

    @dispatcher.message()
    @inject
    async def order(message: Message, session: From[Session]):
        return message.answer(type(session).__name__)

    served, bot = web.Application(), Bot("42:TOKEN")
    SimpleRequestHandler(dispatcher, bot, handle_in_background=False).register(served, path="/hook")
    setup_application(served, dispatcher, bot=bot)
    async with TestClient(TestServer(served)) as client:
        update = message().model_dump(mode="json", exclude_none=True, by_alias=True)
        answer = await (await client.post("/hook", json=update)).text()

    assert "sendMessage" in answer and "Session" in answer
    assert journal == ["+pool", "begin", "commit", "-pool"]
