"""Checks 75 to 81 and 101 of the conformance list as a library user meets them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from projector.changefeed import ChangeContext, ChangeHandlerFailed, LeaseLost
from projector.changefeed.handler_sink import HandlerSink
from projector.core.names import Continuation, Epoch, LeaseToken
from projector.processor.options import Checkpointing
from tests.fakes.world import Member, World

ZERO = LeaseToken("0")


class Subscriber:
    """A handler that writes down what it gets, and fails when told."""

    def __init__(self, world: World, **options: Any) -> None:
        self._world = world
        self.seen: list[str] = []
        self.contexts: list[ChangeContext] = []
        self.fail_on: dict[str, int] = {}
        self.acknowledge: set[str] = set()
        self.member: Member = self._member(**options)

    def _member(self, *, decoder: Any = None, **options: Any) -> Member:
        sink: HandlerSink[Any] = HandlerSink(
            handler=self.handle, decoder=decoder, bookmark=self._bookmark
        )
        settings = {
            "batch_documents": 1,
            "page_size": 1,
            "checkpoint_seconds": 0.0,
            "acquire_seconds": 2.0,
            **options,
        }
        return self._world.member("a", sink=sink, **settings)

    async def _bookmark(self, token: LeaseToken, epoch: Epoch, continuation: Continuation) -> None:
        await self.member.host.checkpoint(token, epoch, continuation)

    async def handle(self, changes: list[Any], context: ChangeContext) -> None:
        self.contexts.append(context)
        for change in changes:
            name = change["cartId"] if isinstance(change, dict) else change.cartId
            self.seen.append(name)
            if self.fail_on.get(name, 0) > 0:
                self.fail_on[name] -= 1
                raise ValueError(f"cannot use {name}")
            if name in self.acknowledge:
                await context.checkpoint()

    def start(self) -> Member:
        return self._world.start_member(self.member)

    def bookmark(self) -> Continuation | None:
        return self._world.leases.leases[ZERO].continuation


def names(*numbers: int) -> list[str]:
    return [f"cart-{number}" for number in numbers]


async def test_check_075_bookmark_follows_each_page(world: World) -> None:
    world.container.fill(3)
    subscriber = Subscriber(world)
    subscriber.start()
    await world.until(world.bookmarked)
    assert subscriber.seen == names(0, 1, 2)


async def test_check_076_failed_changes_come_again_and_are_told_once(world: World) -> None:
    world.container.fill(3)
    subscriber = Subscriber(world)
    subscriber.fail_on = {"cart-1": 1}
    member = subscriber.start()
    await world.until(world.bookmarked)
    assert subscriber.seen == names(0, 1, 1, 2)
    (error,) = member.listener.errors
    assert isinstance(error, ChangeHandlerFailed)
    assert isinstance(error.__cause__, ValueError)
    assert error.context.lease_token == "0"
    assert error.context.etag == '"3"'


async def test_check_077_manual_checkpoints_decide_what_comes_again(world: World) -> None:
    world.container.fill(10)
    subscriber = Subscriber(world, checkpointing=Checkpointing.MANUAL)
    subscriber.acknowledge = {"cart-0"}
    subscriber.fail_on = {"cart-2": 1}
    member = subscriber.start()
    await world.until(lambda: subscriber.seen[-1:] == names(9))
    assert subscriber.seen == names(0, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert len(member.listener.errors) == 1
    assert subscriber.bookmark() == '"2"'
    await world.pass_time(60)
    assert subscriber.bookmark() == '"2"'


async def test_check_077_everything_acknowledged_lets_idle_polls_move_on(world: World) -> None:
    world.container.fill(3)
    subscriber = Subscriber(world, checkpointing=Checkpointing.MANUAL)
    subscriber.acknowledge = set(names(0, 1, 2))
    subscriber.start()
    await world.until(lambda: len(subscriber.seen) == 3)
    world.container.partitions[0].lsn += 7
    await world.until(world.bookmarked, within_seconds=20)


async def test_manual_checkpoint_after_the_handler_returned(world: World) -> None:
    world.container.fill(3)
    subscriber = Subscriber(world, checkpointing=Checkpointing.MANUAL)
    subscriber.start()
    await world.until(lambda: len(subscriber.seen) == 3)
    assert subscriber.bookmark() is None
    await subscriber.contexts[2].checkpoint()
    assert subscriber.bookmark() == '"4"'
    await subscriber.contexts[0].checkpoint()
    assert subscriber.bookmark() == '"2"'


async def test_check_078_checkpoint_of_a_lost_lease_is_told_to_the_caller(world: World) -> None:
    world.container.fill(3)
    subscriber = Subscriber(world, checkpointing=Checkpointing.MANUAL)
    subscriber.start()
    await world.until(lambda: len(subscriber.seen) == 3)
    await world.stop("a")
    with pytest.raises(RuntimeError, match="not started"):
        await subscriber.contexts[2].checkpoint()


async def test_check_078_place_of_a_former_epoch_is_refused(world: World) -> None:
    world.container.fill(3)
    subscriber = Subscriber(world, checkpointing=Checkpointing.MANUAL)
    subscriber.fail_on = {"cart-2": 1}
    subscriber.start()
    await world.until(lambda: len(subscriber.seen) == 6)
    with pytest.raises(LeaseLost):
        await subscriber.contexts[0].checkpoint()
    await subscriber.contexts[5].checkpoint()
    assert subscriber.bookmark() == '"4"'


async def test_check_079_empty_page_moves_the_place_without_a_call(world: World) -> None:
    subscriber = Subscriber(world)
    subscriber.start()
    await world.until(world.bookmarked)
    assert subscriber.contexts == []


async def test_check_080_change_that_cannot_be_decoded_is_the_handlers_failure(
    world: World,
) -> None:
    world.container.fill(1)
    calls = 0

    def decode(raw: bytes) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("bad change")
        return msgspec.json.decode(raw)

    subscriber = Subscriber(world, decoder=decode)
    member = subscriber.start()
    await world.until(lambda: subscriber.seen == names(0))
    (error,) = member.listener.errors
    assert isinstance(error, ChangeHandlerFailed)
    assert "cannot be decoded" in str(error)


async def test_typed_changes(world: World) -> None:
    class Cart(msgspec.Struct):
        cartId: str  # noqa: N815 - the document's own name
        quantity: int

    world.container.fill(2)
    subscriber = Subscriber(world, decoder=msgspec.json.Decoder(Cart).decode)
    subscriber.start()
    await world.until(world.bookmarked)
    assert subscriber.seen == names(0, 1)


async def test_check_101_context_tells_of_the_page(world: World) -> None:
    world.container.fill(1)
    subscriber = Subscriber(world)
    subscriber.start()
    await world.until(world.bookmarked)
    (context,) = subscriber.contexts
    assert context.lease_token == "0"
    assert context.feed_range == world.container.partitions[0].feed_range
    assert (context.etag, context.lsn) == ('"2"', 2)
    assert context.session_token == "0:-1#2"
    assert context.request_units > 0


async def test_lease_taken_while_the_handler_runs_is_no_handler_failure(world: World) -> None:
    world.container.fill(1)
    subscriber = Subscriber(world, checkpointing=Checkpointing.MANUAL)
    subscriber.acknowledge = {"cart-0"}
    member = subscriber.member
    member.leases.faults.plan("replace", LeaseLost("stolen"), skip=1)
    subscriber.start()
    await world.until(lambda: len(subscriber.seen) == 2, within_seconds=20)
    assert ("released: lease_lost", "0") in member.listener.heard
    assert member.listener.errors == []


async def test_restored_container_starts_over(world: World) -> None:
    world.container.fill(40)
    subscriber = Subscriber(world, page_size=100)
    subscriber.start()
    await world.until(world.bookmarked)
    world.container.rewind(20)
    await world.until(lambda: len(subscriber.seen) == 40 + 19, within_seconds=60)


async def test_split_delivers_each_change_once(world: World) -> None:
    world.container.fill(40)
    subscriber = Subscriber(world, page_size=100)
    subscriber.start()
    await world.until(world.bookmarked)
    world.container.split("0")
    world.container.fill(10, prefix="later")
    await world.until(world.bookmarked)
    assert len(subscriber.seen) == 50


async def test_split_while_pages_wait_loses_none_of_them(world: World) -> None:
    world.container.fill(16)
    subscriber = Subscriber(world, page_size=1, batch_documents=10)
    hold = world.clock.monotonic() + 5

    async def slow(changes: list[Any], context: ChangeContext) -> None:
        if world.clock.monotonic() < hold:
            await world.clock.sleep(hold - world.clock.monotonic())
        subscriber.seen.extend(change["cartId"] for change in changes)

    subscriber.handle = slow  # type: ignore[method-assign]
    subscriber.member = subscriber._member(page_size=1, batch_documents=10)
    subscriber.start()
    await world.pass_time(2)
    world.container.split("0")
    await world.until(world.bookmarked, within_seconds=60)
    assert set(subscriber.seen) == {f"cart-{n}" for n in range(16)}
